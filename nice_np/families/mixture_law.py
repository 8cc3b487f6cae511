"""The logistic-mixture law of Flow++: y = logit F(x) exp(a) + b, with F a mixture of K logistics (Ho et al. 2019).

theta holds 3 K + 2 numbers per feature: K for the logits of pi, K for mu, K for s, then a and b.  s and a are bounded
smoothly.  To mu_k the middle of the k-th of K equal parts of [-2, 2] is added: components that start at the same place
have the same gradient, and take long to part.  So theta = 0 is close to the identity, with slopes of 0.7 to 1, and for
K = 1 it is the identity.  No formula inverts a sum of sigmoids: the inverse is a search, see `implicit`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nice_np.bijectors.coupling import Conditioner, Coupling
from nice_np.bijectors.partition import Partition
from nice_np.bijectors.scales import TanhScale
from nice_np.families.autoregressive import Autoregressive
from nice_np.families.implicit import ImplicitLaw
from nice_np.families.mixture import Mixture, MixtureCache, logit_of_mixture, logit_of_mixture_backward, slope_of
from nice_np.networks.masked import MaskedMLP
from nice_np.validation import Array, as_int

COMPONENTS = 8
S, A = TanhScale(7.0), TanhScale(2.0)  # from the numbers in theta to s and a


def centres(components: int) -> Array:
    """(K,), what is added to mu."""
    middles: Array = 4 * (np.arange(components) + 0.5) / components - 2
    return middles


class MixtureLawCache(NamedTuple):
    """blocks: theta as (3 K + 2, N, B); s: (K, N, B); v, a: (N, B)."""

    blocks: Array
    s: Array
    v: Array
    a: Array
    mixture: MixtureCache


class MixtureLaw(ImplicitLaw):
    """y_b = v exp(a) + b,  v = logit F(x_b);  log|det| = sum_j log dv_j/dx_j + a_j"""

    thetas_per_feature = 3 * COMPONENTS + 2
    components: int

    def _set(self, components: int) -> None:
        self.components = as_int(components, type(self).__name__, "components", 1, 1000)
        self.thetas_per_feature = 3 * self.components + 2

    def _couple(self, x_b: Array, theta: Array) -> tuple[Array, Array, MixtureLawCache]:
        y_b, log_slope, cache = self._apply(x_b, theta)
        return y_b, log_slope.sum(axis=1), cache

    def _value_and_slope(self, x_b: Array, theta: Array) -> tuple[Array, Array]:
        y_b, _, cache = self._apply(x_b, theta)
        return y_b, slope_of(cache.mixture) * np.exp(cache.a)  # dy/dv = exp(a)

    def _apply(self, x_b: Array, theta: Array) -> tuple[Array, Array, MixtureLawCache]:
        K, (N, B) = self.components, x_b.shape
        blocks = np.ascontiguousarray(theta.reshape(N, 3 * K + 2, B).swapaxes(0, 1))  # (T, N, B)
        s, a = S.forward(blocks[2 * K : 3 * K]), A.forward(blocks[-2])
        mu = blocks[K : 2 * K] + centres(K).astype(theta.dtype)[:, None, None]
        v, log_slope, cache = logit_of_mixture(x_b, Mixture(blocks[:K], mu, s))
        return v * np.exp(a) + blocks[-1], log_slope + a, MixtureLawCache(blocks, s, v, a, cache)

    def _couple_backward(self, dy_b: Array, dlog_det: Array, cache: MixtureLawCache) -> tuple[Array, Array]:
        blocks, s, v, a, mixture = cache
        K = self.components
        dv = dy_b * np.exp(a)  # dy/dv = exp(a)
        da = dv * v + dlog_det[:, None]  # dy/da = v exp(a);  dlog_det/da_j = 1
        dx_b, (dlogits, dmu, ds) = logit_of_mixture_backward(dv, dlog_det[:, None], mixture)
        raw_ds, raw_da = S.backward(ds, blocks[2 * K : 3 * K], s), A.backward(da, blocks[-2], a)
        dblocks = np.concatenate([dlogits, dmu, raw_ds, [raw_da], [dy_b]])  # (T, N, B);  dy/db = 1
        return dx_b, dblocks.swapaxes(0, 1).reshape(len(dy_b), len(dblocks) * dy_b.shape[1])


class MixtureCoupling(MixtureLaw, Coupling):
    """y_b = logit F(x_b) exp(a) + b, with the mixture F, a and b from m(x_a) (Ho et al. 2019, section 3.2).

    Parameters
    ----------
    partition : Partition
    conditioner : Module
        m: (N, A) -> (N, (3 * components + 2) * B), see `nice_np.families.mixture_law`.
    components : int
        K.
    """

    def __init__(self, partition: Partition, conditioner: Conditioner, components: int = COMPONENTS) -> None:
        self._set(components)
        super().__init__(partition, conditioner)

    def config(self) -> dict[str, Any]:
        return {**super().config(), "components": self.components}


class MixtureAutoregressive(MixtureLaw, Autoregressive):
    """z_i = logit F_i(x_i) exp(a_i) + b_i, with the mixture F_i, a_i and b_i from m(x_<i, c).

    Parameters
    ----------
    conditioner : MaskedMLP
        m: (N, D + C) -> (N, (3 * components + 2) * D).
    components : int
        K.
    """

    def __init__(self, conditioner: MaskedMLP, components: int = COMPONENTS) -> None:
        self._set(components)
        super().__init__(conditioner)

    def config(self) -> dict[str, Any]:
        return {**super().config(), "components": self.components}
