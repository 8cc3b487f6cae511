"""Originals, degraded and restored images: each in its row, hidden pixels in blue, decibels below."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from nice_np import NiceTypeError, NiceValueError, plotting, psnr
from nice_np.plotting.restorations import HOLE


def names_of(ax):
    return [text.get_text() for text in ax.get_yticklabels()]


def pictures(ax, columns):
    """The RGB images by row and column."""
    images = [np.asarray(image.get_array()) for image in ax.images]
    return [images[k : k + columns] for k in range(0, len(images), columns)]


def test_rows_stand_below_each_other(rng):
    original, degraded, restored = rng.uniform(size=(3, 4, 2, 3))
    ax = plotting.restorations(original, degraded, restored, names=("truth", "$y", "x"), title="four")
    assert names_of(ax) == ["truth", r"\$y", "x"]
    assert ax.get_title() == "four"
    assert len(ax.texts) == 0
    for row, images in zip(pictures(ax, 4), (original, degraded, restored), strict=True):
        np.testing.assert_array_equal([picture[..., 0] for picture in row], images)
    tops = sorted({image.get_extent()[3] for image in ax.images})
    assert len(tops) == 3
    for tick, top in zip(ax.get_yticks(), tops, strict=True):
        assert tick == pytest.approx(top + 0.5)


def test_unknown_originals_and_fewer_pixels(rng):
    degraded, restored = rng.uniform(size=(2, 3, 2, 1)), rng.uniform(size=(2, 3, 4, 2))
    ax = plotting.restorations(
        None, degraded.reshape(2, -1), restored.reshape(2, -1), (3, 4, 2), degraded_shape=(3, 2, 1)
    )
    assert names_of(ax) == ["degraded", "restored"]
    low, high = pictures(ax, 2)
    np.testing.assert_array_equal(low[1], degraded[1].transpose(1, 2, 0))
    np.testing.assert_array_equal(high[1], restored[1].transpose(1, 2, 0))
    sizes = {tuple(np.round(np.abs(np.diff(np.reshape(image.get_extent(), (2, 2)))).ravel(), 9)) for image in ax.images}
    assert sizes == {(0.5, 1.0)}  # equal in size


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("colour", [True, False])
def test_holes_are_blue_in_what_was_seen_only(rng, known, colour):
    shape = (3, 2, 3) if colour else (2, 3)
    x = rng.uniform(size=(2, *shape))
    hidden = np.array([[True, False, False], [False, True, False]])
    everywhere = np.broadcast_to(hidden, shape).ravel() if colour else hidden
    ax = plotting.restorations(x if known else None, x, x, hidden=everywhere, decibels=known)
    rows = pictures(ax, 2)
    seen = rows.pop(1 if known else 0)
    for picture in seen:
        assert ((picture == to_rgb(HOLE)).all(axis=-1) == hidden).all()
    for row in rows:
        for picture in row:
            assert not (picture == to_rgb(HOLE)).all(axis=-1).any()
    red, green, blue = to_rgb(HOLE)
    assert blue > green > red  # no grey
    assert len(ax.texts) == (2 if known else 0)  # none below images with hidden pixels


def test_a_pixel_seen_in_one_channel_is_no_hole(rng):
    x, hidden = rng.uniform(size=(1, 3, 1, 2)), np.array([[[True, True]], [[True, False]], [[True, True]]])
    picture = pictures(plotting.restorations(None, x, x, hidden=hidden), 1)[0][0]
    assert ((picture == to_rgb(HOLE)).all(axis=-1) == [[True, False]]).all()


def test_decibels_stand_below_their_images(rng):
    x = rng.uniform(size=(3, 2, 2))
    degraded, restored = x + 0.1, x + 0.01 * rng.normal(size=x.shape)
    restored[2] = x[2]
    ax = plotting.restorations(x, degraded, restored, decibels=True)
    values = psnr(restored.reshape(3, -1), x.reshape(3, -1))
    assert [text.get_text() for text in ax.texts] == ["20.0 dB"] * 3 + [f"{v:.1f} dB" for v in values[:2]] + ["equal"]
    for text, image in zip(ax.texts, ax.images[3:], strict=True):
        left, right, bottom, _ = image.get_extent()
        assert text.get_position()[0] == pytest.approx((left + right) / 2)
        assert bottom < text.get_position()[1] < bottom + 0.24
    assert ax.get_ylim()[0] >= ax.texts[-1].get_position()[1] + 0.1


def test_decibels_count_from_black_to_white(rng):
    levels = rng.uniform(0, 255, (1, 2, 2))
    ax = plotting.restorations(levels, levels + 25.5, levels + 2.55, decibels=True, value_range=(0, 255))
    assert [text.get_text() for text in ax.texts] == ["20.0 dB", "40.0 dB"]


def test_images_of_another_size_have_no_decibels(rng):
    x = rng.uniform(size=(1, 4, 4))
    ax = plotting.restorations(x, x[:, ::2, ::2], x + 0.1, degraded_shape=(2, 2), decibels=True)
    assert [text.get_text() for text in ax.texts] == ["20.0 dB"]


def test_draws_and_their_mean_follow(rng):
    x, draws = rng.uniform(size=(2, 6)), rng.uniform(size=(2, 3, 6))
    ax = plotting.restorations(x, x, x, (2, 3), draws=draws, mean=draws.mean(axis=1), decibels=True)
    assert names_of(ax) == ["original", "degraded", "restored", "mean of draws", "draw 1", "draw 2", "draw 3"]
    rows = pictures(ax, 2)
    for k in range(3):
        for n in range(2):
            np.testing.assert_array_equal(rows[4 + k][n][..., 0].ravel(), draws[n, k])
    np.testing.assert_array_equal(rows[3][1][..., 0].ravel(), draws[1].mean(axis=0))
    assert len(ax.texts) == 6  # none below draws


X = np.zeros((2, 4))


@pytest.mark.parametrize(
    ("arguments", "settings", "error", "message"),
    [
        ((X, X, X[:1]), {}, NiceValueError, "got 2 degraded and 1 restored"),
        ((X[:1], X, X), {}, NiceValueError, r"original is \(1, 2, 2, 1\), restored \(2, 2, 2, 1\)"),
        ((None, X, X), {"decibels": True}, NiceValueError, "decibels need the originals"),
        ((X, X, X), {"names": ("a", "b")}, NiceValueError, "expected three names"),
        ((X, X, X), {"names": "abc"}, NiceValueError, "expected three names"),
        ((X, X, X), {"draws": X}, NiceValueError, r"draws must have shape \(N, K, D\)"),
        ((X, X, X), {"draws": X[:1, None]}, NiceValueError, r"draws\[:, 0\] is \(1, 2, 2, 1\)"),
        ((X, X, X), {"mean": X[:1]}, NiceValueError, "mean is"),
        ((X, X, X), {"hidden": np.zeros(4)}, NiceTypeError, "hidden must be True or False"),
        ((X, X, X), {"hidden": np.zeros(3, bool)}, NiceValueError, r"hidden has shape \(3,\)"),
        ((X, X, np.zeros((2, 5))), {}, NiceValueError, "are not images of"),
        ((X, X, X), {"ax": 3}, NiceTypeError, "expected a matplotlib Axes"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, settings, error, message):
    with pytest.raises(error, match=f"restorations: .*{message}|restorations: {message}"):
        plotting.restorations(*arguments, **settings)
