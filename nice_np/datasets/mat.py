"""The MATLAB file format, versions 5 to 7: named arrays, here of integers only.

    128 bytes    text, then the version and "MI" or "IM", which gives the byte order
    then         elements: type and size, 4 bytes each, then that many bytes, padded to a multiple of 8; an element of
                 up to 4 bytes has type and size in 2 bytes each, followed directly by its bytes
    type 14      an array: the elements flags, axis lengths, name and numbers, first axis fastest
    type 15      a zlib stream that holds one element of type 14

Numbers may be stored in a smaller type than the array's: MATLAB writes a double array of integers 0..255 as bytes.

Files are not trusted (scipy.io can crash the process on a damaged one): every size is checked against what the caller
expects and against the bytes that are left, nothing is inflated beyond it, and zlib's checksum is verified.
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
NUMERIC_CLASSES = range(6, 16)  # double, single, integers; the others are text, cells, structures and sparse arrays
COMPLEX = 0x08  # a flag
MAX_BYTES = 1 << 28  # 256 MiB per array; the largest, TFD's images, takes about 240 MB
MAX_SMALL = 1 << 10  # bytes of an array's flags, axis lengths or name
CHUNK = 1 << 16
PIECE = 1 << 20  # bytes inflated at a time: 64 kB of zeros, packed, are 64 MB


@dataclass(frozen=True)
class Variable:
    """What is expected of an array in a file."""

    shape: tuple[int | None, ...]  # the length of each axis; None accepts any length from 1
    low: int  # the range of the integers,
    high: int  # both ends included


class _Damage(Exception):
    """What is wrong with the file; becomes a DatasetError that names it."""


def read_mat(path: Path, variables: Mapping[str, Variable]) -> dict[str, npt.NDArray[Any]]:
    """The arrays named in `variables`, in Fortran order and in the number types of the file; all others are skipped.

    Raises
    ------
    DatasetError
        If the file is missing, damaged or in another format, or an array is missing or not as expected; names the file,
        what was expected and what was found.
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
    order = _read_byte_order(file)
    end_of_file = os.fstat(file.fileno()).st_size
    arrays: dict[str, npt.NDArray[Any]] = {}
    while file.tell() < end_of_file:
        kind, size = _Section(file, 8, order).unpack("II")
        end = file.tell() + size
        if end > end_of_file:
            raise _Damage(f"truncated: an element promises {size} bytes, {end_of_file - file.tell()} are left")
        element: _Stream = _Section(file, size, order)
        if kind == COMPRESSED:
            element = _Inflated(element)
            kind, size = _Section(element, 8, order).unpack("II")
        if kind != MATRIX:
            raise _Damage(f"expected an array, element type {MATRIX} or {COMPRESSED}, found type {kind}")
        matrix = _Section(element, size, order)
        flags, shape, name = _read_array_header(matrix)
        if name in arrays:
            raise _Damage(f"the variable {name} occurs twice")
        if name in variables:
            try:
                arrays[name] = _read_numbers(matrix, flags, shape, variables[name])
                if matrix.left or element.read(1):  # the attempt to read on makes zlib verify its checksum
                    raise _Damage("the size of the array is not what its axes promise")
            except _Damage as damage:
                raise _Damage(f"variable {name}: {damage}") from None
        file.seek(end)
    return arrays


def _read_byte_order(file: IO[bytes]) -> str:
    """The byte order, "<" or ">", from the header of the file."""
    header = file.read(HEADER)
    if header.startswith((b"MATLAB 7.3", b"\x89HDF")):
        raise _Damage(
            "expected a file of MATLAB 5 to 7, found one of 7.3 (HDF5); in MATLAB, load it and save(..., '-v7')"
        )
    order = {b"\0\1IM": "<", b"\1\0MI": ">"}.get(header[124:])
    if order is None:
        raise _Damage(f"not a file of MATLAB 5 to 7: expected a header that ends in 00 01 49 4d, found {header[:16]!r}")
    return order


def _read_array_header(matrix: _Section) -> tuple[int, tuple[int, ...], str]:
    """Flags, axis lengths and name."""
    flags = matrix.small_element(UINT32, "flags")
    lengths = matrix.small_element(INT32, "axes")
    name = matrix.small_element(INT8, "name")
    if len(flags) != 8 or len(lengths) % 4:
        raise _Damage(f"expected 8 bytes of flags and 4 for each axis, found {len(flags)} and {len(lengths)}")
    shape = struct.unpack(f"{matrix.order}{len(lengths) // 4}i", lengths)
    return struct.unpack(matrix.order + "II", flags)[0], shape, name.decode("latin-1")


def _read_numbers(matrix: _Section, flags: int, shape: tuple[int, ...], expected: Variable) -> npt.NDArray[Any]:
    array_class, flags = flags & 0xFF, flags >> 8 & 0xFF
    if array_class not in NUMERIC_CLASSES or flags & COMPLEX:
        raise _Damage(f"expected an array of real numbers, found class {array_class} with flags {flags:02x}")
    fits = len(shape) == len(expected.shape) and all(
        length >= 1 and want in (None, length) for length, want in zip(shape, expected.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("1 or more" if length is None else str(length) for length in expected.shape)
        raise _Damage(f"expected the shape ({wanted}), found {shape}")
    kind, size, content = matrix.tag()
    if kind not in NUMBERS:
        raise _Damage(f"expected numbers, element types {', '.join(map(str, NUMBERS))}, found type {kind}")
    dtype = np.dtype(matrix.order + NUMBERS[kind])
    promised = math.prod(shape) * dtype.itemsize
    if size != promised or promised > MAX_BYTES:
        raise _Damage(f"expected {promised} bytes for {shape} of {dtype} (at most {MAX_BYTES}), found {size}")
    array = np.frombuffer(matrix.padded(size) if content is None else content, dtype).reshape(shape, order="F")
    _check_numbers(array, expected.low, expected.high)
    return array


@np.errstate(invalid="ignore")  # floor warns of a signalling NaN
def _check_numbers(array: npt.NDArray[Any], low: int, high: int) -> None:
    in_range = low <= array.min() and array.max() <= high  # false for NaN
    numbers = array.ravel(order="K")  # a view
    parts = (numbers[start : start + CHUNK] for start in range(0, numbers.size, CHUNK))  # floor makes a copy
    if in_range and (array.dtype.kind != "f" or all((part == np.floor(part)).all() for part in parts)):
        return
    good = (array >= low) & (array <= high) & (array == np.floor(array))
    position = tuple(int(index) for index in np.unravel_index(int(good.argmin()), array.shape))
    raise _Damage(f"expected whole numbers from {low} to {high}, found {array[position]} at {position}")


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes | bytearray: ...


class _Section:
    """The next `size` bytes of a stream and no more, in the byte order of the file."""

    def __init__(self, stream: _Stream, size: int, order: str) -> None:
        self.stream, self.left, self.order = stream, size, order

    def read(self, size: int) -> bytes | bytearray:
        content = self.stream.read(min(size, self.left))
        self.left -= len(content)
        return content

    def exactly(self, size: int) -> bytes | bytearray:
        content = self.read(size)
        if len(content) < size:
            raise _Damage(f"truncated: expected {size} bytes, found {len(content)}")
        return content

    def padded(self, size: int) -> bytes | bytearray:
        content = self.exactly(size)
        self.exactly(-size % 8)
        return content

    def unpack(self, layout: str) -> tuple[int, ...]:
        return struct.unpack(self.order + layout, self.exactly(struct.calcsize(self.order + layout)))

    def tag(self) -> tuple[int, int, bytes | None]:
        """Type and size of an element, and its content if the tag holds it."""
        first, second = self.unpack("II")
        small = first >> 16
        if not small:
            return first, second, None
        if small > 4:
            raise _Damage(f"an element within its tag: expected at most 4 bytes, found {small}")
        return first & 0xFFFF, small, struct.pack(self.order + "I", second)[:small]

    def small_element(self, expected: int, what: str) -> bytes | bytearray:
        """The content of an element that must be short and of one type."""
        kind, size, content = self.tag()
        if kind != expected or size > MAX_SMALL:
            raise _Damage(
                f"the {what} of an array: expected at most {MAX_SMALL} bytes of type {expected}, "
                f"found {size} of type {kind}"
            )
        return self.padded(size) if content is None else content


class _Inflated:
    """The content of a zlib stream that fills a section exactly; no more is inflated than is read."""

    def __init__(self, section: _Stream) -> None:
        self.section = section
        self.zlib = zlib.decompressobj()

    def read(self, size: int) -> bytearray:
        content = bytearray()
        while len(content) < size and not self.zlib.eof:
            packed = self.zlib.unconsumed_tail or self.section.read(CHUNK)
            piece = self.zlib.decompress(packed, min(size - len(content), PIECE))
            if not packed and not piece:
                raise _Damage("the zlib stream is truncated")
            content += piece
        if self.zlib.eof and (self.zlib.unused_data or self.section.read(1)):
            raise _Damage("more bytes follow the zlib stream")
        return content
