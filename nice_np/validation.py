"""Checks of arguments, and the array type that the whole package uses.

Public functions check what users pass; inner loops check nothing.  A message says what was expected, what came and what
to do.  `owner` is the class or function that checks, `name` the argument.
"""

from __future__ import annotations

import operator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.errors import NiceOverflowError, NiceTypeError, NiceValueError
from nice_np.suggestions import nearest, same

Array = npt.NDArray[np.floating[Any]]
Rng = np.random.Generator | np.random.SeedSequence | int | None
FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
LARGEST = 2**40  # of any size or count: NumPy's own errors for larger ones name no argument


def as_real_array(x: Any, owner: str, name: str) -> npt.NDArray[Any]:
    """`x` as an array of real numbers, in whatever real dtype it came.

    Raises
    ------
    NiceTypeError
        For objects, strings, dates and structured arrays.
    NiceValueError
        For complex numbers, masked arrays and ragged lists.
    """
    if isinstance(x, np.ma.MaskedArray):
        raise NiceValueError(f"{owner}: {name} is a masked array; fill or drop the masked values first, x.filled(...)")
    try:
        array: npt.NDArray[Any] = np.asarray(x)
    except ValueError as error:
        raise NiceValueError(f"{owner}: {name} is not a rectangular array ({error})") from None
    if array.dtype.kind == "c":
        raise NiceValueError(f"{owner}: {name} is complex ({array.dtype}), expected real numbers")
    if array.dtype.kind not in "fiub":
        cure = f"; write {name}.train" if hasattr(x, "train") else ""  # a Dataset
        raise NiceTypeError(f"{owner}: {name} has dtype {array.dtype}, expected real numbers{cure}")
    return array


def as_samples(
    x: Any, n_features: int | None, *, owner: str, name: str = "x", dtype: npt.DTypeLike | None = None
) -> Array:
    """The full check of a batch of samples: a real, finite, two-dimensional array of floats.

    Parameters
    ----------
    x : array_like, shape (N, D)
        N = 0 is allowed.
    n_features : int or None
        The D that is expected; None for any.
    dtype : dtype, optional
        float32 or float64; by default these two stay, and everything else becomes float64.

    Returns
    -------
    ndarray, shape (N, D)
        Where nothing had to be converted a read-only view of `x`, so that no layer can change the caller's data.

    Raises
    ------
    NiceTypeError, NiceValueError
        For a wrong dtype (uint8 too, see `is_pixels`), number of axes or number of features, and for NaN or inf (with
        its place).
    NiceOverflowError
        For a finite value that `dtype` cannot hold.
    """
    raw = as_real_array(x, owner, name)
    refuse_pixels(raw, owner, name)
    check_samples_shape(raw, n_features, owner, name)
    dtype = _float_dtype(raw) if dtype is None else np.dtype(dtype)
    with np.errstate(over="ignore"):
        samples: Array = raw.astype(dtype, copy=False)
    if not np.isfinite(samples).all():
        row, column = np.argwhere(~np.isfinite(samples))[0]
        value = raw[row, column]
        if np.isfinite(value):
            raise NiceOverflowError(f"{owner}: {name}[{row}, {column}] = {value} does not fit into {dtype}")
        raise NiceValueError(f"{owner}: {name} contains NaN or inf, first in row {row}, column {column}: {value}")
    if samples is raw:
        samples = samples.view()
        samples.flags.writeable = False
    return samples


def is_pixels(x: npt.NDArray[Any]) -> bool:
    """Whether these are levels 0 .. 255 of pixels: dtype uint8 means that, and no other dtype does."""
    return x.dtype == np.uint8


def refuse_pixels(x: npt.NDArray[Any], owner: str, name: str) -> None:
    """NiceTypeError for pixels, where no noise is added that would give them a density."""
    if is_pixels(x):
        raise NiceTypeError(
            f"{owner}: {name} has dtype uint8, which means pixels, and they need noise first; use "
            f"nice_np.dequantize({name}, rng) (a Bernoulli VAE: nice_np.binarize({name}, rng)), or, if they are not "
            f"pixels, {name}.astype(float)"
        )


def _float_dtype(array: npt.NDArray[Any]) -> np.dtype[Any]:
    """float32 or float64 in native byte order if it is that, else float64."""
    native = array.dtype.newbyteorder("=")
    return native if native in FLOATS else np.dtype(np.float64)


def check_samples_shape(x: npt.NDArray[Any], n_features: int | None, owner: str, name: str) -> None:
    """Raise NiceValueError unless `x` has the shape (N, n_features), or (N, D) for any D if that is None."""
    if x.ndim != 2:
        one, many = f"{name}[None] for one sample", f"{name}[:, None] for {x.size} samples of one feature"
        cure = f"; use {many if n_features == 1 else one if n_features else f'{one}, {many}'}" if x.ndim == 1 else ""
        width = "D" if n_features is None else n_features
        raise NiceValueError(f"{owner}: expected {name} of shape (N, {width}), got {x.shape}{cure}")
    if n_features is not None and x.shape[1] != n_features:
        raise NiceValueError(f"{owner}: {name} has {x.shape[1]} features, expected {n_features}")


def as_constants(values: Any, ndim: int, owner: str, name: str) -> Array:
    """A copy of a finite array with one or two axes; float32 and float64 stay, everything else becomes float64."""
    constants = as_real_array(values, owner, name)
    if constants.ndim != ndim or constants.size == 0:
        raise NiceValueError(f"{owner}: expected {name} of shape {('(D,)', '(D, D)')[ndim - 1]}, got {constants.shape}")
    if not np.isfinite(constants).all():
        raise NiceValueError(f"{owner}: {name} contains NaN or inf")
    return np.array(constants, _float_dtype(constants), order="C")


def check_interval(x: Array, interval: tuple[float, float], owner: str) -> None:
    """Raise NiceValueError unless every value lies in a bijector's `interval`; here, where the row is known."""
    if interval != (-np.inf, np.inf):
        low, high = np.array(interval)[:, None]  # float64, of shape (1,): float32 samples are compared exactly
        refuse_outside(x, (low < x) & (x < high), interval, owner)


def refuse_outside(x: Array, inside: npt.NDArray[np.bool_], interval: tuple[float, float], owner: str) -> None:
    """Raise NiceValueError, with place and value, unless all of `inside` is true; see `Bijector.interval`."""
    if not inside.all():
        row, column = np.argwhere(~inside)[0]
        low, high = interval
        raise NiceValueError(
            f"{owner}: x[{row}, {column}] = {x[row, column]!s} is not between {low:.9g} and {high:.9g}; "
            "rescale the data to [0, 1] (pixels: dequantize), or clip them"
        )


def as_context(context: Any, n_samples: int, context_dim: int, owner: str, dtype: npt.DTypeLike) -> Array:
    """The context of a batch as (n_samples, context_dim); a single row of shape (context_dim,) is repeated.

    Raises
    ------
    NiceTypeError, NiceValueError
        As `as_samples`; if there is none; and for a single row of integers, which may be labels.
    """
    if context is None:
        raise NiceValueError(f"{owner}: expected context of shape ({n_samples}, {context_dim}), got none")
    raw = as_real_array(context, owner, "context")
    if raw.shape == (context_dim,):
        if context_dim > 1 and raw.dtype.kind != "f":
            raise NiceValueError(
                f"{owner}: context of shape ({context_dim},) and dtype {raw.dtype} may be labels; for labels use "
                f"one_hot(labels, {context_dim}), for one row floats, np.array(context, float)"
            )
        raw = np.broadcast_to(raw, (n_samples, context_dim))
    if raw.shape != (n_samples, context_dim):
        raise NiceValueError(
            f"{owner}: expected context of shape ({n_samples}, {context_dim}) or ({context_dim},), got {raw.shape}; "
            f"for labels use one_hot(labels, {context_dim})"
        )
    return as_samples(raw, context_dim, owner=owner, name="context", dtype=dtype)


def as_batch(x: Any, n_features: int | None, owner: object, name: str = "x") -> Array:
    """The quick check of a layer: shape and dtype only, half a microsecond for an array that is right."""
    is_float_matrix = type(x) is np.ndarray and x.ndim == 2 and x.dtype in FLOATS and x.dtype.isnative
    if is_float_matrix and (n_features is None or x.shape[1] == n_features):
        batch: Array = x
        return batch
    who = type(owner).__name__
    raw = as_real_array(x, who, name)
    refuse_pixels(raw, who, name)
    check_samples_shape(raw, n_features, who, name)
    return raw.astype(_float_dtype(raw), copy=False)


def check_shape(array: Any, expected: tuple[int, ...], owner: str, name: str) -> None:
    """Raise NiceValueError unless the array has this shape; quick enough for every pass of every layer.

    For what a user's layer returns: NumPy would broadcast (N, 1) silently, and compiled loops, which trust shapes,
    would read and write past the end of an array.
    """
    shape = array.shape if isinstance(array, np.ndarray) else np.shape(array)  # np.shape is slow
    if shape != expected:
        raise NiceValueError(f"{owner}: expected {name} of shape {expected}, got {shape}")


def as_int(value: Any, owner: str, name: str, minimum: int, maximum: int = LARGEST) -> int:
    """A whole number within bounds; a bool is none."""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise NiceTypeError(f"{owner}: {name} must be a whole number, got {value!r}") from None
    if not minimum <= number <= maximum:
        allowed = f">= {minimum}" if number < minimum and maximum == LARGEST else f"from {minimum} to {maximum}"
        raise NiceValueError(f"{owner}: {name} must be {allowed}, got {number}")
    return number


def as_flag(value: Any, owner: str, name: str) -> bool:
    """True or False, or 1 or 0; for Python any non-empty string is true, even "no"."""
    if isinstance(value, (bool, np.bool_)) or (isinstance(value, (int, np.integer)) and value in (0, 1)):
        return bool(value)
    raise NiceTypeError(f"{owner}: {name} must be True or False, got {value!r}")


def as_tuple(values: Any, expected: str) -> tuple[Any, ...]:
    """The entries of a sequence, which a text is not; the error says what was `expected`."""
    try:
        if isinstance(values, (str, bytes)):
            raise TypeError
        return tuple(values)
    except (TypeError, NotImplementedError):  # the second from a memoryview with two axes
        raise NiceTypeError(f"{expected}, got {values!r}") from None


def as_sizes(values: Any, owner: str, name: str) -> tuple[int, ...]:
    """A sequence of whole numbers >= 1."""
    expected = f"{owner}: {name} must be a sequence of whole numbers such as (500, 500)"
    return tuple(as_int(value, owner, f"every entry of {name}", 1) for value in as_tuple(values, expected))


def as_widths(values: Any, owner: str, name: str) -> tuple[int, ...]:
    """The widths of hidden layers: `as_sizes`, where a single number is one layer."""
    return as_sizes((values,) if isinstance(values, (int, np.integer)) else values, owner, name)


def as_float(
    value: Any, owner: str, name: str, *, above: float = -np.inf, minimum: float = -np.inf, below: float = np.inf
) -> float:
    """A finite number with ``above < value``, ``minimum <= value`` and ``value < below``."""
    try:
        if isinstance(value, (str, bytes, bool, np.bool_)):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise NiceTypeError(f"{owner}: {name} must be a number, got {value!r}") from None
    if not (np.isfinite(number) and number > above and number >= minimum and number < below):
        bounds = [f"> {above:g}" if above > -np.inf else "", f">= {minimum:g}" if minimum > -np.inf else ""]
        bounds.append(f"< {below:g}" if below < np.inf else "")
        allowed = " and ".join(bound for bound in bounds if bound) or "any number"
        raise NiceValueError(f"{owner}: {name} must be finite, {allowed}; got {number!r}")
    return number


def as_choice(value: Any, choices: Any, owner: str, name: str, kind: type | None = None) -> str:
    """The one of the strings in `choices` that is meant; capitals, hyphens and underscores do not matter.

    The error names `kind` if instances of it would be accepted as well.
    """
    if not isinstance(value, str):
        got = f"the class {value.__name__}; write {value.__name__}()" if isinstance(value, type) else repr(value)
        other = "" if kind is None else f", or an instance of {kind.__module__}.{kind.__name__}"
        raise NiceTypeError(f"{owner}: {name} must be a string, one of {', '.join(choices)}{other}; got {got}")
    found = same(value, choices)
    if found is None:
        near = nearest(value, choices)
        suggestion = f" (did you mean {near!r}?)" if near else ""
        raise NiceValueError(f"{owner}: unknown {name} {value!r}{suggestion}; choose one of {', '.join(choices)}")
    return found


def as_dtype(value: Any, owner: str) -> np.dtype[Any]:
    """float32 or float64."""
    try:
        if isinstance(value, (str, bytes)) and len(value) > 20:  # of "f4,f4,..." NumPy would make millions of fields
            raise TypeError
        dtype: np.dtype[Any] = np.dtype(value)
    except Exception:  # NumPy asks an object for its dtype, and a text may hold anything
        raise NiceTypeError(f"{owner}: dtype must be float32 or float64, got {value!r}") from None
    if dtype not in FLOATS:
        raise NiceValueError(f"{owner}: dtype must be float32 or float64, got {dtype}")
    return dtype


def as_path(path: Any, owner: str, name: str) -> Path:
    """A string or Path as a Path."""
    try:
        return Path(path)
    except TypeError:
        raise NiceTypeError(f"{owner}: {name} must be a string or a Path, got {path!r}") from None


def as_rng(rng: Any, owner: str) -> np.random.Generator:
    """A generator from a seed; a generator is returned as it is, and None takes a seed from the operating system."""
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        kind = NiceTypeError if isinstance(error, TypeError) else NiceValueError
        raise kind(f"{owner}: rng must be a seed >= 0 or a numpy.random.Generator, got {rng!r}") from None
