"""A training step beside other programs, as on a laptop in a classroom: by `fit`'s own choice, and by each fixed one.

Each of the other programs has something to do all the time.  The step by default follows the load: before each block
the number of BLAS's threads is looked for, as `fit` does about once a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing import cpu_count, get_context

from benchmarks.agreement import agreeing, training_results
from benchmarks.model import Model
from benchmarks.options import Options
from benchmarks.result import Result, Row
from benchmarks.timing import Task, side_by_side
from benchmarks.training import step_task
from benchmarks.with_numpy import NumpyModel
from nice_np._blas import BLAS
from nice_np.training.parallel import in_threads

OTHERS = ("torch", "torch-fused", "torch-compile", "jax")


@contextmanager
def busy(programs: int) -> Iterator[None]:
    """So many other programs, each with something to do all the time."""
    others = [get_context("spawn").Process(target=_forever, daemon=True) for _ in range(programs)]
    for other in others:
        other.start()
    try:
        yield
    finally:
        for other in others:
            other.terminate()
            other.join()


def _forever() -> None:
    while True:
        sum(range(100_000))


def measure(model: Model, options: Options) -> Result:
    """Beside none, one, and a program for each core; all contenders take turns."""
    contenders, missing = agreeing(model, ["nice_np", *options.among(OTHERS)], training_results(model))
    own = own_tasks(model)
    tasks = own + [step_task(name, contenders[name], model) for name in OTHERS if name in contenders]
    result = Result(f"Training step beside other programs: {model}")
    result.rows += [Row(name, note=reason) for name, reason in missing.items()]
    alone = None
    for programs in sorted({0, 1, cpu_count()}):
        with busy(programs):
            timings = side_by_side(tasks, options.repeats)
        result.rows += [Row.of(f"{name}, beside {programs}", timing) for name, timing in timings.items()]
        default, *fixed = (timings[task.name].median for task in own)
        alone = alone or default
        result.facts[f"beside {programs}"] = {"of_best": default / min(fixed), "of_alone": default / alone}
        result.notes.append(
            f"Beside {programs}: by default {default / min(fixed):.2f} times the best fixed choice, and "
            f"{default / alone:.2f} times as long as beside none."
        )
    return result


def own_tasks(model: Model) -> list[Task]:
    """nice_np's step: as `fit` takes it by default, with each number of BLAS's threads, and in shards."""
    ours, x = NumpyModel(model), model.data(model.batch)

    def step() -> float:
        BLAS.look()
        return ours.step(x)

    def task(name: str, blas: int | None, threads: int | None) -> Task:
        @contextmanager
        def around() -> Iterator[None]:
            with ExitStack() as stack:
                if blas is not None:
                    stack.enter_context(BLAS.fixed(blas))
                ours.source = stack.enter_context(in_threads(ours.flow, threads, model.batch))
                yield

        return Task(name, step, around=around)

    cores = cpu_count()
    return [
        task("nice_np", None, None),
        task("nice_np, one thread", 1, 1),
        task(f"nice_np, {cores} threads of BLAS", cores, 1),
        task(f"nice_np, fit(threads={cores})", None, cores),
    ]
