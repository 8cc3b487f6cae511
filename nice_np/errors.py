"""The exceptions of nice_np: each is a NiceError and also the built-in exception that a Python programmer would expect.

``except ValueError`` catches a bad argument, ``except NiceError`` every error that the library raises on purpose.  Only
`TrainingInterrupted` is not a NiceError: a signal is no error, and must pass through such clauses.  Each message names
the argument or file, what was found, and what is allowed.
"""

from typing import Any, ClassVar


class NiceError(Exception):
    """Base class of every error that nice_np raises on purpose; the middle of a very long message is left out."""

    longest: ClassVar[int] = 2000  # characters: an array, or a name in a hostile file, may have millions

    def __init__(self, message: str = "", *more: Any) -> None:
        if len(message) > self.longest:
            half = self.longest // 2 - 20
            message = f"{message[:half]} ... ({len(message)} characters) ... {message[-half:]}"
        super().__init__(message, *more)


class NiceValueError(NiceError, ValueError):
    """An argument of the right type has a value that is not allowed."""


class NiceTypeError(NiceError, TypeError):
    """An argument has the wrong type."""


class NiceOverflowError(NiceError, OverflowError):
    """A finite input led to a number too large for the dtype; the message names the layer."""


class NiceFileError(NiceError, OSError):
    """A file or folder cannot be read or written; the message names the path."""


class DivergenceError(NiceError, ArithmeticError):
    """Training left the finite numbers; the message names step, loss and learning rate.

    Attributes
    ----------
    history : History or None
        What `fit` would have returned: the epochs finished before, with `stopped` "divergence".  None if `fit` did not
        raise the error.

    Examples
    --------
    >>> import numpy as np
    >>> from nice_np import DivergenceError, fit, nice
    >>> x = np.random.default_rng(0).normal(size=(400, 2))
    >>> try:
    ...     history = fit(nice(2, rng=0), x, epochs=3, learning_rate=1e6, progress=False, rng=0)
    ... except DivergenceError as error:
    ...     history = error.history
    >>> history.stopped
    'divergence'
    """

    def __init__(self, message: str, history: Any = None) -> None:
        super().__init__(message)
        self.history = history


class DriftError(NiceError, ArithmeticError):
    """Activations rebuilt by the inverse differ from those of the forward pass; the message names the layer."""


class CheckpointError(NiceError, ValueError):
    """A model or checkpoint file is damaged, not ours or of another version; the message names file and member."""


class DatasetError(NiceError, OSError):
    """A data file is missing, damaged or not what it should be; the message names the file."""


class NiceImportError(NiceError, ImportError):
    """An optional package is not installed; the message says how to install it."""


class TrainingInterrupted(KeyboardInterrupt):
    """SIGINT or SIGTERM stopped ``fit`` or a command; if a checkpoint was asked for, it was written first.

    A KeyboardInterrupt, so that ``except Exception`` does not swallow it and a script with several fits stops.

    Attributes
    ----------
    signum : int
        The signal's number.
    """

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.signum = signum

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions are pickled by their `args`, which hold the message alone.
        return type(self), (str(self), self.signum), vars(self)
