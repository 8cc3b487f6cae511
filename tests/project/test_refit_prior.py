"""scripts/refit_prior.py: the new prior is that of the latents, the density exact, and saved with the flow."""

import numpy as np
import pytest

from nice_np import check_inverse, check_log_det, glow, load_model


@pytest.fixture
def refit_prior(script):
    return script("refit_prior")


def test_latents_of_each_label_are_what_the_prior_says(refit_prior, rng, tmp_path):
    flow = glow((4, 4), levels=2, steps=1, channels=2, dtype=np.float64, rng=0)
    labels = np.repeat([0, 1], [300, 100])
    x = np.clip(rng.normal(0.4 + 0.2 * labels[:, None], 0.05 + 0.05 * labels[:, None], (400, 16)), 0.01, 0.99)
    new = refit_prior.refitted(flow, x, labels)

    coarse = np.arange(8)
    z, u = flow.encode(x), new.encode(x)
    np.testing.assert_array_equal(u[:, 8:], z[:, 8:])
    within = np.mean([np.cov(u[labels == k][:, coarse].T) for k in (0, 1)], axis=0)
    np.testing.assert_allclose(within, np.eye(8), atol=1e-8)
    for k in (0, 1):
        np.testing.assert_allclose(new.prior.means[k, coarse], u[labels == k][:, coarse].mean(axis=0), atol=1e-8)
        np.testing.assert_allclose(np.exp(new.prior.log_scales[k, coarse]), u[labels == k][:, coarse].std(axis=0))
    np.testing.assert_allclose(np.exp(new.prior.logits.ravel()), [0.75, 0.25])
    assert (new.prior.means[:, 8:] == 0).all()
    assert (new.prior.log_scales[:, 8:] == 0).all()

    check_log_det(new, x[:3])
    check_inverse(new, x[:3])
    assert new.log_prob(x).mean() > flow.log_prob(x).mean() + 1
    new.save(tmp_path / "model.npz")
    np.testing.assert_array_equal(load_model(tmp_path / "model.npz")[0].log_prob(x), new.log_prob(x))
