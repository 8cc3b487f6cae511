"""Reading and writing .npz files, also where a file is damaged or hostile.

Files are written whole or not at all (`atomic`).  On reading, every size is checked against the bytes in the file
before an array is allocated; nothing is decompressed and nothing is unpickled.
"""

from __future__ import annotations

import os
import re
import struct
import zipfile
from collections.abc import Mapping
from itertools import pairwise
from math import prod
from operator import attrgetter
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from nice_np.errors import CheckpointError, NiceFileError, NiceTypeError, NiceValueError
from nice_np.files.atomic import open_to_read, replacing

DTYPES = {dtype.str: dtype for dtype in map(np.dtype, ("<f4", "<f8", "<i8", "u1"))}
NPY_MAGIC = b"\x93NUMPY\x01\x00"  # .npy, version 1.0
NPY_HEADER = re.compile(r"\{'descr': '([<|][fiu]\d)', 'fortran_order': False, 'shape': \(([\d, ]*)\), \} *\n")
MAX_MEMBERS = 10_000
LOCAL_HEADER = 30  # bytes before a member's name, at least

# What zipfile and NumPy raise on damaged bytes, besides BadZipFile: RuntimeError for encryption, OSError, OverflowError
# or ValueError for impossible offsets, EOFError, struct.error or MemoryError for impossible lengths.
DAMAGE = (zipfile.BadZipFile, RuntimeError, OSError, OverflowError, ValueError, EOFError, struct.error, MemoryError)


def write_npz(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write arrays of float32, float64, uint8 or signed integers (saved as int64), whole or not at all.

    Raises
    ------
    NiceFileError
        Naming the path; a file that was there before is untouched.
    NiceTypeError, NiceValueError
        For an array of another dtype, or too many arrays.
    """
    if len(arrays) > MAX_MEMBERS:
        raise NiceValueError(f"cannot write {path}: {len(arrays)} arrays, at most {MAX_MEMBERS} are allowed")
    arrays = {name: _portable(name, array) for name, array in arrays.items()}
    with replacing(path) as file:
        _write_members(file, arrays)


def _write_members(file: IO[bytes], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    # Like np.savez, but with a fixed date, so that the same arrays give the same bytes.
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, version=(1, 0), allow_pickle=False)


def _portable(name: str, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    # Little-endian and in C order; no value is ever rounded or wrapped.
    dtype = np.dtype(np.int64) if array.dtype.kind == "i" else array.dtype
    dtype = dtype.newbyteorder("<")
    if dtype.str not in DTYPES:
        raise NiceTypeError(f"array {name!r} has dtype {array.dtype}; float32, float64, int64 and uint8 can be saved")
    return np.asarray(array, dtype, order="C")


def read_npz(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read all arrays of a file that `write_npz` wrote.

    Raises
    ------
    CheckpointError
        If the file differs in any way from what `write_npz` writes; names file and member.
    NiceFileError
        If the file cannot be opened, or is a pipe or a device.
    """
    try:
        file = open_to_read(path)  # closed below; any later error means damage
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise NiceFileError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    with file:
        try:
            _check_directory(file)
            with zipfile.ZipFile(file) as archive:
                return {member.filename[:-4]: _read_member(archive, member) for member in _members(file, archive)}
        except DAMAGE as error:
            raise CheckpointError(
                f"{path}: damaged, or not a nice_np file: {str(error) or repr(error):.1000}"
            ) from None


def _check_directory(file: IO[bytes]) -> None:
    """Bound the archive's table of contents: zipfile makes one object per entry before the entries can be counted."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 98))
    tail = file.read(98).rjust(98)
    record, locator, end = tail[:56], tail[56:76], tail[76:]
    if end[:4] != b"PK\5\6":
        raise ValueError("the end of the file is missing")
    length = int.from_bytes(end[12:16], "little")
    if locator[:4] == b"PK\6\7":  # beyond 4 GiB the length is in an earlier record
        length = int.from_bytes(record[40:48], "little")
        if int.from_bytes(locator[8:16], "little") != size - 98:
            raise ValueError("its table of contents is not where it should be")
    if length > 100 * MAX_MEMBERS:
        raise ValueError(f"its table of contents claims {length} bytes")


def _members(file: IO[bytes], archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    members = archive.infolist()
    if len({member.filename for member in members}) != len(members):
        raise ValueError("a member appears twice")
    if sum(member.file_size for member in members) > os.fstat(file.fileno()).st_size:
        raise ValueError("its members claim more bytes than the file has")
    for member, following in pairwise(sorted(members, key=attrgetter("header_offset"))):
        if member.header_offset + member.file_size + LOCAL_HEADER > following.header_offset:
            raise ValueError(f"members {member.filename!r:.100} and {following.filename!r:.100} overlap")
    for member in members:
        if not member.filename.endswith(".npy") or member.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"member {member.filename!r:.100} is not an uncompressed .npy array")
    return members


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> npt.NDArray[Any]:
    try:
        return _parse_npy(archive.read(member))
    except DAMAGE as error:
        raise ValueError(f"member {member.filename!r:.100}: {str(error) or repr(error)}") from None


def _parse_npy(data: bytes) -> npt.NDArray[Any]:
    # Magic, header length, a header in Python syntax (matched by a pattern, never evaluated), then the raw numbers.
    start = 10 + int.from_bytes(data[8:10], "little")
    header = NPY_HEADER.fullmatch(data[10:start].decode("latin1"))
    if data[:8] != NPY_MAGIC or header is None or header[1] not in DTYPES:
        raise ValueError("not an array of float32, float64, int64 or uint8 as nice_np writes it")
    dtype, shape = DTYPES[header[1]], tuple(int(n) for n in header[2].split(",") if n.strip())
    if prod(shape) * dtype.itemsize != len(data) - start:
        raise ValueError(f"shape {shape} of {dtype} does not fit {len(data) - start} bytes")
    return np.frombuffer(data, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))
