"""One training by several processes, on one machine or many, through MPI: the gradient of a batch, and agreement.

Every process, called a rank, has the whole data set and runs the whole loop: the same shuffling, the same noise, the
same optimiser on the same gradient, so that the weights stay the same to the bit without ever being sent.  What is
divided is the gradient, and what could differ from rank to rank is settled in common: the clock is that of rank 0, a
signal or an error on one rank counts for all.  No rank may leave the loop alone: the others would wait for it forever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from math import isnan, nan
from typing import Any, Protocol, TypeVar

import numpy as np

from nice_np.errors import NiceError, NiceTypeError, NiceValueError
from nice_np.training.parallel import Gradient, cut, shards
from nice_np.validation import Array

T = TypeVar("T")


class Communicator(Protocol):
    """What is used of mpi4py's communicators: lower case sends any object, upper case the numbers of an array."""

    rank: int
    size: int

    def bcast(self, obj: Any) -> Any:
        """Rank 0's object, on every rank."""

    def allgather(self, sendobj: Any) -> list[Any]:
        """The objects of all ranks, in their order, on every rank."""

    def Allreduce(self, sendbuf: Any, recvbuf: Any) -> None:
        """Put the sum over all ranks into `recvbuf`, on every rank."""


class Team:
    """The processes of a run, as the loop sees them.  This is a process on its own, which agrees with itself.

    Attributes
    ----------
    first : bool
        Whether this is rank 0, which shows progress, validates, calls back and writes files.
    """

    first = True

    def together(self) -> AbstractContextManager[None]:
        """A block that all ranks enter, and leave by an error if it fails on any of them."""
        return nullcontext()

    def share(self, value: T) -> T:
        """Rank 0's value."""
        return value

    def from_first(self, work: Callable[[], T]) -> T:
        """What `work` returns, or raises, on rank 0; it is called nowhere else."""
        return work()

    def largest(self, number: int) -> int:
        """The largest of all ranks' numbers."""
        return number

    def compare(self, facts: Callable[[], dict[str, Any]]) -> None:
        """Raise NiceValueError, on every rank, unless they all give the same facts."""

    def gradient(self, source: Gradient, grads: Array) -> Gradient:
        """The gradient of whole batches from a `source` of gradients, which puts them into `grads` (P,)."""
        return source


class Ranks(Team):
    """Several processes; the methods are those of `Team`, and every rank must call the same ones in the same order.

    Parameters
    ----------
    comm : Communicator
    """

    def __init__(self, comm: Communicator) -> None:
        self.comm = comm
        self.first = comm.rank == 0

    @contextmanager
    def together(self) -> Iterator[None]:
        failure: Exception | None = None
        try:
            yield
        except Exception as error:
            failure = error
        verdicts = self.comm.allgather(None if failure is None else _told(failure))
        if failure is not None:
            raise failure
        for rank, verdict in enumerate(verdicts):
            if verdict is not None:
                kind, message = verdict
                raise kind(f"rank {rank}: {message}")

    def share(self, value: T) -> T:
        shared: T = self.comm.bcast(value)
        return shared

    def from_first(self, work: Callable[[], T]) -> T:
        result: Any = None
        with self.together():
            if self.first:
                result = work()
        shared: T = self.share(result)
        return shared

    def largest(self, number: int) -> int:
        largest: int = max(self.comm.allgather(number))
        return largest

    def compare(self, facts: Callable[[], dict[str, Any]]) -> None:
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
        return AllReduced(self, source, grads)


class AllReduced:
    """The gradient of a batch by all ranks, one shard of its rows for each.

    Parameters
    ----------
    ranks : Ranks
    source : Gradient
        Of this rank's shards.
    grads : ndarray, shape (P,)
        Where `source` puts its gradient, and this its own.
    """

    def __init__(self, ranks: Ranks, source: Gradient, grads: Array) -> None:
        self.ranks, self.source, self.grads = ranks, source, grads
        self.part = np.empty_like(grads)  # (P,), what this rank adds to the sum

    def __call__(self, x: Array, extra: Array | None) -> tuple[float, Array]:
        """As `Flow.nll_and_grad`, to rounding, and the same to the bit on all ranks.

        One message has the gradient.  A small one goes before it with the losses, as float64 also where the gradient
        is float32, and with NaN for a shard that failed: its rank must not stay away from the sum.
        """
        try:
            part = self._part(x, extra)
        except Exception:  # whatever it is: the whole batch shows it again
            part = nan
        nll = sum(self.ranks.comm.allgather(part))
        if isnan(nll):
            with self.ranks.together():
                return self.source(x, extra)  # fails, too, and names the row of the batch
        self.ranks.comm.Allreduce(self.part, self.grads)
        return nll, self.grads

    def _part(self, x: Array, extra: Array | None) -> float:
        """This rank's summand of the loss; that of the gradient is in ``self.part``."""
        rank, parts = self.ranks.comm.rank, shards(len(x), self.ranks.comm.size)
        if rank >= len(parts):  # a small batch has nothing for this rank
            self.part.fill(0)
            return 0.0
        x, extra, share = cut(parts[rank], x, extra)
        nll, grads = self.source(x, extra)
        np.multiply(share, grads, out=self.part)
        return share * nll


def as_team(comm: Any) -> Team:
    """The processes of a communicator; None, or a communicator of one, is a process on its own.

    Raises
    ------
    NiceTypeError
        If `comm` is no communicator.
    """
    if comm is None:
        return Team()
    needed = ("rank", "size", "bcast", "allgather", "Allreduce")
    missing = [name for name in needed if not hasattr(comm, name)]
    if missing:
        raise NiceTypeError(
            f"fit: comm must be a communicator such as mpi4py.MPI.COMM_WORLD, with {', '.join(needed)}; "
            f"got {comm!r}, which has no {missing[0]}"
        )
    return Team() if comm.size == 1 else Ranks(comm)


def _told(error: Exception) -> tuple[type[NiceError], str]:
    """An error as it can be sent, its nearest class of ours and a text: not every exception can be pickled."""
    for kind in type(error).__mro__:
        if issubclass(kind, NiceError) and kind.__module__ == NiceError.__module__:
            return kind, str(error)
    return NiceError, f"{type(error).__name__}: {error}"
