"""MNIST: 28 x 28 grey images of handwritten digits, all 70,000 from files or a selection that comes with the package.

Split as in the NICE paper: the last 10,000 images of the official training file are for validation.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import logging
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.datasets.base import SPLITS, Dataset, of_images
from nice_np.datasets.download import RemoteFile
from nice_np.datasets.files import cached, find, given_folder, to_put
from nice_np.datasets.idx import read_idx, to_idx_bytes
from nice_np.errors import DatasetError
from nice_np.pixels.dequantize import BIN_WIDTH
from nice_np.suggestions import suggests

log = logging.getLogger(__name__)

MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")
IMAGE_SHAPE = (28, 28)
N_VALIDATION = 10_000
SOURCE = "MNIST by Yann LeCun, Corinna Cortes and Christopher J.C. Burges, CC BY-SA 3.0"


CONTENTS = {  # shape, and MD5 of the decompressed file
    "train-images-idx3-ubyte": ((60_000, 28, 28), "6bbc9ace898e44ae57da46a324031adb"),
    "train-labels-idx1-ubyte": ((60_000,), "a25bea736e30d166cdddb491f175f624"),
    "t10k-images-idx3-ubyte": ((10_000, 28, 28), "2646ac647ad5339dbf082846283269ea"),
    "t10k-labels-idx1-ubyte": ((10_000,), "27ae3e4e09519cfbb04c329615203637"),
}
ARCHIVES = {  # SHA-256 and size of the original .gz
    "train-images-idx3-ubyte": ("440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609", 9_912_422),
    "train-labels-idx1-ubyte": ("3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c", 28_881),
    "t10k-images-idx3-ubyte": ("8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6", 1_648_877),
    "t10k-labels-idx1-ubyte": ("f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6", 4_542),
}


@suggests
def load_mnist(data_dir: str | os.PathLike[str] | None = None, *, progress: bool = False) -> Dataset:
    """All of MNIST: 50,000 training images, 10,000 for validation (the last of the training file), 10,000 test images.

    Parameters
    ----------
    data_dir : path, optional
        The folder with the four IDX files (gzipped or not), or with a subfolder ``mnist`` that holds them.  By default
        the environment variable NICE_NP_DATA; if that is unset too, the files are downloaded once (11 MB) into the
        user's cache folder, which needs ``pip install "nice-np[download]"``.
    progress : bool
        Show progress bars on stderr while downloading.

    Returns
    -------
    Dataset
        uint8 images of shape (N, 784) with labels 0..9, `bin_width` 1/256.

    Raises
    ------
    DatasetError
        If a file is missing, damaged or not MNIST's; names the file.
    NiceImportError
        If a download is needed and the packages for it are not installed.
    NiceTypeError
        If `data_dir` is not a path.
    """
    folder = given_folder(data_dir, "load_mnist")
    images, labels, test_images, test_labels = (_load_file(name, folder, progress) for name in CONTENTS)
    images, test_images = images.reshape(-1, 784), test_images.reshape(-1, 784)  # (60000, 784), (10000, 784)
    train = images[:-N_VALIDATION], labels[:-N_VALIDATION]
    validation = images[-N_VALIDATION:], labels[-N_VALIDATION:]
    return of_images("mnist", train, validation, (test_images, test_labels), IMAGE_SHAPE, SOURCE)


def load_digits() -> Dataset:
    """The part of MNIST that comes with the package, "mnist-small": 10,000 train, 1,000 validation, 2,000 test.

    These are the first images of each split of `load_mnist`, so no test image is ever trained on.

    Returns
    -------
    Dataset
        As `load_mnist` returns it.

    Raises
    ------
    DatasetError
        If the installation is damaged.

    Examples
    --------
    >>> load_digits()
    Dataset('mnist-small', 10000 train + 1000 validation + 2000 test, dim=784, uint8, 28 x 28 images, labels)
    """
    resource = importlib.resources.files("nice_np.datasets") / "digits" / "digits.npz"
    try:
        with resource.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays: dict[str, npt.NDArray[Any]] = {
                name: archive[name] for split in SPLITS for name in (split, f"{split}_labels")
            }
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise DatasetError(f"{resource}: the embedded digits are damaged ({error}); install nice_np again") from None
    log.info("read the digits that come with the package")
    return Dataset(name="mnist-small", image_shape=IMAGE_SHAPE, bin_width=BIN_WIDTH, source=SOURCE, **arrays)


def _load_file(name: str, folder: Path | None, progress: bool) -> npt.NDArray[np.uint8]:
    """The array of a file that is certain to be MNIST's: other data sets have files of the same names and sizes."""
    archive = f"{name}.gz"
    if folder is None:
        remote = RemoteFile(archive, tuple(mirror + archive for mirror in MIRRORS), *ARCHIVES[name])
        path = cached(remote, "mnist", progress=progress, hint='; "mnist-small", a part of MNIST, needs no download')
    else:
        path = find((archive, name), folder, ("mnist",), to_put("the four MNIST files"))
    array = read_idx(path)
    expected_shape, expected_md5 = CONTENTS[name]
    if array.shape != expected_shape:
        raise DatasetError(f"{path}: expected MNIST's array of shape {expected_shape}, found {array.shape}")
    if array.ndim == 1 and array.max() > 9:
        position = int(array.argmax())
        raise DatasetError(f"{path}: expected labels from 0 to 9, found {array[position]} at position {position}")
    # Of the decompressed bytes: an archive that was recompressed is still MNIST.  This identifies the data; for
    # security the download is checked by SHA-256.
    md5 = hashlib.md5(to_idx_bytes(array), usedforsecurity=False).hexdigest()
    if md5 != expected_md5:
        raise DatasetError(
            f"{path}: a well-formed file, but not MNIST's (Fashion-MNIST or another data set in the same format?): the "
            f"MD5 of its decompressed bytes is {md5}, expected {expected_md5}"
        )
    return array
