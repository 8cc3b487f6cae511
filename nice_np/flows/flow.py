"""A normalizing flow: a prior and a bijector, log p(x) = log p_Z(f(x)) + log|det df/dx|.

Likelihoods are in nats of x as it is given; for 8-bit images, `bits_per_dim` turns them into the bits per pixel of the
integer image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import log
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from nice_np._blas import BLAS
from nice_np.bijectors.base import Bijector
from nice_np.bijectors.chain import layers_of
from nice_np.bijectors.rebuilding import Rebuilding
from nice_np.errors import NiceOverflowError, NiceTypeError, NiceValueError
from nice_np.flows.model import CHUNK, Model, in_chunks, mean_of_finite
from nice_np.flows.overflow import CURE, Passes, explain_overflow
from nice_np.flows.priors import (
    Prior,
    cast_like,
    check_dim,
    checked_backward,
    checked_gradient,
    checked_sample,
    get_prior,
    learned,
)
from nice_np.kernels import all_finite
from nice_np.parameters import Module, run_backward
from nice_np.pixels.dequantize import BIN_WIDTH, NOISE_SEED
from nice_np.suggestions import suggests
from nice_np.validation import (
    Array,
    Rng,
    as_context,
    as_flag,
    as_float,
    as_int,
    as_real_array,
    as_rng,
    as_samples,
    check_interval,
    check_shape,
)


class Flow(Model):
    """A density on R^D with exact likelihood and exact sampling.

    Parameters
    ----------
    prior : {"logistic", "normal"} or Prior
        One with parameters, such as `GaussianMixture`, is trained with the bijector, and gets its dtype.
    bijector : Bijector
        The map from data to latents.  Its parameters move into the flow's flat vector; a bijector belongs to one flow.
    context_dim : int
        C: the last C features of the bijector are a context c, such as a label, that no layer changes.  The flow is
        then a density of the other features given c, log p(x | c), and every method takes ``context``, (N, C).

    Attributes
    ----------
    dim : int
        D, the features of x, context not counted.
    context_dim : int
    dtype : dtype
        float32 or float64; input is converted to it.
    params : FlatParameters
        ``params.values`` and ``params.grads``, both (P,).

    Examples
    --------
    >>> from nice_np import DiagonalScaling
    >>> flow = Flow("normal", DiagonalScaling(2))
    >>> flow.log_prob([[0.0, 0.0]])  # -log 2 pi
    array([-1.83787707])
    >>> flow.sample(3, rng=0).shape
    (3, 2)
    """

    def __init__(self, prior: str | Prior, bijector: Bijector, context_dim: int = 0) -> None:
        if not isinstance(bijector, Bijector):
            raise NiceTypeError(f"Flow: expected a Bijector, got {bijector!r}; derive your own from nice_np.Bijector")
        self.context_dim = as_int(context_dim, "Flow", "context_dim", 0)
        if self.context_dim >= bijector.dim:
            raise NiceValueError(
                f"Flow: context_dim = {context_dim} leaves none of the bijector's {bijector.dim} features"
            )
        self.prior = get_prior(prior)
        self.bijector = bijector
        self.dim = bijector.dim - self.context_dim
        check_dim(self.prior, self.dim, "Flow")
        cast_like(self.prior, bijector)
        self._pack()

    # -- data to latents and back ---------------------------------------------------------------------------------

    def encode(self, x: npt.ArrayLike, context: npt.ArrayLike | None = None) -> Array:
        """z = f(x): (N, D) -> (N, D).

        Parameters
        ----------
        x : array_like, shape (N, D)
        context : array_like, shape (N, C) or (C,)
            For a flow with a context, and only there; one row of C floats stands for all samples.  Whole numbers of
            that shape may be labels, and are refused: see `one_hot`.

        Raises
        ------
        NiceValueError, NiceTypeError
            If `x` is not a finite real array of shape (N, D), or `context` none of (N, C).
        NiceOverflowError
            If the latents do not fit into the dtype; the message names the layer.
        """
        x = self._checked(x, context, "encode", "x")
        return self._in_chunks(lambda part: self._through(part, "forward")[0][:, : self.dim], x, "forward")

    def decode(self, z: npt.ArrayLike, context: npt.ArrayLike | None = None) -> Array:
        """x = f^-1(z): (N, D) -> (N, D); `context` and errors as in `encode`."""
        z = self._checked(z, context, "decode", "z")
        return self._in_chunks(lambda part: self._through(part, "inverse")[0][:, : self.dim], z, "inverse")

    @suggests
    def sample(self, n: int, rng: Rng = None, temperature: float = 1.0, context: npt.ArrayLike | None = None) -> Array:
        """`n` draws from the model, (n, D).

        Parameters
        ----------
        n : int
        rng : seed or numpy.random.Generator
        temperature : float
            Latents are multiplied by it: below 1 samples are more typical and less varied, 0 gives decode(0).
        context : array_like, shape (n, C) or (C,)
            What to draw, in a flow with a context.
        """
        n = as_int(n, "Flow.sample", "n", 0)
        temperature = as_float(temperature, "Flow.sample", "temperature", minimum=0)
        rng = as_rng(rng, "Flow.sample")
        c = self.checked_context(context, n, "Flow.sample")  # (n, C), or None
        x = np.empty((n, self.dim), self.dtype)
        for start in range(0, n, CHUNK):
            rows = slice(start, start + CHUNK)
            with np.errstate(over="ignore"):  # decode refuses infinite latents
                z = temperature * checked_sample(self.prior, len(x[rows]), self.dim, rng)
            x[rows] = self.decode(z, None if c is None else c[rows])
        return x

    # -- likelihood -----------------------------------------------------------------------------------------------

    def log_prob(self, x: npt.ArrayLike, context: npt.ArrayLike | None = None) -> Array:
        """log p(x), or log p(x | context), of each row in nats: (N, D) -> (N,); arguments and errors as in `encode`."""
        x = self._checked(x, context, "log_prob", "x")

        def change_of_variables(part: Array) -> Array:
            z, log_det = self._through(part, "forward")
            return self._log_density(part, z, log_det)

        return self._in_chunks(change_of_variables, x, "forward")

    def given_each_label(self, x: npt.ArrayLike) -> Array:
        """log p(x | k) for each one-hot context k: (N, D) -> (N, C); see `log_prob_by_label`."""
        return np.stack([self.log_prob(x, label) for label in np.eye(self.context_dim)], axis=1)

    def bits_per_dim(
        self,
        x: npt.ArrayLike,
        bin_width: float | None = None,
        context: npt.ArrayLike | None = None,
        rng: Rng = NOISE_SEED,
    ) -> float:
        """Mean of -log2 p(x) per dimension, in the unit of integers that were rescaled to steps of `bin_width`.

        Parameters
        ----------
        x : array_like, shape (N, D)
            Numbers, or uint8 pixels, which are dequantised.
        bin_width : float, optional
            By default that of pixels, 1/256, or the flow's own, ``flow.bin_width``, as in the history of training;
            1/256 if it has none.
        context : array_like, shape (N, C) or (C,)
        rng : seed or numpy.random.Generator
            Of the noise on pixels; by default the same noise at each call.

        Notes
        -----
        The probability of a bin is its density times bin_width^D, so bits/dim = (NLL - D log bin_width) / (D log 2):
        a uniform density on [0, 1] has exactly 8 bits/dim.
        """
        owner = "Flow.bits_per_dim"
        raw = as_real_array(x, owner, "x")
        log_prob = self.log_prob(self.from_data(raw, as_rng(rng, owner)), context)
        if len(log_prob) == 0:
            raise NiceValueError(f"{owner}: 0 samples; the mean needs at least one")
        width = self.bin_width_of(raw, default=BIN_WIDTH) if bin_width is None else bin_width
        return to_bits_per_dim(mean_of_finite(log_prob), self.dim, width)

    def nll_and_grad(
        self, x: npt.ArrayLike, context: npt.ArrayLike | None = None, *, recompute: bool = False
    ) -> tuple[float, Array]:
        """Mean negative log-likelihood of a batch and its gradient: what training minimises.

        Parameters
        ----------
        x : array_like, shape (N, D), N >= 1
        context : array_like, shape (N, C) or (C,)
        recompute : bool
            Store nothing of the layers and rebuild their inputs from their outputs on the way back: memory that does
            not grow with the number of layers, for one more evaluation of each conditioner.

        Returns
        -------
        nll : float
            -(1/N) sum_n log p(x_n), in nats.
        grads : ndarray, shape (P,)
            dNLL/dvalues: ``params.grads`` itself, overwritten by the next call.

        Raises
        ------
        NiceValueError, NiceTypeError, NiceOverflowError
            As `encode`; the last also for a gradient that does not fit into the dtype.
        DriftError
            If a rebuilt input has lost more than half of the dtype's digits: the layers' inverses, one after the
            other, enlarge rounding errors.  The message names the layer; ``params.grads`` is then NaN.
        """
        x = as_samples(x, self.dim, owner="Flow.nll_and_grad", dtype=self.dtype)
        self.check_samples(x, "Flow.nll_and_grad")
        context = self.checked_context(context, len(x), "Flow.nll_and_grad")
        recompute = as_flag(recompute, "Flow.nll_and_grad", "recompute")
        if len(x) == 0:
            raise NiceValueError("Flow.nll_and_grad: 0 samples; the mean needs at least one")
        with BLAS.following_load():
            nll, grads = Flow.unchecked_loss_and_grad(self, x, context, recompute)  # whatever a subclass trains instead
        if not all_finite(grads):
            raise NiceOverflowError(f"Flow: a gradient overflows {self.dtype}; {CURE}")
        return nll, grads

    def loss_and_grad(self, x: npt.ArrayLike, extra: Any = None) -> tuple[float, Array]:
        return self.nll_and_grad(x, extra)

    def objective(self, x: npt.ArrayLike, extra: Any = None) -> Array:
        return self.log_prob(x, extra)

    def unchecked_loss_and_grad(self, x: Array, extra: Array | None, recompute: bool = False) -> tuple[float, Array]:
        x = self._with_context(x, extra)  # (N, D + C)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # looked for below
            bijector = Rebuilding(self.bijector, self.dim) if recompute else self.bijector
            z, log_det, cache = bijector.forward(x)
            log_prob = self._log_density(x, z, log_det)  # (N,)
            if not np.isfinite(log_prob).all():
                explain_overflow(x, self._passes("forward"), log_prob, self.prior, self.dim)
            # L = -(1/N) sum_n [log p_Z(z_n) + log_det_n]:  dL/dlog p_Z(z_n) = dL/dlog_det_n = -1/N
            weights = np.full(len(x), z.dtype.type(-1 / len(x)))
            with self.params.backward_pass():
                dz = checked_backward(self.prior, weights, z[:, : self.dim])
                bijector.backward(self._pad(dz), weights, cache)
        return -mean_of_finite(log_prob), self.params.grads

    # -- gradients of the input -----------------------------------------------------------------------------------

    def grad_log_prob(self, x: npt.ArrayLike, context: npt.ArrayLike | None = None) -> Array:
        """d log p(x) / dx of each row: (N, D) -> (N, D).

        Leaves parameter gradients alone; arguments and errors as in `encode`.
        """
        return self._log_prob_and_grad(self._checked(x, context, "grad_log_prob", "x"))[:, 1:]

    def log_prob_and_grad(self, x: npt.ArrayLike, context: npt.ArrayLike | None = None) -> tuple[Array, Array]:
        """log p(x) (N,) and d log p(x) / dx (N, D) of each row, by one pass there and back.

        Leaves parameter gradients alone; arguments and errors as in `encode`.
        """
        both = self._log_prob_and_grad(self._checked(x, context, "log_prob_and_grad", "x"))
        return both[:, 0], both[:, 1:]

    def _log_prob_and_grad(self, x: Array) -> Array:
        """Both side by side, (N, 1 + D)."""

        def there_and_back(part: Array) -> Array:
            z, log_det, cache = self.bijector.forward(part)
            log_prob = self._log_density(part, z, log_det)
            dz, dlog_det = self._pad(checked_gradient(self.prior, z[:, : self.dim])), np.ones(len(part), part.dtype)
            dx = run_backward(self.bijector.backward, dz, dlog_det, cache, parameters=False)
            return np.column_stack([log_prob, dx[:, : self.dim]])

        return self._in_chunks(there_and_back, x, "forward")

    def decode_with_pullback(
        self, z: npt.ArrayLike, context: npt.ArrayLike | None = None
    ) -> tuple[Array, Array, Callable[[Array, Array], Array]]:
        """x = f^-1(z), log|det dx/dz|, and the map that takes a gradient with respect to them back to z.

        Parameters
        ----------
        z : array_like, shape (N, D)
        context : array_like, shape (N, C) or (C,)

        Returns
        -------
        x : ndarray, shape (N, D)
        log_det : ndarray, shape (N,)
            Of the inverse: log p(x) = log p_Z(z) - log_det.
        pullback : callable
            ``pullback(dx, dlog_det)``, (N, D) and (N,) -> dz (N, D), with dz = J^T dx + dlog_det d log_det/dz and
            J = dx/dz.  Leaves parameter gradients alone; NiceValueError for any other shapes.

        Raises
        ------
        NiceValueError, NiceTypeError, NiceOverflowError
            As `decode`; the last also from `pullback`, for a gradient that does not fit into the dtype.
        """
        z = self._checked(z, context, "decode_with_pullback", "z")
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # looked for below
            x, log_det, cache = self.bijector.inverse(z)
        if not (np.isfinite(x).all() and np.isfinite(log_det).all()):
            explain_overflow(z, self._passes("inverse"), np.column_stack([x, log_det]), self.prior, self.dim)

        def pullback(dx: Array, dlog_det: Array) -> Array:
            dx = as_real_array(dx, "Flow: pullback", "dx")
            dlog_det = as_real_array(dlog_det, "Flow: pullback", "dlog_det")
            check_shape(dx, (len(z), self.dim), "Flow: pullback", "dx")
            check_shape(dlog_det, (len(z),), "Flow: pullback", "dlog_det")
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # looked for below
                dx, dlog_det = dx.astype(self.dtype, copy=False), dlog_det.astype(self.dtype, copy=False)
                back = self.bijector.inverse_backward
                dz: Array = run_backward(back, self._pad(dx), dlog_det, cache, parameters=False)
            bad = ~np.isfinite(dz).all(axis=1)
            if bad.any():
                row = bad.argmax()
                raise NiceOverflowError(f"Flow: the gradient of row {row} in z overflows {self.dtype}; {CURE}")
            return dz[:, : self.dim]

        return x[:, : self.dim], log_det, pullback

    def config(self) -> dict[str, Any]:
        context = {"context_dim": self.context_dim} if self.context_dim else {}
        return {"prior": self.prior, "bijector": self.bijector, **context}

    def __repr__(self) -> str:
        rows = [(repr(part), f"{part.n_parameters:,}") for part in self._parts()]
        width = max(len(text) for text, _ in rows) + 2
        context = f", context_dim={self.context_dim}" if self.context_dim else ""
        kind, prior = type(self).__name__, type(self.prior).__name__
        head = f"{kind}(dim={self.dim}{context}, prior={prior}, {self.dtype}, {len(self.params):,} parameters)"
        return "\n".join([head, *(f"  {text:<{width}}{count:>12}" for text, count in rows)])

    # -- arguments ------------------------------------------------------------------------------------------------

    def check_samples(self, x: Array, owner: str) -> None:
        check_interval(x, self.bijector.interval, owner)

    def checked_context(self, context: Any, n: int, owner: str) -> Array | None:
        if self.context_dim:
            return as_context(context, n, self.context_dim, owner, self.dtype)
        if context is not None:
            raise NiceValueError(f"{owner}: this flow takes no context; build one with context_dim, see nice(...)")
        return None

    def _checked(self, x: Any, context: Any, method: str, name: str) -> Array:
        """Checked samples with their context behind them: (N, D + C), what the bijector takes."""
        owner = f"Flow.{method}"
        samples = as_samples(x, self.dim, owner=owner, name=name, dtype=self.dtype)
        if name == "x":
            self.check_samples(samples, owner)
        return self._with_context(samples, self.checked_context(context, len(samples), owner))

    def _with_context(self, x: Array, context: Array | None) -> Array:
        return x if context is None else np.concatenate([x, context], axis=1)

    def _pad(self, dz: Array) -> Array:
        """A gradient of the latents (N, D) as one of the bijector's output (N, D + C): none comes from the context."""
        return np.pad(dz, ((0, 0), (0, self.context_dim))) if self.context_dim else dz

    # -- inside ---------------------------------------------------------------------------------------------------

    @property
    def layers(self) -> tuple[Bijector, ...]:
        """The bijector's layers, data side first, see `nice_np.bijectors.chain.layers_of`."""
        return layers_of(self.bijector)

    def _parts(self) -> Iterable[Module]:
        return (*self.layers, self.prior) if learned(self.prior) else self.layers

    def _passes(self, direction: str) -> Passes:
        """The layers' forward passes, data side first, or their inverse passes, the other way round."""
        named = [(f"layer {i} ({type(layer).__name__})", layer) for i, layer in enumerate(self.layers)]
        return [(name, getattr(layer, direction)) for name, layer in named[:: 1 if direction == "forward" else -1]]

    def _through(self, x: Array, direction: str) -> tuple[Array, Array]:
        """x (n, D + C) after all passes, and log|det| (n,).

        Each layer's cache is dropped before the next one makes its own: no gradient follows, and memory that is reused
        at once is fast.
        """
        log_det = np.zeros((), x.dtype)
        for _, layer_pass in self._passes(direction):
            x, layer_log_det = layer_pass(x)[:2]
            log_det = log_det + layer_log_det
        return x, log_det

    def _in_chunks(self, function: Callable[[Array], Array], x: Array, direction: str) -> Array:
        def explain(rows: slice, result: Array) -> NoReturn:
            explain_overflow(x[rows], self._passes(direction), result, self.prior, self.dim, rows.start)

        return in_chunks(function, x, explain=explain)

    def _log_density(self, x: Array, z: Array, log_det: Array) -> Array:
        """log p(x) = log p_Z(z) + log|det dz/dx|: (n,); the context behind must be the same in x and z."""
        if self.context_dim and not np.array_equal(z[:, self.dim :], x[:, self.dim :]):
            raise NiceValueError(
                "Flow: the bijector changed the context; every layer must let it pass, see WithContext"
            )
        log_prior = self.prior.log_prob(z[:, : self.dim])
        for part, value in ((self.bijector, log_det), (self.prior, log_prior)):
            if np.shape(value) != (len(x),):  # NumPy would broadcast (N, 1) to (N, N) silently
                raise NiceValueError(
                    f"Flow: {type(part).__name__} must give one number per row, ({len(x)},), got {np.shape(value)}"
                )
        return log_prior + log_det


def to_bits_per_dim(log_likelihood: float, dim: int, bin_width: float) -> float:
    """Bits per dimension from a mean log-likelihood in nats.

    Parameters
    ----------
    log_likelihood : float
    dim : int
    bin_width : float
        See `Flow.bits_per_dim`.

    Returns
    -------
    float
        (-log_likelihood - D log bin_width) / (D log 2).

    Examples
    --------
    >>> round(to_bits_per_dim(1980.50, dim=784, bin_width=1 / 256), 2)  # the NICE paper's MNIST
    4.36
    """
    log_likelihood = as_float(log_likelihood, "bits_per_dim", "log_likelihood")
    dim = as_int(dim, "bits_per_dim", "dim", 1)
    bin_width = as_float(bin_width, "bits_per_dim", "bin_width", above=0)
    return (-log_likelihood - dim * log(bin_width)) / (dim * log(2))


def bits_unit(bin_width: float) -> str:
    """What to write behind a number of bits/dim: any bin width but that of 8-bit pixels in [0, 1] is named."""
    return "bits/dim" if bin_width == BIN_WIDTH else f"bits/dim (bin width {bin_width:.4g})"
