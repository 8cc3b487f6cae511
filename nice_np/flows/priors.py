"""The prior p(z) = prod_d p_d(z_d): standard Gaussian or standard logistic, with gradient and sampling.

Write your own by subclassing Prior: a log-density, its gradient, a sampler and its standard deviation.  A prior may
have parameters, which are trained with the layers' own: `other_priors` and `mixtures` have some.
"""

from __future__ import annotations

from abc import abstractmethod
from math import log, pi, sqrt

import numpy as np

from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.parameters import Module
from nice_np.validation import Array, Rng, as_batch, as_choice, as_int, as_rng, check_shape


class Prior(Module):
    """A density on R^D, the same in every coordinate unless it has a `dim`.

    Attributes
    ----------
    std : float
        Standard deviation of one coordinate, or a mean over them.  A flow of standardised data starts by scaling them
        to this width.
    dim : int or None
        D, where the coordinates have parameters of their own; None where any number of them will do.
    """

    std: float
    dim: int | None = None

    @abstractmethod
    def log_prob(self, z: Array) -> Array:
        """log p(z) in nats: (N, D) -> (N,)."""

    @abstractmethod
    def grad_log_prob(self, z: Array) -> Array:
        """d log p(z) / dz: (N, D) -> (N, D)."""

    def backward(self, dlog_p: Array, z: Array) -> Array:
        """The gradient through `log_prob`: dL/dlog_p (N,) in, dL/dz (N, D) out.

        A prior with parameters overrides it, and writes their gradients as a layer does.
        """
        return dlog_p[:, None] * checked_gradient(self, z)

    @abstractmethod
    def sample(self, n: int, dim: int, rng: Rng = None) -> Array:
        """`n` draws: (n, dim), float64, finite whatever the generator returns."""


class StandardNormal(Prior):
    """log p(z) = sum_d -(z_d^2 + log 2 pi) / 2.

    Examples
    --------
    >>> StandardNormal().log_prob(np.zeros((1, 2)))  # -log 2 pi
    array([-1.83787707])
    """

    std = 1.0

    def log_prob(self, z: Array) -> Array:
        z = as_batch(z, None, self, "z")
        # The sum of squares as the product of a row with itself, without an (N, D) temporary.
        squares: Array = np.einsum("nd,nd->n", z, z)  # (N,)
        log_p: Array = -0.5 * squares - z.dtype.type(0.5 * log(2 * pi) * z.shape[1])
        return log_p

    def grad_log_prob(self, z: Array) -> Array:
        return -as_batch(z, None, self, "z")  # d(-z^2/2)/dz

    def sample(self, n: int, dim: int, rng: Rng = None) -> Array:
        shape = (as_int(n, "StandardNormal", "n", 0), as_int(dim, "StandardNormal", "dim", 1))
        return _finite(as_rng(rng, "StandardNormal").standard_normal(shape))


class StandardLogistic(Prior):
    """log p(z) = sum_d -softplus(z_d) - softplus(-z_d)      (Dinh et al. 2014, section 3.4)

    Its tails fall like exp(-|z|), more slowly than the Gaussian's, so that an outlying pixel costs less.

    Examples
    --------
    >>> StandardLogistic().log_prob(np.array([[0.0], [1000.0]]))  # -2 log 2, and no overflow
    array([   -1.38629436, -1000.        ])
    """

    std = pi / sqrt(3)

    def log_prob(self, z: Array) -> Array:
        # softplus(z) + softplus(-z) = |z| + 2 log(1 + e^-|z|): the exponent is never positive, so nothing overflows.
        size = np.abs(as_batch(z, None, self, "z"))  # (N, D)
        with np.errstate(under="ignore"):  # e^-1000 is rightly 0
            log_p: Array = -(size + 2 * np.log1p(np.exp(-size))).sum(axis=1)
        return log_p

    def grad_log_prob(self, z: Array) -> Array:
        gradient: Array = -np.tanh(0.5 * as_batch(z, None, self, "z"))  # -sigmoid(z) + sigmoid(-z) = -tanh(z/2)
        return gradient

    def sample(self, n: int, dim: int, rng: Rng = None) -> Array:
        shape = (as_int(n, "StandardLogistic", "n", 0), as_int(dim, "StandardLogistic", "dim", 1))
        u = as_rng(rng, "StandardLogistic").random(shape)
        # The quantile function log u - log(1 - u) is infinite at u = 0 and 1; generators make steps of epsneg.
        step = np.finfo(float).epsneg
        np.fmin(np.fmax(u, step, out=u), 1 - step, out=u)  # unlike minimum and maximum, they replace NaN
        u /= 1 - u
        return np.log(u, out=u)


def _finite(z: Array) -> Array:
    # No normal draw comes near 40; NaN or inf from a generator becomes 0 or the bound.
    return np.nan_to_num(np.clip(z, -40, 40))


PRIORS: dict[str, type[Prior]] = {"normal": StandardNormal, "logistic": StandardLogistic}


def checked_gradient(prior: Prior, z: Array) -> Array:
    """d log p(z) / dz: (N, D) -> (N, D); NiceValueError if the prior, perhaps your own, returns another shape."""
    gradient = prior.grad_log_prob(z)
    check_shape(gradient, z.shape, f"{type(prior).__name__}.grad_log_prob", "an answer")
    return gradient


def checked_backward(prior: Prior, dlog_p: Array, z: Array) -> Array:
    """dL/dz from dL/dlog_p: (N,) -> (N, D); a prior with parameters writes their gradients."""
    back = getattr(prior, "backward", None)
    if back is None:  # an object of your own needs only what `get_prior` asks for
        return Prior.backward(prior, dlog_p, z)
    dz: Array = back(dlog_p, z)
    check_shape(dz, z.shape, f"{type(prior).__name__}.backward", "an answer")
    return dz


def checked_sample(prior: Prior, n: int, dim: int, rng: Rng) -> Array:
    """`n` draws: (n, dim); NiceValueError if the prior, perhaps your own, returns another shape."""
    z = prior.sample(n, dim, rng)
    check_shape(z, (n, dim), f"{type(prior).__name__}.sample", "an answer")
    return z


def get_prior(prior: str | Prior) -> Prior:
    """The prior called "normal" or "logistic"; an object with the methods of Prior is returned as it is."""
    if isinstance(prior, str):
        return PRIORS[as_choice(prior, PRIORS, "prior", "prior")]()
    if isinstance(prior, type):
        raise NiceTypeError(f"prior: expected an object, got the class {prior.__name__}; write {prior.__name__}()")
    missing = [name for name in ("log_prob", "grad_log_prob", "sample") if not callable(getattr(prior, name, None))]
    if missing:
        raise NiceTypeError(f"prior: expected {' or '.join(PRIORS)} or a Prior; {prior!r} lacks {', '.join(missing)}")
    if learned(prior) and getattr(type(prior), "backward", Prior.backward) is Prior.backward:
        raise NiceTypeError(f"prior: {prior!r} has parameters, but no backward(dlog_p, z) that writes their gradients")
    return prior


def learned(prior: Prior) -> bool:
    """Whether the prior has parameters."""
    return isinstance(prior, Module) and prior.n_parameters > 0


def check_dim(prior: Prior, dim: int, owner: str) -> None:
    """NiceValueError for a prior of another number of features."""
    if getattr(prior, "dim", None) not in (None, dim):
        raise NiceValueError(f"{owner}: {prior!r} is a prior of {prior.dim} features, expected {dim}")


def cast_like(prior: Prior, other: Module) -> None:
    """Give a learned prior the dtype of another part of its model, which a builder may have made in float32."""
    dtypes = [array.dtype for _, module in other.modules() for _, array in module.own_floats()]
    if learned(prior) and dtypes and not prior.is_bound:
        prior.cast(dtypes[0])
