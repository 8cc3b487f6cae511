"""Linear maps of the channels: LU and Householder, as matrices and as 1x1 convolutions."""

import numpy as np
import pytest

from nice_np import Chain, Flow, Householder, LULinear, NiceOverflowError, NiceValueError, Permutation, fit, load
from nice_np.families.channels import columns, outer, rows, times

layers = pytest.mark.parametrize("kind", [LULinear, Householder])


def made(kind, *, rng, **settings):
    return kind(12, image_shape=(3, 2, 2), rng=rng, **settings)


@layers
def test_it_starts_as_an_orthogonal_matrix(kind):
    for layer in (kind(6, rng=0), kind(24, image_shape=(6, 2, 2), rng=0)):
        W = layer.matrix()
        assert W.shape == (6, 6)
        np.testing.assert_allclose(W @ W.T, np.eye(6), atol=1e-12)
        np.testing.assert_allclose(layer.forward(np.ones((1, layer.dim)))[1], 0, atol=1e-12)


@layers
def test_every_pixel_is_multiplied_by_the_same_matrix(kind, rng):
    layer, x = made(kind, rng=rng), rng.normal(size=(4, 3, 2, 2))
    if kind is LULinear:
        layer.log_diagonal[...] = rng.normal(size=3)
    z, log_det, _ = layer.forward(x.reshape(4, 12))
    W = layer.matrix()
    for n in range(4):
        for row in range(2):
            for column in range(2):
                expected = W @ x[n, :, row, column]
                np.testing.assert_allclose(z.reshape(x.shape)[n, :, row, column], expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(log_det, 4 * np.linalg.slogdet(W)[1], atol=1e-12)


def test_the_product_over_all_pixels_is_one_with_the_channels_side_by_side(rng):
    W, x, dz = rng.normal(size=(3, 3)), rng.normal(size=(5, 3, 7)), rng.normal(size=(5, 3, 7))
    pixels, dpixels = (a.transpose(0, 2, 1).reshape(-1, 3) for a in (x, dz))  # (N P, C)
    z = times(W, x.reshape(5, 21)).reshape(5, 3, 7)
    np.testing.assert_allclose(z.transpose(0, 2, 1).reshape(-1, 3), pixels @ W.T, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(outer(dz.reshape(5, 21), x.reshape(5, 21), 3), dpixels.T @ pixels, rtol=1e-12)
    np.testing.assert_array_equal(rows(columns(x.reshape(5, 21), 3), 5), x.reshape(5, 21))


def test_householder_stays_orthogonal_and_keeps_volume(rng):
    layer = Householder(4, 3, rng=rng)
    layer.v[...] = rng.normal(0, 100, size=(3, 4))
    W = layer.matrix()
    np.testing.assert_allclose(W.T @ W, np.eye(4), atol=1e-12)
    assert np.linalg.det(W) == pytest.approx(-1)  # three reflections
    assert (layer.forward(rng.normal(size=(5, 4)))[1] == 0).all()


def test_lu_stays_invertible_and_its_log_det_is_a_sum(rng):
    layer = LULinear(5, rng=rng)
    for array in (layer.lower, layer.upper, layer.log_diagonal):
        array[...] = rng.normal(0, 1, array.shape)
    log_det = layer.forward(np.ones((1, 5)))[1]
    np.testing.assert_allclose(log_det, layer.log_diagonal.sum(), rtol=1e-12)
    np.testing.assert_allclose(np.linalg.slogdet(layer.matrix())[1], log_det[0], atol=1e-10)


def test_a_factor_that_underflows_is_named(rng):
    layer = LULinear(3, dtype=np.float32, rng=rng)
    layer.log_diagonal[1] = -200
    with pytest.raises(NiceOverflowError, match="is 0 in float32, so W has no inverse"):
        layer.inverse(np.ones((1, 3), np.float32))


@layers
def test_training_files_and_copies(kind, rng, tmp_path):
    x = rng.normal(size=(60, 12)) @ rng.normal(size=(12, 12))
    flow = Flow("normal", Chain([Permutation.random(12, rng), made(kind, rng=rng), kind(12, rng=rng)]))
    before = flow.score(x)
    fit(flow, x, epochs=3, batch_size=20, learning_rate=0.03, threads=2, progress=False, rng=0)
    assert flow.score(x) > before or kind is Householder  # a Gaussian does not feel a rotation
    flow.save(tmp_path / "model.npz")
    again = load(tmp_path / "model.npz")
    np.testing.assert_array_equal(again.log_prob(x), flow.log_prob(x))
    np.testing.assert_array_equal(flow.copy().encode(x), flow.encode(x))
    assert repr(made(kind, rng=0)) == f"{kind.__name__}(dim=12, image_shape=(3, 2, 2))"


@pytest.mark.parametrize(("order", "signs"), [([0, 2, 1], [1, 1, 0]), ([0, 1], [1, 1, 1]), ([0, 0, 1], [1, 1, 1])])
def test_a_damaged_file_is_refused(order, signs):
    config = LULinear(3, rng=0).config() | {"order": np.array(order), "signs": np.array(signs)}
    with pytest.raises(NiceValueError):
        LULinear.from_config(**config)


@layers
def test_wrong_arguments(kind):
    with pytest.raises(NiceValueError, match=r"image_shape must be .* of 12 features, got \(2, 2\)"):
        kind(12, image_shape=(2, 2))
    with pytest.raises(NiceValueError, match="reflections must be >= 1"):
        Householder(3, 0)


def test_lu_may_start_as_a_whitening_of_the_channels(rng):
    mixed = rng.normal(size=(3, 3))
    x = np.einsum("cd,ndp->ncp", mixed, rng.normal(size=(500, 3, 4))).reshape(500, 12)
    layer = LULinear(12, (3, 2, 2), fitted=False, rng=0)
    layer.fit(lambda: iter([x]))
    z = layer.forward(x)[0].reshape(500, 3, 4).transpose(1, 0, 2).reshape(3, -1)
    np.testing.assert_allclose(np.cov(z, bias=True), np.eye(3), atol=1e-9)
    lengths = np.linalg.norm(layer.matrix(), axis=1)  # 1 / sqrt(eigenvalue), the smallest eigenvalue first
    assert (np.diff(lengths) < 0).all()
    assert layer.fitted
    assert layer.config()["fitted"]
    flat = np.concatenate([x[:, :8], x[:, :4]], axis=1)  # the third channel is the first: no infinite scale
    layer.fit(lambda: iter([flat]))
    assert np.isfinite(layer.forward(flat)[0]).all()


def test_what_cannot_be_started(rng):
    layer = LULinear(12, (3, 2, 2), rng=0)
    layer.start_at(np.diag([2.0, -3.0, 0.5]))
    np.testing.assert_allclose(layer.matrix(), np.diag([2.0, -3.0, 0.5]))
    for W in (np.eye(2), np.zeros((3, 3)), np.ones((3, 3))):
        with pytest.raises(NiceValueError, match="W must be 3 x 3 and have an inverse"):
            layer.start_at(W)
    with pytest.raises(NiceValueError, match="0 samples"):
        layer.fit(lambda: iter([]))
    with pytest.raises(NiceOverflowError, match="covariance"):
        layer.fit(lambda: iter([np.full((2, 12), 1e300) * np.array([[1], [-1]])]))
