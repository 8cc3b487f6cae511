"""What `fit` trains and a file holds: a model of x whose parameters lie in one vector.

A `Flow` gives log p(x), a `VAE` a lower bound on it, the ELBO.  Both take something extra with each row of x: a flow
the context that the user gives, a VAE, or a flow that is trained by flow matching, the noise that the run draws.  So
one training loop, with its threads and processes, serves all.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from math import isfinite
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeVar

import numpy as np
import numpy.typing as npt

from nice_np._blas import BLAS
from nice_np.bijectors.base import Bijector
from nice_np.errors import CheckpointError, NiceValueError
from nice_np.files.checkpoint import load as read
from nice_np.files.checkpoint import save
from nice_np.notebook import parts_table
from nice_np.parameters import Module, Packed
from nice_np.pixels.dequantize import BIN_WIDTH, NOISE_SEED, dequantize
from nice_np.suggestions import instead
from nice_np.validation import Array, Rng, as_real_array, is_pixels

M = TypeVar("M", bound="Model")
CHUNK = 1000  # rows at a time, so that memory does not grow with N


def in_chunks(
    function: Callable[..., Array], *arrays: Array, explain: Callable[[slice, Array], NoReturn] | None = None
) -> Array:
    """What `function` makes of CHUNK rows of each array at a time, one after the other.

    Parameters
    ----------
    function : callable
        (n, ...), ... -> (n, ...).
    arrays : ndarray, shape (N, ...)
    explain : callable, optional
        Called with the rows and their result where a number in it is not finite; raises an error that says why.
    """
    n = len(arrays[0])

    def part(start: int) -> Array:
        rows = slice(start, start + CHUNK)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # `explain` says more
            result = function(*(array[rows] for array in arrays))
        if explain is not None and not np.isfinite(result).all():
            explain(rows, result)
        return result

    with BLAS.following_load():
        first = part(0)  # for 0 samples, too: the result has the right shape
        if n <= CHUNK:
            return first
        whole = np.empty((n, *first.shape[1:]), first.dtype)  # a list of all parts would be as large once more
        whole[:CHUNK] = first
        for start in range(CHUNK, n, CHUNK):
            whole[start : start + CHUNK] = part(start)
    return whole


def mean_of_finite(values: Array) -> float:
    """The mean of finite numbers (N,), N >= 1, in float64; right also where their sum would overflow."""
    with np.errstate(over="ignore"):
        mean = float(values.mean(dtype=np.float64))
    return mean if isfinite(mean) else float((values / len(values)).sum(dtype=np.float64))


class Model(Packed):
    """A model of x in R^D: what training needs of it, and its files.

    Attributes
    ----------
    dim : int
        D, the features of x.
    dtype : dtype
        float32 or float64, that of all parameters and constants; input is converted to it.
    params : FlatParameters
        ``params.values`` and ``params.grads``, both (P,).
    measure : str
        What `objective` is: "log_likelihood", "elbo", "flow_matching" or "labelled".
    """

    dim: int
    measure: ClassVar[str] = "log_likelihood"

    # -- what training needs --------------------------------------------------------------------------------------

    @abstractmethod
    def objective(self, x: npt.ArrayLike, extra: Any = None, /) -> Array:
        """What training raises, in nats for each row of x (N, D): (N,).  `extra` is a context or noise, (N, C)."""

    def score(self, x: npt.ArrayLike, extra: Any = None, /) -> float:
        """The mean of `objective` over the rows of x (N, D), in nats: higher is better.

        The same quantity as ``GaussianMixture.score`` in scikit-learn; `Flow.log_prob` gives one number per row.  uint8
        pixels become x as in `from_pixels`, with the same noise at each call.
        """
        owner = f"{type(self).__name__}.score"
        scores = self.objective(self.from_data(as_real_array(x, owner, "x"), NOISE_SEED), extra)
        if len(scores) == 0:
            raise NiceValueError(f"{owner}: 0 samples; the mean needs at least one")
        return mean_of_finite(scores)

    @abstractmethod
    def loss_and_grad(self, x: npt.ArrayLike, extra: Any = None, /) -> tuple[float, Array]:
        """Minus the mean objective of a batch x (N, D), in nats, and its gradient, ``params.grads`` itself (P,)."""

    @abstractmethod
    def unchecked_loss_and_grad(self, x: Array, extra: Array | None) -> tuple[float, Array]:
        """`loss_and_grad` of arrays that are already what it would make of its arguments: `fit` has checked them.

        It raises NiceOverflowError for a loss that is not finite.  The gradient need not be looked at, which takes a
        twentieth of a step: with one that is not finite the weights are lost, and so is the loss of the next step.
        """

    @abstractmethod
    def check_samples(self, x: Array, owner: str) -> None:
        """Raise NiceValueError for finite samples (N, D) that lie outside the model's domain."""

    @abstractmethod
    def checked_context(self, context: Any, n: int, owner: str) -> Array | None:
        """The context of `n` samples as an array (n, C), None for a model without; NiceValueError for a wrong one."""

    def draw_extra(self, context: Array | None, n: int, rng: np.random.Generator) -> Array | None:
        """What goes into the model with `n` rows of x: here the context (n, C), if any."""
        return context

    @property
    def layers(self) -> tuple[Bijector, ...]:
        """The layers that x passes first, data side first: `fit` lets each of them measure its constants there."""
        return ()

    @property
    def pixel_width(self) -> float:
        """The `bin_width` of uint8 pixels."""
        return BIN_WIDTH

    def bin_width_of(self, *data: npt.NDArray[Any], default: float) -> float:
        """The bin width of these data: that of pixels if any of them are, else the model's, else `default`."""
        if any(is_pixels(x) for x in data):
            return self.pixel_width
        return default if self.bin_width is None else self.bin_width

    def from_pixels(self, pixels: npt.NDArray[np.uint8], rng: Rng) -> Array:
        """8-bit pixels (N, D) as the model takes them: here with noise, see `dequantize`."""
        return dequantize(pixels, rng, self.dtype)

    def from_data(self, x: npt.ArrayLike, rng: Rng) -> Array:
        """Pixels as in `from_pixels`, anything else as it is: (N, D) -> (N, D)."""
        data = as_real_array(x, f"{type(self).__name__}.from_data", "x")
        return self.from_pixels(data, rng) if is_pixels(data) else data

    # -- what a reader sees ---------------------------------------------------------------------------------------

    def _repr_html_(self) -> str:
        """The model as a table, which a notebook shows."""
        return parts_table(repr(self).splitlines()[0], self._parts())

    def _parts(self) -> Iterable[Module]:
        """The rows of that table."""
        return (part for _, part in self.children())

    if not TYPE_CHECKING:  # a type checker must still see misspelt names

        def __getattr__(self, name: str) -> NoReturn:
            # Called only for a name that the model does not have.
            text = f"{type(self).__name__!r} object has no attribute {name!r}{instead(name)}"
            raise AttributeError(text, name=name, obj=self)

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
        save(path, "model", self, {} if metadata is None else metadata, {})

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
        Your own layers, conditioners and priors in the model; those of nice_np are known.

    Returns
    -------
    model : Flow or VAE
    metadata : dict
        As it was given to `save_model`.
    """
    model, metadata, surplus = read(path, "model", classes)
    if surplus:
        raise CheckpointError(f"{path}: unexpected members {sorted(surplus)}")
    if not isinstance(model, Model):
        raise CheckpointError(f"{path}: holds a {type(model).__name__}, expected a Flow or a VAE")
    return model, metadata


def load(path: str | PathLike[str], classes: Iterable[type[Module]] = ()) -> Model:
    """The model in a file that `Model.save` or `save_model` wrote.

    Parameters
    ----------
    path : path
    classes : iterable of types
        As for `load_model`, which returns the metadata as well.

    Returns
    -------
    Flow or VAE

    Raises
    ------
    CheckpointError, NiceFileError
        As `Model.load`.
    """
    return load_model(path, classes)[0]
