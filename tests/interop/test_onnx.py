"""Flows as ONNX graphs in onnxruntime: the same numbers as in Python."""

import copy
import sys

import numpy as np
import pytest
import registry

from nice_np import (
    MLP,
    VAE,
    AdditiveCoupling,
    AffineAutoregressive,
    AffineCoupling,
    Chain,
    DiagonalScaling,
    Flow,
    NiceImportError,
    NiceTypeError,
    NiceValueError,
    Partition,
    StandardNormal,
    nice,
    real_nvp,
    variational_autoencoder,
)
from nice_np.families import NeuralODE, Radial
from nice_np.families.implicit import ImplicitInverse, ImplicitLaw
from nice_np.interop import onnx_models, save_onnx, to_onnx
from nice_np.training.fit import start_from_data
from nice_np.vae import Bernoulli, Decoder, FixedGaussian


@pytest.fixture
def run():
    """run(flow, method, x=...): the output of the graph in onnxruntime."""
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")

    def run(flow, method, **arrays):
        session = onnxruntime.InferenceSession(to_onnx(flow, method).SerializeToString())
        results = session.run(None, arrays)
        names = [output.name for output in session.get_outputs()]
        return results[0] if len(names) == 1 else dict(zip(names, results, strict=True))

    return run


NO_GRAPH = ("Residual", "RoundedAdditiveCoupling", "DiscretisedLogistics", "GivenTheFirst", "DeeperLevel")


def assert_same(flow, run, x, methods=("encode", "log_prob", "decode"), **context):
    tolerance = 1e-5 if flow.dtype == np.float32 else 1e-11
    for method in methods:
        given = {"z": flow.encode(x, **context)} if method == "decode" else {"x": x}
        here, there = getattr(flow, method)(*given.values(), **context), run(flow, method, **given, **context)
        assert there.shape == here.shape
        assert there.dtype == flow.dtype
        np.testing.assert_allclose(there, here, rtol=tolerance, atol=tolerance, err_msg=method)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", registry.BIJECTORS)
def test_every_bijector(name, dtype, run, rng):
    layer = registry.BIJECTORS[name](rng)
    # With a scaling, so that the flow has parameters and a dtype.
    flow = Flow("logistic", Chain([layer, registry.shaken(DiagonalScaling(layer.dim), rng)])).astype(dtype)
    x = registry.draw(layer, rng, (5, flow.dim)).astype(dtype)
    if name.startswith(NO_GRAPH):
        with pytest.raises(NiceTypeError, match="no graph is known for"):
            to_onnx(flow, "encode")
    elif isinstance(layer, (ImplicitLaw, ImplicitInverse)) and not isinstance(layer, Radial):
        assert_same(flow, run, x, ("encode", "log_prob"))
        with pytest.raises(NiceTypeError, match="is a search"):
            to_onnx(flow, "decode")
    else:
        assert_same(flow, run, x)


@pytest.mark.parametrize("activation", ["tanh", "softplus"])
@pytest.mark.parametrize("method", ["euler", "rk4"])
@pytest.mark.parametrize("hidden", [(), (4, 5)], ids=["linear", "deep"])
def test_continuous_flows(activation, method, hidden, run, rng):
    network = registry.mlp((3, *hidden, 2), rng, activation)
    flow = Flow("normal", NeuralODE(network, steps=2, method=method))
    x = rng.normal(size=(5, 2))
    assert_same(flow, run, x)
    flow.bijector.probes = 1
    with pytest.raises(NiceTypeError, match="set probes = None"):
        to_onnx(flow, "encode")


@pytest.mark.parametrize("name", registry.CONDITIONERS)
def test_every_conditioner(name, run, rng):
    conditioner = registry.CONDITIONERS[name](rng)
    if name.startswith("MaskedMLP"):
        layer = AffineAutoregressive(conditioner)
    elif name.startswith("MLP"):
        layer = AdditiveCoupling(Partition(7, [0, 1, 2]), conditioner)
    elif name.startswith("GlowNet"):
        kept, changed = conditioner.sizes[0] - 2, conditioner.sizes[1]
        layer = AdditiveCoupling(Partition(kept + changed, np.arange(kept), 2), conditioner)
    else:
        layer = AffineCoupling(Partition.odd_even(24).with_context(2), conditioner)
    assert_same(Flow("normal", layer), run, rng.normal(size=(5, layer.dim)))


@pytest.mark.parametrize("prior", ["normal", "logistic"])
@pytest.mark.parametrize("build", [nice, real_nvp])
def test_flows(build, prior, run, rng):
    flow = registry.shaken(build(6, hidden=(8, 8), prior=prior, rng=rng), rng)
    x = rng.normal(size=(7, 6)).astype(np.float32)
    assert_same(flow, run, x)
    assert run(flow, "log_prob", x=x[:1]).shape == (1,)  # N is not fixed
    assert run(flow, "decode", z=x[:0]).shape == (0, 6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", registry.PRIORS)
def test_every_prior(name, dtype, run, rng):
    flow = Flow(registry.PRIORS[name](rng), registry.shaken(DiagonalScaling(3), rng)).astype(dtype)
    if name in NO_GRAPH:
        with pytest.raises(NiceTypeError, match="no graph is known for"):
            to_onnx(flow, "log_prob")
    else:
        assert_same(flow, run, rng.normal(size=(7, 3)).astype(dtype))


def test_a_flow_with_a_context(run, rng):
    flow = registry.shaken(real_nvp(6, hidden=(8,), context_dim=3, rng=rng), rng)
    x, context = rng.normal(size=(7, 6)).astype(np.float32), np.eye(3, dtype=np.float32)[rng.integers(3, size=7)]
    assert_same(flow, run, x, context=context)


@pytest.mark.slow
def test_at_the_size_of_mnist(run, rng):
    flow = registry.shaken(nice(784, hidden=(200,) * 3, rng=rng), rng, size=0.02)
    assert_same(flow, run, rng.random((20, 784), np.float32))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("decoder", "preprocess"),
    [("bernoulli", ()), *((law, fixed) for law in ("gaussian", "fixed") for fixed in ((), ("logit", "standardize")))],
)
@pytest.mark.parametrize("kind", ["plain", "nice-posterior", "nice-posterior with context", "nice-prior",
                                  "iaf-posterior with context", "maf-prior"])  # fmt: skip
def test_vaes(kind, decoder, preprocess, dtype, run, rng):
    model = variational_autoencoder(
        6, 3, (7, 5), kind.split()[0], "gaussian" if decoder == "fixed" else decoder, preprocess=preprocess,
        couplings=3, flow_hidden=(4,), context_dim=2 if "context" in kind else 0, dtype="float64", rng=rng,
    )  # fmt: skip
    if decoder == "fixed":
        network = MLP((3, 7, 6), "leaky_relu", output_scale=0.5, rng=rng)
        posterior, prior = copy.deepcopy((model.posterior, model.prior))
        fixed = copy.deepcopy(model.preprocess)
        model = VAE(posterior, prior, Decoder(network, FixedGaussian(np.linspace(0.1, 2, 6))), fixed)
    x = rng.uniform(0.1, 0.9, (9, 6))
    if preprocess:
        start_from_data(model, x)
    model = registry.shaken(model, rng, 0.4).astype(dtype)
    x = (x if decoder != "bernoulli" else np.round(x)).astype(dtype)
    tolerance = {"rtol": 1e-5, "atol": 1e-5} if dtype == np.float32 else {"rtol": 1e-11, "atol": 1e-11}

    there = run(model, "encode", x=x)
    mean, sigma = model.encode(x)
    z = model.posterior.forward(model._inner(x)[0], np.zeros((9, 3), dtype))[0]
    for name, here in {"mean": mean, "log_variance": 2 * np.log(sigma), "z": z}.items():
        assert there[name].dtype == dtype
        np.testing.assert_allclose(there[name], here, **tolerance, err_msg=name)
    np.testing.assert_allclose(run(model, "decode", z=there["z"])["x"], model.reconstruct(x), **tolerance)

    z = rng.normal(size=(9, 3)).astype(dtype)
    there = run(model, "decode", z=z)
    np.testing.assert_allclose(there["x"], model.decode(z), **tolerance)
    y, theta = model._inner(x)[0], model.decoder.network.forward(z)[0]
    expected = model.decoder.likelihood.log_prob(y, theta)
    if decoder == "bernoulli":
        log_p = y * there["logits"] - np.logaddexp(0, there["logits"])
    else:
        log_variance = there["log_variance"]
        log_p = -0.5 * ((y - there["mean"]) ** 2 / np.exp(log_variance) + log_variance + np.log(2 * np.pi))
    np.testing.assert_allclose(log_p.sum(axis=1), expected, **{**tolerance, "rtol": 10 * tolerance["rtol"]})
    for name, array in there.items():
        assert (array.dtype, array.shape) == (dtype, (9, 6)), name
    assert run(model, "decode", z=z[:0])["x"].shape == (0, 6)  # N is not fixed


class OwnBernoulli(Bernoulli):
    def mean(self, theta):
        return 0.5 * super().mean(theta)


def test_what_is_refused_of_vaes():
    model = variational_autoencoder(4, 2, (3,), rng=0)
    with pytest.raises(NiceValueError, match="unknown method of a VAE 'log_prob'; choose one of encode, decode"):
        to_onnx(model)
    posterior, prior, decoder = copy.deepcopy((model.posterior, model.prior, model.decoder))
    with pytest.raises(NiceTypeError, match=r"decoder\.likelihood is of class OwnBernoulli; only the library's own"):
        to_onnx(VAE(posterior, prior, Decoder(decoder.network, OwnBernoulli())), "decode")


def test_far_out_nothing_overflows(run):
    flow = Flow("logistic", DiagonalScaling(2, dtype=np.float32))
    x = np.array([[1e6, -1e6], [0, 100]], np.float32)
    np.testing.assert_allclose(run(flow, "log_prob", x=x), flow.log_prob(x), rtol=1e-6)


def test_outside_a_logit_is_nan(run):
    flow = Flow("logistic", Chain([registry.BIJECTORS["Logit"](None)]))
    assert np.isnan(run(flow, "log_prob", x=np.full((1, 5), 2.0)))


def test_encode_does_not_carry_the_log_det():
    onnx = pytest.importorskip("onnx")
    flow = real_nvp(4, hidden=(3,), rng=0)
    operators = [node.op_type for node in to_onnx(flow, "encode").graph.node]
    assert "ReduceSum" not in operators
    assert "ReduceSum" in [node.op_type for node in to_onnx(flow, "log_prob").graph.node]
    assert isinstance(to_onnx(flow), onnx.ModelProto)


def test_save(tmp_path, run, rng):
    onnxruntime = pytest.importorskip("onnxruntime")
    flow = nice(4, hidden=(3,), rng=rng)
    path = tmp_path / "flow.onnx"
    save_onnx(flow, path, "decode")
    z = rng.normal(size=(3, 4)).astype(np.float32)
    (x,) = onnxruntime.InferenceSession(path).run(["x"], {"z": z})
    np.testing.assert_allclose(x, flow.decode(z), rtol=1e-5, atol=1e-5)
    assert [file.name for file in tmp_path.iterdir()] == ["flow.onnx"]


def test_what_is_refused(monkeypatch):
    flow = nice(4, hidden=(3,), rng=0)
    with pytest.raises(NiceTypeError, match="expected a Flow or a VAE, got NoneType"):
        to_onnx(None)
    with pytest.raises(NiceValueError, match="unknown method of a Flow 'sample'; choose one of encode, log_prob"):
        to_onnx(flow, "sample")
    monkeypatch.setattr(onnx_models, "LARGEST", 100)
    with pytest.raises(NiceValueError, match="bytes of weights; an ONNX file holds less than 2 GiB"):
        to_onnx(flow)
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(NiceImportError, match=r'pip install "nice-np\[onnx\]"'):
        to_onnx(flow)


class OwnPrior(StandardNormal):
    def log_prob(self, z):
        return 2 * super().log_prob(z)


class OwnNetwork(MLP):
    def forward(self, x):
        y, cache = super().forward(x)
        return y + 1, cache


class OwnLaw(AdditiveCoupling):
    def _couple(self, x_b, theta):
        return super()._couple(x_b, 2 * theta)


class OwnLayer(DiagonalScaling):
    def forward(self, x):
        z, log_det, cache = super().forward(x)
        return z + 1, log_det, cache


@pytest.mark.parametrize(
    ("flow", "part"),
    [
        (lambda: Flow(OwnPrior(), DiagonalScaling(2)), "OwnPrior"),
        (lambda: Flow("normal", OwnLayer(2)), "OwnLayer"),
        (lambda: Flow("normal", OwnLaw(Partition.odd_even(2), MLP((1, 1)))), "OwnLaw"),
        (
            lambda: Flow("normal", AdditiveCoupling(Partition.odd_even(2), OwnNetwork((1, 1)))),
            "conditioner is of class OwnNetwork",
        ),
    ],
)
def test_your_own_parts_are_refused_even_if_they_are_subclasses_of_ours(flow, part):
    pytest.importorskip("onnx")
    with pytest.raises(NiceTypeError, match=f"{part}; only the library's own classes have a graph"):
        to_onnx(flow())
