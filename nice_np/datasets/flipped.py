"""Data augmentation: each training image also as in a mirror.

A photograph and its mirror image are equally likely; a flow of few photographs gains from having both.  Digits are not:
the mirror image of a 3 is no digit.
"""

from __future__ import annotations

from nice_np.datasets.base import Dataset
from nice_np.datasets.shifted import planes_of, with_copies


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
    >>> import numpy as np
    >>> image = np.array([[1, 2, 3, 4]], dtype=np.uint8)
    >>> with_flips(Dataset("one", image, image, image, image_shape=(2, 2))).train
    array([[1, 2, 3, 4],
           [2, 1, 4, 3]], dtype=uint8)
    """
    planes = planes_of(dataset, "with_flips")
    return with_copies(dataset, [planes, planes[..., ::-1]])
