"""The gradient with respect to latents, as in a search for the latents of a picture: no weight's gradient is needed.

Half of the products of a backward pass belong to the weights; a backward pass that leaves them out should take half
the time.
"""

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
from benchmarks.result import MS, Result, Row
from benchmarks.timing import Task, Timing, side_by_side
from benchmarks.training import PRODUCTS, rows

# Rows of which the gradients are compared.  Few: of millions of hidden units some are so near 0 that rounding decides
# on which side of a ReLU they are, and with it on the gradient of their row.
COMPARED = 10
BAR = 0.55  # what the ratio should not exceed
WITHOUT, WITH = "input only", "and weights"  # which gradients a backward pass computes
PASSES = ("backward", "inverse_backward")


def measure(model: Model, options: Options) -> Result:
    """Whole latent gradients of each library, and nice_np's backward passes with and without the weights."""
    z, x = model.latents(model.batch), model.data(model.batch)

    def gradient(contender: Contender) -> list[Any]:
        some = [contender.prepare(array[:COMPARED]) for array in (z, x)]
        return [np.asarray(contender.latent_gradient(*some))]

    names = options.among(ONE_OF_EACH)
    contenders, missing = agreeing(model, names, gradient)
    products = roofline.latent_products(model)
    tasks = [Task(PRODUCTS, roofline.runner(products))]
    for name, contender in contenders.items():
        call = partial(contender.latent_gradient, contender.prepare(z), contender.prepare(x))
        tasks.append(Task(name, call, contender.wait))
    own = backward_tasks(model) if "nice_np" in names else []
    timings = side_by_side(tasks + own, options.repeats)
    ideal = timings[PRODUCTS].median * MS
    result = Result(f"Latent gradient: {model}", rows=rows(names, timings, missing), ideal=ideal)
    result.rows += [Row.of(task.name, timings[task.name]) for task in own]
    result.facts = {"products_ms": ideal, "products_gflops": roofline.gflops(products, ideal / MS)}
    result.notes.append("Ideal: the products of decode and of the way back to the latents.")
    if own:
        add_ratios(result, timings)
    return result


def backward_tasks(model: Model) -> list[Task]:
    """nice_np's two backward passes, each with and without the gradients of the weights."""
    bijector = model.flow().bijector
    z, x = model.latents(model.batch), model.data(model.batch)
    no_log_det = np.zeros(model.batch, np.float32)
    caches = {"backward": bijector.forward(x)[2], "inverse_backward": bijector.inverse(z)[2]}

    def task(name: str, parameters: bool) -> Task:
        run: Callable[..., Any] = getattr(bijector, name)
        call = partial(run, z, no_log_det, caches[name], parameters=parameters)
        return Task(title(name, parameters), call)

    return [task(name, parameters) for name in PASSES for parameters in (False, True)]


def title(name: str, parameters: bool) -> str:
    """The name of a row."""
    return f"nice_np {name}, {WITH if parameters else WITHOUT}"


def add_ratios(result: Result, timings: dict[str, Timing]) -> None:
    """Input gradient alone as a part of the full pass."""
    for name in PASSES:
        ratio = timings[title(name, False)].median / timings[title(name, True)].median
        result.facts[f"{name}_ratio"] = ratio
        verdict = "within" if ratio <= BAR else "above"
        result.notes.append(f"{name} without the weights takes {ratio:.3f} of the full pass, {verdict} {BAR}.")
