"""Inverse problems with a flow as prior: which image x is likely, and could have been seen as y?

    y = A x + n,  n ~ N(0, sigma^2 I)           A: an Operator of nice_np.operators
    F(x) = |A x - y|^2 / (2 sigma^2) - log p(x)

F is -log p(x | y) in nats, up to a constant, and its minimiser the most probable image, the MAP.  With x = g(z), g the
inverse of the flow's bijector f, three objectives; each row is an image of its own:

    ImageObjective     F(x)                                                Helminger et al. 2021
    LatentObjective    F(g(z)),  log p(g(z)) = log p_Z(z) - log|det dg/dz|
    ProxyObjective     |A g(z) - y|^2 / (2 sigma^2) + gamma |z|^2 / (2 sigma^2)       Asim et al. 2020

The first two are one function in two coordinates and have the same minima: only the path of an optimiser differs.  The
third forgets the log-determinant.  Where that is constant, as in NICE with its additive couplings, and the prior is
Gaussian, gamma = sigma^2 gives F(g(z)) again, up to a constant; with affine couplings it is a different problem.

Where the observed pixels are exact (sigma = 0), `inpaint` moves the hidden ones alone: HiddenPixels, -log p(x), as in
section 5.2 of Dinh et al. 2014.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from math import inf
from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.checks import (
    Array,
    Rng,
    as_choice,
    as_context,
    as_float,
    as_int,
    as_real_array,
    as_rng,
    as_samples,
    check_interval,
)
from nice_np.errors import NiceOverflowError, NiceTypeError, NiceValueError
from nice_np.flow import Flow
from nice_np.operators import Mask, Operator
from nice_np.optim import Adam, Cosine, Schedule, get_schedule

FTOL = 1e-13  # L-BFGS stops when a step lowers the objective by less than this part of it ...
GTOL = 1e-6  # ... or when no component of the gradient, in nats, is larger than this
MEMORY = 20  # pairs of steps and gradients from which it guesses the curvature
ADAM_RATE = Cosine(0.05)
SPACES = ("latent", "image", "proxy")


# -- objectives -------------------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class Objective(ABC):
    """A function of free variables u, one row for each image, with its gradient.

    Parameters
    ----------
    flow : Flow
    operator : Operator
        A, from the D features of the flow to M measurements.
    y : array_like, shape (N, M)
        What was measured.
    context : array_like, shape (N, C) or (C,)
        For a flow with a context, and only there.

    Raises
    ------
    NiceValueError, NiceTypeError, NiceOverflowError
        For an argument of the wrong type or shape, and for NaN or inf.
    """

    flow: Flow
    operator: Operator
    y: Any
    context: Any = None

    def __post_init__(self) -> None:
        who = type(self).__name__
        if not isinstance(self.flow, Flow):
            raise NiceTypeError(f"{who}: expected a Flow, got {type(self.flow).__name__}")
        if not isinstance(self.operator, Operator):
            raise NiceTypeError(f"{who}: operator must be an Operator, got {type(self.operator).__name__}")
        if self.operator.dim_in != self.flow.dim:
            raise NiceValueError(
                f"{who}: the operator expects images of {self.operator.dim_in} features, the flow has {self.flow.dim}"
            )
        self.y = as_samples(self.y, self.operator.dim_out, owner=who, name="y", dtype=self.flow.dtype)
        if self.flow.context_dim:
            self.context = as_context(self.context, len(self.y), self.flow.context_dim, who, self.flow.dtype)
        elif self.context is not None:
            raise NiceValueError(f"{who}: this flow takes no context")

    def value_and_grad(self, u: Array) -> tuple[Array, Array]:
        """The objective of each image (N,) in nats, and its gradient with respect to u.

        Raises
        ------
        NiceOverflowError
            If either does not fit into the dtype: from the flow with the name of the layer, else from here.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # looked for below
            value, gradient = self._value_and_grad(u)
        bad = ~(np.isfinite(value) & np.isfinite(gradient).all(axis=1))
        if bad.any():
            raise NiceOverflowError(
                f"{type(self).__name__}: the objective of row {bad.argmax()}, or its gradient, overflows "
                f"{value.dtype}; check sigma and the scale of y"
            )
        return value, gradient

    def only(self, n: int) -> Objective:
        """The objective of image `n` alone, with one row."""
        context = None if self.context is None else self.context[n : n + 1]
        return replace(self, y=self.y[n : n + 1], context=context)

    @property
    def interval(self) -> tuple[float, float]:
        """Where every free variable must lie, the ends excluded."""
        return (-inf, inf)

    @abstractmethod
    def _value_and_grad(self, u: Array) -> tuple[Array, Array]: ...

    @abstractmethod
    def image(self, u: Array) -> Array:
        """The images (N, D) that u stands for."""

    @abstractmethod
    def variables(self, x: Array) -> Array:
        """The u that stands for the images x (N, D)."""


@dataclass(kw_only=True)
class _Noisy(Objective):
    sigma: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self.sigma = as_float(self.sigma, type(self).__name__, "sigma", above=0)


class ImageObjective(_Noisy):
    """F(x) = |A x - y|^2 / (2 sigma^2) - log p(x), with u = x (N, D); also takes ``sigma`` > 0.

    Examples
    --------
    Prior N(0, 1), one measurement y = 2 with noise N(0, 1): half way between the two, the gradient is zero.

    >>> from nice_np import DiagonalScaling, Identity
    >>> flow = Flow("normal", DiagonalScaling(1))
    >>> objective = ImageObjective(flow=flow, operator=Identity(1), y=[[2.0]], sigma=1.0)
    >>> objective.value_and_grad(np.array([[1.0]]))[1]
    array([[0.]])
    """

    def _value_and_grad(self, u: Array) -> tuple[Array, Array]:
        fit, dfit = misfit(self.operator, u, self.y, self.sigma)
        log_prob, dlog_prob = self.flow.log_prob_and_grad(u, self.context)
        return fit - log_prob, dfit - dlog_prob

    def image(self, u: Array) -> Array:
        return u

    def variables(self, x: Array) -> Array:
        return x

    @property
    def interval(self) -> tuple[float, float]:
        return self.flow.bijector.interval


class _OverLatents(_Noisy):
    def image(self, u: Array) -> Array:
        return self.flow.decode(u, self.context)

    def variables(self, x: Array) -> Array:
        return self.flow.encode(x, self.context)


class LatentObjective(_OverLatents):
    """F(g(z)) = |A g(z) - y|^2 / (2 sigma^2) - log p_Z(z) + log|det dg/dz|, with u = z; also takes ``sigma`` > 0."""

    def _value_and_grad(self, u: Array) -> tuple[Array, Array]:
        x, log_det, pullback = self.flow.decode_with_pullback(u, self.context)
        fit, dfit = misfit(self.operator, x, self.y, self.sigma)
        # dF/dz = J^T A^T (A x - y) / sigma^2 + d log_det/dz - d log p_Z/dz:  F holds +log_det, so dF/dlog_det = 1
        gradient = pullback(dfit, np.ones_like(log_det)) - self.flow.prior.grad_log_prob(u)
        return fit - self.flow.prior.log_prob(u) + log_det, gradient


@dataclass(kw_only=True)
class ProxyObjective(_OverLatents):
    """|A g(z) - y|^2 / (2 sigma^2) + gamma |z|^2 / (2 sigma^2), with u = z; also takes ``sigma`` and ``gamma``.

    This is |A g(z) - y|^2 + gamma |z|^2 of Asim et al. in nats; without a ``gamma`` it is sigma^2.
    """

    gamma: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        gamma = self.sigma**2 if self.gamma is None else self.gamma
        self.gamma = as_float(gamma, type(self).__name__, "gamma", minimum=0)

    def _value_and_grad(self, u: Array) -> tuple[Array, Array]:
        x, log_det, pullback = self.flow.decode_with_pullback(u, self.context)
        fit, dfit = misfit(self.operator, x, self.y, self.sigma)
        weight = u.dtype.type(self.gamma / self.sigma**2)
        length = weight * squares(u) / 2
        return fit + length, pullback(dfit, np.zeros_like(log_det)) + weight * u  # d(w |z|^2 / 2)/dz = w z


class HiddenPixels(Objective):
    """-log p(x) as a function of the hidden pixels, u = x_H (N, H); the observed ones are y and stay as they are.

    The limit of F as sigma goes to 0.  The operator must be a Mask.
    """

    operator: Mask

    def __post_init__(self) -> None:
        if not isinstance(self.operator, Mask):
            raise NiceTypeError(f"HiddenPixels: operator must be a Mask, got {type(self.operator).__name__}")
        super().__post_init__()

    def _value_and_grad(self, u: Array) -> tuple[Array, Array]:
        log_prob, dlog_prob = self.flow.log_prob_and_grad(self.image(u), self.context)
        return -log_prob, -self.variables(dlog_prob)  # dx/dx_H: the columns H of the identity

    def image(self, u: Array) -> Array:
        x = self.operator.adjoint(self.y)
        x[:, self.operator.hidden] = u
        return x

    def variables(self, x: Array) -> Array:
        return x[:, self.operator.hidden]

    @property
    def interval(self) -> tuple[float, float]:
        return self.flow.bijector.interval


def misfit(operator: Operator, x: Array, y: Array, sigma: float) -> tuple[Array, Array]:
    """|A x - y|^2 / (2 sigma^2) of each row, (N,), and its gradient A^T (A x - y) / sigma^2, (N, D)."""
    residual = (operator.forward(x) - y) / x.dtype.type(sigma)  # (N, M), in units of the noise
    return squares(residual) / 2, operator.adjoint(residual) / x.dtype.type(sigma)


def squares(x: Array) -> Array:
    """|x|^2 of each row: (N, D) -> (N,)."""
    total: Array = np.einsum("nd,nd->n", x, x)
    return total


# -- solvers ----------------------------------------------------------------------------------------------------------
# Each takes an objective, the start u (N, P), the number of steps and a box (low, high), and returns the final u and,
# for each image, the objective at the start and after every step.

Solution = tuple[Array, list[Array]]


def minimize_lbfgs(objective: Objective, u: Array, steps: int, box: tuple[float, float]) -> Solution:
    """L-BFGS-B of SciPy, image by image: what comes out does not depend on the other images of the batch."""
    u, histories = np.clip(u, *box), []
    for n in range(len(u)):
        try:
            u[n], history = lbfgs_of_one(objective.only(n), u[n], steps, box)
        except NiceOverflowError as error:  # there, every image is row 0
            raise NiceOverflowError(f"minimize_lbfgs: image {n}: {error}") from None
        histories.append(history)
    return u, histories


def lbfgs_of_one(objective: Objective, u: Array, steps: int, box: tuple[float, float]) -> tuple[Array, Array]:
    """The minimiser (P,) of an objective with one row, from u (P,), and the objective after every step."""
    from scipy.optimize import minimize

    evaluated: list[float] = []
    history: list[float] = []

    def loss(point: Array) -> tuple[float, Array]:
        value, gradient = objective.value_and_grad(point[None].astype(u.dtype))
        evaluated.append(float(value[0]))
        return evaluated[-1], gradient[0].astype(np.float64)

    def accepted(_: Array) -> None:
        history.append(evaluated[-1])  # the line search ends where it evaluated last

    bounds = None if box == (-inf, inf) else [box] * len(u)
    options = {"maxiter": steps, "maxfun": 20 * steps, "ftol": FTOL, "gtol": GTOL, "maxcor": MEMORY}
    found = minimize(
        loss, u.astype(np.float64), jac=True, method="L-BFGS-B", bounds=bounds, callback=accepted, options=options
    )
    return found.x, np.array([evaluated[0], *history])


def minimize_adam(
    objective: Objective, u: Array, steps: int, box: tuple[float, float], learning_rate: float | Schedule = ADAM_RATE
) -> Solution:
    """Adam on all images at once; each coordinate has a memory of its own, so the images do not mix."""
    optimizer, schedule, history = Adam(), get_schedule(learning_rate), []
    u = np.clip(u, *box)
    for k in range(steps):
        value, gradient = objective.value_and_grad(u)
        history.append(value)
        flat = u.ravel()
        optimizer.step(flat, np.ascontiguousarray(gradient, u.dtype).ravel(), schedule(k, k / steps))
        u = np.clip(flat.reshape(u.shape), *box)
    history.append(objective.value_and_grad(u)[0])
    return u, list(np.array(history).T)


def ascend_annealed(objective: Objective, u: Array, steps: int, box: tuple[float, float], rng: Rng = None) -> Solution:
    """u <- u + a_k (eps - dF/du),  eps ~ N(0, I),  a_k = 10 / (100 + k): section 5.2 of Dinh et al. 2014.

    With F = -log p this climbs the likelihood; the noise shakes it out of poor maxima, and dies down with a_k.
    """
    rng, history = as_rng(rng, "ascend_annealed"), []
    u = np.clip(u, *box)
    for k in range(steps):
        value, gradient = objective.value_and_grad(u)
        history.append(value)
        noise = rng.standard_normal(u.shape).astype(u.dtype)
        u = np.clip(u + u.dtype.type(10 / (100 + k)) * (noise - gradient), *box)
    history.append(objective.value_and_grad(u)[0])
    return u, list(np.array(history).T)


# -- doors ------------------------------------------------------------------------------------------------------------


@dataclass
class Restoration:
    """What `restore` and `inpaint` found.

    Attributes
    ----------
    x : ndarray, shape (N, D)
        The images.
    objective : ndarray, shape (N,)
        What was minimised, of each image at the end, in nats.
    history : list of N arrays
        For each image the objective at the start and after every step.
    """

    x: Array
    objective: Array
    history: list[Array]


def restore(
    flow: Flow,
    y: npt.ArrayLike,
    operator: Operator,
    sigma: float,
    *,
    space: str = "latent",
    optimizer: str = "lbfgs",
    steps: int = 500,
    start: npt.ArrayLike | None = None,
    gamma: float | None = None,
    learning_rate: float | Schedule = ADAM_RATE,
    clip: tuple[float, float] | None = None,
    context: npt.ArrayLike | None = None,
) -> Restoration:
    """The most probable images behind measurements y = A x + noise.

    Parameters
    ----------
    flow : Flow
    y : array_like, shape (N, M)
    operator : Operator
        A.
    sigma : float
        Standard deviation of the noise in y, > 0.
    space : {"latent", "image", "proxy"}
        Which objective: LatentObjective, ImageObjective or ProxyObjective.
    optimizer : {"lbfgs", "adam"}
    steps : int
        At most; "lbfgs" stops when nothing is left to gain.
    start : array_like, shape (N, D)
        Images to start from; by default decode(0).
    gamma : float, optional
        Of the proxy alone; by default sigma^2.
    learning_rate : float or Schedule
        Of "adam" alone; by default 0.05, down to 0 along half a cosine.
    clip : (low, high), optional
        Range of the data, such as (0, 1): in image space no step leaves it, of latents the final image is clipped.
    context : array_like, shape (N, C) or (C,)
        For a flow with a context.

    Returns
    -------
    Restoration
        ``objective`` is that of the image before it was clipped.

    Raises
    ------
    NiceValueError, NiceTypeError
        For an argument of the wrong type, shape or name, and for NaN or inf.
    NiceOverflowError
        If an optimiser runs to numbers that do not fit into the dtype; the message names the layer.

    Examples
    --------
    Prior N(0, 1), noise N(0, 1): half of what was measured.

    >>> from nice_np import DiagonalScaling, Identity
    >>> restore(Flow("normal", DiagonalScaling(2)), [[2.0, -1.0]], Identity(2), sigma=1.0).x.round(4)
    array([[ 1. , -0.5]])
    """
    kinds = dict(zip(SPACES, (LatentObjective, ImageObjective, ProxyObjective), strict=True))
    kind = kinds[as_choice(space, SPACES, "restore", "space")]
    if gamma is not None and kind is not ProxyObjective:
        raise NiceValueError(f'restore: gamma belongs to space="proxy", got gamma={gamma!r} and space={space!r}')
    weight = {} if gamma is None else {"gamma": gamma}
    objective = kind(flow=flow, operator=operator, y=y, sigma=sigma, context=context, **weight)
    optimizer = as_choice(optimizer, ("lbfgs", "adam"), "restore", "optimizer")
    box = _as_clip(clip, "restore")
    first = _images(objective, start, "restore")
    return _solve(objective, first, optimizer, as_int(steps, "restore", "steps", 1), box, learning_rate, None)


def inpaint(
    flow: Flow,
    x: npt.ArrayLike,
    mask: Mask | npt.ArrayLike,
    *,
    space: str = "image",
    optimizer: str = "lbfgs",
    steps: int = 500,
    start: npt.ArrayLike | None = None,
    sigma: float = 1e-2,
    learning_rate: float | Schedule = ADAM_RATE,
    clip: tuple[float, float] | None = None,
    context: npt.ArrayLike | None = None,
    rng: Rng = None,
) -> Restoration:
    """Images with their hidden pixels filled in; the observed ones come back bit for bit.

    Parameters
    ----------
    flow : Flow
    x : array_like, shape (N, D)
        What stands in the hidden pixels is not looked at; it may be NaN.
    mask : Mask, or array_like of bool
        True where a pixel is observed; see `named_mask`.
    space : {"image", "latent", "proxy"}
        "image" moves the hidden pixels alone and maximises log p(x); the others are those of `restore`, with the small
        `sigma`, and the observed pixels pasted into what they find.
    optimizer : {"lbfgs", "adam", "annealed"}
        "annealed" is the NICE paper's noisy ascent, `ascend_annealed`, in image space alone.
    steps : int
    start : array_like, shape (N, D)
        By default decode(0); for "annealed" uniform in [0, 1], as in the paper.
    sigma : float
        For the latent spaces.
    learning_rate, clip, context
        As in `restore`.
    rng : seed or numpy.random.Generator
        For "annealed".

    Returns
    -------
    Restoration
        ``x`` is float64 where the input is, whatever the flow computes in: or its pixels would not stay the same.

    Raises
    ------
    NiceValueError, NiceTypeError, NiceOverflowError
        As `restore`.

    Examples
    --------
    >>> from nice_np import DiagonalScaling
    >>> inpaint(Flow("normal", DiagonalScaling(2)), [[2.0, np.nan]], [True, False]).x
    array([[2., 0.]])
    """
    mask = mask if isinstance(mask, Mask) else Mask(mask)
    known = _known(x, mask)  # (N, D)
    y = known[:, mask.observed]
    as_choice(space, SPACES, "inpaint", "space")
    as_choice(optimizer, ("lbfgs", "adam", "annealed"), "inpaint", "optimizer")
    box, rng, steps = _as_clip(clip, "inpaint"), as_rng(rng, "inpaint"), as_int(steps, "inpaint", "steps", 1)
    if space == "image":
        objective: Objective = HiddenPixels(flow=flow, operator=mask, y=y, context=context)
        if optimizer == "annealed" and start is None:
            start = rng.random(known.shape)
        found = _solve(objective, _images(objective, start, "inpaint"), optimizer, steps, box, learning_rate, rng)
    elif optimizer == "annealed":
        raise NiceValueError(f'inpaint: optimizer="annealed" belongs to space="image", got space={space!r}')
    else:
        found = restore(
            flow, y, mask, sigma, space=space, optimizer=optimizer, steps=steps, start=start,
            learning_rate=learning_rate, clip=clip, context=context,
        )  # fmt: skip
    filled = found.x.astype(np.result_type(known, found.x))
    filled[:, mask.observed] = y
    return replace(found, x=filled)


def _known(x: Any, mask: Mask) -> Array:
    # Zeros for what is hidden, so that NaN may stand there.
    raw = as_real_array(x, "inpaint", "x")
    if raw.ndim == 2 and raw.shape[1] == mask.dim_in:
        raw = raw.copy()
        raw[:, mask.hidden] = 0
    return as_samples(raw, mask.dim_in, owner="inpaint")


def _images(objective: Objective, start: Any, owner: str) -> Array:
    """The images to start from, (N, D)."""
    flow, n = objective.flow, len(objective.y)
    if start is None:
        return flow.decode(np.zeros((n, flow.dim)), objective.context)
    images = as_samples(start, flow.dim, owner=owner, name="start", dtype=flow.dtype)
    if len(images) != n:
        raise NiceValueError(f"{owner}: start has {len(images)} rows, expected {n}, one for each image")
    check_interval(images, flow.bijector.interval, f"{owner}: start")
    return images


def _solve(
    objective: Objective,
    images: Array,
    optimizer: str,
    steps: int,
    box: tuple[float, float],
    learning_rate: float | Schedule,
    rng: Rng,
) -> Restoration:
    u = objective.variables(images)
    in_pixels = isinstance(objective, (ImageObjective, HiddenPixels))
    inside = _inside(box, objective.interval) if in_pixels else (-inf, inf)
    if u.size == 0:  # nothing is hidden, or there is no image
        value = objective.value_and_grad(u)[0]
        return Restoration(objective.image(u), value, [value[n : n + 1] for n in range(len(value))])
    if optimizer == "lbfgs":
        u, history = minimize_lbfgs(objective, u, steps, inside)
    elif optimizer == "adam":
        u, history = minimize_adam(objective, u, steps, inside, learning_rate)
    else:
        u, history = ascend_annealed(objective, u, steps, inside, rng)
    return Restoration(np.clip(objective.image(u), *box), objective.value_and_grad(u)[0], history)


def _inside(box: tuple[float, float], interval: tuple[float, float]) -> tuple[float, float]:
    """The part of the box that lies within an open interval, ends excluded."""
    low, high = interval
    margin = (high - low) * 1e-6 if np.isfinite(high - low) else 0.0
    return max(box[0], low + margin), min(box[1], high - margin)


def _as_clip(clip: Any, owner: str) -> tuple[float, float]:
    """A range (low, high); None is everything."""
    if clip is None:
        return (-inf, inf)
    if not isinstance(clip, (tuple, list)) or len(clip) != 2:
        raise NiceTypeError(f"{owner}: clip must be (low, high), such as (0, 1), or None; got {clip!r}")
    low = as_float(clip[0], owner, "clip[0]")
    return low, as_float(clip[1], owner, "clip[1]", above=low)
