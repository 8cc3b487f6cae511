"""The scikit-learn estimator: scikit-learn's own checks, and what they do not cover."""

import subprocess
import sys
from functools import partial

import joblib
import numpy as np
import pytest
from sklearn import datasets
from sklearn.base import clone
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import nice_np
from nice_np import (
    MLP,
    AffineAutoregressive,
    Chain,
    Constant,
    Flow,
    Inverse,
    MixtureAutoregressive,
    MultiplicativeCoupling,
    NiceTypeError,
    NiceValueError,
    Partition,
    Schedule,
    SplineAutoregressive,
    SplineCoupling,
    Standardize,
    StandardNormal,
    dequantize,
    iaf,
    maf,
    spline_flow,
)
from nice_np.flows.builders import preprocessing
from nice_np.sklearn import NICEDensity

asserts = pytest.mark.skipif(not __debug__, reason="scikit-learn's checks are asserts, which python -O leaves out")


def small(**settings):
    return NICEDensity(**{"hidden": (8,), "epochs": 3, "random_state": 0, **settings})


@pytest.fixture
def x(rng):
    return rng.normal([5.0, -2.0, 0.0], [0.1, 2.0, 1.0], (150, 3))


def same_parameters(a, b):
    return np.array_equal(a.flow_.params.values, b.flow_.params.values)


@asserts
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.parametrize("architecture", ["nice", "real_nvp"])
def test_passes_the_checks_of_scikit_learn(architecture):
    results = check_estimator(small(architecture=architecture, random_state=None), on_fail="raise")
    statuses = {result["check_name"]: result["status"] for result in results}
    # Arrays of other libraries are opt-in, by an environment variable; ours are NumPy's.
    assert statuses.pop("check_array_api_input", "skipped") == "skipped"
    assert len(statuses) > 40
    assert set(statuses.values()) == {"passed"}


@asserts
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_the_checks_can_fail():
    class Forgetful(NICEDensity):
        def fit(self, X, y=None):
            self.epochs = 1  # changes its own settings
            return super().fit(X, y)

    with pytest.raises(AssertionError, match="should not change or mutate"):
        check_estimator(Forgetful(hidden=(4,), epochs=2))


def test_the_numbers_are_those_of_the_flow(x):
    density = small().fit(x)
    flow = density.flow_
    np.testing.assert_array_equal(density.score_samples(x), flow.log_prob(x))
    np.testing.assert_array_equal(density.transform(x), flow.encode(x))
    np.testing.assert_array_equal(density.inverse_transform(x), flow.decode(x))
    np.testing.assert_array_equal(density.sample(4, random_state=7), flow.sample(4, rng=7))
    assert density.score(x) == pytest.approx(flow.log_prob(x).mean(), rel=1e-12)
    np.testing.assert_allclose(density.inverse_transform(density.transform(x)), x, rtol=0, atol=1e-11)


def test_learns_a_gaussian(rng):
    x = rng.normal([5.0, -2.0], [0.1, 2.0], (2000, 2))
    density = NICEDensity(hidden=(16,), epochs=20, prior="normal", random_state=0).fit(x[:1500])
    truth = -np.log(2 * np.pi * 0.1 * 2.0) - 1  # -entropy
    assert density.score(x[1500:]) == pytest.approx(truth, abs=0.1)
    drawn = density.sample(1000, random_state=1)
    np.testing.assert_allclose(drawn.std(axis=0), [0.1, 2.0], rtol=0.15)
    np.testing.assert_allclose(density.transform(x).std(axis=0), 1, rtol=0.15)


def folds(name, scaled):
    x = getattr(datasets, f"load_{name}")().data
    for training, test in KFold(5, shuffle=True, random_state=0).split(x):
        scale = np.where(x[training].std(axis=0) > 0, x[training].std(axis=0), 1) if scaled else 1
        yield x[training] / scale, x[test] / scale


@pytest.mark.parametrize(
    ("name", "scaled"),
    [
        pytest.param(
            name, scaled, marks=[] if (name, scaled) in (("iris", False), ("wine", True)) else pytest.mark.slow
        )
        for name in ("iris", "wine", "diabetes", "breast_cancer", "digits")
        for scaled in (False, True)
    ],
)
@pytest.mark.filterwarnings("ignore:feature .* never changes")  # three pixels of the digits
def test_by_default_no_worse_than_one_gaussian(name, scaled):
    models = GaussianMixture(1), NICEDensity(random_state=0)
    gaussian, flow = np.array([[m.fit(x).score(held_out) for m in models] for x, held_out in folds(name, scaled)]).T
    assert flow.mean() > gaussian.mean()


def test_held_out_samples_say_when_to_stop(rng):
    x = np.exp(rng.normal(size=(60, 2)))
    density = NICEDensity(hidden=(8,), random_state=0).fit(x)
    best = int(density.held_out_scores_.argmax())
    assert 0 < best < len(density.held_out_scores_) - 1
    assert density.history_.column("step")[-1] == 2 * -(-best // 2)  # 48 samples are one batch, 60 are two
    assert len(density.held_out_scores_) < 2000  # patience
    assert not hasattr(density.set_params(epochs=1).fit(x), "held_out_scores_")


def test_a_flow_that_training_makes_worse_stays_a_gaussian(rng):
    x = rng.normal(size=(40, 3)) @ [[1.0, 0.5, 0.0], [0.0, 2.0, 0.5], [0.0, 0.0, 5.0]]
    rate = Constant(0.2)  # far too high, from the first step on
    density = NICEDensity(prior="normal", learning_rate=rate, batch_size=5, steps=20, random_state=0).fit(x)
    assert density.held_out_scores_.argmax() == 0
    assert len(density.history_.rows) == 0
    np.testing.assert_allclose(density.score(x), GaussianMixture(1).fit(x).score(x), rtol=0, atol=0.05)


@pytest.mark.parametrize("n_samples", [2, 7, 100, 1500])
def test_steps_do_not_depend_on_the_number_of_samples(rng, n_samples):
    density = small(epochs=None, steps=20).fit(rng.normal(size=(n_samples, 2)))
    per_epoch = -(-n_samples // 75) if n_samples == 1500 else -(-n_samples // 50)
    assert (len(density.held_out_scores_) - 1) * per_epoch <= 20 + 2 * per_epoch
    assert sum(row["step"] for row in density.history_.rows[-1:]) <= 20 + per_epoch


@pytest.mark.filterwarnings("ignore:feature .* never changes")
def test_constant_and_repeated_features_have_a_floor(rng):
    x = rng.normal([5.0, 0.0, 0.0], [0.0, 1.0, 1.0], (100, 3))
    x = np.column_stack([x, x[:, 1]])
    density = NICEDensity(steps=100, random_state=0).fit(x)
    gaussian = -2 * np.log(2 * np.pi * np.e) / 2  # the two features that vary
    # Two directions of variance 0.001, one of them in units of 1, the other in units of its standard deviation sqrt 2
    assert density.score(x) < gaussian + 2 * np.log(1 / np.sqrt(1e-3)) + 1
    assert np.isfinite(density.sample(100, random_state=0)).all()


@pytest.mark.parametrize(("prior", "lowest", "highest"), [("normal", 3.5, 4.1), ("logistic", 1.9, 2.1)])
@pytest.mark.parametrize("architecture", ["nice", "real_nvp"])
def test_tails(rng, architecture, prior, lowest, highest):
    x = rng.normal(size=(100, 2))
    density = NICEDensity(architecture, prior=prior, steps=100, random_state=0).fit(x)
    near, far = density.score_samples(1e6 * x[:20]), density.score_samples(2e6 * x[:20])
    assert ((far / near > lowest) & (far / near < highest)).all()  # the square of the distance, or the distance


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_results_are_float64_for_weights_of_any_dtype(x, dtype):
    density = small(dtype=dtype).fit(x)
    assert density.flow_.dtype == dtype
    answers = [density.score_samples(x), density.transform(x), density.inverse_transform(x), density.sample(2)]
    assert {answer.dtype for answer in answers} == {np.dtype(np.float64)}


def test_a_callable_builds_any_flow(x):
    def multiplicative(dim, *, couplings, hidden, prior, partition, preprocess, dtype, rng):
        part = Partition.halves(dim)
        parts = [part, part.swapped()] * couplings
        layers = [
            MultiplicativeCoupling(p, MLP((len(p.idx_a), *hidden, len(p.idx_b)), dtype=dtype, rng=rng))
            for p in parts[:couplings]
        ]
        return Flow(prior, Chain([*preprocessing(preprocess, dim, dtype), *layers]))

    density = small(architecture=multiplicative, couplings=3).fit(x)
    assert sum(isinstance(layer, MultiplicativeCoupling) for layer in density.flow_.layers) == 3
    with pytest.raises(NiceTypeError, match="architecture must return a Flow, got NoneType"):
        small(architecture=lambda dim, **settings: None).fit(x)


@pytest.mark.parametrize(
    ("architecture", "layer"),
    [
        ("maf", AffineAutoregressive),
        ("spline", SplineAutoregressive),
        ("mixture", MixtureAutoregressive),
        (iaf, Inverse),
        (partial(spline_flow, wiring="coupling"), SplineCoupling),
        (
            lambda dim, *, couplings, hidden, prior, preprocess, dtype, rng: maf(dim, couplings, hidden),
            AffineAutoregressive,
        ),
    ],
)
def test_autoregressive_layers(x, architecture, layer):
    density = small(architecture=architecture, couplings=3, steps=20).fit(x)
    assert sum(isinstance(each, layer) for each in density.flow_.layers) == 3
    assert density.score_samples(x).shape == (len(x),)


def test_seeds(x):
    assert same_parameters(small().fit(x), small().fit(x))
    assert not same_parameters(small().fit(x), small(random_state=1).fit(x))
    state = np.random.RandomState(3)
    first, second = small(random_state=state).fit(x), small(random_state=state).fit(x)
    assert not same_parameters(first, second)
    assert same_parameters(first, small(random_state=np.random.RandomState(3)).fit(x))
    before = np.random.get_state()[1].copy()  # noqa: NPY002 (that it stays as it is)
    assert not same_parameters(small(random_state=None).fit(x), small(random_state=None).fit(x))
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_bijectors_among_the_settings_stay_unchanged(x):
    layer = Standardize.unfitted(3, np.float64)
    density = small(preprocess=(layer,))
    assert same_parameters(density.fit(x), clone(density).fit(x))
    assert not layer.fitted


def test_all_settings_can_be_used_for_several_fits(x):
    class Falling(Schedule):
        def __init__(self):
            self.calls = 0

        def __call__(self, step, progress):
            self.calls += 1
            return 1e-2 / self.calls

    density = small(prior=StandardNormal(), partition=Partition.halves(3), learning_rate=Falling())
    first = density.fit(x).flow_
    np.testing.assert_array_equal(density.fit(x).flow_.params.values, first.params.values)
    np.testing.assert_array_equal(first.log_prob(x), density.score_samples(x))


def test_validation_keeps_the_best_epoch(x):
    density = small(validation_fraction=0.2, patience=2, epochs=500, learning_rate=0.05, batch_size=200).fit(x)
    assert density.history_.stopped == "patience"
    scores = density.history_.column("validation_log_likelihood")
    assert density.history_.best_epoch == 1 + int(np.argmax(scores))
    assert density.history_.column("step")[0] == 1  # 120 samples to train on, one batch


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"architecture": "glow"}, NiceValueError, "unknown architecture 'glow'; choose one of nice, real_nvp, maf"),
        ({"architecture": "maf", "partition": "halves"}, NiceValueError, "partition = 'halves' is for couplings"),
        ({"epochs": 0}, NiceValueError, "epochs"),
        ({"validation_fraction": 1.0}, NiceValueError, "validation_fraction must be finite, >= 0 and < 1"),
        ({"validation_fraction": 0.999}, NiceValueError, "leaves none to train on"),
        ({"patience": 3}, NiceValueError, "patience needs validation"),
        ({"dtype": "float16"}, NiceValueError, "float32 or float64"),
        ({"random_state": "x"}, NiceTypeError, "random_state must be a seed"),
        ({"random_state": -1}, NiceValueError, "random_state must be a seed >= 0, .*; got -1"),
    ],
)
def test_wrong_settings(x, settings, error, message):
    with pytest.raises(error, match=message):
        small(**settings).fit(x)


def test_latents_of_the_wrong_width(x):
    with pytest.raises(NiceValueError, match="z has 2 features, expected 3"):
        small().fit(x).inverse_transform(x[:, :2])


def test_in_a_pipeline(x):
    pipeline = make_pipeline(StandardScaler(), small()).fit(x)
    assert np.isfinite(pipeline.score(x))
    assert pipeline.transform(x).shape == x.shape
    np.testing.assert_allclose(pipeline.inverse_transform(pipeline.transform(x)), x, rtol=0, atol=1e-11)
    assert list(pipeline.get_feature_names_out()) == ["nicedensity0", "nicedensity1", "nicedensity2"]
    assert cross_val_score(pipeline, x, cv=3).shape == (3,)


def search(n_jobs=None):
    return GridSearchCV(small(), {"prior": ["normal", "logistic"], "couplings": [3, 4]}, cv=2, n_jobs=n_jobs)


def test_grid_search(x):
    found = search().fit(x)
    assert set(found.best_params_) == {"prior", "couplings"}
    assert np.isfinite(found.cv_results_["mean_test_score"]).all()
    assert found.score(x) == found.best_estimator_.score(x)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_a_search_in_threads_or_processes_finds_the_same(x, backend):
    with joblib.parallel_config(backend=backend, n_jobs=2):
        there = search().fit(x)
    np.testing.assert_allclose(
        there.cv_results_["mean_test_score"], search().fit(x).cv_results_["mean_test_score"], rtol=1e-9
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Dask itself
def test_a_search_on_a_dask_cluster_finds_the_same(x):
    distributed = pytest.importorskip("distributed", reason="needs Dask: pip install distributed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        there = search().fit(x)
    np.testing.assert_allclose(
        there.cv_results_["mean_test_score"], search().fit(x).cv_results_["mean_test_score"], rtol=1e-9
    )


def test_without_scikit_learn_it_says_what_to_install():
    code = "import sys; sys.modules['sklearn'] = None; import nice_np; import nice_np.sklearn"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 1
    last = run.stderr.strip().splitlines()[-1]
    assert last.startswith("nice_np.errors.NiceImportError: nice_np.sklearn needs scikit-learn")


def test_import_nice_np_does_not_import_scikit_learn():
    code = "import sys, nice_np; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert "NICEDensity" not in nice_np.__all__


def test_pixels_are_dequantised_or_refused(rng):
    pixels = rng.integers(100, 156, (60, 3), dtype=np.uint8)
    density = small().fit(pixels)
    assert density.flow_.bin_width == 1 / 256
    scores = density.score_samples(pixels)
    np.testing.assert_array_equal(scores, density.flow_.log_prob(dequantize(pixels, 1)))
    assert density.score(pixels) == scores.mean()
    for door in (density.transform, density.inverse_transform):
        with pytest.raises(NiceTypeError, match=r"dtype uint8, which means pixels.*nice_np\.dequantize\("):
            door(pixels)
    assert small().fit(pixels.astype(int)).flow_.bin_width == 1  # other integers are numbers


@pytest.mark.parametrize("door", ["fit", "score_samples", "score", "transform", "inverse_transform", "fit_transform"])
def test_a_mask_is_not_dropped_silently(door):
    x = np.random.default_rng(0).normal(size=(30, 3))
    density = NICEDensity(epochs=1, random_state=0).fit(x)
    with pytest.raises(NiceValueError, match="X is a masked array; fill or drop the masked values"):
        getattr(density, door)(np.ma.masked_array(x, x > 1))
