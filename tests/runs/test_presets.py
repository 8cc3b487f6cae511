"""Presets: each trains, is what its source says, and is listed with the right number of parameters."""

import os

import numpy as np
import pytest

from nice_np import VAE, AdditiveCoupling, NiceValueError, Permutation, fit
from nice_np.datasets import TOYS, Dataset, load
from nice_np.runs.presets import DEFAULTS, MODELS, POINTS, PRESETS, get_preset
from nice_np.runs.scoring import label_context, score, score_bounds
from nice_np.training.optim import Adam, RMSPropMomentum
from nice_np.training.state import TrainingState

SHAPES = {
    "mnist-small": (28, 28),
    "mnist": (28, 28),
    "tfd": (48, 48),
    "svhn": (3, 32, 32),
    "cifar10": (3, 32, 32),
    "faces": (64, 64),
    POINTS: None,
}
PUBLISHED = {  # name -> hidden layers of each coupling, width, prior, batch, learning rate, lowest learning rate
    "mnist-paper": ((5, 5, 5, 5), 1000, "StandardLogistic", 200, 1e-3, None),
    "mnist-code": ((5, 5, 5, 5), 1000, "StandardLogistic", 200, 1e-3, 1e-4),
    "tfd-paper": ((4, 4, 4, 4), 5000, "StandardNormal", 200, 1e-3, None),
    "tfd-code": ((3, 3, 2, 2, 1, 1, 1, 1), 2000, "StandardLogistic", 128, 1e-3, 1e-4),
    "svhn-paper": ((4, 4, 4, 4), 2000, "StandardLogistic", 200, 1e-3, None),
    "svhn-code": ((3, 3, 3, 3), 2000, "StandardNormal", 200, 1e-3, 1e-4),
    "cifar10-paper": ((4, 4, 4, 4), 2000, "StandardLogistic", 200, 1e-3, None),
    "cifar10-code": ((1, 1, 3, 3, 2, 2, 1, 1), 2400, "StandardNormal", 200, 2e-4, 1e-5),
}
OTHER_LAYERS = {  # in the order of the flow; "R" stands for the reversals of the authors' code
    "mnist-paper": "DiagonalScaling",
    "mnist-code": "Permutation R R R R DiagonalScaling",
    "tfd-paper": "ZCAWhitening DiagonalScaling",
    "tfd-code": "Permutation R R R R R R R R DiagonalScaling",
    "svhn-paper": "ZCAWhitening DiagonalScaling",
    "svhn-code": "R R R R DiagonalScaling",
    "cifar10-paper": "Rescale ZCAWhitening DiagonalScaling",
    "cifar10-code": "R R R R R R R R DiagonalScaling",
}
GIGABYTES = {"tfd-paper": 12}  # weights, gradients, two moments and the best weights, 1.4 GB each


def dataset_for(made_for, rng, n=20):
    """Twenty noisy samples of the right size, labels 0 .. 9."""
    shape, labels = SHAPES[made_for], np.arange(n) % 10
    if shape is None:
        x = rng.normal(size=(n, 2))
        return Dataset("points", x, x, x)
    x = rng.integers(0, 256, size=(n, int(np.prod(shape)))).astype(np.uint8)
    return Dataset("images", x, x, x, labels, labels, labels, image_shape=shape, bin_width=1 / 256)


def check_published(name, flow):
    depths, width, prior, batch_size, rate, lowest = PUBLISHED[name]
    preset, training = PRESETS[name], PRESETS[name].training()
    d_a, d_b = (flow.dim + 1) // 2, flow.dim // 2
    laws = [layer for layer in flow.layers if isinstance(layer, AdditiveCoupling)]
    assert [law.conditioner.sizes for law in laws] == [(d_a, *[width] * depth, d_b) for depth in depths]
    assert type(flow.prior).__name__ == prior
    assert (training["batch_size"], preset.epochs) == (batch_size, 1500)
    schedule, optimizer = training["learning_rate"], training["optimizer"]
    assert schedule(0, 0.0) == rate
    if name.endswith("-paper"):
        assert schedule(10**6, 1.0) == rate
        assert isinstance(optimizer, Adam)
        assert (optimizer.beta1, optimizer.beta2, optimizer.eps) == (0.9, 0.99, 1e-4)
    else:
        assert schedule(1, 0.0) == pytest.approx(rate / 1.0005)
        assert schedule(10**6, 1.0) == lowest
        assert isinstance(optimizer, RMSPropMomentum)
        weights = np.concatenate([law.conditioner.layers[0].W.ravel()[:5000] for law in laws])
        assert 0.0099 < abs(weights).max() <= 0.01
    reversal = np.arange(flow.dim)[::-1]
    others = [layer for layer in flow.layers if not isinstance(layer, AdditiveCoupling)]
    words = [
        "R" if isinstance(layer, Permutation) and np.array_equal(layer.order, reversal) else type(layer).__name__
        for layer in others
    ]
    assert " ".join(words) == OTHER_LAYERS[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_what_it_says_and_takes_two_steps(name, rng):
    if os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") < GIGABYTES.get(name, 0) * 1e9:
        pytest.skip(f"{name} needs {GIGABYTES[name]} GB of memory")
    preset = PRESETS[name]
    dataset = dataset_for(preset.made_for, rng)
    flow = preset.build(dataset, rng=0)
    assert len(flow.params) == preset.parameters
    if name in PUBLISHED:
        check_published(name, flow)
    before = flow.params.values[-1000:].copy()
    settings = {**preset.training(), "batch_size": 10}
    seen = preset.training_set(dataset)
    context = label_context(flow, seen, "train")
    history = fit(flow, seen.train, context, epochs=1, progress=False, rng=0, **settings)
    assert history.rows[-1]["step"] == 2 * (5 if preset.shifts else 1) * (2 if preset.flips else 1)
    scores = score_bounds(flow, dataset, "test", 0, 2) if isinstance(flow, VAE) else score(flow, dataset, "test", 0)
    assert np.isfinite(list(scores.values())).all()
    assert np.array_equal(flow.params.values[-1000:], before) == (preset.parameters == 0)


def test_every_published_experiment_is_there():
    assert {name for name, preset in PRESETS.items() if preset.source != "nice_np"} == set(PUBLISHED)


@pytest.mark.parametrize("name", [*DEFAULTS, *TOYS])
def test_every_data_set_has_a_preset_of_its_kind(name, rng):
    dataset = dataset_for(name if name in DEFAULTS else POINTS, rng)
    object.__setattr__(dataset, "name", name)
    chosen, preset = get_preset(None, dataset)
    assert PRESETS[chosen] is preset
    assert (SHAPES[preset.made_for] is None) == (dataset.image_shape is None)


def test_a_model_names_its_preset(rng):
    images = dataset_for("mnist", rng)
    assert [get_preset(None, images, model)[0] for model in MODELS[1:]] == list(MODELS[1:])
    assert get_preset(None, images, "flow") == get_preset(None, images)
    with pytest.raises(NiceValueError, match="not both"):
        get_preset("mnist", images, "vae")


def test_what_a_preset_needs(rng):
    points = dataset_for(POINTS, rng)
    with pytest.raises(NiceValueError, match="data set points has no labels, which this preset needs"):
        PRESETS["mnist-labels"].build(points)
    with pytest.raises(NiceValueError, match="image_shape"):
        PRESETS["faces-best"].build(points)
    images = dataset_for("mnist-small", rng)
    images.train_labels[3] = -1
    with pytest.raises(NiceValueError, match="has samples without a label"):
        PRESETS["mnist-labels"].build(images)
    with pytest.raises(NiceValueError, match="mnist-paper"):
        get_preset("mnist-papier", points)


def train_as_the_authors(model, pixels, epochs, batch_size, rng):
    """The learning rule of their program, for a model of tutorials/nice_on_one_page.py; returns nats per epoch."""
    parameters, history, t = model.parameters(), [], 0
    squares, momenta = ([np.zeros_like(array) for array in parameters] for _ in range(2))
    for epoch in range(1, epochs + 1):
        mu, order, total = 0.0 if epoch <= 5 else 0.5, rng.permutation(len(pixels)), 0.0
        for start in range(0, len(pixels), batch_size):
            batch = pixels[order[start : start + batch_size]]
            loss, grads = model.loss_and_gradients((255 * (batch / 255) + rng.random(batch.shape)) / 256)
            rate = max(1e-3 / 1.0005**t, 1e-4)
            for value, grad, v, m in zip(parameters, grads, squares, momenta, strict=True):
                v[...] = 0.95 * v + 0.05 * grad**2
                m[...] = mu * m - rate * grad / np.maximum(np.sqrt(v), 1e-2)
                value += m
            total, t = total - loss * len(batch), t + 1
        history.append(total / len(pixels))
    return history


@pytest.mark.slow
def test_ten_epochs_of_mnist_code_are_those_of_the_authors_program():
    import one_page  # skips where there are no tutorials

    digits = load("mnist-small").train[:250]  # a whole batch and a part of one
    preset = PRESETS["mnist-code"]
    flow = preset.build(load("mnist-small"), rng=0).astype(np.float64)
    laws = [layer for layer in flow.layers if isinstance(layer, AdditiveCoupling)]
    before = flow.params.values.copy()

    # Even pixels before odd ones, and a reversal after each coupling: on one page that is a matter of indices.
    model = one_page.NICE(np.zeros((1, 784)), couplings=4, hidden=[1000] * 5, rng=np.random.default_rng(0))
    model.mean, model.std = np.zeros(784), np.ones(784)
    order = np.concatenate([np.arange(0, 784, 2), np.arange(1, 784, 2)])
    for k, law in enumerate(laws):
        network = model.couplings[k][2]
        network.layers = [(layer.W.copy(), layer.b.copy()) for layer in law.conditioner.layers]
        model.couplings[k] = (order[:392], order[392:], network)
        order = order[::-1]
    model.s[order] = flow.layers[-1].log_scale

    history = fit(flow, digits, epochs=10, progress=False, rng=1, **preset.training())
    noise = TrainingState.start(np.random.default_rng(1)).rng  # the generator that the run has drawn from
    expected = train_as_the_authors(model, digits, 10, 200, noise)

    assert history.rows[-1]["step"] == 20
    np.testing.assert_allclose(history.column("train_log_likelihood"), expected, rtol=1e-9)
    assert abs(flow.params.values - before).max() > 0.01
    for law, (_, _, network) in zip(laws, model.couplings, strict=True):
        for layer, (W, b) in zip(law.conditioner.layers, network.layers, strict=True):
            np.testing.assert_allclose(layer.W, W, rtol=0, atol=1e-9)
            np.testing.assert_allclose(layer.b, b, rtol=0, atol=1e-9)
    np.testing.assert_allclose(flow.layers[-1].log_scale, model.s[order], rtol=0, atol=1e-9)


def test_the_baseline_is_float32_as_all_presets(rng):
    flow = PRESETS["faces-gaussian"].build(load("mnist-small"), rng)
    assert flow.dtype == flow.log_prob(np.zeros((1, 784))).dtype == np.float32
