"""Optimisers over one flat vector, and clipping by the global norm.

An optimiser holds no parameters and no learning rate: ``step(values, grads, learning_rate)`` changes `values` in place.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from math import isfinite
from typing import Any, ClassVar

import numpy as np

from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.kernels import AdamScalars, Kernel, adam_loop, in_halves
from nice_np.suggestions import suggests
from nice_np.training.schedules import Constant, Cosine, ExponentialDecay, InverseTime, Schedule  # noqa: F401 (kept importable)
from nice_np.validation import FLOATS, Array, as_choice, as_float, as_int


class Optimizer(ABC):
    """Base of the optimisers.

    Attributes
    ----------
    steps : int
        Steps taken so far.
    """

    vectors: tuple[str, ...] = ()  # names of the attributes, each (P,), that a checkpoint must keep
    warmup: ClassVar[int] = 0  # steps in which `fit` raises a learning rate that is given as a number

    def __init__(self) -> None:
        self.steps = 0

    def step(self, values: Array, grads: Array, learning_rate: float) -> None:
        """One step: changes `values` (P,) in place, given dL/dvalues in `grads` (P,).

        Raises
        ------
        NiceTypeError, NiceValueError
            If they are not two vectors of the same shape and dtype, float32 or float64, or do not fit the model that
            this optimiser was used for so far.
        """
        self._check(values, grads)
        learning_rate = as_float(learning_rate, type(self).__name__, "learning_rate", minimum=0)
        if self.steps == 0:
            for name in self.vectors:
                setattr(self, name, np.zeros_like(values))
        self.steps += 1
        # With an absurd rate or gradient the weights, or `state`, become infinite.
        with np.errstate(over="ignore", invalid="ignore"):
            self._update(values, grads, learning_rate)

    def _check(self, values: Array, grads: Array) -> None:
        # Compiled loops trust shapes and dtypes: with wrong ones they write outside the arrays.
        who = type(self).__name__
        for name, vector in (("values", values), ("grads", grads)):
            if not (isinstance(vector, np.ndarray) and vector.dtype in FLOATS and vector.dtype == values.dtype):
                kind = getattr(vector, "dtype", type(vector).__name__)
                raise NiceTypeError(f"{who}: {name} must be a float32 or float64 array, both the same; got {kind}")
        if values.shape != grads.shape or values.ndim != 1:
            raise NiceValueError(f"{who}: values {values.shape} and grads {grads.shape} must have one shape (P,)")
        if not values.flags.writeable:
            raise NiceValueError(f"{who}: values is read-only")
        for name in self.vectors if self.steps else ():
            mine = getattr(self, name)
            if mine.shape != values.shape or mine.dtype != values.dtype:
                raise NiceValueError(
                    f"{who}: was used for {len(mine)} x {mine.dtype} so far, got {len(values)} x {values.dtype}; "
                    "make a new optimiser for each model"
                )

    @abstractmethod
    def _update(self, values: Array, grads: Array, learning_rate: float) -> None: ...

    def start_epoch(self, epoch: int) -> None:  # noqa: B027 (most optimisers ignore epochs)
        """`fit` calls this when epoch number `epoch` (from 1) begins."""

    def state(self) -> dict[str, Array]:
        """The vectors that a resumed run needs besides `steps`, by name."""
        return {name: getattr(self, name) for name in self.vectors} if self.steps else {}

    def restore(self, steps: int, state: dict[str, Array]) -> None:
        """Continue from earlier values of `steps` and ``state()``.

        Raises
        ------
        NiceTypeError, NiceValueError
            If `steps` is not a whole number >= 0, or `state` not what ``state()`` returns after so many steps.
        """
        who = type(self).__name__
        steps = as_int(steps, who, "steps", 0)
        if not isinstance(state, Mapping):
            raise NiceTypeError(f"{who}: state must be what state() returned, vectors by name, got {state!r}")
        expected = self.vectors if steps else ()
        if set(state) != set(expected):
            names = [", ".join(sorted(some)) or "none" for some in (expected, state)]
            raise NiceValueError(f"{who}: after {steps} steps expected vectors {names[0]}, got {names[1]}")
        are_vectors = all(isinstance(v, np.ndarray) and v.ndim == 1 and v.dtype in FLOATS for v in state.values())
        if not are_vectors or len({(v.shape, v.dtype) for v in state.values()}) > 1:
            given = " and ".join(sorted(state))
            raise NiceValueError(f"{who}: {given} must be vectors of one shape and dtype, float32 or float64")
        self.steps = steps
        for name, vector in state.items():
            setattr(self, name, vector.copy())

    def settings(self) -> dict[str, Any]:
        """The hyperparameters, by name."""
        hidden = ("steps", *self.vectors)
        return {name: value for name, value in vars(self).items() if name not in hidden and not name.startswith("_")}

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self.settings().items())
        return f"{type(self).__name__}({settings})"


def adam_update(values: Array, grads: Array, m: Array, v: Array, s: AdamScalars) -> None:
    """The formulas of `adam_step` in NumPy; `kernels.adam_loop` is the same as one compiled loop."""
    m *= s.beta1
    m += s.rest1 * grads  # rest = 1 - beta
    v *= s.beta2
    v += s.rest2 * grads * grads
    # The moments of a dead unit decay into denormal numbers, with which a processor is thirty times slower.
    m[np.abs(m) < s.tiny] = 0
    v[v < s.tiny] = 0
    # Bias correction: m and v start at 0, so after t steps the weights of their averages add up to bias = 1 - beta^t.
    m_hat, v_hat = m / s.bias1, v / s.bias2
    values *= s.keep  # decoupled weight decay
    values -= s.rate * m_hat / (np.sqrt(v_hat) + s.eps)


adam_kernel = Kernel(adam_loop, adam_update)


def adam_step(
    values: Array, grads: Array, m: Array, v: Array, *, step: int, learning_rate: float,
    beta1: float, beta2: float, eps: float, weight_decay: float, kernel: Kernel = adam_kernel,
) -> None:  # fmt: skip
    """Adam's step number `step` (from 1) over flat vectors of shape (P,), in place.

    m <- beta1 m + (1 - beta1) g
    v <- beta2 v + (1 - beta2) g^2
    values <- (1 - lr wd) values - lr m_hat / (sqrt(v_hat) + eps)
    with m_hat = m / (1 - beta1^t),  v_hat = v / (1 - beta2^t)      (Kingma & Ba 2015, algorithm 1)
    """
    scalars = {
        "beta1": beta1,
        "beta2": beta2,
        "rest1": 1 - beta1,
        "rest2": 1 - beta2,
        "bias1": 1 - beta1**step,  # bias correction
        "bias2": 1 - beta2**step,
        "rate": learning_rate,
        "eps": eps,
        "keep": 1 - learning_rate * weight_decay,
        "tiny": np.finfo(values.dtype).tiny,
    }
    # In the vectors' own dtype: a float64 scalar would make the compiled loop compute in float64.
    typed = AdamScalars(**{name: values.dtype.type(scalar) for name, scalar in scalars.items()})
    in_halves(kernel, (values, grads, m, v), [typed])


class Adam(Optimizer):
    """Adam with bias correction and decoupled weight decay (Kingma & Ba 2015; Loshchilov & Hutter 2019).

    Parameters
    ----------
    beta1, beta2 : float
        Decay rates of the averages of the gradient and of its square.  The NICE paper's "beta2 = 0.01" follows an
        older convention and means 1 - beta2.
    eps : float
    weight_decay : float
        Each step also multiplies every parameter by 1 - learning_rate * weight_decay: weights, biases, and the
        log-scales of a `DiagonalScaling`, which are pulled towards 0, that is, towards a scale of 1.  The NICE paper
        mentions no weight decay.

    Notes
    -----
    In float32 the square of a gradient above 1e19 is infinite, and that parameter never moves again: `fit` raises a
    DivergenceError.  Its `clip_norm` prevents this.

    Examples
    --------
    >>> values = np.array([1.0])
    >>> Adam().step(values, np.array([20.0]), learning_rate=0.1)
    >>> values.round(6)  # the first step has the size of the learning rate, for any size of the gradient
    array([0.9])
    """

    vectors = ("m", "v")
    # The first steps move every weight by the rate, however small its gradient.  In a deep or wide flow all at once is
    # too much: 16 affine couplings diverge in their first step.
    warmup = 30
    m: Array
    v: Array

    # Keywords only, here and below: Adam(3e-3) looks like a learning rate, which is an argument of `fit` and `step`.
    @suggests
    def __init__(
        self, *, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.0
    ) -> None:
        super().__init__()
        self.beta1 = as_float(beta1, "Adam", "beta1", minimum=0, below=1)
        self.beta2 = as_float(beta2, "Adam", "beta2", minimum=0, below=1)
        self.eps = as_float(eps, "Adam", "eps", above=0)
        self.weight_decay = as_float(weight_decay, "Adam", "weight_decay", minimum=0)

    def _update(self, values: Array, grads: Array, learning_rate: float) -> None:
        adam_step(
            values, grads, self.m, self.v, step=self.steps, learning_rate=learning_rate,
            beta1=self.beta1, beta2=self.beta2, eps=self.eps, weight_decay=self.weight_decay,
        )  # fmt: skip


class RMSPropMomentum(Optimizer):
    """The learning rule of the NICE paper's own code: RMSProp with a floor, and momentum from the sixth epoch on.

    v <- decay v + (1 - decay) g^2      (starts at 0, no bias correction)
    m <- mu m - lr g / max(sqrt(v), floor)
    values <- values + m

    Parameters
    ----------
    decay : float
    floor : float
        Minimum of the root, instead of a number added to it.
    momentum : float
        mu from epoch `momentum_from` on; before that mu is 0.
    momentum_from : int
    """

    vectors = ("m", "v")
    warmup = 30  # as for Adam
    m: Array
    v: Array

    @suggests
    def __init__(
        self, *, decay: float = 0.95, floor: float = 1e-2, momentum: float = 0.5, momentum_from: int = 6
    ) -> None:
        super().__init__()
        self.decay = as_float(decay, "RMSPropMomentum", "decay", minimum=0, below=1)
        self.floor = as_float(floor, "RMSPropMomentum", "floor", above=0)
        self.momentum = as_float(momentum, "RMSPropMomentum", "momentum", minimum=0, below=1)
        self.momentum_from = as_int(momentum_from, "RMSPropMomentum", "momentum_from", 1)
        self._epoch = 1

    def start_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def _update(self, values: Array, grads: Array, learning_rate: float) -> None:
        mu = self.momentum if self._epoch >= self.momentum_from else 0.0
        self.v *= self.decay
        self.v += (1 - self.decay) * grads * grads
        self.m *= mu
        self.m -= learning_rate * grads / np.maximum(np.sqrt(self.v), self.floor)
        values += self.m


class SGD(Optimizer):
    """Gradient descent with momentum: m <- mu m - lr g,  values <- values + m.

    Parameters
    ----------
    momentum : float
        mu, in [0, 1); 0 is plain gradient descent.
    """

    vectors = ("m",)
    m: Array

    @suggests
    def __init__(self, *, momentum: float = 0.0) -> None:
        super().__init__()
        self.momentum = as_float(momentum, "SGD", "momentum", minimum=0, below=1)

    def _update(self, values: Array, grads: Array, learning_rate: float) -> None:
        self.m *= self.momentum
        self.m -= learning_rate * grads
        values += self.m


OPTIMIZERS: dict[str, type[Optimizer]] = {"adam": Adam, "rmsprop-momentum": RMSPropMomentum, "sgd": SGD}


def get_optimizer(optimizer: str | Optimizer) -> Optimizer:
    """The given optimiser, or a new "adam", "rmsprop-momentum" or "sgd" with default settings."""
    if isinstance(optimizer, Optimizer):
        return optimizer
    return OPTIMIZERS[as_choice(optimizer, OPTIMIZERS, "optimizer", "optimizer", Optimizer)]()


def clip_by_norm(grads: Array, max_norm: float) -> float:
    """Scale `grads` (P,) in place to a Euclidean norm of at most `max_norm`; returns the norm before."""
    # In units of the largest element: the square of 1e20 alone would overflow in float32.
    peak = float(np.abs(grads).max(initial=0))
    if not isfinite(peak):
        return peak
    unit = grads / grads.dtype.type(peak or 1)
    norm = peak * float(np.sqrt(np.vdot(unit, unit)))
    if norm > max_norm:
        grads *= max_norm / norm
    return norm
