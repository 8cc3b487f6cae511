"""The command line with variational autoencoders: every command works for them, or refuses them in one line."""

import csv
import json

import numpy as np
import pytest
from command_line import as_json, fail, fewer, image_size, succeed

from nice_np import VAE, binarize, load_model
from nice_np.datasets import load
from nice_np.runs.presets import MODELS

QUICK = ["--epochs", "1", "--batch-size", "2000", "--quiet"]


@pytest.fixture(scope="module")
def autoencoder(tmp_path_factory):
    """A finished run of a VAE on the small digits, not to be changed, and the output of its training."""
    folder = tmp_path_factory.mktemp("runs") / "vae"
    return folder, succeed("train", "mnist-small", "--model", "vae-nice-posterior", *QUICK, "--out", folder)


def test_training_reports_the_elbo(autoencoder):
    folder, printed = autoencoder
    metrics = json.loads((folder / "metrics.json").read_text(), parse_constant=pytest.fail)
    assert (metrics["preset"], metrics["bin_width"]) == ("vae-nice-posterior", 1.0)
    assert metrics["command"].startswith("nice-np train mnist-small --model=vae-nice-posterior --epochs=1")
    assert "log_likelihood" not in metrics
    assert "ELBO" in printed
    assert "likelihood" not in printed
    assert f"a tighter bound: nice-np evaluate {folder}" in printed
    assert metrics["configuration"]["vae"][0].startswith("VAE(dim=784, latent=")
    rows = list(csv.DictReader((folder / "history.csv").read_text().splitlines()))
    assert float(rows[-1]["validation_elbo"]) == pytest.approx(metrics["elbo"]["validation"], abs=1)
    names = sorted(path.stem for path in (folder / "figures").iterdir())
    assert names == ["reconstructions", "samples", "training_curve"]
    for path in (folder / "figures").iterdir():
        assert min(image_size(path)) > 150


def test_evaluate_gives_both_bounds(autoencoder):
    folder, _ = autoencoder
    result = as_json(succeed("evaluate", folder, "--k", "3", "--json"))
    model, _ = load_model(folder / "model.npz")
    rng = np.random.default_rng(1)
    bounds = model.bounds(binarize(load("mnist-small").test, rng, np.float32), 3, rng)
    assert result["elbo"] == pytest.approx(bounds.elbo.mean(dtype=float))
    assert result["iwae"] == pytest.approx(bounds.iwae.mean(dtype=float))
    assert result["bits_per_dim"] == pytest.approx(-result["elbo"] / (784 * np.log(2)))
    assert (result["k"], result["samples"]) == (3, 2000)
    text = succeed("evaluate", folder, "--k", "3")
    assert f"ELBO {result['elbo']:.2f} +- {result['standard_error']:.2f} nats" in text
    assert f"bound of 3 draws: {result['iwae']:.2f}" in text
    assert "binarised" in text
    assert "iwae" not in as_json(succeed("evaluate", folder, "--k", "1", "--json"))


def test_sample_draws_pixels_or_means(autoencoder, tmp_path):
    folder, _ = autoencoder
    succeed("sample", folder, "-n", "5", "--out", tmp_path / "x.npy")
    assert set(np.unique(np.load(tmp_path / "x.npy"))) == {0.0, 1.0}
    succeed("sample", folder, "-n", "5", "--means", "--out", tmp_path / "means.npy")
    means = np.load(tmp_path / "means.npy")
    assert means.shape == (5, 784)
    assert ((means > 0) & (means < 1)).all()
    succeed("sample", folder, "-n", "4", "--out", tmp_path / "x.png")
    assert min(image_size(tmp_path / "x.png")) > 50


def test_a_report_of_a_vae(autoencoder, tmp_path):
    folder, _ = autoencoder
    succeed("report", folder, "--out", tmp_path / "x.html", "--poster", tmp_path / "x.png")
    html = (tmp_path / "x.html").read_text(encoding="utf-8")
    metrics = json.loads((folder / "metrics.json").read_text())
    assert f"{metrics['elbo']['test']:,.2f} \u00b1 {metrics['standard_error']['test']:,.2f}" in html
    for figure in ("Samples, vae", "Reconstructions, vae"):
        assert figure in html
    assert min(image_size(tmp_path / "x.png")) > 50


def test_info_and_gradcheck_know_a_vae(autoencoder):
    folder, _ = autoencoder
    text = succeed("info", folder)
    assert "FlowPosterior(" in text
    assert "AdditiveCoupling(" in text
    assert "vae" in as_json(succeed("info", folder, "--json"))
    assert "all gradients agree" in succeed("gradcheck", folder)


@pytest.fixture
def short(monkeypatch, no_figures):
    """Trainings without figures on a tenth of the data."""
    monkeypatch.setattr("nice_np.commands.train.load", fewer)


def test_a_gaussian_decoder_sees_dequantised_pixels(tmp_path, short):
    succeed("train", "mnist-small", "--preset", "vae-gaussian", *QUICK, "--out", tmp_path / "run")
    result = as_json(succeed("evaluate", tmp_path / "run", "--k", "2", "--json"))
    assert result["bits_per_dim"] == pytest.approx(8 - result["elbo"] / (784 * np.log(2)))
    assert "dequantised" in succeed("evaluate", tmp_path / "run", "--k", "1")
    assert VAE.load(tmp_path / "run" / "model.npz").layers[1].fitted


def test_a_run_is_resumed(tmp_path, short):
    words = ("train", "mnist-small", "--model", "vae", "--batch-size", "2000", "--quiet")
    succeed(*words, "--epochs", "1", "--out", tmp_path / "run")
    succeed(*words, "--epochs", "2", "--out", tmp_path / "run", "--resume")
    succeed(*words, "--epochs", "2", "--out", tmp_path / "whole", "--threads", "2")
    assert len((tmp_path / "run" / "history.csv").read_text().splitlines()) == 3
    words = ("train", "mnist-small", "--model", "vae-nice-prior", "--quiet", "--resume")
    assert "preset is vae-nice-prior now and was vae then" in fail(*words, "--out", tmp_path / "run", code=1)


def test_what_is_not_for_a_vae_is_refused_in_one_line(autoencoder, tmp_path, moons_model):
    folder, _ = autoencoder
    out = tmp_path / "x.npy"
    assert "without labels" in fail("sample", folder, "--out", out, "--label", 3, code=1)
    assert "--temperature is for flows" in fail("sample", folder, "--out", out, "--temperature", 0.5, code=1)
    assert "--k is for VAEs" in fail("evaluate", moons_model, "--k", 3, code=1)
    assert "--means is for VAEs" in fail("sample", moons_model, "--out", out, "--means", code=1)
    assert "two-moons has no images" in fail("train", "two-moons", "--model", "vae", "--out", tmp_path / "a", code=1)
    assert "not both" in fail("train", "mnist-small", "--model", "vae", "--preset", "digits", "--out", out, code=1)
    assert "did you mean vae" in fail("train", "mnist-small", "--model", "va", code=2)
    assert not out.exists()


@pytest.fixture
def moons_model(tmp_path):
    from nice_np import nice

    path = tmp_path / "moons.npz"
    nice(2, couplings=3, hidden=(4,), rng=0).save(path, {"dataset": "two-moons"})
    return path


def test_the_choices_are_in_the_help():
    text = "".join(succeed("train", "--help").split())  # argparse breaks lines at hyphens
    assert ",".join(MODELS[1:]) in text
