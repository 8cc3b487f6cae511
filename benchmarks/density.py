"""Log-likelihoods of many digits, and sampling as many, against the matrix products alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks import roofline
from benchmarks.agreement import agreeing
from benchmarks.contender import Contender
from benchmarks.contenders import ONE_OF_EACH
from benchmarks.model import Model
from benchmarks.options import Options
from benchmarks.result import MS, Result
from benchmarks.timing import Task, side_by_side
from benchmarks.training import PRODUCTS, rows

COMPARED = 100  # rows of which the results are compared


def measure_log_prob(model: Model, n: int, options: Options) -> Result:
    """log p(x) of `n` rows."""
    x = model.data(n)

    def some(contender: Contender) -> list[Any]:
        return [np.asarray(contender.log_prob(contender.prepare(x[:COMPARED])))]

    def call(contender: Contender) -> Callable[[], Any]:
        return partial(contender.log_prob, contender.prepare(x))

    return measure(f"Log-likelihoods of {n:,} rows: {model.architecture}", model, n, options, some, call)


def measure_sampling(model: Model, n: int, options: Options) -> Result:
    """`n` samples, drawn by each library's own generator; what is compared is decode of the same latents."""
    z = model.latents(COMPARED)

    def some(contender: Contender) -> list[Any]:
        return [np.asarray(contender.decode(contender.prepare(z)))]

    def call(contender: Contender) -> Callable[[], Any]:
        return partial(contender.sample, n)

    return measure(f"Sampling {n:,} rows: {model.architecture}", model, n, options, some, call)


def measure(
    title: str,
    model: Model,
    n: int,
    options: Options,
    some: Callable[[Contender], list[Any]],
    call: Callable[[Contender], Callable[[], Any]],
) -> Result:
    """Time `call` of each contender; before that, `some` results are compared."""
    from nice_np.flows.model import CHUNK

    names = options.among(ONE_OF_EACH)
    contenders, missing = agreeing(model, names, some)
    chunk = min(CHUNK, n)  # the products at best: in chunks that the caches like, as nice_np has them
    products = roofline.scoring_products(model, chunk)
    tasks = [Task(PRODUCTS, roofline.runner(products, n // chunk))]
    tasks += [Task(name, call(contender), contender.wait) for name, contender in contenders.items()]
    timings = side_by_side(tasks, options.repeats)
    seconds = timings[PRODUCTS].median
    rate = roofline.gflops(products, seconds) * (n // chunk)
    note = f"Ideal: the matrix products alone, {rate:.0f} GFLOP/s."
    facts = {"products_ms": seconds * MS, "products_gflops": rate}
    return Result(title, rows=rows(names, timings, missing), ideal=seconds * MS, facts=facts, notes=[note])
