"""Flow matching: a continuous flow whose velocity is learned by regression, without solving an equation.

Join each data point x to a latent z ~ p_Z by a straight line, x at t = 0 and z at t = 1, with a little blur at x:

    s_t = (1 - t) x + (t + (1 - t) sigma) z,    u = ds_t/dt = (1 - sigma) z - x
    loss = E |v(s_t, t) - u|^2        over x, z ~ p_Z and t ~ U[0, 1]       (Lipman et al. 2023, eq. 9, 20-23)

The paper's time is 1 - t.  Many lines pass through one point s, each with a u of its own, and a square is smallest at
their mean, v*(s, t) = E[u | s_t = s].  By the square's expansion, with the mean of u - v* being 0 at each s and t,

    E |v - u|^2 = E |v - v*|^2 + E |v* - u|^2

and the last term does not depend on v.  So regression on u, which is known, has the same gradient as regression on v*,
which is not.  v* moves mass as all lines together do, so the flow dx/dt = v* has the distribution of s_t at every t:
that of the data (blurred) at 0, the prior at 1.
"""

from __future__ import annotations

from math import isfinite
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from nice_np.bijectors.base import Bijector
from nice_np.errors import NiceOverflowError, NiceTypeError, NiceValueError
from nice_np.families.continuous import NeuralODE
from nice_np.flows.flow import Flow
from nice_np.flows.model import in_chunks, mean_of_finite
from nice_np.flows.overflow import CURE
from nice_np.flows.priors import Prior
from nice_np.kernels import all_finite
from nice_np.pixels.dequantize import NOISE_SEED
from nice_np.validation import Array, as_float, as_samples


class FlowMatching(Flow):
    """A flow with a `NeuralODE` as its last layer, which `fit` trains by flow matching.

    Likelihoods, samples and their gradients are those of the `Flow`.  Straight paths need few steps: set
    ``flow.ode.steps``.

    Parameters
    ----------
    prior, bijector, context_dim
        As for `Flow`.  The prior and the layers in front of the `NeuralODE` must have no parameters.
    sigma : float
        In [0, 1): the standard deviation of the blur of x at t = 0, in units of z.

    Examples
    --------
    >>> from nice_np import MLP
    >>> flow = FlowMatching("normal", NeuralODE(MLP((3, 8, 2), "tanh", rng=0)))
    >>> x = np.ones((5, 2))
    >>> extra = flow.draw_extra(None, 5, np.random.default_rng(0))  # z and t of each row
    >>> loss, grads = flow.loss_and_grad(x, extra)
    >>> grads.shape, flow.log_prob(x).shape
    ((50,), (5,))
    """

    measure: ClassVar[str] = "flow_matching"

    def __init__(self, prior: str | Prior, bijector: Bijector, context_dim: int = 0, sigma: float = 0.0) -> None:
        super().__init__(prior, bijector, context_dim)
        self.sigma = as_float(sigma, "FlowMatching", "sigma", minimum=0, below=1)
        if not isinstance(self.layers[-1], NeuralODE) or self.ode.n_parameters != self.n_parameters:
            raise NiceTypeError(
                "FlowMatching: expected a NeuralODE, or a Chain with one at the end, and no other parameters, neither "
                f"in front of it nor in the prior; got {prior!r} and {bijector!r}"
            )

    @property
    def ode(self) -> Any:
        """The last layer."""
        return self.layers[-1]

    def draw_extra(self, context: Array | None, n: int, rng: np.random.Generator) -> Array:
        """[context | z | t] of `n` rows: (n, C + D + 1)."""
        z, t = self.prior.sample(n, self.dim, rng), rng.random((n, 1))
        return np.concatenate([*([] if context is None else [context]), z, t], axis=1, dtype=self.dtype)

    def objective(self, x: npt.ArrayLike, extra: Any = None) -> Array:
        """Minus the squared error |v - u|^2 of each row, (N,), for an `extra` from `draw_extra`."""
        x, extra = self._checked_pair(x, extra)
        return in_chunks(lambda part, drawn: -np.square(self._error(part, drawn)[0]).sum(axis=1), x, extra)

    def loss_and_grad(self, x: npt.ArrayLike, extra: Any = None) -> tuple[float, Array]:
        """The mean squared error of a batch, and its gradient, ``params.grads`` itself (P,)."""
        x, extra = self._checked_pair(x, extra)
        if len(x) == 0:
            raise NiceValueError("FlowMatching.loss_and_grad: 0 samples; the mean needs at least one")
        loss, grads = self.unchecked_loss_and_grad(x, extra)
        if not all_finite(grads):
            raise NiceOverflowError(f"FlowMatching: a gradient overflows {self.dtype}; {CURE}")
        return loss, grads

    def unchecked_loss_and_grad(self, x: Array, extra: Array | None, recompute: bool = False) -> tuple[float, Array]:
        with np.errstate(over="ignore", invalid="ignore"):  # looked for below
            error, cache = self._error(x, extra)  # (N, D)
            loss = float(np.square(error).sum(axis=1).mean(dtype=np.float64))
            # L = (1/N) sum_n |v_n - u_n|^2, so dL/dv = 2/N (v - u)
            with self.params.backward_pass():
                self.ode.network.backward(self.dtype.type(2 / len(x)) * error, cache)
        if not isfinite(loss):
            raise NiceOverflowError(f"FlowMatching: the loss overflows {self.dtype}; {CURE}")
        return loss, self.params.grads

    def score(self, x: npt.ArrayLike, context: Any = None) -> float:
        """The mean log-likelihood of the rows of x (N, D), N >= 1, in nats, as of any flow."""
        return mean_of_finite(self.log_prob(self.from_data(x, NOISE_SEED), context))

    def _error(self, x: Array, extra: Any) -> tuple[Array, Any]:
        """v(s_t, t) - u (N, D), and the cache of v."""
        context, z, t = np.split(extra, [self.context_dim, self.context_dim + self.dim], axis=1)
        inner = np.concatenate([x, context], axis=1)  # (N, D + C)
        for layer in self.layers[:-1]:
            inner = layer.forward(inner)[0]
        x = inner[:, : self.dim]
        s = (1 - t) * x + (t + (1 - t) * self.sigma) * z
        u = (1 - self.sigma) * z - x
        v, cache = self.ode.network.forward(np.concatenate([s, context, t], axis=1))
        return v - u, cache

    def _checked_pair(self, x: npt.ArrayLike, extra: Any) -> tuple[Array, Array]:
        samples = as_samples(x, self.dim, owner="FlowMatching", dtype=self.dtype)
        self.check_samples(samples, "FlowMatching")
        drawn = as_samples(extra, self.context_dim + self.dim + 1, owner="FlowMatching", name="extra", dtype=self.dtype)
        if len(drawn) != len(samples):  # NumPy would broadcast a single row silently
            raise NiceValueError(f"FlowMatching: extra has {len(drawn)} rows, expected {len(samples)}, see draw_extra")
        return samples, drawn

    def config(self) -> dict[str, Any]:
        return {**super().config(), "sigma": self.sigma}
