"""Make nice_np/datasets/digits/digits.npz, the digits that ship with the package, from the original MNIST files.

    python scripts/make_digits.py FOLDER [--output digits.npz]

FOLDER contains the four IDX files; nice_np must be installed (pip install -e .).  The same input always gives the same
arrays, and with the same zlib the same bytes.
"""

from __future__ import annotations

import argparse
import io
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.datasets import Dataset, load_mnist

COUNTS = {"train": 10_000, "validation": 1_000, "test": 2_000}
OUTPUT = Path(__file__).resolve().parents[1] / "nice_np" / "datasets" / "digits" / "digits.npz"
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip member can have; np.savez would write the current time


def select(mnist: Dataset) -> dict[str, npt.NDArray[Any]]:
    """The first images and labels of each split, all uint8."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    for split, count in COUNTS.items():
        labels = mnist.labels(split)
        if labels is None:
            raise SystemExit(f"{mnist.name} has no labels")
        arrays[split] = mnist.split(split)[:count]
        arrays[f"{split}_labels"] = labels[:count]
    return arrays


def to_npz_bytes(arrays: dict[str, npt.NDArray[Any]]) -> bytes:
    """The format of np.savez_compressed, but at the highest compression level and without the time of day."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy", date_time=EPOCH)
            member.create_system = 3  # Unix, on every system
            member.external_attr = 0o644 << 16
            member.compress_type = zipfile.ZIP_DEFLATED
            content = io.BytesIO()
            np.save(content, array, allow_pickle=False)
            archive.writestr(member, content.getvalue(), compresslevel=9)
    return buffer.getvalue()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Make the digits that ship with nice_np from the MNIST files.")
    parser.add_argument("folder", type=Path, help="the folder with the four IDX files, or its parent")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="default: %(default)s")
    options = parser.parse_args(arguments)
    content = to_npz_bytes(select(load_mnist(options.folder)))
    temporary = options.output.with_suffix(".tmp")
    temporary.write_bytes(content)
    os.replace(temporary, options.output)
    print(f"{options.output}: {len(content)} bytes")


if __name__ == "__main__":
    main()
