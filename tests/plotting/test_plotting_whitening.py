"""Before and after whitening: the matrices, ellipses and images drawn are those of the data."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from nice_np import NiceTypeError, NiceValueError, PCAWhitening, ZCAWhitening, plotting


def whitened(x, kind=ZCAWhitening):
    layer = kind.unfitted(x.shape[1], epsilon=0)
    layer.fit(lambda: iter([x]))
    return layer.forward(x)[0]


def mixed(rng, n=400, dim=5):
    return rng.standard_normal((n, dim)) @ rng.standard_normal((dim, dim)) + np.arange(dim)


@pytest.mark.parametrize("kind", [ZCAWhitening, PCAWhitening])
def test_the_matrices_are_the_correlations(kind, rng):
    x = mixed(rng)
    before, after = plotting.whitening(x, whitened(x, kind))
    np.testing.assert_allclose(before.images[0].get_array(), np.corrcoef(x.T), atol=1e-12)
    np.testing.assert_allclose(after.images[0].get_array(), np.eye(5), atol=1e-10)
    assert before.images[0].get_clim() == after.images[0].get_clim() == (-1, 1)
    assert after.get_title() == "After: mean |correlation| 0.00\nvariances from 1 to 1"
    size = np.abs(np.corrcoef(x.T)[~np.eye(5, dtype=bool)]).mean()
    low, high = x.var(axis=0).min(), x.var(axis=0).max()
    assert before.get_title() == f"Before: mean |correlation| {size:.2f}\nvariances from {low:.2g} to {high:.2g}"
    assert before.images[0].colorbar.ax.get_ylabel() == "correlation"


def test_a_feature_that_never_varies_is_left_out(rng):
    x = mixed(rng)
    x[:, 2] = 7.0
    matrix = plotting.whitening(x, x)[0].images[0].get_array()
    assert matrix.mask[2].all()
    assert matrix.mask[:, 2].all()
    others = np.delete(np.delete(matrix, 2, 0), 2, 1)
    assert not others.mask.any()
    np.testing.assert_allclose(others, np.corrcoef(np.delete(x, 2, 1).T), atol=1e-12)


def test_nothing_varies():
    before, _ = plotting.whitening(np.ones((4, 3)), np.ones((4, 3)))
    assert before.get_title() == "Before: mean |correlation| none\nvariances from 0 to 0"


def test_two_features_are_points_and_an_ellipse(rng):
    # std 3 along (0.6, 0.8) and 1 across it, mean (1, -2): no symmetry that could hide a mistake
    raw = rng.standard_normal((500, 2))
    unit = whitened(raw)
    x = (unit * [3, 1]) @ np.array([[0.6, 0.8], [-0.8, 0.6]]) + [1, -2]
    before, after = plotting.whitening(x, whitened(x))
    points, ellipse, long, short = before.lines
    np.testing.assert_array_equal(points.get_xydata(), x)
    rotated = (ellipse.get_xydata() - [1, -2]) @ np.array([[0.6, -0.8], [0.8, 0.6]])  # along, across
    np.testing.assert_allclose((rotated / [6, 2]) ** 2 @ [1, 1], 1, rtol=1e-10)
    np.testing.assert_allclose(np.abs(np.diff(long.get_xydata(), axis=0)), [[12 * 0.6, 12 * 0.8]], rtol=1e-10)
    np.testing.assert_allclose(np.abs(np.diff(short.get_xydata(), axis=0)), [[4 * 0.8, 4 * 0.6]], rtol=1e-10)
    np.testing.assert_allclose(np.linalg.norm(after.lines[1].get_xydata(), axis=1), 2, rtol=1e-10)
    assert before.get_title() == "Before: std 3.00 and 1.00 along the axes"
    assert (before.get_xlabel(), after.get_xlabel()) == ("$x_1$", "$z_1$")


def test_images_stand_above_the_correlations_of_their_middle_pixel(rng):
    pixels = rng.integers(0, 256, (20, 3 * 4), dtype=np.uint8)
    after = pixels / 128.0 - 1
    first, second, third, fourth = plotting.whitening(pixels, after, image_shape=(3, 4))
    sheet = first.images[0].get_array()
    np.testing.assert_allclose(sheet[1:4, 1:5, 0], pixels[0].reshape(3, 4) / 255)  # a line of one pixel around each
    np.testing.assert_allclose(second.images[0].get_array()[1:4, 6:10, 0], (after[1].reshape(3, 4) + 3) / 6)
    assert (first.get_title(), second.get_title()) == ("Before", "After")
    middle = 1 * 4 + 2  # row 1, column 2
    for ax, values in ((third, pixels), (fourth, after)):
        np.testing.assert_allclose(ax.images[0].get_array().ravel(), np.corrcoef(values.T)[middle], atol=1e-12)


def test_colour_images_keep_the_order_of_their_features(rng):
    pixels = rng.random((9, 3 * 2 * 2))
    panels = plotting.whitening(pixels, pixels, image_shape=(3, 2, 2))
    first_plane = np.corrcoef(pixels.T)[3, :4]  # pixel (1, 1) of it
    np.testing.assert_allclose(panels[2].images[0].get_array().ravel(), first_plane, atol=1e-12)
    np.testing.assert_allclose(panels[0].images[0].get_array()[1, 1], pixels[0].reshape(3, 2, 2)[:, 0, 0])


def test_it_draws_on_the_axes_given(rng):
    x = mixed(rng, 10)
    given = Figure().subplots(1, 2)
    before = dict(mpl.rcParams)
    assert plotting.whitening(x, x, axes=given) == tuple(given)
    assert dict(mpl.rcParams) == before
    with pytest.raises(NiceValueError, match="whitening: expected 2 axes, one per panel, got 3"):
        plotting.whitening(x, x, axes=Figure().subplots(1, 3))
    with pytest.raises(NiceTypeError, match="matplotlib Axes, got str"):
        plotting.whitening(x, x, axes=["left", "right"])


@pytest.mark.parametrize(
    ("before", "after", "options", "message"),
    [
        (np.ones((3, 2)), np.ones((4, 2)), {}, r"the same 2 or more samples .* got \(3, 2\), \(4, 2\)"),
        (np.ones((1, 2)), np.ones((1, 2)), {}, "2 or more samples"),
        (np.ones((3, 1)), np.ones((3, 1)), {}, "2 or more features"),
        (np.ones((3, 2)), np.ones((3, 3)), {}, "after has 3 features, expected 2"),
        (np.ones((3, 2)), [[1, np.nan]] * 3, {}, "after contains NaN"),
        (np.ones((3, 9)), np.ones((3, 9)), {"image_shape": (2, 4)}, "not images of"),
        (np.ones((3, 4)), np.ones((3, 4)), {"image_shape": (2, 2), "value_range": (1, 0)}, "black < white"),
    ],
)
def test_it_refuses(before, after, options, message):
    with pytest.raises(NiceValueError, match=f"whitening: .*{message}"):
        plotting.whitening(before, after, **options)
