"""What restoration minimises: functions of free variables u, one row for each image, with their gradients.

ImageObjective     F(x) = |A x - y|^2 / (2 sigma^2) - log p(x)                      u = x
LatentObjective    F(g(z)),  log p(g(z)) = log p_Z(z) - log|det dg/dz|              u = z
ProxyObjective     |A g(z) - y|^2 / (2 sigma^2) + gamma |z|^2 / (2 sigma^2)         u = z
HiddenPixels       -log p(x), the observed pixels of x given                        u = x_H
LatentPosterior    -log p(z | y):  |A g(z) - y|^2 / (2 sigma^2) - log p_Z(z)        u = z
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import inf
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from nice_np.errors import NiceOverflowError, NiceTypeError, NiceValueError
from nice_np.flows.flow import Flow
from nice_np.flows.priors import checked_gradient
from nice_np.restoration.operators import Mask, Operator
from nice_np.validation import Array, as_context, as_float, as_samples

Kind = TypeVar("Kind", bound="Objective")


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
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # looked for below
            value, gradient = self._value_and_grad(u)
        bad = ~(np.isfinite(value) & np.isfinite(gradient).all(axis=1))
        if bad.any():
            raise NiceOverflowError(
                f"{type(self).__name__}: the objective of row {bad.argmax()}, or its gradient, overflows "
                f"{value.dtype}; check sigma and the scale of y"
            )
        return value, gradient

    def rows(self: Kind, images: npt.NDArray[np.intp]) -> Kind:
        """The objective of some of the images, in the given order; an image may come several times."""
        some = copy.copy(self)  # what it holds has been checked
        some.y = self.y[images]
        some.context = None if self.context is None else self.context[images]
        return some

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
    """F(x) = |A x - y|^2 / (2 sigma^2) - log p(x), with u = x (N, D).

    Parameters
    ----------
    flow, operator, y, context
        As for `Objective`.
    sigma : float
        > 0, the standard deviation of the noise.

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
    """F(g(z)) = |A g(z) - y|^2 / (2 sigma^2) - log p_Z(z) + log|det dg/dz|, with u = z.

    Parameters
    ----------
    flow, operator, y, context
        As for `Objective`.
    sigma : float
        > 0, the standard deviation of the noise.
    """

    def _value_and_grad(self, u: Array) -> tuple[Array, Array]:
        x, log_det, pullback = self.flow.decode_with_pullback(u, self.context)
        fit, dfit = misfit(self.operator, x, self.y, self.sigma)
        # dF/dz = J^T A^T (A x - y) / sigma^2 + d log_det/dz - d log p_Z/dz:  F holds +log_det, so dF/dlog_det = 1
        gradient = pullback(dfit, np.ones_like(log_det)) - checked_gradient(self.flow.prior, u)
        return fit - self.flow.prior.log_prob(u) + log_det, gradient


@dataclass(kw_only=True)
class ProxyObjective(_OverLatents):
    """|A g(z) - y|^2 / (2 sigma^2) + gamma |z|^2 / (2 sigma^2), with u = z.

    This is |A g(z) - y|^2 + gamma |z|^2 of Asim et al. in nats; without a ``gamma`` it is sigma^2.

    Parameters
    ----------
    flow, operator, y, context
        As for `Objective`.
    sigma : float
        > 0, the standard deviation of the noise.
    gamma : float, optional
        >= 0.
    """

    gamma: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gamma is not None:
            self.gamma = as_float(self.gamma, type(self).__name__, "gamma", minimum=0)

    @property
    def weight(self) -> float:
        """gamma / sigma^2; by one sigma after the other, since sigma^2 may be too small or too large for a float."""
        return 1.0 if self.gamma is None else self.gamma / self.sigma / self.sigma

    def _value_and_grad(self, u: Array) -> tuple[Array, Array]:
        x, log_det, pullback = self.flow.decode_with_pullback(u, self.context)
        fit, dfit = misfit(self.operator, x, self.y, self.sigma)
        weight = u.dtype.type(self.weight)
        length = weight * squares(u) / 2
        return fit + length, pullback(dfit, np.zeros_like(log_det)) + weight * u  # d(w |z|^2 / 2)/dz = w z


class LatentPosterior(_OverLatents):
    """-log p(z | y) = |A g(z) - y|^2 / (2 sigma^2) - log p_Z(z) + const, with u = z.

    A density of z, not of x: no determinant.  What is most probable changes with the coordinates, a LatentObjective at
    its minimum is not this one at its own.  Draws do not: g(z) of a draw z ~ p(z | y) is a draw x ~ p(x | y).

    Parameters
    ----------
    flow, operator, y, context
        As for `Objective`.
    sigma : float
        > 0, the standard deviation of the noise.
    """

    def _value_and_grad(self, u: Array) -> tuple[Array, Array]:
        x, log_det, pullback = self.flow.decode_with_pullback(u, self.context)
        fit, dfit = misfit(self.operator, x, self.y, self.sigma)
        # dU/dz = J^T A^T (A x - y) / sigma^2 - d log p_Z/dz:  no log_det in U, so dU/dlog_det = 0
        gradient = pullback(dfit, np.zeros_like(log_det)) - checked_gradient(self.flow.prior, u)
        return fit - self.flow.prior.log_prob(u), gradient

    def at(self, sigma: float) -> LatentPosterior:
        """The same for another sigma."""
        other = copy.copy(self)
        other.sigma = sigma
        return other


class HiddenPixels(Objective):
    """-log p(x) as a function of the hidden pixels, u = x_H (N, H); the observed ones are y and stay as they are.

    The limit of F as sigma goes to 0.  The operator must be a Mask.

    Parameters
    ----------
    flow, y, context
        As for `Objective`.
    operator : Mask
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
