"""A module whose parameters lie in one vector: what is trained, copied and saved as a whole."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from nice_np.parameters.flat import FlatParameters
from nice_np.parameters.module import Module
from nice_np.validation import Array, as_dtype, as_float

P = TypeVar("P", bound="Packed")


class Packed(Module):
    """A module whose parameters lie in one vector: what is trained as a whole, and copied and saved as a whole.

    Attributes
    ----------
    dtype : dtype
        float32 or float64, that of all parameters and constants.
    params : FlatParameters
        ``params.values`` and ``params.grads``, both (P,).
    """

    _bin_width: float | None = None

    @property
    def bin_width(self) -> float | None:
        """The width of one level of an integer image in x, the unit of bits/dim; None if that is not known yet.

        `nice_np.fit` sets it: 1/256 for uint8 pixels, which it rescales to [0, 1]; otherwise 1, the unit of x itself,
        unless another width is known.  Set it yourself for images that you give as floats: 1/256 in [0, 1], 2/256 in
        [-1, 1].
        """
        return self._bin_width

    @bin_width.setter
    def bin_width(self, width: float | None) -> None:
        owner = type(self).__name__
        self._bin_width = None if width is None else as_float(width, owner, "bin_width", above=0)

    def _pack(self, values: Array | None = None) -> None:
        self.params = FlatParameters(self, values)
        self.dtype: np.dtype[Any] = self.params.values.dtype

    def copy(self: P) -> P:
        """An independent copy."""
        return copy.deepcopy(self)

    def replica(self: P) -> P:
        """A model with the same vector of parameters and a vector of gradients of its own, for another thread.

        Constants, such as a measured mean, are copied as they are now.
        """
        # deepcopy leaves what its memo names as it is: here the views of parameters and gradients.
        views = {id(array): array for _, *pair in self.named_parameters() for array in pair}
        twin = type(self).__new__(type(self))
        vars(twin).update(copy.deepcopy(self.__getstate__(), views))
        twin._pack(self.params.values)
        return twin

    def astype(self: P, dtype: npt.DTypeLike) -> P:
        """A copy in float32 or float64; NiceOverflowError if a parameter or a constant does not fit.

        A model that has neither parameters nor constants is float64, whatever `dtype` says.
        """
        dtype = as_dtype(dtype, f"{type(self).__name__}.astype")
        parts = copy.deepcopy(self.config())
        for part in parts.values():
            if isinstance(part, Module):
                part.zero_grad()  # gradients are of the model that computed them
                part.cast(dtype)
        twin = type(self)(**parts)
        twin.bin_width = self.bin_width
        return twin

    def __copy__(self: P) -> P:
        return self.copy()  # a shallow copy would share its layers, whose arrays can be views of one vector only

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "params"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._pack()
