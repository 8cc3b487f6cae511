"""SVHN from its two files."""

import dataclasses
import hashlib

import numpy as np
import pytest
import scipy.io
from damage import assert_same, memory_below, mutations, survivors

from nice_np import datasets
from nice_np.datasets import load_svhn, svhn
from nice_np.datasets.files import ENVIRONMENT_VARIABLE
from nice_np.datasets.svhn import TEST_FILE, TRAIN_FILE
from nice_np.errors import DatasetError

pytestmark = pytest.mark.usefixtures("offline")


def write(path, pictures, digits, do_compression=True, dtype=np.uint8):
    """Images (N, 32, 32, 3), rows first, and digits 0..9 as SVHN stores them: 10 is the digit 0."""
    path.parent.mkdir(parents=True, exist_ok=True)
    variables = {
        "X": np.stack(list(pictures), axis=-1).astype(dtype),  # (32, 32, 3, N)
        "y": np.where(digits == 0, 10, digits).reshape(-1, 1).astype(dtype),
    }
    scipy.io.savemat(path, variables, do_compression=do_compression)


def rejected(folder, message):
    with pytest.raises(DatasetError, match=message) as caught:
        load_svhn(folder)
    assert str(folder) in str(caught.value)


@pytest.fixture
def pictures(rng):
    return rng.integers(256, size=(23, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path, pictures):
    """20 images for training and validation, 3 for testing; digits 0, 1, 2, ..."""
    digits = np.arange(23) % 10
    write(tmp_path / "data" / TRAIN_FILE.name, pictures[:20], digits[:20])
    write(tmp_path / "data" / TEST_FILE.name, pictures[20:], digits[20:])
    return tmp_path / "data"


# --- the files --------------------------------------------------------------------------------------------------------


def test_files_splits_and_labels(folder, pictures):
    data = datasets.load("svhn", data_dir=folder)
    assert (data.name, data.image_shape, data.bin_width) == ("svhn", (3, 32, 32), 1 / 256)
    rows = np.stack([[picture[:, :, colour] for colour in range(3)] for picture in pictures]).reshape(23, 3072)
    np.testing.assert_array_equal(data.train, rows[:18], strict=True)
    np.testing.assert_array_equal(data.validation, rows[18:20], strict=True)  # the last tenth of the training file
    np.testing.assert_array_equal(data.test, rows[20:], strict=True)
    assert data.train_labels.tolist() == [*range(10), *range(8)]
    assert data.validation_labels.tolist() == [8, 9]
    assert data.test_labels.tolist() == [0, 1, 2]
    assert "non-commercial" in data.source
    assert "not the whole: 20 of 73257 training images, 3 of 26032 test images" in data.source


def test_images_are_upright_and_red_comes_first(tmp_path):
    pictures = np.zeros((10, 32, 32, 3), np.uint8)
    pictures[:, 0, :, 0] = 200  # the top row is red
    pictures[:, :, 31, 2] = 100  # the right column is blue
    for file in (TRAIN_FILE, TEST_FILE):
        write(tmp_path / file.name, pictures, np.arange(10))
    data = load_svhn(tmp_path)
    red, green, blue = data.test[0].reshape(data.image_shape)
    assert (red[0] == 200).all()
    assert not red[1:].any()
    assert not green.any()
    assert (blue[:, 31] == 100).all()
    assert not blue[:, :31].any()


@pytest.mark.parametrize("do_compression", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_every_way_to_store_the_numbers(folder, tmp_path, pictures, do_compression, dtype):
    digits = np.arange(23) % 10
    write(tmp_path / TRAIN_FILE.name, pictures[:20], digits[:20], do_compression, dtype)
    write(tmp_path / TEST_FILE.name, pictures[20:], digits[20:], do_compression, dtype)
    assert_same(load_svhn(tmp_path), load_svhn(folder))


def test_subfolder_and_environment(monkeypatch, tmp_path, folder):
    folder.rename(tmp_path / "svhn")
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(tmp_path))
    assert_same(load_svhn(), load_svhn(tmp_path / "svhn"))


def test_one_image_needs_its_axis(folder, pictures):
    write(folder / TEST_FILE.name, pictures[:1], np.array([5]))
    assert load_svhn(folder).test_labels.tolist() == [5]
    scipy.io.savemat(folder / TEST_FILE.name, {"X": pictures[0], "y": np.array([[5]])})
    rejected(folder, r"test_32x32\.mat: variable X: expected the shape \(32, 32, 3, 1 or more\), found \(32, 32, 3\)")


# --- what is not SVHN -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("through", ["argument", "environment"])
@pytest.mark.parametrize("missing", [TRAIN_FILE.name, TEST_FILE.name])
def test_file_not_there(monkeypatch, folder, through, missing):
    (folder / missing).unlink()
    if through == "environment":
        monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(folder))
    with pytest.raises(DatasetError, match=f"no {missing} in") as caught:
        load_svhn(folder if through == "argument" else None)
    for part in (str(folder), str(folder / "svhn"), "put the two files there", f"unset {ENVIRONMENT_VARIABLE}"):
        assert part in str(caught.value)


@pytest.mark.parametrize("file", [TRAIN_FILE.name, TEST_FILE.name])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"X": None}, "expected the variables X, y, found no X"),
        ({"y": None}, "expected the variables X, y, found no y"),
        ({"X": np.zeros((12, 32, 32, 3))}, r"variable X: expected the shape \(32, 32, 3, 1 or more\), found \(12, 32"),
        ({"X": np.zeros((32, 32, 3, 11))}, "expected as many labels as images, found 12 and 11"),
        ({"X": np.full((32, 32, 3, 12), 0.5)}, "variable X: expected whole numbers from 0 to 255, found 0.5"),
        ({"X": np.full((32, 32, 3, 12), np.nan)}, "found nan"),
        ({"X": np.full((32, 32, 3, 12), -1)}, "found -1"),
        ({"X": np.full((32, 32, 3, 12), 256)}, "found 256"),
        ({"y": np.ones((1, 12))}, r"variable y: expected the shape \(1 or more, 1\), found \(1, 12\)"),
        ({"y": np.zeros((12, 1))}, r"variable y: expected whole numbers from 1 to 10, found 0\.0 at \(0, 0\)"),
        ({"y": np.full((12, 1), 11)}, "from 1 to 10, found 11"),
        ({"y": np.full((12, 1), 1.5)}, "from 1 to 10, found 1.5"),
    ],
)
def test_variables_that_are_not_as_expected(folder, file, changes, message):
    variables = {"X": np.zeros((32, 32, 3, 12), np.uint8), "y": np.ones((12, 1)), **changes}
    scipy.io.savemat(folder / file, {name: array for name, array in variables.items() if array is not None})
    rejected(folder, rf"{file}: .*{message}")


def test_too_few_images(folder, pictures):
    write(folder / TRAIN_FILE.name, pictures[:9], np.arange(9))
    rejected(folder, "at least 10 training images and 1 test image, found 9 and 3")


@pytest.mark.parametrize("content", [b"", b"<html>404</html>" * 100])
def test_not_a_matlab_file(folder, content):
    (folder / TRAIN_FILE.name).write_bytes(content)
    rejected(folder, r"train_32x32\.mat: not a file of MATLAB 5 to 7")


def test_mutated_file_is_refused_or_read_as_it_was(folder, rng):
    """Compressed like the original: zlib's checksum catches every change of the content."""
    path, expected = folder / TEST_FILE.name, load_svhn(folder)
    content = path.read_bytes()
    mutants = [*mutations(content, rng, 100), *(head + content[250:] for head in mutations(content[:250], rng, 100))]
    accepted = 0
    for data in survivors(lambda: load_svhn(folder), path, mutants):
        accepted += 1
        assert_same(data, expected)
    assert 0 < accepted < 100


def test_mutated_plain_file(folder, pictures, rng):
    """Without a checksum pixels may change, but not the shape or the range of the digits."""
    path = folder / TEST_FILE.name
    write(path, pictures[20:], np.arange(3), do_compression=False)
    content = path.read_bytes()
    mutants = [*mutations(content, rng, 100), *(head + content[250:] for head in mutations(content[:250], rng, 100))]
    accepted = 0
    for data in survivors(lambda: load_svhn(folder), path, mutants):
        accepted += 1
        assert (data.test.shape, data.test.dtype) == ((3, 3072), np.uint8)
        assert data.test_labels.max() <= 9
    assert 0 < accepted < 150


def test_absurd_sizes_are_refused_before_anything_is_allocated(folder):
    path = folder / TRAIN_FILE.name
    scipy.io.savemat(path, {"X": np.zeros((32, 32, 3, 12), np.uint8), "y": np.ones((12, 1))})
    content = bytearray(path.read_bytes())
    axes = content.index(np.array([32, 32, 3, 12], "<i4").tobytes())
    content[axes : axes + 16] = np.array([32, 32, 3, 2**31 - 1], "<i4").tobytes()
    path.write_bytes(content)
    with memory_below(1_000_000):
        rejected(folder, r"variable X: expected 6597069763584 bytes .*at most 268435456\), found 36864")


# --- the cache --------------------------------------------------------------------------------------------------------


def test_filled_cache_without_network(monkeypatch, tmp_path, folder):
    cache = tmp_path / "cache" / "nice_np" / "svhn"
    cache.parent.mkdir(parents=True)
    folder.rename(cache)
    for name in ("TRAIN_FILE", "TEST_FILE"):
        file = getattr(svhn, name)
        sha256 = hashlib.sha256((cache / file.name).read_bytes()).hexdigest()
        monkeypatch.setattr(svhn, name, dataclasses.replace(file, sha256=sha256))
    assert load_svhn().n_train == 18
    (cache / TEST_FILE.name).unlink()
    with pytest.raises(DatasetError, match=r"cannot download test_32x32\.mat"):
        load_svhn()
