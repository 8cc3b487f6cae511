"""The loop behind `fit`: one step, one epoch, and what happens around them."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from signal import Signals
from typing import Any

import numpy as np

from nice_np._blas import BLAS
from nice_np.errors import DivergenceError, DriftError, NiceFileError, NiceOverflowError, TrainingInterrupted
from nice_np.flows.flow import bits_unit, to_bits_per_dim
from nice_np.flows.model import Model, mean_of_finite
from nice_np.kernels import average_kernel, average_step
from nice_np.training.data import TrainingData
from nice_np.training.divergence import (
    Setback,
    check_epoch,
    check_finite,
    check_step,
    go_back,
    rate_factor,
    remember,
    warn_of_the_end,
)
from nice_np.training.history import MEASURES, History, score_columns
from nice_np.training.optim import clip_by_norm
from nice_np.training.parallel import Gradient, in_threads
from nice_np.training.plan import Plan
from nice_np.training.progress import Progress
from nice_np.training.ranks import Team
from nice_np.training.signals import StopSignals
from nice_np.training.state import TrainingState, save_state
from nice_np.validation import Array, as_float

log = logging.getLogger(__name__)


class StopTraining(Exception):
    """Raise it in a callback to end training after this epoch, as if it were the last one."""


@dataclass
class Training:
    """One run."""

    model: Model
    data: TrainingData
    held_out: TrainingData | None
    plan: Plan
    state: TrainingState
    settings: dict[str, Any]  # of plan and data, as a checkpoint keeps them
    team: Team  # the processes that share the run

    def __post_init__(self) -> None:
        noise = np.random.default_rng(self.state.validation_seed)
        self.validation = None if self.held_out is None else self.held_out.drawn(self.model, noise)
        # If one of the two is pixels, the other is in their units, too.
        found = [data.x for data in (self.data, self.held_out) if data is not None]
        self.bin_width = self.model.bin_width = self.model.bin_width_of(*found, default=1.0)
        self.learning_rate = 0.0
        self.clock = time.perf_counter()
        self.saved_at = self.state.seconds

    def run(self, progress: bool) -> History:
        """Train until the plan, patience or a callback says stop; the model is left with the weights to keep."""
        plan, state = self.plan, self.state
        bar = Progress(progress and self.team.first, self._done(), MEASURES[self.model.measure])
        if not average_kernel.is_compiled:
            log.info("loops run in NumPy: Numba is not installed, or switched off")
        if state.position > 0:  # resumed in the middle of an epoch
            plan.optimizer.start_epoch(state.epoch)
        shards = in_threads(self.model, plan.threads, plan.batch_size, plan.recompute, plan.compiled)
        try:
            with StopSignals() as signals, shards as source:
                gradient = self.team.gradient(source, self.model.params.grads)
                while not state.finished:
                    self._advance(gradient, bar)
                    if signum := self.team.largest(signals.received):
                        self._interrupt(signum)
                    if state.seconds - self.saved_at > plan.checkpoint_every:
                        self._save()
                self._save()
        except NiceFileError:  # the weights are worth more than the file
            self._keep_best()
            raise
        finally:
            bar.close()
        self._keep_best()
        state.history.stopped = state.finished
        if self.team.first:
            warn_of_the_end(self.model, self.data, state)
        log.info("training is over (%s): %r", state.finished, state.history)
        return state.history

    def _advance(self, gradient: Gradient, bar: Progress) -> None:
        """One step, and the end of the epoch after its last one; or back to the start of the epoch."""
        try:
            self._step(gradient)
            self._show(bar)
            done = self._done()
            if self.state.position == len(self.data) or done >= 1:
                self._end_epoch(done)
        except Setback as why:
            self._go_back(why)

    # -- one step -------------------------------------------------------------------------------------------------

    def _step(self, gradient: Gradient) -> None:
        state, plan, values = self.state, self.plan, self.model.params.values
        if state.position == 0 or state.last_good is None:  # None: resumed from an older version's checkpoint
            remember(state, values, plan.optimizer)
        if state.position == 0:
            state.order = state.rng.permutation(len(self.data))
            state.nats_sum = 0.0
            plan.optimizer.start_epoch(state.epoch)
        rows = state.order[state.position : state.position + plan.batch_size]
        # A user's schedule may return any number; the history needs a plain float.
        rate = as_float(plan.schedule(state.step, self._done()), "fit", "learning_rate", minimum=0)
        self.learning_rate = rate * rate_factor(state)
        x, extra = self.data.rows(rows).drawn(self.model, state.rng)  # (n, D), and a context or noise (n, C)
        BLAS.look()  # the machine may be busier by now, or idle again
        try:
            loss, grads = gradient(x, extra)
        except DriftError:
            self._keep_best()
            raise
        except NiceOverflowError as error:
            check_finite(values, plan.optimizer)  # they are the cause, if the gradient of the step before was not
            raise Setback(f"loss or gradient is not finite ({error})") from None
        check_step(loss, state, self.model.dim)
        if plan.clip_norm is not None:
            clip_by_norm(grads, plan.clip_norm)
        plan.optimizer.step(values, grads, self.learning_rate)
        state.step += 1
        state.position += len(rows)
        state.nats_sum -= loss * len(rows)
        if plan.average is not None:
            if state.average is None:
                state.average = values.copy()
            # The plain mean of the first steps, then an exponential one over about `average` steps.
            average_step(state.average, values, max(1 / plan.average, 1 / state.step))
        self._tick()

    def _go_back(self, why: Setback) -> None:
        """Begin the epoch again with half the learning rate, or give up."""
        step, history = self.state.step + 1, self.state.history
        if go_back(self.state, self.model.params.values, self.plan.optimizer, why):
            log.warning("%s", history.setbacks[-1])
            return
        self._keep_best()
        history.stopped = "divergence"
        raise DivergenceError(
            f"training diverged at step {step}: {why}, learning rate = {self.learning_rate:.6g}, after "
            f"{len(history.setbacks)} retries with half the rate each; try a smaller learning rate, or clip_norm",
            history,
        ) from None

    # -- one epoch ------------------------------------------------------------------------------------------------

    def _end_epoch(self, done: float) -> None:
        state, plan = self.state, self.plan
        check_finite(self.model.params.values, plan.optimizer)
        check_epoch(state, len(self.data), self.model.dim)
        score, bits = self._validate()
        if score is not None:
            state.epochs_since_best += 1
            if state.best is None or score > state.best:
                state.best, state.epochs_since_best, state.best_values = score, 0, self._weights().copy()
                state.history.best_epoch = state.epoch
        self._tick()
        train, held_out = score_columns(self.model.measure)
        row = {
            "epoch": state.epoch,
            "step": state.step,
            "learning_rate": self.learning_rate,
            train: state.nats_sum / state.position,
            held_out: score,
            "validation_bits_per_dim": bits,
            "seconds": state.seconds,
        }
        state.history.rows.append(row)
        log.debug("epoch %d: %s", state.epoch, row)
        state.epoch += 1
        state.position = 0
        if done >= 1:
            state.finished = "epochs" if plan.time_limit is None else "time limit"
        elif plan.patience is not None and state.epochs_since_best >= plan.patience:
            state.finished = "patience"
        if self.team.from_first(self._stopped_by_callback):
            state.finished = "callback"

    def _stopped_by_callback(self) -> bool:
        try:
            for callback in self.plan.callbacks:
                callback(self.model, self.state.history)
        except StopTraining:
            return True
        return False

    def _validate(self) -> tuple[float | None, float | None]:
        """The mean validation objective, and in bits per dimension; None without validation data."""
        validation = self.validation
        if validation is None:
            return None, None
        try:
            score = self.team.from_first(lambda: self._score(*validation))
        except NiceOverflowError as error:
            raise Setback(f"the validation loss is not finite ({error})") from None
        return score, self._bits(score)

    def _score(self, x: Array, extra: Array | None) -> float:
        """The mean objective of the weights that would be kept now."""
        values = self.model.params.values
        trained = values.copy()
        values[:] = self._weights()
        try:
            return mean_of_finite(self.model.objective(x, extra))
        finally:
            values[:] = trained

    def _weights(self) -> Array:
        """The weights that would be kept now: the average, if there is one."""
        return self.model.params.values if self.state.average is None else self.state.average

    def _keep_best(self) -> None:
        best = self._weights() if self.state.best_values is None else self.state.best_values
        self.model.params.values[:] = best

    def _bits(self, score: float) -> float | None:
        """A likelihood, or a bound on it, in bits per dimension."""
        if "nats" not in MEASURES[self.model.measure]:
            return None
        return to_bits_per_dim(score, self.model.dim, self.bin_width)

    # -- around it ------------------------------------------------------------------------------------------------

    def _done(self) -> float:
        return self.plan.done(self.state, len(self.data))

    def _tick(self) -> None:
        now = time.perf_counter()
        self.state.seconds = self.team.share(self.state.seconds + now - self.clock)
        self.clock = now

    def _show(self, bar: Progress) -> None:
        if bar.show is None:
            return
        state = self.state
        nats = state.nats_sum / state.position
        samples = (state.epoch - 1) * len(self.data) + state.position
        speed = samples / max(state.seconds, 1e-9)
        bar.update(self._done(), state.epoch, nats, self._bits(nats), speed, bits_unit(self.bin_width))

    def _save(self) -> None:
        try:
            check_finite(self.model.params.values, self.plan.optimizer)
        except Setback as why:
            self._go_back(why)
        with self.team.together():
            if self.plan.checkpoint is not None and self.team.first:
                save_state(self.plan.checkpoint, self.model, self.plan.optimizer, self.state, self.settings)
        self._tick()
        self.saved_at = self.state.seconds

    def _interrupt(self, signum: int) -> None:
        self._save()
        where = "there is no checkpoint" if self.plan.checkpoint is None else f"saved {self.plan.checkpoint}"
        raise TrainingInterrupted(f"stopped by {Signals(signum).name} at step {self.state.step}; {where}", signum)
