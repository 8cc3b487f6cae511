"""The Toronto Face Database: some 100,000 grey images of faces, 48 x 48 pixels, 4,178 of them with a label.

A file of MATLAB 5 with the variables ``images`` (N, 48, 48); ``folds`` (N, 5), for each of five ways to split whether
an image is unlabelled (0), for training (1), validation (2) or test (3); and ``labs_ex`` (N, 1), the facial expression.
"""

from __future__ import annotations

import os

import numpy as np

from nice_np.datasets.base import Dataset
from nice_np.datasets.files import ENVIRONMENT_VARIABLE, find, given_folder
from nice_np.datasets.mat import Variable, read_mat
from nice_np.errors import DatasetError
from nice_np.pixels.dequantize import BIN_WIDTH
from nice_np.validation import as_int

FILE = "TFD_ranzato_48x48.mat"
IMAGE_SHAPE = (48, 48)
N_FOLDS = 5
UNLABELLED, TRAIN, VALIDATION, TEST = range(4)
NO_EXPRESSION = -1
SOURCE = (
    "The Toronto Face Database by Josh Susskind, Adam Anderson and Geoffrey Hinton, UTML TR 2010-001, in Marc'Aurelio "
    "Ranzato's version, for research on request"
)
HOW_TO_GET = (
    "it cannot be downloaded: Josh Susskind's Toronto Face Database is given out on request by the University of "
    "Toronto, to those who have the licences of the collections that it was made from"
)


def load_tfd(data_dir: str | os.PathLike[str] | None = None, fold: int = 0) -> Dataset:
    """The Toronto Face Database, with all unlabelled images among those to train on.

    Parameters
    ----------
    data_dir : path, optional
        The folder that holds TFD_ranzato_48x48.mat, itself or in its subfolder ``tfd``; by default the environment
        variable NICE_NP_DATA names it.
    fold : int
        0 to 4, which of the five official ways to split the labelled images.

    Returns
    -------
    Dataset
        uint8 images of shape (N, 2304), `bin_width` 1/256.  To train on are the unlabelled images and the fold's
        training images, in the order of the file; labels are the seven expressions, 1..7, and -1 for the
        unlabelled images.

    Raises
    ------
    DatasetError
        If the file is missing, damaged, or not in TFD's format; the message says where it was looked for and how one
        gets it.
    NiceTypeError, NiceValueError
        If `data_dir` is not a path or `fold` is not from 0 to 4.

    Notes
    -----
    ``images[n]`` is taken to be upright, row by row, as the loaders of pylearn2 and Fuel take it.  The NICE paper's
    code trains on the unlabelled images alone.
    """
    fold = as_int(fold, "load_tfd", "fold", 0, N_FOLDS - 1)
    folder = given_folder(data_dir, "load_tfd")
    if folder is None:
        raise DatasetError(
            f"neither data_dir nor {ENVIRONMENT_VARIABLE} names a folder to look for {FILE} in; {HOW_TO_GET}"
        )
    path = find((FILE,), folder, ("tfd",), HOW_TO_GET)
    arrays = read_mat(
        path,
        {
            "images": Variable((None, *IMAGE_SHAPE), 0, 255),
            "folds": Variable((None, N_FOLDS), UNLABELLED, TEST),
            "labs_ex": Variable((None, 1), NO_EXPRESSION, 7),
        },
    )
    images, roles, expressions = arrays["images"], arrays["folds"][:, fold], arrays["labs_ex"].ravel()
    if not len(images) == len(roles) == len(expressions):
        raise DatasetError(
            f"{path}: expected as many images as rows of folds and labels, found {len(images)}, {len(roles)} and "
            f"{len(expressions)}"
        )
    labels = np.where(roles == UNLABELLED, NO_EXPRESSION, expressions).astype(np.int8)  # (N,)
    nameless = (roles != UNLABELLED) & (labels < 1)  # (N,)
    if nameless.any():
        n = int(nameless.argmax())
        raise DatasetError(
            f"{path}: expected the expression of image {n}, 1 to 7, as fold {fold} says; found {labels[n]}"
        )
    masks = (roles == UNLABELLED) | (roles == TRAIN), roles == VALIDATION, roles == TEST  # (N,) each
    if not all(mask.any() for mask in masks):
        numbers = " + ".join(str(int(mask.sum())) for mask in masks)
        raise DatasetError(f"{path}: expected images to train, validate and test in fold {fold}, found {numbers}")
    rows = images.reshape(len(images), -1)  # (N, 2304)
    train, validation, test = (rows[mask].astype(np.uint8, copy=False) for mask in masks)
    train_labels, validation_labels, test_labels = (labels[mask] for mask in masks)
    return Dataset(
        name="tfd",
        train=train,
        validation=validation,
        test=test,
        train_labels=train_labels,
        validation_labels=validation_labels,
        test_labels=test_labels,
        image_shape=IMAGE_SHAPE,
        bin_width=BIN_WIDTH,
        source=SOURCE,
    )
