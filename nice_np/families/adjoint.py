"""The continuous adjoint: the gradient of a differential equation is the solution of another, backwards in time.

    a(t) = dL/dx(t):    da/dt = -(dv/dx)^T a - dL/dlog_det  d tr(dv/dx)/dx
    dL/dw = integral over t of (dv/dw)^T a + dL/dlog_det  d tr(dv/dx)/dw                 (Chen et al. 2018, section 2)

x(t) is solved backwards as well, from z, so nothing of the way there is kept, however many steps it took.  In return
the result is the gradient of the exact solution, up to O(h^4), and not that of the loss that was computed in steps.
`NeuralODE.backward` gives the latter, which is what an optimiser, or a check by differences, expects.
"""

from __future__ import annotations

import numpy as np

from nice_np.families.continuous import METHODS, NeuralODE
from nice_np.validation import Array


def continuous_adjoint(ode: NeuralODE, z: Array, dz: Array, dlog_det: Array) -> Array:
    """dL/dx (N, D) like `NeuralODE.backward`, but from z alone; writes the gradients of the network.

    Parameters
    ----------
    ode : NeuralODE
        With exact traces: the directions of an estimate would be those of x.
    z : ndarray, shape (N, D)
        From ``ode.forward``.
    dz, dlog_det : ndarray, shapes (N, D) and (N,)

    Returns
    -------
    dx : ndarray, shape (N, D)
    """
    grads = [grad for _, _, grad in ode.network.named_parameters()]
    sums = [np.zeros_like(grad) for grad in grads]
    h, x, a, V = -1 / ode.steps, z, dz, ode.directions(z)
    for k in range(ode.steps):
        v, a_rate = np.zeros_like(x), np.zeros_like(a)
        next_x, next_a = x, a
        for c, b in zip(*METHODS[ode.method], strict=True):
            v, _, cache = ode.velocity(x + h * c * v, 1 + (k + c) * h, V)
            a_rate = -ode.velocity_backward(a + h * c * a_rate, dlog_det, V, cache)  # da/dt
            next_x, next_a = next_x + h * b * v, next_a + h * b * a_rate
            for total, grad in zip(sums, grads, strict=True):
                total -= h * b * grad  # h < 0: from 1 to 0 the integral has the other sign
        x, a = next_x, next_a
    for total, grad in zip(sums, grads, strict=True):
        grad[...] = total
    return a
