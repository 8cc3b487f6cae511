"""The roof bends at the ridge, and points are where they were measured."""

import numpy as np
import pytest

from nice_np import NiceValueError, plotting


def test_the_roof_is_the_lower_of_peak_and_memory():
    ax = plotting.roofline(64e9, 8e9, {"Adam": (0.5, 3e9), "product": (50.0, 60e9)}, title="A step")
    x, y = ax.lines[0].get_data()
    np.testing.assert_allclose(y, np.minimum(64, 8 * x))
    assert x[1] == 8  # the ridge, 64 GFLOP/s over 8 GB/s
    assert (x[0], x[2]) == pytest.approx((0.5 / 3, 150))  # every point lies between
    assert ax.get_title() == "A step\npeak 64 GFLOP/s, memory 8 GB/s, ridge at 8 FLOP/byte"
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")


def test_points_are_in_giga_and_told_apart():
    points = {"Adam": (0.5, 3e9), "product": (50.0, 60e9)}
    ax = plotting.roofline(64e9, 8e9, points)
    drawn = {line.get_label(): line for line in ax.lines[2:]}
    places = {name: tuple(line.get_xydata()[0]) for name, line in drawn.items()}
    assert places == {"Adam": (0.5, 3), "product": (50, 60)}
    assert len({line.get_marker() for line in drawn.values()}) == 2
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["Adam", "product"]


def test_a_roof_alone():
    ax = plotting.roofline(64e9, 8e9, {})
    assert ax.get_legend() is None
    assert len(ax.lines) == 2


@pytest.mark.parametrize("bad", [(0.0, 1e9), (1.0, np.nan), (1.0, 2.0, 3.0), (-1.0, 1.0)])
def test_points_that_have_no_place(bad):
    with pytest.raises(NiceValueError, match="two numbers above 0"):
        plotting.roofline(64e9, 8e9, {"x": bad})


@pytest.mark.parametrize(("peak", "bandwidth"), [(0, 1e9), (1e9, 0), (np.inf, 1e9)])
def test_a_machine_that_does_nothing(peak, bandwidth):
    with pytest.raises(NiceValueError, match="roofline"):
        plotting.roofline(peak, bandwidth, {})
