"""Data augmentation: each training image also shifted by one pixel to the left, right, up and down.

A shifted digit is the same digit.  A fully connected network cannot know that, and a classifier gains from the copies.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

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
    if not isinstance(dataset, Dataset):
        raise NiceTypeError(f"with_shifts: dataset must be a Dataset, got {type(dataset).__name__}")
    if dataset.image_shape is None:
        raise NiceValueError(f"with_shifts: data set {dataset.name} has no images to shift")
    height, width = dataset.image_shape[-2:]
    planes = dataset.train.reshape(-1, height, width)  # (N C, H, W)
    padded = np.pad(planes, ((0, 0), (1, 1), (1, 1)))  # (N C, H + 2, W + 2)
    shifted = [padded[:, 1 - down :, 1 - right :][:, :height, :width] for down, right in STEPS]  # (N C, H, W) each
    train = np.concatenate([images.reshape(-1, dataset.dim) for images in shifted])  # (5 N, D)
    labels = None if dataset.train_labels is None else np.tile(dataset.train_labels, len(STEPS))  # (5 N,)
    return replace(dataset, train=train, train_labels=labels)
