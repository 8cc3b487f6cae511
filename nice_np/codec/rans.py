"""An entropy coder: symbols of known probability to bits and back (rANS; Duda 2013).

A symbol with the interval [c, c + f) of 0 .. M - 1, M = 2^24, has the probability f / M.  The code is one whole number:

    push:   x' = (x // f) M + c + x % f
    pop:    c <= x' % M < c + f tells the symbol,  x = f (x' // M) + x' % M - c

x' is about x M / f: the number grows by log2(M / f) bits, what the symbol is worth.  pop undoes push exactly, the last
symbol first.  So that x fits a machine word, it is kept in [2^31, 2^63): where push would lead out, the low 32 bits of
x move to a stack of words beforehand, and pop fetches a word where it finds x below 2^31.  L = 2^31 is a multiple of
M, so push from [L f / M, 2^32 L f / M) leads into [L, 2^32 L), and pop fetches exactly where push has moved.

Many such numbers, the lanes, are pushed at once, each with a symbol of its own; they share the stack.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from nice_np.errors import NiceValueError

Whole = npt.NDArray[np.int64]

PRECISION = 24
TOTAL = 1 << PRECISION  # M
LOW, WORD = 31, 32  # x >= 2^31; bits of a word
PER_LANE = 1 << 13  # symbols: a lane costs a few bytes, a hundred at once save most of the time of NumPy's calls


def lanes_for(symbols: int) -> int:
    """The number of lanes for so many symbols."""
    return 1 + symbols // PER_LANE


class Encoder:
    """Push symbols, then `finish`."""

    def __init__(self, lanes: int) -> None:
        self.x: Whole = np.full(lanes, 1 << LOW, np.int64)
        self.words: list[Whole] = []

    def push(self, start: Whole, width: Whole) -> None:
        """Symbols (n,) with the intervals [start, start + width); `Decoder.pop` gives them back in this order."""
        lanes = len(self.x)
        for row in range((len(start) - 1) // lanes * lanes, -1, -lanes):  # the last symbols first
            c, f = start[row : row + lanes], width[row : row + lanes]
            x = self.x[: len(c)]  # a view
            full = x >> (LOW + WORD - PRECISION) >= f  # x >= 2^39 f: x' would reach 2^63
            self.words.append(x[full] & ((1 << WORD) - 1))
            x[full] >>= WORD
            x[...] = (x // f << PRECISION) + c + x % f

    def finish(self) -> bytes:
        """The code: the lanes, then the stack."""
        words = np.concatenate(self.words) if self.words else np.zeros(0, np.int64)
        return self.x.astype("<i8").tobytes() + words.astype("<u4").tobytes()


class Decoder:
    """Pop what an `Encoder` of as many lanes has pushed, the last first; NiceValueError for other bytes."""

    def __init__(self, code: bytes, lanes: int) -> None:
        if len(code) < 8 * lanes or len(code) % 4:
            raise NiceValueError(f"the code has {len(code)} bytes, expected {8 * lanes} and a multiple of 4")
        self.x: Whole = np.frombuffer(code, "<i8", lanes).astype(np.int64)
        self.words: Whole = np.frombuffer(code, "<u4", offset=8 * lanes).astype(np.int64)
        self.left = len(self.words)
        if self.x.min() < 1 << LOW:
            raise NiceValueError("a lane of the code is below 2^31")

    def pop(self, n: int, find: Callable[[Whole, slice], tuple[Whole, Whole, Whole]]) -> Whole:
        """n symbols, (n,).

        Parameters
        ----------
        n : int
        find : callable
            From points (m,) of 0 .. M - 1, one for each of the symbols in a slice, to those symbols and the start and
            width of their intervals, (m,) each.
        """
        symbols = np.empty(n, np.int64)
        for row in range(0, n, len(self.x)):
            where = slice(row, min(row + len(self.x), n))
            x = self.x[: where.stop - row]
            point = x & (TOTAL - 1)
            symbols[where], c, f = find(point, where)
            x[...] = f * (x >> PRECISION) + point - c
            self._fetch(x)
        return symbols

    def _fetch(self, x: Whole) -> None:
        empty = x < 1 << LOW
        count = int(empty.sum())
        if count > self.left:
            raise NiceValueError("the code ends too early")
        x[empty] = (x[empty] << WORD) | self.words[self.left - count : self.left]
        self.left -= count

    def finish(self) -> None:
        """NiceValueError unless all lanes are back where an encoder starts, and no word is left."""
        if self.left or (self.x != 1 << LOW).any():
            raise NiceValueError("the code goes on after its last symbol")
