"""Optimisers over one flat vector, learning-rate schedules, and clipping by the global norm.

An optimiser holds no parameters and no learning rate: ``step(values, grads, learning_rate)`` changes `values` in place.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import cos, pi
from typing import Any

import numpy as np

from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.kernels import adam_step
from nice_np.validation import FLOATS, Array, as_choice, as_float, as_int


class Optimizer(ABC):
    """Base of the optimisers.

    Attributes
    ----------
    steps : int
        Steps taken so far.
    """

    vectors: tuple[str, ...] = ()  # names of the attributes, each (P,), that must survive a checkpoint

    def __init__(self) -> None:
        self.steps = 0

    def step(self, values: Array, grads: Array, learning_rate: float) -> None:
        """One step: changes `values` (P,) in place, given dL/dvalues in `grads` (P,).

        Raises
        ------
        NiceTypeError, NiceValueError
            If they are not two vectors of one shape and dtype, float32 or float64, or not of the model that this
            optimiser has served so far.
        """
        self._check(values, grads)
        learning_rate = as_float(learning_rate, type(self).__name__, "learning_rate", minimum=0)
        if self.steps == 0:
            for name in self.vectors:
                setattr(self, name, np.zeros_like(values))
        self.steps += 1
        # An absurd rate or gradient becomes inf, and the weights show it, or `state`.
        with np.errstate(over="ignore", invalid="ignore"):
            self._update(values, grads, learning_rate)

    def _check(self, values: Array, grads: Array) -> None:
        # The compiled loops trust shapes and dtypes: a wrong one would write outside the arrays.
        who = type(self).__name__
        for name, vector in (("values", values), ("grads", grads)):
            if not (isinstance(vector, np.ndarray) and vector.dtype in FLOATS and vector.dtype == values.dtype):
                kind = getattr(vector, "dtype", type(vector).__name__)
                raise NiceTypeError(f"{who}: {name} must be a float32 or float64 array, both the same; got {kind}")
        if values.shape != grads.shape or values.ndim != 1:
            raise NiceValueError(f"{who}: values {values.shape} and grads {grads.shape} must be one (P,)")
        if not values.flags.writeable:
            raise NiceValueError(f"{who}: values is read-only")
        for name in self.vectors if self.steps else ():
            mine = getattr(self, name)
            if mine.shape != values.shape or mine.dtype != values.dtype:
                raise NiceValueError(
                    f"{who}: served a model with {len(mine)} x {mine.dtype} so far, got {len(values)} x "
                    f"{values.dtype}; make a new optimiser for each model"
                )

    @abstractmethod
    def _update(self, values: Array, grads: Array, learning_rate: float) -> None: ...

    def start_epoch(self, epoch: int) -> None:  # noqa: B027 (most optimisers do not care)
        """Told by `fit` when epoch number `epoch` (from 1) begins."""

    def state(self) -> dict[str, Array]:
        """The vectors that a resumed run needs besides `steps`, by name."""
        return {name: getattr(self, name) for name in self.vectors} if self.steps else {}

    def restore(self, steps: int, state: dict[str, Array]) -> None:
        """Go on from what `steps` and `state` were.

        Raises
        ------
        NiceTypeError, NiceValueError
            If `steps` is no whole number >= 0, or `state` not what `state()` returns after so many steps.
        """
        who = type(self).__name__
        steps = as_int(steps, who, "steps", 0)
        expected = self.vectors if steps else ()
        if set(state) != set(expected):
            names = [", ".join(sorted(some)) or "none" for some in (expected, state)]
            raise NiceValueError(f"{who}: after {steps} steps expected vectors {names[0]}, got {names[1]}")
        vectors = state.values()
        are_vectors = all(isinstance(v, np.ndarray) and v.ndim == 1 and v.dtype in FLOATS for v in vectors)
        if not are_vectors or len({(v.shape, v.dtype) for v in vectors}) > 1:
            raise NiceValueError(
                f"{who}: {' and '.join(sorted(state))} must be vectors of one shape and dtype, float32 or float64"
            )
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


class Adam(Optimizer):
    """Adam with bias correction and decoupled weight decay (Kingma & Ba 2015; Loshchilov & Hutter 2019).

    Parameters
    ----------
    beta1, beta2 : float
        Memory of the mean and of the mean square of the gradient.  The NICE paper's "beta2 = 0.01" is written the old
        way, as 1 - beta2.
    eps : float
    weight_decay : float
        Each step also shrinks every parameter by the factor 1 - learning_rate * weight_decay: weights, biases, and
        the log-scales of a `DiagonalScaling`, which are pulled towards 0, that is towards a scale of 1.  The
        NICE paper names no weight decay; 0 is the default.

    Notes
    -----
    In float32 the square of a gradient beyond 1e19 is infinite, and the parameter that had it never moves again: `fit`
    ends with a DivergenceError.  Its `clip_norm` keeps gradients below that.

    Examples
    --------
    >>> values = np.array([1.0])
    >>> Adam().step(values, np.array([20.0]), learning_rate=0.1)
    >>> values.round(6)  # the first step has the size of the learning rate, whatever the gradient's
    array([0.9])
    """

    vectors = ("m", "v")

    # By name only, here and below: Adam(3e-3) would not be a learning rate, which is an argument of `fit` and `step`.
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

    m: Array
    v: Array


class RMSPropMomentum(Optimizer):
    """The learning rule of the NICE paper's own code: RMSProp with a floor, and momentum from the sixth epoch on.

    v <- decay v + (1 - decay) g^2      (from 0, no bias correction)
    m <- mu m - lr g / max(sqrt(v), floor)
    values <- values + m

    Parameters
    ----------
    decay : float
    floor : float
        Of the root: a floor, not a number added to it.
    momentum : float
        mu from epoch `momentum_from` on; 0 before.
    momentum_from : int
    """

    vectors = ("m", "v")

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

    m: Array
    v: Array


class SGD(Optimizer):
    """Gradient descent with momentum: m <- mu m - lr g,  values <- values + m.

    Parameters
    ----------
    momentum : float
        mu, in [0, 1); 0 is plain gradient descent.
    """

    vectors = ("m",)

    def __init__(self, *, momentum: float = 0.0) -> None:
        super().__init__()
        self.momentum = as_float(momentum, "SGD", "momentum", minimum=0, below=1)

    def _update(self, values: Array, grads: Array, learning_rate: float) -> None:
        self.m *= self.momentum
        self.m -= learning_rate * grads
        values += self.m

    m: Array


OPTIMIZERS: dict[str, type[Optimizer]] = {"adam": Adam, "rmsprop-momentum": RMSPropMomentum, "sgd": SGD}


def get_optimizer(optimizer: str | Optimizer) -> Optimizer:
    """A new optimiser called "adam", "rmsprop-momentum" or "sgd" with default settings, or the one given."""
    if isinstance(optimizer, Optimizer):
        return optimizer
    return OPTIMIZERS[as_choice(optimizer, OPTIMIZERS, "optimizer", "optimizer")]()


class Schedule(ABC):
    """A learning rate that changes: ``schedule(step, progress)``, step from 0, progress from 0 to 1."""

    @abstractmethod
    def __call__(self, step: int, progress: float) -> float: ...

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"


class Constant(Schedule):
    """The same learning rate throughout.

    Parameters
    ----------
    rate : float
    """

    def __init__(self, rate: float) -> None:
        self.rate = as_float(rate, "Constant", "rate", above=0)

    def __call__(self, step: int, progress: float) -> float:
        return self.rate


class ExponentialDecay(Schedule):
    """lr_t = max(rate / factor^t, minimum), t counted in steps: the schedule of the NICE paper's own code.

    Parameters
    ----------
    rate : float
        At step 0.
    factor : float
        By which the rate is divided at each step.
    minimum : float
    """

    def __init__(self, rate: float, factor: float = 1.0005, minimum: float = 1e-4) -> None:
        self.rate = as_float(rate, "ExponentialDecay", "rate", above=0)
        self.factor = as_float(factor, "ExponentialDecay", "factor", minimum=1)
        self.minimum = as_float(minimum, "ExponentialDecay", "minimum", minimum=0)
        if self.minimum > self.rate:
            raise NiceValueError(f"ExponentialDecay: minimum {self.minimum!r} is above the rate {self.rate!r}")

    def __call__(self, step: int, progress: float) -> float:
        return max(self.rate * self.factor**-step, self.minimum)


class InverseTime(Schedule):
    """lr_t = rate / (1 + t / half), t counted in steps: half of `rate` after `half` steps, then on like 1/t.

    Parameters
    ----------
    rate : float
        At step 0.
    half : int
        Steps.

    Examples
    --------
    10 / (100 + t), as in the inpainting of the NICE paper:

    >>> schedule = InverseTime(0.1, half=100)
    >>> schedule(0, 0.0), schedule(100, 0.1)
    (0.1, 0.05)
    """

    def __init__(self, rate: float, half: int) -> None:
        self.rate = as_float(rate, "InverseTime", "rate", above=0)
        self.half = as_int(half, "InverseTime", "half", 1)

    def __call__(self, step: int, progress: float) -> float:
        return self.rate / (1 + step / self.half)


class Cosine(Schedule):
    """Down from `rate` to 0 along half a cosine over the run, after a linear rise during the first `warmup` steps.

    Parameters
    ----------
    rate : float
        The highest learning rate.
    warmup : int
        Steps.

    Examples
    --------
    >>> schedule = Cosine(1e-3, warmup=100)
    >>> schedule(49, 0.0), schedule(500, 0.5)
    (0.0005, 0.0005)
    """

    def __init__(self, rate: float, warmup: int = 0) -> None:
        self.rate = as_float(rate, "Cosine", "rate", above=0)
        self.warmup = as_int(warmup, "Cosine", "warmup", 0)

    def __call__(self, step: int, progress: float) -> float:
        rise = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        return rise * self.rate * 0.5 * (1 + cos(pi * min(progress, 1.0)))


def get_schedule(rate: float | Schedule, owner: str = "fit") -> Schedule:
    """A schedule as it is; a number as a constant learning rate."""
    if isinstance(rate, Schedule):
        return rate
    if callable(rate):
        raise NiceTypeError(
            f"{owner}: learning_rate: expected a number or a Schedule, got {rate!r}; subclass nice_np.Schedule"
        )
    return Constant(as_float(rate, owner, "learning_rate", above=0))


def clip_by_norm(grads: Array, max_norm: float) -> float:
    """Scale `grads` (P,) in place so that its Euclidean norm is at most `max_norm`; returns the norm it had."""
    # In units of the largest element: the square of 1e20 alone would overflow in float32.
    peak = float(np.abs(grads).max(initial=0))
    unit = grads / grads.dtype.type(peak or 1)
    norm = peak * float(np.sqrt(np.vdot(unit, unit)))
    if norm > max_norm:
        grads *= max_norm / norm
    return norm
