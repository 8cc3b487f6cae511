"""Figures show the right numbers in the right place and change no global state."""

import re
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from nice_np import (
    Chain,
    DiagonalScaling,
    Flow,
    NiceTypeError,
    NiceValueError,
    Permutation,
    Standardize,
    WithContext,
    nice,
    plotting,
)
from nice_np.errors import NiceFileError, NiceOverflowError
from nice_np.training.history import MEASURES, score_columns


def history_of(train, validation=None):
    rows = [{"epoch": i, "step": 10 * i, "train_log_likelihood": value} for i, value in enumerate(train, start=1)]
    for row, value in zip(rows, validation or [], strict=False):
        row["validation_log_likelihood"] = value
    return SimpleNamespace(rows=rows, measure="log_likelihood")


def stretched_flow():
    """A Gaussian with scales 2 and 0.5 around (1, -2): no symmetry that could hide a transposition or a flip."""
    return Flow("normal", Standardize(mean=[1.0, -2.0], std=[2.0, 0.5]))


def scaled_flow(*log_scale, below=()):
    layer = DiagonalScaling(len(log_scale))
    layer.log_scale[:] = log_scale
    return Flow("normal", Chain([*below, layer]))


def new_axes(count=1):
    return Figure().subplots(1, count)


def render(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())  # (rows from the top, columns, 4)


# -- training_curve --------------------------------------------------------------------------------------------------


def test_training_curve_draws_the_history_and_its_best():
    ax = plotting.training_curve(history_of([-5.0, 1.0, 2.0, 3.0], [-6.0, 0.5, 0.75, 0.25]))
    train, validation, best = ax.lines
    np.testing.assert_array_equal(train.get_xydata(), [(1, -5), (2, 1), (3, 2), (4, 3)])
    np.testing.assert_array_equal(validation.get_xydata(), [(1, -6), (2, 0.5), (3, 0.75), (4, 0.25)])
    np.testing.assert_array_equal(best.get_xydata(), [(3, 0.75)])
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["train", "validation", "best: 0.75 nats, epoch 3"]
    assert "nats" in ax.get_ylabel()
    assert ax.get_xlabel() == "epoch"


def test_training_curve_without_some_values():
    ax = plotting.training_curve(history_of([1.0, 2.0, 3.0], [None, 0.5]))
    np.testing.assert_array_equal(ax.lines[1].get_xydata(), [(2, 0.5)])
    ax = plotting.training_curve(history_of([1.0]))
    assert len(ax.lines) == 1
    assert ax.lines[0].get_marker() == "o"  # a line through one point is invisible


@pytest.mark.parametrize("rows", [[], [{"epoch": 1, "step": 10}]])
def test_training_curve_of_nothing(rows):
    with pytest.raises(NiceValueError, match="no log-likelihood"):
        plotting.training_curve(SimpleNamespace(rows=rows, measure="log_likelihood"))


@pytest.mark.parametrize("measure", MEASURES)
def test_training_curve_of_every_measure(measure):
    train, held_out = score_columns(measure)
    history = SimpleNamespace(rows=[{"epoch": 1, train: 1.0, held_out: 2.0}], measure=measure)
    assert plotting.training_curve(history).get_ylabel()


def below_the_legend(ax):
    """Whether the highest point lies below the legend."""
    ax.figure.draw_without_rendering()
    bottom = ax.get_legend().get_window_extent().y0
    highest = max(line.get_ydata().max() for line in ax.lines)
    return ax.transData.transform((0, highest))[1] < bottom


@pytest.mark.parametrize("names", [1, 2, 5])
def test_no_legend_covers_a_curve(names):
    falling = history_of([5.0, 1.0, 0.0], [6.0, 1.0, 0.0])  # highest under the legend
    assert below_the_legend(plotting.training_curve(falling))
    assert below_the_legend(plotting.training_curves({f"run {k}": falling for k in range(names)}))


# -- training_curves -------------------------------------------------------------------------------------------------


def test_training_curves_draws_one_line_a_run():
    ax = plotting.training_curves({"paper": history_of([5.0], [2.0]), "$mine": history_of([3.0, 4.0])}, title="moons")
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), [(1, 2)])
    np.testing.assert_array_equal(ax.lines[1].get_xydata(), [(1, 3), (2, 4)])  # it has no validation
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["paper", r"\$mine (training)"]
    assert len({(line.get_color(), line.get_linestyle()) for line in ax.lines}) == 2
    assert ax.get_title() == "moons"
    assert "nats" in ax.get_ylabel()


def test_training_curves_of_nothing():
    with pytest.raises(NiceValueError, match="at least one history"):
        plotting.training_curves({})
    with pytest.raises(NiceValueError, match="history of 'b' holds no log-likelihood"):
        plotting.training_curves({"a": history_of([1.0]), "b": history_of([])})


# -- spectrum --------------------------------------------------------------------------------------------------------


def test_spectrum_is_sorted_exp_of_minus_log_scale():
    ax = plotting.spectrum(scaled_flow(0.5, -1.0, 3.0))
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [(1, np.exp(1)), (2, np.exp(-0.5)), (3, np.exp(-3))])
    assert ax.get_yscale() == "log"
    assert "standardised" not in ax.get_ylabel()


def test_spectrum_takes_the_last_scaling_and_says_standardised():
    below = [Standardize([0.0, 0.0], [1.0, 2.0]), DiagonalScaling(2, log_scale=7.0)]
    ax = plotting.spectrum(scaled_flow(1.0, 2.0, below=below))
    np.testing.assert_allclose(ax.lines[0].get_ydata(), np.exp([-1, -2]))
    assert "standardised" in ax.get_ylabel()


def test_spectrum_of_a_flow_with_a_context():
    layers = [WithContext(Standardize([0.0, 0.0], [1.0, 2.0]), 3), WithContext(DiagonalScaling(2, log_scale=2.0), 3)]
    ax = plotting.spectrum(Flow("normal", Chain(layers), context_dim=3))
    np.testing.assert_allclose(ax.lines[0].get_ydata(), np.exp([-2, -2]))
    assert "standardised" in ax.get_ylabel()


def test_spectrum_without_scaling():
    with pytest.raises(NiceValueError, match="no DiagonalScaling layer, only Standardize"):
        plotting.spectrum(stretched_flow())


# -- density ---------------------------------------------------------------------------------------------------------


def test_density_image_is_exp_log_prob_the_right_way_up(rng):
    flow = stretched_flow()
    ax = plotting.density(flow, extent=(-4, 5, -3, 1), resolution=40)
    image = ax.images[0]
    assert image.origin == "lower"
    assert image.get_extent() == [-4, 5, -3, 1]
    for _ in range(20):
        x1, x2 = rng.uniform((-4, -3), (5, 1))
        j, i = int((x1 + 4) / 9 * 40), int((x2 + 3) / 4 * 40)
        middle = [-4 + (j + 0.5) * 9 / 40, -3 + (i + 0.5) * 4 / 40]
        assert image.get_array()[i, j] == pytest.approx(np.exp(flow.log_prob([middle])[0]))
    # as rendered: the brightest spot is at the mean, (1, -2)
    ax.set_axis_off()
    ax.figure.set_layout_engine("none")
    pixels = render(ax.figure)
    for x, brighter in [((1, -2), True), ((-2, 1), False), ((1, 0.9), False), ((-2.5, -2), False)]:
        column, row = ax.transData.transform(x)
        assert (pixels[len(pixels) - 1 - int(row), int(column), 1] > 200) == brighter


def test_densities_can_share_their_colours():
    for flow in (stretched_flow(), scaled_flow(1.0, 1.0)):
        ax = plotting.density(flow, resolution=5, top=0.3)
        assert ax.images[0].get_clim() == (0, 0.3)
        assert ax.get_ylim() == (-4, 4)
    image = plotting.density(stretched_flow(), resolution=5).images[0]
    assert image.get_clim() == (0, image.get_array().max())


def test_density_puts_samples_on_top():
    points = [[0.0, -2.0], [3.0, -2.5], [90.0, 0.0]]
    ax = plotting.density(stretched_flow(), samples=points, resolution=5)
    np.testing.assert_array_equal(ax.collections[0].get_offsets(), points)
    assert ax.collections[0].get_zorder() > ax.images[0].get_zorder()
    assert ax.get_xlim() == (-4, 4)
    assert ax.get_legend().get_texts()[0].get_text() == "samples"


def test_density_has_a_labelled_colour_bar():
    ax = plotting.density(stretched_flow(), resolution=5)
    assert ax.images[0].colorbar.ax.get_ylabel() == "density $p(x)$"


@pytest.mark.parametrize(
    "options",
    [
        {"extent": (4, -4, 0, 1)},
        {"extent": (0, 1, 1, 1)},
        {"extent": (0, 1, 2)},
        {"extent": (0, 1, 0, np.inf)},
        {"resolution": 1},
        {"top": 0},
        {"top": np.nan},
        {"samples": np.zeros((3, 3))},
        {"samples": [[np.nan, 0.0]]},
    ],
)
def test_density_refuses_wrong_values(options):
    with pytest.raises(NiceValueError, match="density: "):
        plotting.density(stretched_flow(), **options)


def test_density_too_peaked_for_a_float():
    with pytest.raises(NiceOverflowError, match=r"log p\(x\) reaches"):
        plotting.density(scaled_flow(600.0, 600.0), extent=(-1e-300, 1e-300, -1e-300, 1e-300))


@pytest.mark.parametrize("draw", [plotting.density, plotting.bent_grid])
def test_pictures_of_the_plane_need_a_plane(draw):
    with pytest.raises(NiceValueError, match="dimension 2, got dimension 3"):
        draw(Flow("normal", DiagonalScaling(3)))


# -- bent_grid -------------------------------------------------------------------------------------------------------


def grid_points(ax):
    return np.concatenate([segment[0] for segment in ax.collections[0].get_segments()]).reshape(-1, 2)


def test_bent_grid_follows_the_inverse_layer_by_layer(rng):
    flow = nice(2, couplings=3, hidden=(8,), dtype=np.float64, rng=0)
    samples = rng.standard_normal((5, 2))
    axes = plotting.bent_grid(flow, samples=samples, extent=(-1, 2, -3, 4), lines=4)
    layers = flow.bijector.layers
    assert len(axes) == len(layers) + 1
    latent = grid_points(axes[0])
    assert latent.min(axis=0).tolist() == [-1, -3]
    assert set(latent[:, 0]) > {-1, 0, 1}  # the vertical lines
    for k, ax in enumerate(axes):
        expected = latent
        for layer in layers[::-1][:k]:
            expected = layer.inverse(expected)[0]
        np.testing.assert_allclose(grid_points(ax), expected)
        np.testing.assert_allclose(ax.collections[0].get_array(), latent[:, 0])  # the colour shows where it came from
    np.testing.assert_allclose(grid_points(axes[-1]), flow.decode(latent))
    np.testing.assert_allclose(axes[0].collections[1].get_offsets(), flow.encode(samples))
    np.testing.assert_allclose(axes[-1].collections[1].get_offsets(), samples)
    assert not np.allclose(grid_points(axes[-1]), latent)


def test_bent_grid_names_its_stages():
    flow = Flow("normal", Chain([Standardize([0.0, 0.0], [1.0, 2.0]), Permutation([1, 0]), DiagonalScaling(2)]))
    axes = plotting.bent_grid(flow, lines=2)
    titles = [ax.get_title() for ax in axes]
    assert titles[:2] == ["latent $z$", "3. DiagonalScaling$^{-1}$"]
    assert titles[2:] == ["2. Permutation$^{-1}$", "1. Standardize$^{-1}$: data $x$"]
    assert [ax.get_xlabel() for ax in axes] == ["$z_1$", "$h_1$", "$h_1$", "$x_1$"]


def test_bent_grid_draws_on_the_axes_given():
    given = new_axes(2)
    assert plotting.bent_grid(stretched_flow(), axes=given) == tuple(given)
    with pytest.raises(NiceValueError, match=r"expected 2 axes, one per panel, got 3"):
        plotting.bent_grid(stretched_flow(), axes=new_axes(3))
    with pytest.raises(NiceTypeError, match="matplotlib Axes, got str"):
        plotting.bent_grid(stretched_flow(), axes=["left", "right"])


# -- all of them -----------------------------------------------------------------------------------------------------

DRAWINGS = {
    "image_grid": lambda ax=None: plotting.image_grid(np.eye(4), ax=ax),
    "reconstructions": lambda ax=None: plotting.reconstructions(np.eye(4), np.eye(4), ax=ax),
    "label_grid": lambda ax=None: plotting.label_grid({0: np.eye(4), 1: np.eye(4)}, ax=ax),
    "training_curves": lambda ax=None: plotting.training_curves({"a": history_of([1.0, 2.0], [1.0, 0.5])}, ax=ax),
    "training_curve": lambda ax=None: plotting.training_curve(history_of([1.0, 2.0], [1.0, 0.5]), ax=ax),
    "spectrum": lambda ax=None: plotting.spectrum(scaled_flow(1.0, 2.0), ax=ax),
    "density": lambda ax=None: plotting.density(stretched_flow(), ax=ax, resolution=5),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_the_axes_given_are_the_axes_returned(name):
    ax = new_axes()
    assert DRAWINGS[name](ax) is ax
    assert ax.has_data()
    assert DRAWINGS[name]() is not DRAWINGS[name]()
    with pytest.raises(NiceTypeError, match=f"{name}: expected a matplotlib Axes, got int"):
        DRAWINGS[name](3)


@pytest.mark.parametrize("name", DRAWINGS)
def test_drawing_and_saving_leaves_settings_alone(name, tmp_path):
    before = dict(mpl.rcParams)
    ax = DRAWINGS[name]()
    plotting.save(ax, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert dict(mpl.rcParams) == before


def test_save_speaks_of_the_path(tmp_path):
    ax = new_axes()
    with pytest.raises(NiceFileError, match=r"cannot write .*nowhere"):
        plotting.save(ax, tmp_path / "nowhere" / "a.png")
    with pytest.raises(NiceValueError, match=r"a\.digits"):
        plotting.save(ax, tmp_path / "a.digits")
    plotting.save(ax.figure, tmp_path / "a.svg")
    plotting.save(Figure().subfigures(1, 2)[1].add_subplot(), tmp_path / "b.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.svg", "b.png"]


def plane():
    return nice(2, couplings=3, hidden=(3,), rng=0)


@pytest.mark.parametrize(
    ("draw", "says"),
    [
        (lambda: plotting.density("x"), "density: flow must be a Flow, got str"),
        (lambda: plotting.bent_grid("x"), "bent_grid: flow must be a Flow"),
        (lambda: plotting.spectrum("x"), "spectrum: flow must be a Flow"),
        (lambda: plotting.interpolation("x", np.zeros((2, 4))), "interpolation: flow must be a Flow"),
        (lambda: plotting.density_evolution(plane()), "density_evolution: expected a sequence of flows, got Flow"),
        (lambda: plotting.density_evolution(["x"]), "density_evolution: flow must be a Flow"),
        (lambda: plotting.gradient_check("x"), "gradient_check: report must be a GradientReport"),
        (lambda: plotting.training_curves([1]), "training_curves: histories must be a Mapping"),
        (lambda: plotting.label_grid([np.zeros((1, 4))]), "label_grid: images_by_label must be a Mapping, got list"),
        (lambda: plotting.sample_rows([np.zeros((1, 4))]), "sample_rows: groups must be a Mapping"),
        (lambda: plotting.data_and_samples([1], [1]), "data_and_samples: data must be a Mapping"),
        (lambda: plotting.likelihood_histogram([1.0]), "likelihood_histogram: groups must be a Mapping"),
        (lambda: plotting.roofline(1e9, 1e9, [(1, 1)]), "roofline: points must be a Mapping"),
        (lambda: plotting.roofline(1e9, 1e9, {"a": "ab"}), "roofline: 'a' has dtype"),
        (lambda: plotting.save("x", "a.png"), "save: expected an Axes or a Figure, got str"),
    ],
)
def test_what_is_of_another_class(draw, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NiceTypeError, match=re.escape(says)):
        draw()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("draw", "error", "says"),
    [
        (lambda: plotting.roofline(1e9, 1e9, {"a": 3}), NiceValueError, "'a' must be (intensity, rate)"),
        (
            lambda: plotting.likelihood_histogram({"a": [1e308, -1e308]}),
            NiceOverflowError,
            "a likelihood of 1e+308 is too large",
        ),
    ],
)
def test_what_no_figure_can_show(draw, error, says):
    with pytest.raises(error, match=re.escape(says)):
        draw()


def test_the_longest_frame_of_a_gif():
    animation = plotting.density_evolution([plane()], resolution=4)
    assert plotting.gif(animation, seconds=655)[:3] == b"GIF"
    with pytest.raises(NiceValueError, match="gif: seconds must be at most 655"):
        plotting.gif(animation, seconds=1e9)


@pytest.mark.parametrize("levels", [(0, 1, 2), "ab", 1])
def test_a_wrong_range_of_values_with_decibels(levels):
    x = np.full((2, 4), 0.5)
    with pytest.raises((NiceValueError, NiceTypeError), match="restorations: value_range"):
        plotting.restorations(x, x, x, decibels=True, value_range=levels)
