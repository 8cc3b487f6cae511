"""The IDX file format of MNIST: 4 bytes of magic, the sizes as big-endian integers, then the array in C order.

    byte 0, 1   zero
    byte 2      the element type; 8 means unsigned byte, the only one that MNIST uses
    byte 3      the number of axes
    then        the length of each axis, 4 bytes, big-endian; then the elements, last axis fastest

The files are usually gzipped.  They are not trusted: nothing is allocated or inflated beyond what the header promises,
and a header may promise no more than MAX_BYTES.
"""

from __future__ import annotations

import gzip
import math
import os
import struct
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from nice_np.datasets.files import open_file
from nice_np.errors import DatasetError, NiceTypeError, NiceValueError
from nice_np.validation import as_path

MAX_BYTES = 1 << 28  # 256 MiB; the largest MNIST file holds 47 MB
CHUNK = 1 << 20
MAX_AXES = 4
UNSIGNED_BYTE = 8
GZIP_MAGIC = b"\x1f\x8b"

Stream = IO[bytes] | gzip.GzipFile


def read_idx(path: str | os.PathLike[str]) -> npt.NDArray[np.uint8]:
    """Read an array of unsigned bytes from an IDX file.

    Parameters
    ----------
    path : path
        The file, plain or gzipped; the content decides, not the name.

    Returns
    -------
    ndarray of uint8
        With the shape that the header gives.

    Raises
    ------
    DatasetError
        If the file is missing, unreadable, not a regular file, not in IDX format, not of unsigned bytes, too large,
        truncated, longer than its header says, or damaged; names the file, what was expected and what was found.
    NiceTypeError
        If `path` is not a path.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "labels")
    ...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 0, 4]))
    ...     read_idx(path)
    array([5, 0, 4], dtype=uint8)
    """
    path = as_path(path, "read_idx", "path")
    with open_file(path, "an IDX file") as file:
        is_gzip = file.read(2) == GZIP_MAGIC
        file.seek(0)
        stream = gzip.GzipFile(fileobj=file) if is_gzip else file
        shape = _read_header(stream, path)
        return _read_elements(stream, shape, path)


def to_idx_bytes(array: npt.NDArray[np.uint8]) -> bytes:
    """The content of an uncompressed IDX file that holds `array` (uint8, 1 to 4 axes); the inverse of `read_idx`.

    >>> to_idx_bytes(np.array([5, 0, 4], dtype=np.uint8)).hex(" ", -4)
    '00000801 00000003 050004'
    """
    if not isinstance(array, np.ndarray):
        raise NiceTypeError(f"to_idx_bytes: array must be a numpy.ndarray, got {type(array).__name__}")
    if array.dtype != np.uint8 or not 1 <= array.ndim <= MAX_AXES:
        raise NiceValueError(
            f"to_idx_bytes: expected uint8 with 1 to {MAX_AXES} axes, got {array.dtype} with {array.ndim}"
        )
    magic = bytes([0, 0, UNSIGNED_BYTE, array.ndim])
    return magic + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def _read_header(stream: Stream, path: Path) -> tuple[int, ...]:
    """The shape in the header, checked before anything of that size is allocated."""
    magic = stream.read(4)
    if not magic:
        raise DatasetError(f"{path}: the file is empty, expected an IDX file")
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise DatasetError(f"{path}: not an IDX file: expected 4 bytes of magic 00 00 08 .., found {magic.hex(' ')}")
    element_type, n_axes = magic[2], magic[3]
    if element_type != UNSIGNED_BYTE:
        raise DatasetError(f"{path}: expected elements of type 08 (unsigned byte), found type {element_type:02x}")
    if not 1 <= n_axes <= MAX_AXES:
        raise DatasetError(f"{path}: expected 1 to {MAX_AXES} axes, the header says {n_axes}")
    sizes = stream.read(4 * n_axes)
    if len(sizes) < 4 * n_axes:
        raise DatasetError(f"{path}: truncated in the header: expected {4 + 4 * n_axes} bytes, found {4 + len(sizes)}")
    shape = struct.unpack(f">{n_axes}I", sizes)
    promised = math.prod(shape)
    if promised > MAX_BYTES:
        raise DatasetError(f"{path}: the header {shape} promises {promised} bytes, at most {MAX_BYTES} are read")
    return shape


def _read_elements(stream: Stream, shape: tuple[int, ...], path: Path) -> npt.NDArray[np.uint8]:
    promised = math.prod(shape)
    # Ask for one byte too many: it must not exist, and a gzip stream checks its CRC only at its end.
    content = bytearray()  # grows with what is there; one large `read` would allocate all that was promised
    while chunk := stream.read(min(CHUNK, promised + 1 - len(content))):
        content += chunk
    if len(content) < promised:
        raise DatasetError(f"{path}: truncated: the header {shape} promises {promised} bytes, found {len(content)}")
    if len(content) > promised:
        raise DatasetError(f"{path}: the header {shape} promises {promised} bytes, but more follow")
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)  # a bytearray makes it writable
