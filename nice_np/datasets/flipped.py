"""Data augmentation: each training image also as in a mirror.

A photograph and its mirror image are equally likely; a flow of few photographs gains from having both.  Digits are not:
the mirror image of a 3 is no digit.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nice_np.datasets.base import Dataset
from nice_np.errors import NiceTypeError, NiceValueError


def with_flips(dataset: Dataset) -> Dataset:
    """The data set with twice the training images: the originals, then each with left and right exchanged.

    Validation and test images are unchanged.

    Parameters
    ----------
    dataset : Dataset

    Returns
    -------
    Dataset
        train of shape (2 N, D), the originals first.

    Raises
    ------
    NiceValueError
        If the data are not images.
    NiceTypeError
        If `dataset` is not a Dataset.

    Examples
    --------
    >>> image = np.array([[1, 2, 3, 4]], dtype=np.uint8)
    >>> with_flips(Dataset("one", image, image, image, image_shape=(2, 2))).train
    array([[1, 2, 3, 4],
           [2, 1, 4, 3]], dtype=uint8)
    """
    if not isinstance(dataset, Dataset):
        raise NiceTypeError(f"with_flips: dataset must be a Dataset, got {type(dataset).__name__}")
    if dataset.image_shape is None:
        raise NiceValueError(f"with_flips: data set {dataset.name} has no images to flip")
    images = dataset.train.reshape(len(dataset.train), *dataset.image_shape)  # (N, ..., H, W)
    train = np.concatenate([images, images[..., ::-1]]).reshape(-1, dataset.dim)  # (2 N, D)
    labels = None if dataset.train_labels is None else np.tile(dataset.train_labels, 2)  # (2 N,)
    return replace(dataset, train=train, train_labels=labels)
