"""Files of earlier versions: models still load, and stopped runs still end as those versions would have ended them.

    python tests/files/test_old_files.py tests/files/old.zip

writes such files with the version of nice_np that Python imports: for each case the checkpoint of a run stopped in its
second epoch, and the model of the same run without the stop.
"""

import signal
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from nice_np import Constant, TrainingInterrupted, fit, load_model, nice, save_model, variational_autoencoder

OLD = Path(__file__).with_name("old.zip")
PIXELS = (np.arange(12 * 4).reshape(12, 4) * 37 % 256).astype(np.uint8)
POINTS = np.sin(np.arange(12 * 3, dtype=float) ** 2).reshape(12, 3)
LABELS = np.eye(2)[np.arange(12) % 2]
SMALL = {"dtype": "float64", "rng": 0}
CASES = {
    "flow": (lambda: nice(3, couplings=3, hidden=(2,), **SMALL), POINTS, None),
    "conditional": (lambda: nice(3, couplings=3, hidden=(2,), context_dim=2, **SMALL), POINTS, LABELS),
    "convnet": (
        lambda: nice(4, 3, (1,), conditioner="conv", partition="checkerboard", image_shape=(2, 2), **SMALL),
        PIXELS,
        None,
    ),
    "vae": (lambda: variational_autoencoder(3, 1, (2,), decoder="gaussian", **SMALL), POINTS, None),
}


class Stopping(Constant):
    """A learning rate that sends a signal at the sixth step, in the middle of an epoch."""

    def __call__(self, step, progress):
        if step == 5:
            signal.raise_signal(signal.SIGTERM)
        return self.rate


Stopping.__name__ = "Constant"  # a checkpoint remembers the name


def trained(name, **settings):
    build, x, context = CASES[name]
    model = build()
    given = {"validation": x[:4], "validation_context": None if context is None else context[:4]}
    history = fit(model, x, context, batch_size=3, average=4, epochs=3, progress=False, rng=0, **given, **settings)
    return model, history


def write(path):
    """An archive with two files for each case."""
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in CASES:
            run, end = Path(folder, f"{name}_run.npz"), Path(folder, f"{name}_model.npz")
            with pytest.raises(TrainingInterrupted):
                trained(name, learning_rate=Stopping(0.01), checkpoint=run)
            model, history = trained(name, learning_rate=0.01)
            save_model(end, model, {"scores": history.column(f"validation_{history.measure}")})
            archive.write(run, run.name)
            archive.write(end, end.name)


@pytest.mark.parametrize("name", CASES)
def test_a_run_of_an_older_version_is_resumed_and_ends_the_same(name, tmp_path):
    with zipfile.ZipFile(OLD) as archive:
        archive.extractall(tmp_path)
    model, metadata = load_model(tmp_path / f"{name}_model.npz")
    resumed, history = trained(name, learning_rate=0.01, checkpoint=tmp_path / f"{name}_run.npz", resume=True)
    assert type(resumed) is type(model)
    np.testing.assert_allclose(resumed.params.values, model.params.values, rtol=0, atol=1e-9)
    assert history.column(f"validation_{history.measure}") == pytest.approx(metadata["scores"], abs=1e-9)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
