"""A user's own images and masks: how they are read, and what is refused with a one-line message."""

import numpy as np
import pytest
from PIL import Image

from nice_np import DatasetError, NiceError, NiceFileError, NiceValueError
from nice_np.datasets.image_files import read_images, read_mask

GREY, COLOUR = (2, 3), (3, 2, 3)
LEVELS = np.array([[0, 50, 100], [150, 200, 255]], np.uint8)


def save_png(path, pixels, mode=None):
    Image.fromarray(pixels, mode).save(path)
    return path


@pytest.fixture
def rgb(rng):
    return rng.integers(0, 256, (2, 3, 3), dtype=np.uint8)  # (H, W, C)


@pytest.mark.parametrize("shape", [(5, 6), (5, 2, 3), (6,), (2, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, ">f8"])
def test_arrays_of_every_shape_become_rows(shape, dtype, rng, tmp_path):
    array = rng.integers(0, 2, shape).astype(dtype)
    np.save(tmp_path / "a.npy", array)
    rows = read_images(tmp_path / "a.npy", GREY)
    np.testing.assert_array_equal(rows, array.reshape(-1, 6))
    assert rows.dtype == (np.uint8 if dtype == np.uint8 else np.float64)


def test_arrays_of_measurements_and_of_colour(rng, tmp_path):
    np.save(tmp_path / "y.npy", y := rng.normal(size=(4, 5)))
    np.testing.assert_array_equal(read_images(tmp_path / "y.npy", (5,)), y)
    np.save(tmp_path / "x.npy", x := rng.uniform(size=(4, *COLOUR)))
    np.testing.assert_array_equal(read_images(tmp_path / "x.npy", COLOUR), x.reshape(4, 18))


def test_a_grey_picture(tmp_path):
    path = save_png(tmp_path / "a.png", LEVELS)
    np.testing.assert_array_equal(read_images(path, GREY), LEVELS.reshape(1, 6))
    np.testing.assert_array_equal(read_images(path, COLOUR), np.tile(LEVELS.reshape(1, 6), 3))


def test_a_picture_in_colour_is_three_planes(rgb, tmp_path):
    path = save_png(tmp_path / "a.png", rgb)
    np.testing.assert_array_equal(read_images(path, COLOUR), rgb.transpose(2, 0, 1).reshape(1, 18))
    with pytest.raises(NiceValueError, match=r"a.png is in colour, but the model expects grey images"):
        read_images(path, GREY)


def test_grey_saved_in_other_ways_is_grey(tmp_path):
    as_rgb = np.repeat(LEVELS[..., None], 3, axis=2)
    opaque = np.concatenate([as_rgb, np.full((2, 3, 1), 255, np.uint8)], axis=2)
    Image.fromarray(LEVELS).convert("P").save(tmp_path / "p.png")
    for path in (save_png(tmp_path / "c.png", as_rgb), save_png(tmp_path / "d.png", opaque), tmp_path / "p.png"):
        np.testing.assert_array_equal(read_images(path, GREY), LEVELS.reshape(1, 6))
    Image.fromarray(LEVELS > 99).save(tmp_path / "1.png")
    np.testing.assert_array_equal(read_images(tmp_path / "1.png", GREY), 255 * (LEVELS > 99).reshape(1, 6))


def test_black_is_missing(rgb, tmp_path):
    path = save_png(tmp_path / "m.png", LEVELS)
    seen = np.array([[False, True, True], [True, True, True]])
    np.testing.assert_array_equal(read_mask(path, GREY), seen)
    np.testing.assert_array_equal(read_mask(path, COLOUR), np.broadcast_to(seen, COLOUR))
    rgb[:] = [0, 0, 1]  # nearly black is not black
    rgb[1, 2] = 0
    assert (read_mask(save_png(tmp_path / "c.png", rgb), GREY) == [[True] * 3, [True, True, False]]).all()


@pytest.mark.parametrize(("level", "says"), [(0, "every pixel is black"), (9, "no pixel is black")])
def test_a_mask_hides_something_and_shows_something(level, says, tmp_path):
    path = save_png(tmp_path / "m.png", np.full((2, 3), level, np.uint8))
    with pytest.raises(NiceValueError, match=says):
        read_mask(path, GREY)


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.zeros((4, 5)), r"expected N >= 1 rows of 6 numbers, or 2 x 3; got \(4, 5\)"),
        (np.zeros((0, 6)), r"got \(0, 6\)"),
        (np.zeros(()), r"got \(\)"),
        (np.zeros((3, 2)), r"got \(3, 2\)"),
        (np.zeros((1, 1, 2, 3)), r"got \(1, 1, 2, 3\)"),
        (np.zeros((4, 6), int), "expected floats, 0 black and 1 white, or uint8; got int64"),
        (np.zeros((4, 6), bool), "got bool"),
        (np.zeros((4, 6), complex), "got complex128"),
        (np.full((4, 6), "a"), "got <U1"),
    ],
)
def test_arrays_that_are_no_images(array, says, tmp_path):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(NiceValueError, match=says):
        read_images(tmp_path / "a.npy", GREY)


def test_damaged_files(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((4, 6)))
    whole = (tmp_path / "a.npy").read_bytes()
    huge = whole.replace(b"(4, 6)", b"(9999999999999, 6)").replace(b" " * 12, b"", 1)
    np.savez(tmp_path / "z.npz", np.zeros(6))
    np.save(tmp_path / "o.npy", np.array([{}]), allow_pickle=True)
    contents = [b"", b"\x93NUMPY", whole[:-1], huge, (tmp_path / "z.npz").read_bytes(), b"no array"]
    for damaged in [*contents, (tmp_path / "o.npy").read_bytes()]:
        (tmp_path / "d.npy").write_bytes(damaged)
        with pytest.raises(NiceFileError, match=r"d.npy is not a complete .npy file of numbers: [^\n]*$"):
            read_images(tmp_path / "d.npy", GREY)
    picture = save_png(tmp_path / "a.png", LEVELS).read_bytes()
    Image.fromarray(LEVELS).save(tmp_path / "a.jpg")
    for damaged in (b"", picture[:40], picture[:-20], picture[:50] + b"xx" + picture[52:], b"no picture"):
        (tmp_path / "d.png").write_bytes(damaged)
        with pytest.raises(NiceFileError, match=r"d.png is not a complete PNG image"):
            read_images(tmp_path / "d.png", GREY)
    (tmp_path / "d.png").write_bytes((tmp_path / "a.jpg").read_bytes())
    with pytest.raises(NiceFileError, match=r"d.png is not a complete PNG image"):
        read_mask(tmp_path / "d.png", GREY)


def test_files_that_are_none(tmp_path):
    (tmp_path / "folder.png").mkdir()
    for name, says in {"no.npy": "no such file", "no.png": "no such file", "folder.png": "found a folder"}.items():
        with pytest.raises(DatasetError, match=f"{name}: .*{says}"):
            read_images(tmp_path / name, GREY)


def test_pictures_of_another_kind(rgb, tmp_path):
    transparent = np.concatenate([rgb, np.full((2, 3, 1), 254, np.uint8)], axis=2)
    cases = {
        r"expected 3 x 2 pixels \(across, down\), got 2 x 3": LEVELS.T.copy(),
        "expected 8 bits per channel, got Pillow's mode I;16": LEVELS.astype(np.uint16) * 256,
        "has transparent pixels": transparent,
    }
    for says, pixels in cases.items():
        with pytest.raises(NiceValueError, match=says):
            read_images(save_png(tmp_path / "a.png", pixels), COLOUR)
    with pytest.raises(NiceValueError, match="these measurements are not an image"):
        read_images(tmp_path / "a.png", (5,))
    assert issubclass(DatasetError, NiceError)
