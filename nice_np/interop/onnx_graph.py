"""An ONNX graph under construction: operators in order of computation, on arrays that are referred to by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Outputs = dict[str, tuple[str, int | None]]  # the array of each output, and its columns: (N, columns), or (N,) for None


class Graph:
    """ONNX operators in order of computation; arrays are referred to by name.

    Parameters
    ----------
    dtype : dtype
        float32 or float64, for all floating-point arrays.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._names: dict[tuple[Any, ...], str] = {}  # of the constants, by what they hold

    def add(self, operator: str, *inputs: str | float | npt.NDArray[Any], **attributes: Any) -> str:
        """Append an operator and return the name of its output; inputs that are not names become constants."""
        from onnx import helper

        names = [item if isinstance(item, str) else self.constant(item) for item in inputs]
        output = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, names, [output], **attributes))
        return output

    def constant(self, value: float | npt.NDArray[Any]) -> str:
        """The name of a constant array: integers as int64, others in the graph's dtype."""
        from onnx import numpy_helper

        array = np.asarray(value)
        array = array.astype(np.int64 if array.dtype.kind in "iu" else self.dtype)
        known = (array.dtype, array.shape, array.tobytes())  # an inverse that asks a network D times has it once
        if known not in self._names:
            self._names[known] = f"constant_{len(self.constants)}"
            self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), self._names[known]))
        return self._names[known]

    def columns(self, x: str, indices: npt.NDArray[Any]) -> str:
        """x[:, indices]: (N, D) -> (N, len(indices))."""
        return self.add("Gather", x, np.asarray(indices, np.int64), axis=1)

    def sum_of_rows(self, x: str) -> str:
        """x.sum(axis=1): (N, D) -> (N,)."""
        return self.add("ReduceSum", x, np.array([1]), keepdims=0)

    def softplus(self, a: str) -> str:
        """log(1 + e^a) = max(a, 0) + log(1 + e^-|a|)."""
        return self.add("Add", self.add("Max", a, 0.0), self.log_one_plus_exp_minus(self.add("Abs", a)))

    def log_one_plus_exp_minus(self, size: str) -> str:
        """log(1 + e^-size) for size >= 0, which cannot overflow."""
        return self.add("Log", self.add("Add", self.add("Exp", self.add("Neg", size)), 1.0))

    def keep_what_leads_to(self, *outputs: str) -> None:
        """Drop operators and constants that no output depends on, such as an unused log-determinant."""
        needed = set(outputs)
        for node in reversed(self.nodes):
            if needed.intersection(node.output):
                needed.update(node.input)
        self.nodes = [node for node in self.nodes if needed.intersection(node.output)]
        self.constants = [constant for constant in self.constants if constant.name in needed]
