"""Data sets that come as a training file and a test file: the last tenth of the training images is for validation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.datasets.base import Dataset
from nice_np.errors import DatasetError
from nice_np.pixels.dequantize import BIN_WIDTH

Images = npt.NDArray[np.uint8]  # (N, D)
Labels = npt.NDArray[np.integer[Any]]  # (N,)


def hold_out_last_tenth(
    name: str,
    train: tuple[Images, Labels],
    test: tuple[Images, Labels],
    *,
    whole: tuple[int, int],
    image_shape: tuple[int, ...],
    source: str,
    path: Path,
) -> Dataset:
    """The Dataset of two official files.

    The order within the training file decides, so the split is the same for everyone; the first nine tenths are for
    training.

    Parameters
    ----------
    name, image_shape, source
        As in `Dataset`.
    train, test : (images, labels)
        uint8 of shape (N, D) and whole numbers of shape (N,).
    whole : (int, int)
        How many training and test images the original has; of files with other numbers, `source` says that they are
        not the whole.
    path : Path
        Where they come from, for the message of an error.

    Returns
    -------
    Dataset

    Raises
    ------
    DatasetError
        With fewer than ten training images or without test images.
    """
    n_train, n_test = len(train[0]), len(test[0])
    if n_train < 10 or n_test < 1:
        raise DatasetError(
            f"{path}: expected at least 10 training images and 1 test image, found {n_train} and {n_test}"
        )
    if (n_train, n_test) != whole:
        source += f"; not the whole: {n_train} of {whole[0]} training images, {n_test} of {whole[1]} test images"
    kept = n_train - n_train // 10
    return Dataset(
        name=name,
        train=train[0][:kept],
        validation=train[0][kept:],
        test=test[0],
        train_labels=train[1][:kept],
        validation_labels=train[1][kept:],
        test_labels=test[1],
        image_shape=image_shape,
        bin_width=BIN_WIDTH,
        source=source,
    )
