"""Maximum likelihood by mini-batches: draw samples, add fresh noise, loss and gradient, one optimiser step, repeat.

Here are the door, `fit`, and the data-dependent start; the loop itself is in `training_loop`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Iterable, Iterator
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.bijectors.base import Bijector
from nice_np.bijectors.fitted import Fitted
from nice_np.bijectors.rebuilding import layers_of
from nice_np.errors import NiceFileError, NiceTypeError, NiceValueError
from nice_np.files.architecture import Arrays, describe
from nice_np.flows.flow import Flow
from nice_np.flows.model import CHUNK, Model
from nice_np.training.data import TrainingData, fingerprint
from nice_np.training.history import History
from nice_np.training.loop import Training
from nice_np.training.optim import Optimizer, get_optimizer
from nice_np.training.plan import Callback, Plan
from nice_np.training.ranks import Ranks, Team, as_team
from nice_np.training.schedules import Schedule, get_schedule
from nice_np.training.state import TrainingState, load_state
from nice_np.validation import Array, Rng, as_flag, as_path, as_rng

log = logging.getLogger(__name__)


def fit(
    model: Model,
    x: npt.ArrayLike,
    context: npt.ArrayLike | None = None,
    *,
    validation: npt.ArrayLike | None = None,
    validation_context: npt.ArrayLike | None = None,
    epochs: int | None = None,
    time_limit: float | None = None,
    batch_size: int = 200,
    learning_rate: float | Schedule = 1e-3,
    optimizer: str | Optimizer = "adam",
    clip_norm: float | None = None,
    average: int | None = None,
    patience: int | None = None,
    callbacks: Iterable[Callback] = (),
    checkpoint: str | PathLike[str] | None = None,
    checkpoint_every: float = 60.0,
    resume: bool = False,
    progress: bool = True,
    rng: Rng = None,
    threads: int = 1,
    recompute: bool = False,
    compiled: bool = True,
    comm: Any = None,
) -> History:
    """Train a flow by maximum likelihood, or a VAE by a maximal bound on it.

    Parameters
    ----------
    model : Flow or VAE
        Changed in place.  At the end it has the weights of the best epoch by validation, or without validation the
        last (or the averaged) ones.  What a first `fit` measured on its data (mean, std, whitening) stays.
    x : array_like, shape (N, D)
        Training data.  uint8 is taken as pixels 0 .. 255: each time a sample is seen it becomes (x + u) / 256 with
        fresh noise u ~ U[0, 1); score other pixels the same way, ``flow.log_prob(dequantize(pixels, rng))``.  A VAE
        with a Bernoulli decoder sees ``binarize(pixels, rng)``, drawn anew each time.  Anything else is used as it is.
    context : array_like, shape (N, C) or (C,)
        For a flow with a context, and only there: the likelihood is that of x given it.  ``one_hot(labels, 10)`` makes
        labels one.
    validation : array_like, shape (M, D), optional
        Scored after each epoch, with noise drawn once, a VAE's own noise included.
    validation_context : array_like, shape (M, C) or (C,)
        With `validation`, and only there.
    epochs : int, optional
        Passes through the data.  The same seed gives the same run to the bit.
    time_limit : float, optional
        Seconds, instead of `epochs`.  The share of the time that is spent steers the schedule, so the result depends
        on the machine.
    batch_size : int
        The last batch of an epoch may be smaller.
    learning_rate : float or Schedule
    optimizer : {"adam", "rmsprop-momentum", "sgd"} or Optimizer
        ``Adam(weight_decay=...)`` shrinks all parameters, the log-scales of a `DiagonalScaling` too, see `Adam`.
    clip_norm : float, optional
        Scale the gradient down to this Euclidean norm where it is longer.
    average : int, optional
        Keep a running average of the weights over about this many steps, and validate and return that.
    patience : int, optional
        Stop after this many epochs without a better validation likelihood.
    callbacks : iterable of callable
        Each is called as ``callback(model, history)`` after each epoch; `StopTraining` ends the run.  The model then
        has the weights of the last step, not the averaged or best ones.
    checkpoint : path, optional
        Where to save the state of the run every `checkpoint_every` seconds, at the end, and on SIGINT and SIGTERM.
    resume : bool
        Go on from `checkpoint`.  In a run given in epochs the end is the same to the bit as without the stop.  A run
        that had ended goes on where it is given more epochs or time, or more patience; where a callback had ended it,
        until one does so again.
    progress : bool
        Show a progress bar.
    rng : seed or numpy.random.Generator
    threads : int
        How many threads share the rows of each batch, each with one BLAS thread; 1 leaves BLAS as it is, except for
        small flows.  The same number gives the same run to the bit, another one agrees to rounding.
    recompute : bool
        Rebuild the layers' inputs instead of storing them, see `Flow.nll_and_grad`: memory that does not grow with the
        number of layers, for 1.4 times the time.  For flows only.
    compiled : bool
        Whether small flows go through one compiled call per pass, see `nice_np.training.fused`; the numbers agree to
        rounding.  False runs the layers that one reads, and so do a debugger and ``NUMBA_DISABLE_JIT=1``.
    comm : communicator of mpi4py, optional
        For a training by several processes: every one calls `fit` with it, usually ``MPI.COMM_WORLD``, and with the
        same model, data and settings, and gets the same weights.  Rank 0 makes the random numbers, shows progress,
        calls back, and reads and writes the checkpoint.  See docs/design.md.

    Returns
    -------
    History

    Raises
    ------
    NiceValueError, NiceTypeError
        Wrong arguments; NaN or inf in the data; another data set or setting than the checkpoint's or another rank's.
    NiceFileError
        `checkpoint` cannot be written, or exists and `resume` is False; checked before the first step.  Where a later
        save fails, the model is left with weights as for `DivergenceError`.
    DivergenceError
        The loss became NaN, infinite or absurd; names step, loss and learning rate.  Its attribute `history` has the
        epochs before.  The model is left with the weights of the best epoch so far; without validation with the last
        ones, or their average, which may be those that diverged.
    DriftError
        With `recompute`: rebuilt inputs have drifted too far from the true ones.
    TrainingInterrupted
        SIGINT (Ctrl-C) or SIGTERM came; the checkpoint, if any, was written first.

    Examples
    --------
    >>> from nice_np import nice
    >>> x = np.random.default_rng(0).normal([3.0, -1.0], [0.1, 2.0], (500, 2))
    >>> flow = nice(2, hidden=(8,), rng=0)
    >>> history = fit(flow, x, epochs=2, progress=False, rng=0)
    >>> history.column("step")
    [3, 6]
    """
    team = as_team(comm)
    with team.together():
        if not isinstance(model, Model):
            raise NiceTypeError(f"fit: expected a Flow or a VAE, got {type(model).__name__}")
        resume, progress = as_flag(resume, "fit", "resume"), as_flag(progress, "fit", "progress")
        plan = Plan(
            optimizer=get_optimizer(optimizer),
            schedule=get_schedule(learning_rate),
            epochs=epochs,
            time_limit=time_limit,
            batch_size=batch_size,
            clip_norm=clip_norm,
            average=average,
            patience=patience,
            callbacks=_callables(callbacks),
            checkpoint=None if checkpoint is None else as_path(checkpoint, "fit", "checkpoint"),
            checkpoint_every=checkpoint_every,
            threads=threads,
            recompute=as_flag(recompute, "fit", "recompute"),
            compiled=as_flag(compiled, "fit", "compiled"),
        )
        if plan.recompute and not isinstance(model, Flow):
            raise NiceValueError(
                f"fit: recompute rebuilds the inputs of a flow's layers, and a {type(model).__name__} has no inverse "
                "to rebuild them with; leave it out"
            )
        for name, given in {"patience": patience, "validation_context": validation_context}.items():
            if given is not None and validation is None:
                raise NiceValueError(f"fit: {name} needs validation data")
        data = TrainingData.checked(model, x, context, "x")
        held_out = None
        if validation is not None:
            held_out = TrainingData.checked(model, validation, validation_context, "validation")
        settings = plan.settings()
        if plan.checkpoint is not None or isinstance(team, Ranks):  # who else would compare the data?
            settings["data"] = data.fingerprint()
            settings["validation"] = None if held_out is None else held_out.fingerprint()
        if not resume:
            if team.first:
                _refuse_existing(plan.checkpoint)
            if plan.optimizer.steps:
                raise NiceValueError("fit: the optimizer has taken steps before; make a new one for a new run")
        generator = as_rng(rng, "fit")
        if rng is None and not resume:
            log.info("rng is None: the seed comes from the operating system, so this run cannot be repeated")
        start_from_data(model, data.x, data.context)
    team.compare(lambda: _facts(model, plan, settings, resume))
    if resume:
        state = _resumed_by_all(team, model, plan, len(data), settings)
    else:
        state = team.from_first(lambda: TrainingState.start(generator, model.measure))
    return Training(model, data, held_out, plan, state, settings, team).run(progress)


def start_from_data(model: Model, x: npt.NDArray[Any], context: Array | None = None) -> None:
    """Fit every layer that has constants to measure, from the data upwards; `fit` does so before its first step.

    Parameters
    ----------
    model : Model
    x : ndarray, shape (N, D)
        uint8 pixels are dequantised, with the same noise in every pass and every run.
    context : ndarray, shape (N, C), optional

    Raises
    ------
    NiceValueError
        If a layer has constants to measure where the data do not come by, such as inside an `Inverse`.
    """
    data = TrainingData(x, context)
    layers = [part for layer in model.layers for _, part in layers_of(layer)]
    for number, layer in enumerate(layers):
        if isinstance(layer, Fitted) and not layer.fitted:
            layer.fit(partial(_arriving, model, data, layers[:number]))
    for path, module in model.modules():
        if isinstance(module, Fitted) and not module.fitted:
            raise NiceValueError(
                f"fit: {path} ({type(module).__name__}) is not fitted, and the data do not pass it on their way up; "
                "make it a layer of the model's own chain, or give it its constants"
            )


def _arriving(model: Model, data: TrainingData, below: list[Bijector]) -> Iterator[Array]:
    """The data as they arrive above the layers `below`, in chunks: (n, D + C), (n, D + C), ..."""
    noise = np.random.default_rng(0)
    for start in range(0, len(data), CHUNK):
        rows = data.rows(slice(start, start + CHUNK))
        seen = [rows.seen_by(model, noise)] if rows.context is None else [rows.seen_by(model, noise), rows.context]
        part = np.concatenate(seen, axis=1, dtype=model.dtype)  # (n, D + C)
        with np.errstate(over="ignore", invalid="ignore"):  # a layer that fits looks for infinities
            for layer in below:
                part = layer.forward(part)[0]
        yield part


def _callables(callbacks: Any) -> list[Callback]:
    found = list(callbacks) if isinstance(callbacks, Iterable) else [callbacks]
    for callback in found:
        if not callable(callback):
            raise NiceTypeError(f"fit: callbacks must be callables, got {callback!r}")
    return found


def _facts(model: Model, plan: Plan, settings: dict[str, Any], resume: bool) -> dict[str, Any]:
    """What all ranks must have alike, for them to take the same steps."""
    constants: Arrays = {}
    architecture = json.dumps(describe(model, constants, []))
    digest = hashlib.sha256(architecture.encode())
    for array in constants.values():
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return {
        **settings,
        **{name: getattr(plan, name) for name in ("epochs", "time_limit", "patience", "checkpoint_every")},
        "resume": resume,
        "the model": f"{repr(model).splitlines()[0]} of architecture {digest.hexdigest()[:16]}",
        "the vector of parameters": fingerprint(model.params.values[None]),
    }


def _resumed_by_all(team: Team, model: Model, plan: Plan, n_samples: int, settings: dict[str, Any]) -> TrainingState:
    """What rank 0 finds in the checkpoint, on every rank."""
    state = team.from_first(lambda: _resumed(model, plan, n_samples, settings))
    model.params.values[:] = team.share(model.params.values)
    plan.optimizer.restore(*team.share((plan.optimizer.steps, plan.optimizer.state())))
    return state


def _resumed(model: Model, plan: Plan, n_samples: int, settings: dict[str, Any]) -> TrainingState:
    if plan.checkpoint is None:
        raise NiceValueError("fit: resume=True needs checkpoint=PATH")
    if not _is_there(plan.checkpoint):
        raise NiceFileError(f"fit: nothing to resume, {plan.checkpoint} does not exist")
    state = load_state(plan.checkpoint, model, plan.optimizer, settings, n_samples)
    log.info("going on from %s: epoch %d, step %d, %.1f s", plan.checkpoint, state.epoch, state.step, state.seconds)
    if _may_go_on(state, plan, n_samples):
        state.finished = ""
    return state


def _may_go_on(state: TrainingState, plan: Plan, n_samples: int) -> bool:
    """Whether nothing in the plan ends the run here: one that had ended is now given more, or other callbacks."""
    patient = plan.patience is None or state.epochs_since_best < plan.patience
    return plan.done(state, n_samples) < 1 and (patient or state.finished != "patience")


def _is_there(checkpoint: Path) -> bool:
    """Whether there is such a file, or folder; an error for a path that nothing can have."""
    try:
        checkpoint.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:  # too long, say; ValueError: a NUL in the path
        raise NiceFileError(f"fit: cannot look for {checkpoint}: {_reason(error)}") from error
    return True


def _refuse_existing(checkpoint: Path | None) -> None:
    """Find out before the first step that the checkpoint could not be written."""
    if checkpoint is None:
        return
    if _is_there(checkpoint):
        raise NiceFileError(f"fit: {checkpoint} exists; resume=True goes on from it, or delete it first")
    try:
        target = Path(os.path.realpath(checkpoint))  # a symbolic link is written through
        tempfile.TemporaryFile(dir=target.parent).close()
    except (OSError, ValueError) as error:
        raise NiceFileError(f"fit: cannot write {checkpoint}: {_reason(error)}") from error


def _reason(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error)
