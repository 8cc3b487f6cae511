"""An ONNX graph in the making: operators in the order of their computation, on arrays that go by their names."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


class Graph:
    """ONNX operators in the order of their computation; arrays go by their names.

    Parameters
    ----------
    dtype : dtype
        float32 or float64, of every array of numbers.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, operator: str, *inputs: str | float | npt.NDArray[Any], **attributes: Any) -> str:
        """Append an operator and return the name of its output; inputs that are no names become constants."""
        from onnx import helper

        names = [item if isinstance(item, str) else self.constant(item) for item in inputs]
        output = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, names, [output], **attributes))
        return output

    def constant(self, value: float | npt.NDArray[Any]) -> str:
        """The name of a constant array: whole numbers as int64, others in the graph's dtype."""
        from onnx import numpy_helper

        array = np.asarray(value)
        array = array.astype(np.int64 if array.dtype.kind in "iu" else self.dtype)
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def columns(self, x: str, places: npt.NDArray[Any]) -> str:
        """x[:, places]: (N, D) -> (N, len(places))."""
        return self.add("Gather", x, np.asarray(places, np.int64), axis=1)

    def sum_of_rows(self, x: str) -> str:
        """x.sum(axis=1): (N, D) -> (N,)."""
        return self.add("ReduceSum", x, np.array([1]), keepdims=0)

    def keep_what_leads_to(self, output: str) -> None:
        """Drop all operators and constants that an output does not depend on, such as a log-det nobody asked for."""
        needed = {output}
        for node in reversed(self.nodes):
            if needed.intersection(node.output):
                needed.update(node.input)
        self.nodes = [node for node in self.nodes if needed.intersection(node.output)]
        self.constants = [constant for constant in self.constants if constant.name in needed]
