"""scripts/label_flow.py: a trained flow learns to tell two labels apart, and keeps its likelihood."""

import numpy as np
import pytest

from nice_np import glow


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
