"""Checks of arguments that no other test covers."""

import numpy as np
import pytest

from nice_np import (
    Adam,
    Chain,
    DiagonalScaling,
    Flow,
    NiceError,
    NiceTypeError,
    NiceValueError,
    datasets,
    fit,
    named_mask,
    nice,
    plotting,
)
from nice_np.datasets import rings, two_moons
from nice_np.files.architecture import by_name
from nice_np.flows.builders import original_nice
from nice_np.validation import as_choice, as_flag, as_widths


@pytest.mark.parametrize("value", [True, 1, np.True_, np.int8(1), False, 0, np.False_])
def test_a_flag_is_true_or_false_or_1_or_0(value):
    assert as_flag(value, "f", "a") is bool(value)


@pytest.mark.parametrize("value", ["no", "False", "", None, 2, -1, 1.0, float("nan"), [], np.array(True), np.zeros(2)])
def test_nothing_else_is_a_flag(value):
    with pytest.raises(NiceTypeError, match="f: a must be True or False, got "):
        as_flag(value, "f", "a")


@pytest.mark.parametrize("name", ["progress", "resume", "recompute"])
def test_a_string_is_no_flag_of_fit(name):
    with pytest.raises(NiceTypeError, match=f"fit: {name} must be True or False, got 'no'"):
        fit(Flow("normal", DiagonalScaling(2)), np.eye(2), epochs=1, **{"progress": False, name: "no"})


def test_a_string_is_no_flag_elsewhere():
    with pytest.raises(NiceTypeError, match=r"Flow.nll_and_grad: recompute must be True or False, got 'no'"):
        Flow("normal", DiagonalScaling(2)).nll_and_grad(np.eye(2), recompute="no")
    with pytest.raises(NiceTypeError, match="original_nice: tile must be True or False, got 'no'"):
        original_nice(4, depths=(1,), width=3, tile="no")


def test_a_choice_is_returned_as_it_is_listed():
    assert as_choice("ODD_EVEN", ("odd-even", "halves"), "f", "a") == "odd-even"
    with pytest.raises(
        NiceValueError, match=r"f: unknown a 'halfs' .did you mean 'halves'.*; choose one of odd-even, "
    ):
        as_choice("halfs", ("odd-even", "halves"), "f", "a")


def test_a_class_in_place_of_an_object_says_so():
    with pytest.raises(NiceTypeError, match=r"got the class Adam; write Adam\(\)$"):
        fit(Flow("normal", DiagonalScaling(2)), np.eye(2), epochs=1, optimizer=Adam)


def test_a_data_set_in_place_of_its_samples_says_so():
    with pytest.raises(NiceTypeError, match=r"fit: x has dtype object, expected real numbers; write x.train$"):
        fit(Flow("normal", DiagonalScaling(2)), datasets.load("rings"), epochs=1)


@pytest.mark.parametrize(
    "call",
    [
        lambda wrong: nice(2, hidden=wrong),
        lambda wrong: nice(2, hidden=(3,), preprocess=wrong),
        Chain,
        lambda wrong: rings(3, radii=wrong),
        by_name,
        lambda wrong: fit(nice(2, hidden=(3,)), [[0.0, 0.0]], epochs=1, callbacks=wrong),
        plotting.density_evolution,
    ],
)
@pytest.mark.parametrize("wrong", [3.5, "12", memoryview(np.ones((3, 2))), np.array(3)])
def test_what_is_no_sequence_is_refused_as_such(call, wrong):
    with pytest.raises(NiceError, match=r"sequence|list of|callables|unknown name"):
        call(wrong)


def test_a_number_is_one_width():
    assert as_widths(64, "f", "a") == as_widths(np.int8(64), "f", "a") == (64,)
    assert as_widths([3, 4], "f", "a") == (3, 4)
    assert as_widths((), "f", "a") == ()
    with pytest.raises(NiceTypeError, match="every entry of a must be a whole number, got True"):
        as_widths(True, "f", "a")


@pytest.mark.parametrize(
    "call",
    [lambda n: nice(n), lambda n: named_mask("left", n, 4), lambda n: two_moons(n), lambda n: nice(4, 3, (n,))],
    ids=["nice", "named_mask", "two_moons", "hidden"],
)
def test_no_size_is_beyond_what_an_array_can_have(call):
    with pytest.raises(NiceValueError, match=r"must be from \d to 1099511627776, got 1180591620717411303424"):
        call(2**70)
