"""The animation shows the densities in turn, in a fixed layout and the same colours, and its GIF is small."""

from io import BytesIO

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.animation import FuncAnimation
from matplotlib.figure import Figure
from PIL import Image

from nice_np import DiagonalScaling, Flow, NiceTypeError, NiceValueError, Standardize, fit, nice, plotting
from nice_np.errors import NiceOverflowError

MEANS = [(-2.0, 1.0), (0.0, -2.0), (2.5, 2.0)]


def bumps(std=0.5):
    """Gaussians in different places: no symmetry that could hide a transposition or a flip."""
    return [Flow("normal", Standardize(mean=list(mean), std=[std, std])) for mean in MEANS]


def frames_of(film):
    """The frames (rows from the top, columns, 3) and their durations in milliseconds."""
    with Image.open(BytesIO(film)) as picture:
        frames, shown = [], []
        for k in range(picture.n_frames):
            picture.seek(k)
            frames.append(np.asarray(picture.convert("RGB"), dtype=float))
            shown.append(picture.info["duration"])
        return frames, shown, picture.info.get("loop")


def small_film(flows, **options):
    return plotting.gif(plotting.density_evolution(flows, resolution=40, **options), dpi=50)


def yellow(frame):
    """Where the brightest colour of viridis is, left of the colour bar."""
    red, green, blue = frame[:, : int(0.7 * frame.shape[1])].transpose(2, 0, 1)
    return np.argwhere((red > 200) & (green > 180) & (blue < 120))  # (K, 2): row, column


def test_each_frame_has_its_density_in_its_place():
    frames, _, _ = frames_of(small_film(bumps()))
    assert len(frames) == 3
    rows, columns = np.array([yellow(frame).mean(axis=0) for frame in frames]).T
    x1, x2 = np.array(MEANS).T
    pixels = (columns[2] - columns[0]) / (x1[2] - x1[0])  # per unit
    np.testing.assert_allclose(columns - columns[0], pixels * (x1 - x1[0]), atol=2)
    np.testing.assert_allclose(rows - rows[0], -pixels * (x2 - x2[0]), atol=2)  # rows count from the top


def test_nothing_moves_but_density_and_title():
    titles = ["a", "a much longer title", "b"]
    frames, _, _ = frames_of(small_film(bumps(), titles=titles, samples=MEANS))
    changed = np.any([np.abs(frame - frames[0]).max(axis=2) > 40 for frame in frames], axis=0)  # (rows, columns)
    height, width = changed.shape
    assert not changed[:, : int(0.4 * width)].any()  # the panel of the data
    assert not changed[:, int(0.86 * width) :].any()  # the colour bar
    assert not changed[int(0.9 * height) :].any()  # the axis labels
    assert changed[: int(0.1 * height)].any()  # the title


def test_colours_are_those_of_the_last_density_or_of_top():
    wide, narrow = Flow("normal", Standardize([0.0, 0.0], [2.0, 2.0])), Flow("normal", Standardize([0.0, 0.0], [1, 1]))
    first, last = frames_of(small_film([wide, narrow]))[0]
    assert len(yellow(last)) > 0
    assert len(yellow(first)) == 0  # a quarter of the height
    first, last = frames_of(small_film([wide, narrow], top=0.035))[0]
    assert len(yellow(first)) > 0


def test_a_gif_repeats_and_shows_its_end_longer():
    animation = plotting.density_evolution(bumps(), resolution=20)
    film = plotting.gif(animation, seconds=0.35, dpi=40)
    _, shown, loop = frames_of(film)
    assert film[:6] == b"GIF89a"
    assert shown == [350, 350, 1500]
    assert loop == 0
    assert plotting.gif(animation, seconds=0.35, dpi=40) == film  # an animation can be used again
    assert frames_of(plotting.gif(animation, seconds=2, dpi=40))[1] == [2000] * 3


def test_colours_and_dots_make_the_size():
    animation = plotting.density_evolution(bumps(), resolution=40)
    film = plotting.gif(animation, dpi=50, colours=8)
    frames, _, _ = frames_of(film)
    assert len(np.unique(np.concatenate(frames).reshape(-1, 3), axis=0)) <= 8
    assert len(film) < len(plotting.gif(animation, dpi=50, colours=256))
    assert frames_of(plotting.gif(animation, dpi=100))[0][0].shape[:2] == (290, 350)


def test_a_gif_of_any_animation():
    figure = Figure(figsize=(2, 1), dpi=70)
    (line,) = figure.add_subplot().plot([0, 1], [0, 1])

    def draw(k):
        line.set_ydata([k, 1 - k])
        return (line,)

    film = plotting.gif(FuncAnimation(figure, draw, frames=2), dpi=50)
    frames, _, _ = frames_of(film)
    assert frames[0].shape == (50, 100, 3)
    assert not np.array_equal(*frames)
    assert figure.dpi == 70


def test_snapshots_of_a_training(rng):
    flows = []
    flow = nice(2, hidden=(8,), rng=0)
    fit(flow, rng.normal(size=(200, 2)), epochs=3, callbacks=[lambda f, _: flows.append(f.copy())], progress=False)
    before = dict(mpl.rcParams)
    frames, _, _ = frames_of(small_film(flows, titles=["one", "two", "three"]))
    assert len(frames) == 3
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize(
    ("flows", "options", "message"),
    [
        ([], {}, "at least one flow"),
        (bumps(), {"titles": ["a", "b"]}, "2 titles for 3 flows"),
        (bumps(), {"samples": np.zeros((2, 3))}, "samples"),
        (bumps(), {"extent": (1, 0, 0, 1)}, "extent"),
        (bumps(), {"resolution": 1}, "resolution"),
        (bumps(), {"top": 0}, "top"),
        ([Flow("normal", DiagonalScaling(3))], {}, "dimension 2, got dimension 3"),
    ],
)
def test_density_evolution_refuses_wrong_values(flows, options, message):
    with pytest.raises(NiceValueError, match=f"density_evolution: .*{message}"):
        plotting.density_evolution(flows, **options)


def test_density_evolution_of_a_spike():
    spike = Flow("normal", DiagonalScaling(2, log_scale=600.0))
    with pytest.raises(NiceOverflowError, match=r"density_evolution: log p\(x\) reaches"):
        plotting.density_evolution([spike], extent=(-1e-300, 1e-300, -1e-300, 1e-300))


def test_gif_refuses_what_is_no_animation():
    with pytest.raises(NiceTypeError, match="gif: expected a matplotlib FuncAnimation, got str"):
        plotting.gif("a.gif")
    animation = plotting.density_evolution(bumps(), resolution=5)
    plotting.gif(animation, dpi=20)  # Matplotlib warns if an animation is never drawn
    for options, message in (
        ({"colours": 257}, "colours must be from 2 to 256, got 257"),
        ({"seconds": 0}, "seconds"),
        ({"dpi": 0}, "dpi"),
    ):
        with pytest.raises(NiceValueError, match=f"gif: .*{message}"):
            plotting.gif(animation, **options)
