"""SVHN: 99,289 colour photographs of house numbers, cropped to the 32 x 32 pixels around one digit.

Two files of MATLAB 5 with the variables ``X`` (32, 32, 3, N), the axes being row, column, colour and image, and ``y``
(N, 1), the digit, with 10 for 0.  The third file, of 531,131 easier images, is left out, as in the NICE paper's code.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from nice_np.datasets.base import Dataset
from nice_np.datasets.download import RemoteFile
from nice_np.datasets.files import TO_DOWNLOAD, cached, find, given_folder
from nice_np.datasets.mat import Variable, read_mat
from nice_np.datasets.official import Images, Labels, hold_out_last_tenth
from nice_np.errors import DatasetError

ADDRESS = "https://ufldl.stanford.edu/housenumbers/"
TRAIN_FILE = RemoteFile(
    "train_32x32.mat",
    (ADDRESS + "train_32x32.mat",),
    "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
    182_040_794,
)
TEST_FILE = RemoteFile(
    "test_32x32.mat",
    (ADDRESS + "test_32x32.mat",),
    "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
    64_275_384,
)
IMAGE_SHAPE = (3, 32, 32)
SOURCE = (
    "SVHN by Yuval Netzer, Tao Wang, Adam Coates, Alessandro Bissacco, Bo Wu and Andrew Y. Ng, 2011, for "
    "non-commercial use only"
)


def load_svhn(data_dir: str | os.PathLike[str] | None = None, *, progress: bool = False) -> Dataset:
    """SVHN: 65,932 images to train on, the last 7,325 of the training file to validate, 26,032 to test.

    Parameters
    ----------
    data_dir : path, optional
        The folder that holds train_32x32.mat and test_32x32.mat, itself or in its subfolder ``svhn``.  Files with other
        numbers of images are taken for a part of SVHN: the last tenth of the training file is for validation, and
        `source` gives the numbers.  By default the environment variable NICE_NP_DATA names the folder; where that is
        unset, too, the files are downloaded once (246 MB) and kept in the user's cache folder.
    progress : bool
        Show progress bars on stderr while downloading.

    Returns
    -------
    Dataset
        uint8 images of shape (N, 3072), the red plane first, with the digits 0..9 as labels, `bin_width` 1/256.

    Raises
    ------
    DatasetError
        If a file is missing, damaged, or not in SVHN's format; names the file.
    NiceTypeError
        If `data_dir` is not a path.
    """
    folder = given_folder(data_dir, "load_svhn")
    train_path, test_path = (_locate(file, folder, progress) for file in (TRAIN_FILE, TEST_FILE))
    return hold_out_last_tenth(
        "svhn",
        _read(train_path),
        _read(test_path),
        whole=(73_257, 26_032),
        image_shape=IMAGE_SHAPE,
        source=SOURCE,
        path=train_path,
    )


def _locate(file: RemoteFile, folder: Path | None, progress: bool) -> Path:
    if folder is None:
        return cached(file, "svhn", progress=progress)
    return find((file.name,), folder, ("svhn",), f"put the two files there, or {TO_DOWNLOAD}")


def _read(path: Path) -> tuple[Images, Labels]:
    arrays = read_mat(path, {"X": Variable((32, 32, 3, None), 0, 255), "y": Variable((None, 1), 1, 10)})
    images, digits = arrays["X"], arrays["y"].ravel()  # (32, 32, 3, N), (N,)
    if len(digits) != images.shape[3]:
        raise DatasetError(f"{path}: expected as many labels as images, found {len(digits)} and {images.shape[3]}")
    planes = images.transpose(3, 2, 0, 1).astype(np.uint8, order="C")  # (N, 3, 32, 32)
    return planes.reshape(len(digits), -1), (digits % 10).astype(np.uint8)  # (N, 3072), (N,)
