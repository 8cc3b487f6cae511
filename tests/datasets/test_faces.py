"""The Olivetti faces: orientation, split, and that other images are refused."""

import dataclasses
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from damage import assert_same, memory_below, mutations, survivors

from nice_np import datasets
from nice_np.datasets import faces, load_faces
from nice_np.datasets.faces import FILE
from nice_np.datasets.files import ENVIRONMENT_VARIABLE
from nice_np.errors import DatasetError

FOLDER = os.environ.get(ENVIRONMENT_VARIABLE)
needs_faces = pytest.mark.skipif(
    not FOLDER or not Path(FOLDER, "faces", FILE.name).exists(),
    reason="the Olivetti faces are not at hand; set NICE_NP_DATA to a folder with faces/olivettifaces.mat",
)
pytestmark = pytest.mark.usefixtures("offline")


def write(path, pictures, do_compression=False, dtype=np.uint8):
    """Images (40, 10, 64, 64) as columns, each stored column by column."""
    columns = [picture.ravel(order="F") for person in pictures for picture in person]
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, {"faces": np.stack(columns, axis=1).astype(dtype)}, do_compression=do_compression)


def rejected(folder, message):
    with pytest.raises(DatasetError, match=message) as caught:
        load_faces(folder)
    assert str(folder) in str(caught.value)


@pytest.fixture
def pictures(monkeypatch, rng):
    """Random images (40, 10, 64, 64) that pass as the faces, of four levels so that zlib is quick."""
    drawn = 64 * rng.integers(4, size=(40, 10, 64, 64), dtype=np.uint8)
    pixels = np.stack([picture.ravel(order="F") for person in drawn for picture in person])  # (400, 4096)
    monkeypatch.setattr(faces, "PIXELS_SHA256", hashlib.sha256(pixels.tobytes()).hexdigest())
    return drawn


# --- the file ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("do_compression", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_images_are_upright_and_split_within_each_person(tmp_path, pictures, do_compression, dtype):
    write(tmp_path / FILE.name, pictures, do_compression, dtype)
    data = datasets.load("faces", data_dir=tmp_path)
    assert (data.name, data.image_shape, data.bin_width) == ("faces", (64, 64), 1 / 256)
    assert "AT&T Laboratories Cambridge" in data.source
    np.testing.assert_array_equal(data.train, pictures[:, :8].reshape(320, 4096), strict=True)
    np.testing.assert_array_equal(data.validation, pictures[:, 8].reshape(40, 4096), strict=True)
    np.testing.assert_array_equal(data.test, pictures[:, 9].reshape(40, 4096), strict=True)
    assert data.train_labels.tolist() == [person for person in range(40) for _ in range(8)]
    assert data.validation_labels.tolist() == data.test_labels.tolist() == list(range(40))


def test_subfolder_and_environment(monkeypatch, tmp_path, pictures):
    write(tmp_path / "faces" / FILE.name, pictures)
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(tmp_path))
    assert_same(load_faces(), load_faces(tmp_path / "faces"))


@needs_faces
def test_real_faces():
    data = load_faces(FOLDER)
    assert (data.train.shape, data.validation.shape, data.test.shape) == ((320, 4096), (40, 4096), (40, 4096))
    assert data.train.dtype == np.uint8
    assert 0 <= data.train.min() < 20
    assert 230 < data.train.max() <= 255
    images = data.train.reshape(-1, 64, 64).astype(float)
    mirrored = images[:, :, ::-1]  # upright faces are nearly symmetric left to right, not top to bottom
    assert np.abs(images - mirrored).mean() < 0.9 * np.abs(images - images[:, ::-1]).mean()
    assert images[:, :16, 16:48].mean() > images[:, -16:, 16:48].mean()  # the forehead is brighter than the neck


@needs_faces
def test_the_nearest_real_face_is_of_the_same_person():
    data = load_faces(FOLDER)
    train, test = data.train.astype(float), data.test.astype(float)
    distances = ((test[:, None] - train) ** 2).sum(axis=2)  # (40, 320)
    assert np.mean(data.train_labels[distances.argmin(axis=1)] == data.test_labels) > 0.8


# --- what is not the faces --------------------------------------------------------------------------------------------


def test_other_pictures_are_refused(tmp_path, pictures):
    pictures[17, 3, 5, 5] ^= 1
    write(tmp_path / FILE.name, pictures)
    rejected(tmp_path, f"not the Olivetti faces: .*SHA-256 of its pixels is .*, expected {faces.PIXELS_SHA256}")


def test_transposed_pictures_are_refused(tmp_path, pictures):
    write(tmp_path / FILE.name, pictures.transpose(0, 1, 3, 2))
    rejected(tmp_path, "not the Olivetti faces")


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"Faces": np.zeros((4096, 400))}, "expected the variables faces, found no faces"),
        ({"faces": np.zeros((400, 4096))}, r"variable faces: expected the shape \(4096, 400\), found \(400, 4096\)"),
        ({"faces": np.zeros((4096, 399))}, r"expected the shape \(4096, 400\), found \(4096, 399\)"),
        ({"faces": np.zeros((64, 64, 400))}, r"expected the shape \(4096, 400\), found \(64, 64, 400\)"),
        ({"faces": np.full((4096, 400), 0.5)}, "expected whole numbers from 0 to 255, found 0.5"),
        ({"faces": np.full((4096, 400), np.nan)}, "found nan"),
        ({"faces": np.full((4096, 400), 256.0)}, "found 256.0"),
    ],
)
def test_variables_that_are_not_as_expected(tmp_path, variables, message):
    scipy.io.savemat(tmp_path / FILE.name, variables, do_compression=True)
    rejected(tmp_path, message)


@pytest.mark.parametrize("content", [b"", b"<html>404</html>" * 100, bytes(1000)])
def test_not_a_matlab_file(tmp_path, content):
    (tmp_path / FILE.name).write_bytes(content)
    rejected(tmp_path, "not a file of MATLAB 5 to 7")


@pytest.mark.parametrize("do_compression", [False, True])
def test_mutated_file_is_refused_or_read_as_it_was(tmp_path, pictures, rng, do_compression):
    """Thanks to the SHA-256 of the pixels, even if the file is not compressed."""
    path = tmp_path / FILE.name
    write(path, pictures, do_compression)
    expected, content = load_faces(tmp_path), path.read_bytes()
    mutants = [*mutations(content, rng, 20), *(head + content[250:] for head in mutations(content[:250], rng, 40))]
    accepted = 0
    for data in survivors(lambda: load_faces(tmp_path), path, mutants):
        accepted += 1
        assert_same(data, expected)
    assert 0 < accepted < 40


def test_absurd_sizes_are_refused_before_anything_is_allocated(tmp_path, pictures):
    path = tmp_path / FILE.name
    write(path, pictures)
    content = bytearray(path.read_bytes())
    axes = content.index(np.array([4096, 400], "<i4").tobytes())
    content[axes : axes + 8] = np.array([2**31 - 1, 2**31 - 1], "<i4").tobytes()
    path.write_bytes(content)
    with memory_below(1_000_000):
        rejected(tmp_path, r"expected the shape \(4096, 400\), found \(2147483647, 2147483647\)")


# --- the cache --------------------------------------------------------------------------------------------------------


def test_filled_cache_without_network(monkeypatch, tmp_path, pictures):
    path = tmp_path / "cache" / "nice_np" / "faces" / FILE.name
    write(path, pictures)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(faces, "FILE", dataclasses.replace(FILE, sha256=sha256))
    assert load_faces().n_train == 320
    path.write_bytes(path.read_bytes()[:-1])  # a damaged copy is not used
    with pytest.raises(DatasetError, match="cannot download"):
        load_faces()
