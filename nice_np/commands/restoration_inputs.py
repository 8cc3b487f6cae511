"""What the commands inpaint and restore start from: a model of images, and images or measurements with their labels."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from nice_np.datasets.image_files import read_images
from nice_np.errors import NiceValueError
from nice_np.flows.conditional import one_hot
from nice_np.flows.flow import Flow
from nice_np.pixels.dequantize import BIN_WIDTH, dequantize
from nice_np.restoration.operators.base import as_image_shape
from nice_np.runs.folder import NOISE_SEED, as_density_input, label_context, load_data, load_run
from nice_np.validation import Array, as_float


@dataclass(frozen=True)
class ImageModel:
    """A flow of images, as a run folder or a model file has it.

    Attributes
    ----------
    path : path
    flow : Flow
    image_shape : (height, width) or (3, height, width)
    bin_width : float
        The unit of bits per dimension.
    metadata : dict
    """

    path: Path
    flow: Flow
    image_shape: tuple[int, ...]
    bin_width: float
    metadata: dict[str, Any]


@dataclass(frozen=True)
class Images:
    """Images as the flow sees them, or what was measured of them.

    Attributes
    ----------
    x : ndarray, shape (N, D)
    context : ndarray, shape (N, C), or None
        Their labels, for a flow that takes them.
    source : str
        A data set or a file.
    mean : ndarray, shape (D,), or None
        The mean training image, where they are of a data set.
    """

    x: Array
    context: Array | None
    source: str
    mean: Array | None = None


def open_model(path: Path) -> ImageModel:
    """Read a model of images; NiceValueError for one of anything else."""
    flow, metadata = load_run(path)
    if metadata.get("image_shape") is None:
        raise NiceValueError(f"{path} is no model of images, and only images can be restored; try one of mnist-small")
    shape = as_image_shape(metadata["image_shape"], f"{path}")
    if prod(shape) != flow.dim or (len(shape) == 3 and shape[0] != 3):
        raise NiceValueError(f"{path}: the flow has {flow.dim} features, which are no images of {shape}")
    bin_width = as_float(metadata.get("bin_width", BIN_WIDTH), f"{path}", "bin_width", above=0)
    return ImageModel(path, flow, shape, bin_width, metadata)


def images_of_test_set(model: ImageModel, n: int, label: int | None, data_dir: Path | None) -> Images:
    """The first `n` test images of what the model was trained on, with their own labels or all with one."""
    name = model.metadata.get("dataset")
    if name is None:
        raise NiceValueError(f"{model.path} does not say what it was trained on; give images with --images FILE")
    dataset = load_data(model.flow, name, data_dir, model.metadata.get("seed", 0))
    x = as_density_input(dataset.test[:n], NOISE_SEED, model.flow.dtype)
    if label is None:
        context = label_context(model.flow, dataset, "test")
        context = None if context is None else context[: len(x)]
    else:
        context = one_label(model.flow, label, len(x))
    mean = (dataset.train.mean(axis=0) + 0.5) * BIN_WIDTH  # of pixels in the middle of their bins
    return Images(x, context, f"{name} test", mean.astype(x.dtype))


def own_images(model: ImageModel, path: Path, n: int | None, label: int | None, hidden: Any = ()) -> Images:
    """The first `n` images of a file; what stands in the pixels `hidden` is not looked at.

    8-bit levels, and floats as levels / 255, get the noise of a bin that the flow was trained with (`dequantize`).
    """
    pixels = read_images(path, model.image_shape)[:n].copy()  # (N, D)
    pixels[:, hidden] = 0
    if pixels.dtype != np.uint8:
        _refuse(pixels, (pixels >= 0) & (pixels <= 1), path, "between 0, black, and 1, white")
    x = dequantize(pixels, NOISE_SEED, model.flow.dtype)
    return Images(x, one_label(model.flow, label, len(x)), str(path))


def own_measurements(model: ImageModel, path: Path, shape: tuple[int, ...], n: int | None, label: int | None) -> Images:
    """The first `n` rows of measurements in a file, (N, M); 8-bit levels become the middle of their bins."""
    y = read_images(path, shape)[:n]
    if y.dtype == np.uint8:
        y = (y + 0.5) * BIN_WIDTH
    limit = np.sqrt(np.finfo(model.flow.dtype).max)  # its square is a number still
    _refuse(y, np.abs(y) < limit, path, "a number within reason")
    return Images(y.astype(model.flow.dtype), one_label(model.flow, label, len(y)), str(path))


def one_label(flow: Flow, label: int | None, n: int) -> Array | None:
    """The context (n, C) of images that all have one label; None for a flow without labels.

    Raises
    ------
    NiceValueError
        If the flow takes labels and there is none, or the other way round, or it does not know this one.
    """
    classes = flow.context_dim
    if classes == 0:
        if label is not None:
            raise NiceValueError("this flow was trained without labels: leave out --label")
        return None
    if label is None:
        raise NiceValueError(f"this flow was trained with labels: say with --label 0 .. {classes - 1} what is shown")
    if label >= classes:
        raise NiceValueError(f"the flow knows the labels 0 .. {classes - 1}, not {label}")
    return one_hot(np.full(n, label), classes, flow.dtype)


def _refuse(rows: Array, fine: Any, path: Path, expected: str) -> None:
    if not fine.all():
        row, column = np.argwhere(~fine)[0]
        raise NiceValueError(f"{path}: expected {expected}, got {rows[row, column]} in row {row}, column {column}")
