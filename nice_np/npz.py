"""Reading and writing .npz files that may be interrupted, damaged or hostile.

Written: to a temporary file in the same folder, flushed to disk, then renamed over the old one, so that a reader sees
the whole old file or the whole new one.  Read: every size is checked against the bytes that are really there before an
array is made, nothing is inflated, nothing is unpickled.
"""

from __future__ import annotations

import ast
import os
import struct
import tempfile
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from nice_np.errors import CheckpointError, NiceFileError

DTYPES = {np.dtype(name).str: np.dtype(name) for name in ("<f4", "<f8", "u1", "<i8")}
MAX_MEMBERS = 10_000
TEMPORARY = ".nice-np-"  # how temporary files begin; never loaded


def write_npz(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write arrays atomically.

    Raises
    ------
    NiceFileError
        Naming the path; a file that was there before is untouched.
    """
    temporary = None
    try:
        remove_stale(path.parent)
        descriptor, temporary = tempfile.mkstemp(prefix=f"{TEMPORARY}{os.getpid()}-", suffix=".tmp", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            _write_members(file, arrays)
            file.flush()
            os.fsync(file.fileno())  # the rename must not reach the disk before the bytes do
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        raise NiceFileError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            with suppress(OSError):  # already renamed, when all went well
                os.unlink(temporary)


def _write_members(file: IO[bytes], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    # As np.savez does, but with a fixed date: the same arrays give the same bytes.
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, version=(1, 0), allow_pickle=False)


def remove_stale(folder: Path) -> None:
    """Delete temporary files left by processes that no longer run (killed inside a save)."""
    for leftover in folder.glob(f"{TEMPORARY}*.tmp"):
        pid = leftover.name[len(TEMPORARY) :].split("-")[0]
        if not (pid.isdigit() and _is_running(int(pid))):
            with suppress(OSError):
                leftover.unlink()


def read_npz(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read all arrays of a file that `write_npz` wrote.

    Raises
    ------
    CheckpointError
        If anything is not as `write_npz` writes it; the message names file and member.
    NiceFileError
        If the file cannot be opened.
    """
    try:
        size = path.stat().st_size
        with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
            return _read_members(path, archive, size)
    except zipfile.BadZipFile as error:
        raise CheckpointError(f"{path}: not a nice_np file, or damaged: {error}") from None
    except OSError as error:
        if isinstance(error, CheckpointError) or (path.is_file() and os.access(path, os.R_OK)):
            raise CheckpointError(f"{path}: damaged: {error}") from None
        raise NiceFileError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, NotImplementedError, RuntimeError, EOFError, struct.error, OverflowError, IndexError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path}: damaged: {error}") from None


def _read_members(path: Path, archive: zipfile.ZipFile, size: int) -> dict[str, npt.NDArray[Any]]:
    members = archive.infolist()
    names = [member.filename for member in members]
    if len(names) != len(set(names)) or len(names) > MAX_MEMBERS:
        raise CheckpointError(f"{path}: {len(names)} members, some of them duplicates or too many")
    if sum(member.file_size for member in members) > size:
        raise CheckpointError(f"{path}: members claim more bytes than the file has")
    arrays = {}
    for member in members:
        if not member.filename.endswith(".npy") or member.compress_type != zipfile.ZIP_STORED:
            raise CheckpointError(f"{path}: member {member.filename!r} is not an uncompressed .npy array")
        try:
            arrays[member.filename[:-4]] = _parse_npy(archive.read(member))
        except (ValueError, SyntaxError, TypeError, KeyError, struct.error, zipfile.BadZipFile, RuntimeError) as error:
            raise CheckpointError(f"{path}: member {member.filename!r} is damaged: {error}") from None
    return arrays


def _parse_npy(data: bytes) -> npt.NDArray[Any]:
    # The .npy format, version 1.0: magic, header length, a dict literal, then the raw numbers.
    if data[:8] != b"\x93NUMPY\x01\x00":
        raise ValueError("no .npy array of version 1.0")
    (length,) = struct.unpack("<H", data[8:10])
    header = ast.literal_eval(data[10 : 10 + length].decode("latin1").strip())
    if not isinstance(header, dict) or header.get("fortran_order") is not False:
        raise ValueError("unexpected array header")
    dtype, shape = DTYPES.get(header.get("descr")), header.get("shape")
    if dtype is None:
        raise ValueError(f"dtype {header.get('descr')!r} is not allowed")
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape) or len(shape) > 4:
        raise ValueError(f"unexpected shape {shape!r}")
    body = data[10 + length :]
    if prod(shape) * dtype.itemsize != len(body):
        raise ValueError(f"shape {shape} of {dtype} does not fit {len(body)} bytes")
    return np.frombuffer(body, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True  # somebody else's
    return True
