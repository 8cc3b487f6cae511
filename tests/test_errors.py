"""The exceptions: one family, and each can be sent from one process to another."""

import inspect
import pickle

import pytest

from nice_np import DivergenceError, NiceError, StopTraining, TrainingInterrupted, errors
from nice_np.checks.report import CheckError, GradientError
from nice_np.commands.parsing import UsageError

FAMILY = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, BaseException)]


@pytest.mark.parametrize("kind", FAMILY)
def test_one_family(kind):
    assert issubclass(kind, NiceError) != (kind is TrainingInterrupted)
    assert not issubclass(TrainingInterrupted, Exception)


@pytest.mark.parametrize("kind", [*FAMILY, CheckError, GradientError, StopTraining, UsageError])
def test_every_error_can_be_pickled(kind):
    """Process pools send exceptions; one that cannot be unpickled breaks the pool."""
    more = {TrainingInterrupted: (15,), DivergenceError: ("epochs before",)}.get(kind, ())
    error = kind("what came", *more)
    error.note = "kept"
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == "what came"
    assert vars(again) == vars(error)


@pytest.mark.parametrize("kind", [kind for kind in FAMILY if issubclass(kind, NiceError)])
def test_long_messages_are_shortened_in_the_middle(kind):
    message = str(kind("file.npz: got " + "x" * 10**6 + "; do this"))
    assert len(message) < 2100
    assert message.startswith("file.npz: got x")
    assert message.endswith("; do this")
    assert str(kind("short")) == "short"
    assert str(CheckError("x" * 10**5)) == "x" * 10**5, "a report is kept whole"
