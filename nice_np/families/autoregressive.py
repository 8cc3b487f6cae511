"""Autoregressive layers: the features before it, and a context c, determine how a feature is transformed.

    z_i = h(x_i; theta_i),  theta = m(x, c),  theta_i depends on x_<i and c alone      (MAF: Papamakarios et al. 2017)

"Before" is the order of the network m, see `MaskedMLP`.  dz_i/dx_j = 0 for every later j: in that order the Jacobian
is triangular, and log|det| = sum_i log|dh/dx_i|.
Forward knows all of x and needs one pass of m.  The inverse finds one feature at a time: x_1 = h^-1(z_1; theta_1(c))
gives theta_2, that gives x_2, and so on, D passes.  `Inverse` of such a layer is IAF (Kingma et al. 2016), with the
costs exchanged: samples and their density in one pass, the density of given data in D.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nice_np.bijectors.additive import AdditiveLaw
from nice_np.bijectors.affine import AffineLaw
from nice_np.bijectors.base import Bijector
from nice_np.bijectors.coupling import CouplingCache
from nice_np.bijectors.law import Law
from nice_np.bijectors.scales import SCALES, Scale, get_scale
from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.networks.masked import MaskedMLP
from nice_np.parameters.part import name_of
from nice_np.validation import Array, as_batch


class Autoregressive(Law, Bijector):
    """An autoregressive layer; the law h is the subclass's, see `Law`.

    Parameters
    ----------
    conditioner : MaskedMLP
        m: (N, D + C) -> theta (N, ``thetas_per_feature`` * D), with the order of the features and C, the number of
        context features behind the others.  They pass unchanged.
    """

    def __init__(self, conditioner: MaskedMLP) -> None:
        who = type(self).__name__
        if not isinstance(conditioner, MaskedMLP):
            raise NiceTypeError(f"{who}: conditioner must be a MaskedMLP, got {conditioner!r}")
        if conditioner.sizes[-1] != (expected := self.thetas_per_feature * len(conditioner.order)):
            raise NiceValueError(f"{who}: the conditioner must have {expected} outputs, got {conditioner!r}")
        self.conditioner, self.dim = conditioner, conditioner.sizes[0]

    def forward(self, x: Array) -> tuple[Array, Array, CouplingCache]:
        D, x = len(self.conditioner.order), as_batch(x, self.dim, self).copy()  # (N, D + C), kept in the caches
        theta, m_cache = self.conditioner.forward(x)  # (N, T * D)
        z, log_det, law_cache = self._couple(x[:, :D], theta)
        return np.concatenate([z, x[:, D:]], axis=1), log_det, CouplingCache(m_cache, law_cache)

    def backward(self, dz: Array, dlog_det: Array, cache: CouplingCache, parameters: bool = True) -> Array:
        D = len(self.conditioner.order)
        dx_direct, dtheta = self._couple_backward(dz[:, :D], dlog_det, cache.law)
        # x_i acts twice: through h(x_i; theta_i), and through the theta of later features.
        through_theta = self.conditioner.backward(dtheta, cache.conditioner, parameters)  # (N, D + C)
        dx: Array = through_theta + np.concatenate([dx_direct, dz[:, D:]], axis=1)
        return dx

    def inverse(self, z: Array) -> tuple[Array, Array, CouplingCache]:
        z, order = as_batch(z, self.dim, self, "z"), self.conditioner.order
        x, log_det = z.copy(), np.zeros(len(z), z.dtype)  # (N, D + C), of which the context is right, (N,)
        m_cache, laws = None, {}
        for i in order:
            theta, m_cache = self.conditioner.forward(x)  # right up to theta_i, which sees only what is solved
            x[:, [i]], log_det_i, laws[i] = self._uncouple(z[:, [i]], theta[:, i :: len(order)])  # (N, 1), (N, T)
            log_det += log_det_i
        # theta depends on all features but the last, so the last pass of m is the pass at x.
        return x.copy(), log_det, CouplingCache(m_cache, laws)

    def inverse_backward(self, dx: Array, dlog_det: Array, cache: CouplingCache, parameters: bool = True) -> Array:
        # Backwards through the loop.  x_i acts directly and through the theta of the later features k, which are done:
        #     dL/dx_i = dx_i + sum_k dL/dtheta_k dtheta_k/dx_i,  and x_i = h^-1(z_i; theta_i) gives dL/dz_i, dL/dtheta_i
        # The sum is m's gradient at x for the dL/dtheta known so far: D passes, and the last one gives dL/dW as well.
        order = self.conditioner.order
        dz, through_theta = np.array(dx), np.zeros_like(dx)  # (N, D + C)
        dtheta = np.zeros((len(dx), self.conditioner.sizes[-1]), dx.dtype)  # (N, T * D)
        for i in order[::-1]:
            dx_i = dx[:, [i]] + through_theta[:, [i]]
            dz[:, [i]], dtheta[:, i :: len(order)] = self._uncouple_backward(dx_i, dlog_det, cache.law[i])
            through_theta = self.conditioner.backward(dtheta, cache.conditioner, parameters and i == order[0])
        dz[:, len(order) :] += through_theta[:, len(order) :]
        return dz

    def config(self) -> dict[str, Any]:
        return {"conditioner": self.conditioner}

    def __repr__(self) -> str:
        return f"{type(self).__name__}(dim={self.dim}, conditioner={self.conditioner!r})"


class AdditiveAutoregressive(AdditiveLaw, Autoregressive):
    """z_i = x_i + t_i,  t = m(x, c);  log|det J| = 0"""


class AffineAutoregressive(AffineLaw, Autoregressive):
    """z_i = x_i exp(log_s_i) + t_i,  log_s_i = scale(r_i),  (r, t) = m(x, c);  log|det J| = sum_i log_s_i

    (Papamakarios et al. 2017, equations 3 to 5, where -alpha_i is log_s_i and -mu_i exp(-alpha_i) is t_i)

    Parameters
    ----------
    conditioner : MaskedMLP
        m: (N, D + C) -> (N, 2D), first r, then the shifts t.
    scale : {"tanh", "exp", "sigmoid", "softplus"} or Scale
        How log_s follows from r, see `nice_np.bijectors.scales`.

    Examples
    --------
    >>> AffineAutoregressive(MaskedMLP((3, 16, 6), order="reversed", rng=0))
    AffineAutoregressive(dim=3, conditioner=MaskedMLP(3-16-6, relu))
    """

    def __init__(self, conditioner: MaskedMLP, scale: str | Scale = "tanh") -> None:
        super().__init__(conditioner)
        self.scale = get_scale(scale)

    def config(self) -> dict[str, Any]:
        return {**super().config(), "scale": name_of(self.scale, SCALES)}
