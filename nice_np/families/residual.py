"""Residual flow: z = x + g(x) with a contraction g: the Jacobian is dense, the inverse an iteration."""

from __future__ import annotations

from typing import Any, NamedTuple

from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.families.implicit import ImplicitInverse
from nice_np.families.log_determinants import ExactLogDeterminant, LogDeterminant
from nice_np.families.power_series import PowerSeries
from nice_np.families.searches import fixed_point
from nice_np.networks.mlp import MLP
from nice_np.networks.spectral import Normalised, contraction, contraction_backward, normalised
from nice_np.networks.tangents import smooth_activation
from nice_np.parameters.part import as_part, name_of
from nice_np.suggestions import suggests
from nice_np.validation import Array, as_batch, as_float

LOG_DETERMINANTS: dict[str, type[LogDeterminant]] = {kind.name: kind for kind in (ExactLogDeterminant, PowerSeries)}


class ResidualCache(NamedTuple):
    """x (N, D), the normalised weights, and the cache of the log-determinant."""

    x: Array
    weights: list[Normalised]
    log_det: Any


class Residual(ImplicitInverse):
    """z = x + g(x),  |g(x) - g(x')| <= L |x - x'|,  L < 1;  log|det J| = log det(I + dg/dx)      (Behrmann et al. 2019)

    For a given z the map x -> z - g(x) brings any two points closer together, so it has one fixed point (Banach): that
    is the inverse, and every step of the iteration multiplies the error by L at most.  The eigenvalues of dg/dx are at
    most L in modulus, hence det J > 0.

    Parameters
    ----------
    network : MLP
        g: (N, D) -> (N, D), with an activation that has a second derivative and slopes of at most 1: "tanh" or
        "softplus".  With a context of C features behind the others (N, D + C) -> (N, D); the context passes unchanged.
    c : float
        In (0, 1): every W is used with its largest singular value at most c, see `nice_np.networks.spectral`.
        L = c^K for K linear layers.
    log_det : {"exact", "series"} or LogDeterminant
        "exact" costs D tangents per row; "series" is an estimate, with one tangent per term, for many features.  See
        `nice_np.families.power_series`.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Residual(MLP((2, 16, 2), "tanh", output_scale=1.0, rng=0))
    >>> z, _, _ = layer.forward(np.array([[1.0, -2.0]]))
    >>> layer.inverse(z)[0].round(12)
    array([[ 1., -2.]])
    """

    @suggests
    def __init__(self, network: MLP, c: float = 0.97, log_det: str | LogDeterminant = "exact") -> None:
        if not isinstance(network, MLP):
            raise NiceTypeError(f"Residual: network must be an MLP, got {network!r}")
        smooth_activation(network, "Residual")
        if network.sizes[0] < network.sizes[-1]:
            raise NiceValueError(
                f"Residual: the network must map D (+ context) features to D, {network!r} maps {network.sizes[0]} to "
                f"{network.sizes[-1]}"
            )
        self.network, self.dim, self.width = network, network.sizes[0], network.sizes[-1]
        self.c = as_float(c, "Residual", "c", above=0, below=1)
        self.log_det = as_part(log_det, LOG_DETERMINANTS, LogDeterminant, "log_det")  # type: ignore[type-abstract]

    def forward(self, x: Array) -> tuple[Array, Array, ResidualCache]:
        x = as_batch(x, self.dim, self)
        weights = self._normalised()
        moved, log_det, cache = self.log_det.forward(contraction(self.network, weights), x)
        return self._plus(x, moved), log_det, ResidualCache(x, weights, cache)

    def backward(self, dz: Array, dlog_det: Array, cache: ResidualCache, parameters: bool = True) -> Array:
        g = contraction(self.network, cache.weights)
        dx: Array = self.log_det.backward(g, dz[:, : self.width], dlog_det, cache.log_det, parameters)
        if parameters:
            contraction_backward(self.network, g, cache.weights)
        return dz + dx

    def _normalised(self) -> list[Normalised]:
        return [normalised(layer.W, self.c) for layer in self.network.layers]

    def _plus(self, x: Array, moved: Array) -> Array:
        """The features changed by `moved` (N, D), the context as it is."""
        z: Array = x.copy()
        z[:, : self.width] += moved
        return z

    def _search(self, z: Array) -> Array:
        g = contraction(self.network, self._normalised())
        return fixed_point(lambda x: self._plus(z, -g.forward(x)[0]), z)

    def _solve_transposed(self, r: Array, cache: ResidualCache) -> Array:
        # J^T v = v + (dg/dx)^T v = r, so v = r - (dg/dx)^T v: a contraction again, with the transposed matrix
        g = contraction(self.network, cache.weights)
        _, at_x = g.forward(cache.x)
        return fixed_point(lambda v: r - g.backward(v[:, : self.width], at_x, parameters=False), r)

    def config(self) -> dict[str, Any]:
        return {"network": self.network, "c": self.c, "log_det": name_of(self.log_det, LOG_DETERMINANTS)}

    def __repr__(self) -> str:
        log_det = name_of(self.log_det, LOG_DETERMINANTS)
        return f"Residual(dim={self.dim}, c={self.c:g}, network={self.network!r}, log_det={log_det})"
