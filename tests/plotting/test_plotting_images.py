"""Rows of mixed images, likelihoods of groups, latent paths and nearest neighbours: the right numbers in place."""

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.figure import Figure

from nice_np import (
    Chain,
    DiagonalScaling,
    Flow,
    NiceOverflowError,
    NiceTypeError,
    NiceValueError,
    Standardize,
    nice,
    plotting,
)
from nice_np.plotting import likelihood, neighbours
from nice_np.plotting.latents import latent_path

# -- sample_rows -----------------------------------------------------------------------------------------------------


def test_sample_rows_mixes_sizes_and_colours(rng):
    groups = {
        "squares": rng.integers(0, 256, (3, 16), dtype=np.uint8),
        "$colour": rng.uniform(size=(2, 3, 5, 10)),
        "faces": rng.uniform(size=(4, 6, 6)),
    }
    ax = plotting.sample_rows(groups, title="samples")
    assert len(ax.images) == 3 + 2 + 4
    places = [image.get_extent() for image in ax.images]  # left, right, bottom, top
    heights = [bottom - top for _, _, bottom, top in places]
    np.testing.assert_allclose(heights, 1)
    np.testing.assert_allclose([right - left for left, right, *_ in places], [1] * 3 + [2] * 2 + [1] * 4)
    tops = [top for *_, top in places]
    assert tops[:3] == [0] * 3
    assert tops[2] + 1 < tops[3] == tops[4] < tops[5]
    for first, second in pairwise(places):
        assert first[3] != second[3] or first[1] < second[0]  # from left to right, nothing overlaps
    left, right, bottom, top = np.array([*ax.get_xlim(), *ax.get_ylim()])
    assert left <= min(p[0] for p in places)
    assert right >= max(p[1] for p in places)
    assert bottom >= max(p[2] for p in places)
    assert top <= 0
    np.testing.assert_allclose(ax.images[1].get_array()[..., 0], groups["squares"][1].reshape(4, 4) / 255)
    np.testing.assert_array_equal(ax.images[4].get_array(), groups["$colour"][1].transpose(1, 2, 0))
    assert [text.get_text() for text in ax.get_yticklabels()] == ["squares", r"\$colour", "faces"]
    for tick, row_top in zip(ax.get_yticks(), [tops[0], tops[3], tops[5]], strict=True):
        assert tick == pytest.approx(row_top + 0.5)


def test_sample_rows_refuses_nothing_and_nonsense():
    with pytest.raises(NiceValueError, match="sample_rows: expected at least one group"):
        plotting.sample_rows({})
    with pytest.raises(NiceValueError, match=r"sample_rows: 'b' \(2, 12\) are not images"):
        plotting.sample_rows({"a": np.eye(4), "b": np.zeros((2, 12))})


# -- data_and_samples ------------------------------------------------------------------------------------------------


def test_data_and_samples_puts_the_model_below_its_data(rng):
    data = {"digits": rng.uniform(size=(2, 4, 4)), "$colour": rng.uniform(size=(3, 3, 5, 5))}
    samples = {"$colour": rng.uniform(size=(1, 3, 5, 5)), "digits": rng.uniform(size=(2, 4, 4))}
    ax = plotting.data_and_samples(data, samples, title="both")
    assert [text.get_text() for text in ax.get_yticklabels()] == ["digits: data", "model", r"\$colour: data", "model"]
    assert ax.get_title() == "both"
    tops = sorted({image.get_extent()[3] for image in ax.images})
    gaps = np.diff(tops) - 1
    assert 0 < gaps[0] == pytest.approx(gaps[2])
    assert gaps[1] > gaps[0]  # a larger gap before the next data set
    for top, row in zip(tops, [data["digits"], samples["digits"], data["$colour"], samples["$colour"]], strict=True):
        found = [image.get_array() for image in ax.images if image.get_extent()[3] == top]
        assert len(found) == len(row)
        for picture, image in zip(found, row, strict=True):
            np.testing.assert_array_equal(picture[..., 0], image if image.ndim == 2 else image[0])


@pytest.mark.parametrize(("data", "samples"), [({}, {}), ({"a": np.eye(4)}, {"b": np.eye(4)})])
def test_data_and_samples_needs_the_same_names(data, samples):
    with pytest.raises(NiceValueError, match="data_and_samples: expected data and samples of the same names"):
        plotting.data_and_samples(data, samples)


# -- likelihood_histogram --------------------------------------------------------------------------------------------


def test_likelihood_histogram_counts_each_group_and_names_its_median(rng):
    own = rng.normal(0, 1, 1000)
    ax = plotting.likelihood_histogram({"own": own, "far": np.full(10, -1e6), "half": np.array([0.0, 1e6])})
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts[0].startswith(f"own: median {np.median(own):,.1f} nats")
    assert texts[1] == "far: median -1,000,000.0 nats, far to the left"
    assert texts[2] == "half: median 500,000.0 nats, 50% outside the figure"
    lines = {patch.get_label(): patch for patch in ax.patches if patch.get_label() in texts}
    heights, edges, _ = lines[texts[0]].get_data()
    counts, _ = np.histogram(own, edges)
    np.testing.assert_allclose(heights, counts / counts.max())
    assert edges[0] > -10
    assert edges[-1] < 10
    assert heights.max() == 1
    (arrow,) = ax.lines
    assert (arrow.get_marker(), arrow.get_xdata()[0], arrow.get_label()) == ("<", edges[0], texts[1])
    assert len({(line.get_edgecolor(), line.get_linestyle()) for line in lines.values()}) == 2
    assert "nats" in ax.get_xlabel()


def test_likelihood_histogram_keeps_its_legend_clear_of_the_bars(rng):
    ax = plotting.likelihood_histogram({f"group {k}": rng.normal(k, 1, 50) for k in range(4)})
    ax.figure.draw_without_rendering()
    assert ax.transData.transform((0, 1))[1] < ax.get_legend().get_window_extent().y0  # the highest bin is 1
    assert ax.get_yticks().max() == 1


def test_likelihood_histogram_says_nothing_of_outside_when_all_is_inside():
    ax = plotting.likelihood_histogram({"$a": [1.0, 2.0, 3.0, 4.0]}, unit="bits/dim")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [r"\$a: median 2.500 bits/dim"]
    assert ax.get_xlabel() == "bits/dim"


@pytest.mark.parametrize("same", [[2.0], [-1e6, -1e6], [0.0, 0.0, 0.0]])
def test_likelihood_histogram_of_equal_numbers(same):
    ax = plotting.likelihood_histogram({"same": same})
    assert "outside" not in ax.get_legend().get_texts()[0].get_text()


@pytest.mark.parametrize("groups", [{}, {"a": []}, {"a": [[1.0]]}, {"a": [0.0], "b": [np.nan]}, {"a": [-np.inf]}])
def test_likelihood_histogram_refuses_wrong_values(groups):
    with pytest.raises(NiceValueError, match="likelihood_histogram: "):
        plotting.likelihood_histogram(groups)


def test_likelihood_histogram_knows_two_units():
    with pytest.raises(NiceValueError, match="unknown unit 'bits'"):
        plotting.likelihood_histogram({"a": [1.0]}, unit="bits")
    assert set(likelihood.UNITS) == {"nats", "bits/dim"}


# -- interpolation ---------------------------------------------------------------------------------------------------


def test_latent_path_spherical_keeps_length_and_turns_evenly():
    start, end = np.array([[2.0, 0, 0], [0, 0, 2.0]]), np.array([[0, 2.0, 0], [0, 1.2, 1.6]])
    walk = latent_path(start, end, 3)
    assert walk.shape == (2, 5, 3)
    np.testing.assert_allclose(walk[:, 0], start)
    np.testing.assert_allclose(walk[:, -1], end, atol=1e-15)
    np.testing.assert_allclose(np.linalg.norm(walk, axis=2), 2)
    turns = (walk[:, :-1] * walk[:, 1:]).sum(axis=2) / 4  # cosines between neighbours
    np.testing.assert_allclose(np.arccos(turns[0]), np.pi / 8)
    np.testing.assert_allclose(np.arccos(turns[1]), np.arccos(0.8) / 4)


def test_latent_path_straight_is_a_line():
    walk = latent_path(np.array([[1.0, 3.0]]), np.array([[5.0, -5.0]]), 3, "straight")
    np.testing.assert_allclose(walk, [[[1, 3], [2, 1], [3, -1], [4, -3], [5, -5]]])


def test_latent_path_between_parallel_or_empty_latents_is_straight():
    for start, end in (([1.0, 1.0], [3.0, 3.0]), ([1.0, 1.0], [1.0, 1.0])):
        walk = latent_path(np.array([start]), np.array([end]), 1)
        np.testing.assert_allclose(walk[0, 1], np.add(start, end) / 2)
    assert np.isfinite(latent_path(np.zeros((1, 2)), np.ones((1, 2)), 4)).all()
    with pytest.raises(NiceValueError, match="latents of pair 1 are opposite"):
        latent_path(np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[0.0, 1.0], [-2.0, 0.0]]), 4)


@pytest.mark.parametrize("path", ["spherical", "straight"])
def test_interpolation_decodes_between_the_framed_ends(path, rng):
    flow = nice(6, hidden=(8,), dtype=np.float64, rng=0)
    x = rng.uniform(size=(4, 6))
    ax = plotting.interpolation(flow, x, 3, (2, 3), path=path)
    sheet = ax.images[0].get_array()
    assert sheet.shape == (2 * 3 + 1, 5 * 4 + 1, 3)
    z = flow.encode(x)
    walk = flow.decode(latent_path(z[::2], z[1::2], 3, path).reshape(-1, 6)).reshape(2, 5, 2, 3)
    np.testing.assert_allclose(walk[:, [0, -1]].reshape(-1, 6), x, atol=1e-12)
    for row in range(2):
        for column in range(5):
            tile = sheet[3 * row + 1 : 3 * row + 3, 4 * column + 1 : 4 * column + 4, 0]
            np.testing.assert_allclose(tile, np.clip(walk[row, column], 0, 1), atol=1e-12)
    frames = {(patch.get_x(), patch.get_y()) for patch in ax.patches}
    assert frames == {(0, 0), (16, 0), (0, 3), (16, 3)}
    assert path in ax.get_title()


def test_interpolation_refuses_odd_numbers_and_other_paths():
    flow = nice(4, hidden=(4,), rng=0)
    with pytest.raises(NiceValueError, match="even number of images, one pair per row; got 3"):
        plotting.interpolation(flow, np.eye(4)[:3])
    with pytest.raises(NiceValueError, match="got 0"):
        plotting.interpolation(flow, np.zeros((0, 4)))
    with pytest.raises(NiceValueError, match="unknown path 'great circle'"):
        plotting.interpolation(flow, np.eye(4), path="great circle")
    with pytest.raises(NiceValueError, match="steps must be >= 1"):
        plotting.interpolation(flow, np.eye(4), steps=0)


# -- nearest_neighbours ----------------------------------------------------------------------------------------------


def test_nearest_equals_the_plain_double_loop(rng, monkeypatch):
    samples, train = rng.normal(size=(7, 5)), rng.normal(size=(50, 5))
    monkeypatch.setattr(neighbours, "CHUNK", 8)
    index, distance = plotting.nearest(samples, train, 3)
    for k, sample in enumerate(samples):
        distances = np.array([np.sqrt(((sample - other) ** 2).sum()) for other in train])
        np.testing.assert_array_equal(index[k], np.argsort(distances)[:3])
        np.testing.assert_allclose(distance[k], np.sort(distances)[:3], rtol=1e-14)


def test_nearest_is_exact_for_copies_far_from_the_origin():
    train = 1e8 + np.arange(6.0).reshape(3, 2)
    index, distance = plotting.nearest(train[[2, 0]], train, 1)
    assert index.tolist() == [[2], [0]]
    assert distance.tolist() == [[0], [0]]


def test_nearest_takes_uint8_as_255ths_in_either():
    train = np.array([[0, 255], [51, 51]], dtype=np.uint8)
    index, distance = plotting.nearest([[0.2, 0.2]], train, 2)
    assert index.tolist() == [[1, 0]]
    np.testing.assert_allclose(distance, [[0, np.hypot(0.2, 0.8)]], atol=1e-15)
    np.testing.assert_array_equal(plotting.nearest(train, train, 1)[0], [[0], [1]])


def test_nearest_chooses_the_first_of_equals_and_may_take_all(monkeypatch):
    monkeypatch.setattr(neighbours, "CHUNK", 2)
    index, distance = plotting.nearest([[0.0]], [[1.0], [-1.0], [1.0], [0.5], [-1.0]], 5)
    assert index.tolist() == [[3, 0, 1, 2, 4]]
    assert distance.tolist() == [[0.5, 1, 1, 1, 1]]


def test_nearest_refuses_what_does_not_fit():
    with pytest.raises(NiceValueError, match=r"train\[0:\] has 3 features, expected 2"):
        plotting.nearest(np.zeros((1, 2)), np.zeros((4, 3)), 1)
    with pytest.raises(NiceValueError, match="k must be from 1 to 4, got 5"):
        plotting.nearest(np.zeros((1, 2)), np.zeros((4, 2)), 5)
    with pytest.raises(NiceValueError, match=r"train must have shape \(N, D\), N >= 1"):
        plotting.nearest(np.zeros((1, 2)), np.zeros((0, 2)))
    with pytest.raises(NiceValueError, match=r"train\[0:\] contains NaN or inf, first in row 1"):
        plotting.nearest(np.zeros((1, 2)), [[0, 0], [0, np.nan]], 1)
    with pytest.raises(NiceOverflowError, match="does not fit into float64"):
        plotting.nearest([[1e200]], [[-1e200]], 1)
    with pytest.raises(NiceTypeError, match="expected real numbers"):
        plotting.nearest([["a"]], [[1.0]], 1)


def test_nearest_neighbours_draws_sample_then_neighbours_with_their_distances(rng):
    samples, train = rng.uniform(size=(2, 6)), rng.uniform(size=(9, 6))
    index, distance = plotting.nearest(samples, train, 3)
    ax = plotting.nearest_neighbours(samples, train, (2, 3), k=3)
    pictures = [image.get_array()[..., 0] for image in ax.images]
    assert len(pictures) == 2 * 4
    for row in range(2):
        np.testing.assert_array_equal(pictures[4 * row], samples[row].reshape(2, 3))
        for k in range(3):
            np.testing.assert_array_equal(pictures[4 * row + 1 + k], train[index[row, k]].reshape(2, 3))
    assert [text.get_text() for text in ax.texts] == [f"{value:#.3g}" for value in distance.ravel()]
    for k, text in enumerate(ax.texts):  # each centred below its image
        left, right, bottom, _ = ax.images[k // 3 * 4 + 1 + k % 3].get_extent()
        assert text.get_position()[0] == pytest.approx((left + right) / 2)
        assert bottom < text.get_position()[1] < bottom + neighbours.CAPTION
    frames = [(patch.get_x(), patch.get_y(), patch.get_width()) for patch in ax.patches]
    assert frames == [(0, 0, 1.5), (0, 1 + neighbours.CAPTION, 1.5)]


def test_nearest_neighbours_in_colour(rng):
    train = rng.integers(0, 256, (5, 12), dtype=np.uint8)
    ax = plotting.nearest_neighbours(train[:1] / 255, train, (3, 2, 2), k=1)
    np.testing.assert_allclose(ax.images[0].get_array(), ax.images[1].get_array())
    assert ax.texts[0].get_text() == "0.00"


# -- all of them -----------------------------------------------------------------------------------------------------

FLOW = Flow("normal", Chain([Standardize(np.full(4, 0.5), np.ones(4)), DiagonalScaling(4)]))
DRAWINGS = {
    "sample_rows": lambda ax=None: plotting.sample_rows({"a": np.eye(4)}, ax=ax),
    "data_and_samples": lambda ax=None: plotting.data_and_samples({"a": np.eye(4)}, {"a": np.eye(4)}, ax=ax),
    "likelihood_histogram": lambda ax=None: plotting.likelihood_histogram({"a": [1.0, 2.0]}, ax=ax),
    "interpolation": lambda ax=None: plotting.interpolation(FLOW, np.eye(4), ax=ax),
    "nearest_neighbours": lambda ax=None: plotting.nearest_neighbours(np.eye(4), np.eye(4), k=2, ax=ax),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_the_axes_given_are_the_axes_returned(name, tmp_path):
    ax = Figure().add_subplot()
    assert DRAWINGS[name](ax) is ax
    assert ax.has_data()
    with pytest.raises(NiceTypeError, match=f"{name}: expected a matplotlib Axes, got int"):
        DRAWINGS[name](3)
    plotting.save(DRAWINGS[name](), tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
