"""A context (a label, say) behind the features that passes through a layer unchanged: (x, c) -> (f(x), c).

A map that leaves c unchanged is a map of x for every value of c.  Its Jacobian is block triangular with the identity
in the block of c, so log|det| is that of x alone, and the flow gives the density of x given c: log p(x | c).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from nice_np.bijectors.base import Bijector
from nice_np.bijectors.on_part import OnPart
from nice_np.bijectors.partition import Partition
from nice_np.errors import NiceTypeError
from nice_np.validation import as_int


class WithContext(OnPart):
    """Apply a bijector to all features but the last `context_dim`, which pass unchanged.

    For layers that know nothing of a context; a coupling layer takes one through its partition.

    Parameters
    ----------
    bijector : Bijector
        Of the D features in front.
    context_dim : int
        C; the layer's own dim is D + C.

    Examples
    --------
    >>> from nice_np import DiagonalScaling
    >>> WithContext(DiagonalScaling(2, log_scale=1.0), 1).forward(np.array([[1.0, 2.0, 5.0]]))[0].round(3)
    array([[2.718, 5.437, 5.   ]])
    """

    def __init__(self, bijector: Bijector, context_dim: int) -> None:
        if not isinstance(bijector, Bijector):
            raise NiceTypeError(f"WithContext: expected a Bijector, got {bijector!r}")
        self.context_dim = as_int(context_dim, "WithContext", "context_dim", 1)
        super().__init__(bijector, Partition(bijector.dim + self.context_dim, np.arange(bijector.dim)))

    def config(self) -> dict[str, Any]:
        return {"bijector": self.bijector, "context_dim": self.context_dim}

    @classmethod
    def from_config(cls, bijector: Any, context_dim: int) -> WithContext:  # type: ignore[override]
        """Rebuild a layer from what `config` returned."""
        return cls(bijector, context_dim)

    def __repr__(self) -> str:
        return f"WithContext({self.bijector!r}, {self.context_dim})"


def without_context(layers: Iterable[Bijector]) -> list[Bijector]:
    """The layers, each without a WithContext around it."""
    return [layer.bijector if isinstance(layer, WithContext) else layer for layer in layers]
