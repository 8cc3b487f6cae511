"""What general compressors make of the 10,000 test digits of MNIST, in bits a pixel, beside an integer flow.

    NICE_NP_DATA=DIR python scripts/compressors.py > table.md

zlib, bz2 and LZMA get the raw pixels of all digits as one stream, each at its best level.  PNG has one file a digit,
optimised, since it is made for single images; what its files have in common is paid for every time.
"""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image

from nice_np.datasets import load

Pixels = npt.NDArray[np.uint8]


def one_stream(compress: Callable[[bytes], bytes]) -> Callable[[Pixels], int]:
    """The number of bytes that a compressor needs for all images (N, h, w) in a row."""
    return lambda images: len(compress(images.tobytes()))


def png(images: Pixels) -> int:
    """The bytes of one optimised PNG file for each image (N, h, w)."""
    total = 0
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image).save(file, format="PNG", optimize=True)
        total += len(file.getvalue())
    return total


COMPRESSORS: dict[str, Callable[[Pixels], int]] = {
    "PNG, a file a digit": png,
    "zlib": one_stream(lambda data: zlib.compress(data, 9)),
    "bz2": one_stream(lambda data: bz2.compress(data, 9)),
    "LZMA": one_stream(lambda data: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)),
}


def bits_per_pixel(images: Pixels) -> dict[str, tuple[int, float]]:
    """By compressor: bytes, and bits a pixel, for images (N, h, w)."""
    sizes = {name: size(images) for name, size in COMPRESSORS.items()}
    return {name: (size, 8 * size / images.size) for name, size in sizes.items()}


if __name__ == "__main__":
    digits = load("mnist").test.reshape(-1, 28, 28)
    print("| | bytes | bits a pixel |\n|---|---|---|")
    for name, (size, bits) in bits_per_pixel(digits).items():
        print(f"| {name} | {size:,} | {bits:.3f} |")
