"""`fit`: maximum likelihood by mini-batches.

Draw samples, add fresh noise, take the loss and its gradient, make one optimiser step, repeat.  Here the arguments are
checked, the layers measure their constants, and a run is started or resumed, see `resume`; `loop` does the rest.
"""

from __future__ import annotations

import hashlib
import json
import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.bijectors.base import Bijector
from nice_np.bijectors.fitted import Fitted
from nice_np.bijectors.rebuilding import named_layers
from nice_np.bijectors.standardize import Standardize, never_changes
from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.files.architecture import Arrays, describe, own_classes
from nice_np.files.recognised import readable
from nice_np.flows.flow import Flow
from nice_np.flows.model import CHUNK, Model
from nice_np.suggestions import suggests
from nice_np.training.data import TrainingData, fingerprint
from nice_np.training.history import History
from nice_np.training.loop import Training
from nice_np.training.optim import Optimizer, get_optimizer
from nice_np.training.plan import Callback, Plan
from nice_np.training.ranks import as_team
from nice_np.training.resume import claimed, resumed
from nice_np.training.schedules import Schedule, get_schedule
from nice_np.training.state import TrainingState
from nice_np.validation import Array, Rng, as_flag, as_path, as_rng

log = logging.getLogger(__name__)


@suggests
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
    threads: int | None = None,
    recompute: bool = False,
    compiled: bool = True,
    comm: Any = None,
) -> History:
    """Train a flow by maximum likelihood, a VAE by maximising its lower bound, a `FlowMatching` by its regression.

    Parameters
    ----------
    model : Flow or VAE
        Changed in place.  In the end it has the weights of the best epoch by validation; without validation, the last
        (or averaged) ones.  Constants that the first `fit` measured on its data (mean, std, whitening) stay.
    x : array_like, shape (N, D)
        Training data.  uint8 means pixels 0 .. 255: each time a sample is used it becomes (x + u) / 256 with fresh
        noise u ~ U[0, 1); score other pixels the same way, ``flow.log_prob(dequantize(pixels, rng))``.  A VAE with a
        Bernoulli decoder gets ``binarize(pixels, rng)``, drawn anew each time.  Anything else is used as it is.  The
        model remembers which it was as its `bin_width`, the unit of bits/dim.
    context : array_like, shape (N, C) or (C,)
        For a flow with a context, and only for one: the likelihood is that of x given the context.
        ``one_hot(labels, 10)`` turns labels into a context.
    validation : array_like, shape (M, D), optional
        Scored after each epoch, with noise that is drawn once, a VAE's own noise included.
    validation_context : array_like, shape (M, C) or (C,)
        The context of `validation`.
    epochs : int, optional
        Passes through the data.  The same seed and the same `threads` give the same run bit for bit.
    time_limit : float, optional
        Seconds, instead of `epochs`.  The schedule follows the share of the time spent, so the result depends on the
        machine.
    batch_size : int
        The last batch of an epoch may be smaller.
    learning_rate : float or Schedule
        A number is reached in a linear rise over the first 30 steps, with "sgd" at once; ``Constant(rate)`` starts with
        it.
    optimizer : {"adam", "rmsprop-momentum", "sgd"} or Optimizer
        ``Adam(weight_decay=...)`` shrinks all parameters, see `Adam`.
    clip_norm : float, optional
        Scale a longer gradient down to this Euclidean norm.
    average : int, optional
        Keep a running average of the weights over about this many steps; validate and return that.
    patience : int, optional
        Stop after this many epochs without a better validation score.
    callbacks : iterable of callable
        Each is called as ``callback(model, history)`` after each epoch; `StopTraining` ends the run.  At that moment
        the model has the weights of the last step, not the averaged or best ones.
    checkpoint : path, optional
        Where the state of the run is saved: every `checkpoint_every` seconds, at the end, and on SIGINT or SIGTERM.
    checkpoint_every : float
        Seconds.
    resume : bool
        Continue from `checkpoint`.  A run given in epochs and threads ends bit for bit as it would have without the
        stop.  A finished run continues if it now has more epochs, time or patience; one that a callback ended, until a
        callback ends it again.
    progress : bool
        Show a progress bar.
    rng : seed or numpy.random.Generator
    threads : int, optional
        How many threads share the rows of each batch, each with one BLAS thread; 1 leaves BLAS as it is, except for
        small flows.  The same number gives the same run bit for bit, another one agrees up to rounding.  By default 1,
        and the number of BLAS's threads follows the load of the machine, so that runs of large models agree only up
        to rounding, which grows from step to step; small flows, and whatever runs with one BLAS thread, keep the bits.
    recompute : bool
        Rebuild the layers' inputs instead of storing them, see `Flow.nll_and_grad`: memory does not grow with the
        number of layers, for 1.4 times the time.  For flows only.
    compiled : bool
        Whether couplings in a row run together, in small flows by one compiled call per pass, see
        `nice_np.training.fused`; the numbers agree up to rounding.  False runs the layers as they are written, and so
        do a debugger and ``NUMBA_DISABLE_JIT=1``.
    comm : communicator of mpi4py, optional
        For training by several processes: each calls `fit` with it, usually ``MPI.COMM_WORLD``, with the same model,
        data and settings, and gets the same weights.  Rank 0 draws the random numbers, shows progress, calls the
        callbacks, and reads and writes the checkpoint.  See docs/design.md.

    Returns
    -------
    History
        `History.setbacks`, and the log, say where an epoch went wrong and was begun again with half the learning rate.

    Warns
    -----
    UserWarning
        For features that never change, for a training that ended far below its start, and for absurdly large samples.

    Raises
    ------
    NiceValueError, NiceTypeError
        Wrong arguments; NaN or inf in the data; other data or settings than those of the checkpoint or of another
        rank.
    NiceFileError
        `checkpoint` cannot be written, or exists and `resume` is False; checked before the first step.  If a later
        save fails, the model has the weights that it would have after a `DivergenceError`.
    DivergenceError
        The loss became NaN, infinite or absurd, or an epoch fell far below the best one, also when `fit` had gone back
        to the start of the epoch four times, each time with half the learning rate; see `nice_np.training.divergence`.
        Names step, loss and learning rate.  Its attribute `history` has the epochs before.  The model has the weights
        of the best epoch so far; without validation those of the last good one, or their average.
    DriftError
        With `recompute`: rebuilt inputs have drifted too far from the true ones.
    TrainingInterrupted
        SIGINT (Ctrl-C) or SIGTERM arrived; the checkpoint, if any, was written first.

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
        optimizer = get_optimizer(optimizer)
        plan = Plan(
            optimizer=optimizer,
            schedule=get_schedule(learning_rate, warmup=optimizer.warmup),
            epochs=epochs,
            time_limit=time_limit,
            batch_size=batch_size,
            clip_norm=clip_norm,
            average=average,
            patience=patience,
            callbacks=callbacks,
            checkpoint=None if checkpoint is None else as_path(checkpoint, "fit", "checkpoint"),
            checkpoint_every=checkpoint_every,
            resume=resume,
            threads=threads,
            recompute=recompute,
            compiled=compiled,
        )
        progress, generator = as_flag(progress, "fit", "progress"), as_rng(rng, "fit")
        if plan.recompute and not isinstance(model, Flow):
            raise NiceValueError(
                f"fit: recompute rebuilds the inputs of a flow's layers, and a {type(model).__name__} has no inverse "
                "to rebuild them with; leave it out"
            )
        for name, given in {"patience": patience, "validation_context": validation_context}.items():
            if given is not None and validation is None:
                raise NiceValueError(f"fit: {name} needs validation data")
        if plan.optimizer.steps and not plan.resume:
            raise NiceValueError("fit: the optimizer has taken steps before; make a new one for a new run")
        data = TrainingData.checked(model, x, context, "x")
        held_out = None
        if validation is not None:
            held_out = TrainingData.checked(model, validation, validation_context, "validation")
        settings = plan.settings()
        if plan.checkpoint is not None or not team.alone:  # otherwise there is nothing to compare the data with
            settings["data"] = data.fingerprint()
            settings["validation"] = None if held_out is None else held_out.fingerprint()
    with ExitStack() as held:
        with team.together():
            if team.first:
                held.enter_context(claimed(plan.checkpoint, plan.resume))
                if plan.checkpoint is not None:
                    readable(model)  # an error here and not after hours
                    own_classes()  # imports all now: after a signal mpiexec waits for a checkpoint only for a second
            start_from_data(model, data.x, data.context)
        team.compare(lambda: _facts(model, plan, settings))
        if plan.resume:
            state = resumed(team, model, plan, len(data), settings)
            settings |= plan.settings()  # without a warm-up where the run had none
        else:
            if rng is None:
                log.info("rng is None: the seed comes from the operating system, so this run cannot be repeated")
            state = team.from_first(lambda: TrainingState.start(generator, model.measure))
        return Training(model, data, held_out, plan, state, settings, team).run(progress)


def start_from_data(model: Model, x: npt.NDArray[Any], context: Array | None = None) -> None:
    """Let each layer measure its constants, from the data upwards; `fit` calls this before its first step.

    Parameters
    ----------
    model : Model
    x : ndarray, shape (N, D)
        uint8 pixels are dequantised, with the same noise in every pass and every run.
    context : ndarray, shape (N, C), optional

    Raises
    ------
    NiceValueError
        If a layer has constants to measure in a place that the data do not pass, such as inside an `Inverse`.
    """
    data = TrainingData(x, context)
    layers = [part for layer in model.layers for _, part in named_layers(layer)]
    if isinstance(model, Flow):
        _warn_of_constants(data, layers)
    for number, layer in enumerate(layers):
        if isinstance(layer, Fitted) and not layer.fitted:
            layer.fit(partial(_arriving, model, data, layers[:number]))
    for path, module in model.modules():
        if isinstance(module, Fitted) and not module.fitted:
            raise NiceValueError(
                f"fit: {path} ({type(module).__name__}) is not fitted, and the data do not pass through it; "
                "make it a layer of the model's own chain, or give it its constants"
            )


def _warn_of_constants(data: TrainingData, layers: list[Bijector]) -> None:
    """A flow makes the density of a constant as high as it likes, whatever comes before its couplings."""
    if any(isinstance(layer, Standardize) and not layer.fitted for layer in layers):
        return  # which warns of them itself
    constant = data.constant_features()
    if len(constant):
        warnings.warn(never_changes(constant), stacklevel=5)


def _arriving(model: Model, data: TrainingData, below: list[Bijector]) -> Iterator[Array]:
    """The data as they come out of the layers `below`, in chunks: (n, D + C), (n, D + C), ..."""
    noise = np.random.default_rng(0)
    for start in range(0, len(data), CHUNK):
        rows = data.rows(slice(start, start + CHUNK))
        seen = [rows.seen_by(model, noise)] if rows.context is None else [rows.seen_by(model, noise), rows.context]
        part = np.concatenate(seen, axis=1, dtype=model.dtype)  # (n, D + C)
        with np.errstate(over="ignore", invalid="ignore"):  # a layer that fits looks for infinities
            for layer in below:
                part = layer.forward(part)[0]
        yield part


def _facts(model: Model, plan: Plan, settings: dict[str, Any]) -> dict[str, Any]:
    """What must agree on all ranks, so that they take the same steps."""
    constants: Arrays = {}
    architecture = json.dumps(describe(model, constants, []))
    digest = hashlib.sha256(architecture.encode())
    for array in constants.values():
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return {
        **settings,
        **{name: getattr(plan, name) for name in ("epochs", "time_limit", "patience", "checkpoint_every", "resume")},
        "the model": f"{repr(model).splitlines()[0]} of architecture {digest.hexdigest()[:16]}",
        "the vector of parameters": fingerprint(model.params.values[None]),
    }
