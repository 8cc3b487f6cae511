"""The Jacobian is drawn the right way round, and a wrong gradient is visible at a glance."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_hex

from nice_np import NiceTypeError, NiceValueError, StandardNormal, check_gradients, plotting
from nice_np.checks.gradients import GradientReport
from nice_np.plotting.style import BLUE, VERMILION


def test_jacobian_image_shows_the_matrix_and_masks_its_zeros():
    J = np.array([[1.0, 0.0, -3.0], [1e-10, 2.0, 0.5]])
    ax = plotting.jacobian_image(J, title="J of a layer")
    shown = ax.images[0].get_array()
    np.testing.assert_array_equal(shown.mask, [[False, True, False], [True, False, False]])
    np.testing.assert_array_equal(shown.compressed(), [1, -3, 2, 0.5])
    assert ax.images[0].get_clim() == (-3, 3)  # zero is the centre of the colour map
    assert ax.get_title() == "J of a layer\n33.3% zeros (grey)"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("input $j$", "output $i$")
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # first output at the top


def test_jacobian_image_of_small_and_large_entries():
    image = plotting.jacobian_image([[1000.0, 20.0]], log=True).images[0]
    assert image.norm(20.0) > 0.6  # on a linear scale it would be 0.51
    assert image.colorbar.get_ticks().tolist() == [-1000, -100, 0, 100, 1000]
    assert plotting.jacobian_image(np.zeros((2, 2))).images[0].get_array().mask.all()


@pytest.mark.parametrize("bad", [np.zeros((1, 2, 2)), np.zeros(3), np.zeros((0, 2)), [[np.nan]]])
def test_jacobian_image_of_no_matrix(bad):
    with pytest.raises(NiceValueError, match="expected a finite matrix"):
        plotting.jacobian_image(bad)


def test_gradient_check_marks_what_failed(rng):
    class Wrong(StandardNormal):
        def grad_log_prob(self, z):
            return 1.1 * super().grad_log_prob(z)

    z = rng.normal(size=(3, 2))
    rows = check_gradients(StandardNormal(), z).rows + check_gradients(Wrong(), z).rows
    ax = plotting.gradient_check(GradientReport("Two", rows))
    passed, failed = ax.lines
    assert (passed.get_label(), to_hex(passed.get_color()).upper()) == ("passed", BLUE)
    assert (failed.get_label(), to_hex(failed.get_color()).upper()) == ("did not pass", VERMILION)
    assert failed.get_xydata()[0] == pytest.approx((0.1, 1), rel=1e-3)
    assert passed.get_xdata()[0] < 1e-6
    assert passed.get_ydata()[0] == 0
    assert ax.get_xscale() == "log"
    assert [label.get_text() for label in ax.get_yticklabels()] == ["log_prob: z"] * 2


def test_gradient_check_of_nothing():
    with pytest.raises(NiceValueError, match="no rows"):
        plotting.gradient_check(GradientReport("Nothing", ()))


def test_a_gradient_that_cannot_be_compared_is_drawn_as_wrong(rng):
    class Shapeless(StandardNormal):
        def grad_log_prob(self, z):
            return np.zeros(3)

    ax = plotting.gradient_check(check_gradients(Shapeless(), rng.normal(size=(3, 2))))
    assert ax.lines[0].get_xdata()[0] == 1


def test_check_matrix_shows_what_is_caught_and_what_is_marked():
    caught, marked = np.zeros((2, 3), bool), np.zeros((2, 3), bool)
    caught[0, 2] = caught[1, 0] = marked[1, 0] = True
    ax = plotting.check_matrix(caught, ["a sign", "_$_"], ["one", "two", "three"], marked, title="Seen")
    np.testing.assert_array_equal(ax.images[0].get_array(), caught)
    crosses, frames = ax.lines[:2]
    np.testing.assert_array_equal(crosses.get_xydata(), [(2, 0), (0, 1)])  # column, row
    np.testing.assert_array_equal(frames.get_xydata(), [(0, 1)])
    colours = [to_hex(ax.images[0].cmap(ax.images[0].norm(value))).upper() for value in (0, 1)]
    assert colours == ["#F4F4F4", VERMILION]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["one", "two", "three"]
    assert ax.get_yticklabels()[0].get_text() == "a sign"
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # first bug at the top
    assert ax.get_title() == "Seen"


def test_check_matrix_without_marks_or_catches():
    ax = plotting.check_matrix([[False]], ["a"], ["b"])
    assert not len(ax.lines[0].get_xdata())
    assert not len(ax.lines[1].get_xdata())


@pytest.mark.parametrize(
    ("caught", "marked", "error", "message"),
    [
        ([[1, 0]], None, NiceTypeError, "caught must be an array of True and False"),
        ([[True]], None, NiceValueError, r"caught has shape \(1, 1\), expected \(1, 2\), a cell per row"),
        ([True, False], None, NiceValueError, "caught has shape"),
        ([[True, False]], [[True]], NiceValueError, "marked has shape"),
    ],
)
def test_check_matrix_of_something_else(caught, marked, error, message):
    with pytest.raises(error, match=message):
        plotting.check_matrix(caught, ["a sign"], ["one", "two"], marked)


def test_check_matrix_of_nothing():
    with pytest.raises(NiceValueError, match="caught has shape"):
        plotting.check_matrix(np.zeros((0, 0), bool), [], [])


def test_the_style_is_one_that_matplotlib_takes():
    with mpl.rc_context(plotting.STYLE):
        assert mpl.rcParams["figure.dpi"] == plotting.DPI
