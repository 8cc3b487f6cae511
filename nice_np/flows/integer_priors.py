"""Priors of integers: discretised logistics whose parameters are learned, or come from features known before.

    log P(z) = log P(z_a) + log P(z_b | z_a),    z_b given z_a from the mixture with theta = m(z_a)

A code needs the probabilities of a part of z before that part is known, so every prior here is a sequence of factors:
`factors` goes through those of a given z, `generate` makes z from one factor to the next.  What `generate` draws
with is the caller's: random numbers make a sample, the bits of a file make the image that was stored in it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from nice_np.bijectors.base import Bijector
from nice_np.bijectors.coupling import Conditioner
from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.families.discretised import log_mass, log_mass_backward, mixture_backward, mixture_of
from nice_np.families.mixture import Mixture, log_sum_exp
from nice_np.families.rounding import as_step
from nice_np.flows.priors import Prior, StandardLogistic, check_dim
from nice_np.parameters import Module, run_backward
from nice_np.pixels.dequantize import BIN_WIDTH
from nice_np.validation import Array, Rng, as_batch, as_dtype, as_int, as_rng, check_shape

Draw = Callable[[Mixture, int], Array]  # K logistics for each of B features, and n -> z_b (n, B)


class IntegerPrior(Prior):
    """A probability of grid points z in steps of `step`, given as a sequence of factors."""

    std = 1.0
    dim: int

    @abstractmethod
    def factors(self, z: Array) -> Iterator[tuple[Array, Mixture]]:
        """Each factor's features (N, B) and their mixture, in the order of `generate`."""

    @abstractmethod
    def generate(self, n: int, draw: Draw) -> Array:
        """z (n, D), where the features of each factor are ``draw(mixture, n)``."""

    @abstractmethod
    def _gradient(self, dlog_p: Array, z: Array, parameters: bool) -> Array:
        """dL/dz; with `parameters` it writes their gradients, too."""

    def grad_log_prob(self, z: Array) -> Array:
        return self._gradient(np.ones(len(z), z.dtype), z, parameters=False)

    def backward(self, dlog_p: Array, z: Array) -> Array:
        return self._gradient(dlog_p, z, parameters=True)

    def sample(self, n: int, dim: int, rng: Rng = None) -> Array:
        who = type(self).__name__
        check_dim(self, dim, f"{who}.sample")
        generator, step = as_rng(rng, who), next(m.step for _, m in self.modules() if hasattr(m, "step"))
        return self.generate(as_int(n, who, "n", 0), lambda mixture, n: _random(mixture, n, step, generator))


def _random(mixture: Mixture, n: int, step: float, rng: np.random.Generator) -> Array:
    """One of K logistics for each feature, a draw from it, and the grid point next to that: (n, B)."""
    logits, mu, s = (np.broadcast_to(part, (len(part), n, part.shape[2])) for part in mixture)
    ends = np.cumsum(log_sum_exp(logits.astype(float))[1], axis=0)[:-1]
    k = (rng.random(logits.shape[1:]) > ends).sum(axis=0)[None]  # (1, n, B): each with probability w_k
    place, width = np.take_along_axis(mu, k, 0)[0], np.exp(np.take_along_axis(s, k, 0)[0])
    z: Array = np.rint((place + width * StandardLogistic().sample(n, logits.shape[2], rng)) / step) * step
    return z.astype(mu.dtype)


class DiscretisedLogistics(IntegerPrior):
    """log P(z) = sum_d log sum_k w_kd [sigmoid((z_d + step/2 - mu_kd) / s_kd) - sigmoid((z_d - step/2 - mu_kd) / s_kd)]

    Parameters
    ----------
    dim : int
        D.
    components : int
        K.
    step : float
        Of the grid, a power of two.
    dtype : {float64, float32}
    """

    param_names = ("theta",)

    def __init__(self, dim: int, components: int = 3, step: float = BIN_WIDTH, dtype: Any = np.float64) -> None:
        who = type(self).__name__
        self.dim, self.components = as_int(dim, who, "dim", 1), as_int(components, who, "components", 1)
        self.step = as_step(step, who)
        self.theta = np.zeros((1, 3 * self.components, self.dim), as_dtype(dtype, who))
        self.dtheta = np.zeros_like(self.theta)

    def log_prob(self, z: Array) -> Array:
        log_p: Array = log_mass(as_batch(z, self.dim, self, "z"), mixture_of(self.theta), self.step)[0].sum(axis=1)
        return log_p

    def _gradient(self, dlog_p: Array, z: Array, parameters: bool) -> Array:
        mixture = mixture_of(self.theta)
        cache = log_mass(as_batch(z, self.dim, self, "z"), mixture, self.step)[1]
        dz, dmixture = log_mass_backward(dlog_p[:, None], cache)
        if parameters:
            self.dtheta[0] = mixture_backward(dmixture, mixture).sum(axis=0)  # (N, 3 K, D): one theta serves all rows
        return dz

    def factors(self, z: Array) -> Iterator[tuple[Array, Mixture]]:
        yield z, mixture_of(self.theta)

    def generate(self, n: int, draw: Draw) -> Array:
        return draw(mixture_of(self.theta), n)

    def config(self) -> dict[str, Any]:
        settings = {"components": self.components, "step": self.step, "dtype": self.theta.dtype.name}
        return {"dim": self.dim, **settings}

    @classmethod
    def count_parameters(cls, config: dict[str, Any]) -> int:
        """How many numbers ``DiscretisedLogistics(**config)`` would hold, without making it."""
        return 3 * int(config["dim"] * config["components"])

    def __repr__(self) -> str:
        return f"DiscretisedLogistics(dim={self.dim}, components={self.components})"


class GivenTheFirst(IntegerPrior):
    """log P(z) = log P(z_a) + log P(z_b; m(z_a)),  z_a the first features

    Parameters
    ----------
    first : IntegerPrior
        P(z_a), of A features.
    conditioner : Module
        m: (N, A) -> (N, 3 K B), blocks of B columns: logits, places, log widths of K logistics, see `mixture_of`.
    dim : int
        A + B.
    step : float
        Of the grid, a power of two.
    """

    def __init__(self, first: IntegerPrior, conditioner: Conditioner, dim: int, step: float = BIN_WIDTH) -> None:
        who = type(self).__name__
        given: object = conditioner  # at run time it may be anything
        if not isinstance(first, IntegerPrior) or not isinstance(given, Module) or isinstance(given, Bijector):
            raise NiceTypeError(f"{who}: expected an IntegerPrior and a Module m, got {first!r} and {conditioner!r}")
        self.dim, self.step = as_int(dim, who, "dim", first.dim + 1), as_step(step, who)
        self.first, self.conditioner = first, conditioner
        sizes = getattr(conditioner, "sizes", None)
        if sizes is not None and (sizes[0] != first.dim or sizes[-1] % (3 * (dim - first.dim))):
            raise NiceValueError(
                f"{who}: m must map {first.dim} features to 3 K parameters of each of the {dim - first.dim} others, "
                f"{conditioner!r} maps {sizes[0]} to {sizes[-1]}"
            )

    def _split(self, z: Array) -> tuple[Array, Array]:
        z = as_batch(z, self.dim, self, "z")
        return np.ascontiguousarray(z[:, : self.first.dim]), z[:, self.first.dim :]

    def _mixture(self, z_a: Array) -> tuple[Mixture, Any]:
        theta, cache = self.conditioner.forward(z_a)
        rest = self.dim - self.first.dim
        check_shape(theta, (len(z_a), theta.shape[1] // (3 * rest) * 3 * rest), type(self).__name__, "theta")
        return mixture_of(theta.reshape(len(z_a), -1, rest)), cache

    def log_prob(self, z: Array) -> Array:
        z_a, z_b = self._split(z)
        log_p: Array = self.first.log_prob(z_a) + log_mass(z_b, self._mixture(z_a)[0], self.step)[0].sum(axis=1)
        return log_p

    def _gradient(self, dlog_p: Array, z: Array, parameters: bool) -> Array:
        z_a, z_b = self._split(z)
        mixture, m_cache = self._mixture(z_a)
        dz_b, dmixture = log_mass_backward(dlog_p[:, None], log_mass(z_b, mixture, self.step)[1])
        dtheta = mixture_backward(dmixture, mixture).reshape(len(z), -1)  # (N, 3 K, B) -> (N, 3 K B)
        # z_a counts twice: by its own probability, and through theta = m(z_a).
        dz_a = self.first._gradient(dlog_p, z_a, parameters)
        dz_a = dz_a + run_backward(self.conditioner.backward, dtheta, m_cache, parameters=parameters)
        return np.concatenate([dz_a, dz_b], axis=1)

    def factors(self, z: Array) -> Iterator[tuple[Array, Mixture]]:
        z_a, z_b = self._split(z)
        yield from self.first.factors(z_a)
        yield z_b, self._mixture(z_a)[0]

    def generate(self, n: int, draw: Draw) -> Array:
        z_a = self.first.generate(n, draw)
        return np.concatenate([z_a, draw(self._mixture(z_a)[0], n)], axis=1)

    def config(self) -> dict[str, Any]:
        return {"first": self.first, "conditioner": self.conditioner, "dim": self.dim, "step": self.step}

    def __repr__(self) -> str:
        return f"GivenTheFirst({self.dim - self.first.dim} of {self.dim} by {self.conditioner!r}; {self.first!r})"


class DeeperLevel(IntegerPrior):
    """log P(z) = log P'(f(z)),  f a bijection of the grid: a flow as the prior of another one

    Parameters
    ----------
    prior : IntegerPrior
        P'.
    bijector : Bijector
        f, of log|det| = 0, such as permutations and rounded couplings.
    """

    def __init__(self, prior: IntegerPrior, bijector: Bijector) -> None:
        if not isinstance(prior, IntegerPrior) or not isinstance(bijector, Bijector) or bijector.dim != prior.dim:
            raise NiceTypeError(
                f"DeeperLevel: expected an IntegerPrior and a Bijector of as many features, got {prior!r}, {bijector!r}"
            )
        self.prior, self.bijector, self.dim = prior, bijector, prior.dim

    def log_prob(self, z: Array) -> Array:
        return self.prior.log_prob(self.bijector.forward(z)[0])

    def _gradient(self, dlog_p: Array, z: Array, parameters: bool) -> Array:
        deeper, log_det, cache = self.bijector.forward(z)
        dz = self.prior._gradient(dlog_p, deeper, parameters)
        return run_backward(self.bijector.backward, dz, np.zeros_like(log_det), cache, parameters=parameters)

    def factors(self, z: Array) -> Iterator[tuple[Array, Mixture]]:
        yield from self.prior.factors(self.bijector.forward(z)[0])

    def generate(self, n: int, draw: Draw) -> Array:
        return self.bijector.inverse(self.prior.generate(n, draw))[0]

    def config(self) -> dict[str, Any]:
        return {"prior": self.prior, "bijector": self.bijector}

    def __repr__(self) -> str:
        return f"DeeperLevel({self.prior!r}, {self.bijector!r})"
