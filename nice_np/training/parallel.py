"""The gradient of a batch: by one thread, or by several that each take some of the rows.

The loss is a mean over the N rows of a batch.  For a batch cut into shards, with n_i rows in the i-th,

    L = sum_i (n_i / N) L_i,    dL/dvalues = sum_i (n_i / N) dL_i/dvalues

where L_i is the mean over shard i: the ordinary loss of a smaller batch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from nice_np._blas import BLAS
from nice_np.flows.flow import Flow
from nice_np.flows.model import Model
from nice_np.training.fused.couplings import Fused, being_debugged, fused
from nice_np.training.malloc import keep_freed_memory
from nice_np.validation import Array

log = logging.getLogger(__name__)

BLOCK = 30_000  # numbers added at a time: they stay in a core's cache from one shard to the next

# (x (N, D), extra (N, C) or None) -> (loss, gradient (P,)); the extra input is a flow's context or a VAE's noise.
Gradient = Callable[[Array, Array | None], tuple[float, Array]]


def shards(n_rows: int, n: int) -> list[slice]:
    """Cut rows into `n` pieces whose lengths differ by at most one; fewer where there are fewer rows than pieces.

    Examples
    --------
    >>> shards(7, 2), shards(2, 3)
    ([slice(0, 3, None), slice(3, 7, None)], [slice(0, 1, None), slice(1, 2, None)])
    """
    n = min(n, n_rows)
    return [slice(n_rows * i // n, n_rows * (i + 1) // n) for i in range(n)]


def cut(rows: slice, x: Array, extra: Array | None) -> tuple[Array, Array | None, float]:
    """One shard of a batch: its x, its extra input, and its share n_i / N of the rows."""
    part = x[rows]
    return part, None if extra is None else extra[rows], len(part) / len(x)


def by_one_thread(model: Model, batch_size: int, recompute: bool, compiled: bool) -> Gradient:
    """The model's gradient; with couplings in a row together, unless switched off or a debugger is attached."""
    if recompute and isinstance(model, Flow):
        return partial(model.unchecked_loss_and_grad, recompute=True)
    if compiled and isinstance(model, Flow) and not being_debugged():
        return fused(model, batch_size) or model.unchecked_loss_and_grad
    return model.unchecked_loss_and_grad


@dataclass
class Threads:
    """A model's gradient by threads, one for each shard of the batch.

    Each shard has a replica of the model, which shares its parameters and has gradients of its own, and goes through
    the ordinary forward and backward pass.  NumPy releases Python's lock while it computes, so the passes overlap.  The
    gradients are added in the order of the shards, whichever finished first: the sum has the same bits in every run.
    """

    pool: ThreadPoolExecutor
    replicas: list[Model]  # the first is the model itself
    sources: list[Gradient]  # of one replica each

    def __call__(self, x: Array, extra: Array | None) -> tuple[float, Array]:
        """As by one thread, up to rounding; the gradient is ``model.params.grads`` as well."""
        parts = [cut(rows, x, extra) for rows in shards(len(x), len(self.sources))]
        tasks = [
            self.pool.submit(source, part, given) for source, (part, given, _) in zip(self.sources, parts, strict=False)
        ]
        wait(tasks)
        if any(task.exception() for task in tasks):
            return self.sources[0](x, extra)  # fails as well, and names the row of the batch
        shares = [share for _, _, share in parts]
        loss = sum(share * task.result()[0] for task, share in zip(tasks, shares, strict=True))
        return loss, self._sum(shares)

    def _sum(self, shares: list[float]) -> Array:
        """The replicas' gradients, each times its share, summed into the first one's vector, which is the model's."""
        total, *others = (replica.params.grads for replica in self.replicas)

        def add(piece: slice) -> None:
            for start in range(piece.start, piece.stop, BLOCK):
                block = slice(start, min(start + BLOCK, piece.stop))
                total[block] *= shares[0]
                for share, grads in zip(shares[1:], others, strict=False):
                    total[block] += share * grads[block]

        list(self.pool.map(add, shards(len(total), len(self.replicas))))  # list: wait for all of them
        return total


@contextmanager
def in_threads(
    model: Model, n: int | None, batch_size: int, recompute: bool = False, compiled: bool = True
) -> Iterator[Gradient]:
    """The model's gradient by `n` threads, for as long as the block lasts; see `by_one_thread`.

    With several threads BLAS is limited to one in the whole process; otherwise it would start as many as there are
    cores for each of ours.  It is also limited for compiled couplings, whose products are too small to be shared.  For
    None one thread computes, and the number of BLAS's threads follows the load of the machine.
    """
    keep_freed_memory()
    with ThreadPoolExecutor(n or 1) as pool:
        replicas = [model, *(model.replica() for _ in range((n or 1) - 1))]
        sources = [by_one_thread(replica, batch_size // len(replicas), recompute, compiled) for replica in replicas]
        source = sources[0] if len(sources) == 1 else Threads(pool, replicas, sources)
        one_blas_thread = isinstance(source, Threads) or (isinstance(source, Fused) and source.compiled)
        log.info("gradients by %d thread(s)%s", len(sources), ", each with one of BLAS" if one_blas_thread else "")
        follow = n is None and not one_blas_thread
        with BLAS.following_load(at_once=True) if follow else BLAS.fixed(1 if one_blas_thread else None):
            yield source
