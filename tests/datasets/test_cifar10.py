"""CIFAR-10 from its record files, loose or in the archive."""

import dataclasses
import gzip
import hashlib
import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from damage import assert_same, memory_below, mutations, survivors

from nice_np import datasets
from nice_np.datasets import cifar10, load_cifar10
from nice_np.datasets.cifar10 import ARCHIVE, FOLDER_IN_ARCHIVE, RECORD, TEST_FILE, TRAIN_FILES
from nice_np.datasets.files import ENVIRONMENT_VARIABLE
from nice_np.errors import DatasetError

FOLDER = os.environ.get(ENVIRONMENT_VARIABLE)
needs_cifar10 = pytest.mark.skipif(
    not FOLDER or not Path(FOLDER, "cifar10", TRAIN_FILES[0]).exists(),
    reason="the records of CIFAR-10 are not at hand; set NICE_NP_DATA to a folder with cifar10/data_batch_1.bin",
)
pytestmark = pytest.mark.usefixtures("offline")


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def member(name, content=b"", kind=tarfile.REGTYPE, size=None):
    """The header of a member and its content, padded; `size` is what the header says."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(content) if size is None else size
    if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        info.linkname = "/etc/hostname"
    return info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512)


def tar_of(files, folder=FOLDER_IN_ARCHIVE):
    members = [member(folder, kind=tarfile.DIRTYPE), member(f"{folder}/batches.meta.txt", b"airplane\n")]
    return b"".join(members + [member(f"{folder}/{name}", content) for name, content in files.items()]) + bytes(1024)


def write_archive(folder, tar):
    path = folder / ARCHIVE.name
    path.write_bytes(gzip.compress(tar, 1, mtime=0))
    return path


def rejected(folder, message):
    with pytest.raises(DatasetError, match=message) as caught:
        load_cifar10(folder)
    assert str(folder) in str(caught.value)


@pytest.fixture
def files(rng):
    """Two training files of 12 and 8 records and a test file of 3, by name: random pixels, labels 0, 1, 2, ..."""
    records = rng.integers(256, size=(23, RECORD), dtype=np.uint8)
    records[:, 0] = np.arange(23) % 10
    parts = np.split(records, [12, 20])
    return {name: part.tobytes() for name, part in zip((*TRAIN_FILES[:2], TEST_FILE), parts, strict=True)}


# --- the records ------------------------------------------------------------------------------------------------------


def test_the_bytes_of_the_format(tmp_path):
    """A record is the label, then the red, the green and the blue plane, each row by row from the top."""
    red, green, blue = np.zeros((32, 32), np.uint8), np.zeros((32, 32), np.uint8), np.full((32, 32), 9, np.uint8)
    red[0] = 200  # the top row
    green[:, 31] = 100  # the right column
    record = bytes([7]) + red.tobytes() + green.tobytes() + blue.tobytes()
    write(tmp_path, {TRAIN_FILES[0]: record * 10, TEST_FILE: record})
    data = load_cifar10(tmp_path)
    image = data.test[0].reshape(data.image_shape)  # (3, 32, 32)
    assert image.shape == (3, 32, 32)
    np.testing.assert_array_equal(image[0], red)
    np.testing.assert_array_equal(image[1], green)
    np.testing.assert_array_equal(image[2], blue)
    assert data.test_labels.tolist() == [7]


def test_files_splits_and_labels(tmp_path, files):
    write(tmp_path, files)
    data = datasets.load("cifar10", data_dir=tmp_path)
    pixels = {name: np.frombuffer(content, np.uint8).reshape(-1, RECORD)[:, 1:] for name, content in files.items()}
    train = np.concatenate([pixels[name] for name in TRAIN_FILES[:2]])  # in the order of the file numbers
    np.testing.assert_array_equal(data.train, train[:18], strict=True)
    np.testing.assert_array_equal(data.validation, train[18:], strict=True)  # the last tenth of the training files
    np.testing.assert_array_equal(data.test, pixels[TEST_FILE], strict=True)
    assert data.train_labels.tolist() == [*range(10), *range(8)]
    assert data.validation_labels.tolist() == [8, 9]
    assert data.test_labels.tolist() == [0, 1, 2]
    assert (data.name, data.image_shape, data.bin_width) == ("cifar10", (3, 32, 32), 1 / 256)
    assert data.train.flags.writeable
    assert "Krizhevsky" in data.source
    assert "not the whole: 20 of 50000 training images, 3 of 10000 test images" in data.source


@pytest.mark.parametrize("subfolder", ["cifar10", FOLDER_IN_ARCHIVE, f"cifar10/{FOLDER_IN_ARCHIVE}"])
def test_subfolders_and_environment(monkeypatch, tmp_path, files, subfolder):
    write(tmp_path / subfolder, files)
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(tmp_path))
    assert_same(load_cifar10(), load_cifar10(tmp_path / subfolder))


def test_the_whole_is_not_called_a_part(monkeypatch, tmp_path, files):
    monkeypatch.setattr(cifar10, "MAX_RECORDS", 12)
    write(tmp_path, {name: bytes(10_000 * RECORD) for name in (*TRAIN_FILES, TEST_FILE)})
    rejected(tmp_path, r"data_batch_1\.bin: expected 1 to 12 records of 3073 bytes, found 30730000 bytes")
    monkeypatch.undo()
    data = load_cifar10(tmp_path)
    assert (data.n_train, data.n_validation, data.n_test) == (45_000, 5_000, 10_000)
    assert "whole" not in data.source


@needs_cifar10
def test_real_records():
    data = load_cifar10(FOLDER)
    assert data.n_validation == (data.n_train + data.n_validation) // 10
    assert (data.dim, data.image_shape, data.train.dtype) == (3072, (3, 32, 32), np.uint8)
    images = data.train.reshape(-1, 3, 32, 32).astype(float)
    assert (images.min(), images.max()) == (0, 255)
    for split in ("train", "validation", "test"):
        assert set(data.labels(split)) == set(range(10))
    for axis in (2, 3):  # neighbours within a plane are similar, twice as much as if the bytes were RGB, RGB, ...
        assert np.abs(np.diff(images, axis=axis)).mean() < 20
    assert images[:, :, :8].mean() > images[:, :, -8:].mean() + 10  # upright: the sky is bright
    blue = (images[:, 2] - images[:, 0]).mean(axis=(1, 2))  # (N,) how much more blue than red
    airplane, frog, ship = (blue[data.train_labels == label].mean() for label in (0, 6, 8))
    assert min(airplane, ship) > 0 > frog


# --- the archive ------------------------------------------------------------------------------------------------------


def test_archive_and_files_are_the_same(tmp_path, files):
    write(tmp_path / "loose", files)
    write_archive(tmp_path, tar_of(files))
    assert_same(load_cifar10(tmp_path), load_cifar10(tmp_path / "loose"))


@pytest.mark.parametrize("tar_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_archives_that_tarfile_makes(tmp_path, files, tar_format):
    """In every format, with the members in another order and others between them."""
    with tarfile.open(tmp_path / ARCHIVE.name, "w:gz", format=tar_format) as archive:
        for name, content in {"readme.html": b"<p>" * 300, **dict(reversed(files.items()))}.items():
            info = tarfile.TarInfo(f"{FOLDER_IN_ARCHIVE}/{name}")
            info.size, info.mtime = len(content), 1.5  # in PAX_FORMAT a fraction needs an extra header
            archive.addfile(info, io.BytesIO(content))
    write(tmp_path / "loose", files)
    assert_same(load_cifar10(tmp_path), load_cifar10(tmp_path / "loose"))


def test_files_come_before_the_archive(tmp_path, files):
    (tmp_path / ARCHIVE.name).write_bytes(b"not an archive")
    write(tmp_path, files)
    assert load_cifar10(tmp_path).n_test == 3


def test_only_the_known_names_in_the_known_folder_are_read(tmp_path, files):
    names = (TEST_FILE, f"../{TEST_FILE}", f"/{TRAIN_FILES[2]}", f"other/{TRAIN_FILES[3]}")
    strangers = b"".join(member(name, files[TEST_FILE]) for name in names)
    write_archive(tmp_path, strangers + tar_of(files))
    data = load_cifar10(tmp_path)
    assert (data.n_train, data.n_validation, data.n_test) == (18, 2, 3)
    assert os.listdir(tmp_path) == [ARCHIVE.name]  # nothing is unpacked


def test_every_damaged_byte_of_an_archive_is_noticed(tmp_path, files, rng):
    path = write_archive(tmp_path, tar_of(files))
    original = path.read_bytes()
    for position in [*rng.integers(10, len(original), size=200), *range(len(original) - 8, len(original))]:
        content = bytearray(original)  # gzip's header, the first ten bytes, holds dates and flags
        content[position] ^= 0xFF
        path.write_bytes(content)
        rejected(tmp_path, "cifar-10-binary")


def test_mutated_archive_is_refused_or_read_as_it_was(tmp_path, files, rng):
    path = write_archive(tmp_path, tar_of(files))
    expected = load_cifar10(tmp_path)
    for data in survivors(lambda: load_cifar10(tmp_path), path, mutations(path.read_bytes(), rng, 200)):
        assert_same(data, expected)


def test_mutated_headers_of_an_archive(tmp_path, files, rng):
    """With a correct CRC: the headers of the members have their own checksums."""
    tar = tar_of(files)
    path, expected = tmp_path / ARCHIVE.name, None
    end = tar.index(files[TRAIN_FILES[0]])
    write_archive(tmp_path, tar)
    expected = load_cifar10(tmp_path)
    mutants = (gzip.compress(head + tar[end:], 1) for head in mutations(tar[:end], rng, 200))
    for data in survivors(lambda: load_cifar10(tmp_path), path, mutants):
        assert_same(data, expected)  # only the text file before the first records was hit


@pytest.mark.parametrize("size", [0, 1, 9, 10, 18, 100, 5000, -1, -8, -9])
def test_truncated_archive(tmp_path, files, size):
    path = write_archive(tmp_path, tar_of(files))
    path.write_bytes(path.read_bytes()[:size])
    rejected(tmp_path, "truncated")


def test_bytes_after_an_archive(tmp_path, files):
    path = write_archive(tmp_path, tar_of(files))
    path.write_bytes(path.read_bytes() + b"garbage")
    rejected(tmp_path, "damaged")


@pytest.mark.parametrize("size", [511, 512, 2000])
def test_truncated_tar(tmp_path, files, size):
    tar = tar_of(files)
    for content in (tar[:size], tar[:-1024], tar[: -1024 - 512]):
        write_archive(tmp_path, content)
        rejected(tmp_path, "truncated")


def test_no_archive_at_all(tmp_path):
    path = tmp_path / ARCHIVE.name
    path.write_bytes(b"<html>404</html>" * 100)
    rejected(tmp_path, "damaged .*fetch the file again")
    path.write_bytes(gzip.compress(b"<html>404</html>" * 100))
    rejected(tmp_path, "the archive is damaged .*; fetch it again")
    path.unlink()
    path.mkdir()
    rejected(tmp_path, "expected an archive of CIFAR-10, found a folder")


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.GNUTYPE_SPARSE],
)
def test_member_that_is_no_ordinary_file(tmp_path, files, kind):
    stranger = member(f"{FOLDER_IN_ARCHIVE}/{TRAIN_FILES[0]}", files[TRAIN_FILES[0]], kind)
    write_archive(tmp_path, stranger + tar_of({name: files[name] for name in (TRAIN_FILES[1], TEST_FILE)}))
    rejected(tmp_path, r"member 'cifar-10-batches-bin/data_batch_1\.bin': expected one regular file of that name")


def test_member_that_comes_twice(tmp_path, files):
    again = member(f"{FOLDER_IN_ARCHIVE}/{TEST_FILE}", files[TEST_FILE])
    write_archive(tmp_path, again + tar_of(files))
    rejected(
        tmp_path,
        r"member '.*test_batch\.bin': expected one regular file of that name, found another type or a second one",
    )


@pytest.mark.parametrize("name", [TEST_FILE, "readme.html"])
@pytest.mark.parametrize("size", [-1, -RECORD, 10_001 * RECORD, 10**9, 10**18, 2**80])
def test_absurd_sizes_are_refused_before_anything_is_allocated(tmp_path, name, size):
    write_archive(tmp_path, member(f"{FOLDER_IN_ARCHIVE}/{name}", size=size) + bytes(1024))
    with memory_below(2_000_000):
        rejected(tmp_path, "expected|truncated")


def test_bombs_are_not_inflated(monkeypatch, tmp_path, files):
    monkeypatch.setattr(cifar10, "MAX_ARCHIVE", 4_000_000)
    tar = tar_of(files)
    for content in (
        member("bomb", bytes(5_000_000)) + tar,  # before the files
        tar + bytes(5_000_000),  # after the end of the archive
        member("empty") * 10_000,  # nothing but headers
    ):
        write_archive(tmp_path, content)
        with memory_below(2_000_000):
            rejected(tmp_path, "expected an archive of at most 4000000 bytes")


# --- files that are not as expected -----------------------------------------------------------------------------------


@pytest.mark.parametrize("archived", [False, True])
@pytest.mark.parametrize("missing", [TRAIN_FILES[0], TEST_FILE])
def test_one_kind_missing(tmp_path, files, archived, missing):
    present = {name: content for name, content in files.items() if name == TRAIN_FILES[0] and name != missing}
    present.update({TEST_FILE: files[TEST_FILE]} if missing != TEST_FILE else {})
    if archived:
        write_archive(tmp_path, tar_of(present))
        rejected(tmp_path, f"expected data_batch_1.bin and test_batch.bin, found {', '.join(present)}")
    else:
        write(tmp_path, present)
        rejected(tmp_path, "found data_batch_1.bin" if missing == TEST_FILE else "no data_batch_1.bin")


def test_archive_of_something_else(tmp_path, files):
    write_archive(tmp_path, tar_of(files, folder="cifar-100-binary"))
    rejected(tmp_path, "found neither")


@pytest.mark.parametrize("archived", [False, True])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: b"", "expected 1 to 10000 records of 3073 bytes, found 0 bytes"),
        (lambda content: content[:-1], "found 36875 bytes, 11.9997 records"),
        (lambda content: content + b"\0", "found 36877 bytes"),
        (lambda content: content[:RECORD] + b"\x0a" + content[RECORD + 1 :], "from 0 to 9, found 10 in record 1"),
        (lambda content: content[1:] + b"\0", "expected labels from 0 to 9"),
    ],
    ids=["empty", "cut", "longer", "label", "shifted"],
)
def test_damaged_records(tmp_path, files, archived, change, message):
    files[TRAIN_FILES[0]] = change(files[TRAIN_FILES[0]])
    if archived:
        write_archive(tmp_path, tar_of(files))
    else:
        write(tmp_path, files)
    rejected(tmp_path, rf"data_batch_1\.bin.*: .*{message}")


def test_too_few_records(tmp_path, files):
    write(tmp_path, {TRAIN_FILES[0]: files[TRAIN_FILES[0]][: 9 * RECORD], TEST_FILE: files[TEST_FILE]})
    rejected(tmp_path, "at least 10 training images and 1 test image, found 9 and 3")


def test_mutated_files(tmp_path, files, rng):
    """A plain file has no checksum: pixels may change, but not the shape or the range of the labels."""
    write(tmp_path, files)
    path = tmp_path / TRAIN_FILES[0]
    content = files[TRAIN_FILES[0]]
    accepted = 0
    for data in survivors(lambda: load_cifar10(tmp_path), path, mutations(content, rng, 100)):
        accepted += 1
        assert (data.train.shape, data.validation.shape) == ((18, 3072), (2, 3072))
        assert data.train_labels.max() <= 9
    assert 0 < accepted < 60


def test_sparse_file_of_absurd_size(tmp_path, files):
    write(tmp_path, files)
    with open(tmp_path / TEST_FILE, "r+b") as file:
        file.truncate(10**6 * RECORD)
    with memory_below(2_000_000):
        rejected(tmp_path, r"test_batch\.bin: expected 1 to 10000 records")


def test_broken_link_is_not_taken_for_a_missing_file(tmp_path, files):
    write(tmp_path, files)
    try:
        (tmp_path / TRAIN_FILES[3]).symlink_to(tmp_path / "nowhere")
    except OSError:
        pytest.skip("needs symbolic links")
    rejected(tmp_path, r"data_batch_4\.bin: no such file")


# --- the cache --------------------------------------------------------------------------------------------------------


def test_filled_cache_without_network(monkeypatch, tmp_path, files):
    cache = tmp_path / "cache" / "nice_np" / "cifar10"
    cache.mkdir(parents=True)
    content = write_archive(cache, tar_of(files)).read_bytes()
    monkeypatch.setattr(
        cifar10, "ARCHIVE", dataclasses.replace(ARCHIVE, sha256=hashlib.sha256(content).hexdigest(), size=len(content))
    )
    assert load_cifar10().n_train == 18
    (cache / ARCHIVE.name).write_bytes(content[:-1])  # a damaged copy is not used
    with pytest.raises(DatasetError, match="cannot download"):
        load_cifar10()
