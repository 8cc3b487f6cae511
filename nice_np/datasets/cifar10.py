"""CIFAR-10: 60,000 colour photographs of 32 x 32 pixels in ten classes, in the binary version of its files.

A file is a sequence of records of 3,073 bytes: the label 0..9, then the red, the green and the blue plane of 32 x 32
bytes.  The archive is read as a stream: only its six known members are read, links in it are never followed, and
nothing is written to disk.
"""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import IO

import numpy as np

from nice_np.datasets.base import Dataset, Split, hold_out_last_tenth
from nice_np.datasets.download import RemoteFile
from nice_np.datasets.files import cached, find, given_folder, open_file, to_put
from nice_np.errors import DatasetError
from nice_np.suggestions import suggests

ARCHIVE = RemoteFile(
    "cifar-10-binary.tar.gz",
    ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    170_052_171,
)
IMAGE_SHAPE = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32  # bytes: the label and three planes
TRAIN_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILE = "test_batch.bin"
FOLDER_IN_ARCHIVE = "cifar-10-batches-bin"
MAX_RECORDS = 10_000  # per file, as in the original
MAX_ARCHIVE = 200_000_000  # bytes when inflated; the original has 184 million
BLOCK = 512  # bytes: the size of a header in a tar archive; contents are padded to a multiple
SOURCE = (
    "CIFAR-10 by Alex Krizhevsky, Vinod Nair and Geoffrey Hinton; A. Krizhevsky, Learning Multiple Layers of Features "
    "from Tiny Images, 2009"
)


@suggests
def load_cifar10(data_dir: str | os.PathLike[str] | None = None, *, progress: bool = False) -> Dataset:
    """All of CIFAR-10: 45,000 training images, 5,000 for validation (the last of the training files), 10,000 to test.

    Parameters
    ----------
    data_dir : path, optional
        As in `load_mnist`: the folder with data_batch_1.bin to data_batch_5.bin and test_batch.bin, or with
        cifar-10-binary.tar.gz, or a download of 170 MB.  Its subfolders ``cifar10``, ``cifar-10-batches-bin`` and
        ``cifar10/cifar-10-batches-bin`` are searched too.  Files with fewer records, or fewer training files, count as
        a part of CIFAR-10: the last tenth of their training images is for validation, and `source` gives the numbers.
    progress : bool
        Show a progress bar on stderr while downloading.

    Returns
    -------
    Dataset
        uint8 images of shape (N, 3072), the red plane first, with labels 0..9 (airplane, automobile, bird, cat, deer,
        dog, frog, horse, ship, truck), `bin_width` 1/256.

    Raises
    ------
    DatasetError
        If a file is missing, damaged or not in CIFAR-10's format; names the file.
    NiceImportError, NiceTypeError
        As in `load_mnist`.

    Notes
    -----
    The binary files have no checksum, so a changed pixel goes unnoticed; the archive is checked.
    """
    folder = given_folder(data_dir, "load_cifar10")
    if folder is None:
        path = cached(ARCHIVE, "cifar10", progress=progress)
    else:
        subfolders = ("cifar10", FOLDER_IN_ARCHIVE, f"cifar10/{FOLDER_IN_ARCHIVE}")
        path = find((TRAIN_FILES[0], ARCHIVE.name), folder, subfolders, to_put("the files of the binary version"))
    batches = _read_archive(path) if path.name == ARCHIVE.name else _read_folder(path.parent)
    train = [batches[name] for name in TRAIN_FILES if name in batches]
    if not train or TEST_FILE not in batches:
        raise DatasetError(
            f"{path}: expected {TRAIN_FILES[0]} and {TEST_FILE}, found {', '.join(batches) or 'neither'}"
        )
    images, labels = (np.concatenate(parts) for parts in zip(*train, strict=True))  # (N, 3072), (N,)
    return hold_out_last_tenth(
        "cifar10", (images, labels), batches[TEST_FILE], (50_000, 10_000), IMAGE_SHAPE, SOURCE, path
    )


def _read_folder(folder: Path) -> dict[str, Split]:
    """The known files in a folder, by name."""
    batches = {}
    for name in (*TRAIN_FILES, TEST_FILE):
        path = folder / name
        if os.path.lexists(path):  # a broken link is an error, not a missing part
            with open_file(path, "a file of CIFAR-10") as file:
                batches[name] = _read_records(file, os.fstat(file.fileno()).st_size, path)
    return batches


def _read_archive(path: Path) -> dict[str, Split]:
    """The known members of an archive, by name."""
    import tarfile

    batches: dict[str, Split] = {}
    with open_file(path, "an archive of CIFAR-10") as file, gzip.GzipFile(fileobj=file, mode="rb") as stream:
        while (header := _exactly(stream, BLOCK, path)) != bytes(BLOCK):  # a block of zeros ends the archive
            try:
                member = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
            except tarfile.TarError as error:
                raise DatasetError(f"{path}: the archive is damaged ({error}); fetch it again") from None
            where = f"{path}, member {member.name!r}"
            end = stream.tell() + member.size + -member.size % BLOCK
            if member.size < 0 or end > MAX_ARCHIVE:
                raise DatasetError(
                    f"{where}: expected an archive of at most {MAX_ARCHIVE} bytes, found {member.size} more"
                )
            folder, _, name = member.name.rpartition("/")
            if folder == FOLDER_IN_ARCHIVE and name in (*TRAIN_FILES, TEST_FILE):
                # isreg() would also accept a sparse file, whose zeros are not in the archive
                if name in batches or member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
                    raise DatasetError(
                        f"{where}: expected one regular file of that name, found another type or a second one"
                    )
                batches[name] = _read_records(stream, member.size, where)
            stream.seek(end)
        if stream.seek(MAX_ARCHIVE + 1) > MAX_ARCHIVE:  # to the end of the gzip stream, where its CRC is checked
            raise DatasetError(f"{path}: expected an archive of at most {MAX_ARCHIVE} bytes, found more")
    return batches


def _read_records(stream: IO[bytes] | gzip.GzipFile, size: int, where: object) -> Split:
    if size == 0 or size % RECORD or size > MAX_RECORDS * RECORD:
        raise DatasetError(
            f"{where}: expected 1 to {MAX_RECORDS} records of {RECORD} bytes, found {size} bytes, "
            f"{size / RECORD:g} records"
        )
    records = np.frombuffer(_exactly(stream, size, where), dtype=np.uint8).reshape(-1, RECORD)  # (N, 3073)
    labels = records[:, 0].copy()  # (N,)
    if labels.max() > 9:
        position = int(labels.argmax())
        raise DatasetError(f"{where}: expected labels from 0 to 9, found {labels[position]} in record {position}")
    return records[:, 1:].copy(), labels  # (N, 3072), (N,)


def _exactly(stream: IO[bytes] | gzip.GzipFile, size: int, where: object) -> bytes:
    content = stream.read(size)
    if len(content) != size:
        raise DatasetError(f"{where}: truncated: expected {size} bytes more, found {len(content)}")
    return content
