"""Check hand-derived gradients by central differences, dL/dw ~ (L(w + h) - L(w - h)) / 2h, in float64.

Works on any object that obeys a protocol of `check_gradients`, even one that does not use nice_np.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from nice_np._blas import BLAS
from nice_np.checks.differences import Settings, compare, compare_exactly
from nice_np.checks.from_layer import shorten
from nice_np.checks.objects import (
    Pass,
    as_points,
    find_numbers,
    find_parameters,
    find_unannounced,
    find_unchecked,
    float64_copy,
    has_methods,
    is_exact,
    refuse_wrong_dim,
    run_pass,
    switch_rounding_off,
)
from nice_np.checks.purity import Change, find_changes, find_changes_of_density
from nice_np.checks.report import GradientError, GradientReport, Row
from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.suggestions import suggests
from nice_np.validation import Array, Rng, as_float, as_int, as_real_array, as_rng

__all__ = ["GradientError", "GradientReport", "Row", "check_gradients"]

OWNER = "check_gradients"
NOISE = "noise was drawn once for all calls"
UNROUNDED = "rounding was off: through it the true derivative is 0, and backward's is the estimate of another one"
UNANNOUNCED = "it is not in param_names, so no optimiser would train it"
Found = tuple[list[Row], tuple[str, ...]]  # the rows, and notes for the reader
PROTOCOLS = """\
  a bijector:  forward(x) -> (z, log_det, cache), backward(dz, dlog_det, cache) -> dx; perhaps also inverse(z) and
               inverse_backward(dx, dlog_det, cache) -> dz
  a layer:     forward(x) -> (y, cache), backward(dy, cache) -> dx
  a prior:     log_prob(z) -> (N,), grad_log_prob(z) -> (N, D); with parameters backward(dlog_p, z) -> dz, too
  a flow:      nll_and_grad(x) -> (nll, gradient (P,)), log_prob(x), grad_log_prob(x), params.values, params.slots
  a VAE:       draw_noise(n, rng) -> eps, elbo(x, eps) -> (N,), loss_and_grad(x, eps) -> (loss, gradient (P,)),
               params.values, params.slots"""


@suggests
def check_gradients(
    obj: Any,
    x: Any,
    *,
    context: Any = None,
    rng: Rng = 0,
    max_coordinates: int = 2000,
    directions: int = 3,
    eps: float = 1e-5,
    atol: float = 1e-7,
    rtol: float = 1e-5,
) -> GradientReport:
    """Compare every gradient that `obj` computes with central differences.

    Parameters
    ----------
    obj : bijector, conditioner or other layer, prior, flow or VAE
        Recognised by its methods alone: ``forward`` and ``backward``, with ``inverse`` and ``inverse_backward`` where
        it has them; ``log_prob`` and ``grad_log_prob``; or ``nll_and_grad`` with ``params.values`` and
        ``params.slots``.  For a VAE, with ``elbo`` and ``loss_and_grad``, noise is drawn once.
        Parameters are what ``named_parameters()`` yields as (path, array, gradient), and every array ``W`` with a
        ``dW`` beside it, in the object and in what its attributes hold.  ``backward`` may write ``dW``, add to it or
        assign it.
    x : array_like, shape (N, D)
        Where to check: at least one sample.  Small random numbers are best; exact zeros sit on the kinks of ReLUs.
    context : array_like, shape (N, C) or (C,), optional
        For a flow with a context.  To check the gradient with respect to the context, check the flow's bijector,
        where it is part of the input.
    rng : int or numpy.random.Generator
        For the random functional L, the directions and the sample of elements.
    max_coordinates : int
        An array with at most this many elements is checked one by one.
    directions : int
        A larger array is checked along this many random directions and at ``max_coordinates // 10`` random elements.
        A direction depends on every element, but one wrong element in 10^6 can stay below the tolerance.
    eps : float
        The step h; times \\|w\\| for an element above 1.
    atol, rtol : float
        ``|numeric - analytic| <= atol + rtol |numeric|`` for every element.

    Returns
    -------
    GradientReport
        True if all is right; prints the largest error of each array, and for each failure its likely cause and place.
        It has `verdict`, `rows` and `failures`, and the methods ``raise_if_failed()`` and ``to_dict()``.

    Raises
    ------
    NiceTypeError
        If `obj` obeys no protocol or cannot be copied, or `x` is not an array of numbers.
    NiceValueError
        If `x` is not a finite (N, D) array with N >= 1, a setting is out of range, or an output has a wrong shape.

    Notes
    -----
    A pass with several outputs is checked through a random linear functional ``L = sum(G * z) + sum(g * log_det)``.
    The rows "log_det" take the volume term alone (each element of arrays up to ``max_coordinates // 20``).
    The rows "cancellation" need no step: ``inverse_backward(backward(dz))`` is dz, and the two passes' parameter
    gradients cancel, since forward followed by inverse is the identity whatever the parameters are.
    The check works on a deep copy in float64, in which layers that round, see `RoundedAdditiveCoupling`, do not: their
    gradient is exact only then.  See `nice_np.checks.differences` for the kinks of a ReLU.

    Examples
    --------
    >>> class Square:
    ...     def forward(self, x):
    ...         return x**2, x
    ...     def backward(self, dy, x):
    ...         return 2 * x * dy
    >>> check_gradients(Square(), [[0.5, -1.0], [2.0, 3.0]]).passed
    True
    >>> Square.backward = lambda self, dy, x: -2 * x * dy
    >>> check_gradients(Square(), [[0.5, -1.0], [2.0, 3.0]]).rows[0].hint
    'every element has the wrong sign'
    """
    points = as_points(x, OWNER)  # (N, D)
    settings = Settings(
        rng=as_rng(rng, OWNER),
        max_coordinates=as_int(max_coordinates, OWNER, "max_coordinates", 1),
        directions=as_int(directions, OWNER, "directions", 1),
        eps=as_float(eps, OWNER, "eps", minimum=1e-8, below=0.1),
        atol=as_float(atol, OWNER, "atol", minimum=0.0),
        rtol=as_float(rtol, OWNER, "rtol", minimum=0.0),
        n_samples=len(points),
    )
    check = _choose_check(obj)
    if context is not None:
        if check is not _check_flow:
            raise NiceTypeError(f"{OWNER}: only a flow takes a context; for a bijector it is part of x")
        check = partial(_check_flow, context=as_real_array(context, OWNER, "context"))
    with BLAS.following_load(), np.errstate(all="ignore"):  # what is not finite is reported in a row of its own
        twin = float64_copy(obj, OWNER)
        was_rounding = switch_rounding_off(twin)
        rows, notes = check(twin, points, settings)
    return GradientReport(type(obj).__name__, tuple(rows), (*notes, UNROUNDED) if was_rounding else notes)


def _choose_check(obj: Any) -> Callable[[Any, Array, Settings], Found]:
    if has_methods(obj, "nll_and_grad", "log_prob"):
        return _check_flow
    if has_methods(obj, "loss_and_grad", "elbo", "draw_noise"):
        return _check_vae
    if has_methods(obj, "forward", "backward"):
        return _check_passes
    if has_methods(obj, "log_prob", "grad_log_prob"):
        return _check_prior
    cure = "; pass an instance, not the class" if isinstance(obj, type) else ""
    raise NiceTypeError(f"{OWNER}: {obj!r} obeys none of the protocols that can be checked{cure}:\n{PROTOCOLS}")


# -- densities and models ---------------------------------------------------------------------------------------------


def _check_prior(prior: Any, z: Array, settings: Settings) -> Found:
    changes = find_changes_of_density(prior, z)
    if changes:
        return _rows_of(changes), ()
    rows = [_check_density("log_prob: z", prior, z, settings)]
    parameters = partial(find_parameters, prior, find_numbers(prior))
    if has_methods(prior, "backward") and parameters():
        passing = Pass("log_prob", lambda z: (_vector(prior.log_prob(z), z), z), prior.backward, parameters)
        rows += _check_functional(passing, z, [_random_weights(z[:, 0], settings.rng)], settings)
    return rows, ()


def _rows_of(changes: list[Change]) -> list[Row]:
    return [Row(change.name, change.before.shape, hint=change.hint) for change in changes]


def _check_flow(flow: Any, x: Array, settings: Settings, **given: Array) -> Found:
    """The gradient of nll = -mean(log_prob) for every parameter, and of log_prob for the input; given the context."""
    rows = _check_loss("nll", flow, partial(flow.nll_and_grad, **given), partial(flow.log_prob, **given), x, settings)
    if has_methods(flow, "grad_log_prob"):
        rows.append(_check_density("log_prob: x", flow, x, settings, **given))
    if getattr(flow, "measure", "log_likelihood") == "log_likelihood":
        return rows, ()
    context = flow.checked_context(given.get("context"), len(x), OWNER)  # its training has a loss of its own
    extra = flow.draw_extra(context, len(x), settings.rng)
    loss, objective = (lambda x: flow.loss_and_grad(x, extra)), (lambda x: flow.objective(x, extra))
    return rows + _check_loss("loss", flow, loss, objective, x, settings), (NOISE,)


def _check_vae(vae: Any, x: Array, settings: Settings) -> Found:
    """The gradient of loss = -mean(elbo) for every parameter, for noise that is drawn once."""
    eps = vae.draw_noise(len(x), settings.rng)
    rows = _check_loss("loss", vae, lambda x: vae.loss_and_grad(x, eps), lambda x: vae.elbo(x, eps), x, settings)
    return rows, (NOISE,)


def _check_density(name: str, density: Any, x: Array, settings: Settings, **given: Array) -> Row:
    gradient = density.grad_log_prob(x.copy(), **given)  # (N, D)
    return compare(name, lambda: _vector(density.log_prob(x.copy(), **given), x), x, gradient, settings)


def _check_loss(
    name: str,
    model: Any,
    loss_and_grad: Callable[[Array], tuple[float, Array]],
    objective: Callable[[Array], Array],
    x: Array,
    settings: Settings,
) -> list[Row]:
    """The value of a loss = -mean(objective), and its gradient for every parameter."""
    loss_and_grad(x.copy())  # called twice: a gradient left over from an earlier call would count double
    loss, gradient = loss_and_grad(x.copy())
    gradient = np.array(gradient, dtype=np.float64)  # (P,)

    def whole() -> Array:
        return _vector(objective(x.copy()), x)

    rows = [compare_exactly(f"{name}: value", -whole().mean(keepdims=True), np.reshape(loss, (1,)), settings)]
    for slot in model.params.slots:
        values = model.params.values[slot.start : slot.stop].reshape(slot.shape)  # a view
        if values.size:
            claimed = gradient[slot.start : slot.stop].reshape(slot.shape)
            short = shorten(whole, model, x, slot.path, values, settings.eps)
            rows.append(compare(f"{name}: {slot.path}", partial(_mean_terms, short), values, claimed, settings))
    return rows


def _mean_terms(objective: Callable[[], Array]) -> Array:
    """The terms of -mean(objective), (N,)."""
    terms = -objective()
    return terms / len(terms)


def _vector(log_prob: Any, x: Array) -> Array:
    """A log_prob or log_det as a float64 vector (N,), or an error that says what came instead."""
    vector: Array = as_real_array(log_prob, OWNER, "log_prob or log_det").astype(np.float64)
    if vector.shape != (len(x),):
        raise NiceValueError(f"{OWNER}: log_prob or log_det has shape {vector.shape}, expected (N,) = ({len(x)},)")
    return vector


# -- layers -----------------------------------------------------------------------------------------------------------


def _check_passes(obj: Any, x: Array, settings: Settings) -> Found:
    """A bijector's two passes, or a layer's one."""
    before = find_numbers(obj)
    parameters = partial(find_parameters, obj, before)
    refuse_wrong_dim(obj, x, OWNER)
    if has_methods(obj, "inverse"):  # a bijector
        z, _, _ = run_pass(obj, "forward", x, OWNER)
        if has_methods(obj, "inverse_backward"):
            run_pass(obj, "inverse", z, OWNER)
    *outputs, cache = obj.forward(x.copy())
    if len(outputs) not in (1, 2):
        raise NiceTypeError(f"{OWNER}: forward returned {len(outputs) + 1} values; allowed are\n{PROTOCOLS}")
    changes = find_changes(float64_copy(obj, OWNER), x, gradients=True)
    if changes:
        return _rows_of(changes), ()
    obj.backward(*[np.ones_like(output) for output in outputs], cache)  # some layers create their dW only here
    rows = [
        Row(f"forward: {path}", np.shape(value), hint=reason)
        for path, value, reason in find_unchecked(before, find_numbers(obj))
    ]
    rows += [
        Row(f"forward: {path}", np.shape(parameters()[path][0]), hint=UNANNOUNCED)
        for path in find_unannounced(obj, parameters())
    ]
    there = Pass("forward", obj.forward, obj.backward, parameters)
    rows += _check_pass(there, x, settings)
    if len(outputs) == 2 and has_methods(obj, "inverse", "inverse_backward"):
        z = np.array(outputs[0], dtype=np.float64)  # (N, D), a point that inverse can map
        back = Pass("inverse", obj.inverse, obj.inverse_backward, parameters)
        rows += _check_pass(back, z, settings)
        rows += _check_cancellation(there, back, x, settings) if is_exact(obj) else []
    return rows, () if parameters() else ("no parameters found: an array W counts when a dW lies beside it",)


def _check_pass(passing: Pass, x: Array, settings: Settings) -> list[Row]:
    """Parameters and input of one pass, through a random functional of all its outputs, then of log_det alone."""
    *outputs, _ = passing.forward(x.copy())
    weights = [_random_weights(output, settings.rng) for output in outputs]
    rows = _check_functional(passing, x, weights, settings)
    if len(outputs) == 1:
        return rows
    volume = passing._replace(name=f"{passing.name} log_det")
    few = settings._replace(max_coordinates=max(1, settings.max_coordinates // 20))
    of_volume = _check_functional(volume, x, [np.zeros_like(weights[0]), weights[1]], few)
    rows = [_blame_log_det(row, alone) for row, alone in zip(rows, of_volume, strict=True)]
    return rows + [row for row in of_volume if row.max_error != 0.0]  # 0.0: log_det does not depend on this array


def _blame_log_det(row: Row, alone: Row) -> Row:
    """Point a failed row at the log-det term if that alone is as far off."""
    if not (row.passed or alone.passed) and math.isclose(row.max_error, alone.max_error, rel_tol=0.01):
        return replace(row, hint="all of the error is in the log-det term", volume_alone=True)
    return row


def _random_weights(output: Any, rng: np.random.Generator) -> Array:
    """Weights G for which L = sum(G * output) is about 1 in size, so that rounding stays far below atol."""
    size = float(np.sqrt(np.mean(np.square(output, dtype=np.float64))))
    weights: Array = rng.standard_normal(np.shape(output)) / np.sqrt(np.size(output))
    return weights / size if 1 < size < np.inf else weights


def _check_functional(passing: Pass, x: Array, weights: list[Array], settings: Settings) -> list[Row]:
    """The gradients of L = sum(weights * outputs) for each parameter and the input."""

    def terms() -> Array:
        *outputs, _ = passing.forward(x.copy())
        return np.concatenate([np.ravel(w * output) for w, output in zip(weights, outputs, strict=True)])

    dx, parameters = passing.pull_back(x, weights)
    rows = [
        compare(f"{passing.name}: {path}", terms, array, gradient, settings)
        for path, (array, gradient) in parameters.items()
        if array.size
    ]
    passed_on = weights[0] if weights[0].shape == x.shape and weights[0].any() else None
    return [*rows, compare(f"{passing.name}: input", terms, x, dx, settings, passed_on)]


def _check_cancellation(there: Pass, back: Pass, x: Array, settings: Settings) -> list[Row]:
    """With dlog_det = 0, inverse_backward undoes backward, and the two gradients of each parameter cancel."""
    z, log_det, _ = there.forward(x.copy())
    dz, zero = _random_weights(z, settings.rng), np.zeros_like(log_det)
    dx, first = there.pull_back(x, [dz, zero])
    if np.shape(dx) != x.shape:
        return []  # the rows of forward say so
    dz_again, second = back.pull_back(np.array(z), [dx, zero])
    rows = [compare_exactly("cancellation: input", dz, dz_again, settings)]
    return rows + [
        compare_exactly(f"cancellation: {path}", -gradient, second[path][1], settings)
        for path, (_, gradient) in first.items()
        if gradient.size
    ]
