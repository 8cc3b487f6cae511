"""Images as bits and back, without loss: a flow's log P(x), as the size of a file one can hold.

`compress` asks the prior for the factors of z = f(x) and pushes their symbols; `decompress` lets the prior `generate` z
with the symbols that it pops, and x = f^-1(z).  Decoding is sampling with the bits of a file in place of chance.

    magic, number of axes, shape, model, pixels         16 bytes of SHA-256 each for the model and the pixels
    lanes and words of the coder                        see `nice_np.codec.rans`
    end                                                 16 bytes of SHA-256 of all before
"""

from __future__ import annotations

import hashlib
import struct
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.codec.portable import Intervals, digest_of, from_symbols, portable, to_symbols
from nice_np.codec.rans import Decoder, Encoder, Whole, lanes_for
from nice_np.errors import CheckpointError, NiceTypeError, NiceValueError
from nice_np.families.mixture import Mixture
from nice_np.flows.integer import IntegerFlow
from nice_np.flows.model import CHUNK
from nice_np.validation import Array, as_real_array, is_pixels

MAGIC = b"nice_np\x01"
DIGEST = 16  # bytes
MAX_AXES = 4
MAX_SYMBOLS = 2**15  # for each byte of a file: a symbol has at least 2^-11 bits

Pixels = npt.NDArray[np.uint8]


def compress(flow: IntegerFlow, pixels: npt.ArrayLike) -> bytes:
    """The images as bytes, from which `decompress` with the same flow makes them again, every pixel.

    Parameters
    ----------
    flow : IntegerFlow
    pixels : array_like of uint8, shape (N, D) or (N, ...) with D pixels in a row

    Returns
    -------
    bytes
        About -log2 P(x) / 8 of them, and 100 more.

    Raises
    ------
    NiceTypeError, NiceValueError
        If the flow is none of integers or the pixels are not uint8 of its size, or if the flow cannot serve as a code.
    """
    pixels, twin = as_real_array(pixels, "compress", "pixels"), _portable(flow, "compress")
    if not is_pixels(pixels) or not 2 <= pixels.ndim <= MAX_AXES or prod(pixels.shape[1:]) != flow.dim:
        raise NiceValueError(
            f"compress: expected uint8 pixels of shape (N, {flow.dim}), or N images of as many pixels, got "
            f"{pixels.dtype} of shape {pixels.shape}"
        )
    rows = pixels.reshape(len(pixels), flow.dim)
    encoder = Encoder(lanes_for(rows.size))
    for start in reversed(range(0, len(rows), CHUNK)):  # what is pushed last is popped first
        z = twin.encode(twin.from_pixels(rows[start : start + CHUNK], None))
        for part, mixture in reversed(list(twin.prior.factors(z))):
            symbols, intervals = to_symbols(part, twin.step), Intervals.of(mixture, len(part), twin.step)
            bound = intervals.bound(symbols)
            encoder.push(bound, intervals.bound(symbols + 1) - bound)
    head = MAGIC + struct.pack(f"<B{pixels.ndim}I", pixels.ndim, *pixels.shape) + digest_of(twin) + _digest(rows)
    body = head + encoder.finish()
    return body + _digest(body)


def decompress(flow: IntegerFlow, data: bytes, name: str = "decompress") -> Pixels:
    """The images that `compress` made into bytes with the same flow.

    Parameters
    ----------
    flow : IntegerFlow
    data : bytes
    name : str
        Of the data, such as that of their file: what a message of an error begins with.

    Returns
    -------
    ndarray of uint8
        Of the shape that was given to `compress`.

    Raises
    ------
    CheckpointError
        If the bytes are damaged, are none of `compress`, were made with another flow, or give other pixels than those
        that went in.
    NiceTypeError, NiceValueError
        If the flow is none of integers, or cannot serve as a code.
    """
    given: object = data  # at run time it may be anything
    if not isinstance(given, bytes) or not isinstance(name, str):
        raise NiceTypeError(f"decompress: expected bytes and a name for them, got {type(given).__name__} and {name!r}")
    shape, model, checksum, code = _parsed(data, name)
    twin = _portable(flow, name)
    if model != digest_of(twin):
        raise CheckpointError(f"{name}: was compressed with another model; give the one that it was made with")
    if prod(shape[1:]) != flow.dim:
        raise CheckpointError(f"{name}: holds images of shape {shape[1:]}, the model's have {flow.dim} pixels")
    rows = np.empty((shape[0], flow.dim), np.uint8)
    try:
        decoder = Decoder(code, lanes_for(rows.size))
        for start in range(0, len(rows), CHUNK):
            part = rows[start : start + CHUNK]
            part[...] = _from_grid(twin, twin.decode(twin.prior.generate(len(part), _reader(decoder, twin.step))))
        decoder.finish()
    except NiceValueError as error:
        raise CheckpointError(f"{name}: does not decode on this machine: {error}") from None
    if _digest(rows) != checksum:
        raise CheckpointError(f"{name}: decodes to other pixels than went in: this machine computes differently")
    return rows.reshape(shape)


def _portable(flow: IntegerFlow, owner: str) -> IntegerFlow:
    if not isinstance(flow, IntegerFlow):
        raise NiceTypeError(
            f"{owner}: expected an IntegerFlow, whose likelihood is a probability of pixels, got a "
            f"{type(flow).__name__}; train one with the preset mnist-idf, or make one with integer_flow"
        )
    return portable(flow)


def _reader(decoder: Decoder, step: float) -> Any:
    """What `IntegerPrior.generate` draws with: symbols of the code."""

    def draw(mixture: Mixture, n: int) -> Array:
        intervals = Intervals.of(mixture, n, step)

        def find(point: Whole, where: slice) -> tuple[Whole, Whole, Whole]:
            return intervals.rows(where).find(point)

        return from_symbols(decoder.pop(intervals.mu.shape[1], find), step).reshape(n, -1)

    return draw


def _from_grid(twin: IntegerFlow, x: Array) -> Pixels:
    """x = k / 256 as k; NiceValueError for one that is no pixel."""
    levels = np.rint(x / twin.step)
    if ((levels < 0) | (levels > 255)).any():
        raise NiceValueError("a pixel is not between 0 and 255")
    return np.asarray(levels, np.uint8)


def _parsed(data: bytes, name: str) -> tuple[tuple[int, ...], bytes, bytes, bytes]:
    """Shape, digests of model and pixels, and the code; CheckpointError if they are not what `compress` writes."""
    axes = data[len(MAGIC)] if len(data) > len(MAGIC) else 0
    start = len(MAGIC) + 1 + 4 * axes
    if not data.startswith(MAGIC) or not 2 <= axes <= MAX_AXES or len(data) < start + 3 * DIGEST:
        raise CheckpointError(f"{name}: not a file of nice-np compress, or cut short")
    if _digest(data[:-DIGEST]) != data[-DIGEST:]:
        raise CheckpointError(f"{name}: damaged: its checksum is not that of its bytes")
    shape = struct.unpack(f"<{axes}I", data[len(MAGIC) + 1 : start])
    if prod(shape) > MAX_SYMBOLS * len(data):
        raise CheckpointError(f"{name}: claims {prod(shape)} pixels, more than {len(data)} bytes can hold")
    code = data[start + 2 * DIGEST : -DIGEST]
    return shape, data[start : start + DIGEST], data[start + DIGEST : start + 2 * DIGEST], code


def _digest(content: Any) -> bytes:
    return hashlib.sha256(content).digest()[:DIGEST]
