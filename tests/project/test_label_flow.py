"""scripts/label_flow.py: a trained flow learns to tell two labels apart, and keeps its likelihood."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from nice_np import glow

SCRIPT = Path(__file__).parents[2] / "scripts" / "label_flow.py"
pytestmark = pytest.mark.skipif(not SCRIPT.exists(), reason="scripts/ is only in the checkout")


@pytest.fixture
def label_flow():
    spec = importlib.util.spec_from_file_location("label_flow", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_flow_learns_its_labels(label_flow, rng):
    flow = glow((4, 4), levels=1, steps=1, channels=2, rng=0)
    labels = rng.integers(0, 2, 600)
    pixels = rng.integers(60, 120, (600, 16)) + 60 * labels[:, None] * (np.arange(16) % 2)
    model = label_flow.trained(flow, pixels.astype(np.uint8), labels, weight=100.0, epochs=8, seed=0)
    x = model.from_pixels(pixels.astype(np.uint8), rng)
    right = (model.given_each_label(x).argmax(axis=1) == labels).mean()
    assert right > 0.9
    assert model.context_dim == 10
