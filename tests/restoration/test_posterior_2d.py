"""The experiment with two latents: the grid is right, and NICE comes closer to the true posterior."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "posterior_2d.py"
pytestmark = pytest.mark.skipif(not SCRIPT.exists(), reason="scripts/ is only in the checkout")


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("posterior_2d", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("problem", "m"), [("bend", lambda a, b: b + 2 * np.abs(a)), ("ring", lambda a, b: np.abs(a) + np.abs(b))]
)
def test_the_true_posterior_is_bayes_rule(problem, m, script):
    a, b = script.GRID.T
    _, x, _ = script.PROBLEMS[problem]
    joint = np.exp(-(a**2 + b**2) / 2 - ((x - m(a, b)) / 0.2) ** 2 / 2)
    expected = joint / (joint.sum() * script.CELL)
    np.testing.assert_allclose(script.true_posterior(problem), expected, rtol=1e-9, atol=1e-12)


def test_divergence_of_gaussians(script):
    def gaussian(mean):
        return np.exp(-((script.GRID - mean) ** 2).sum(axis=1) / 2) / (2 * np.pi)

    assert script.divergence(gaussian([0.5, 0]), gaussian([0, 0])) == pytest.approx(0.125, abs=1e-3)
    assert script.divergence(gaussian([0, 0]), gaussian([0, 0])) == pytest.approx(0)


def test_nice_comes_closer(script):
    plain, flow = (script.fit_posterior("bend", form, steps=400, batch=128) for form in ("plain", "nice"))
    assert flow.kl < 0.3 < 1 < plain.kl
    for fit in (plain, flow):
        assert fit.mass == pytest.approx(1, abs=0.01)
    script.draw({"bend": {"plain": plain, "nice": flow}})
