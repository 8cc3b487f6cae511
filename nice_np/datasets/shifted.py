"""Data augmentation: each training image also shifted by one pixel to the left, right, up and down.

A shifted digit is the same digit.  A fully connected network cannot know that, and a classifier gains from the copies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.datasets.base import Dataset
from nice_np.errors import NiceTypeError, NiceValueError

STEPS = ((0, 0), (0, -1), (0, 1), (-1, 0), (1, 0))  # rows down, columns to the right


def with_shifts(dataset: Dataset) -> Dataset:
    """The data set with five times the training images: the originals, then shifted by one pixel in four directions.

    Pixels shifted in from outside are 0.  Validation and test images are unchanged.

    Parameters
    ----------
    dataset : Dataset

    Returns
    -------
    Dataset
        train of shape (5 N, D), the originals first.

    Raises
    ------
    NiceValueError
        If the data are not images.
    NiceTypeError
        If `dataset` is not a Dataset.

    Examples
    --------
    >>> image = np.array([[1, 2, 3, 4]], dtype=np.uint8)
    >>> with_shifts(Dataset("one", image, image, image, image_shape=(2, 2))).train
    array([[1, 2, 3, 4],
           [2, 0, 4, 0],
           [0, 1, 0, 3],
           [3, 4, 0, 0],
           [0, 0, 1, 2]], dtype=uint8)
    """
    planes = planes_of(dataset, "with_shifts")
    height, width = planes.shape[1:]
    padded = np.pad(planes, ((0, 0), (1, 1), (1, 1)))  # (N C, H + 2, W + 2)
    return with_copies(dataset, [padded[:, 1 - down :, 1 - right :][:, :height, :width] for down, right in STEPS])


def planes_of(dataset: Dataset, owner: str) -> npt.NDArray[Any]:
    """The training images, plane by plane: (N C, H, W)."""
    if not isinstance(dataset, Dataset):
        raise NiceTypeError(f"{owner}: dataset must be a Dataset, got {type(dataset).__name__}")
    if dataset.image_shape is None:
        raise NiceValueError(f"{owner}: data set {dataset.name} has no images")
    return dataset.train.reshape(-1, *dataset.image_shape[-2:])


def with_copies(dataset: Dataset, copies: Sequence[npt.NDArray[Any]]) -> Dataset:
    """The data set with K versions of its training images, (N C, H, W) each, and their labels as often."""
    train = np.concatenate([planes.reshape(-1, dataset.dim) for planes in copies])  # (K N, D)
    labels = None if dataset.train_labels is None else np.tile(dataset.train_labels, len(copies))  # (K N,)
    return replace(dataset, train=train, train_labels=labels)
