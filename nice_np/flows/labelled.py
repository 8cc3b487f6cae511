"""A flow of labelled images that is also trained to tell the labels apart (Ardizzone et al. 2020, section 3).

The trunk h = f(x) does not see the label.  The head, one layer, gives each label y a Gaussian of its own in latent
space, with a mean and a scale for each latent: z = h s_y + t_y is N(0, 1), so h given y is N(-t_y / s_y, 1 / s_y^2).

    L = -(1/N) sum_n [log p(x_n | y_n) + w log p(y_n | x_n)],    log p(k | x) = log p(x | k) - log sum_j p(x | j)

A label is worth log 10 nats at most, the pixels of a digit thousands: w makes that little worth learning.  The sum over
j costs next to nothing, since the trunk runs once for all labels.
"""

from __future__ import annotations

from copy import deepcopy
from math import isfinite
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from nice_np.bijectors import AffineCoupling, Bijector, Chain, OnPart, Partition, WithContext
from nice_np.bijectors.rebuilding import Rebuilding
from nice_np.errors import NiceOverflowError, NiceTypeError, NiceValueError
from nice_np.flows.flow import Flow
from nice_np.flows.model import mean_of_finite
from nice_np.flows.overflow import CURE
from nice_np.flows.priors import Prior, checked_backward
from nice_np.kernels import all_finite
from nice_np.networks.mlp import MLP
from nice_np.pixels.dequantize import NOISE_SEED
from nice_np.suggestions import suggests
from nice_np.validation import Array, as_float, as_int


class LabelledFlow(Flow):
    """A flow given a one-hot label, trained by the loss above; all else is as for a `Flow`.

    Parameters
    ----------
    prior : {"logistic", "normal"} or Prior
    bijector : Chain
        Its last layer is the head; all others are a `WithContext`, or an `OnPart` that leaves the label out.
    context_dim : int
        C, the number of labels.
    weight : float
        w >= 0; with 0 it is maximum likelihood.

    `labelled` makes one of any flow.
    """

    measure: ClassVar[str] = "labelled"

    def __init__(self, prior: str | Prior, bijector: Bijector, context_dim: int, weight: float = 1.0) -> None:
        super().__init__(prior, bijector, as_int(context_dim, "LabelledFlow", "context_dim", 1))
        self.weight = as_float(weight, "LabelledFlow", "weight", minimum=0)
        trunk = self.layers[:-1]
        if not trunk or not all(isinstance(f, OnPart) and f.partition.idx_a.max() < self.dim for f in trunk):
            raise NiceValueError(
                "LabelledFlow: expected a Chain of at least two layers, of which only the last one may see the label; "
                "put the others into a WithContext"
            )

    def given_each_label(self, x: npt.ArrayLike) -> Array:
        """log p(x | k) for each label k: (N, D) -> (N, C), in little more time than for one."""
        rows = self._checked(x, np.zeros(self.context_dim), "given_each_label", "x")
        return self._in_chunks(lambda part: self._by_label(self._trunk(False), part)[0], rows, "forward")

    def objective(self, x: npt.ArrayLike, extra: Any = None) -> Array:
        """log p(x | y) + w log p(y | x) of each row, (N,)."""
        log_p = self.given_each_label(x)
        return self._terms(log_p, self.checked_context(extra, len(log_p), "LabelledFlow.objective"))[0]

    def score(self, x: npt.ArrayLike, context: Any = None) -> float:
        """The mean log-likelihood of the rows of x (N, D), N >= 1, in nats, as of any flow."""
        return mean_of_finite(self.log_prob(self.from_data(x, NOISE_SEED), context))

    def loss_and_grad(self, x: npt.ArrayLike, extra: Any = None) -> tuple[float, Array]:
        """The loss of a batch x (N, D) with labels (N, C), and its gradient, ``params.grads`` itself (P,)."""
        rows = self._checked(x, extra, "loss_and_grad", "x")
        if len(rows) == 0:
            raise NiceValueError("LabelledFlow.loss_and_grad: 0 samples; the mean needs at least one")
        loss, grads = self.unchecked_loss_and_grad(rows[:, : self.dim], rows[:, self.dim :])
        if not all_finite(grads):
            raise NiceOverflowError(f"LabelledFlow: a gradient overflows {self.dtype}; {CURE}")
        return loss, grads

    def unchecked_loss_and_grad(self, x: Array, extra: Array | None, recompute: bool = False) -> tuple[float, Array]:
        labels: Any = self.checked_context(extra, len(x), "LabelledFlow")  # (N, C)
        N, C = len(x), self.context_dim
        trunk, head = self._trunk(not recompute), self.layers[-1]
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # looked for below
            log_p, z, trunk_cache, cache = self._by_label(trunk, self._with_context(x, labels))
            terms, posterior = self._terms(log_p, labels)
            # dlog p(y|x)/dlog p(x|k) = [k = y] - p(k|x), from log p(y|x) = log p(x|y) - log sum_k p(x|k)
            weights = -(labels + self.weight * (labels - posterior)) / z.dtype.type(N)  # dL/dlog p(x_n|k), (N, C)
            with self.params.backward_pass():
                dz = checked_backward(self.prior, weights.ravel(), z[:, : self.dim])
                dh = head.backward(self._pad(dz), weights.ravel(), cache)
                # one row of h became C rows, and its trunk_log_det is part of all their densities
                trunk.backward(dh.reshape(N, C, -1).sum(axis=1), weights.sum(axis=1), trunk_cache)
        loss = -float(terms.mean(dtype=np.float64))
        if not isfinite(loss):
            raise NiceOverflowError(f"LabelledFlow: the loss overflows {self.dtype}; {CURE}")
        return loss, self.params.grads

    def _trunk(self, keep: bool) -> Chain | Rebuilding:
        """All layers but the last; they `keep` what their gradients need, or rebuild it."""
        layers = Chain(self.layers[:-1])
        return layers if keep else Rebuilding(layers, self.dim)

    def _by_label(self, trunk: Chain | Rebuilding, rows: Array) -> tuple[Array, Array, Any, Any]:
        """log p(x | k) (N, C), z (N C, D + C) and the caches of trunk and head, from rows (N, D + C)."""
        N, C = len(rows), self.context_dim
        h, trunk_log_det, trunk_cache = trunk.forward(rows)
        every = np.repeat(h, C, axis=0)  # (N C, D + C): the first row with every label, the second, ...
        every[:, self.dim :] = np.tile(np.eye(C, dtype=h.dtype), (N, 1))
        z, log_det, cache = self.layers[-1].forward(every)
        log_p = trunk_log_det[:, None] + (self.prior.log_prob(z[:, : self.dim]) + log_det).reshape(N, C)
        return log_p, z, trunk_cache, cache

    def _terms(self, log_p: Array, labels: Any) -> tuple[Array, Array]:
        """log p(x | y) + w log p(y | x), (N,), and p(k | x), (N, C), from log p(x | k), (N, C)."""
        log_posterior = log_p - np.logaddexp.reduce(log_p, axis=1)[:, None]
        return (labels * (log_p + self.weight * log_posterior)).sum(axis=1), np.exp(log_posterior)

    def config(self) -> dict[str, Any]:
        return {**super().config(), "weight": self.weight}


@suggests
def labelled(flow: Flow, classes: int, weight: float = 1.0) -> LabelledFlow:
    """A flow, trained or not, with a Gaussian for each label in latent space.

    Where the last layer is an `OnPart`, as in `glow`, only the latents of that part depend on the label: those of the
    deepest level decide what an image shows.

    Parameters
    ----------
    flow : Flow
        Without a context; it is copied.
    classes : int
        C, the number of labels.  All start with the same Gaussian, that of the flow.
    weight : float
        w >= 0, see `LabelledFlow`.

    Returns
    -------
    LabelledFlow

    Examples
    --------
    >>> from nice_np import glow
    >>> flow = labelled(glow((4, 4), levels=1, steps=1, channels=2, rng=0), classes=3)
    >>> loss, grads = flow.loss_and_grad(np.full((2, 16), 0.3), np.eye(3)[:2])
    >>> flow.layers[-1]
    AffineCoupling(dim=19, kept=3, conditioner=MLP(3-32, relu))
    """
    if type(flow) is not Flow or flow.context_dim:
        raise NiceTypeError(f"labelled: expected a Flow without a context, got {flow!r}")
    C = as_int(classes, "labelled", "classes", 2)
    prior, trunk = deepcopy((flow.prior, flow.layers))  # a layer belongs to one flow
    part = trunk[-1].partition.idx_a if isinstance(trunk[-1], OnPart) else np.arange(flow.dim)
    table = MLP((C, AffineCoupling.thetas_per_feature * len(part)), output_scale=0.0, dtype=flow.dtype)
    head: Bijector = AffineCoupling(Partition(len(part), [], C), table, scale="exp")
    if len(part) < flow.dim:
        head = OnPart(head, Partition(flow.dim, part, C))
    return LabelledFlow(prior, Chain([*(_past_the_label(layer, C) for layer in trunk), head]), C, weight)


def _past_the_label(layer: Bijector, classes: int) -> OnPart:
    if type(layer) is OnPart:  # one layer around another would copy all features twice
        return OnPart(layer.bijector, Partition(layer.dim + classes, layer.partition.idx_a))
    return WithContext(layer, classes)
