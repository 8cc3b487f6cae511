"""`fit`, files and the gradient check of variational autoencoders."""

import json
import signal

import numpy as np
import pytest
from test_vae import D, build, everything, forms
from thread_ranks import on_ranks

from nice_np import (
    VAE,
    Adam,
    CheckpointError,
    Constant,
    Cosine,
    DivergenceError,
    Flow,
    NiceOverflowError,
    NiceValueError,
    TrainingInterrupted,
    check_gradients,
    fit,
    load_model,
    nice,
    save_model,
    variational_autoencoder,
)
from nice_np.training.state import TrainingState

QUIET = {"batch_size": 25, "progress": False, "rng": 5}


@pytest.fixture
def pixels(rng):
    return rng.integers(0, 256, size=(60, D)).astype(np.uint8)


def small(**settings):
    settings = {"latent": 3, "hidden": (6,), "couplings": 3, "flow_hidden": (4,), "rng": 0} | settings
    return variational_autoencoder(D, **settings)


# -- training ---------------------------------------------------------------------------------------------------------


def test_the_first_steps_by_hand(pixels):
    # The run's generator draws, in this order: the order of the samples, the pixel noise, the noise of z.
    model, by_hand, adam = small(), small(), Adam()
    history = fit(model, pixels, epochs=1, learning_rate=Constant(1e-2), optimizer=Adam(), **QUIET)
    rng = TrainingState.start(np.random.default_rng(5)).rng
    order, losses = rng.permutation(len(pixels)), []
    for start in range(0, 60, 25):
        x = by_hand.from_pixels(pixels[order[start : start + 25]], rng)
        loss, grads = by_hand.loss_and_grad(x, by_hand.draw_noise(len(x), rng))
        adam.step(by_hand.params.values, grads, 1e-2)
        losses.append(loss * len(x))
    np.testing.assert_array_equal(model.params.values, by_hand.params.values)
    assert history.rows[0]["train_elbo"] == pytest.approx(-sum(losses) / 60)
    assert "train_log_likelihood" not in history.rows[0]
    assert history.to_csv().startswith("epoch,step,learning_rate,train_elbo,validation_elbo,validation_bits_per_dim")
    assert type(history).from_csv(history.to_csv()) == history
    assert "train ELBO -" in repr(history)


def test_validation_is_scored_on_noise_drawn_once(pixels):
    frozen = Cosine(1e-30)
    history = fit(small(), pixels, validation=pixels[:20], epochs=3, learning_rate=frozen, **QUIET)
    scores = history.column("validation_elbo")
    assert scores[0] == scores[1] == scores[2]  # the same weights on the same noise
    assert len(set(history.column("train_elbo"))) == 3  # and fresh noise on the training data
    bits = history.column("validation_bits_per_dim")[0]
    assert bits == pytest.approx(-scores[0] / (D * np.log(2)))  # binary pixels are integers themselves


@forms
@pytest.mark.parametrize("decoder", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("stop_at", [2, 3, 7])
def test_a_resumed_run_is_the_same_bit_for_bit(form, decoder, stop_at, pixels, tmp_path):
    preprocess = ("standardize",) if decoder == "gaussian" else ()

    def new():
        return small(decoder=decoder, preprocess=preprocess, **form)

    settings = {**QUIET, "epochs": 4, "validation": pixels[:30], "average": 3, "learning_rate": Cosine(1e-2)}
    whole = new()
    expected = fit(whole, pixels, **settings)

    class Stopping(Adam):
        def _update(self, values, grads, learning_rate):
            super()._update(values, grads, learning_rate)
            if self.steps == stop_at:
                signal.raise_signal(signal.SIGINT)

        __repr__ = Adam.__repr__

    Stopping.__name__, Stopping.__module__ = "Adam", Adam.__module__
    path = tmp_path / "checkpoint.npz"
    with pytest.raises(TrainingInterrupted, match=f"at step {stop_at}; saved"):
        fit(new(), pixels, optimizer=Stopping(), checkpoint=path, **settings)
    resumed = new()
    history = fit(resumed, pixels, checkpoint=path, resume=True, **{**settings, "rng": None})
    np.testing.assert_array_equal(resumed.params.values, whole.params.values)
    assert history == expected
    assert history.measure == "elbo"


def test_the_checkpoint_of_another_kind_is_refused(pixels, tmp_path):
    path = tmp_path / "c.npz"
    fit(small(), pixels, epochs=1, checkpoint=path, **QUIET)
    with pytest.raises(NiceValueError, match=r'architecture.*"FlowPrior"'):
        fit(small(kind="nice-prior"), pixels, epochs=2, checkpoint=path, resume=True, **QUIET)
    with pytest.raises(NiceValueError, match="cannot resume"):
        fit(nice(D, couplings=3, hidden=(6,), rng=0), pixels, epochs=2, checkpoint=path, resume=True, **QUIET)


@forms
def test_threads_share_the_rows_and_their_noise(form, pixels):
    models = [small(dtype=np.float64, **form) for _ in range(3)]
    for model, threads in zip(models, (1, 2, 2), strict=True):
        fit(model, pixels, epochs=3, threads=threads, **QUIET)
    np.testing.assert_allclose(models[1].params.values, models[0].params.values, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(models[2].params.values, models[1].params.values)


def test_two_processes_train_the_same_vae(pixels):
    alone = small(dtype=np.float64)
    fit(alone, pixels, epochs=2, validation=pixels[:10], **QUIET)

    def train(comm):
        model = small(dtype=np.float64)
        fit(model, pixels, epochs=2, validation=pixels[:10], comm=comm, **QUIET)
        return model.params.values.copy()

    (first, second), _ = on_ranks(2, train)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, alone.params.values, rtol=1e-9, atol=1e-12)


def test_patience_callbacks_and_time_limit_work_as_for_flows(pixels):
    seen = []
    history = fit(
        small(), pixels, epochs=50, validation=pixels, patience=2, learning_rate=1e-30,
        callbacks=[lambda model, history: seen.append((type(model), len(history.rows)))], **QUIET,
    )  # fmt: skip
    assert history.stopped == "patience"
    assert seen == [(VAE, k) for k in (1, 2, 3)]
    assert fit(small(), pixels, time_limit=0.05, **QUIET).stopped == "time limit"


def test_training_learns_one_bit(rng):
    x = (rng.random((500, 1)) < 0.5) * np.ones((1, D))
    model = small(hidden=(16,))
    fit(model, x, epochs=40, learning_rate=1e-2, **QUIET)
    assert -1.2 < model.bounds(x, 20, 0).iwae.mean() < -np.log(2) + 0.02  # one coin toss, shown by all pixels


def test_standardising_starts_at_the_data_and_keeps_the_unit_of_the_likelihood(rng):
    x = rng.normal([5.0, -3.0, 0.0, 1.0, 100.0], [0.1, 2.0, 1.0, 0.01, 10.0], size=(400, D))
    model = small(decoder="gaussian", preprocess=("standardize",), dtype=np.float64)
    fit(model, x, epochs=1, learning_rate=1e-30, **QUIET)
    np.testing.assert_allclose(model.layers[0].std, x.std(axis=0))
    plain = small(decoder="gaussian", dtype=np.float64)
    plain.params.values[:] = model.params.values
    eps, y = model.draw_noise(400, 0), (x - x.mean(axis=0)) / x.std(axis=0)
    expected = plain.elbo(y, eps) - np.log(x.std(axis=0)).sum()  # p(x) = p(y) |dy/dx|
    np.testing.assert_allclose(model.elbo(x, eps), expected, rtol=1e-10)
    np.testing.assert_allclose(model.reconstruct(x), plain.reconstruct(y) * x.std(axis=0) + x.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(model.sample(5000, 0).mean(axis=0), x.mean(axis=0), rtol=0.1, atol=0.2)


def test_a_divergence_message_names_the_loss_not_a_flow(rng):
    model = small(decoder="gaussian")
    with pytest.raises(DivergenceError, match="training diverged at step") as caught:
        fit(model, rng.normal(size=(60, D)), epochs=30, learning_rate=1e6, optimizer="sgd", **QUIET)
    assert " flow" not in str(caught.value).lower()


def test_progress_says_elbo(pixels, capsys):
    fit(small(), pixels, epochs=1, batch_size=25, rng=0)
    assert "ELBO -" in capsys.readouterr().err


# -- files and copies -------------------------------------------------------------------------------------------------


@forms
@pytest.mark.parametrize("decoder", ["bernoulli", "gaussian"])
def test_files_give_back_the_same_model(form, decoder, rng, tmp_path):
    model = build(rng, decoder=decoder, preprocess=("rescale",) if decoder == "gaussian" else (), **form)
    path = tmp_path / "model.npz"
    model.save(path, {"note": 1})
    again, metadata = load_model(path)
    assert metadata == {"note": 1}
    assert repr(again) == repr(model)
    x, eps = rng.integers(0, 2, (4, D)), rng.normal(size=(4, 3))
    np.testing.assert_array_equal(again.elbo(x, eps), model.elbo(x, eps))
    np.testing.assert_array_equal(VAE.load(path).sample(5, 0), model.sample(5, 0))
    with pytest.raises(CheckpointError, match="holds a VAE, expected a Flow"):
        Flow.load(path)
    nice(4, couplings=3, hidden=(3,), rng=0).save(path)
    with pytest.raises(CheckpointError, match="holds a Flow, expected a VAE"):
        VAE.load(path)


def test_affine_flows_in_both_places_are_saved_and_loaded(rng, tmp_path):
    model, x, eps = everything(rng), rng.normal(size=(4, D)), rng.normal(size=(4, 3))
    save_model(tmp_path / "m.npz", model)
    np.testing.assert_array_equal(VAE.load(tmp_path / "m.npz").elbo(x, eps), model.elbo(x, eps))


def header_of(path):
    with np.load(path) as file:
        members = dict(file)
    return json.loads(members["header"].tobytes()), members


DAMAGE = {
    "no decoder": (lambda a: a.pop("decoder"), "cannot build VAE"),
    "another decoder": (lambda a: a.update(decoder=a["prior"]), "cannot build VAE: VAE: decoder must be a Decoder"),
    "a plain posterior": (lambda a: a["posterior"].update({"class": "GaussianPosterior"}), "cannot build Gaussian"),
    "context": (lambda a: a["posterior"].update(context_dim=1), "cannot build FlowPosterior"),
    "huge": (lambda a: a["decoder"]["likelihood"].update(dim=10**12), "far more than the file holds"),
    "no likelihood": (lambda a: a["decoder"].update(likelihood="gaussian"), "must be a Likelihood"),
    "unknown": (lambda a: a["decoder"]["likelihood"].update({"class": "Poisson"}), "unknown class 'Poisson'"),
}


@pytest.mark.parametrize(("change", "message"), DAMAGE.values(), ids=DAMAGE.keys())
def test_damaged_files_are_refused(change, message, rng, tmp_path):
    path = tmp_path / "m.npz"
    build(rng, kind="nice-posterior", decoder="gaussian", context_dim=2).save(path)
    header, members = header_of(path)
    change(header["architecture"])
    members["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez(path, **members)
    with pytest.raises(CheckpointError, match=message) as caught:
        VAE.load(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_every_bit_counts(rng, tmp_path):
    from damage import mutations

    path, model = tmp_path / "m.npz", build(rng, kind="nice-prior")
    model.save(path)
    content, refused = path.read_bytes(), 0
    for mutant in mutations(content, rng, 150):
        path.write_bytes(mutant)
        try:
            again = VAE.load(path)
        except CheckpointError:
            refused += 1
        else:
            np.testing.assert_array_equal(again.params.values, model.params.values)
    assert refused > 100


@forms
def test_astype(form, rng):
    model = build(rng, decoder="gaussian", preprocess=("standardize",), **form)
    single = model.astype(np.float32)
    assert single.dtype == np.float32
    assert single.layers[0].mean.dtype == np.float32
    np.testing.assert_array_equal(single.params.values, model.params.values.astype(np.float32))
    np.testing.assert_array_equal(single.astype(np.float64).params.values, single.params.values)
    model.params.values[0] = 1e300
    with pytest.raises(NiceOverflowError, match=r"cast: .* is too large for float32"):
        model.astype(np.float32)


def test_a_replica_has_its_own_gradients(rng):
    model, x, eps = everything(rng), rng.normal(size=(4, D)), rng.normal(size=(4, 3))
    twin = model.replica()
    grads = model.loss_and_grad(x, eps)[1].copy()
    np.testing.assert_array_equal(twin.loss_and_grad(x, eps)[1], grads)
    assert twin.params.values is model.params.values
    assert not np.shares_memory(twin.params.grads, model.params.grads)


# -- the gradient check -----------------------------------------------------------------------------------------------


@forms
@pytest.mark.parametrize("decoder", ["bernoulli", "gaussian"])
def test_check_gradients_knows_a_vae(form, decoder, rng):
    model = build(rng, decoder=decoder, dtype=np.float32, **form)
    report = check_gradients(model, rng.integers(0, 2, (4, D)))
    assert report.passed, str(report)
    assert {row.name for row in report.rows} == {"loss: value"} | {f"loss: {slot.path}" for slot in model.params.slots}


def test_check_gradients_finds_a_planted_error(rng, monkeypatch):
    model = build(rng)
    right = type(model.decoder.likelihood).backward
    wrong = type(model.decoder.likelihood)
    monkeypatch.setattr(wrong, "backward", lambda self, dlog_p, x, theta: -right(self, dlog_p, x, theta))
    report = check_gradients(model, rng.integers(0, 2, (4, D)))
    assert not report.passed
    assert any("decoder" in row.name and "wrong sign" in (row.hint or "") for row in report.rows if not row.passed)
