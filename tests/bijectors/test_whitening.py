"""Whitening: what fit measures, the two kinds, epsilon, files."""

import numpy as np
import pytest

from nice_np import (
    Chain,
    CheckpointError,
    DiagonalScaling,
    Flow,
    NiceOverflowError,
    NiceTypeError,
    NiceValueError,
    PCAWhitening,
    WithContext,
    ZCAWhitening,
    dequantize,
)
from nice_np.bijectors.whitening import NOISE_VARIANCE, principal_components
from nice_np.files.npz import read_npz, write_npz
from nice_np.training.fit import start_from_data

kinds = pytest.mark.parametrize("kind", [ZCAWhitening, PCAWhitening])


def chunks_of(x, size=64):
    return lambda: (x[start : start + size] for start in range(0, len(x), size))


def fitted(kind, x, **settings):
    layer = kind.unfitted(x.shape[1], **settings)
    layer.fit(chunks_of(x))
    return layer


@pytest.fixture
def data(rng):
    """Correlated, far from 0, in float64."""
    return rng.normal(size=(500, 4)) @ rng.normal(size=(4, 4)) * [0.1, 1.0, 3.0, 0.5] + [5.0, -3.0, 0.0, 100.0]


def covariance(x):
    return np.cov(x, rowvar=False, bias=True)  # divided by N


@kinds
def test_fitted_data_become_white(kind, data):
    layer = kind.unfitted(4, epsilon=0)
    np.testing.assert_array_equal(layer.forward(data)[0], data)  # until then the identity
    assert not layer.fitted
    layer.fit(chunks_of(data))
    assert layer.fitted
    z, log_det, _ = layer.forward(data)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-10)
    np.testing.assert_allclose(covariance(z), np.eye(4), atol=1e-10)
    np.testing.assert_allclose(log_det, -0.5 * np.linalg.slogdet(covariance(data))[1], rtol=1e-12)
    np.testing.assert_allclose(layer.inverse(z)[0], data, rtol=1e-12, atol=1e-12)


def test_zca_is_the_symmetric_square_root_and_pca_sorts(data):
    zca, pca = fitted(ZCAWhitening, data, epsilon=0.0), fitted(PCAWhitening, data, epsilon=0.0)
    np.testing.assert_allclose(zca.matrix, zca.matrix.T, rtol=1e-10)
    np.testing.assert_allclose(np.linalg.inv(zca.matrix @ zca.matrix), covariance(data), rtol=1e-8)  # C^-1/2, not C^-1
    assert (np.linalg.eigvalsh(zca.matrix) > 0).all()
    np.testing.assert_array_equal(pca.std, np.sort(pca.std)[::-1])
    components = pca.matrix * pca.std
    np.testing.assert_allclose(components.T @ components, np.eye(4), atol=1e-10)
    np.testing.assert_allclose(covariance(data @ components), np.diag(pca.std**2), atol=1e-10)
    assert (components[np.abs(components).argmax(axis=0), np.arange(4)] > 0).all()


@kinds
def test_epsilon_is_added_to_every_variance(kind, data):
    variances = np.linalg.eigvalsh(covariance(data))[::-1]
    np.testing.assert_allclose(fitted(kind, data, epsilon=0.3).std ** 2, variances + 0.3, rtol=1e-10)
    relative = fitted(kind, data, epsilon=0.0, relative=0.1)
    np.testing.assert_allclose(relative.std**2, variances + 0.1 * variances.mean(), rtol=1e-10)
    np.testing.assert_allclose(fitted(kind, data).std ** 2, variances + NOISE_VARIANCE, rtol=1e-10)
    z = relative.forward(data)[0]
    np.testing.assert_allclose(
        np.linalg.eigvalsh(covariance(z))[::-1], variances / (variances + 0.1 * variances.mean()), rtol=1e-9
    )


def test_the_noise_of_pixels_is_the_default(rng):
    x = dequantize(np.zeros((20_000, 1), np.uint8), rng)
    assert pytest.approx(x.var(), rel=0.05) == NOISE_VARIANCE


@kinds
@pytest.mark.parametrize("n", [1, 3])
def test_fewer_samples_than_features(kind, n, rng):
    x = rng.random((n, 8))
    layer = fitted(kind, x)
    z, _, _ = layer.forward(x)
    assert np.isfinite(z).all()
    np.testing.assert_allclose(layer.std[n - 1 :] ** 2, NOISE_VARIANCE, rtol=1e-6)
    np.testing.assert_allclose(layer.inverse(z)[0], x, atol=1e-12)
    with pytest.raises(NiceValueError, match=rf"{n} samples do not vary in {9 - n} of 8 directions"):
        fitted(kind, x, epsilon=0.0)


@kinds
def test_the_number_of_chunks_does_not_matter(kind, data):
    one, many = kind.unfitted(4), kind.unfitted(4)
    one.fit(lambda: iter([data]))
    many.fit(chunks_of(data, 7))
    np.testing.assert_allclose(many.matrix, one.matrix, rtol=1e-9, atol=1e-12)


@kinds
def test_float32_is_measured_in_float64(kind, data):
    x = data.astype(np.float32)
    single, double = fitted(kind, x, dtype=np.float32), fitted(kind, x.astype(np.float64))
    assert {a.dtype for a in (single.mean, single.std, single.matrix, single.inverse_matrix)} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(single.matrix, double.matrix.astype(np.float32))
    z, log_det, _ = single.forward(x)
    assert z.dtype == log_det.dtype == np.float32
    np.testing.assert_allclose(log_det, double.forward(data)[1], rtol=2e-7)


def test_float32_log_det_and_round_trip_in_many_dimensions(rng):
    """Half as many samples as features: stds from the noise's 0.001 to 4."""
    pixels = np.clip(rng.normal(128, 40, size=(150, 1)) + rng.normal(0, 5, size=(150, 300)), 0, 255).astype(np.uint8)
    x = dequantize(pixels, rng, np.float32)
    double, single = fitted(ZCAWhitening, x), fitted(ZCAWhitening, x, dtype=np.float32)
    assert double.std.max() / double.std.min() > 1000
    z, log_det, _ = single.forward(x)
    np.testing.assert_allclose(log_det, double.forward(x.astype(np.float64))[1], rtol=2e-7)
    assert np.abs(single.inverse(z)[0] - x).max() < 1e-4


@kinds
def test_below_a_context(kind, data, rng):
    layer = WithContext(kind.unfitted(4, epsilon=0.0), 2)
    flow = Flow("normal", layer, context_dim=2)
    start_from_data(flow, data, rng.normal(size=(500, 2)))
    z = flow.encode(data, np.zeros(2))
    np.testing.assert_allclose(covariance(z), np.eye(4), atol=1e-10)


@kinds
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("is_fitted", [True, False])
def test_files(kind, dtype, is_fitted, data, tmp_path):
    layer = kind.unfitted(4, epsilon=0.25, relative=0.5, dtype=dtype)
    if is_fitted:
        layer.fit(chunks_of(data))
    flow = Flow("normal", Chain([layer, DiagonalScaling(4, dtype=dtype)]))
    flow.save(tmp_path / "m")
    back = Flow.load(tmp_path / "m")
    assert type(back.layers[0]) is kind
    for name, value in layer.config().items():
        assert np.asarray(back.layers[0].config()[name]).tobytes() == np.asarray(value).tobytes(), name
    assert back.log_prob(data).tobytes() == flow.log_prob(data).tobytes()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"array.0": np.zeros(3)}, "must fit"),
        ({"array.0": np.zeros(4, np.float32)}, "one dtype"),
        ({"array.0": np.full(4, np.nan)}, "mean contains NaN"),
        ({"array.1": np.zeros(4)}, "std must be > 0"),
        ({"array.1": np.ones((4, 1))}, r"expected std of shape \(D,\)"),
        ({"array.2": np.zeros((4, 3))}, "must fit"),
        ({"array.2": np.full((4, 4), np.inf)}, "matrix contains NaN or inf"),
        ({"array.3": np.zeros((2, 2, 4))}, r"expected inverse_matrix of shape \(D, D\)"),
    ],
)
def test_damaged_files(change, says, data, tmp_path):
    path = tmp_path / "m"
    Flow("normal", fitted(ZCAWhitening, data)).save(path)
    write_npz(path, {**read_npz(path), **change})
    with pytest.raises(CheckpointError, match=f"cannot build ZCAWhitening: .*{says}"):
        Flow.load(path)


@kinds
@pytest.mark.parametrize(
    ("mean", "components", "std", "says"),
    [
        ([0.0, 0.0], np.eye(2), [1.0, 0.0], "std must be > 0, got 0.0 in direction 1"),
        ([0.0], np.eye(2), [1.0, 1.0], "must fit"),
        ([0.0, 0.0], np.eye(3), [1.0, 1.0], "does not fit components"),
        ([0.0, 0.0], np.eye(2)[:1], [1.0, 1.0], "does not fit components"),
        ([0.0, 0.0], [[1.0, 0.5], [0.0, 1.0]], [1.0, 1.0], "not orthonormal"),
        ([0.0, 0.0], 1.4 * np.eye(2), [1.0, 1.0], "not orthonormal"),
        ([0.0], [[2.0]], [1.0], "not orthonormal"),
        ([0.0, np.inf], np.eye(2), [1.0, 1.0], "mean contains NaN or inf"),
        (np.zeros(2, np.float32), np.eye(2), [1.0, 1.0], "one dtype"),
        ([], np.empty((0, 0)), [], r"expected components of shape \(D, D\)"),
    ],
)
def test_bad_constants(kind, mean, components, std, says):
    with pytest.raises(NiceValueError, match=f"{kind.__name__}: .*{says}"):
        kind(mean, components, std)


@kinds
def test_bad_settings(kind):
    for wrong in ({"epsilon": -1.0}, {"relative": -0.1}, {"epsilon": np.nan}, {"dtype": np.int32}):
        with pytest.raises(NiceValueError, match=kind.__name__):
            kind.unfitted(3, **wrong)
    with pytest.raises(NiceTypeError, match="dim must be a whole number"):
        kind.unfitted("3")
    layer = kind.unfitted(1)
    with pytest.raises(NiceOverflowError, match="the covariance of the data overflows"):
        layer.fit(chunks_of(np.array([[1e300], [-1e300]])))
    assert not layer.fitted


def test_principal_components_of_a_known_matrix():
    variances, components = principal_components(np.array([[2.0, 1.0], [1.0, 2.0]]))
    np.testing.assert_allclose(variances, [3, 1])
    np.testing.assert_allclose(np.abs(components), np.sqrt(0.5))
    assert components[0, 0] * components[1, 0] > 0
    assert components[0, 1] * components[1, 1] < 0


def test_variances_are_never_negative_and_the_largest_entry_of_a_direction_is_positive(rng):
    np.testing.assert_allclose(principal_components(np.array([[1.0, 2.0], [2.0, 1.0]]))[0], [3, 0])
    for _ in range(5):
        a = rng.normal(size=(6, 6))
        _, components = principal_components(a @ a.T)
        assert (components.max(axis=0) == np.abs(components).max(axis=0)).all()


@kinds
def test_what_is_added_to_the_variances_if_nobody_says(kind):
    layer = kind.unfitted(2)
    assert layer.epsilon == NOISE_VARIANCE == pytest.approx(1 / 256**2 / 12)
    assert layer.relative == 0
    assert layer.std.dtype == np.float64


@kinds
def test_constants_that_are_given_count_as_fitted(kind):
    layer = kind([0.0], [[1.0]], [2.0])
    assert (layer.fitted, layer.epsilon, layer.relative) == (True, 0.0, 0.0)


@kinds
def test_columns_orthonormal_to_float32_will_do(kind, rng):
    components = np.linalg.qr(rng.normal(size=(60, 60)))[0].astype(np.float32)
    assert kind(np.zeros(60, np.float32), components, np.ones(60, np.float32)).dim == 60


@kinds
def test_a_direction_is_flat_against_the_widest_one(kind):
    x = np.array([[1e10, 1.0], [1e10, -1.0], [-1e10, 1.0], [-1e10, -1.0]])  # variances 1e20 and 1
    with pytest.raises(NiceValueError, match="4 samples do not vary in 1 of 2 directions"):
        fitted(kind, x, epsilon=0.0)


@kinds
def test_constants_of_a_file_are_checked(kind):
    config = kind([0.0], [[1.0]], [2.0]).config()
    for name in ("epsilon", "relative"):
        with pytest.raises(NiceValueError, match=f"{kind.__name__}: {name} must be"):
            kind.from_config(**config | {name: -1.0})
    assert kind.from_config(**config | {"fitted": np.bool_(False)}).fitted is False


@pytest.mark.parametrize("kind", [ZCAWhitening, PCAWhitening])
def test_a_std_whose_inverse_overflows_is_refused_without_a_warning(kind):
    for dtype, std in ((np.float64, 1e-320), (np.float32, 1e-40)):
        with pytest.raises(NiceValueError, match=r"std must be > 0, got .* in direction 0; the smallest possible is"):
            kind(np.zeros(2, dtype), np.eye(2, dtype=dtype), np.array([std, 1], dtype))
