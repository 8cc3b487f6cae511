"""Variational inference with a flow: q(x) approaches a density p(x) that is known up to a constant.

A flow draws z from its prior and decodes it, x = g(z), so that log q(x) = log p_Z(z) - log|det dg/dz|.  Let p~ = Z p be
the function that is given, and w the parameters of the flow.  Then

    KL(q || p) = E_q[log q(x) - log p(x)] = log Z - E_z[log r(z)]
    log r(z) = log p~(x) - log q(x) = log p~(g(z)) + log|det dg/dz| - log p_Z(z)

and E_z[log r], the ELBO, is a lower bound on log Z.  For given z it is an ordinary function of w (Rezende and Mohamed
2015, section 3).  With L = -(1/N) sum_n log r(z_n)

    dL/dx_n = -(1/N) d log p~ / dx,      dL/dlog_det_n = -1/N

and the gradient through the inverse pass, `Bijector.inverse_backward`, gives dL/dw.  This is maximum likelihood with
data and latents in exchanged roles: the draws z are the data, p~ is the prior, g is the bijector.

**Path gradient.**  In log q(g(z; w); w) the parameters act twice,

    d/dw log q(g(z; w); w) = (dg/dw)^T d log q / dx + d log q(x; w)/dw at fixed x

and the last term, the score, is zero on average: E_q[d log q / dw] = d/dw of the integral of q = 0.  Without it (Roeder
et al. 2017)

    dL/dx_n = -(1/N) (d log p~ / dx - d log q / dx),      dL/dlog_det_n = 0

has the same mean, and where q = p it is zero for every z, not only on average.  d log q / dx is the flow's ordinary
input gradient, one pass there and back through `forward` and `backward`: a step takes up to twice as long.
"""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from typing import Any, ClassVar

import numpy as np

from nice_np.bijectors.fitted import Fitted
from nice_np.errors import NiceOverflowError, NiceTypeError, NiceValueError
from nice_np.flows.flow import Flow
from nice_np.flows.model import Model, mean_of_finite
from nice_np.flows.priors import checked_sample
from nice_np.inference.targets import Density, log_density
from nice_np.kernels import all_finite
from nice_np.suggestions import suggests
from nice_np.training.fit import fit
from nice_np.training.history import History
from nice_np.training.optim import Optimizer
from nice_np.training.plan import Callback
from nice_np.training.schedules import Schedule
from nice_np.validation import Array, Rng, as_flag, as_int

EPOCH = 100  # steps between two rows of the history


class ReverseKL(Model):
    """A flow whose objective is log r: what `fit` trains here.

    A row of x carries nothing, since there are no data; the latents z come as the noise that `fit` draws beside it,
    like that of a VAE.  The parameters are the flow's own.

    Parameters
    ----------
    flow : Flow
    density : callable
        log p~ and its gradient, see `fit_to_density`.
    path_gradient : bool
    """

    measure: ClassVar[str] = "elbo"

    def __init__(self, flow: Flow, density: Density, path_gradient: bool = False) -> None:
        if not isinstance(flow, Flow):
            raise NiceTypeError(f"fit_to_density: expected a Flow, got {flow!r}")
        if flow.context_dim:
            raise NiceValueError("fit_to_density: the flow has one density for each context; leave out context_dim")
        if flow.n_parameters != flow.bijector.n_parameters:
            raise NiceValueError("fit_to_density: the prior has parameters, so z would depend on them; put a layer "
                                 "such as DiagonalScaling next to it instead")  # fmt: skip
        for path, module in flow.modules():
            if isinstance(module, Fitted) and not module.fitted:
                raise NiceValueError(
                    f"fit_to_density: {path} ({type(module).__name__}) waits for data to measure, and there are none; "
                    "build the flow with preprocess=()"
                )
        self.flow, self.density = flow, density
        self.path_gradient = as_flag(path_gradient, "fit_to_density", "path_gradient")
        self.dim = flow.dim
        self._pack()

    def _pack(self, values: Array | None = None) -> None:
        self.params, self.dtype = self.flow.params, self.flow.dtype

    def replica(self) -> ReverseKL:
        return ReverseKL(self.flow.replica(), self.density, self.path_gradient)

    # -- the loss and its gradient --------------------------------------------------------------------------------

    def draw_extra(self, context: Array | None, n: int, rng: np.random.Generator) -> Array:
        """Latents z from the flow's prior, (n, D)."""
        return checked_sample(self.flow.prior, n, self.dim, rng).astype(self.dtype)

    def _decoded(self, z: Array) -> tuple[Array, Array, Any]:
        """x = g(z) (N, D), -log q(x) (N,), and the cache of the inverse pass."""
        x, log_det, cache = self.flow.bijector.inverse(z)
        bad = ~(np.isfinite(x).all(axis=1) & np.isfinite(log_det))
        if bad.any():
            raise NiceOverflowError(f"fit_to_density: x = g(z) overflows {self.dtype} at z = {z[bad.argmax()]}")
        return x, log_det - self.flow.prior.log_prob(z), cache

    def objective(self, x: Any, extra: Any = None) -> Array:
        """log r at the latents `extra`: (N, D) -> (N,)."""
        x, minus_log_q, _ = self._decoded(extra)
        return log_density(self.density, x)[0] + minus_log_q

    def loss_and_grad(self, x: Any, extra: Any = None) -> tuple[float, Array]:
        return self.unchecked_loss_and_grad(x, extra)

    def unchecked_loss_and_grad(self, x: Array, extra: Array | None) -> tuple[float, Array]:
        z: Any = extra
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # looked for
            x, minus_log_q, cache = self._decoded(z)
            log_p, dlog_p = log_density(self.density, x)  # (N,), (N, D)
            weight = z.dtype.type(-1 / len(z))
            if self.path_gradient:
                dx, dlog_det = weight * (dlog_p - self.flow.grad_log_prob(x)), np.zeros_like(log_p)
            else:
                dx, dlog_det = weight * dlog_p, np.full_like(log_p, weight)
            with self.params.backward_pass():
                self.flow.bijector.inverse_backward(dx, dlog_det, cache)
        if not all_finite(self.params.grads):
            raise NiceOverflowError(f"fit_to_density: a gradient overflows {self.dtype}")
        return -mean_of_finite(log_p + minus_log_q), self.params.grads

    def check_samples(self, x: Array, owner: str) -> None:
        pass

    def checked_context(self, context: Any, n: int, owner: str) -> None:
        return None

    # -- files: a checkpoint holds the flow; the density is a function, which no file holds -------------------------

    def config(self) -> dict[str, Any]:
        return {"flow": self.flow, "path_gradient": self.path_gradient}

    @classmethod
    def from_config(cls, flow: Flow, path_gradient: bool) -> ReverseKL:
        """As a checkpoint holds it: enough to compare it with the run that is to continue."""

        def density(x: Array) -> tuple[Array, Array]:
            raise NiceValueError("a checkpoint of fit_to_density holds no density")

        return cls(flow, density, path_gradient)

    def __repr__(self) -> str:
        return f"ReverseKL({self.density!r}, path_gradient={self.path_gradient}) of {self.flow!r}"


@suggests
def fit_to_density(
    flow: Flow,
    log_density_and_grad: Density,
    *,
    steps: int,
    batch_size: int = 200,
    path_gradient: bool = False,
    learning_rate: float | Schedule = 1e-3,
    optimizer: str | Optimizer = "adam",
    clip_norm: float | None = None,
    average: int | None = None,
    callbacks: Iterable[Callback] = (),
    checkpoint: str | PathLike[str] | None = None,
    checkpoint_every: float = 60.0,
    resume: bool = False,
    progress: bool = True,
    rng: Rng = None,
    threads: int | None = None,
) -> History:
    """Train a flow to draw from a density that is known up to a constant, by minimising KL(q || p).

    The reverse KL is zero where p is, and only there: a flow can miss a mode of p altogether, and neither the ELBO nor
    the effective sample size shows it.  See docs/inference.md.

    Parameters
    ----------
    flow : Flow
        Without layers that measure data: ``real_nvp(dim, preprocess=())``.
    log_density_and_grad : callable
        x (N, D) -> log p~(x) (N,) in nats and d log p~ / dx (N, D), for any p~ proportional to the density, such as
        a `nice_np.inference.Target` or another flow's `log_prob_and_grad`.
    steps : int
        Rounded up to a multiple of 100 if above 100: the history has a row for each 100.
    batch_size : int
        Latents per step, fresh in each.
    path_gradient : bool
        Leave out the score term, whose mean is zero: less noise near the end, for up to twice the time.
    learning_rate, optimizer, clip_norm, average, callbacks, checkpoint, checkpoint_every, resume
        As for `fit`.  A checkpoint holds no density: resume with the same one.  A callback's model has the flow as its
        attribute `flow`.
    progress, rng, threads
        As for `fit`.

    Returns
    -------
    History
        The column train_elbo is the mean of log p~(x) - log q(x), a lower bound on log Z.

    Raises
    ------
    NiceValueError, NiceTypeError
        Wrong arguments; a flow that measures data, has a context or has parameters in its prior; a density that
        returns other shapes.
    NiceFileError, DivergenceError, TrainingInterrupted
        As `fit`.

    Examples
    --------
    A Gaussian with mean 1 and standard deviation e^-1, up to a constant:

    >>> from nice_np import real_nvp
    >>> def density(x):
    ...     u = (x - 1) * np.e
    ...     return -0.5 * (u**2).sum(axis=1), -np.e * u
    >>> flow = real_nvp(2, couplings=4, hidden=(16,), preprocess=(), rng=0)
    >>> history = fit_to_density(flow, density, steps=500, learning_rate=5e-3, progress=False, rng=0)
    >>> bool(abs(history["train_elbo"][-1] - np.log(2 * np.pi * np.exp(-2))) < 0.02)  # log Z
    True
    """
    model = ReverseKL(flow, log_density_and_grad, path_gradient)
    steps = as_int(steps, "fit_to_density", "steps", 1)
    batch_size = as_int(batch_size, "fit_to_density", "batch_size", 1)
    rows = batch_size * min(steps, EPOCH)
    return fit(
        model,
        np.zeros((rows, flow.dim), flow.dtype),
        epochs=-(-steps // EPOCH),
        batch_size=batch_size,
        learning_rate=learning_rate,
        optimizer=optimizer,
        clip_norm=clip_norm,
        average=average,
        callbacks=callbacks,
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
        resume=resume,
        progress=progress,
        rng=rng,
        threads=threads,
    )
