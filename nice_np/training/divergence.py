"""When a training goes wrong: how `fit` notices, and how it goes back to the last good weights.

A step explodes where its loss or gradient is not finite, or its loss is absurd.  An epoch collapses where its mean lies
far below that of the best epoch so far.  How far is a question of the unit: log p of a sample is a sum over D features,
each of which contributes a number of about 1 with a spread of about 1, so the natural unit of log p is sqrt(D) nats.
The mean over an epoch varies by a fraction of that unit from one epoch to the next, and falls by many where the weights
are lost.

The cause is a learning rate that is too high, often only for a few samples.  So `fit` keeps the state of the run at the
start of each epoch, and begins the epoch again from there with half the rate.
"""

from __future__ import annotations

import logging
import warnings

import numpy as np

from nice_np.errors import NiceOverflowError
from nice_np.flows.flow import Flow
from nice_np.flows.model import Model
from nice_np.training.data import TrainingData
from nice_np.training.history import score_columns
from nice_np.training.optim import Optimizer
from nice_np.training.state import REWOUND, LastGood, TrainingState
from nice_np.validation import Array

log = logging.getLogger(__name__)

EXPLODED = 1e4  # nats per dimension above the first loss: no model recovers from there
COLLAPSED = 6.0  # units of sqrt(D) nats
RETRIES = 4  # each halves the learning rate
SHORT = 100  # steps: a large network often gets worse before it gets better
FEW, FAR = 100, 1e6  # samples that are drawn in the end, and a multiple of the data that none of them should reach


class Setback(Exception):
    """A step or an epoch has gone wrong, for the reason that it gives."""


def rate_factor(state: TrainingState) -> float:
    """The factor on the learning rate: each setback halves it."""
    return 0.5 ** len(state.history.setbacks)


def check_step(loss: float, state: TrainingState, dim: int) -> None:
    """Raise Setback if the loss of a step, in nats, has exploded."""
    if state.first_nll is None:
        state.first_nll = loss
    if loss > state.first_nll + EXPLODED * dim:
        raise Setback(f"loss = {loss:.6g} nats")


def check_epoch(state: TrainingState, n_samples: int, dim: int) -> None:
    """Raise Setback if the epoch that ends has collapsed.

    With the retries used up it may fall below the best epoch, but not below the first step.  The first epoch is
    compared with nothing: large networks often get much worse before they get better.
    """
    scores = state.history.column(score_columns(state.history.measure)[0])
    if not scores or state.first_nll is None:
        return
    level = max(scores) if len(state.history.setbacks) < RETRIES else -state.first_nll
    # Summed over the samples, so that an epoch cut short after one bad batch is not judged by that batch alone.
    if level * state.position - state.nats_sum > COLLAPSED * np.sqrt(dim) * n_samples:
        raise Setback(f"the mean of the epoch fell from {level:.6g} to {state.nats_sum / state.position:.6g} nats")


def check_finite(values: Array, optimizer: Optimizer) -> None:
    """Raise Setback if a weight, or a number in the optimiser's state, is not finite."""
    if not np.isfinite(values).all():
        raise Setback("the weights are not finite")
    if not all(np.isfinite(vector).all() for vector in optimizer.state().values()):
        # In float32 the square of a gradient of 1e20 overflows, and Adam never moves that parameter again.
        raise Setback("the optimiser's state is not finite")


def remember(state: TrainingState, values: Array, optimizer: Optimizer) -> None:
    """Keep the state of a run while all is well."""
    vectors = {"values": values, **optimizer.state()}
    if state.average is not None:
        vectors["average"] = state.average
    state.last_good = LastGood(
        {name: getattr(state, name) for name in REWOUND},
        optimizer.steps,
        state.rng.bit_generator.state,
        {name: vector.copy() for name, vector in vectors.items()},
    )


def go_back(state: TrainingState, values: Array, optimizer: Optimizer, why: Setback) -> bool:
    """Restore what `remember` kept, random numbers included: the end does not depend on when the trouble was seen.

    False if all retries are used up; the weights are restored all the same.
    """
    step, good = state.step, state.last_good
    if good is not None:  # None before the first step
        vectors = {name: vector.copy() for name, vector in good.vectors.items()}
        values[:] = vectors.pop("values")
        state.average = vectors.pop("average", None)
        state.rng.bit_generator.state = good.rng
        for name, value in good.counters.items():
            setattr(state, name, value)
        optimizer.restore(good.optimizer_steps, vectors)
    if len(state.history.setbacks) == RETRIES:
        return False
    rate = rate_factor(state) / 2
    state.history.setbacks.append(f"step {step + 1}: {why}; back to step {state.step}, learning rate x {rate:g}")
    return True


def warn_of_the_end(model: Model, data: TrainingData, state: TrainingState) -> None:
    """Warn if the weights are worse than those of the start, or samples are absurdly large."""
    history = state.history
    train, held_out = score_columns(history.measure)
    scores = [score for score in history.column(held_out) if score is not None] or history.column(train)[-1:]
    first = -np.inf if state.first_nll is None or state.step < SHORT else -state.first_nll
    if scores and first - max(scores) > COLLAPSED * np.sqrt(model.dim):
        warnings.warn(
            f"fit: training ended at {max(scores):.6g} nats, far below the {first:.6g} nats of its first step; "
            "the learning rate is too high, or the training was too short",
            stacklevel=5,
        )
    if isinstance(model, Flow):
        _warn_of_samples(model, data)


def _warn_of_samples(flow: Flow, data: TrainingData) -> None:
    context = None if data.context is None else data.context[:FEW]
    largest = FAR * float(np.abs(data.x[:FEW]).max())
    try:
        drawn = float(np.abs(flow.sample(len(data.x[:FEW]), 0, context=context)).max())
        problem = f"reach {drawn:.3g}" if drawn > largest else ""
    except NiceOverflowError as error:
        problem = f"overflow ({error})"
    except Exception as error:  # a layer of the user's own without an inverse: training does not need one
        log.info("no samples to look at, the inverse fails: %r", error)
        return
    if problem:
        warnings.warn(
            f"fit: samples of the trained flow {problem}: its inverse is unstable; try a smaller learning rate, "
            "clip_norm or weight decay",
            stacklevel=6,
        )
