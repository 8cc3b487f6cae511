"""Small flows: a run of coupling layers in one compiled call per pass, instead of some fifty calls of NumPy.

Ten calls of NumPy take as long as a product of two 64 x 64 matrices.  So `fit` trains a small flow through a twin that
shares its parameters and gradients, and whose couplings are one `FusedCouplings`.  The numbers are those of the layers
one by one, up to rounding; the layers are the code to read, and what a debugger steps through.
"""

from __future__ import annotations

import sys
from collections.abc import Hashable, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Any, TypeGuard, cast

import numpy as np

from nice_np.bijectors.additive import AdditiveCoupling
from nice_np.bijectors.affine import AffineCoupling
from nice_np.bijectors.base import Bijector
from nice_np.bijectors.chain import Chain
from nice_np.bijectors.coupling import Coupling
from nice_np.bijectors.scales import TanhScale
from nice_np.errors import NiceOverflowError
from nice_np.files.recognised import is_own
from nice_np.flows.flow import Flow
from nice_np.networks.activations import LeakyReLU, ReLU
from nice_np.networks.mlp import MLP, Linear
from nice_np.parameters import FlatParameters
from nice_np.training.fused.halves import InHalves, two_sets
from nice_np.training.fused.loops import ADDITIVE, AFFINE, QUICK, couple, couple_backward
from nice_np.validation import Array, as_batch, check_shape

SMALL = 4_000_000  # rows of a batch times parameters of a conditioner, up to which it pays
FEWEST = 100  # rows in a block: with fewer, small products are no faster than large ones

FusedCoupling = AdditiveCoupling | AffineCoupling
FusedCache = list[
    tuple[slice, Array]
]  # blocks of rows, each with the activations that the kernels keep (rows * width,)


def can_be_fused(layer: Bijector) -> TypeGuard[FusedCoupling]:
    """Whether the kernels know the layer: its law, its scale and its network; they know no subclasses."""
    if not isinstance(layer, FusedCoupling) or not all(is_own(module) for _, module in layer.modules()):
        return False
    if not len(layer.partition.idx_a):  # a table of a `LabelledFlow`, which must stay a layer of its own
        return False
    net = layer.conditioner
    scale_known = isinstance(layer, AdditiveCoupling) or type(layer.scale) is TanhScale
    return scale_known and type(net) is MLP and type(net.activation) in (ReLU, LeakyReLU)


def is_small(coupling: FusedCoupling, batch_size: int) -> bool:
    """Whether the time that Python takes is worth saving."""
    return batch_size * mlp_of(coupling).n_parameters <= SMALL


def mlp_of(coupling: FusedCoupling) -> MLP:
    """The conditioner of a coupling that `can_be_fused`."""
    return cast(MLP, coupling.conditioner)


def _slope_and_bound(coupling: FusedCoupling) -> tuple[float, float]:
    """The slope of the (leaky) ReLU below 0, and the bound B of log s, for which an additive coupling has no use."""
    activation, scale = mlp_of(coupling).activation, getattr(coupling, "scale", None)
    slope = activation.slope if isinstance(activation, LeakyReLU) else 0.0
    return slope, scale.bound if isinstance(scale, TanhScale) else 1.0


class FusedCouplings(Chain):
    """A `Chain` of additive and affine couplings with ReLU or leaky ReLU networks whose passes are one kernel each.

    Parameters
    ----------
    couplings : sequence of AdditiveCoupling or AffineCoupling
        Those for which `can_be_fused` is true.
    params : FlatParameters
        It holds their parameters.
    starts : dict
        The position of each parameter in the flat vector, by the ``id`` of its array.
    """

    def __init__(self, couplings: Sequence[FusedCoupling], params: FlatParameters, starts: dict[int, int]) -> None:
        super().__init__(couplings)
        self._params = params
        self._linears: list[Linear] = []
        rows: list[tuple[int, ...]] = []
        settings: list[tuple[float, float]] = []
        indices: list[int] = []
        self._width = 0  # numbers kept for each sample
        for coupling in couplings:
            layers, part = mlp_of(coupling).layers, coupling.partition
            idx_a = [*part.idx_a.tolist(), *range(part.dim, coupling.dim)]  # and the context
            law = ADDITIVE if isinstance(coupling, AdditiveCoupling) else AFFINE
            first, count, n_b = len(self._linears), len(layers), len(part.idx_b)
            rows.append((law, first, count, len(idx_a), n_b, len(indices), self._width))
            settings.append(_slope_and_bound(coupling))
            indices += [*idx_a, *part.idx_b.tolist()]
            self._linears += layers
            self._width += len(idx_a) + sum(layer.W.shape[1] for layer in layers)
        linears = [(starts[id(layer.W)], *layer.W.shape) for layer in self._linears]
        floats = np.array(settings, params.values.dtype)
        self._tables = np.array(rows), np.array(linears), floats, np.array(indices, np.uint64)

    def forward(self, x: Array) -> tuple[Array, Array, FusedCache]:
        z = np.array(as_batch(x, self.dim, self), self._params.values.dtype, order="C")
        log_det = np.zeros(len(z), z.dtype)
        cache = []
        for block in self._blocks(len(z)):
            kept = np.empty((block.stop - block.start) * self._width, z.dtype)
            couple(z[block], log_det[block], self._params.values, *self._tables, kept)
            cache.append((block, kept))
        return z, log_det, cache

    def backward(self, dz: Array, dlog_det: Array, cache: FusedCache, parameters: bool = True) -> Array:
        rows = cache[-1][0].stop
        check_shape(dz, (rows, self.dim), "FusedCouplings", "dz")
        check_shape(dlog_det, (rows,), "FusedCouplings", "dlog_det")
        dtype = self._params.values.dtype  # a user's prior or layer may use another one
        dx, dlog_det = np.array(dz, dtype, order="C"), np.ascontiguousarray(dlog_det, dtype)
        grads = self._params.grads if parameters else np.empty_like(self._params.grads)
        for i, (block, kept) in enumerate(cache):
            couple_backward(dx[block], dlog_det[block], self._params.values, grads, *self._tables, kept, i > 0)
        return dx

    def _blocks(self, n_rows: int) -> list[slice]:
        """The batch in blocks of equal size, small enough for the products that OpenBLAS is fastest at."""
        rows = QUICK // max(layer.W.size for layer in self._linears)
        n = -(-n_rows // rows) if rows >= FEWEST and n_rows else 1
        return [slice(n_rows * i // n, n_rows * (i + 1) // n) for i in range(n)]


class Fused:
    """A flow's gradient through a twin with couplings together: as `Flow.unchecked_loss_and_grad`, up to rounding.

    Attributes
    ----------
    compiled : bool
        Whether the twin has `FusedCouplings`, whose products are too small to be shared by several threads of BLAS.
    """

    def __init__(self, flow: Flow, twin: Flow) -> None:
        self.flow, self.twin = flow, twin
        self.compiled = any(isinstance(layer, FusedCouplings) for layer in twin.layers)
        if self.compiled:
            import scipy.linalg.cython_blas  # noqa: F401 (a BLAS of its own; limits on threads hold for what is loaded)

    def __call__(self, x: Array, context: Array | None) -> tuple[float, Array]:
        """The loss and its gradient, ``flow.params.grads`` itself."""
        with suppress(NiceOverflowError):
            return self.twin.unchecked_loss_and_grad(x, context)
        return self.flow.unchecked_loss_and_grad(x, context)  # fails as well, and names the layer


def being_debugged() -> bool:
    """Whether a debugger, or another tool that follows each line, is attached: it must see the layers as written."""
    monitoring: Any = getattr(sys, "monitoring", None)  # from Python 3.12 on
    return sys.gettrace() is not None or (
        monitoring is not None and monitoring.get_tool(monitoring.DEBUGGER_ID) is not None
    )


def fused(flow: Flow, batch_size: int) -> Fused | None:
    """The flow's gradient with its couplings together, or None where that does not pay for batches of this size."""
    if not couple.is_compiled:
        return None
    starts = {id(W): slot.start for (_, W, _), slot in zip(flow.named_parameters(), flow.params.slots, strict=True)}

    def kind(layer: Bijector) -> Hashable:
        return FusedCouplings if can_be_fused(layer) and is_small(layer, batch_size) else two_sets(layer)

    parts: list[Bijector] = []
    for together, layers in groupby(flow.layers, key=kind):
        run = list(layers)
        if together is FusedCouplings:
            parts.append(FusedCouplings(cast(list[FusedCoupling], run), flow.params, starts))
        elif together is None or len(run) == 1:
            parts += run
        else:
            parts.append(InHalves(cast(list[Coupling], run)))
    if not any(isinstance(part, (FusedCouplings, InHalves)) for part in parts):
        return None
    twin = type(flow).__new__(type(flow))
    vars(twin).update({**vars(flow), "bijector": Chain(parts)})  # no setattr: its parameters are the flow's
    return Fused(flow, twin)
