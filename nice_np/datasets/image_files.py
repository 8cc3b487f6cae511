"""A user's own images and masks, from .npy and .png files."""

from __future__ import annotations

from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.datasets.base import times
from nice_np.datasets.files import open_file
from nice_np.errors import NiceFileError, NiceValueError
from nice_np.validation import is_pixels

MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")  # Pillow's, with at most 8 bits per channel

Pixels = npt.NDArray[Any]


def read_images(path: Path, shape: tuple[int, ...]) -> Pixels:
    """Images of one shape, or measurements of them, as rows.

    Parameters
    ----------
    path : path
        .npy: floats or uint8 of shape (N, D), (N, *shape), (D,) or `shape`, also with NaN.  .png: one image; if `shape`
        has three planes, a grey one is repeated.
    shape : (H, W), (3, H, W) or, for .npy only, (D,)

    Returns
    -------
    ndarray of uint8 or float64, shape (N, D), N >= 1

    Raises
    ------
    DatasetError, NiceFileError
        If the file is missing, damaged or of another kind; names it.
    NiceValueError
        If the images have another shape, number type or depth, or are in colour and `shape` is grey.
    """
    if path.suffix.lower() == ".npy":
        return _as_rows(read_npy(path), shape, path)
    if len(shape) < 2:
        raise NiceValueError(f"{path}: these measurements are not an image; give them as a .npy file")
    planes = _read_png(path, *shape[-2:])  # (H, W, C)
    if len(shape) == 3:
        return np.moveaxis(np.broadcast_to(planes, (*planes.shape[:2], 3)), 2, 0).reshape(1, -1)
    if (planes != planes[..., :1]).any():
        raise NiceValueError(f"{path} is in colour, but the model expects grey images; convert it to grey first")
    return planes[..., 0].reshape(1, -1)


def read_mask(path: Path, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """A mask of the images' `shape` from a .png: False (missing) where it is black, True elsewhere.

    Raises as `read_images` does, and NiceValueError if no pixel is black, or every one.
    """
    observed = np.asarray((_read_png(path, *shape[-2:]) > 0).any(axis=2))  # (H, W)
    if observed.all() or not observed.any():
        found = "no" if observed.all() else "every"
        raise NiceValueError(
            f"{path}: {found} pixel is black; black marks the missing pixels, any other colour the observed ones"
        )
    return np.broadcast_to(observed, shape)


def _content(path: Path) -> BytesIO:
    with open_file(path, f"a {path.suffix} file") as file:
        return BytesIO(file.read())


def read_npy(path: Path) -> Pixels:
    """The array of a .npy file, of any shape; NiceFileError for another file."""
    file = _content(path)
    try:
        array: Pixels = np.lib.format.read_array(file, allow_pickle=False)
    except Exception as error:  # of many types: NumPy reads the header with Python's tokenizer and parser
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise NiceFileError(f"{path} is not a complete .npy file of numbers: {reason:.200}") from None
    return array


def _as_rows(array: Pixels, shape: tuple[int, ...], path: Path) -> Pixels:
    dim = prod(shape)
    single = array.shape in (shape, (dim,))
    if not single and (array.shape[1:] not in (shape, (dim,)) or len(array) == 0):
        raise NiceValueError(f"{path}: expected N >= 1 rows of {dim} numbers, or {times(shape)}; got {array.shape}")
    if not is_pixels(array) and array.dtype.kind != "f":
        raise NiceValueError(f"{path}: expected floats, 0 black and 1 white, or uint8; got {array.dtype}")
    rows = array.reshape(-1, dim)
    return rows if is_pixels(array) else rows.astype(np.float64)


def _read_png(path: Path, height: int, width: int) -> Pixels:
    """(H, W, C) uint8, C = 1 for grey and 3 for colour."""
    from PIL import Image

    file = _content(path)
    try:
        Image.open(file, formats=["PNG"]).verify()  # every checksum; otherwise damaged pixels could pass
        with Image.open(file, formats=["PNG"]) as image:
            if image.size != (width, height):  # before the pixels are decompressed
                found = " x ".join(map(str, image.size))
                raise NiceValueError(f"{path}: expected {width} x {height} pixels (across, down), got {found}")
            if image.mode not in MODES:
                raise NiceValueError(f"{path}: expected 8 bits per channel, got Pillow's mode {image.mode}")
            has_alpha = image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info
            if has_alpha and np.asarray(image.convert("RGBA"))[..., 3].min() < 255:
                raise NiceValueError(f"{path} has transparent pixels; save it without transparency")
            grey = image.mode in ("1", "L", "LA")
            pixels: Pixels = np.asarray(image.convert("L" if grey else "RGB"))
    except NiceValueError:
        raise
    except Exception:  # of many types: damaged bytes can make Pillow raise anything
        raise NiceFileError(f"{path} is not a complete PNG image") from None
    return pixels.reshape(height, width, -1)
