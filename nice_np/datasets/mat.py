"""The file format of MATLAB 5 to 7: named arrays, here of whole numbers only.

    128 bytes    text, then the version and "MI" or "IM", which shows the byte order
    then         elements: type and size, 4 bytes each, then so many bytes, padded to a multiple of 8; of an element of
                 up to 4 bytes type and size take 2 bytes each, and the bytes follow at once
    type 14      an array: the elements flags, lengths of the axes, name, numbers, the first axis running fastest
    type 15      a zlib stream with one element of type 14

Numbers may be stored in a smaller type than the array's: MATLAB writes a double array of whole numbers 0..255 as bytes.

A file is not trusted (in scipy.io a damaged one can end the process): every size is checked against what the caller
expects and against the bytes that are there, nothing is inflated beyond it, and zlib's checksum is verified.
"""

from __future__ import annotations

import math
import os
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import numpy.typing as npt

from nice_np.datasets.files import open_file
from nice_np.errors import DatasetError

HEADER = 128
MATRIX, COMPRESSED = 14, 15
INT8, INT32, UINT32 = 1, 5, 6
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
NUMERIC_CLASSES = range(6, 16)  # double, single, and the integers; others are text, cells, structures, sparse arrays
COMPLEX = 0x08  # among the flags
MAX_BYTES = 1 << 28  # 256 MiB of one array; the largest, TFD's images, takes some 240 MB
MAX_SMALL = 1 << 10  # bytes of an array's flags, lengths or name
CHUNK = 1 << 16


@dataclass(frozen=True)
class Variable:
    """What is expected of an array in a file.

    Parameters
    ----------
    shape : tuple of int or None
        The length of each axis; None takes any from 1.
    low, high : int
        The whole numbers that are allowed, from `low` to `high`.
    """

    shape: tuple[int | None, ...]
    low: int
    high: int


class _Damage(Exception):
    """What is wrong with the file, for a message that names it."""


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


def read_mat(path: Path, variables: Mapping[str, Variable]) -> dict[str, npt.NDArray[Any]]:
    """Read some arrays of whole numbers from a .mat file; others in it are left alone.

    Parameters
    ----------
    path : Path
    variables : mapping of str to Variable
        The names to read, and what is expected of each.

    Returns
    -------
    dict of str to ndarray
        Of the types that the numbers are stored in, integer or float, in Fortran order.

    Raises
    ------
    DatasetError
        If the file is missing, damaged, of another format, or an array is missing or not as expected; the message names
        the file, what was expected and what was found.
    """
    with open_file(path, "a MATLAB file") as file:
        try:
            arrays = _read_arrays(file, variables)
        except _Damage as damage:
            raise DatasetError(f"{path}: {damage}") from None
    missing = [name for name in variables if name not in arrays]
    if missing:
        raise DatasetError(f"{path}: expected the variables {', '.join(variables)}, found no {', '.join(missing)}")
    return arrays


def _read_arrays(file: IO[bytes], variables: Mapping[str, Variable]) -> dict[str, npt.NDArray[Any]]:
    order = _read_file_header(file)
    end_of_file = os.fstat(file.fileno()).st_size
    arrays: dict[str, npt.NDArray[Any]] = {}
    while tag := file.read(8):
        kind, size = _unpack(order + "II", tag)
        start = file.tell()
        if start + size > end_of_file:
            raise _Damage(f"truncated: an element promises {size} bytes, {end_of_file - start} are left")
        element: _Stream = _Section(file, size)
        if kind == COMPRESSED:
            element = _Inflated(element)
            kind, size = _unpack(order + "II", _exactly(element, 8))
        if kind != MATRIX:
            raise _Damage(f"expected an array, element type {MATRIX} or {COMPRESSED}, found type {kind}")
        matrix = _Section(element, size)
        flags, shape, name = _read_array_header(matrix, order)
        if name in arrays:
            raise _Damage(f"the variable {name} occurs twice")
        if name in variables:
            try:
                arrays[name] = _read_numbers(matrix, order, flags, shape, variables[name])
                if matrix.left or element.read(1):  # the attempt to read on makes zlib compare its checksum
                    raise _Damage("the array has another size than its axes promise")
            except _Damage as damage:
                raise _Damage(f"variable {name}: {damage}") from None
        file.seek(start + _unpack(order + "I", tag[4:])[0])
    return arrays


def _read_file_header(file: IO[bytes]) -> str:
    """The byte order, "<" or ">"."""
    header = file.read(HEADER)
    if header.startswith((b"MATLAB 7.3", b"\x89HDF")):
        raise _Damage(
            "expected a file of MATLAB 5 to 7, found one of 7.3 (HDF5); in MATLAB, load it and save(..., '-v7')"
        )
    order = {b"IM": "<", b"MI": ">"}.get(header[126:])
    if order is None or _unpack(order + "H", header[124:126]) != (0x0100,):
        raise _Damage(f"not a file of MATLAB 5 to 7: expected a header that ends in 00 01 49 4d, found {header[:16]!r}")
    return order


def _read_array_header(stream: _Stream, order: str) -> tuple[int, tuple[int, ...], str]:
    """Flags, lengths of the axes, and name."""
    flags = _read_element(stream, order, UINT32, "flags")
    lengths = _read_element(stream, order, INT32, "axes")
    name = _read_element(stream, order, INT8, "name")
    if len(flags) != 8 or len(lengths) % 4:
        raise _Damage(f"expected 8 bytes of flags and 4 for each axis, found {len(flags)} and {len(lengths)}")
    shape = _unpack(f"{order}{len(lengths) // 4}i", lengths)
    return _unpack(order + "II", flags)[0], shape, name.decode("latin-1")


def _read_element(stream: _Stream, order: str, expected: int, what: str) -> bytes:
    """A short element of one type."""
    kind, size, content = _read_tag(stream, order)
    if kind != expected or size > MAX_SMALL:
        raise _Damage(
            f"the {what} of an array: expected at most {MAX_SMALL} bytes of type {expected}, "
            f"found {size} of type {kind}"
        )
    return content if content is not None else _padded(stream, size)


def _read_tag(stream: _Stream, order: str) -> tuple[int, int, bytes | None]:
    """Type and size of an element, and its content if the tag holds it."""
    tag = _exactly(stream, 8)
    first, second = _unpack(order + "II", tag)
    small = first >> 16
    if not small:
        return first, second, None
    if small > 4:
        raise _Damage(f"an element within its tag: expected at most 4 bytes, found {small}")
    return first & 0xFFFF, small, tag[4 : 4 + small]


def _read_numbers(
    stream: _Stream, order: str, flags: int, shape: tuple[int, ...], expected: Variable
) -> npt.NDArray[Any]:
    if flags & 0xFF not in NUMERIC_CLASSES or flags >> 8 & COMPLEX:
        raise _Damage(
            f"expected an array of real numbers, found class {flags & 0xFF} with flags {flags >> 8 & 0xFF:02x}"
        )
    wanted = ", ".join("1 or more" if length is None else str(length) for length in expected.shape)
    fits = len(shape) == len(expected.shape) and all(
        length >= 1 and want in (None, length) for length, want in zip(shape, expected.shape, strict=True)
    )
    if not fits:
        raise _Damage(f"expected the shape ({wanted}), found {shape}")
    kind, size, content = _read_tag(stream, order)
    if kind not in NUMBERS:
        raise _Damage(f"expected numbers, element types {', '.join(map(str, NUMBERS))}, found type {kind}")
    dtype = np.dtype(order + NUMBERS[kind])
    promised = math.prod(shape) * dtype.itemsize
    if size != promised or promised > MAX_BYTES:
        raise _Damage(f"expected {promised} bytes for {shape} of {dtype} (at most {MAX_BYTES}), found {size}")
    raw = content if content is not None else _padded(stream, size)
    array = np.frombuffer(raw, dtype).reshape(shape, order="F")
    _check_numbers(array, expected)
    return array


@np.errstate(invalid="ignore")  # floor would warn of a signalling NaN
def _check_numbers(array: npt.NDArray[Any], expected: Variable) -> None:
    low, high = expected.low, expected.high
    if low <= array.min() and array.max() <= high and _is_whole(array):  # not so for NaN
        return
    good = (array >= low) & (array <= high) & (array == np.floor(array))
    position = tuple(int(index) for index in np.unravel_index(int(good.argmin()), array.shape))
    raise _Damage(f"expected whole numbers from {low} to {high}, found {array[position]} at {position}")


def _is_whole(array: npt.NDArray[Any]) -> bool:
    return array.dtype.kind != "f" or bool((array == np.floor(array)).all())


class _Section:
    """The next `size` bytes of a stream, and no more."""

    def __init__(self, stream: _Stream, size: int) -> None:
        self.stream = stream
        self.left = size

    def read(self, size: int) -> bytes:
        content = self.stream.read(min(size, self.left))
        self.left -= len(content)
        return content


class _Inflated:
    """The content of a zlib stream that takes up a section exactly; no more is inflated than is read."""

    def __init__(self, section: _Stream) -> None:
        self.section = section
        self.zlib = zlib.decompressobj()

    def read(self, size: int) -> bytes:
        content = bytearray()
        while len(content) < size and not self.zlib.eof:
            packed = self.zlib.unconsumed_tail or self.section.read(CHUNK)
            piece = self.zlib.decompress(packed, size - len(content))
            if not packed and not piece:
                raise _Damage("the zlib stream is truncated")
            content += piece
        if self.zlib.eof and (self.zlib.unused_data or self.section.read(1)):
            raise _Damage("more bytes follow the zlib stream")
        return bytes(content)


def _exactly(stream: _Stream, size: int) -> bytes:
    content = stream.read(size)
    if len(content) < size:
        raise _Damage(f"truncated: expected {size} bytes, found {len(content)}")
    return content


def _padded(stream: _Stream, size: int) -> bytes:
    content = _exactly(stream, size)
    _exactly(stream, -size % 8)
    return content


def _unpack(layout: str, content: bytes) -> tuple[int, ...]:
    if len(content) != struct.calcsize(layout):
        raise _Damage(f"truncated: expected {struct.calcsize(layout)} bytes, found {len(content)}")
    return struct.unpack(layout, content)
