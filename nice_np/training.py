"""Maximum likelihood by mini-batches: draw samples, add fresh noise, loss and gradient, one optimiser step, repeat."""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from os import PathLike
from pathlib import Path
from signal import Signals
from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.bijectors import Standardize
from nice_np.checks import Array, Rng, as_float, as_int, as_real_array, as_rng, as_samples
from nice_np.dequantize import BIN_WIDTH, dequantize, moments
from nice_np.errors import (
    DivergenceError,
    NiceFileError,
    NiceOverflowError,
    NiceTypeError,
    NiceValueError,
    TrainingInterrupted,
)
from nice_np.flow import Flow, to_bits_per_dim
from nice_np.history import History
from nice_np.kernels import average_step
from nice_np.optim import Optimizer, Schedule, clip_by_norm, get_optimizer, get_schedule
from nice_np.progress import Progress
from nice_np.signals import StopSignals
from nice_np.training_state import TrainingState, fingerprint, load_state, save_state

EXPLODED = 1e4  # nats per dimension above the first loss: no flow comes back from there


class StopTraining(Exception):
    """Raise it in a callback to end training after this epoch, as if the last one had been reached."""


def fit(
    flow: Flow,
    x: npt.ArrayLike,
    *,
    validation: npt.ArrayLike | None = None,
    epochs: int | None = None,
    time_limit: float | None = None,
    batch_size: int = 200,
    learning_rate: float | Schedule = 1e-3,
    optimizer: str | Optimizer = "adam",
    clip_norm: float | None = None,
    average: int | None = None,
    patience: int | None = None,
    callbacks: Iterable[Callable[[Flow, History], None]] = (),
    checkpoint: str | PathLike[str] | None = None,
    checkpoint_every: float = 60.0,
    resume: bool = False,
    progress: bool = True,
    rng: Rng = None,
) -> History:
    """Train a flow by maximum likelihood.

    Parameters
    ----------
    flow : Flow
        Changed in place.  At the end it has the weights of the best epoch by validation, or without validation the
        last (or the averaged) ones.
    x : array_like, shape (N, D)
        Training data.  uint8 is taken as pixels 0 .. 255: each time a sample is seen it becomes (x + u) / 256 with
        fresh noise u ~ U[0, 1).  Anything else is used as it is.
    validation : array_like, shape (M, D), optional
        Scored after each epoch, with noise drawn once.
    epochs : int, optional
        Passes through the data.  The same seed gives the same run to the bit.
    time_limit : float, optional
        Seconds, instead of `epochs`.  The share of the time that is spent steers the schedule, so the result depends
        on the machine.
    batch_size : int
        The last batch of an epoch may be smaller.
    learning_rate : float or Schedule
    optimizer : {"adam", "rmsprop-momentum", "sgd"} or Optimizer
    clip_norm : float, optional
        Scale the gradient down to this Euclidean norm where it is longer.
    average : int, optional
        Keep a running average of the weights over about this many steps, and validate and return that.
    patience : int, optional
        Stop after this many epochs without a better validation likelihood.
    callbacks : iterable of callable
        Each is called as ``callback(flow, history)`` after each epoch; `StopTraining` ends the run.
    checkpoint : path, optional
        Where to save the state of the run every `checkpoint_every` seconds, at the end, and on SIGINT and SIGTERM.
    resume : bool
        Go on from `checkpoint`.  In a run given in epochs the end is the same to the bit as without the stop.
    progress : bool
        Show a progress bar.
    rng : seed or numpy.random.Generator

    Returns
    -------
    History

    Raises
    ------
    NiceValueError, NiceTypeError
        Wrong arguments; NaN or inf in the data; another data set or setting than the checkpoint's.
    NiceFileError
        `checkpoint` cannot be written, or exists and `resume` is False; checked before the first step.
    DivergenceError
        The loss became NaN, infinite or absurd; names step, loss and learning rate.
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
    return _Training(
        flow, x, validation, epochs, time_limit, batch_size, get_schedule(learning_rate), get_optimizer(optimizer),
        clip_norm, average, patience, list(callbacks), checkpoint, checkpoint_every, resume, rng,
    ).run(progress)  # fmt: skip


def start_from_data(flow: Flow, x: npt.NDArray[Any]) -> None:
    """Set the mean and std of every unfitted Standardize layer next to the data; `fit` does so before its first step.

    Parameters
    ----------
    flow : Flow
    x : ndarray, shape (N, D)
        uint8 pixels count as dequantised.

    Notes
    -----
    A feature that never changes has no scale: its likelihood would grow without bound.  It gets std 1, and a warning.
    """
    first = getattr(flow.bijector, "layers", (flow.bijector,))[0]
    if not isinstance(first, Standardize) or first.fitted:
        return
    mean, std = moments(x)
    constant = std <= 1e-12 * (1 + np.abs(mean))
    if constant.any():
        warnings.warn(
            f"feature {constant.argmax()} never changes in the training data ({constant.sum()} in all): its density "
            "has no upper bound; drop it, or add noise",
            stacklevel=4,
        )
    first.set(mean, np.where(constant, 1.0, std))


class _Training:
    """One run of `fit`: the checked arguments, the state, and the loop."""

    def __init__(
        self,
        flow: Flow,
        x: Any,
        validation: Any,
        epochs: int | None,
        time_limit: float | None,
        batch_size: int,
        schedule: Schedule,
        optimizer: Optimizer,
        clip_norm: float | None,
        average: int | None,
        patience: int | None,
        callbacks: list[Callable[[Flow, History], None]],
        checkpoint: str | PathLike[str] | None,
        checkpoint_every: float,
        resume: bool,
        rng: Rng,
    ) -> None:
        if not isinstance(flow, Flow):
            raise NiceTypeError(f"fit: expected a Flow, got {type(flow).__name__}")
        if (epochs is None) == (time_limit is None):
            raise NiceValueError("fit: give either epochs or time_limit")
        self.flow, self.schedule, self.optimizer, self.callbacks = flow, schedule, optimizer, callbacks
        self.epochs = None if epochs is None else as_int(epochs, "fit", "epochs", 1)
        self.time_limit = None if time_limit is None else as_float(time_limit, "fit", "time_limit", above=0)
        self.batch_size = as_int(batch_size, "fit", "batch_size", 1)
        self.clip_norm = None if clip_norm is None else as_float(clip_norm, "fit", "clip_norm", above=0)
        self.average = None if average is None else as_int(average, "fit", "average", 1)
        self.patience = None if patience is None else as_int(patience, "fit", "patience", 1)
        if self.patience is not None and validation is None:
            raise NiceValueError("fit: patience needs validation data")
        self.x = self._data(x, "x")
        self.bin_width = BIN_WIDTH if self.x.dtype == np.uint8 else 1.0
        self.steps_per_epoch = -(-len(self.x) // self.batch_size)
        self.checkpoint = None if checkpoint is None else Path(checkpoint)
        self.checkpoint_every = as_float(checkpoint_every, "fit", "checkpoint_every", minimum=0)

        start_from_data(flow, self.x)
        settings = {
            "data": fingerprint(self.x),
            "batch_size": self.batch_size,
            "learning_rate": repr(schedule),
            "optimizer": repr(optimizer),
            "clip_norm": self.clip_norm,
            "average": self.average,
        }
        held_out = None if validation is None else self._data(validation, "validation")
        settings["validation"] = None if held_out is None else fingerprint(held_out)
        self.settings = settings
        if resume:
            self.state, self.validation_seed = self._resumed()
        else:
            self._refuse_existing()
            generator = as_rng(rng, "fit")
            self.validation_seed = int(generator.integers(2**63))
            self.state = TrainingState(generator)
        self.validation = (
            None if held_out is None else self._prepared(held_out, np.random.default_rng(self.validation_seed))
        )

    def run(self, progress: bool) -> History:
        state, done = self.state, self._done()
        bar = Progress(progress, done)
        self._clock, self._saved_at = time.perf_counter(), time.perf_counter()
        try:
            with StopSignals() as signals:
                while not state.finished:
                    self._step()
                    self._tick()
                    done, speed = self._done(), state.step * self.batch_size / max(state.seconds, 1e-9)
                    nats = state.nats_sum / state.position
                    bar.update(done, state.epoch, nats, to_bits_per_dim(nats, self.flow.dim, self.bin_width), speed)
                    if state.position == len(self.x) or done >= 1:
                        self._end_epoch(done)
                    if signals.received:
                        self._stop(signals.received)
                    if time.perf_counter() - self._saved_at > self.checkpoint_every:
                        self._save()
        finally:
            bar.close()
        self._save()
        self._keep_best()
        state.history.stopped = state.finished
        return state.history

    # -- one step -------------------------------------------------------------------------------------------------

    def _step(self) -> None:
        state, values = self.state, self.flow.params.values
        if state.position == 0:
            state.order = state.rng.permutation(len(self.x))
            state.nats_sum = 0.0
            self.optimizer.start_epoch(state.epoch)
        rows = state.order[state.position : state.position + self.batch_size]
        learning_rate = self.schedule(state.step, self._done())
        nll, grads = self._loss(self._prepared(self.x[rows], state.rng), learning_rate)
        if self.clip_norm is not None:
            clip_by_norm(grads, self.clip_norm)
        self.optimizer.step(values, grads, learning_rate)
        state.step += 1
        state.position += len(rows)
        state.nats_sum -= nll * len(rows)
        self._learning_rate = learning_rate
        if self.average is not None:
            if state.average is None:
                state.average = values.copy()
            # A plain mean of the first steps, then a window of about `average` of them.
            average_step(state.average, values, max(1 / self.average, 1 / state.step))

    def _loss(self, batch: Array, learning_rate: float) -> tuple[float, Array]:
        state = self.state
        try:
            nll, grads = self.flow.nll_and_grad(batch)
            if state.first_nll is None:
                state.first_nll = nll
            said = f"loss = {nll:.6g} nats"
            exploded = nll > state.first_nll + EXPLODED * self.flow.dim
        except NiceOverflowError as error:
            said, exploded = f"loss is not finite ({error})", True
        if exploded or not np.isfinite(np.vdot(grads, grads)):
            self._keep_best()
            raise DivergenceError(
                f"training diverged at step {state.step + 1}: {said}, learning rate = {learning_rate:.6g}; "
                "try a smaller learning rate, or clip_norm"
            )
        return nll, grads

    # -- one epoch ------------------------------------------------------------------------------------------------

    def _end_epoch(self, done: float) -> None:
        state = self.state
        row: dict[str, Any] = {
            "epoch": state.epoch,
            "step": state.step,
            "learning_rate": self._learning_rate,
            "train_log_likelihood": state.nats_sum / state.position,
            "validation_log_likelihood": None,
            "validation_bits_per_dim": None,
        }
        if self.validation is not None:
            score = self._validate()
            row["validation_log_likelihood"] = score
            row["validation_bits_per_dim"] = to_bits_per_dim(score, self.flow.dim, self.bin_width)
            state.stale += 1
            if state.best is None or score > state.best:
                state.best, state.stale, state.best_values = score, 0, self._weights().copy()
                state.history.best_epoch = state.epoch
        self._tick()
        state.history.rows.append({**row, "seconds": state.seconds})
        state.epoch += 1
        state.position = 0
        if done >= 1:
            state.finished = "epochs" if self.time_limit is None else "time limit"
        elif self.patience is not None and state.stale >= self.patience:
            state.finished = "patience"
        try:
            for callback in self.callbacks:
                callback(self.flow, state.history)
        except StopTraining:
            state.finished = "callback"

    def _validate(self) -> float:
        values = self.flow.params.values
        trained = values.copy()
        values[:] = self._weights()
        try:
            return float(self.flow.log_prob(self.validation).mean(dtype=np.float64))  # type: ignore[arg-type]
        except NiceOverflowError as error:
            raise DivergenceError(
                f"training diverged by step {self.state.step}: the validation loss is not finite ({error}), "
                f"learning rate = {self._learning_rate:.6g}; try a smaller learning rate, or clip_norm"
            ) from None
        finally:
            values[:] = trained

    def _weights(self) -> Array:
        """The weights that would be kept: the average, where there is one."""
        return self.flow.params.values if self.state.average is None else self.state.average

    def _keep_best(self) -> None:
        best = self._weights() if self.state.best_values is None else self.state.best_values
        self.flow.params.values[:] = best

    # -- data, clock, files ---------------------------------------------------------------------------------------

    def _data(self, x: Any, name: str) -> npt.NDArray[Any]:
        raw = as_real_array(x, "fit", name)
        checked = as_samples(raw, self.flow.dim, owner="fit", name=name, dtype=self.flow.dtype)
        if len(checked) == 0:
            raise NiceValueError(f"fit: {name} has 0 samples")
        return raw if raw.dtype == np.uint8 else checked

    def _prepared(self, x: npt.NDArray[Any], rng: np.random.Generator) -> Array:
        return dequantize(x, rng, self.flow.dtype) if x.dtype == np.uint8 else x

    def _done(self) -> float:
        if self.time_limit is not None:
            return self.state.seconds / self.time_limit
        return self.state.step / (self.steps_per_epoch * (self.epochs or 1))

    def _tick(self) -> None:
        now = time.perf_counter()
        self.state.seconds += now - self._clock
        self._clock = now

    def _save(self) -> None:
        if self.checkpoint is not None:
            save_state(self.checkpoint, self.flow, self.optimizer, self.state, self.settings, self.validation_seed)
        self._saved_at = time.perf_counter()

    def _stop(self, signum: int) -> None:
        self._save()
        where = f"saved {self.checkpoint}" if self.checkpoint is not None else "no checkpoint was asked for"
        raise TrainingInterrupted(f"stopped by {Signals(signum).name} at step {self.state.step}; {where}", signum)

    def _resumed(self) -> tuple[TrainingState, int]:
        if self.checkpoint is None:
            raise NiceValueError("fit: resume=True needs checkpoint=PATH")
        if not self.checkpoint.exists():
            raise NiceFileError(f"fit: nothing to resume, {self.checkpoint} does not exist")
        state, seed = load_state(self.checkpoint, self.flow, self.optimizer, self.settings)
        if state.finished and self._unfinished(state):
            state.finished = ""
        return state, seed

    def _unfinished(self, state: TrainingState) -> bool:
        """Whether this call allows more epochs or time than the finished run had."""
        if self.time_limit is not None:
            return state.finished == "time limit" and state.seconds < self.time_limit
        return state.finished == "epochs" and state.step < self.steps_per_epoch * (self.epochs or 1)

    def _refuse_existing(self) -> None:
        if self.checkpoint is None:
            return
        if self.checkpoint.exists():
            raise NiceFileError(f"fit: {self.checkpoint} exists; resume=True goes on from it, or delete it first")
        try:
            tempfile.TemporaryFile(dir=self.checkpoint.parent).close()
        except OSError as error:
            raise NiceFileError(f"fit: cannot write {self.checkpoint}: {error.strerror or error}") from error
