"""One training by several processes, on one machine or many, through MPI.

Every process, called a rank, has the whole data set and runs the whole loop: the same shuffling, the same noise, the
same optimiser on the same gradient, so the weights stay equal bit for bit without being sent.  Only the work for the
gradient is divided.  Everything that could differ between ranks is decided once for all: rank 0's clock counts, and a
signal or an error on one rank stops all of them.  No rank may leave the loop alone; the others would wait forever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import isnan, nan
from typing import Any, TypeVar

import numpy as np

from nice_np.errors import NiceError, NiceTypeError, NiceValueError
from nice_np.training.parallel import Gradient, cut, shards
from nice_np.validation import Array

T = TypeVar("T")


class OneProcess:
    """The communicator of a process on its own; those of mpi4py have the same methods for several."""

    rank, size = 0, 1

    def bcast(self, obj: T) -> T:
        """Rank 0's object, on every rank."""
        return obj

    def allgather(self, sendobj: T) -> list[T]:
        """The objects of all ranks in order, on every rank."""
        return [sendobj]

    def Allreduce(self, sendbuf: Array, recvbuf: Array) -> None:
        """The sum over all ranks, written into `recvbuf` on every rank."""
        recvbuf[...] = sendbuf


class Team:
    """The processes of a run, as the loop sees them.  All ranks must call the same methods in the same order.

    Parameters
    ----------
    comm : communicator
        See `OneProcess`.

    Attributes
    ----------
    alone : bool
        Whether there is one process only.
    first : bool
        Whether this is rank 0, which shows progress, validates, calls back and writes files.
    """

    def __init__(self, comm: OneProcess) -> None:
        self.comm = comm
        self.alone, self.first = comm.size == 1, comm.rank == 0

    @contextmanager
    def together(self) -> Iterator[None]:
        """A block that raises on every rank if it fails on any of them."""
        failure: Exception | None = None
        try:
            yield
        except Exception as error:
            failure = error
        failures = self.comm.allgather(None if failure is None else _to_send(failure))
        if failure is not None:
            raise failure
        for rank, sent in enumerate(failures):
            if sent is not None:
                kind, message = sent
                raise kind(f"rank {rank}: {message}")

    def share(self, value: T) -> T:
        """Rank 0's value."""
        return self.comm.bcast(value)

    def from_first(self, work: Callable[[], T]) -> T:
        """What `work` returns, or raises, on rank 0; the other ranks do not call it."""
        result: Any = None
        with self.together():
            if self.first:
                result = work()
        return self.share(result)  # type: ignore[no-any-return]

    def largest(self, number: int) -> int:
        """The largest of all ranks' numbers."""
        return max(self.comm.allgather(number))

    def compare(self, facts: Callable[[], dict[str, Any]]) -> None:
        """Raise NiceValueError on every rank unless the facts agree on all of them."""
        if self.alone:
            return
        with self.together():
            mine = facts()
        first, *others = self.comm.allgather(mine)
        for rank, other in enumerate(others, start=1):
            for name, value in other.items():
                if value != first[name]:
                    raise NiceValueError(
                        f"fit: {name} is {first[name]} on rank 0 and {value} on rank {rank}; "
                        "give every rank the same model, data and settings"
                    )

    def gradient(self, source: Gradient, grads: Array) -> Gradient:
        """The gradient of whole batches, from the gradient of parts: `source`, which writes into `grads` (P,)."""
        return source if self.alone else AllReduced(self, source, grads)


class AllReduced:
    """The gradient of a batch by all ranks, one shard of its rows for each; the arguments are those of `Team.gradient`.

    Called, it gives the loss and gradient of the whole batch, the same bits on every rank.  The gradient is one
    message.  Before it goes a small one with the losses: in float64 also where the gradient is float32, and with NaN
    for a shard that failed, since its rank must not be missing from the sum.
    """

    def __init__(self, team: Team, source: Gradient, grads: Array) -> None:
        self.team, self.source, self.grads = team, source, grads
        self.part = np.empty_like(grads)  # (P,), this rank's summand of the gradient

    def __call__(self, x: Array, extra: Array | None) -> tuple[float, Array]:
        try:
            part = self._part(x, extra)
        except Exception:  # any error: the whole batch, below, raises it again
            part = nan
        loss = sum(self.team.comm.allgather(part))
        if isnan(loss):
            with self.team.together():
                return self.source(x, extra)  # fails, too, and names the row of the batch
        self.team.comm.Allreduce(self.part, self.grads)
        return loss, self.grads

    def _part(self, x: Array, extra: Array | None) -> float:
        """This rank's summand of the loss; that of the gradient is written into ``self.part``."""
        rank, parts = self.team.comm.rank, shards(len(x), self.team.comm.size)
        if rank >= len(parts):  # a batch of fewer rows than ranks
            self.part.fill(0)
            return 0.0
        x, extra, share = cut(parts[rank], x, extra)
        loss, grads = self.source(x, extra)
        np.multiply(share, grads, out=self.part)
        return share * loss


def as_team(comm: Any) -> Team:
    """The processes of a communicator; None, or a communicator of size 1, is a process on its own.

    Raises
    ------
    NiceTypeError
        If `comm` is not a communicator.
    """
    needed = ("rank", "size", "bcast", "allgather", "Allreduce")
    missing = [name for name in needed if comm is not None and not hasattr(comm, name)]
    if missing:
        raise NiceTypeError(
            f"fit: comm must be a communicator such as mpi4py.MPI.COMM_WORLD, with {', '.join(needed)}; "
            f"got {comm!r}, which has no {missing[0]}"
        )
    return Team(OneProcess() if comm is None or comm.size == 1 else comm)


def _to_send(error: Exception) -> tuple[type[NiceError], str]:
    """The error's nearest class in nice_np and its text: not every exception can be pickled."""
    for kind in type(error).__mro__:
        if issubclass(kind, NiceError) and kind.__module__ == NiceError.__module__:
            return kind, str(error)
    return NiceError, f"{type(error).__name__}: {error}"
