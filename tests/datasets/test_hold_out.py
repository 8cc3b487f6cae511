"""Which part of an official training file is held out for validation."""

from pathlib import Path

import numpy as np
import pytest

from nice_np.datasets.base import hold_out_last_tenth
from nice_np.errors import DatasetError


def split(n_train, n_test, whole=(0, 0)):
    """Each sample is its own index, each label ten times that."""
    train, test = (np.arange(n, dtype=np.uint8).reshape(-1, 1) for n in (n_train, n_test))
    return hold_out_last_tenth(
        "numbers",
        (train, 10 * train.ravel().astype(int)),
        (test, 10 * test.ravel().astype(int)),
        whole=whole,
        image_shape=(1, 1),
        source="made here",
        path=Path("folder") / "file",
    )


@pytest.mark.parametrize(("n_train", "kept"), [(10, 9), (19, 18), (20, 18), (200, 180)])
def test_the_last_tenth_is_for_validation(n_train, kept):
    data = split(n_train, 3)
    assert data.train.ravel().tolist() == list(range(kept))
    assert data.validation.ravel().tolist() == list(range(kept, n_train))
    assert data.test.ravel().tolist() == [0, 1, 2]
    for name in ("train", "validation", "test"):
        assert data.labels(name).tolist() == [10 * int(number) for number in data.split(name).ravel()]
    assert (data.name, data.image_shape, data.bin_width) == ("numbers", (1, 1), 1 / 256)


def test_the_whole_is_called_whole_and_a_part_a_part():
    assert split(20, 3, whole=(20, 3)).source == "made here"
    for n_train, n_test in ((19, 3), (20, 2), (21, 3)):
        assert split(n_train, n_test, whole=(20, 3)).source == (
            f"made here; not the whole: {n_train} of 20 training images, {n_test} of 3 test images"
        )


@pytest.mark.parametrize(("n_train", "n_test"), [(9, 1), (0, 1), (10, 0)])
def test_too_few(n_train, n_test):
    with pytest.raises(DatasetError, match=f"file: .*10 training .* 1 test image, found {n_train} and {n_test}"):
        split(n_train, n_test)
