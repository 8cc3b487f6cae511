"""Additive coupling on a grid: integers to integers, losslessly (integer discrete flows).

    y_b = x_b + [t],  t = m(x_a) / 64,  [t] the multiple of `step` next to t      (Hoogeboom et al. 2019, section 3)

Where x is on the grid, y is, and x_b = y_b - [m(y_a)] gives the integers back, for any network m: a bijection of the
grid, which moves probabilities and stretches nothing, log|det| = 0.

**The gradient.**  [t] is a staircase: d[t]/dt = 0 wherever it exists, so the true gradient says that m is of no use.
The straight-through estimator (Bengio et al. 2013) goes backward as if [t] were t, d[t]/dt := 1.  That is the exact
gradient of the flow without rounding, at the values with rounding; as |[t] - t| <= step / 2, it is biased by what that
gradient changes over half a grey level.  A prior's own parameters, which no [t] depends on, get their exact gradient.
The checks switch the rounding off.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nice_np.bijectors.coupling import Conditioner, Coupling
from nice_np.bijectors.law import Law
from nice_np.bijectors.partition import Partition
from nice_np.errors import NiceValueError
from nice_np.pixels.dequantize import BIN_WIDTH
from nice_np.validation import Array, as_float

SHIFT = 1 / 64  # in x, of an output of one: a step of Adam moves an output by a tenth or so, here half a grey level


def as_step(step: float, owner: str) -> float:
    """A power of two, with which all arithmetic on the grid is exact; NiceValueError for another number."""
    step = as_float(step, owner, "step", above=0, below=2)
    if np.frexp(step)[0] != 0.5:
        raise NiceValueError(f"{owner}: step must be a power of two such as 1/256, got {step:g}")
    return step


class RoundedAdditiveLaw(Law):
    """y_b = x_b + [t],  t = theta / 64;  log|det| = 0;  backward as if [t] were t"""

    step: float

    def without_rounding(self) -> None:
        """Make it an additive law from now on: [t] -> t as step -> 0.  Its gradient is then exact."""
        self.step = 0.0

    def _rounded(self, theta: Array) -> Array:
        """[t]"""
        return SHIFT * theta if self.step == 0 else np.rint(theta * (SHIFT / self.step)) * self.step

    def _couple(self, x_b: Array, theta: Array) -> tuple[Array, Array, None]:
        return x_b + self._rounded(theta), np.zeros(len(x_b), x_b.dtype), None

    def _couple_backward(self, dy_b: Array, dlog_det: Array, cache: None) -> tuple[Array, Array]:
        return dy_b, SHIFT * dy_b  # dy_b/dx_b = 1,  d[t]/dt := 1,  dt/dtheta = SHIFT

    def _uncouple(self, y_b: Array, theta: Array) -> tuple[Array, Array, None]:
        return y_b - self._rounded(theta), np.zeros(len(y_b), y_b.dtype), None

    def _uncouple_backward(self, dx_b: Array, dlog_det: Array, cache: None) -> tuple[Array, Array]:
        return dx_b, -SHIFT * dx_b


class RoundedAdditiveCoupling(RoundedAdditiveLaw, Coupling):
    """y_b = x_b + [t],  t = conditioner(x_a) / 64;  log|det J| = 0      (Hoogeboom et al. 2019, section 3)

    Parameters
    ----------
    partition, conditioner
        As for every `Coupling`.
    step : float
        Of the grid, a power of two: 1/256 for pixels k / 256.

    Examples
    --------
    >>> from nice_np import MLP
    >>> layer = RoundedAdditiveCoupling(Partition.odd_even(2), MLP((1, 8, 1), rng=0))
    >>> z = layer.forward(np.array([[7 / 256, 3 / 256]]))[0]
    >>> z * 256, layer.inverse(z)[0] * 256
    (array([[7., 3.]]), array([[7., 3.]]))
    """

    def __init__(self, partition: Partition, conditioner: Conditioner, step: float = BIN_WIDTH) -> None:
        super().__init__(partition, conditioner)
        self.step = as_step(step, type(self).__name__)

    def config(self) -> dict[str, Any]:
        return {**super().config(), "step": self.step}
