"""Data sets of 8-bit images, and those that come as a training and a test file: the last tenth is for validation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from nice_np.datasets.base import Dataset, Labels
from nice_np.errors import DatasetError
from nice_np.pixels.dequantize import BIN_WIDTH

Images = npt.NDArray[np.uint8]  # (N, D)
Split = tuple[Images, Labels]  # (N, D), (N,)


def of_images(
    name: str, train: Split, validation: Split, test: Split, image_shape: tuple[int, ...], source: str
) -> Dataset:
    """A Dataset of 8-bit images; each split is a pair of images and labels."""
    images, labels = zip(train, validation, test, strict=True)
    return Dataset(name, *images, *labels, image_shape=image_shape, bin_width=BIN_WIDTH, source=source)


def hold_out_last_tenth(
    name: str, train: Split, test: Split, whole: tuple[int, int], image_shape: tuple[int, ...], source: str, path: Path
) -> Dataset:
    """The Dataset of two official files: the last tenth of the training file is for validation, for everyone the same.

    Parameters
    ----------
    name, image_shape, source
        As in `Dataset`.
    train, test : (images, labels)
        uint8 of shape (N, D) and integers of shape (N,).
    whole : (int, int)
        The numbers of training and test images in the original; if others are found, `source` says so.
    path : Path
        Where the data come from, for error messages.

    Raises
    ------
    DatasetError
        If there are fewer than ten training images or no test images.
    """
    n_train, n_test = len(train[0]), len(test[0])
    if n_train < 10 or n_test < 1:
        raise DatasetError(
            f"{path}: expected at least 10 training images and 1 test image, found {n_train} and {n_test}"
        )
    if (n_train, n_test) != whole:
        source += f"; not the whole: {n_train} of {whole[0]} training images, {n_test} of {whole[1]} test images"
    kept = n_train - n_train // 10
    first, last = (train[0][:kept], train[1][:kept]), (train[0][kept:], train[1][kept:])
    return of_images(name, first, last, test, image_shape, source)
