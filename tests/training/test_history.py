"""A history as a table: its epochs, its columns, its curve.  Reading and writing CSV is in test_fit."""

import copy

import numpy as np
import pytest

from nice_np import History, NiceValueError, fit, nice, plotting
from nice_np.training.history import COLUMNS


@pytest.fixture
def history():
    return fit(nice(2, hidden=3, rng=0), np.eye(2), epochs=3, progress=False, rng=0)


def test_its_length_is_the_number_of_epochs(history):
    assert (len(history), len(History())) == (3, 0)


def test_a_name_gives_a_column_and_a_place_a_row(history):
    assert history["epoch"] == history.column("Epoch") == [1, 2, 3]
    assert history[-1] is history.rows[2]
    assert history[:2] == history.rows[:2]
    assert list(history) == history.rows


def test_an_unknown_column_lists_all(history):
    with pytest.raises(NiceValueError, match="unknown column 'loss'; choose one of epoch, step, learning_rate, train_"):
        history["loss"]


@pytest.mark.parametrize("column", [name for name in COLUMNS if name != "seconds"])
def test_equal_histories_differ_in_the_seconds_alone(column, history):
    other = copy.deepcopy(history)
    other.rows[1]["seconds"], other.stopped = -1.0, "time_limit"
    assert other == history
    other.rows[1][column] = 12345
    assert other != history


def test_plot_is_the_training_curve(history):
    drawn, expected = history.plot(), plotting.training_curve(history)
    for one, other in zip(drawn.lines, expected.lines, strict=True):
        np.testing.assert_array_equal(one.get_xydata(), other.get_xydata())
    assert history.plot(drawn) is drawn
