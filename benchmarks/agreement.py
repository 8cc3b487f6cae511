"""Before anything is timed: do all contenders compute the same?  A fast wrong answer is worth nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.contender import Contender, Unavailable
from benchmarks.contenders import build
from benchmarks.model import Array, Model
from benchmarks.weights import Weights

TOLERANCE = 1e-4  # of the largest entry; float32 sums in another order differ by some 1e-6
Compute = Callable[[Contender], list[Any]]


class Disagreement(Exception):
    """A contender computes something else than nice_np."""


def training_results(model: Model) -> Compute:
    """Loss and gradient of the model's batch."""
    x = model.data(model.batch)
    return lambda contender: list(contender.loss_and_gradients(contender.prepare(x)))


def agreeing(model: Model, names: list[str], compute: Compute) -> tuple[dict[str, Contender], dict[str, str]]:
    """The contenders of these names with equal weights, each compared with nice_np.

    Parameters
    ----------
    model : Model
    names : list of str
    compute : function of a contender
        The results to be compared, NumPy arrays or numbers.

    Returns
    -------
    contenders : dict
        Those that can take part, by name.
    missing : dict
        The reasons of the others.

    Raises
    ------
    Disagreement
        With the name and the numbers.
    """
    reference = build("nice_np", model)
    weights = Weights.of_flow(model.flow())
    expected = compute(reference)
    contenders: dict[str, Contender] = {}
    missing: dict[str, str] = {}
    for name in names:
        try:
            contender = reference if name == "nice_np" else build(name, model, weights)
            compare(name, compute(contender), expected)
            contenders[name] = contender
        except Unavailable as reason:
            missing[name] = str(reason)
    return contenders, missing


def compare(name: str, results: list[Array], expected: list[Array]) -> None:
    """Disagreement unless each result is that of nice_np, to TOLERANCE times its largest entry."""
    for result, wanted in zip(results, expected, strict=True):
        result, wanted = np.asarray(result), np.asarray(wanted)
        if result.shape != wanted.shape:
            raise Disagreement(f"{name}: result of shape {result.shape}, nice_np's has {wanted.shape}")
        distance = np.abs(result - wanted)
        largest = float(np.abs(wanted).max())
        if not distance.max() <= TOLERANCE * largest:  # written so that NaN fails
            where = np.unravel_index(distance.argmax(), distance.shape)
            raise Disagreement(
                f"{name}: {result[where]:.8g} where nice_np has {wanted[where]:.8g}, a difference of "
                f"{distance[where]:.2g}; allowed is {TOLERANCE:g} times the largest entry, {largest:.4g}"
            )
