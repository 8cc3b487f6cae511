"""The Toronto Face Database from a file with its layout: folds, labels, and how to get it."""

import numpy as np
import pytest
import scipy.io
from damage import assert_same, memory_below, mutations, survivors

from nice_np import datasets
from nice_np.datasets import load_tfd
from nice_np.datasets.files import ENVIRONMENT_VARIABLE
from nice_np.datasets.tfd import FILE
from nice_np.errors import DatasetError, NiceTypeError, NiceValueError

pytestmark = pytest.mark.usefixtures("offline")
ROLES = [
    0,
    1,
    2,
    3,
    0,
    1,
    2,
    3,
    1,
    0,
    3,
    1,
]  # of fold 0: unlabelled, train, validation, test
EXPRESSIONS = [-1, 1, 2, 3, -1, 4, 5, 6, 7, -1, 1, 2]


def make(pictures, **changes):
    """The variables of a file of twelve images; `changes` replaces some, None leaves one out."""
    folds = np.stack([roll_labelled(fold) for fold in range(5)], axis=1)  # (12, 5)
    variables = {
        "images": pictures,
        "folds": folds,
        "labs_ex": np.array(EXPRESSIONS)[:, None],
        "labs_id": np.arange(12)[:, None],
    }
    return {name: array for name, array in {**variables, **changes}.items() if array is not None}


def roll_labelled(fold):
    """The roles in a fold: the unlabelled images stay, the others rotate."""
    roles = np.array(ROLES)
    roles[roles > 0] = np.roll(roles[roles > 0], fold)
    return roles


def write(folder, variables, do_compression=True):
    folder.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(folder / FILE, variables, do_compression=do_compression)
    return folder / FILE


def rejected(folder, message, **options):
    with pytest.raises(DatasetError, match=message) as caught:
        load_tfd(folder, **options)
    assert str(folder) in str(caught.value)


@pytest.fixture
def pictures(rng):
    return rng.integers(256, size=(12, 48, 48), dtype=np.uint8)


# --- the file ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("do_compression", [False, True])
def test_fold_0_written_out(tmp_path, pictures, do_compression):
    write(tmp_path, make(pictures), do_compression)
    data = datasets.load("tfd", data_dir=tmp_path)
    assert (data.name, data.image_shape, data.bin_width) == ("tfd", (48, 48), 1 / 256)
    assert "Susskind" in data.source
    rows = np.stack([picture.ravel() for picture in pictures])  # upright: row by row
    np.testing.assert_array_equal(data.train, rows[[0, 1, 4, 5, 8, 9, 11]], strict=True)  # with the unlabelled ones
    np.testing.assert_array_equal(data.validation, rows[[2, 6]], strict=True)
    np.testing.assert_array_equal(data.test, rows[[3, 7, 10]], strict=True)
    assert data.train_labels.tolist() == [-1, 1, -1, 4, 7, -1, 2]
    assert data.validation_labels.tolist() == [2, 5]
    assert data.test_labels.tolist() == [3, 6, 1]


@pytest.mark.parametrize("fold", range(5))
def test_every_fold_is_its_own_column(tmp_path, pictures, fold):
    write(tmp_path, make(pictures))
    data = load_tfd(tmp_path, fold)
    roles, expressions = roll_labelled(fold), np.array(EXPRESSIONS)
    for split, members in (("train", roles <= 1), ("validation", roles == 2), ("test", roles == 3)):
        np.testing.assert_array_equal(data.split(split), pictures[members].reshape(-1, 2304), strict=True)
        assert data.labels(split).tolist() == expressions[members].tolist()


def test_the_picture_is_upright(tmp_path):
    pictures = np.zeros((12, 48, 48), np.uint8)
    pictures[:, 0, :] = 200  # the top row
    write(tmp_path, make(pictures))
    image = load_tfd(tmp_path).test[0].reshape(48, 48)
    assert (image[0] == 200).all()
    assert not image[1:].any()


def test_unlabelled_images_have_no_expression_whatever_the_file_says(tmp_path, pictures):
    write(tmp_path, make(pictures, labs_ex=np.where(np.array(EXPRESSIONS) < 0, 5, EXPRESSIONS)[:, None]))
    assert load_tfd(tmp_path).train_labels.tolist() == [-1, 1, -1, 4, 7, -1, 2]


def test_numbers_stored_as_doubles(tmp_path, pictures):
    write(tmp_path / "bytes", make(pictures))
    write(tmp_path / "doubles", {name: array.astype(float) for name, array in make(pictures).items()})
    assert_same(load_tfd(tmp_path / "doubles"), load_tfd(tmp_path / "bytes"))


def test_subfolder_and_environment(monkeypatch, tmp_path, pictures):
    write(tmp_path / "tfd", make(pictures))
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(tmp_path))
    assert_same(load_tfd(), load_tfd(tmp_path / "tfd"))


# --- what is not TFD --------------------------------------------------------------------------------------------------


def test_no_folder_given():
    with pytest.raises(
        DatasetError,
        match=f"neither data_dir .*--data-dir.* nor {ENVIRONMENT_VARIABLE} .*University of Toronto .*on request",
    ):
        load_tfd()


@pytest.mark.parametrize(
    ("fold", "error"), [(-1, NiceValueError), (5, NiceValueError), (0.5, NiceTypeError), ("0", NiceTypeError)]
)
def test_bad_fold(tmp_path, fold, error):
    with pytest.raises(error, match="load_tfd: fold"):
        load_tfd(tmp_path, fold)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": None}, "expected the variables images, folds, labs_ex, found no images"),
        ({"folds": None, "labs_ex": None}, "found no folds, labs_ex"),
        (
            {"images": np.zeros((48, 48, 12))},
            r"variable images: expected .*\(1 or more, 48, 48\), found \(48, 48, 12",
        ),
        ({"images": np.zeros((12, 2304))}, r"found \(12, 2304\)"),
        ({"images": np.zeros((11, 48, 48))}, "as many images as rows of folds and labels, found 11, 12 and 12"),
        ({"images": np.full((12, 48, 48), np.nan)}, "variable images: expected whole numbers from 0 to 255, found nan"),
        ({"images": np.full((12, 48, 48), 0.5)}, "found 0.5"),
        ({"images": np.full((12, 48, 48), 256)}, "found 256"),
        ({"folds": np.zeros((12, 4))}, r"variable folds: expected the shape \(1 or more, 5\), found \(12, 4\)"),
        ({"folds": np.full((12, 5), 4)}, "variable folds: expected whole numbers from 0 to 3, found 4"),
        ({"folds": np.zeros((13, 5))}, "found 12, 13 and 12"),
        ({"folds": np.ones((12, 5))}, "expected the expression of image 0, 1 to 7, as fold 0 says; found -1"),
        ({"folds": np.zeros((12, 5))}, r"expected training, validation and test images in fold 0, found 12 \+ 0 \+ 0"),
        ({"labs_ex": np.ones((1, 12))}, r"variable labs_ex: expected the shape \(1 or more, 1\), found \(1, 12\)"),
        ({"labs_ex": np.ones((11, 1))}, "found 12, 12 and 11"),
        ({"labs_ex": np.full((12, 1), 8)}, "variable labs_ex: expected whole numbers from -1 to 7, found 8"),
        ({"labs_ex": np.zeros((12, 1))}, "expected the expression of image 1, 1 to 7, as fold 0 says; found 0"),
    ],
)
def test_variables_that_are_not_as_expected(tmp_path, pictures, changes, message):
    write(tmp_path, make(pictures, **changes))
    rejected(tmp_path, message)


def test_the_fold_in_question_is_the_one_that_is_checked(tmp_path, pictures):
    variables = make(pictures)
    variables["folds"][:, 3] = 0
    write(tmp_path, variables)
    assert load_tfd(tmp_path, fold=2).n_test == 3
    rejected(tmp_path, "in fold 3, found", fold=3)


@pytest.mark.parametrize("content", [b"", b"<html>404</html>" * 100, b"MATLAB 7.3".ljust(600)])
def test_not_a_matlab_5_file(tmp_path, content):
    (tmp_path / FILE).write_bytes(content)
    rejected(tmp_path, "of MATLAB 5 to 7")


def test_mutated_file_is_refused_or_read_as_it_was(tmp_path, pictures, rng):
    path = write(tmp_path, make(pictures, labs_id=None))
    expected, content = load_tfd(tmp_path), path.read_bytes()
    mutants = [*mutations(content, rng, 100), *(head + content[250:] for head in mutations(content[:250], rng, 100))]
    accepted = 0
    for data in survivors(lambda: load_tfd(tmp_path), path, mutants):
        accepted += 1
        assert_same(data, expected)
    assert 0 < accepted < 100


def test_mutated_plain_file(tmp_path, pictures, rng):
    """Without a checksum numbers may change, but the splits stay within the images and the labels in range."""
    path = write(tmp_path, make(pictures), do_compression=False)
    content = path.read_bytes()
    end = content.index(b"labs_id")
    parts = ((0, 250), (len(content) - 1000, end), (0, len(content)))  # header, folds and labels, everything
    mutants = [
        content[:start] + part + content[stop:]
        for start, stop in parts
        for part in mutations(content[start:stop], rng, 80)
    ]
    accepted = 0
    for data in survivors(lambda: load_tfd(tmp_path), path, mutants):
        accepted += 1
        assert data.n_train + data.n_validation + data.n_test == 12
        assert data.train.dtype == np.uint8
        assert set(data.train_labels) <= {-1, *range(1, 8)}
        assert set(data.test_labels) <= set(range(1, 8))
    assert 0 < accepted < 200


def test_absurd_sizes_are_refused_before_anything_is_allocated(tmp_path, pictures):
    path = write(tmp_path, make(pictures), do_compression=False)
    content = bytearray(path.read_bytes())
    axes = content.index(np.array([12, 48, 48], "<i4").tobytes())
    content[axes : axes + 4] = np.array(2**31 - 1, "<i4").tobytes()
    path.write_bytes(content)
    with memory_below(1_000_000):
        rejected(tmp_path, "variable images: expected 4947802322688 bytes .*at most 268435456")
