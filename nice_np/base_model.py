"""What `fit` trains and a file holds: a model of x whose parameters lie in one vector.

A `Flow` gives log p(x), a `VAE` a bound on it, the ELBO.  Both take something beside each row of x: a flow the
context that the user gives, a VAE the noise that the run draws.  So one training loop, with its threads and its
processes, serves both.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Iterable
from math import isfinite
from os import PathLike
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from nice_np.bijectors.base import Bijector
from nice_np.checks import Array, Rng, as_dtype
from nice_np.dequantize import BIN_WIDTH, dequantize
from nice_np.errors import CheckpointError, NiceOverflowError
from nice_np.parameters import FlatParameters, Module

M = TypeVar("M", bound="Model")
CHUNK = 1000  # rows scored at a time, so that memory does not grow with N


def mean_score(scores: Array) -> float:
    """The mean of finite numbers (N,), N >= 1, in float64; right also where their sum would overflow."""
    with np.errstate(over="ignore"):
        mean = float(scores.mean(dtype=np.float64))
    return mean if isfinite(mean) else float((scores / len(scores)).sum(dtype=np.float64))


class Model(Module):
    """A model of x in R^D: what it owes to training, and copies and files of it.

    Attributes
    ----------
    dim : int
        D, the features of x.
    dtype : dtype
        float32 or float64, that of all parameters and constants; input is converted to it.
    params : FlatParameters
        ``params.values`` and ``params.grads``, both (P,).
    measure : str
        What `score` is: "log_likelihood" or "elbo".
    """

    dim: int
    measure: ClassVar[str] = "log_likelihood"

    def _pack(self, values: Array | None = None) -> None:
        self.params = FlatParameters(self, values)
        self.dtype: np.dtype[Any] = self.params.values.dtype

    # -- what training asks ---------------------------------------------------------------------------------------

    @property
    def layers(self) -> tuple[Bijector, ...]:
        """What x passes first, data side first: `fit` lets each layer measure its constants there."""
        return ()

    @property
    def pixel_width(self) -> float:
        """The width of one level of an integer image in x, the unit of bits per dimension."""
        return BIN_WIDTH

    def from_pixels(self, pixels: npt.NDArray[np.uint8], rng: Rng) -> Array:
        """8-bit pixels (N, D) as the model takes them: here with noise, see `dequantize`."""
        return dequantize(pixels, rng, self.dtype)

    @abstractmethod
    def check_samples(self, x: Array, owner: str) -> None:
        """Raise NiceValueError for samples (N, D), finite ones, that the model knows nothing about."""

    @abstractmethod
    def checked_context(self, context: Any, n: int, owner: str) -> Array | None:
        """The context of `n` samples as an array (n, C), None for a model without; NiceValueError for a wrong one."""

    def beside(self, context: Array | None, n: int, rng: np.random.Generator) -> Array | None:
        """What goes into the model beside `n` rows of x: here the context (n, C), if any."""
        return context

    @abstractmethod
    def loss_and_grad(self, x: npt.ArrayLike, beside: Any = None, /) -> tuple[float, Array]:
        """Minus the mean score of a batch x (N, D), in nats, and its gradient, ``params.grads`` itself (P,)."""

    @abstractmethod
    def score(self, x: npt.ArrayLike, beside: Any = None, /) -> Array:
        """What training raises, for each row in nats: x (N, D) -> (N,)."""

    # -- copies ---------------------------------------------------------------------------------------------------

    def copy(self: M) -> M:
        """An independent copy."""
        return copy.deepcopy(self)

    def replica(self: M) -> M:
        """A model with the same vector of parameters and a vector of gradients of its own, for another thread.

        What is no parameter, such as a mean that was measured, is copied as it is now.
        """
        # deepcopy takes what its memo names as already copied: here the views of parameters and gradients.
        views = {id(array): array for _, *pair in self.named_parameters() for array in pair}
        twin = type(self).__new__(type(self))
        vars(twin).update(copy.deepcopy(self.__getstate__(), views))
        twin._pack(self.params.values)
        return twin

    def astype(self: M, dtype: npt.DTypeLike) -> M:
        """A copy in float32 or float64; NiceOverflowError if a parameter does not fit.

        A model that has neither parameters nor constants is float64, whatever was asked for.
        """
        owner = f"{type(self).__name__}.astype"
        dtype = as_dtype(dtype, owner)
        with np.errstate(over="ignore"):
            fits = np.isfinite(self.params.values.astype(dtype)).all()
        if np.isfinite(self.params.values).all() and not fits:
            raise NiceOverflowError(f"{owner}: a parameter is too large for {dtype}")
        parts = copy.deepcopy(self.config())
        for part in parts.values():
            if isinstance(part, Module):
                part.cast(dtype)
        return type(self)(**parts)

    def __copy__(self: M) -> M:
        return self.copy()  # a shallow copy would share its layers, whose arrays can be views of one vector only

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "params"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._pack()

    # -- files ----------------------------------------------------------------------------------------------------

    def save(self, path: str | PathLike[str], metadata: dict[str, Any] | None = None) -> None:
        """Write the model to an .npz file, atomically: architecture as JSON, weights as arrays, no pickle.

        Parameters
        ----------
        path : path
            Replaced only once the new file is complete.
        metadata : dict, optional
            Anything that JSON can hold, to be returned by `nice_np.load_model`; tuples come back as lists.

        Raises
        ------
        NiceFileError
            If the file cannot be written; a previous file is untouched.
        NiceValueError, NiceTypeError
            If an array is not finite or not of a plain dtype, or the metadata are not JSON.
        """
        from nice_np.checkpoint import save_model

        save_model(path, self, metadata)

    @classmethod
    def load(cls: type[M], path: str | PathLike[str], classes: Iterable[type[Module]] = ()) -> M:
        """Read a model of this class that `save` wrote.

        Parameters
        ----------
        path : path
        classes : iterable of classes
            Your own Module subclasses that the file may name.

        Raises
        ------
        CheckpointError
            If the file is damaged, foreign or of another version, or holds a model of another class.
        NiceFileError
            If it cannot be read.
        """
        from nice_np.checkpoint import load_model

        model = load_model(path, classes)[0]
        if not isinstance(model, cls):
            raise CheckpointError(
                f"{path}: holds a {type(model).__name__}, expected a {cls.__name__}; load_model reads either"
            )
        return model
