"""read_mat reads what MATLAB and SciPy write and raises DatasetError for everything else."""

import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import scipy.io
from damage import memory_below, mutations, survivors

from nice_np.datasets.mat import MAX_BYTES, Variable, read_mat
from nice_np.errors import DatasetError

MATRIX, COMPRESSED = 14, 15
UINT8, FLOAT64 = 2, 9  # element types
DOUBLE_CLASS, UINT8_CLASS = 6, 9  # array classes
BYTES = {"a": Variable((2, 3), 0, 255)}
A = np.array([[1, 2, 3], [253, 254, 255]], np.uint8)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.mat"


def element(kind, content, order="<", size=None):
    size = len(content) if size is None else size
    return struct.pack(order + "II", kind, size) + content + bytes(-len(content) % 8)


def array(content, name=b"a", shape=(2, 3), kind=UINT8, array_class=UINT8_CLASS, flags=0, order="<", size=None):
    """An array element; `content` are the bytes of its numbers, `size` is the length given in their tag."""
    parts = (
        element(6, struct.pack(order + "II", array_class | flags << 8, 0), order),
        element(5, struct.pack(f"{order}{len(shape)}i", *shape), order),
        element(1, name, order),
        element(kind, content, order, size),
    )
    return element(MATRIX, b"".join(parts), order)


def deflated(content, order="<"):
    """An element that holds a zlib stream; these are not padded."""
    packed = zlib.compress(content)
    return struct.pack(order + "II", COMPRESSED, len(packed)) + packed


def file_of(*elements, order="<", version=0x0100):
    mark = b"IM" if order == "<" else b"MI"
    return b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(order + "H", version) + mark + b"".join(elements)


def rejected(path, content, message, variables=BYTES):
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=message) as caught:
        read_mat(path, variables)
    assert str(path) in str(caught.value)


# --- what is right ----------------------------------------------------------------------------------------------------


def test_the_bytes_of_the_format(path):
    # Written by hand, so that reader and writer cannot share a mistake: the first axis runs fastest.
    content = bytes.fromhex(
        "0e000000 38000000"  # an array of 56 bytes:
        "06000000 08000000 09000000 00000000"  # flags: class uint8
        "05000000 08000000 02000000 03000000"  # axes: 2, 3
        "01000100 61000000"  # name: "a", within its tag
        "02000000 06000000 01fd02fe03ff 0000"  # numbers, padded
    )
    path.write_bytes(b"text".ljust(124) + b"\x00\x01IM" + content)
    np.testing.assert_array_equal(read_mat(path, BYTES)["a"], A, strict=True)
    assert scipy.io.loadmat(path)["a"].tolist() == A.tolist()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("pack", [lambda content, order: content, deflated])
def test_both_byte_orders_and_both_packings(path, order, pack):
    numbers = A.astype(order + "f8").tobytes(order="F")
    path.write_bytes(file_of(pack(array(numbers, kind=FLOAT64, order=order), order), order=order))
    np.testing.assert_array_equal(read_mat(path, BYTES)["a"], A)
    assert scipy.io.loadmat(path)["a"].tolist() == A.tolist()


@pytest.mark.parametrize("order", ["<", ">"])
def test_numbers_within_their_tag(path, order):
    tag = struct.pack(order + "I", 3 << 16 | UINT8) + b"\x05\x06\x07\0"
    whole = array(b"", shape=(1, 3), order=order)
    body = whole[8:-8] + tag  # instead of the empty element of the numbers
    path.write_bytes(file_of(element(MATRIX, body, order), order=order))
    assert read_mat(path, {"a": Variable((1, 3), 0, 255)})["a"].tolist() == [[5, 6, 7]]


@pytest.mark.parametrize("do_compression", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", "?"])
@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (4, 3, 2), (2, 2, 3, 5)])
def test_what_scipy_writes(path, rng, do_compression, dtype, shape):
    numbers = rng.integers(2, size=shape) if dtype == "?" else rng.integers(100, size=shape)
    scipy.io.savemat(path, {"a": numbers.astype(dtype)}, do_compression=do_compression)
    read = read_mat(path, {"a": Variable((*shape[:-1], None), 0, 99)})["a"]
    np.testing.assert_array_equal(read, numbers)


@pytest.mark.parametrize("do_compression", [False, True])
def test_other_variables_are_left_alone(path, do_compression):
    others = {
        "text": "some words",
        "cell": np.array([1, "two"], object),
        "struct": {"field": 1.0},
        "complex": np.array([1j]),
        "nothing": np.zeros((0, 0)),
        "fraction": np.array([0.5, np.nan]),
    }
    scipy.io.savemat(path, {**others, "a": A, "z": A[:1]}, do_compression=do_compression)
    arrays = read_mat(path, {"z": Variable((1, 3), 1, 3), "a": BYTES["a"]})
    assert sorted(arrays) == ["a", "z"]
    np.testing.assert_array_equal(arrays["a"], A)
    np.testing.assert_array_equal(arrays["z"], A[:1])


def test_the_limits_themselves_are_allowed(path):
    scipy.io.savemat(path, {"a": np.array([[-1, 7]])})
    assert read_mat(path, {"a": Variable((1, 2), -1, 7)})["a"].tolist() == [[-1, 7]]


# --- what is not as expected ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("do_compression", [False, True])
@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        (A.T, r"variable a: expected the shape \(2, 3\), found \(3, 2\)"),
        (A[None], r"expected the shape \(2, 3\), found \(1, 2, 3\)"),
        (np.zeros((0, 3)), r"expected the shape \(2, 3\), found \(0, 3\)"),
        (A * 1j, "expected an array of real numbers, found class 6 with flags 08"),
        (np.array([["a", "b", "c"]] * 2), "expected an array of real numbers, found class 4"),
        (np.array([[1, "b", 3]] * 2, object), "expected an array of real numbers, found class 1"),
        (np.full((2, 3), 0.5), r"expected whole numbers from 0 to 255, found 0\.5 at \(0, 0\)"),
        (np.where(A == 254, 2.5, A), r"found 2\.5 at \(1, 1\)"),
        (np.where(A == 254, np.nan, A), r"found nan at \(1, 1\)"),
        (np.where(A == 254, np.inf, A), r"found inf at \(1, 1\)"),
        (np.where(A == 3, -1.0, A), r"found -1.0 at \(0, 2\)"),
        (np.where(A == 3, 256, A.astype(int)), r"found 256 at \(0, 2\)"),
        (A.astype("i8") << 40, "expected whole numbers from 0 to 255"),
    ],
)
def test_array_that_is_not_as_expected(path, do_compression, numbers, message):
    scipy.io.savemat(path, {"a": numbers}, do_compression=do_compression)
    rejected(path, path.read_bytes(), message)


@pytest.mark.parametrize(("dtype", "bits"), [("f4", 0x7F800001), ("f8", 0x7FF0000000000001)])
def test_signalling_nan(path, dtype, bits):
    numbers = np.array([0, 1, bits, 3, 4, 5], dtype.replace("f", "u"))
    rejected(path, file_of(array(numbers.tobytes(), kind=7 if dtype == "f4" else FLOAT64)), r"found nan at \(0, 1\)")


def test_missing_variables_are_named(path):
    scipy.io.savemat(path, {"a": A, "B": A})
    with pytest.raises(DatasetError, match="expected the variables a, b, c, found no b, c"):
        read_mat(path, dict.fromkeys("abc", BYTES["a"]))


def test_missing_file_and_folder(path, tmp_path):
    with pytest.raises(DatasetError, match="no such file"):
        read_mat(path, BYTES)
    with pytest.raises(DatasetError, match="expected a MATLAB file, found a folder"):
        read_mat(tmp_path, BYTES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a file of MATLAB 5 to 7"),
        (bytes(200), "not a file of MATLAB 5 to 7"),
        (file_of()[:127], "not a file of MATLAB 5 to 7"),
        (file_of(array(A.tobytes(order="F")), version=0x0200), "not a file of MATLAB 5 to 7"),
        (b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n\x1a\n", "7.3 .HDF5.*save.*-v7"),
        (b"\x89HDF\r\n\x1a\n" + bytes(500), "7.3 .HDF5"),
        (file_of(), "expected the variables a, found no a"),
    ],
)
def test_other_files(path, content, message):
    rejected(path, content, message)


def test_matlab_4_is_another_format(path):
    scipy.io.savemat(path, {"a": A}, format="4")
    rejected(path, path.read_bytes(), "not a file of MATLAB 5 to 7")


# --- what is damaged --------------------------------------------------------------------------------------------------

NUMBERS = A.tobytes(order="F")
GOOD = array(NUMBERS)


@pytest.mark.parametrize("pack", [bytes, deflated], ids=["plain", "deflated"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (element(3, NUMBERS), "expected an array, element type 14 or 15, found type 3"),
        (array(NUMBERS, name=b"a" * 1025), "the name of an array: expected at most 1024 bytes"),
        (array(NUMBERS, shape=()), r"expected the shape \(2, 3\), found \(\)"),
        (array(NUMBERS, shape=(-2, -3)), r"found \(-2, -3\)"),
        (array(NUMBERS, kind=1 << 15), "expected numbers, element types 1, .*, found type 32768"),
        (array(NUMBERS, kind=MATRIX), "expected numbers, .* found type 14"),
        (array(NUMBERS[:5]), r"expected 6 bytes for \(2, 3\) of uint8 .*, found 5"),
        (array(NUMBERS, size=7), "found 7"),
        (array(NUMBERS + bytes(8)), "found 14"),
        (array(NUMBERS, kind=FLOAT64), "expected 48 bytes"),
        (array(NUMBERS, array_class=5), "expected an array of real numbers, found class 5"),  # sparse
        (array(NUMBERS, flags=0x08), "found class 9 with flags 08"),
        (element(MATRIX, GOOD[8:] + bytes(8)), "size of the array is not what its axes promise"),
        (element(MATRIX, GOOD[8:-8]), "truncated: expected 6 bytes, found 0"),
        (element(MATRIX, GOOD[8:24]), "truncated: expected 8 bytes, found 0"),
        (element(MATRIX, b""), "truncated"),
        (element(MATRIX, element(5, bytes(8))), "the flags of an array: expected at most 1024 bytes of type 6"),
        (element(MATRIX, element(6, bytes(4)) + GOOD[24:]), "8 bytes of flags and 4 for each axis, found 4 and 8"),
        (element(MATRIX, GOOD[8:24] + element(5, bytes(7)) + GOOD[40:]), "and 4 for each axis, found 8 and 7"),
        (element(MATRIX, struct.pack("<II", 5 << 16 | 6, 0)), "within its tag: expected at most 4 bytes, found 5"),
    ],
    ids=lambda part: part if isinstance(part, str) else "content",
)
def test_broken_array(path, pack, content, message):
    rejected(path, file_of(pack(content)), message)


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (-2, -3)])
def test_axis_of_any_length_has_a_length(path, shape):
    content = file_of(array(NUMBERS[: max(0, shape[0] * shape[1])], shape=shape))
    rejected(path, content, r"expected the shape \(1 or more, 1 or more\)", {"a": Variable((None, None), 0, 255)})


def test_unknown_type_within_a_tag(path):
    tag = struct.pack("<I", 3 << 16 | 0x100 | UINT8) + b"\x05\x06\x07\0"
    content = file_of(element(MATRIX, array(b"", shape=(1, 3))[8:-8] + tag))
    rejected(path, content, "expected numbers, .* found type 258", {"a": Variable((1, 3), 0, 255)})


def test_one_name_twice(path):
    rejected(path, file_of(GOOD, deflated(GOOD)), "the variable a occurs twice")


def test_truncated_file(path):
    for missing in range(1, len(GOOD)):
        rejected(path, file_of(GOOD)[:-missing], "truncated")


def test_truncated_or_prolonged_zlib_stream(path):
    packed = zlib.compress(GOOD)
    for content in (packed[:-1], packed[:-4], packed[:20]):
        rejected(path, file_of(struct.pack("<II", COMPRESSED, len(content)) + content), "zlib stream is truncated")
    for content in (packed + b"\0", packed + packed):
        rejected(path, file_of(struct.pack("<II", COMPRESSED, len(content)) + content), "more bytes follow")
    for content in (GOOD + b"\0", struct.pack("<II", MATRIX, len(GOOD)) + GOOD[8:]):  # a size 8 bytes too large
        rejected(path, file_of(deflated(content)), "size of the array is not what its axes promise")


def test_checksum_of_the_zlib_stream_is_verified(path):
    content = bytearray(file_of(deflated(GOOD)))
    content[-1] ^= 1
    rejected(path, content, r"damaged .*incorrect data check.*fetch the file again")


# --- what is too large ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pack", [bytes, deflated], ids=["plain", "deflated"])
@pytest.mark.parametrize("shape", [(2**31 - 1, 2**31 - 1), (MAX_BYTES + 1, 1)])
def test_promise_of_too_much_is_refused_before_it_is_allocated(path, pack, shape):
    size = min(shape[0] * shape[1], 2**32 - 1)
    content = file_of(pack(array(NUMBERS, shape=shape, size=size)))
    variables = {"a": Variable((None, None), 0, 255)}
    with memory_below(1_000_000):
        rejected(path, content, r"variable a: expected \d+ bytes .*at most 268435456", variables)


def test_promise_of_more_than_the_file_has(path):
    content = bytearray(file_of(GOOD))
    content[132:136] = struct.pack("<I", 2**32 - 1)  # the size of the array's element
    with memory_below(1_000_000):
        rejected(path, content, "an element promises 4294967295 bytes, 64 are left")
    content = file_of(element(MATRIX, array(NUMBERS, shape=(1 << 27, 1), size=1 << 27)[8:]))
    with memory_below(1_000_000):
        rejected(path, content, "truncated: expected 134217728 bytes", {"a": Variable((None, 1), 0, 9)})


def test_bomb_is_not_inflated(path):
    bomb = deflated(element(MATRIX, GOOD[8:] + bytes(50_000_000)))
    with memory_below(1_000_000):
        rejected(path, file_of(bomb), "size of the array is not what its axes promise")
    other = file_of(deflated(array(bytes(50_000_000), name=b"other")))
    with memory_below(1_000_000):
        rejected(path, other, "found no a")


# --- what is hit by chance --------------------------------------------------------------------------------------------


def test_any_damage_to_a_zlib_stream_is_noticed(path, rng):
    """DatasetError, or the same array if the text of the header or an optional bit was hit."""
    scipy.io.savemat(path, {"a": A, "b": A}, do_compression=True)
    mutants = mutations(path.read_bytes(), rng, 400)
    variables = {"a": BYTES["a"], "b": BYTES["a"]}
    accepted = 0
    for arrays in survivors(lambda: read_mat(path, variables), path, mutants):
        accepted += 1
        for name in "ab":
            np.testing.assert_array_equal(arrays[name], A, strict=True)
    assert 0 < accepted < 200


@pytest.mark.parametrize("dtype", ["u1", "i2", "f4", "f8"])
def test_damage_to_a_plain_file_leaves_numbers_in_range(path, rng, dtype):
    """There is no checksum: numbers may change, but not the shape or the range."""
    scipy.io.savemat(path, {"a": (A // 2).astype(dtype)}, do_compression=False)
    mutants = mutations(path.read_bytes(), rng, 300)
    accepted = 0
    for arrays in survivors(lambda: read_mat(path, BYTES), path, mutants):
        accepted += 1
        numbers = arrays["a"]
        assert numbers.shape == (2, 3)
        assert set(numbers.ravel().tolist()) <= set(range(256))
    assert 0 < accepted < 180


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_reading_needs_little_more_memory_than_the_array(dtype, tmp_path):
    """64 kB of packed zeros are 64 MB: they must not be inflated beside what is already there."""
    scipy.io.savemat(tmp_path / "x.mat", {"x": np.full((3000, 1000), 200.5 // 1, dtype)}, do_compression=True)
    tracemalloc.start()
    try:
        array = read_mat(tmp_path / "x.mat", {"x": Variable((3000, 1000), 0, 255)})["x"]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (array == 200).all()
    assert peak < 1.3 * array.nbytes + 2**21
