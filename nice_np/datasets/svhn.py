"""SVHN: 99,289 colour photographs of house numbers, cropped to the 32 x 32 pixels around one digit.

Two MATLAB 5 files with the variables ``X`` (32, 32, 3, N), axes row, column, colour and image, and ``y`` (N, 1), the
digit, with 10 for 0.  The third file, of 531,131 easier images, is left out, as in the code of the NICE paper.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from nice_np.datasets.base import Dataset, Split, hold_out_last_tenth
from nice_np.datasets.download import RemoteFile
from nice_np.datasets.files import given_folder, locate
from nice_np.datasets.mat import Variable, read_mat
from nice_np.errors import DatasetError
from nice_np.suggestions import suggests

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


@suggests
def load_svhn(data_dir: str | os.PathLike[str] | None = None, *, progress: bool = False) -> Dataset:
    """SVHN: 65,932 training images, 7,325 for validation (the last of the training file), 26,032 test images.

    Parameters
    ----------
    data_dir : path, optional
        As in `load_mnist`: the folder with train_32x32.mat and test_32x32.mat, or with a subfolder ``svhn`` that holds
        them, or a download of 246 MB.  Files with other numbers of images count as a part of SVHN: the last tenth of
        the training file is for validation, and `source` gives the numbers.
    progress : bool
        Show progress bars on stderr while downloading.

    Returns
    -------
    Dataset
        uint8 images of shape (N, 3072), the red plane first, with the digits 0..9 as labels, `bin_width` 1/256.

    Raises
    ------
    DatasetError
        If a file is missing, damaged or not in SVHN's format; names the file.
    NiceImportError, NiceTypeError
        As in `load_mnist`.
    """
    folder = given_folder(data_dir, "load_svhn")
    paths = [locate(file, folder, "svhn", "the two files", progress=progress) for file in (TRAIN_FILE, TEST_FILE)]
    train, test = map(_read, paths)
    return hold_out_last_tenth("svhn", train, test, (73_257, 26_032), IMAGE_SHAPE, SOURCE, paths[0])


def _read(path: Path) -> Split:
    arrays = read_mat(path, {"X": Variable((32, 32, 3, None), 0, 255), "y": Variable((None, 1), 1, 10)})
    images, digits = arrays["X"], arrays["y"].ravel()  # (32, 32, 3, N), (N,)
    if len(digits) != images.shape[3]:
        raise DatasetError(f"{path}: expected as many labels as images, found {len(digits)} and {images.shape[3]}")
    planes = images.transpose(3, 2, 0, 1).astype(np.uint8, order="C")  # (N, 3, 32, 32)
    return planes.reshape(len(digits), -1), (digits % 10).astype(np.uint8)  # (N, 3072), (N,)
