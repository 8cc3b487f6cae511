"""The cases by name: which model, and what is measured of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from benchmarks.model import Model
from benchmarks.options import Options
from benchmarks.result import Result

PAPER = Model(dim=784, couplings=4, hidden=(1000,) * 5, batch=200)
DIGITS = Model(dim=784, couplings=4, hidden=(500,) * 3, batch=200)
TOY = Model(dim=2, couplings=4, hidden=(64, 64), batch=256)
SMALL = Model(dim=64, couplings=4, hidden=(128, 128), batch=128)
DEEP = Model(dim=784, couplings=4, hidden=(500,), batch=2000)
MANY, QUICK_MANY = 10_000, 1000  # digits that are scored and sampled


class Case(NamedTuple):
    """A line of the list, and what to do; imports happen inside, where the case runs."""

    summary: str
    measure: Callable[[Options], Result]


def training(model: Model) -> Callable[[Options], Result]:
    def measure(options: Options) -> Result:
        from benchmarks import training

        return training.measure(model, options)

    return measure


def glow(batch: int) -> Callable[[Options], Result]:
    def measure(options: Options) -> Result:
        from benchmarks import glow

        return glow.measure(batch, options)

    return measure


def busy(options: Options) -> Result:
    from benchmarks import busy

    return busy.measure(DIGITS, options)


def log_prob(options: Options) -> Result:
    from benchmarks import density

    return density.measure_log_prob(PAPER, QUICK_MANY if options.quick else MANY, options)


def sampling(options: Options) -> Result:
    from benchmarks import density

    return density.measure_sampling(PAPER, QUICK_MANY if options.quick else MANY, options)


def latent(options: Options) -> Result:
    from benchmarks import latent

    return latent.measure(PAPER, options)


def startup(options: Options) -> Result:
    from benchmarks import startup

    return startup.measure(TOY, options)


def memory(options: Options) -> Result:
    from benchmarks import memory

    return memory.measure(DEEP, options)


def kernels(options: Options) -> Result:
    from benchmarks import kernels

    return kernels.measure(options)


CASES = {
    "paper": Case(f"a training step of the paper's model ({PAPER})", training(PAPER)),
    "digits": Case(f"a training step ({DIGITS})", training(DIGITS)),
    "small": Case(f"a training step ({SMALL})", training(SMALL)),
    "toy": Case(f"a training step ({TOY})", training(TOY)),
    "glow": Case("a training step of a flow with convolutions, Glow on 25 digits", glow(25)),
    "glow-100": Case("the same on 100 digits", glow(100)),
    "busy": Case("the step of `digits` beside other programs that use a core each", busy),
    "logprob": Case(f"log-likelihoods of {MANY:,} digits, the paper's model", log_prob),
    "sampling": Case(f"sampling {MANY:,} digits, the paper's model", sampling),
    "latent": Case("gradient with respect to latents, the paper's model", latent),
    "startup": Case("import, and time to the first training step of `toy`", startup),
    "memory": Case(f"peak memory of a training step against depth ({DEEP}, and deeper)", memory),
    "kernels": Case("each compiled loop of nice_np against its NumPy twin", kernels),
}
