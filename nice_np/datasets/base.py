"""A Dataset: three arrays of samples, their labels, and the bin width that defines bits per dimension.

Loaders of images build one with `of_images`, or with `hold_out_last_tenth` where there is no official validation set.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.errors import DatasetError, NiceTypeError, NiceValueError
from nice_np.pixels.dequantize import BIN_WIDTH
from nice_np.validation import as_choice, as_float, as_real_array, as_sizes

SPLITS = ("train", "validation", "test")

Samples = npt.NDArray[Any]  # (N, D), uint8 or float64
Labels = npt.NDArray[np.integer[Any]]  # (N,)
Split = tuple[npt.NDArray[np.uint8], Labels]  # images (N, D), labels (N,)


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Samples for training, for choosing a model (validation) and for the final score (test).

    Parameters
    ----------
    name : str
        Its name in `nice_np.datasets.load`.
    train, validation, test : ndarray, shape (N, D)
        Images as flattened uint8 rows, 0..255, not yet dequantised; points of the plane as float64.
    train_labels, validation_labels, test_labels : ndarray of int, shape (N,), or None
        The class of each sample, if there are classes.
    image_shape : (height, width), (channels, height, width) or None
        ``row.reshape(image_shape)`` is the image.  A colour image is stored as its red, green and blue plane.
    bin_width : float
        The width of one grey level in the coordinates of the flow: 1/256 for 8-bit images scaled to [0, 1], 1.0 for
        continuous data.  Bits per dimension are (nll / D - log(bin_width)) / log(2).
    source : str
        Origin and licence, in one line.

    Raises
    ------
    NiceValueError, NiceTypeError
        If the arrays do not fit together; names the one that does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> points = np.zeros((4, 2))
    >>> Dataset("origin", points, points[:1], points[:2])
    Dataset('origin', 4 train + 1 validation + 2 test, dim=2, float64)
    """

    name: str
    train: Samples
    validation: Samples
    test: Samples
    train_labels: Labels | None = None
    validation_labels: Labels | None = None
    test_labels: Labels | None = None
    image_shape: tuple[int, ...] | None = None
    bin_width: float = 1.0
    source: str = ""

    def __post_init__(self) -> None:
        owner = f"Dataset {self.name!r}"
        as_float(self.bin_width, owner, "bin_width", above=0)
        for name in SPLITS:
            samples = as_real_array(getattr(self, name), owner, name)
            if samples.ndim != 2:
                raise NiceValueError(f"{owner}: expected {name} of shape (N, D), got {samples.shape}")
            object.__setattr__(self, name, samples)  # the dataclass is frozen, but lists are accepted
            if samples.shape[1] != self.dim:
                raise NiceValueError(f"{owner}: {name} has {samples.shape[1]} features, train has {self.dim}")
            if self.labels(name) is not None:
                labels = as_real_array(self.labels(name), owner, f"{name}_labels")
                if labels.dtype.kind not in "iu":
                    raise NiceTypeError(f"{owner}: {name}_labels must be integers, got {labels.dtype}")
                if labels.shape != (len(samples),):
                    raise NiceValueError(
                        f"{owner}: expected {name}_labels of shape ({len(samples)},), got {labels.shape}"
                    )
                object.__setattr__(self, f"{name}_labels", labels)
        if self.image_shape is not None:
            sides = as_sizes(self.image_shape, owner, "image_shape")
            if len(sides) not in (2, 3):
                raise NiceValueError(
                    f"{owner}: image_shape must be (height, width) or (channels, height, width), got {sides}"
                )
            if math.prod(sides) != self.dim:
                raise NiceValueError(
                    f"{owner}: image_shape {times(sides)} does not have {self.dim} pixels, one per feature"
                )
            object.__setattr__(self, "image_shape", sides)

    @property
    def dim(self) -> int:
        """The number of features D."""
        return int(self.train.shape[1])

    @property
    def n_train(self) -> int:
        """The number of training samples."""
        return len(self.train)

    @property
    def n_validation(self) -> int:
        """The number of validation samples."""
        return len(self.validation)

    @property
    def n_test(self) -> int:
        """The number of test samples."""
        return len(self.test)

    def split(self, name: str) -> Samples:
        """The samples of one split.

        Parameters
        ----------
        name : {"train", "validation", "test"}

        Returns
        -------
        ndarray, shape (N, D)

        Raises
        ------
        NiceValueError, NiceTypeError
            For any other name.
        """
        samples: Samples = getattr(self, as_choice(name, SPLITS, "Dataset.split", "name"))
        return samples

    def labels(self, name: str) -> Labels | None:
        """The labels of one split, shape (N,), or None if there are none; names and errors as in `split`."""
        labels: Labels | None = getattr(self, as_choice(name, SPLITS, "Dataset.labels", "name") + "_labels")
        return labels

    def __repr__(self) -> str:
        sizes = " + ".join(f"{len(self.split(name))} {name}" for name in SPLITS)
        parts = [repr(self.name), sizes, f"dim={self.dim}", str(self.train.dtype)]
        if self.image_shape is not None:
            parts.append(f"{times(self.image_shape)} images")
        if self.train_labels is not None:
            parts.append("labels")
        return f"Dataset({', '.join(parts)})"


def times(sides: Iterable[int]) -> str:
    """A shape in words, "28 x 28"."""
    return " x ".join(map(str, sides))


def of_images(
    name: str, train: Split, validation: Split, test: Split, image_shape: tuple[int, ...], source: str
) -> Dataset:
    """A Dataset of 8-bit images; each split is a pair of images and labels."""
    images, labels = zip(train, validation, test, strict=True)
    return Dataset(name, *images, *labels, image_shape=image_shape, bin_width=BIN_WIDTH, source=source)


def hold_out_last_tenth(
    name: str, train: Split, test: Split, whole: tuple[int, int], image_shape: tuple[int, ...], source: str, path: Path
) -> Dataset:
    """The Dataset of two official files; the last tenth of the training file is for validation.

    `whole` are the numbers of training and test images in the original: if others are found, `source` says so.  Fewer
    than ten training images, or no test images, are a DatasetError that names `path`.
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
