"""The playground's figure: its pictures show its flow, and sliders, buttons and mouse work."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backend_bases import MouseEvent

from nice_np import NiceError, nice, plotting
from nice_np.playground.one_unit import tiny_flow, trained_flow
from nice_np.playground.panels import LINES, RESOLUTION
from nice_np.playground.window import PlayFigure, show


@pytest.fixture(scope="module")
def affine():
    """A figure of three affine couplings, shared and changed by tests, since it takes half a second to make."""
    return PlayFigure(tiny_flow("affine", 3), rng=0)


def pixels(player):
    return np.asarray(player.figure.canvas.buffer_rgba()).copy()


def mouse(player, name, ax, x, y, button=1):
    """A window event at a point in the Axes' data coordinates."""
    column, row = ax.transData.transform((x, y))
    event = MouseEvent(name, player.figure.canvas, column, row, button)
    player.figure.canvas.callbacks.process(name, event)


def press(player, button):
    """A click in the middle of a button's Axes."""
    for name in ("button_press_event", "button_release_event"):
        mouse(player, name, button.ax, 0.5, 0.5)


def middles(width):
    side = (np.arange(RESOLUTION) + 0.5) / RESOLUTION * 2 * width - width
    return np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)


def check_pictures(player):
    """Compare everything that is drawn with the flow."""
    flow, panels, width = player.ground.flow, player.panels, player.width
    points, shape = middles(width), (RESOLUTION, RESOLUTION)
    np.testing.assert_allclose(panels.density.get_array(), np.exp(flow.log_prob(points)).reshape(shape))
    assert panels.density.origin == panels.log_det.origin == "lower"
    log_det = flow.log_prob(points) - flow.prior.log_prob(flow.encode(points))
    np.testing.assert_allclose(panels.log_det.get_array(), log_det.reshape(shape), atol=1e-9)
    low, high = panels.log_det.get_clim()
    assert -low == high >= np.abs(log_det).max()  # diverging around 0
    assert panels.density.get_clim()[0] == 0
    assert panels.density.get_clim()[1] >= panels.density.get_array().max()
    for lines, kept in ((panels.upright, 0), (panels.level, 1)):
        segments = np.array(lines.get_segments())  # (LINES, P, 2)
        z = flow.encode(segments.reshape(-1, 2)).reshape(segments.shape)
        np.testing.assert_allclose(z[..., kept], np.linspace(-width, width, LINES)[:, None] * np.ones(101), atol=1e-6)
    for ax in panels.axes:
        assert ax.get_xlim() == ax.get_ylim() == (-width, width)


@pytest.mark.parametrize(
    ("law", "couplings", "prior"),
    [("additive", 2, "normal"), ("multiplicative", 1, "logistic")],  # the affine one is below
)
def test_the_pictures_are_those_of_the_flow(law, couplings, prior, rng):
    ground = tiny_flow(law, couplings, prior)
    ground.randomize(rng)
    ground.turn("s1", 0.4)
    player = PlayFigure(ground)
    assert player.width == {"normal": 4, "logistic": 8}[prior]
    check_pictures(player)


def test_a_slider_writes_into_the_flow_and_the_pictures_follow(affine):
    before = pixels(affine)
    affine.sliders["a1"].set_val(2.0)
    affine.sliders["r2"].set_val(-0.7)
    assert affine.ground.positions["a1"] == 2.0
    assert affine.ground.flow.layers[0].conditioner.layers[1].W[0, 1] == 2.0
    assert affine.ground.flow.layers[1].conditioner.layers[1].W[0, 0] == -0.7
    check_pictures(affine)
    assert (pixels(affine) != before).any()


def test_a_slider_follows_the_mouse(affine):
    slider = affine.sliders["w3"]
    for name, x in (("button_press_event", 1.0), ("motion_notify_event", -2.0), ("button_release_event", -2.0)):
        mouse(affine, name, slider.ax, x, 0.5)
    assert slider.val == pytest.approx(-2, abs=0.05)
    assert affine.ground.flow.layers[2].conditioner.layers[0].W[0, 0] == slider.val


def test_a_partial_draw_looks_like_a_full_one(affine):
    affine.sliders["b2"].set_val(0.3)
    affine.sliders["b2"].set_val(0.4)
    alone = pixels(affine)
    affine.figure.canvas.draw()
    np.testing.assert_array_equal(alone, pixels(affine))


def test_a_small_step_draws_only_what_moves(affine, monkeypatch):
    affine.sliders["b2"].set_val(0.5)
    drawn = []
    monkeypatch.setattr(affine.figure.canvas, "draw_idle", lambda: drawn.append(1))
    affine.sliders["b2"].set_val(0.501)
    affine.set_all(lambda: affine.ground.turn("b2", 0.502))
    assert not drawn


def test_identity_and_random_buttons(affine):
    affine.sliders["a2"].set_val(1.0)
    press(affine, affine.reset)
    points = middles(4)
    np.testing.assert_array_equal(affine.ground.flow.encode(points), points)
    assert all(slider.val == (1 if name[0] == "w" else 0) for name, slider in affine.sliders.items())
    np.testing.assert_array_equal(affine.panels.log_det.get_array(), 0)
    assert affine.panels.density.get_array().sum() * (8 / RESOLUTION) ** 2 == pytest.approx(1, abs=1e-3)
    assert affine.panels.axes[0].get_title() == "Density: 100.0% of the mass in the window"
    press(affine, affine.other)
    first = dict(affine.ground.positions)
    assert first["a2"] != 0
    assert {name: slider.val for name, slider in affine.sliders.items()} == first
    press(affine, affine.other)
    assert affine.ground.positions["a2"] != first["a2"]  # a new seed each time
    check_pictures(affine)


def test_additive_couplings_keep_the_volume_and_the_mass(rng):
    player = PlayFigure(tiny_flow("additive", 3), rng=rng)
    press(player, player.other)
    np.testing.assert_array_equal(player.panels.log_det.get_array(), 0)
    for name in ("a1", "a2", "a3"):
        player.sliders[name].set_val(0.8)
    assert player.panels.density.get_array().sum() * (8 / RESOLUTION) ** 2 == pytest.approx(1, abs=0.01)
    player.sliders["s1"].set_val(0.5)
    np.testing.assert_allclose(player.panels.log_det.get_array(), 0.5)


def test_the_point_follows_the_mouse_and_its_numbers_add_up(affine):
    for ax, x in zip(affine.panels.axes, [(0.5, -1.0), (-2.0, 0.25), (1.5, 3.0)], strict=True):
        mouse(affine, "button_press_event", ax, *x)
        np.testing.assert_allclose(affine.point, x, atol=0.02)  # a pixel
        assert all(point.get_xydata().tolist() == [affine.point.tolist()] for point in affine.panels.points)
        flow = affine.ground.flow
        z, log_det, _ = flow.bijector.forward(affine.point[None])
        text = affine.panels.numbers.get_text()
        numbers = text.replace("- ", "+ -").replace("= ", "").split(" nats")[0].replace(" + ", " ").split()
        prior, log_prob = flow.prior.log_prob(z)[0], flow.log_prob(affine.point[None])[0]
        np.testing.assert_allclose([float(number) for number in numbers], [prior, log_det[0], log_prob], atol=0.0051)
        assert f"z = ({z[0, 0]:.2f}, {z[0, 1]:.2f})" in text
    before = affine.point
    mouse(affine, "motion_notify_event", affine.panels.axes[0], 0.0, 0.0, button=3)
    mouse(affine, "button_press_event", affine.sliders["s1"].ax, 0.0, 0.5)
    mouse(affine, "button_release_event", affine.sliders["s1"].ax, 0.0, 0.5)
    np.testing.assert_array_equal(affine.point, before)


def test_the_curves_show_the_couplings(rng):
    player = PlayFigure(tiny_flow("affine", 1))
    for name, value in {"w1": 1.5, "b1": -0.5, "a1": 2.0, "r1": -1.0}.items():
        player.sliders[name].set_val(value)
    (answers,) = player._curves
    u, shift = answers.shift.get_data()
    np.testing.assert_allclose(shift, 2 * np.tanh(1.5 * u - 0.5))
    np.testing.assert_allclose(answers.log_scale.get_ydata(), -np.tanh(1.5 * u - 0.5))


def test_another_law_keeps_what_both_flows_have():
    player = PlayFigure(tiny_flow("additive", 2))
    player.sliders["w1"].set_val(2.0)
    player.sliders["a2"].set_val(1.0)
    player.radios["law"].set_active(2)
    assert player.ground.choice == ("affine", 2, "normal")
    assert list(player.sliders) == ["w1", "b1", "r1", "a1", "w2", "b2", "r2", "a2", "s1", "s2"]
    assert (player.sliders["w1"].val, player.sliders["a2"].val, player.sliders["r1"].val) == (2, 1, 0)
    player.radios["couplings"].set_active(0)
    assert player.ground.choice == ("affine", 1, "normal")
    player.radios["prior"].set_active(1)
    assert player.ground.choice == ("affine", 1, "logistic")
    assert player.width == 8
    check_pictures(player)
    player.sliders["r1"].set_val(0.5)  # the sliders are those of the new flow
    assert player.ground.flow.layers[0].conditioner.layers[1].W[0, 0] == 0.5
    check_pictures(player)


def test_a_trained_flow_between_identity_and_itself(rng):
    flow = nice(2, couplings=4, hidden=(6,), rng=0)
    flow.params.values[:] = rng.normal(0, 0.5, len(flow.params))
    player = PlayFigure(trained_flow(flow))
    check_pictures(player)
    assert not hasattr(player, "radios")
    press(player, player.reset)
    np.testing.assert_array_equal(player.panels.log_det.get_array(), 0)
    player.sliders["l6"].set_val(1.0)
    np.testing.assert_allclose(player.panels.log_det.get_array(), flow.layers[-1].log_scale.sum(), rtol=1e-6)
    press(player, player.other)
    np.testing.assert_allclose(player.ground.flow.encode(middles(4)), flow.encode(middles(4)), atol=1e-4)
    with pytest.raises(NiceError, match="of a trained flow cannot be changed"):
        player.choose(law="affine")


def test_nothing_overlaps(affine):
    """Titles, labels and numbers of all Axes do not overlap."""
    ends = {name: (slider.valmin, slider.valmax)[k % 2] for k, (name, slider) in enumerate(affine.sliders.items())}
    affine.set_all(lambda: [affine.ground.turn(name, end) for name, end in ends.items()])
    affine.figure.canvas.draw()
    renderer = affine.figure.canvas.get_renderer()
    texts = [ax.title for ax in affine.figure.axes if ax.title.get_text()]
    texts += [text for slider in affine.sliders.values() for text in (slider.label, slider.valtext)]
    texts += [line for slider in affine.sliders.values() for line in slider.ax.lines[-1:]]  # the handles
    texts += [legend for ax in affine.figure.axes if (legend := ax.get_legend()) is not None]
    texts += [affine.panels.numbers]
    boxes = [text.get_window_extent(renderer) for text in texts]
    for k, box in enumerate(boxes):
        for other in boxes[:k]:
            overlap = min(box.x1, other.x1) - max(box.x0, other.x0), min(box.y1, other.y1) - max(box.y0, other.y0)
            assert min(overlap) <= 0, (texts[k], overlap)


def test_it_is_saved_whole_and_settings_stay(tmp_path):
    player = PlayFigure(tiny_flow("affine", 3))  # a separate one, since saving leaves a canvas of the file's size
    settings = dict(mpl.rcParams)
    plotting.save(player.figure, tmp_path / "play.png")
    saved = mpl.image.imread(tmp_path / "play.png")
    assert saved[:, :, :3].std() > 0.1
    half = saved[: len(saved) // 2, : saved.shape[1] // 4, :3]  # the density: viridis's darkest colour is there
    assert (np.abs(half - mpl.colormaps["viridis"](0)[:3]).max(axis=2) < 0.02).sum() > 1000
    assert dict(mpl.rcParams) == settings


def test_without_a_window_one_line_says_what_to_do(monkeypatch):
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    with pytest.raises(NiceError, match=r"cannot open a window here \(agg opens none\).*--save FILE.png") as caught:
        show(tiny_flow())
    assert "\n" not in str(caught.value)
    monkeypatch.setattr(plt, "figure", lambda **_: (_ for _ in ()).throw(RuntimeError("no display\nat all")))
    with pytest.raises(NiceError, match=r"\(no display\)"):
        show(tiny_flow())
