"""A flow as one JavaScript file: what its layers are, and all numbers, to be loaded by a <script> tag.

A page that is opened from a file may not read other files, except scripts; so the weights are a script, too:

    const EXPORTED = {about: {...}, flow: {"class": "Flow", "bijector": {"class": "Chain", ...}, ...}, numbers: `...`};

`WRITTEN` says which attributes of each class are written.  An array becomes its shape and its place in `numbers`, a row
of two-byte numbers in base64: whole numbers as int16, all others as float16 times a power of two of the array's own.
The power brings the largest number near 2^15, so none is too large, and those 10^8 times smaller keep eleven bits.

docs/_extra/explore/flow.js computes what is written here: the same classes, and the same names.
"""

from __future__ import annotations

from base64 import b64encode
from math import frexp
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np._version import __version__
from nice_np.bijectors import (
    AdditiveCoupling,
    AffineCoupling,
    Chain,
    DiagonalScaling,
    Equalize,
    ExpScale,
    FlooredSigmoidScale,
    Logit,
    MultiplicativeCoupling,
    OnPart,
    Partition,
    Permutation,
    Rescale,
    SigmoidScale,
    SoftclipScale,
    SoftplusScale,
    Standardize,
    TanhScale,
)
from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.families.actnorm import ActNorm
from nice_np.families.linear import LULinear
from nice_np.files.atomic import write_text
from nice_np.files.recognised import refuse_foreign
from nice_np.files.text import to_json
from nice_np.flows.flow import Flow
from nice_np.flows.priors import StandardLogistic, StandardNormal
from nice_np.networks.activations import LeakyReLU, ReLU, Softplus, Tanh
from nice_np.networks.convolution import Conv1x1, Conv3x3
from nice_np.networks.glownet import GlowNet
from nice_np.networks.mlp import MLP, Linear
from nice_np.validation import Array, as_path

WRITTEN: dict[type, tuple[str, ...]] = {
    Flow: ("dim", "prior", "bijector"),
    StandardNormal: (),
    StandardLogistic: (),
    Chain: ("layers",),
    OnPart: ("partition", "bijector"),
    Partition: ("idx_a", "idx_b"),
    Permutation: ("order",),
    Logit: ("margin", "width"),
    Equalize: ("shares",),
    Rescale: ("low", "width"),
    Standardize: ("mean", "std"),
    DiagonalScaling: ("log_scale",),
    ActNorm: ("pixels", "b", "log_s"),
    LULinear: ("pixels", "order", "signs", "lower", "upper", "log_diagonal"),
    AdditiveCoupling: ("partition", "conditioner"),
    MultiplicativeCoupling: ("partition", "conditioner", "scale"),
    AffineCoupling: ("partition", "conditioner", "scale"),
    ExpScale: ("low", "high"),
    TanhScale: ("bound",),
    SigmoidScale: ("low",),
    SoftplusScale: ("low", "high", "shift"),
    SoftclipScale: ("bound",),
    FlooredSigmoidScale: ("low", "floor"),
    MLP: ("activation", "layers"),
    GlowNet: ("pixels", "activation", "layers"),
    Linear: ("W", "b"),
    Conv1x1: ("W", "b"),
    Conv3x3: ("W", "b"),
    ReLU: (),
    LeakyReLU: ("slope",),
    Tanh: (),
    Softplus: (),
}
LARGEST_INDEX = 2**15 - 1  # int16
COLUMNS = 120


def to_web(flow: Flow, about: dict[str, Any] | None = None) -> str:
    """A flow as the text of a JavaScript file, which defines ``EXPORTED``.

    Parameters
    ----------
    flow : Flow
        Of layers in `WRITTEN` and without a context.
    about : dict, optional
        What a page should know besides: names, scores, seconds of training; anything JSON can hold.

    Returns
    -------
    str
        ASCII only, so that no character of a name ends the script or a string in it.

    Raises
    ------
    NiceTypeError
        For a part that flow.js does not know, or of a class of your own.
    NiceValueError
        For a context, more than 32,768 features, numbers that are not finite, or standard deviations too far apart for
        float16.
    """
    if not isinstance(flow, Flow):
        raise NiceTypeError(f"to_web: expected a Flow, got {type(flow).__name__}; to_onnx writes a VAE")
    refuse_foreign(flow, "to_web", "JavaScript")
    numbers = Numbers()
    tree = to_json(written(flow, "flow", numbers))
    header = to_json({"nice_np": __version__, "parameters": len(flow.params), **(about or {})}, indent=2)
    text = b64encode(numbers.data).decode()
    lines = "\n".join(text[k : k + COLUMNS] for k in range(0, len(text), COLUMNS))  # JavaScript's atob skips line ends
    return (
        "// Written by `nice-np export --to web`; flow.js computes with it.\n"
        f"const EXPORTED = {{\nabout: {escaped(header)},\nflow: {escaped(tree)},\n"
        f"numbers: `\n{lines}\n`,\n}};\n"
    )


def save_web(flow: Flow, path: str | PathLike[str], about: dict[str, Any] | None = None) -> None:
    """Write `to_web` to a file, usually ending in .js; an existing file is replaced, whole or not at all.

    Parameters
    ----------
    flow : Flow
    path : path
    about : dict, optional
        As in `to_web`.

    Raises
    ------
    NiceFileError
        If it cannot be written; other errors as in `to_web`.
    """
    write_text(as_path(path, "save_web", "path"), to_web(flow, about))


def written(value: Any, path: str, numbers: Numbers) -> Any:
    """A part of the flow as JSON: an object as its class and attributes, an array as its place in `numbers`."""
    if getattr(value, "context_dim", 0):
        raise NiceValueError(f"to_web: {path} has a context of {value.context_dim} features; train it without labels")
    if type(value) in WRITTEN:
        attributes = {name: written(getattr(value, name), f"{path}.{name}", numbers) for name in WRITTEN[type(value)]}
        return {"class": type(value).__name__, **attributes}
    if isinstance(value, np.ndarray):
        return numbers.add(value, path)
    if isinstance(value, tuple):
        return [written(item, f"{path}.{k}", numbers) for k, item in enumerate(value)]
    if isinstance(value, int | float):
        return value
    raise NiceTypeError(
        f"to_web: {path} is a {type(value).__name__}, which flow.js does not know; it knows "
        f"{', '.join(cls.__name__ for cls in WRITTEN)}. to_onnx (nice-np export --to decode) writes other flows"
    )


class Numbers:
    """Arrays in a row, two bytes a number, little-endian; one that is there already is not written again."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.known: dict[bytes, int] = {}

    def add(self, array: npt.NDArray[Any], path: str) -> dict[str, Any]:
        """{"int16": place, "shape": ...}, or {"float16": place, "shape": ..., "scale": ...}."""
        if array.dtype.kind in "iu":
            if array.size and array.max() > LARGEST_INDEX:
                raise NiceValueError(f"to_web: {path} goes up to {array.max()}, at most {LARGEST_INDEX} fits in int16")
            return {"int16": self._place(array.astype("<i2")), "shape": list(array.shape)}
        if not np.isfinite(array).all():
            raise NiceValueError(f"to_web: {path} holds NaN or infinity; train the flow again")
        halves, scale = as_halves(array)
        if path.endswith(".std") and not halves.all():
            ratio = array.max() / array.min()
            raise NiceValueError(
                f"to_web: {path} has numbers whose ratio is {ratio:.0e}, and in float16 the smallest is 0"
            )
        return {"float16": self._place(halves), "shape": list(array.shape), "scale": scale}

    def _place(self, array: npt.NDArray[Any]) -> int:
        new = array.tobytes()
        place = self.known.setdefault(new, len(self.data) // 2)
        if 2 * place == len(self.data):
            self.data += new
        return place


def as_halves(array: Array) -> tuple[npt.NDArray[np.float16], float]:
    """Numbers h in float16 and a power of two s with ``array = s h`` up to rounding.

    Examples
    --------
    >>> as_halves(np.array([3e5, -1.0]))
    (array([ 1.875e+04, -6.250e-02], dtype=float16), 16.0)
    """
    largest = float(np.abs(array).max(initial=0.0))
    scale = 2.0 ** max(frexp(largest)[1] - 15, -1000)  # 2^14 <= largest / scale < 2^15; float16 ends at 65,504
    return (array.astype(np.float64) / scale).astype("<f2"), scale


def escaped(json: str) -> str:
    """JSON within a script: "</script>" in a name must not end a script that is part of a page."""
    return json.replace("<", "\\u003c")
