"""What restoration minimises: functions of free variables u, one row per image, and their gradients.

    ImageObjective     F(x) = |A x - y|^2 / (2 sigma^2) - log p(x)                      u = x
    LatentObjective    F(g(z)),  log p(g(z)) = log p_Z(z) - log|det dg/dz|              u = z
    ProxyObjective     |A g(z) - y|^2 / (2 sigma^2) + gamma |z|^2 / (2 sigma^2)         u = z
    LatentPosterior    |A g(z) - y|^2 / (2 sigma^2) - log p_Z(z)                        u = z
    HiddenPixels       -log p(x), with the observed pixels of x fixed                   u = x_H

g is the inverse of the flow's bijector.  The first two are one function in two coordinate systems (Helminger et al.
2021): their minima are the same, an optimiser's path is not.  The proxy (Asim et al. 2020) omits the log-determinant.
If that is constant, as in NICE with its additive couplings, and the prior is Gaussian, then gamma = sigma^2 gives
F(g(z)) up to a constant; with affine couplings the proxy is a different problem.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from nice_np.errors import NiceOverflowError, NiceTypeError, NiceValueError
from nice_np.flows.flow import Flow
from nice_np.flows.priors import checked_gradient
from nice_np.restoration.operators import Mask, Operator
from nice_np.validation import Array, as_float, as_samples

Kind = TypeVar("Kind", bound="Objective")


@dataclass(kw_only=True)
class Objective(ABC):
    """A function of free variables u, one row per image, with its gradient.

    Parameters
    ----------
    flow : Flow
    operator : Operator
        A, from the D features of the flow to M measurements.
    y : array_like, shape (N, M)
        The measurements.
    context : array_like, shape (N, C) or (C,)
        For a flow with a context only.

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
        self.context = self.flow.checked_context(self.context, len(self.y), who)

    def value_and_grad(self, u: Array) -> tuple[Array, Array]:
        """The objective of each image (N,) in nats, and its gradient with respect to u.

        Raises
        ------
        NiceOverflowError
            If either overflows the dtype; an overflow within the flow names the layer.
        """
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # checked below
            value, gradient = self._value_and_grad(u)
        bad = ~(np.isfinite(value) & np.isfinite(gradient).all(axis=1))
        if bad.any():
            raise NiceOverflowError(
                f"{type(self).__name__}: the objective of row {bad.argmax()}, or its gradient, overflows "
                f"{value.dtype}; check sigma and the scale of y"
            )
        return value, gradient

    def rows(self: Kind, images: npt.NDArray[np.intp]) -> Kind:
        """The objective of the images with these indices, which may repeat."""
        some = copy.copy(self)  # its fields are already checked
        some.y = self.y[images]
        some.context = None if self.context is None else self.context[images]
        return some

    # -- the free variables: here u = x, the pixels ---------------------------------------------------------------

    @property
    def interval(self) -> tuple[float, float]:
        """The open interval in which every free variable must lie."""
        return self.flow.bijector.interval

    def image(self, u: Array) -> Array:
        """The images (N, D) at u."""
        return u

    def variables(self, x: Array) -> Array:
        """The u of the images x (N, D)."""
        return x

    @abstractmethod
    def _value_and_grad(self, u: Array) -> tuple[Array, Array]: ...


@dataclass(kw_only=True)
class NoisyObjective(Objective):
    """The objectives whose measurements are noisy, y = A x + n with n ~ N(0, sigma^2 I)."""

    sigma: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self.sigma = as_float(self.sigma, type(self).__name__, "sigma", above=0)

    def misfit(self, x: Array) -> tuple[Array, Array]:
        """|A x - y|^2 / (2 sigma^2) for each row, (N,), and its gradient A^T (A x - y) / sigma^2, (N, D)."""
        sigma = x.dtype.type(self.sigma)
        residual = (self.operator.forward(x) - self.y) / sigma  # (N, M), in units of the noise
        return squares(residual) / 2, self.operator.adjoint(residual) / sigma


class ImageObjective(NoisyObjective):
    """F(x) = |A x - y|^2 / (2 sigma^2) - log p(x), with u = x (N, D).

    Takes the arguments of `Objective` and ``sigma`` > 0, the standard deviation of the noise.

    Examples
    --------
    Prior N(0, 1), one measurement y = 2 with noise N(0, 1): half way between 0 and 2 the gradient is zero.

    >>> from nice_np import DiagonalScaling, Identity
    >>> flow = Flow("normal", DiagonalScaling(1))
    >>> objective = ImageObjective(flow=flow, operator=Identity(1), y=[[2.0]], sigma=1.0)
    >>> objective.value_and_grad(np.array([[1.0]]))[1]
    array([[0.]])
    """

    def _value_and_grad(self, u: Array) -> tuple[Array, Array]:
        fit, dfit = self.misfit(u)
        log_prob, dlog_prob = self.flow.log_prob_and_grad(u, self.context)
        return fit - log_prob, dfit - dlog_prob


class LatentSpaceObjective(NoisyObjective):
    """|A g(z) - y|^2 / (2 sigma^2) + c log|det dg/dz| + r(z), with u = z; each subclass has its c and r."""

    log_det_weight: ClassVar[float] = 0.0  # c

    def _value_and_grad(self, u: Array) -> tuple[Array, Array]:
        x, log_det, pullback = self.flow.decode_with_pullback(u, self.context)
        fit, dfit = self.misfit(x)
        r, dr = self.regulariser(u)
        dlog_det = np.full_like(log_det, self.log_det_weight)
        # pullback: J^T A^T (A x - y) / sigma^2 + c d log|det J|/dz,  J = dg/dz
        return fit + dlog_det * log_det + r, pullback(dfit, dlog_det) + dr

    def regulariser(self, z: Array) -> tuple[Array, Array]:
        """r(z) (N,) and dr/dz (N, D): here -log p_Z(z)."""
        return -self.flow.prior.log_prob(z), -checked_gradient(self.flow.prior, z)

    @property
    def interval(self) -> tuple[float, float]:
        return (-inf, inf)

    def image(self, u: Array) -> Array:
        return self.flow.decode(u, self.context)

    def variables(self, x: Array) -> Array:
        return self.flow.encode(x, self.context)


class LatentObjective(LatentSpaceObjective):
    """F(g(z)) = |A g(z) - y|^2 / (2 sigma^2) - log p_Z(z) + log|det dg/dz|, with u = z.

    Takes the arguments of `Objective` and ``sigma`` > 0, the standard deviation of the noise.
    """

    log_det_weight = 1.0


class LatentPosterior(LatentSpaceObjective):
    """-log p(z | y) = |A g(z) - y|^2 / (2 sigma^2) - log p_Z(z) + const, with u = z.

    Takes the arguments of `Objective` and ``sigma`` > 0, the standard deviation of the noise.

    This is a density of z, not of x, hence without a determinant.  The mode depends on the coordinates: its minimum is
    not that of a LatentObjective.  Samples do not: if z is a sample from p(z | y), g(z) is a sample from p(x | y).
    """

    def at(self, sigma: float) -> LatentPosterior:
        """The same objective for another sigma."""
        other = copy.copy(self)
        other.sigma = sigma
        return other


@dataclass(kw_only=True)
class ProxyObjective(LatentSpaceObjective):
    """|A g(z) - y|^2 / (2 sigma^2) + gamma |z|^2 / (2 sigma^2), with u = z.

    This is |A g(z) - y|^2 + gamma |z|^2 of Asim et al. (2020), in nats.

    Parameters
    ----------
    flow, operator, y, context
        As for `Objective`.
    sigma : float
        > 0, the standard deviation of the noise.
    gamma : float, optional
        >= 0; sigma^2 by default.
    """

    gamma: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gamma is not None:
            self.gamma = as_float(self.gamma, type(self).__name__, "gamma", minimum=0)

    @property
    def weight(self) -> float:
        """gamma / sigma^2, divided by sigma twice: sigma^2 may underflow or overflow."""
        return 1.0 if self.gamma is None else self.gamma / self.sigma / self.sigma

    def regulariser(self, z: Array) -> tuple[Array, Array]:
        weight = z.dtype.type(self.weight)
        return weight * squares(z) / 2, weight * z


class HiddenPixels(Objective):
    """-log p(x) as a function of the hidden pixels, u = x_H (N, H); the observed ones are y and stay fixed.

    The limit of F as sigma goes to 0.  Takes the arguments of `Objective`; the operator must be a Mask.
    """

    def __post_init__(self) -> None:
        if not isinstance(self.operator, Mask):
            raise NiceTypeError(f"HiddenPixels: operator must be a Mask, got {type(self.operator).__name__}")
        super().__post_init__()
        self.hidden = self.operator.hidden

    def _value_and_grad(self, u: Array) -> tuple[Array, Array]:
        log_prob, dlog_prob = self.flow.log_prob_and_grad(self.image(u), self.context)
        return -log_prob, -self.variables(dlog_prob)  # dx/dx_H: the columns H of the identity

    def image(self, u: Array) -> Array:
        x = self.operator.adjoint(self.y)
        x[:, self.hidden] = u
        return x

    def variables(self, x: Array) -> Array:
        return x[:, self.hidden]


def squares(x: Array) -> Array:
    """|x|^2 of each row: (N, D) -> (N,)."""
    total: Array = np.einsum("nd,nd->n", x, x)
    return total
