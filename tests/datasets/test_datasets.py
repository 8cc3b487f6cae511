"""Dataset, load and names."""

import importlib.util
import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from nice_np import datasets
from nice_np.datasets import (
    Dataset,
    cifar10,
    faces,
    load_cifar10,
    load_faces,
    load_mnist,
    load_svhn,
    load_tfd,
    mnist,
    svhn,
    tfd,
)
from nice_np.datasets.files import ENVIRONMENT_VARIABLE
from nice_np.errors import DatasetError, NiceError, NiceTypeError, NiceValueError

TOY_NAMES = (
    "two-moons",
    "two-circles",
    "rings",
    "checkerboard",
    "eight-gaussians",
    "pinwheel",
    "two-spirals",
    "swiss-roll",
    "grid",
)


def make_dataset(**changes):
    arguments = {
        "name": "tiny",
        "train": np.zeros((5, 6), np.uint8),
        "validation": np.zeros((2, 6), np.uint8),
        "test": np.ones((3, 6), np.uint8),
        "train_labels": np.arange(5),
        "validation_labels": np.arange(2),
        "test_labels": np.arange(3),
        "image_shape": (2, 3),
        "bin_width": 1 / 256,
        "source": "made here",
    }
    return Dataset(**{**arguments, **changes})


def test_dataset_gives_its_parts():
    data = make_dataset()
    assert (data.dim, data.n_train, data.n_validation, data.n_test) == (6, 5, 2, 3)
    assert data.split("test") is data.test
    assert data.labels("validation") is data.validation_labels
    assert repr(data) == ("Dataset('tiny', 5 train + 2 validation + 3 test, dim=6, uint8, 2 x 3 images, labels)")


def test_dataset_cannot_be_changed():
    with pytest.raises(AttributeError):
        make_dataset().train = np.zeros((1, 6))


def test_unlabelled_dataset_has_no_labels():
    data = make_dataset(train_labels=None, validation_labels=None, test_labels=None)
    assert data.labels("train") is None
    assert "labels" not in repr(data)


@pytest.mark.parametrize("method", ["split", "labels"])
def test_unknown_split(method):
    with pytest.raises(NiceValueError, match="train, validation, test"):
        getattr(make_dataset(), method)("tset")
    with pytest.raises(NiceTypeError):
        getattr(make_dataset(), method)(0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": np.zeros(6)}, r"expected train of shape \(N, D\), got \(6,\)"),
        ({"test": np.zeros((3, 7))}, "test has 7 features, train has 6"),
        ({"validation": np.zeros((2, 6), complex)}, "validation is complex"),
        ({"validation": np.full((2, 6), "a")}, "validation has dtype"),
        ({"test_labels": np.arange(4)}, r"expected test_labels of shape \(3,\), got \(4,\)"),
        ({"train_labels": np.zeros(5)}, "train_labels must be integers"),
        ({"image_shape": (2, 4)}, "image_shape 2 x 4 does not have 6 pixels"),
        ({"image_shape": 6}, "image_shape must be a sequence of whole numbers"),
        ({"image_shape": (-2, -3)}, "every entry of image_shape must be >= 1, got -2"),
        ({"bin_width": 0.0}, "bin_width"),
        ({"bin_width": float("nan")}, "bin_width"),
    ],
)
def test_parts_that_do_not_belong_together(changes, message):
    with pytest.raises(NiceError, match=message) as caught:
        make_dataset(**changes)
    assert "'tiny'" in str(caught.value)


def test_names_are_complete():
    assert datasets.names() == ("mnist-small", "mnist", "cifar10", "svhn", "tfd", "faces", *TOY_NAMES)


@pytest.mark.parametrize("name", TOY_NAMES)
def test_load_toy(name):
    data = datasets.load(name)
    assert (data.name, data.dim, data.bin_width, data.image_shape) == (name, 2, 1.0, None)
    assert (data.n_train, data.n_validation, data.n_test) == (10_000, 2_000, 5_000)
    assert data.train.dtype == np.float64
    assert data.train_labels is None
    assert name.replace("-", "_") in data.source


def test_toy_depends_on_its_seed_alone():
    first, again = datasets.load("pinwheel"), datasets.load("pinwheel", seed=0)
    other = datasets.load("pinwheel", seed=1)
    np.testing.assert_array_equal(first.test, again.test)
    assert not np.isin(first.test, other.test).any()


def test_splits_of_a_toy_are_independent():
    data = datasets.load("two-moons")
    rows = np.concatenate([data.train, data.validation, data.test])
    assert len(np.unique(rows, axis=0)) == 17_000
    # With a shared seed the first 2,000 points of all splits would be in the same octants, by chance one in eight is.
    data = datasets.load("eight-gaussians")
    octants = [np.arctan2(x[:2000, 1], x[:2000, 0]).round(0) for x in (data.train, data.validation, data.test)]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert np.mean(octants[one] == octants[other]) < 0.3


@pytest.mark.parametrize(
    ("name", "nearest"), [("two_moon", "two-moons"), ("mnits", "mnist"), ("Pinwheels", "pinwheel")]
)
def test_unknown_name_suggests_the_nearest(name, nearest):
    with pytest.raises(NiceValueError, match=f"did you mean '{nearest}'") as caught:
        datasets.load(name)
    assert all(known in str(caught.value) for known in datasets.names())


def test_unknown_name_without_a_neighbour():
    with pytest.raises(NiceValueError, match=r"unknown name 'q'; choose one of mnist-small, mnist"):
        datasets.load("q")


@pytest.mark.parametrize("name", [None, 3, ["mnist"]])
def test_name_must_be_a_string(name):
    with pytest.raises(NiceTypeError, match="mnist-small"):
        datasets.load(name)
    with pytest.raises(NiceTypeError):
        datasets.load_toy(name)


@pytest.mark.parametrize(("seed", "error"), [(-1, NiceValueError), (0.5, NiceTypeError), ("0", NiceTypeError)])
def test_bad_seed(seed, error):
    with pytest.raises(error, match="seed"):
        datasets.load("grid", seed=seed)


def test_import_is_light():
    code = (
        "import sys, nice_np.datasets\n"
        "print(sorted({'pooch', 'requests', 'urllib3', 'tqdm', 'matplotlib', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- without the packages for downloads -------------------------------------------------------------------------------

BLOCKED = "import sys; sys.modules.update(dict.fromkeys(['pooch', 'requests', 'urllib3']))\n"


def without_downloads(code, *words):
    """What `code` prints in a process in which the packages of the extra [download] cannot be imported."""
    environment = {name: value for name, value in os.environ.items() if name != ENVIRONMENT_VARIABLE}
    command = [sys.executable, "-c", BLOCKED + code, *map(str, words)]
    child = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert child.returncode == 0, child.stderr
    return child.stdout.strip()


def test_what_needs_no_download_needs_none_of_its_packages():
    code = (
        "from nice_np import datasets\n"
        "print(*(datasets.load(name).n_train for name in ('mnist-small', *datasets.TOYS)))"
    )
    assert without_downloads(code) == " ".join(["10000"] * (1 + len(TOY_NAMES)))


@pytest.mark.slow
def test_the_demo_needs_none_of_them(tmp_path):
    code = "from nice_np.cli import main\nassert main(sys.argv[1:]) == 0"
    assert "bits/dim" in without_downloads(code, "demo", "--time-limit", 1, "--out", tmp_path / "demo", "--quiet")


@pytest.mark.parametrize("name", ["mnist", "cifar10", "svhn", "faces"])
def test_what_needs_a_download_says_how_to_get_the_packages(name):
    code = (
        "from nice_np import NiceImportError, datasets\n"
        "try:\n"
        "    datasets.load(sys.argv[1])\n"
        "except NiceImportError as error:\n"
        "    print(error)"
    )
    message = without_downloads(code, name)
    for part in (f"data set {name} ", 'pip install "nice-np[download]"', "data_dir", ENVIRONMENT_VARIABLE):
        assert part in message


def test_a_folder_with_the_files_works_without_them(tmp_path):
    (tmp_path / cifar10.TRAIN_FILES[0]).write_bytes(bytes(10 * cifar10.RECORD))
    (tmp_path / cifar10.TEST_FILE).write_bytes(bytes(cifar10.RECORD))
    code = "from nice_np import datasets\nprint(datasets.load('cifar10', data_dir=sys.argv[1]).n_train)"
    assert without_downloads(code, tmp_path) == "9"


# --- scripts/make_digits.py -------------------------------------------------------------------------------------------


@pytest.fixture
def make_digits():
    path = Path(__file__).parents[2] / "scripts" / "make_digits.py"
    if not path.exists():
        pytest.skip("scripts/ is not here: an installed copy is being tested")
    spec = importlib.util.spec_from_file_location("make_digits", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_make_digits_selects_the_first_of_each_split(make_digits):
    numbers = np.arange(20_000)
    images = np.stack([numbers // 256, numbers % 256], axis=1).astype(np.uint8)  # each row encodes its number
    labels = (numbers % 10).astype(np.uint8)
    data = Dataset("numbers", images, images[5000:], images[9000:], labels, labels[5000:], labels[9000:])
    arrays = make_digits.select(data)
    for split, start, count in (("train", 0, 10_000), ("validation", 5000, 1_000), ("test", 9000, 2_000)):
        np.testing.assert_array_equal(arrays[split], images[start : start + count])
        np.testing.assert_array_equal(arrays[f"{split}_labels"], labels[start : start + count])


def test_make_digits_writes_the_same_bytes_always(make_digits, monkeypatch):
    arrays = {"train": np.arange(12, dtype=np.uint8).reshape(3, 4), "train_labels": np.arange(3, dtype=np.uint8)}
    content = make_digits.to_npz_bytes(arrays)
    monkeypatch.setattr("time.time", lambda: 2e9)
    assert make_digits.to_npz_bytes(arrays) == content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        assert set(archive) == set(arrays)
        np.testing.assert_array_equal(archive["train"], arrays["train"])


# --- every reader of files --------------------------------------------------------------------------------------------


class Reader(NamedTuple):
    """What a loader looks for and where."""

    load: Callable[..., Dataset]
    subfolders: tuple[str, ...]
    names: tuple[str, ...]  # of the files whose absence it reports
    cure: tuple[str, ...]  # what the message says about getting them
    sources: tuple[str, ...]  # the addresses that it tries when no folder is given


BINARY = cifar10.FOLDER_IN_ARCHIVE
UNSET = f"unset {ENVIRONMENT_VARIABLE}"
READERS = {
    "mnist": Reader(
        load_mnist, ("mnist",), ("train-images-idx3-ubyte.gz",), ("put the four MNIST files", UNSET), mnist.MIRRORS
    ),
    "cifar10": Reader(
        load_cifar10,
        ("cifar10", BINARY, f"cifar10/{BINARY}"),
        (cifar10.TRAIN_FILES[0], cifar10.ARCHIVE.name),
        ("binary version", UNSET),
        cifar10.ARCHIVE.urls,
    ),
    "svhn": Reader(
        load_svhn, ("svhn",), (svhn.TRAIN_FILE.name,), ("put the two files there", UNSET), svhn.TRAIN_FILE.urls
    ),
    "faces": Reader(load_faces, ("faces",), (faces.FILE.name,), ("put the file there", UNSET), faces.FILE.urls),
    "tfd": Reader(load_tfd, ("tfd",), (tfd.FILE,), ("cannot be downloaded", "on request"), ()),
}
every_reader = pytest.mark.parametrize("reader", READERS.values(), ids=READERS)


def test_there_is_no_other_reader():
    assert set(READERS) == set(datasets.names()) - set(TOY_NAMES) - {"mnist-small"}


@every_reader
@pytest.mark.parametrize("through", ["argument", "environment"])
@pytest.mark.parametrize("exists", [True, False])
def test_files_not_there(reader, monkeypatch, tmp_path, through, exists):
    folder = tmp_path / "data"
    if exists:
        folder.mkdir()
    if through == "environment":
        monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(folder))
    with pytest.raises(DatasetError) as caught:
        reader.load(folder if through == "argument" else None)
    for part in (str(folder), *(str(folder / name) for name in reader.subfolders), *reader.names, *reader.cure):
        assert part in str(caught.value)


@every_reader
@pytest.mark.parametrize("bad", [3, ["a"], b"folder"])
def test_data_dir_must_be_a_path(reader, bad):
    with pytest.raises(NiceTypeError, match=f"{reader.load.__name__}: data_dir"):
        reader.load(bad)


@every_reader
def test_empty_cache_without_network(reader, offline, tmp_path):
    with pytest.raises(DatasetError) as caught:
        reader.load()
    cache = (str(tmp_path / "cache"),) if reader.sources else ()
    for part in (*reader.sources, *cache, reader.names[-1], "data_dir", ENVIRONMENT_VARIABLE):
        assert part in str(caught.value)
