"""MNIST from files, from the cache, and the part that comes with the package."""

import gzip
import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from nice_np import datasets
from nice_np.datasets import load_digits, load_mnist, mnist
from nice_np.datasets.files import ENVIRONMENT_VARIABLE
from nice_np.datasets.idx import to_idx_bytes
from nice_np.errors import DatasetError

FOLDER = os.environ.get("NICE_NP_DATA")
needs_mnist = pytest.mark.skipif(
    not FOLDER, reason="the original MNIST files are not at hand; set NICE_NP_DATA to their folder"
)
pytestmark = pytest.mark.usefixtures("offline")  # each test says where its files are
TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = FILES = tuple(mnist.CONTENTS)


def write_fake(folder, **changes):
    """Four files of zeros with MNIST's names and sizes; `changes` replaces some, None leaves one out."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (shape, _) in mnist.CONTENTS.items():
        key = name.replace("-", "_").rsplit("_", 2)[0]
        array = changes.get(key, np.zeros(shape, np.uint8))
        if array is not None:
            (folder / f"{name}.gz").write_bytes(gzip.compress(to_idx_bytes(array), 1))
    return folder


# --- the embedded digits ----------------------------------------------------------------------------------------------


def test_embedded_digits():
    data = load_digits()
    assert (data.name, data.n_train, data.n_validation, data.n_test) == ("mnist-small", 10_000, 1_000, 2_000)
    assert (data.dim, data.image_shape, data.bin_width) == (784, (28, 28), 1 / 256)
    assert "CC BY-SA 3.0" in data.source
    for split in ("train", "validation", "test"):
        images, labels = data.split(split), data.labels(split)
        assert images.dtype == labels.dtype == np.uint8
        assert (images.min(), images.max()) == (0, 255)
        assert set(labels) == set(range(10))
    assert data.train_labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]  # MNIST's well-known first digits
    assert data.test_labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


def test_embedded_images_match_their_labels():
    """Upright and in the order of the labels: the nearest class mean is right for three of four test digits."""
    data = load_digits()
    means = np.stack([data.train[data.train_labels == digit].mean(axis=0) for digit in range(10)])  # (10, 784)
    test = data.test.astype(float)
    squared = (test**2).sum(axis=1)[:, None] - 2 * test @ means.T + (means**2).sum(axis=1)  # (2000, 10)
    assert np.mean(squared.argmin(axis=1) == data.test_labels) > 0.75
    one = data.train[data.train_labels == 1].mean(axis=0).reshape(data.image_shape)
    assert np.ptp(np.nonzero(one.sum(axis=1) > 100)[0]) > np.ptp(np.nonzero(one.sum(axis=0) > 400)[0])  # a 1 is tall


def test_no_digit_is_in_two_splits():
    data = load_digits()
    rows = np.concatenate([data.train, data.validation, data.test])
    assert len(np.unique(rows, axis=0)) == 13_000


def test_licence_and_size_of_the_embedded_digits():
    folder = Path(mnist.__file__).parent / "digits"
    licence = (folder / "LICENSE.md").read_text(encoding="utf-8")
    for word in ("LeCun", "Cortes", "Burges", "CC BY-SA 3.0", "creativecommons.org", "make_digits.py"):
        assert word in licence
    assert (folder / "digits.npz").stat().st_size < 3_000_000


@pytest.mark.parametrize("content", [b"", b"PK", b"\x80\x04K\x01.", None])
def test_damaged_installation(monkeypatch, tmp_path, content):
    (tmp_path / "digits").mkdir()
    if content is not None:
        (tmp_path / "digits" / "digits.npz").write_bytes(content)
    monkeypatch.setattr("importlib.resources.files", lambda package: tmp_path)
    with pytest.raises(DatasetError, match=r"digits\.npz.*install nice_np again"):
        load_digits()


@needs_mnist
def test_embedded_digits_are_the_originals():
    data, whole = load_digits(), load_mnist(FOLDER)
    for split in ("train", "validation", "test"):
        count = len(data.split(split))
        np.testing.assert_array_equal(data.split(split), whole.split(split)[:count])
        np.testing.assert_array_equal(data.labels(split), whole.labels(split)[:count])


@needs_mnist
@pytest.mark.slow
def test_script_makes_the_embedded_digits(tmp_path):
    import subprocess
    import sys

    script = Path(__file__).parents[2] / "scripts" / "make_digits.py"
    if not script.exists():
        pytest.skip("scripts/ is not here: an installed copy is being tested")
    output = tmp_path / "digits.npz"
    environment = {**os.environ, "PYTHONPATH": str(Path(mnist.__file__).parents[2])}
    subprocess.run([sys.executable, str(script), FOLDER, "--output", str(output)], check=True, env=environment)
    assert os.listdir(tmp_path) == ["digits.npz"]
    data = load_digits()
    with np.load(output, allow_pickle=False) as archive:
        assert len(archive) == 6
        for split in ("train", "validation", "test"):
            np.testing.assert_array_equal(archive[split], data.split(split), strict=True)
            np.testing.assert_array_equal(archive[f"{split}_labels"], data.labels(split), strict=True)


# --- the four files ---------------------------------------------------------------------------------------------------


@needs_mnist
def test_whole_mnist():
    data = datasets.load("mnist", data_dir=FOLDER)
    assert (data.name, data.n_train, data.n_validation, data.n_test) == ("mnist", 50_000, 10_000, 10_000)
    assert (data.dim, data.image_shape, data.bin_width) == (784, (28, 28), 1 / 256)
    assert data.train_labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert data.validation_labels[:5].tolist() == [3, 8, 6, 9, 6]
    assert data.validation_labels[-3:].tolist() == [5, 6, 8]  # the end of the training file
    assert data.test_labels[:5].tolist() == [7, 2, 1, 0, 4]


@needs_mnist
def test_environment_variable_and_unzipped_files(monkeypatch, tmp_path):
    subfolder = Path(FOLDER) / "mnist"
    for name in FILES:
        archive = (subfolder if subfolder.is_dir() else Path(FOLDER)) / f"{name}.gz"
        if archive.exists():
            with gzip.open(archive) as source, open(tmp_path / name, "wb") as target:
                shutil.copyfileobj(source, target)
        else:
            shutil.copy(archive.with_suffix(""), tmp_path / name)
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(tmp_path))
    assert load_mnist().n_train == 50_000


def test_argument_comes_before_environment(monkeypatch, tmp_path):
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(tmp_path / "environment"))
    with pytest.raises(DatasetError) as caught:
        load_mnist(tmp_path / "argument")
    assert "environment" not in str(caught.value).replace(str(tmp_path / "argument"), "")


@pytest.mark.parametrize("subfolder", ["", "mnist"])
def test_other_data_of_the_same_format_are_refused(tmp_path, subfolder):
    write_fake(tmp_path / subfolder)
    with pytest.raises(DatasetError, match=r"train-images.*not MNIST.*Fashion-MNIST.*6bbc9ace898e44ae57da46a324031adb"):
        load_mnist(tmp_path)


def test_wrong_count_and_size_are_refused(tmp_path):
    for shape in ((59_999, 28, 28), (60_000, 28), (10, 32, 32)):
        folder = write_fake(tmp_path, train_images=np.zeros(shape, np.uint8))
        with pytest.raises(DatasetError, match=r"train-images.*expected .*\(60000, 28, 28\), found") as caught:
            load_mnist(folder)
        assert str(shape) in str(caught.value)


def test_damaged_file_is_refused(tmp_path):
    folder = write_fake(tmp_path)
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DatasetError, match=r"train-images.*truncated"):
        load_mnist(folder)


def accept_zeros(monkeypatch, *names):
    """Let files of zeros pass as MNIST's, so that a test reaches what is checked after them."""
    for name in names:
        shape, _ = mnist.CONTENTS[name]
        md5 = hashlib.md5(to_idx_bytes(np.zeros(shape, np.uint8))).hexdigest()
        monkeypatch.setitem(mnist.CONTENTS, name, (shape, md5))


def test_label_out_of_range_is_refused(monkeypatch, tmp_path):
    accept_zeros(monkeypatch, TRAIN_IMAGES)
    labels = np.zeros(60_000, np.uint8)
    labels[1234] = 10
    with pytest.raises(DatasetError, match=r"train-labels.*from 0 to 9, found 10 at position 1234"):
        load_mnist(write_fake(tmp_path, train_labels=labels))


def test_labels_and_images_must_agree_in_number(monkeypatch, tmp_path):
    accept_zeros(monkeypatch, TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES)
    with pytest.raises(DatasetError, match=r"t10k-labels.*expected .*\(10000,\), found \(9999,\)"):
        load_mnist(write_fake(tmp_path, t10k_labels=np.zeros(9_999, np.uint8)))


def test_one_file_missing(monkeypatch, tmp_path):
    accept_zeros(monkeypatch, TRAIN_IMAGES, TRAIN_LABELS)
    with pytest.raises(DatasetError, match="no t10k-images"):
        load_mnist(write_fake(tmp_path, t10k_images=None))


def test_split_takes_the_last_10000_for_validation(monkeypatch, tmp_path):
    accept_zeros(monkeypatch, TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)
    data = load_mnist(write_fake(tmp_path))
    assert (data.n_train, data.n_validation, data.n_test) == (50_000, 10_000, 10_000)
    assert np.shares_memory(data.train[-1:], data.train.base)
    start = data.validation.__array_interface__["data"][0] - data.train.__array_interface__["data"][0]
    assert start == 50_000 * 784


# --- the cache --------------------------------------------------------------------------------------------------------


def test_filled_cache_without_network(monkeypatch, tmp_path):
    accept_zeros(monkeypatch, *FILES)
    cache = write_fake(tmp_path / "cache" / "nice_np" / "mnist")
    for name in FILES:
        content = (cache / f"{name}.gz").read_bytes()
        monkeypatch.setitem(mnist.ARCHIVES, name, (hashlib.sha256(content).hexdigest(), len(content)))
    assert load_mnist().n_test == 10_000
