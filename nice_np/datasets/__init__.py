"""Data sets by name: the images of the NICE paper, the Olivetti faces, and densities in the plane.

Reading order: `base` (Dataset), `toy`, `mnist` with `idx`, the other images with `mat`; then where files come from,
`files` and `download`.

>>> from nice_np import datasets
>>> datasets.load("two-moons")
Dataset('two-moons', 10000 train + 2000 validation + 5000 test, dim=2, float64)
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable

import numpy as np

from nice_np.datasets.base import Dataset
from nice_np.datasets.cifar10 import load_cifar10
from nice_np.datasets.faces import load_faces
from nice_np.datasets.idx import read_idx
from nice_np.datasets.mnist import load_digits, load_mnist
from nice_np.datasets.shifted import with_shifts
from nice_np.datasets.svhn import load_svhn
from nice_np.datasets.tfd import load_tfd
from nice_np.datasets.toy import (
    TOYS,
    checkerboard,
    eight_gaussians,
    grid,
    pinwheel,
    rings,
    swiss_roll,
    two_circles,
    two_moons,
    two_spirals,
)
from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.validation import as_choice, as_int

__all__ = [
    "TOYS",
    "Dataset",
    "checkerboard",
    "eight_gaussians",
    "grid",
    "load",
    "load_cifar10",
    "load_digits",
    "load_faces",
    "load_mnist",
    "load_svhn",
    "load_tfd",
    "load_toy",
    "names",
    "pinwheel",
    "read_idx",
    "rings",
    "swiss_roll",
    "two_circles",
    "two_moons",
    "two_spirals",
    "with_shifts",
]

# How each data set of images is loaded, given `data_dir` and `progress`.
IMAGES: dict[str, Callable[[str | os.PathLike[str] | None, bool], Dataset]] = {
    "mnist-small": lambda data_dir, progress: load_digits(),
    "mnist": lambda data_dir, progress: load_mnist(data_dir, progress=progress),
    "cifar10": lambda data_dir, progress: load_cifar10(data_dir, progress=progress),
    "svhn": lambda data_dir, progress: load_svhn(data_dir, progress=progress),
    "tfd": lambda data_dir, progress: load_tfd(data_dir),
    "faces": lambda data_dir, progress: load_faces(data_dir, progress=progress),
}


def names() -> tuple[str, ...]:
    """The names that `load` knows.

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> names()[:6]
    ('mnist-small', 'mnist', 'cifar10', 'svhn', 'tfd', 'faces')
    """
    return (*IMAGES, *TOYS)


def load(
    name: str, *, data_dir: str | os.PathLike[str] | None = None, seed: int = 0, progress: bool = False
) -> Dataset:
    """Load a data set by its name.

    Parameters
    ----------
    name : str
        One of `names()`: "mnist-small" comes with the package; "mnist", "cifar10", "svhn" and "faces" are read from
        files or downloaded; "tfd" is read from a file (fold 0); the densities in the plane are generated.
    data_dir : path, optional
        The folder of the image files, see `load_mnist` and the other loaders; not needed for the rest.
    seed : int
        For the densities in the plane, see `load_toy`; images do not depend on it.
    progress : bool
        Show progress bars on stderr while downloading.

    Returns
    -------
    Dataset

    Raises
    ------
    NiceValueError
        If the name is unknown; lists the names and suggests the nearest.
    NiceTypeError
        If an argument has the wrong type.
    DatasetError
        If a file is missing, damaged or not what it claims to be.
    NiceImportError
        If a download is needed and the packages for it are not installed.

    Examples
    --------
    >>> load("mnist-small").train.shape
    (10000, 784)
    """
    if not isinstance(name, str):
        raise NiceTypeError(f"datasets.load: name must be a string, one of {', '.join(names())}; got {name!r}")
    if name in IMAGES:
        return IMAGES[name](data_dir, progress)
    if name in TOYS:
        return load_toy(name, seed=seed)
    nearest = difflib.get_close_matches(name.lower().replace("_", "-"), names(), n=1)
    suggestion = f" (did you mean {nearest[0]!r}?)" if nearest else ""
    raise NiceValueError(f"datasets.load: unknown name {name!r}{suggestion}; choose one of {', '.join(names())}")


def load_toy(name: str, *, seed: int = 0) -> Dataset:
    """Points from a density in the plane: 10,000 to train, 2,000 to validate, 5,000 to test.

    Each split is drawn with its own child of `seed` (``np.random.SeedSequence(seed).spawn(3)``), so the splits are
    independent and do not depend on each other's sizes.

    Parameters
    ----------
    name : str
        A key of `TOYS`.
    seed : int
        >= 0; the same seed gives the same points.

    Returns
    -------
    Dataset
        float64 points of shape (N, 2), no labels, `bin_width` 1.

    Raises
    ------
    NiceValueError, NiceTypeError
        For an unknown name or a bad seed.
    """
    name = as_choice(name, TOYS, "load_toy", "name")
    children = np.random.SeedSequence(as_int(seed, "load_toy", "seed", 0)).spawn(3)
    train, validation, test = (
        TOYS[name](n, np.random.default_rng(child)) for n, child in zip((10_000, 2_000, 5_000), children, strict=True)
    )
    return Dataset(name, train, validation, test, source=f"generated by nice_np.datasets.{TOYS[name].__name__}")
