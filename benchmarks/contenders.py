"""Who takes part: the names, what each needs to be installed, and how each is built."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from typing import Any

from benchmarks.contender import LEARNING_RATE, Contender, Unavailable
from benchmarks.model import Model
from benchmarks.weights import Weights

CONTENDERS = {  # name: what it is
    "nice_np": "gradients by hand, Adam",
    "nice_np-mkl": "the same, its products by MKL instead of NumPy's OpenBLAS",
    "torch": "PyTorch eager, Adam as it comes",
    "torch-fused": "PyTorch eager, Adam(fused=True)",
    "torch-compile": "torch.compile, Adam(fused=True)",
    "jax": "JAX, one jit for the whole step, buffers donated",
}
ONE_OF_EACH = ("nice_np", "torch", "jax")  # where no optimiser takes part


def build(name: str, model: Model, weights: Weights | None = None, learning_rate: float = LEARNING_RATE) -> Contender:
    """The contender of that name.

    Parameters
    ----------
    name : str
        One of CONTENDERS.
    model : Model
    weights : Weights, optional
        What the others start from, by default random; nice_np has them from ``model.flow()``.
    learning_rate : float
        Of Adam.

    Raises
    ------
    Unavailable
        If its library is not installed, or lacks something.
    """
    check_installed(name)
    if name.startswith("nice_np"):
        from benchmarks.with_numpy import MKLModel, NumpyModel

        return (NumpyModel if name == "nice_np" else MKLModel)(model, learning_rate=learning_rate)
    weights = weights or Weights.random(model)
    if name == "jax":
        from benchmarks.with_jax import JaxModel

        return JaxModel(model, weights, learning_rate)
    from benchmarks.with_torch import TorchModel

    fused, compiled = name != "torch", name == "torch-compile"
    return TorchModel(model, weights, fused, compiled, learning_rate)


def around_steps(contender: Contender, rows: int) -> AbstractContextManager[Any]:
    """What a contender wants to have around its training steps with batches of so many rows; most want nothing."""
    around: Callable[[int], AbstractContextManager[Any]] | None = getattr(contender, "around_steps", None)
    return nullcontext() if around is None else around(rows)


def check_installed(name: str) -> None:
    """Unavailable if the library behind a contender is not installed."""
    library = name.split("-")[0]
    if find_spec(library) is None:
        raise Unavailable(f"{library} is not installed")
