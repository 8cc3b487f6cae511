"""A flow as a scikit-learn estimator, a density and a map to latents, for pipelines and searches.

Needs scikit-learn, ``pip install "nice-np[sklearn]"``; ``import nice_np`` does not import it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.bijectors import Bijector
from nice_np.errors import NiceImportError, NiceTypeError, NiceValueError
from nice_np.flows.builders import nice, real_nvp
from nice_np.flows.flow import Flow
from nice_np.flows.priors import Prior
from nice_np.pixels.dequantize import NOISE_SEED
from nice_np.suggestions import suggests
from nice_np.training.fit import fit
from nice_np.validation import Array, as_choice, as_dtype, as_float, as_int, as_rng

try:
    from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, DensityMixin, TransformerMixin
    from sklearn.utils.validation import check_array, check_is_fitted, validate_data
except ImportError as error:
    raise NiceImportError('nice_np.sklearn needs scikit-learn 1.6 or newer: pip install "nice-np[sklearn]"') from error

__all__ = ["NICEDensity"]
ARCHITECTURES: dict[str, Callable[..., Flow]] = {"nice": nice, "real_nvp": real_nvp}
DTYPES = [np.float64, np.uint8]  # what X becomes: numbers, or pixels if it is them already
RandomState = int | np.random.Generator | np.random.RandomState | None


class NICEDensity(ClassNamePrefixFeaturesOutMixin, TransformerMixin, DensityMixin, BaseEstimator):
    """Density estimation with a normalizing flow (NICE, Dinh et al. 2014; RealNVP, Dinh et al. 2016).

    As a density it has `score_samples`, `score` and `sample`; as a transformer, `transform` maps data to latents that
    are nearly independent and distributed like the prior, and `inverse_transform` maps them back.

    Parameters
    ----------
    architecture : {"nice", "real_nvp"} or callable
        Additive or affine couplings.  A callable takes the arguments of `nice_np.nice`, ``architecture(dim,
        couplings=..., hidden=..., prior=..., partition=..., preprocess=..., dtype=..., rng=...)``, and returns a
        `Flow`.  For a search in several processes it must be a module-level function.
    couplings : int
    hidden : sequence of int
        Widths of the hidden layers in each coupling.
    prior : {"normal", "logistic"} or Prior
    partition : {"odd-even", "halves"} or Partition
    preprocess : sequence of {"standardize", "logit", "rescale", "zca", "pca"} or Bijector
        Fixed layers between data and couplings, which count in the likelihood; see `nice_np.nice`.
    epochs : int
        Maximum number of epochs; see `patience`.
    batch_size : int
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

    Attributes
    ----------
    flow_ : Flow
    history_ : History
        Scores of each epoch.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        If `X` had column names.

    Notes
    -----
    All scores are nats of the given `X`.  uint8 means pixels: `fit` and `score_samples` add the noise that gives them a
    density, see `nice_np.dequantize` (scores with the same noise at each call), `transform` refuses them.  Other
    integers are treated as real numbers.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from nice_np.sklearn import NICEDensity
    >>> X = load_iris().data
    >>> density = NICEDensity(epochs=50, random_state=0).fit(X)
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
        hidden: Sequence[int] = (64, 64),
        prior: str | Prior = "normal",
        partition: Any = "odd-even",
        preprocess: Sequence[str | Bijector] = ("standardize",),
        epochs: int = 100,
        batch_size: int = 200,
        learning_rate: Any = 1e-3,
        clip_norm: float | None = None,
        validation_fraction: float = 0.0,
        patience: int | None = None,
        dtype: str = "float64",
        random_state: RandomState = None,
        verbose: bool = False,
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
        samples = validate_data(self, X, dtype=DTYPES, ensure_min_samples=2, ensure_min_features=2)
        rng = as_generator(self.random_state)
        flow = self._new_flow(samples.shape[1], rng)
        training, held_out = self._split(samples, rng)
        self.history_ = fit(
            flow,
            training,
            validation=held_out,
            epochs=as_int(self.epochs, "NICEDensity", "epochs", 1),
            batch_size=self.batch_size,
            learning_rate=deepcopy(self.learning_rate),  # a user's schedule may have state
            clip_norm=self.clip_norm,
            patience=self.patience,
            progress=bool(self.verbose),
            rng=rng,
        )
        self.flow_ = flow
        return self

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
        x = flow.decode(check_array(X, dtype=DTYPES))
        return x.astype(np.float64, copy=False)

    def _new_flow(self, dim: int, rng: np.random.Generator) -> Flow:
        build = self.architecture
        if not callable(build):
            build = ARCHITECTURES[as_choice(build, ARCHITECTURES, "NICEDensity", "architecture")]
        flow = build(
            dim,
            couplings=self.couplings,
            hidden=self.hidden,
            # Copies, since a prior or bijector belongs to one flow and changes with it.
            prior=deepcopy(self.prior),
            partition=deepcopy(self.partition),
            preprocess=deepcopy(self.preprocess),
            dtype=as_dtype(self.dtype, "NICEDensity"),
            rng=rng,
        )
        if not isinstance(flow, Flow):
            raise NiceTypeError(f"NICEDensity: architecture must return a Flow, got {type(flow).__name__}")
        return flow

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
        samples: Array = validate_data(self, X, dtype=DTYPES, reset=False)
        return samples

    @property
    def _n_features_out(self) -> int:
        """The number of latents, from which scikit-learn names the columns of `transform`."""
        return self._flow().dim


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
