"""A training step, loss, gradient and Adam, of each contender and at best."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from benchmarks import bandwidth, roofline
from benchmarks.agreement import agreeing, training_results
from benchmarks.bandwidth import Bandwidth
from benchmarks.contender import Contender, Unavailable
from benchmarks.contenders import CONTENDERS, around_steps
from benchmarks.model import Model
from benchmarks.options import Options
from benchmarks.result import MS, Result, Row
from benchmarks.timing import Task, Timing, side_by_side

PRODUCTS, TORCH_PRODUCTS = "products", "products, PyTorch's BLAS"


def measure(model: Model, options: Options) -> Result:
    """Time the steps, the products of a step and the memory, all in the same rounds."""
    names = options.among(tuple(CONTENDERS))
    contenders, missing = agreeing(model, names, training_results(model))
    products = roofline.training_products(model)
    tasks = [Task(PRODUCTS, roofline.runner(products))]
    try:
        memory = Bandwidth(options.quick)
        tasks += [memory.task(bandwidth.triad), memory.task(bandwidth.update)]
    except Unavailable as reason:
        memory, missing["triad"] = None, str(reason)
    with suppress(Unavailable):
        tasks.append(Task(TORCH_PRODUCTS, roofline.torch_runner(products)))
    tasks += [step_task(name, contender, model) for name, contender in contenders.items()]
    timings = side_by_side(tasks, options.repeats)
    result = Result(f"Training step: {model}", rows=rows(names, timings, missing))
    for row in result.rows:
        row.note = row.note or CONTENDERS[row.name]
    add_ideal(result, model, products, timings, memory)
    return result


def step_task(name: str, contender: Contender, model: Model) -> Task:
    call = partial(contender.step, contender.prepare(model.data(model.batch)))
    return Task(name, call, contender.wait, partial(around_steps, contender, model.batch))


def rows(names: list[str], timings: dict[str, Timing], missing: dict[str, str]) -> list[Row]:
    """A row for each name, with its timing or the reason why there is none."""
    return [Row.of(name, timings[name]) if name in timings else Row(name, note=missing[name]) for name in names]


def add_ideal(
    result: Result,
    model: Model,
    products: list[roofline.Product],
    timings: dict[str, Timing],
    memory: Bandwidth | None,
) -> None:
    """The best possible time, and what it is made of."""
    seconds = timings[PRODUCTS].median
    result.facts = {
        "parameters": model.n_parameters,
        "products_ms": seconds * MS,
        "products_gflops": roofline.gflops(products, seconds),
    }
    if TORCH_PRODUCTS in timings:
        by_torch = timings[TORCH_PRODUCTS].median * MS
        result.facts["products_torch_ms"] = by_torch
        result.notes.append(f"The products alone: {seconds * MS:.3g} ms by NumPy's BLAS, {by_torch:.3g} by PyTorch's.")
    if memory is None:
        result.notes.append("No ideal: numba, which compiles the triad, is not installed.")
        return
    triad, update = (memory.bytes_moved / timings[name].median for name in ("triad", "update"))
    adam, adam_in_place = (roofline.adam_seconds(model.n_parameters, rate) for rate in (triad, update))
    result.ideal = (seconds + adam) * MS
    result.facts |= {
        "triad_gb_per_s": triad / 1e9,
        "update_gb_per_s": update / 1e9,
        "triad_array_mb": memory.arrays[0].nbytes / 1e6,
        "adam_ms": adam * MS,
        "adam_in_place_ms": adam_in_place * MS,
        "ideal_in_place_ms": (seconds + adam_in_place) * MS,
    }
    result.notes.append(
        f"Ideal: products {seconds * MS:.3g} ms ({result.facts['products_gflops']:.0f} GFLOP/s) + Adam's seven passes "
        f"over {model.n_parameters:,} float32, {adam * MS:.3g} ms at the triad's {triad / 1e9:.1f} GB/s; at the "
        f"{update / 1e9:.1f} GB/s of an update in place it would be {result.facts['ideal_in_place_ms']:.3g} ms in all."
    )
