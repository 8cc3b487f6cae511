"""The Toronto Face Database: some 100,000 grey images of faces, 48 x 48 pixels, 4,178 of them with a label.

A MATLAB 5 file with the variables ``images`` (N, 48, 48); ``folds`` (N, 5), the role of each image in five splits:
unlabelled (0), training (1), validation (2) or test (3); and ``labs_ex`` (N, 1), the facial expression.
"""

from __future__ import annotations

import os

import numpy as np

from nice_np.datasets.base import Dataset, of_images
from nice_np.datasets.files import DATA_DIR, ENVIRONMENT_VARIABLE, find, given_folder
from nice_np.datasets.mat import Variable, read_mat
from nice_np.errors import DatasetError
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
    "it cannot be downloaded: the University of Toronto provides Josh Susskind's Toronto Face Database on request to "
    "those who hold the licences of the collections it was made from"
)


def load_tfd(data_dir: str | os.PathLike[str] | None = None, fold: int = 0) -> Dataset:
    """The Toronto Face Database; all unlabelled images are training images.

    Parameters
    ----------
    data_dir : path, optional
        The folder with TFD_ranzato_48x48.mat, or with a subfolder ``tfd`` that holds it; by default the environment
        variable NICE_NP_DATA.
    fold : int
        0 to 4: which of the five official ways to split the labelled images.

    Returns
    -------
    Dataset
        uint8 images of shape (N, 2304), `bin_width` 1/256.  The training images are the unlabelled images and those of
        the fold, in the order of the file; labels are the seven expressions, 1..7, and -1 for unlabelled images.

    Raises
    ------
    DatasetError
        If the file is missing, damaged or not in TFD's format; says where it was searched for and how to get it.
    NiceTypeError, NiceValueError
        If `data_dir` is not a path or `fold` is not from 0 to 4.

    Notes
    -----
    ``images[n]`` is read as upright, row by row, as in the loaders of pylearn2 and Fuel.  The code of the NICE paper
    trains on the unlabelled images alone.
    """
    fold = as_int(fold, "load_tfd", "fold", 0, N_FOLDS - 1)
    folder = given_folder(data_dir, "load_tfd")
    if folder is None:
        raise DatasetError(f"neither {DATA_DIR} nor {ENVIRONMENT_VARIABLE} names a folder with {FILE}; {HOW_TO_GET}")
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
    missing = (roles != UNLABELLED) & (labels < 1)  # (N,)
    if missing.any():
        n = int(missing.argmax())
        raise DatasetError(
            f"{path}: expected the expression of image {n}, 1 to 7, as fold {fold} says; found {labels[n]}"
        )
    masks = (roles == UNLABELLED) | (roles == TRAIN), roles == VALIDATION, roles == TEST  # (N,) each
    if not all(mask.any() for mask in masks):
        numbers = " + ".join(str(int(mask.sum())) for mask in masks)
        raise DatasetError(f"{path}: expected training, validation and test images in fold {fold}, found {numbers}")
    rows = images.reshape(len(images), -1)  # (N, 2304)
    train, validation, test = ((rows[mask].astype(np.uint8, copy=False), labels[mask]) for mask in masks)
    return of_images("tfd", train, validation, test, IMAGE_SHAPE, SOURCE)
