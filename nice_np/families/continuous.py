"""Continuous flows: x follows a velocity field from the data at t = 0 to the latents at t = 1.

    dx/dt = v(x, t),    d log|det dx(t)/dx(0)| / dt = tr(dv/dx)           (Chen et al. 2018, theorem 1)

Any smooth network may be v: the paths of a differential equation never cross, so the way from start to end has an
inverse, and a trace takes the place of a determinant (see `velocity`).  Both equations are solved together in steps of
length h; the inverse takes the same steps from t = 1 back to 0.  So inverse and log_det are right up to O(h^4) for
"rk4", not to rounding.  The gradients are exactly those of the steps that were taken.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nice_np.families.velocity import VelocityField
from nice_np.networks.mlp import MLP
from nice_np.networks.tangents import TangentCache
from nice_np.suggestions import suggests
from nice_np.validation import Array, as_batch, as_choice, as_int

# The stages k_i = v(x + h c_i k_{i-1}, t + h c_i) of a step from x to x + h sum_i b_i k_i (Runge and Kutta): c and b
METHODS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "euler": ((0.0,), (1.0,)),
    "midpoint": ((0.0, 0.5), (0.0, 1.0)),
    "rk4": ((0.0, 0.5, 0.5, 1.0), (1 / 6, 1 / 3, 1 / 3, 1 / 6)),
}
MOST = 100_000  # steps and probes: more is a mistake, or a hostile file


class Path(NamedTuple):
    """What the gradient needs: the directions, and the start of each step.  Its stages are computed again."""

    V: Array  # (N, K, D)
    steps: list[tuple[Array, float, float]]  # x (N, D + C), t and h


class NeuralODE(VelocityField):
    """z = x(1) for x(0) = x and dx/dt = v(x, t),  log|det| = integral of tr(dv/dx) dt.

    Parameters
    ----------
    network : MLP
        v: (x, c, t) (N, D + C + 1) -> (N, D), with a smooth activation.  A context c of C numbers passes unchanged.
    steps : int
        Twice as many leave 1/2 (euler), 1/4 (midpoint) or 1/16 (rk4) of the error.  May be changed at any time.
        Training exploits a large error: the score is real only if twice the steps give it, too.
    method : {"rk4", "midpoint", "euler"}
        Four, two or one evaluations of v a step.
    probes : int, optional
        K: the trace of J = dv/dx is estimated by sum_k v_k . J v_k (Hutchinson) with K directions for each row, the
        same all along its path, see `nice_np.networks.tangents.signs_of_rows`.  By default the v_k are the D unit
        vectors and the trace is exact; ``layer.probes = None`` switches a trained layer to that.
    seed : int
        Of the directions.

    Examples
    --------
    >>> ode = NeuralODE(MLP((3, 16, 2), "tanh", output_scale=1.0, rng=0))
    >>> x = np.ones((5, 2))
    >>> z, log_det, _ = ode.forward(x)
    >>> bool(np.abs(ode.inverse(z)[0] - x).max() < 1e-5)
    True
    """

    exact = False

    @suggests
    def __init__(
        self, network: MLP, steps: int = 10, method: str = "rk4", probes: int | None = None, seed: int = 0
    ) -> None:
        super().__init__(network, probes, seed)
        self.steps, self.method = steps, method
        self._check()

    def forward(self, x: Array) -> tuple[Array, Array, Path]:
        return self._solve(as_batch(x, self.dim, self), 0.0, 1.0)

    def inverse(self, z: Array) -> tuple[Array, Array, Path]:
        return self._solve(as_batch(z, self.dim, self, "z"), 1.0, -1.0)

    def _check(self) -> None:
        """What may be changed at any time is looked at in each pass: -3 steps would be no step at all."""
        self.steps = as_int(self.steps, "NeuralODE", "steps", 1, MOST)
        self.method = as_choice(self.method, METHODS, "NeuralODE", "method")
        self.probes = None if self.probes is None else as_int(self.probes, "NeuralODE", "probes", 1, MOST)

    def _solve(self, x: Array, t: float, sign: float) -> tuple[Array, Array, Path]:
        self._check()
        h = sign / self.steps
        log_det, path = np.zeros(len(x), x.dtype), Path(self.directions(x), [])
        for k in range(self.steps):
            path.steps.append((x, t + k * h, h))
            v, trace, _ = self._stages(*path.steps[-1], path.V)
            x, log_det = x + h * v, log_det + h * trace
        return x, log_det, path

    def _stages(self, x: Array, t: float, h: float, V: Array) -> tuple[Array, Array, list[TangentCache]]:
        """sum_i b_i k_i and the same mean of the traces, and the cache of each stage."""
        v, caches = np.zeros_like(x), []
        mean_v, mean_trace = np.zeros_like(x), np.zeros(len(x), x.dtype)
        for c, b in zip(*METHODS[self.method], strict=True):
            v, trace, cache = self.velocity(x + h * c * v, t + h * c, V)
            mean_v, mean_trace = mean_v + b * v, mean_trace + b * trace
            caches.append(cache)
        return mean_v, mean_trace, caches

    def backward(self, dz: Array, dlog_det: Array, cache: Path, parameters: bool = True) -> Array:
        grads = [grad for _, _, grad in self.network.named_parameters()] if parameters else []
        sums = [np.zeros_like(grad) for grad in grads]  # over all evaluations of the one network
        nodes, weights = METHODS[self.method]
        dx = dz
        for x, t, h in cache.steps[::-1]:
            stages = zip(nodes[::-1], weights[::-1], self._stages(x, t, h, cache.V)[2][::-1], strict=True)
            dend, dk = dx, np.zeros_like(dx)
            for c, b, stage in stages:
                # k_i adds h b_i k_i to the end of the step, and enters the point of the next stage
                dpoint = self.velocity_backward(h * b * dend + dk, h * b * dlog_det, cache.V, stage, parameters)
                dx, dk = dx + dpoint, h * c * dpoint  # that of stage i is x + h c_i k_{i-1}
                for total, grad in zip(sums, grads, strict=True):
                    total += grad
        for total, grad in zip(sums, grads, strict=True):
            grad[...] = total
        return dx

    def inverse_backward(self, dx: Array, dlog_det: Array, cache: Path, parameters: bool = True) -> Array:
        return self.backward(dx, dlog_det, cache, parameters)  # the same steps with the other sign of h

    def config(self) -> dict[str, Any]:
        settings = {"steps": self.steps, "method": self.method, "probes": self.probes, "seed": self.seed}
        return {"network": self.network, **settings}

    def __repr__(self) -> str:
        probes = "" if self.probes is None else f", probes={self.probes}"
        return f"NeuralODE(dim={self.dim}, {self.method}, steps={self.steps}{probes}, network={self.network!r})"
