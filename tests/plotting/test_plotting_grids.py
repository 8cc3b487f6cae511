"""Tiles are in their places, in grey and in colour, and only images are drawn."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from nice_np import NiceTypeError, NiceValueError, plotting
from nice_np.plotting.tiles import SEPARATOR


def sheet_of(ax):
    """The RGB sheet as drawn, with separators and empty places masked."""
    sheet = ax.images[0].get_array()
    lines = (sheet == to_rgb(SEPARATOR)).all(axis=-1, keepdims=True)
    return np.ma.array(sheet, mask=np.broadcast_to(lines, sheet.shape))


def grey(images):
    return np.repeat(images[..., None], 3, axis=-1)


# -- image_grid ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(7, 6), (7, 2, 3)])
def test_image_grid_puts_each_tile_in_its_place(rng, shape):
    images = rng.uniform(size=shape)
    sheet = sheet_of(plotting.image_grid(images, (2, 3), columns=4))
    assert sheet.shape == (2 * 3 + 1, 4 * 4 + 1, 3)
    for k, image in enumerate(images.reshape(7, 2, 3)):
        top, left = 1 + 3 * (k // 4), 1 + 4 * (k % 4)
        np.testing.assert_array_equal(sheet[top : top + 2, left : left + 3], grey(image))
    assert sheet.mask[::3].all()  # separators
    assert sheet.mask[:, ::4].all()
    assert sheet.mask[3:, 13:].all()  # the eighth place is empty
    assert np.ma.count(sheet) == 3 * images.size


@pytest.mark.parametrize("shape", [(5, 18), (5, 3, 2, 3)])
def test_colour_images_are_three_planes_one_after_the_other(rng, shape):
    images = rng.uniform(size=shape)
    sheet = sheet_of(plotting.image_grid(images, (3, 2, 3), columns=3))
    assert sheet.shape == (2 * 3 + 1, 3 * 4 + 1, 3)
    for k, row in enumerate(images.reshape(5, 18)):
        top, left = 1 + 3 * (k // 3), 1 + 4 * (k % 3)
        red, green, blue = row[:6].reshape(2, 3), row[6:12].reshape(2, 3), row[12:].reshape(2, 3)
        np.testing.assert_array_equal(sheet[top : top + 2, left : left + 3], np.stack([red, green, blue], axis=-1))


def test_image_grid_knows_colour_by_its_four_axes():
    assert plotting.image_grid(np.zeros((2, 3, 4, 5)), columns=2).images[0].get_array().shape == (6, 13, 3)


def test_image_grid_is_about_square_and_guesses_square_images():
    sheet = sheet_of(plotting.image_grid(np.zeros((10, 9))))
    assert sheet.shape == (3 * 4 + 1, 4 * 4 + 1, 3)


def test_image_grid_clips_for_display_only_and_shows_row_0_on_top():
    ax = plotting.image_grid(np.array([[-3.0, 0.5, 1.0, 9.0]]), (2, 2))
    assert ax.images[0].origin == "upper"
    assert ax.images[0].get_interpolation() == "nearest"
    colours = ax.images[0].get_array()
    np.testing.assert_allclose(colours[1, 1], [0, 0, 0])
    np.testing.assert_allclose(colours[1, 2], [0.5, 0.5, 0.5])
    np.testing.assert_allclose(colours[2, 2], [1, 1, 1])
    assert len(set(colours[0, 0])) > 1  # a separator is not a grey


def test_image_grid_takes_uint8_as_255ths_and_another_range():
    sheet = sheet_of(plotting.image_grid(np.array([[0, 51, 102, 255]], dtype=np.uint8)))
    np.testing.assert_allclose(sheet[..., 0].compressed(), [0, 0.2, 0.4, 1])
    sheet = sheet_of(plotting.image_grid([[-1, 0, 0.5, 2]], value_range=(-1, 2)))
    np.testing.assert_allclose(sheet[..., 0].compressed(), [0, 1 / 3, 0.5, 1])


@pytest.mark.parametrize("n_images", [1, 13, 90])
def test_a_new_figure_shows_pixels_as_equal_squares(rng, n_images):
    images = rng.uniform(size=(n_images, 20, 28))
    ax = plotting.image_grid(images, title="noise")
    ax.figure.canvas.draw()
    height, width = sheet_of(ax).shape[:2]
    box = ax.get_window_extent()
    assert box.width / width == pytest.approx(box.height / height)
    assert box.width / width == pytest.approx(round(box.width / width))


@pytest.mark.parametrize(
    ("images", "options"),
    [
        (np.zeros(4), {}),
        (np.zeros((0, 4)), {}),
        (np.zeros((2, 4, 2, 2)), {}),
        (np.zeros((2, 3, 2, 2, 1)), {}),
        (np.zeros((2, 5)), {}),
        (np.zeros((2, 6)), {"image_shape": (2, 2)}),
        (np.zeros((2, 2, 3)), {"image_shape": (3, 2)}),
        (np.zeros((2, 4)), {"image_shape": 4}),
        (np.zeros((2, 12)), {"image_shape": (2, 2, 3)}),
        (np.zeros((2, 3, 2, 2)), {"image_shape": (2, 2)}),
        (np.zeros((2, 4)), {"image_shape": (-2, -2)}),
        (np.array([[0, 1, np.nan, 0]]), {}),
        (np.array([[0, 1, np.inf, 0]]), {}),
        (np.zeros((2, 4)), {"columns": 0}),
        (np.zeros((2, 4)), {"value_range": (1, 0)}),
        (np.zeros((2, 4)), {"value_range": (0, np.nan)}),
    ],
)
def test_image_grid_refuses_wrong_values(images, options):
    with pytest.raises(NiceValueError, match="image_grid: "):
        plotting.image_grid(images, **options)


@pytest.mark.parametrize(
    "options", [{"columns": 1.5}, {"image_shape": (2.0, 2.0)}, {"ax": "left"}, {"value_range": ("black", "white")}]
)
def test_image_grid_refuses_wrong_types(options):
    with pytest.raises(NiceTypeError, match="image_grid: "):
        plotting.image_grid(np.zeros((2, 4)), **options)


# -- reconstructions -------------------------------------------------------------------------------------------------


def test_reconstructions_stand_below_their_originals(rng):
    real = rng.uniform(size=(12, 6))
    rebuilt = real + 0.001
    rebuilt[5, 2] -= 0.251
    ax = plotting.reconstructions(real, rebuilt, (2, 3))
    sheet = sheet_of(ax)
    assert sheet.shape == (4 * 3 + 1, 10 * 4 + 1, 3)
    for k in range(12):
        top, left = 1 + 6 * (k // 10), 1 + 4 * (k % 10)
        np.testing.assert_array_equal(sheet[top : top + 2, left : left + 3], grey(real[k].reshape(2, 3)))
        np.testing.assert_array_equal(sheet[top + 3 : top + 5, left : left + 3], grey(rebuilt[k].reshape(2, 3)))
    assert ax.get_title() == "max|difference| = 0.25"
    assert [label.get_text() for label in ax.get_yticklabels()] == ["real", "rebuilt"] * 2
    np.testing.assert_allclose(ax.get_yticks(), [1.5, 4.5, 7.5, 10.5])  # the centres of rows 1-2, 4-5, ...


def test_reconstructions_measures_before_clipping():
    assert plotting.reconstructions([[5.0]], [[8.0]]).get_title() == "max|difference| = 3"


def test_reconstructions_refuses_unequal_shapes():
    with pytest.raises(NiceValueError, match=r"real is \(2, 4\) but rebuilt \(3, 4\)"):
        plotting.reconstructions(np.zeros((2, 4)), np.zeros((3, 4)), (2, 2))


# -- label_grid ------------------------------------------------------------------------------------------------------


def test_label_grid_has_one_row_a_label(rng):
    images = {label: rng.uniform(size=(4, 6)) for label in (7, "$0")}
    ax = plotting.label_grid(images, (2, 3), title="digits")
    sheet = sheet_of(ax)
    assert sheet.shape == (2 * 3 + 1, 4 * 4 + 1, 3)
    for row, label in enumerate(images):
        for k in range(4):
            tile = sheet[1 + 3 * row : 3 + 3 * row, 1 + 4 * k : 4 + 4 * k]
            np.testing.assert_array_equal(tile, grey(images[label][k].reshape(2, 3)))
    np.testing.assert_allclose(ax.get_yticks(), [1.5, 4.5])
    assert [text.get_text() for text in ax.get_yticklabels()] == ["7", r"\$0"]
    assert ax.get_title() == "digits"


@pytest.mark.parametrize("images", [{}, {0: np.eye(4), 1: np.ones((3, 4))}, {0: np.eye(4), 1: np.ones((4, 9))}])
def test_label_grid_needs_equal_rows(images):
    with pytest.raises(NiceValueError, match="label_grid: expected images of equal number and shape"):
        plotting.label_grid(images)
