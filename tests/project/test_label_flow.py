"""scripts/label_flow.py: a trained flow learns to tell labels apart, and its Gaussians are fitted to its latents."""

import numpy as np
import pytest

from nice_np import fit, glow, labelled, one_hot


@pytest.fixture
def label_flow(script):
    return script("label_flow")


def test_a_flow_learns_its_labels(label_flow, rng):
    flow = glow((4, 4), levels=1, steps=1, channels=2, rng=0)
    labels = rng.integers(0, 2, 600)
    pixels = rng.integers(60, 120, (600, 16)) + 60 * labels[:, None] * (np.arange(16) % 2)
    model = label_flow.trained(flow, pixels.astype(np.uint8), labels, weight=100.0, epochs=8, seed=0)
    x = model.from_pixels(pixels.astype(np.uint8), rng)
    right = (model.given_each_label(x).argmax(axis=1) == labels).mean()
    assert right > 0.9
    assert model.context_dim == 10


def test_common_axes_are_found(label_flow, rng):
    rotation = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    covariances = [rotation * np.exp(rng.normal(size=6)) @ rotation.T for _ in range(4)]
    Q = label_flow.common_axes(covariances)
    np.testing.assert_allclose(Q.T @ Q, np.eye(6), atol=1e-12)
    for S in covariances:
        A = Q.T @ S @ Q
        np.testing.assert_allclose(A, np.diag(np.diag(A)), atol=1e-6)


@pytest.mark.parametrize("levels", [1, 2])
def test_its_gaussians_are_fitted_to_its_latents(levels, label_flow, rng):
    flow = glow((4, 4), levels=levels, steps=1, channels=2, preprocess=(), dtype="float64", rng=0)
    x = rng.random((900, 16))
    labels = np.arange(900) % 3
    x[:, 1] += (labels - 1) * x[:, 0]  # correlated, and for each label otherwise
    fit(flow, x, epochs=1, progress=False, rng=0)
    model = labelled(flow, classes=3)
    again = label_flow.refitted(model, x, labels)
    assert again.layers[-1].dim == model.layers[-1].dim
    names = one_hot(labels, 3)
    z = again.encode(x, names)[:, model.layers[-1].partition.idx_a if levels == 2 else slice(None)]
    for k in range(3):
        np.testing.assert_allclose(z[labels == k].mean(axis=0), 0, atol=1e-12)
        np.testing.assert_allclose(z[labels == k].std(axis=0), 1, rtol=1e-10)
    assert again.log_prob(x, names).mean() > model.log_prob(x, names).mean()
    np.testing.assert_allclose(again.decode(again.encode(x, names), names), x, atol=1e-9)
