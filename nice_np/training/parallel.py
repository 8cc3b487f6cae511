"""The gradient of a batch by several threads: each takes some of the rows, and the parts are added.

The loss is a mean over the N rows of a batch.  Of a batch in shards, with n_i rows in the i-th,

    L = sum_i (n_i / N) L_i,    dL/dvalues = sum_i (n_i / N) dL_i/dvalues

where L_i is the mean over shard i: the ordinary loss of a smaller batch.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from threading import Lock
from typing import Protocol

from threadpoolctl import threadpool_limits

from nice_np.flows.flow import Flow
from nice_np.flows.model import Model
from nice_np.training.fused.couplings import Fused, fused
from nice_np.validation import Array

log = logging.getLogger(__name__)

BLOCK = 30_000  # numbers that are added at a time, few enough to stay in a core's cache from one shard to the next


class Gradient(Protocol):
    """What training asks of a batch; a `Flow` is the simplest answer."""

    def nll_and_grad(self, x: Array, context: Array | None = None) -> tuple[float, Array]:
        """Mean negative log-likelihood of x (N, D), given the context (N, C), and its gradient (P,).

        Of a VAE it is minus the bound, and the noise of each row comes in the context's place.
        """


def shards(n_rows: int, n: int) -> list[slice]:
    """Cut rows into `n` pieces that differ by one row at most; into fewer where there are fewer rows than pieces.

    Examples
    --------
    >>> shards(7, 2), shards(2, 3)
    ([slice(0, 3, None), slice(3, 7, None)], [slice(0, 1, None), slice(1, 2, None)])
    """
    n = min(n, n_rows)
    return [slice(n_rows * i // n, n_rows * (i + 1) // n) for i in range(n)]


def cut(rows: slice, x: Array, context: Array | None) -> tuple[Array, Array | None, float]:
    """One shard of a batch: its x, its context, and its share n_i / N of the rows."""
    part = x[rows]
    return part, None if context is None else context[rows], len(part) / len(x)


class Rebuilt:
    """A flow's gradient with ``recompute=True``: in memory that does not grow with the number of layers."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow

    def nll_and_grad(self, x: Array, context: Array | None = None) -> tuple[float, Array]:
        """See `Flow.nll_and_grad`."""
        return self.flow.nll_and_grad(x, context, recompute=True)


class Loss:
    """The gradient of any other model, such as a VAE."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def nll_and_grad(self, x: Array, context: Array | None = None) -> tuple[float, Array]:
        """See `Model.loss_and_grad`."""
        return self.model.loss_and_grad(x, context)


def by_one_thread(model: Model, batch_size: int, recompute: bool) -> Gradient:
    """The model's gradient; a flow's in the way fastest for such batches, or with `recompute` in least memory."""
    if not isinstance(model, Flow):
        return Loss(model)
    return Rebuilt(model) if recompute else fused(model, batch_size)


class Threads:
    """A model's gradient by threads, one for each shard of the batch.

    Each shard has a replica of the model, with the same parameters and gradients of its own, and goes through the
    ordinary forward and backward pass.  NumPy lets go of Python's lock while it computes, so the passes overlap.  The
    gradients are added in the order of the shards, whoever was first: the sum is the same to the bit in every run.

    Parameters
    ----------
    model : Model
    n : int
    batch_size : int
    recompute : bool
    pool : ThreadPoolExecutor
        Of `n` threads.
    """

    def __init__(self, model: Model, n: int, batch_size: int, recompute: bool, pool: ThreadPoolExecutor) -> None:
        self.pool = pool
        self.replicas = [model, *(model.replica() for _ in range(n - 1))]
        self.sources = [by_one_thread(replica, batch_size // n, recompute) for replica in self.replicas]

    def nll_and_grad(self, x: Array, context: Array | None = None) -> tuple[float, Array]:
        """As by one thread, to rounding; the gradient is ``model.params.grads``, too."""
        parts = [cut(rows, x, context) for rows in shards(len(x), len(self.sources))]
        tasks = [
            self.pool.submit(source.nll_and_grad, part, given)
            for source, (part, given, _) in zip(self.sources, parts, strict=False)
        ]
        wait(tasks)
        if any(task.exception() for task in tasks):
            return self.sources[0].nll_and_grad(x, context)  # fails, too, and names the row of the batch
        shares = [share for _, _, share in parts]
        nll = sum(share * task.result()[0] for task, share in zip(tasks, shares, strict=True))
        return nll, self._sum(shares)

    def _sum(self, shares: list[float]) -> Array:
        """The sum of the replicas' gradients, each times its share: in the first one's vector, which is the model's."""
        total, *others = (replica.params.grads for replica in self.replicas)

        def add(piece: slice) -> None:
            for start in range(piece.start, piece.stop, BLOCK):
                block = slice(start, min(start + BLOCK, piece.stop))
                total[block] *= shares[0]
                for share, grads in zip(shares[1:], others, strict=False):
                    total[block] += share * grads[block]

        list(self.pool.map(add, shards(len(total), len(self.replicas))))  # list: wait for all of them
        return total


class OneBlasThread:
    """While anybody is inside, BLAS uses one thread; the last one out restores what the first one found.

    The number is the whole process's: of two trainings in two threads, the first to end must not restore it for the
    other, and the other not restore the 1 that it found.
    """

    def __init__(self) -> None:
        self.lock, self.inside = Lock(), 0

    def __enter__(self) -> None:
        with self.lock:
            if self.inside == 0:
                self.limits = threadpool_limits(1, user_api="blas")
            self.inside += 1

    def __exit__(self, *error: object) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                self.limits.restore_original_limits()


ONE_BLAS_THREAD = OneBlasThread()


@contextmanager
def in_threads(model: Model, n: int, batch_size: int, recompute: bool = False) -> Iterator[Gradient]:
    """The model's gradient by `n` threads, for as long as the block lasts; see `by_one_thread`.

    With several threads BLAS uses one everywhere in the process: it would otherwise start as many as there are cores
    for each of ours.  So it does where small couplings are fused, whose products are too short to be shared.
    """
    with ThreadPoolExecutor(n) as pool:
        source: Gradient = by_one_thread(model, batch_size, recompute)
        if n > 1:
            source = Threads(model, n, batch_size, recompute, pool)
        one_blas_thread = isinstance(source, (Threads, Fused))
        log.info("gradients by %d thread(s)%s", n, ", each with one of BLAS" if one_blas_thread else "")
        with ONE_BLAS_THREAD if one_blas_thread else nullcontext():
            yield source
