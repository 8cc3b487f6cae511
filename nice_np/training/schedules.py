"""Learning-rate schedules: ``schedule(step, progress)`` is the rate of that step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import cos, pi

from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.suggestions import suggests
from nice_np.validation import as_float, as_int


class Schedule(ABC):
    """A learning rate that may change: ``schedule(step, progress)``, step from 0, progress from 0 to 1."""

    @abstractmethod
    def __call__(self, step: int, progress: float) -> float: ...

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"


class Constant(Schedule):
    """The same learning rate throughout, or after a linear rise during the first `warmup` steps.

    Parameters
    ----------
    rate : float
    warmup : int
        Steps.
    """

    @suggests
    def __init__(self, rate: float, warmup: int = 0) -> None:
        self.rate = as_float(rate, "Constant", "rate", above=0)
        self.warmup = as_int(warmup, "Constant", "warmup", 0)

    def __call__(self, step: int, progress: float) -> float:
        rise = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        return rise * self.rate

    def __repr__(self) -> str:
        return super().__repr__() if self.warmup else f"Constant(rate={self.rate!r})"


class ExponentialDecay(Schedule):
    """lr_t = max(rate / factor^t, minimum), t counted in steps: the schedule of the NICE paper's own code.

    Parameters
    ----------
    rate : float
        At step 0.
    factor : float
        The rate is divided by it at each step.
    minimum : float
    """

    @suggests
    def __init__(self, rate: float, factor: float = 1.0005, minimum: float = 1e-4) -> None:
        self.rate = as_float(rate, "ExponentialDecay", "rate", above=0)
        self.factor = as_float(factor, "ExponentialDecay", "factor", minimum=1)
        self.minimum = as_float(minimum, "ExponentialDecay", "minimum", minimum=0)
        if self.minimum > self.rate:
            raise NiceValueError(f"ExponentialDecay: minimum {self.minimum!r} is above the rate {self.rate!r}")

    def __call__(self, step: int, progress: float) -> float:
        return max(self.rate * self.factor**-step, self.minimum)


class InverseTime(Schedule):
    """lr_t = rate / (1 + t / half), t counted in steps: half of `rate` after `half` steps, later proportional to 1/t.

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

    @suggests
    def __init__(self, rate: float, half: int) -> None:
        self.rate = as_float(rate, "InverseTime", "rate", above=0)
        self.half = as_int(half, "InverseTime", "half", 1)

    def __call__(self, step: int, progress: float) -> float:
        return self.rate / (1 + step / self.half)


class Cosine(Schedule):
    """Half a cosine from `rate` down to 0 over the run, after a linear rise during the first `warmup` steps.

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

    @suggests
    def __init__(self, rate: float, warmup: int = 0) -> None:
        self.rate = as_float(rate, "Cosine", "rate", above=0)
        self.warmup = as_int(warmup, "Cosine", "warmup", 0)

    def __call__(self, step: int, progress: float) -> float:
        rise = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        return rise * self.rate * 0.5 * (1 + cos(pi * min(progress, 1.0)))


SCHEDULES: tuple[type[Schedule], ...] = (Constant, ExponentialDecay, InverseTime, Cosine)


def get_schedule(rate: float | Schedule, owner: str = "fit", warmup: int = 0) -> Schedule:
    """A schedule unchanged; a number as a constant learning rate after `warmup` steps."""
    if isinstance(rate, Schedule):
        return rate
    if callable(rate):
        raise NiceTypeError(
            f"{owner}: learning_rate: expected a number or a Schedule, got {rate!r}; subclass nice_np.Schedule"
        )
    return Constant(as_float(rate, owner, "learning_rate", above=0), warmup)
