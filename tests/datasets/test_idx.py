"""read_idx reads valid files and raises DatasetError for everything else."""

import gzip
import os
import struct
import tracemalloc

import numpy as np
import pytest

from nice_np.datasets.idx import MAX_BYTES, read_idx, to_idx_bytes
from nice_np.errors import DatasetError, NiceTypeError, NiceValueError

IMAGES = np.random.default_rng(0).integers(256, size=(5, 4, 3), dtype=np.uint8)
RAW = to_idx_bytes(IMAGES)


def header(*shape, element_type=8, n_axes=None):
    n_axes = len(shape) if n_axes is None else n_axes
    return bytes([0, 0, element_type, n_axes]) + struct.pack(f">{len(shape)}I", *shape)


def rejected(path, content, message):
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "images-idx3-ubyte"


def test_the_bytes_of_the_format():
    # Written by hand, so that reader and writer cannot share a mistake.
    content = bytes.fromhex("00000803 00000001 00000002 00000003 010203 fdfeff")
    np.testing.assert_array_equal(to_idx_bytes(np.array([[[1, 2, 3], [253, 254, 255]]], np.uint8)), content)


@pytest.mark.parametrize("shape", [(0,), (3,), (4, 2), (5, 4, 3), (0, 28, 28), (2, 1, 1, 2)])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_round_trip(path, shape, pack):
    array = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
    path.write_bytes(pack(to_idx_bytes(array)))
    read = read_idx(str(path))
    np.testing.assert_array_equal(read, array, strict=True)
    assert read.flags.writeable


def test_content_decides_not_the_name(tmp_path):
    (tmp_path / "plain.gz").write_bytes(RAW)
    (tmp_path / "zipped").write_bytes(gzip.compress(RAW))
    np.testing.assert_array_equal(read_idx(tmp_path / "plain.gz"), IMAGES)
    np.testing.assert_array_equal(read_idx(tmp_path / "zipped"), IMAGES)


def test_gzip_in_several_members_is_one_stream(path):
    path.write_bytes(gzip.compress(RAW[:30]) + gzip.compress(RAW[30:]))
    np.testing.assert_array_equal(read_idx(path), IMAGES)


def test_missing(path):
    with pytest.raises(DatasetError, match="no such file"):
        read_idx(path)


def test_folder(tmp_path):
    with pytest.raises(DatasetError, match="found a folder"):
        read_idx(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipe_does_not_block(path):
    os.mkfifo(path)
    with pytest.raises(DatasetError, match="special file"):
        read_idx(path)


@pytest.mark.parametrize("bad", [None, 3, b"a".fromhex("00")])
def test_not_a_path(bad):
    with pytest.raises(NiceTypeError, match="path"):
        read_idx(bad)


def test_impossible_paths():
    with pytest.raises(DatasetError):
        read_idx("a\0b")
    with pytest.raises(DatasetError):
        read_idx("a" * 5000)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (RAW[:3], "not an IDX file"),
        (b"\x89PNG" + RAW, "found 89 50 4e 47"),
        (header(5, 4, 3, element_type=0x0D) + bytes(240), "expected elements of type 08 .*found type 0d"),
        (header(n_axes=0), "header says 0"),
        (header(1, 1, 1, 1, 1) + b"\0", "expected 1 to 4 axes, the header says 5"),
        (RAW[:9], "truncated in the header: expected 16 bytes, found 9"),
        (RAW[:-1], "promises 60 bytes, found 59"),
        (RAW + b"\0", "promises 60 bytes, but more follow"),
        (header(MAX_BYTES + 1), "at most"),
        (header(0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF), "at most"),
    ],
)
def test_broken_content(path, content, message, pack):
    rejected(path, pack(content), message)


def test_truncated_gzip(path):
    rejected(path, gzip.compress(RAW)[:-3], "truncated")
    rejected(path, gzip.compress(RAW)[:20], "truncated")
    rejected(path, b"\x1f\x8b", "truncated")


def test_damaged_gzip(path):
    packed = bytearray(gzip.compress(RAW))
    packed[-8] ^= 1  # the CRC comes 8 bytes before the end
    rejected(path, packed, "damaged .*CRC")
    rejected(path, gzip.compress(RAW) + b"garbage", "damaged")


def test_bomb_is_not_inflated(path):
    bomb = gzip.compress(header(10) + bytes(100_000_000))
    tracemalloc.start()
    try:
        rejected(path, bomb, "promises 10 bytes, but more follow")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5_000_000


def test_promise_of_too_much_is_refused_before_it_is_allocated(path):
    tracemalloc.start()
    try:
        rejected(path, header(MAX_BYTES, 2), "at most")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_mutated_files(path, pack):
    """Flipped, dropped, inserted and cut bytes: DatasetError, or the same array (if gzip's name or time was hit)."""
    rng = np.random.default_rng(0)
    original = pack(RAW)
    rejections = 0
    for _ in range(600):
        content = bytearray(original)
        position = int(rng.integers(len(content)))
        match rng.integers(4):
            case 0:
                content[position] ^= 1 << int(rng.integers(8))
            case 1:
                del content[position]
            case 2:
                content.insert(position, int(rng.integers(256)))
            case _:
                del content[position:]
        path.write_bytes(content)
        try:
            array = read_idx(path)
        except DatasetError:
            rejections += 1
        else:
            if pack is gzip.compress:  # a plain file has no checksum: a flipped pixel goes unnoticed
                np.testing.assert_array_equal(array, IMAGES, strict=True)
            assert array.size == IMAGES.size
    assert rejections > 200


def test_writer_refuses_what_the_format_cannot_hold():
    for bad in (np.zeros(3), np.zeros((), np.uint8), np.zeros((1,) * 5, np.uint8)):
        with pytest.raises(NiceValueError, match="expected uint8"):
            to_idx_bytes(bad)
    with pytest.raises(NiceTypeError, match=r"must be a numpy\.ndarray, got list"):
        to_idx_bytes([1, 2])
