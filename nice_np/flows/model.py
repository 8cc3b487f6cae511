"""What `fit` trains and a file holds: a model of x whose parameters lie in one vector.

A `Flow` gives log p(x), a `VAE` a bound on it, the ELBO.  Both take something beside each row of x: a flow the
context that the user gives, a VAE the noise that the run draws.  So one training loop, with its threads and its
processes, serves both.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from math import isfinite
from os import PathLike
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from nice_np.bijectors.base import Bijector
from nice_np.errors import CheckpointError
from nice_np.files.checkpoint import load, save
from nice_np.parameters import Module, Packed
from nice_np.pixels.dequantize import BIN_WIDTH, dequantize
from nice_np.validation import Array, Rng

M = TypeVar("M", bound="Model")
CHUNK = 1000  # rows scored at a time, so that memory does not grow with N


def mean_score(scores: Array) -> float:
    """The mean of finite numbers (N,), N >= 1, in float64; right also where their sum would overflow."""
    with np.errstate(over="ignore"):
        mean = float(scores.mean(dtype=np.float64))
    return mean if isfinite(mean) else float((scores / len(scores)).sum(dtype=np.float64))


class Model(Packed):
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
        model = load_model(path, classes)[0]
        if not isinstance(model, cls):
            raise CheckpointError(
                f"{path}: holds a {type(model).__name__}, expected a {cls.__name__}; load_model reads either"
            )
        return model


def save_model(path: str | PathLike[str], model: Model, metadata: dict[str, Any] | None = None) -> None:
    """Write a flow or a VAE, and anything that JSON can hold, to an .npz file; see `Model.save`.

    Parameters
    ----------
    path : path
    model : Flow or VAE
    metadata : dict, optional
    """
    save(path, "model", model, {} if metadata is None else metadata, {})


def load_model(path: str | PathLike[str], classes: Iterable[type[Module]] = ()) -> tuple[Model, dict[str, Any]]:
    """Read what `save_model` wrote: the model and its metadata; see `Model.load`.

    Parameters
    ----------
    path : path
    classes : iterable of types
        Your own layers, conditioners and priors that the model has; those of nice_np are known.

    Returns
    -------
    model : Flow or VAE
    metadata : dict
        As it was given to `save_model`.
    """
    model, metadata, _ = load(path, "model", classes)
    if not isinstance(model, Model):
        raise CheckpointError(f"{path}: holds a {type(model).__name__}, expected a Flow or a VAE")
    return model, metadata
