"""A flow as a scikit-learn estimator, a density and a map to latents, for pipelines and searches.

Needs scikit-learn, ``pip install "nice-np[sklearn]"``; ``import nice_np`` does not import it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from copy import deepcopy
from inspect import signature
from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.bijectors import Bijector, PCAWhitening, Rescale, Standardize
from nice_np.errors import NiceImportError, NiceTypeError, NiceValueError
from nice_np.flows.autoregressive_flows import maf
from nice_np.flows.builders import default_hidden, nice, real_nvp
from nice_np.flows.flow import Flow
from nice_np.flows.law_flows import mixture_flow, spline_flow
from nice_np.flows.priors import Prior, get_prior
from nice_np.pixels.dequantize import NOISE_SEED
from nice_np.suggestions import suggests
from nice_np.training.fit import fit, start_from_data
from nice_np.training.history import History
from nice_np.training.optim import Adam
from nice_np.validation import Array, as_choice, as_dtype, as_float, as_int, as_real_array, as_rng

try:
    from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, DensityMixin, TransformerMixin
    from sklearn.utils.validation import check_array, check_is_fitted, validate_data
except ImportError as error:
    raise NiceImportError('nice_np.sklearn needs scikit-learn 1.6 or newer: pip install "nice-np[sklearn]"') from error

__all__ = ["NICEDensity"]
ARCHITECTURES: dict[str, Callable[..., Flow]] = {
    "nice": nice,
    "real_nvp": real_nvp,
    "maf": maf,
    "spline": spline_flow,
    "mixture": mixture_flow,
}
PARTITION = "odd-even"
DTYPES = [np.float64, np.uint8]  # what X becomes: uint8, which means pixels, stays
FLOOR = 1e-3  # added to each principal variance of the standardised features
FOLDS = 5  # of the cross-validation
SCORED = 1000  # held-out samples that are enough: further folds are not trained
PATIENCE = 200  # steps without a better score, after which a fold stops
RandomState = int | np.random.Generator | np.random.RandomState | None


class NICEDensity(ClassNamePrefixFeaturesOutMixin, TransformerMixin, DensityMixin, BaseEstimator):
    """Density estimation with a normalizing flow (NICE, Dinh et al. 2014; RealNVP, Dinh et al. 2016).

    As a density it has `score_samples`, `score` and `sample`; as a transformer, `transform` maps data to latents that
    are nearly independent and distributed like the prior, and `inverse_transform` maps them back.

    Parameters
    ----------
    architecture : {"nice", "real_nvp", "maf", "spline", "mixture"} or callable
        Additive or affine couplings; affine, spline or mixture autoregressive layers.  A callable is called as
        ``architecture(dim, couplings=..., hidden=..., prior=..., partition=..., preprocess=..., dtype=..., rng=...)``
        and returns a `Flow`; one with ``layers`` in the place of ``couplings`` or without ``partition``, as
        `nice_np.iaf`, is called in its own words.  For a search in several processes it must be a module-level
        function.
    couplings : int
        Or autoregressive layers.
    hidden : sequence of int, optional
        Widths of the hidden layers in each coupling.  By default two layers, as wide as there are features, but at
        least 64 and at most 256.
    prior : {"logistic", "normal"} or Prior
        The tails: log p falls linearly with the distance of an outlier under "logistic", with its square under
        "normal", see Notes.
    partition : {"odd-even", "halves"} or Partition
    preprocess : sequence of {"standardize", "logit", "equalize", "rescale", "zca", "pca"} or Bijector, optional
        Fixed layers between data and couplings, which count in the likelihood; see `nice_np.nice`.  By default the
        features are standardised and whitened (PCA), with 0.001 added to each variance: a floor for features that
        are constant, or a sum of others.
    epochs : int, optional
        Maximum number of epochs; see `patience`.  By default cross-validation finds the number of steps, see Notes;
        with a `validation_fraction`, as many epochs as take `steps` steps.
    batch_size : int, optional
        By default a twentieth of the samples, but at least 50 and at most 200.
    learning_rate : float or Schedule
    clip_norm : float, optional
        Gradients with a larger norm are scaled down to it.
    validation_fraction : float
        The fraction of the samples, in [0, 1), that is held out and scored after each epoch; the weights of the best
        epoch are kept.  0 holds nothing out and keeps the last weights.
    patience : int, optional
        Stop after this many epochs without a better validation score; needs a `validation_fraction`.
    dtype : {"float64", "float32"}
        Of the weights.  "float32" is faster and precise enough for large data.
    random_state : int, Generator, RandomState or None
        For the initial weights, the held-out samples and the order of the batches.  NumPy's global generator is never
        used: with None each call of `fit` differs.
    verbose : bool
        Show a progress bar.
    steps : int
        Maximum number of steps if `epochs` is None, whatever the number of samples, and at least one epoch.  More than
        the default pay for thousands of samples.
    weight_decay : float
        See `nice_np.training.optim.Adam`.
    average : int, optional
        The weights are averaged over about this many steps, see `nice_np.fit`.

    Attributes
    ----------
    flow_ : Flow
    history_ : History
        Scores of each epoch of the training of `flow_`; no rows if the untrained flow was best.
    held_out_scores_ : ndarray, shape (n_epochs + 1,)
        After a cross-validation: mean log p(x) of held-out samples after 0, 1, ... epochs.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        If `X` had column names.

    Notes
    -----
    All scores are nats of the given `X`.  uint8 means pixels: `fit` and `score_samples` add the noise that gives them a
    density, see `nice_np.dequantize` (scores with the same noise at each call), `transform` refuses them.  Other
    integers are treated as real numbers, so how high their density is depends on the floor of the whitening.

    **When to stop.**  A flow can learn a hundred samples by heart.  By default `fit` trains on four fifths of the
    samples and scores the rest before the first epoch and after each one, until 200 steps bring nothing better.  It
    does so for as many of five such folds as hold 1000 samples, and averages the scores.  Then a new flow is trained on
    all samples for the number of steps with the best mean.  The untrained flow is whitening and prior: under "normal"
    it is the Gaussian with the samples' covariance, so training starts there, and ends there if nothing is better.

    **Tails.**  A sample far from the others, or a pixel that was never lit in training, lies hundreds of standard
    deviations out.  A Gaussian pays half the square of that.  The logistic prior pays in proportion to it, also behind
    affine couplings, whose multipliers are bounded.  On data that are Gaussian it costs 0.01 nats a feature.
    `results/small_tables.md` compares both, and Gaussian mixtures, on five data sets.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from nice_np.sklearn import NICEDensity
    >>> X = load_iris().data
    >>> density = NICEDensity(random_state=0).fit(X)
    >>> density.score_samples(X).shape, density.transform(X).shape
    ((150,), (150, 4))
    >>> bool(np.allclose(density.inverse_transform(density.transform(X)), X))
    True
    """

    @suggests
    def __init__(
        self,
        architecture: str | Callable[..., Flow] = "nice",
        couplings: int = 4,
        hidden: Sequence[int] | None = None,
        prior: str | Prior = "logistic",
        partition: Any = PARTITION,
        preprocess: Sequence[str | Bijector] | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: Any = 2e-3,
        clip_norm: float | None = None,
        validation_fraction: float = 0.0,
        patience: int | None = None,
        dtype: str = "float64",
        random_state: RandomState = None,
        verbose: bool = False,
        steps: int = 2000,
        weight_decay: float = 1.0,
        average: int | None = 50,
    ) -> None:
        # Stored unchanged and checked by fit, since scikit-learn clones estimators from them.
        self.architecture = architecture
        self.couplings = couplings
        self.hidden = hidden
        self.prior = prior
        self.partition = partition
        self.preprocess = preprocess
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.clip_norm = clip_norm
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.dtype = dtype
        self.random_state = random_state
        self.verbose = verbose
        self.steps = steps
        self.weight_decay = weight_decay
        self.average = average

    def fit(self, X: npt.ArrayLike, y: Any = None) -> NICEDensity:
        """Build a new flow and train it by maximum likelihood.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            At least two features and two samples.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        NiceValueError, NiceTypeError
            Wrong settings.
        ValueError
            From scikit-learn: `X` is not a finite, dense, real array.
        DivergenceError
            If training diverged; a smaller learning rate or `clip_norm` may help.
        """
        samples = validate_data(self, unmasked(X), dtype=DTYPES, ensure_min_samples=2, ensure_min_features=2)
        rng = as_generator(self.random_state)
        training, held_out = self._split(samples, rng)
        self.__dict__.pop("held_out_scores_", None)  # of an earlier fit with other settings
        if self.epochs is not None:
            epochs = as_int(self.epochs, "NICEDensity", "epochs", 1)
        elif held_out is None and self.patience is None:
            epochs = self._best_number_of_epochs(samples, rng)
        else:
            epochs = self._most_epochs(len(training))
        self.flow_ = self._new_flow(samples.shape[1], rng)
        if epochs > 0:
            self.history_ = self._train(self.flow_, training, held_out, epochs, self.patience, rng)
        else:
            start_from_data(self.flow_, samples)
            self.history_ = History()
        return self

    def _best_number_of_epochs(self, samples: Array, rng: np.random.Generator) -> int:
        """The number after which held-out samples scored best in a cross-validation; 0 if the untrained flow did."""
        folds = np.array_split(rng.permutation(len(samples)), min(FOLDS, len(samples)))
        n_training = len(samples) - len(folds[0])
        patience = max(1, PATIENCE // self._steps_per_epoch(n_training))
        curves = []
        with warnings.catch_warnings():  # the training on all samples gives the warnings
            warnings.simplefilter("ignore", UserWarning)
            for fold in folds[: -(-SCORED // len(folds[0]))]:  # as many as hold SCORED samples
                training, held_out = np.delete(samples, fold, axis=0), samples[fold]
                flow = self._new_flow(samples.shape[1], rng)
                start_from_data(flow, training)
                untrained = float(flow.log_prob(flow.from_data(held_out, NOISE_SEED)).mean())
                history = self._train(flow, training, held_out, self._most_epochs(n_training), patience, rng)
                curves.append([untrained, *history.column("validation_log_likelihood")])
        # A fold that stopped early counts with its last score from there on.
        longest = max(len(curve) for curve in curves)
        scores = np.array([curve + curve[-1:] * (longest - len(curve)) for curve in curves])  # (folds, 1 + epochs)
        self.held_out_scores_ = scores.mean(axis=0)
        # All samples make longer epochs than four fifths of them: the number of steps is what is kept.
        steps = int(self.held_out_scores_.argmax()) * self._steps_per_epoch(n_training)
        return -(-steps // self._steps_per_epoch(len(samples)))

    def _train(
        self,
        flow: Flow,
        training: Array,
        held_out: Array | None,
        epochs: int,
        patience: int | None,
        rng: np.random.Generator,
    ) -> History:
        return fit(
            flow,
            training,
            validation=held_out,
            epochs=epochs,
            batch_size=self._batch_size(len(training)),
            learning_rate=deepcopy(self.learning_rate),  # a user's schedule may have state
            optimizer=Adam(weight_decay=self.weight_decay),
            clip_norm=self.clip_norm,
            average=self.average,
            patience=patience,
            progress=bool(self.verbose),
            rng=rng,
        )

    def _batch_size(self, n_samples: int) -> int:
        return min(max(n_samples // 20, 50), 200) if self.batch_size is None else self.batch_size

    def _steps_per_epoch(self, n_samples: int) -> int:
        return -(-n_samples // as_int(self._batch_size(n_samples), "NICEDensity", "batch_size", 1))

    def _most_epochs(self, n_samples: int) -> int:
        """As many as `steps` steps take."""
        return -(-as_int(self.steps, "NICEDensity", "steps", 1) // self._steps_per_epoch(n_samples))

    def score_samples(self, X: npt.ArrayLike) -> Array:
        """log p(x) of each sample in nats: (n_samples, n_features) -> (n_samples,)."""
        flow = self._flow()
        log_prob = flow.log_prob(flow.from_data(self._checked(X), NOISE_SEED))
        return log_prob.astype(np.float64, copy=False)

    def score(self, X: npt.ArrayLike, y: Any = None) -> float:
        """Mean log p(x) in nats per sample; higher is better.  `y` is ignored."""
        return float(self.score_samples(X).mean())

    def sample(self, n_samples: int = 1, random_state: RandomState = None) -> Array:
        """New samples from the density, (n_samples, n_features)."""
        n_samples = as_int(n_samples, "NICEDensity.sample", "n_samples", 1)
        drawn = self._flow().sample(n_samples, as_generator(random_state))
        return drawn.astype(np.float64, copy=False)

    def transform(self, X: npt.ArrayLike) -> Array:
        """Latents z = f(x): (n_samples, n_features) -> (n_samples, n_features)."""
        z = self._flow().encode(self._checked(X))
        return z.astype(np.float64, copy=False)

    def inverse_transform(self, X: npt.ArrayLike) -> Array:
        """Data x = f^-1(z) of latents: (n_samples, n_features) -> (n_samples, n_features)."""
        flow = self._flow()
        x = flow.decode(check_array(unmasked(X), dtype=DTYPES))
        return x.astype(np.float64, copy=False)

    def _new_flow(self, dim: int, rng: np.random.Generator) -> Flow:
        build = self.architecture
        if not callable(build):
            build = ARCHITECTURES[as_choice(build, ARCHITECTURES, "NICEDensity", "architecture")]
        dtype = as_dtype(self.dtype, "NICEDensity")
        # Copies, since a prior or bijector belongs to one flow and changes with it.
        prior = deepcopy(self.prior)
        settings = {
            "hidden": default_hidden(dim) if self.hidden is None else self.hidden,
            "prior": prior,
            "preprocess": whitening(dim, prior, dtype) if self.preprocess is None else deepcopy(self.preprocess),
            "dtype": dtype,
            "rng": rng,
        }
        flow = build(dim, **settings, **self._layers(build))
        if not isinstance(flow, Flow):
            raise NiceTypeError(f"NICEDensity: architecture must return a Flow, got {type(flow).__name__}")
        return flow

    def _layers(self, build: Callable[..., Flow]) -> dict[str, Any]:
        """Number and partition of the layers, as this builder calls them."""
        arguments = signature(build).parameters
        number = {"layers" if "layers" in arguments else "couplings": self.couplings}
        if "partition" in arguments or any(each.kind is each.VAR_KEYWORD for each in arguments.values()):
            return {**number, "partition": deepcopy(self.partition)}
        if self.partition != PARTITION:
            raise NiceValueError(
                f"NICEDensity: partition = {self.partition!r} is for couplings; leave it out for "
                f"{self.architecture!r}, which takes none"
            )
        return number

    def _split(self, samples: Array, rng: np.random.Generator) -> tuple[Array, Array | None]:
        """Samples for training, and the held-out ones, if any."""
        fraction = as_float(self.validation_fraction, "NICEDensity", "validation_fraction", minimum=0, below=1)
        if fraction == 0:
            return samples, None
        order = rng.permutation(len(samples))
        n_held_out = max(1, round(fraction * len(samples)))
        if n_held_out == len(samples):
            raise NiceValueError(
                f"NICEDensity: validation_fraction = {fraction} of {len(samples)} samples leaves none to train on"
            )
        return samples[order[n_held_out:]], samples[order[:n_held_out]]

    def _flow(self) -> Flow:
        check_is_fitted(self)
        flow: Flow = self.flow_
        return flow

    def _checked(self, X: npt.ArrayLike) -> Array:
        samples: Array = validate_data(self, unmasked(X), dtype=DTYPES, reset=False)
        return samples

    @property
    def _n_features_out(self) -> int:
        """The number of latents, from which scikit-learn names the columns of `transform`."""
        return self._flow().dim


def whitening(dim: int, prior: str | Prior, dtype: Any) -> list[Bijector]:
    """Layers that give the samples the covariance of the prior, up to `FLOOR`; `fit` measures them."""
    std = as_float(getattr(get_prior(prior), "std", None), "NICEDensity", "prior.std", above=0)
    return [
        Standardize.unfitted(dim, dtype),
        PCAWhitening.unfitted(dim, epsilon=FLOOR, dtype=dtype),
        Rescale(dim, 0.0, std),
    ]


def unmasked(X: Any) -> Any:
    """X as it is; NiceValueError for a masked array, whose mask scikit-learn would drop."""
    return as_real_array(X, "NICEDensity", "X") if isinstance(X, np.ma.MaskedArray) else X


def as_generator(random_state: RandomState) -> np.random.Generator:
    """A NumPy generator from a scikit-learn random state."""
    if isinstance(random_state, np.random.RandomState):
        # Drawn from it, so that two fits with the same RandomState differ, as elsewhere in scikit-learn.
        return np.random.default_rng(random_state.randint(np.iinfo(np.int32).max, size=4))
    try:
        return as_rng(random_state, "NICEDensity")
    except (NiceTypeError, NiceValueError) as error:  # whose message calls it rng
        raise type(error)(
            "NICEDensity: random_state must be a seed >= 0, a numpy.random.Generator or RandomState, or None; "
            f"got {random_state!r}"
        ) from None
