"""The contract of a bijector: an invertible map f from data x to latent z, its log-determinant and its gradients.

"Forward" is data -> latent, as in the NICE paper; "backward" is a word for gradients only.  dA is dL/dA for some
scalar L, and has A's shape.  Every pass returns a cache, and the matching gradient takes it: a bijector keeps nothing
between calls but its parameters and their gradients, so a second batch, or a second thread, cannot spoil the first.
"""

from __future__ import annotations

from abc import abstractmethod
from math import inf
from typing import Any, ClassVar

from nice_np.errors import NiceTypeError
from nice_np.parameters import Module, run_backward
from nice_np.validation import Array


class Bijector(Module):
    """An invertible map of R^dim.

    Attributes
    ----------
    dim : int
        D, the number of features.
    interval : (float, float)
        Every feature of x must lie strictly between these two numbers; by default anywhere.
    exact : bool
        Whether inverse and log_det are right to rounding.  False for a numerical solution, which has an error of its
        own: the checks do not hold it against the gradients, and take tolerances for the rest.
    """

    dim: int
    interval: tuple[float, float] = (-inf, inf)
    exact: ClassVar[bool] = True

    @abstractmethod
    def forward(self, x: Array) -> tuple[Array, Array, Any]:
        """z = f(x).

        Parameters
        ----------
        x : ndarray, shape (N, D)

        Returns
        -------
        z : ndarray, shape (N, D)
        log_det : ndarray, shape (N,)
            log |det df/dx| of each row, in nats.
        cache
            What `backward` needs.
        """

    @abstractmethod
    def inverse(self, z: Array) -> tuple[Array, Array, Any]:
        """x = f^-1(z), with the log-determinant of the inverse map itself: minus that of forward at x."""

    @abstractmethod
    def backward(self, dz: Array, dlog_det: Array, cache: Any) -> Array:
        """The gradient through forward: returns dL/dx and writes dL/d(parameter).

        A layer with parameters may take ``parameters=False`` for dL/dx alone, in less time, leaving the gradients of
        its parameters as they are; a layer of your own need not, see `nice_np.parameters.run_backward`.

        Parameters
        ----------
        dz : ndarray, shape (N, D)
            dL/dz.
        dlog_det : ndarray, shape (N,)
            dL/dlog_det.
        cache
            From `forward`.

        Returns
        -------
        dx : ndarray, shape (N, D)
            dL/dx.
        """

    @abstractmethod
    def inverse_backward(self, dx: Array, dlog_det: Array, cache: Any) -> Array:
        """The gradient through inverse: dL/dx (N, D) and dL/dlog_det (N,) in, dL/dz (N, D) out."""

    def rebuild(self, z: Array) -> tuple[Array, Any]:
        """The x that gave z, and the cache of `forward` at it: what `backward` needs where nothing was kept."""
        x = self.inverse(z)[0]
        return x, self.forward(x)[2]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(dim={self.dim})"


class Inverse(Bijector):
    """The inverse of a bijector as a bijector: the two pairs of passes swap.

    Parameters
    ----------
    bijector : Bijector

    Examples
    --------
    >>> from nice_np import DiagonalScaling
    >>> Inverse(DiagonalScaling(2))
    Inverse(DiagonalScaling(dim=2))
    """

    def __init__(self, bijector: Bijector) -> None:
        if not isinstance(bijector, Bijector):
            raise NiceTypeError(f"Inverse: expected a Bijector, got {bijector!r}")
        self.bijector = bijector
        self.dim = bijector.dim

    def forward(self, x: Array) -> tuple[Array, Array, Any]:
        return self.bijector.inverse(x)

    def inverse(self, z: Array) -> tuple[Array, Array, Any]:
        return self.bijector.forward(z)

    def backward(self, dz: Array, dlog_det: Array, cache: Any, parameters: bool = True) -> Array:
        return run_backward(self.bijector.inverse_backward, dz, dlog_det, cache, parameters=parameters)

    def inverse_backward(self, dx: Array, dlog_det: Array, cache: Any, parameters: bool = True) -> Array:
        return run_backward(self.bijector.backward, dx, dlog_det, cache, parameters=parameters)

    def config(self) -> dict[str, Any]:
        return {"bijector": self.bijector}

    def __repr__(self) -> str:
        return f"Inverse({self.bijector!r})"
