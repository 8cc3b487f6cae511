"""The models that are measured: NICE with additive couplings, described by four numbers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

Array = Any  # an array of whichever library


@dataclass(frozen=True)
class Model:
    """A NICE flow and the batch that it is trained on, all float32.

    Parameters
    ----------
    dim : int
        D, even: odd and even features are the two halves of each coupling.
    couplings : int
    hidden : tuple of int
        Widths of the hidden layers of each conditioner.
    batch : int
    """

    dim: int
    couplings: int
    hidden: tuple[int, ...]
    batch: int

    @property
    def sizes(self) -> tuple[int, ...]:
        """The widths of a conditioner from input to output."""
        return (self.dim // 2, *self.hidden, self.dim // 2)

    @property
    def n_parameters(self) -> int:
        """P: weights and biases of all conditioners, and the log-scales."""
        return self.couplings * sum((n_in + 1) * n_out for n_in, n_out in pairwise(self.sizes)) + self.dim

    @classmethod
    def from_json(cls, text: str) -> Model:
        """A model that another process wrote."""
        fields = json.loads(text)
        return cls(**{**fields, "hidden": tuple(fields["hidden"])})

    def flow(self) -> Any:
        """The model in nice_np; the other libraries start from its weights."""
        from nice_np import nice

        return nice(self.dim, self.couplings, self.hidden, preprocess=(), rng=0)

    def data(self, rows: int) -> Array:
        """Samples to train on: noisy digits where the model is one of digits, otherwise Gaussian noise.

        Never exact zeros, as noiseless pixels would be: weights behind a pixel that is always 0 get no gradient.
        """
        rng = np.random.default_rng(1)
        if self.dim != 784:
            return rng.standard_normal((rows, self.dim), dtype=np.float32)
        from nice_np import dequantize
        from nice_np.datasets import load

        return dequantize(load("mnist-small").train[:rows], rng, np.float32)

    def latents(self, rows: int) -> Array:
        """Points of the latent space, drawn from the logistic prior."""
        return np.random.default_rng(2).logistic(size=(rows, self.dim)).astype(np.float32)

    @property
    def architecture(self) -> str:
        """In words, without the batch."""
        widths = " - ".join(map(str, self.hidden))
        if len(set(self.hidden)) == 1:
            widths = f"{len(self.hidden)} x {self.hidden[0]}"
        return f"D {self.dim}, {self.couplings} couplings of {widths}"

    def __str__(self) -> str:
        return f"{self.architecture}, batch {self.batch}"
