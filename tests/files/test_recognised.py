"""Parts of your own: taken as objects, saved as what they are, and refused where only nice_np's formulas are known."""

import pickle
from functools import partial

import numpy as np
import pytest
from registry import shaken

from nice_np import (
    MLP,
    VAE,
    AdditiveCoupling,
    Bijector,
    Chain,
    CheckpointError,
    ConvNet,
    DiagonalScaling,
    Flow,
    MultiplicativeCoupling,
    NiceTypeError,
    NiceValueError,
    Partition,
    Standardize,
    StandardNormal,
    check_gradients,
    fit,
    load_model,
    nice,
    real_nvp,
    variational_autoencoder,
)
from nice_np.bijectors import ExpScale, FlooredSigmoidScale, SoftclipScale, TanhScale
from nice_np.interop import fold_standardize, to_onnx, to_state_dict
from nice_np.networks.activations import Activation, LeakyReLU, ReLU, Tanh
from nice_np.networks.mlp import Linear
from nice_np.training.fused.couplings import fused
from nice_np.training.fused.loops import couple
from nice_np.vae import Bernoulli, Gaussian, GaussianPosterior

needs_numba = pytest.mark.skipif(not couple.is_compiled, reason="Numba is missing or off: nothing is fused")


class Inherited(TanhScale):
    """The name and the settings of ours, another formula."""

    def log_of(self, r):
        return 0.5 * super().log_of(r)

    def slope(self, log_s):
        return 0.5 * super().slope(2 * log_s)


class Bound(TanhScale):
    bound = 0.5


class Square(Activation):
    def forward(self, a, b):
        return np.maximum(a + b, 0) ** 2

    def backward(self, dh, h):
        return dh * 2 * np.sqrt(h)


class Swish(ReLU):
    """Inherits relu's name."""

    def forward(self, a, b):
        return np.tanh(a + b) + 1

    def backward(self, dh, h):
        return dh * (1 - (h - 1) ** 2)


OWN = {
    "scale": lambda rng: real_nvp(4, 3, (5,), scale=Inherited(1.5), dtype="float64", rng=rng),
    "bound": lambda rng: real_nvp(4, 3, (5,), scale=Bound(), dtype="float64", rng=rng),
    "activation": lambda rng: nice(4, 3, (5, 5), activation=Square(), dtype="float64", rng=rng),
    "named activation": lambda rng: nice(4, 3, (5,), activation=Swish(), dtype="float64", rng=rng),
}
OURS = {
    "tanh": lambda rng: real_nvp(4, 3, (5,), scale=TanhScale(3.5), rng=rng),
    "softclip": lambda rng: real_nvp(4, 3, (5,), scale=SoftclipScale(), rng=rng),
    "floor": lambda rng: real_nvp(4, 3, (5,), scale=FlooredSigmoidScale(), rng=rng),
    "leaky": lambda rng: nice(4, 3, (5,), activation=LeakyReLU(0.01), rng=rng),
    "conv": lambda rng: nice(
        16,
        3,
        (2,),
        activation=LeakyReLU(0.4),
        conditioner="conv",
        partition="checkerboard",
        image_shape=(4, 4),
        rng=rng,
    ),
    "multiplicative": lambda rng: Flow(
        "normal",
        Chain([MultiplicativeCoupling(Partition.odd_even(4), MLP((2, 5, 2), LeakyReLU(0.9), rng=rng), ExpScale())]),
    ),
    "vae": lambda rng: variational_autoencoder(
        4, 2, (5,), "nice-posterior", activation=LeakyReLU(0.05), couplings=3, dtype="float64", rng=rng
    ),
}


def classes_of(model):
    return {type(module) for _, module in model.modules()}


def values_of(model, x):
    return model.log_prob(x) if isinstance(model, Flow) else model.elbo(np.round(x), np.full((len(x), 2), 0.3))


@pytest.mark.parametrize("make", [*OWN.values(), *OURS.values()], ids=[*OWN, *OURS])
def test_what_is_saved_comes_back_as_it_was(make, rng, tmp_path):
    model = shaken(make(rng), rng)
    x = rng.random((6, model.dim))
    model.save(tmp_path / "m.npz")
    again, _ = load_model(tmp_path / "m.npz", classes=[Inherited, Bound, Square, Swish])
    np.testing.assert_array_equal(values_of(again, x), values_of(model, x))
    assert classes_of(again) == classes_of(model)
    for copy in (model.copy(), model.replica(), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(values_of(copy, x), values_of(model, x))


@pytest.mark.parametrize("make", [*OWN.values(), *OURS.values()], ids=[*OWN, *OURS])
def test_gradients_are_right(make, rng):
    model = shaken(make(rng).astype("float64"), rng)
    check_gradients(
        model, np.round(rng.random((6, model.dim)), 0 if isinstance(model, VAE) else 9), rng=rng
    ).raise_if_failed()


@pytest.mark.parametrize("make", OWN.values(), ids=OWN.keys())
def test_where_only_our_formulas_are_known_yours_are_refused(make, rng, tmp_path):
    flow = make(rng)
    flow.save(tmp_path / "flow.npz")
    with pytest.raises(CheckpointError, match=r"unknown class '\w+'; pass your own classes"):
        Flow.load(tmp_path / "flow.npz")
    with pytest.raises(NiceTypeError, match="only the library's own classes have a graph"):
        to_onnx(flow)
    together = fused(flow, 10)
    assert together is None or not together.compiled


def parity(activation="relu", network=MLP, scaling=DiagonalScaling, first=()):
    part = Partition.odd_even(4).swapped()
    couplings = [AdditiveCoupling(p, network((2, 3, 2), activation, rng=0)) for p in (part, part.swapped())]
    return Flow("normal", Chain([*first, *couplings, scaling(4)]))


class OwnMLP(MLP):
    def forward(self, x):
        y, cache = super().forward(x)
        return y + 1, cache


class OwnScaling(DiagonalScaling):
    def inverse(self, z):
        x, log_det, cache = super().inverse(z)
        return x - 1, log_det, cache


class OwnStandardize(Standardize):
    def forward(self, x):
        z, log_det, cache = super().forward(x)
        return z + 1, log_det, cache


class OwnLinear(Linear):
    def forward(self, x):
        return super().forward(x) + 1


@pytest.mark.parametrize("settings", [{"network": OwnMLP}, {"scaling": OwnScaling}, {"activation": Swish()}])
def test_state_dicts_know_only_ours(settings):
    assert to_state_dict(parity())
    with pytest.raises((NiceTypeError, NiceValueError), match=r"to_state_dict: .*(own classes|expected additive)"):
        to_state_dict(parity(**settings))


def test_another_slope_is_not_the_slope_of_the_layout():
    assert to_state_dict(parity("leaky_relu"), "masked")
    assert to_state_dict(parity(LeakyReLU(0.2)), "masked")
    with pytest.raises(NiceValueError, match=r'activation="leaky_relu", got MLP\(2-3-2, LeakyReLU\(slope=0.01\)\)'):
        to_state_dict(parity(LeakyReLU(0.01)), "masked")


@pytest.mark.parametrize(
    "settings",
    [
        {"first": [OwnStandardize(np.zeros(4), np.ones(4))]},
        {"first": [Standardize(np.zeros(4), np.ones(4))], "network": OwnMLP},
    ],
)
def test_only_our_layers_are_folded(settings):
    with pytest.raises(NiceValueError, match="fold_standardize: expected additive couplings"):
        fold_standardize(parity(**settings))


def test_a_layer_of_yours_inside_a_network_of_ours_is_not_left_out(tmp_path):
    network = MLP((1, 3, 1), rng=0)
    network.layers = (network.layers[0], OwnLinear(network.layers[1].W, network.layers[1].b))
    flow = Flow("normal", AdditiveCoupling(Partition.odd_even(2), network))
    with pytest.raises(NiceTypeError, match=r"layers\.1\.class is <class .*OwnLinear'>, but would be loaded as"):
        flow.save(tmp_path / "flow.npz")
    assert not list(tmp_path.iterdir())


class Stretch(Bijector):
    """z = k x, with a config that can leave k out."""

    def __init__(self, dim, k=2.0):
        self.dim, self.k = dim, k

    def forward(self, x):
        return self.k * x, np.full(len(x), self.dim * np.log(self.k)), None

    def inverse(self, z):
        return z / self.k, np.full(len(z), -self.dim * np.log(self.k)), None

    def backward(self, dz, dlog_det, cache):
        return self.k * dz

    def inverse_backward(self, dx, dlog_det, cache):
        return dx / self.k

    def config(self):
        return {"dim": self.dim}


class Needs(Stretch):
    def __init__(self, dim, k):
        super().__init__(dim, k)


def test_what_load_could_not_build_is_not_saved(rng, tmp_path):
    path, x = tmp_path / "c.npz", rng.normal(size=(10, 2))
    for layer, message in (
        (Stretch(2, 3.0), r"bijector\.layers\.0\.k is 3\.0, but would be loaded as 2\.0; config\(\) must return all"),
        (
            Needs(2, 3.0),
            r"load\(path, classes=\[Needs\]\) would fail: cannot build Needs: .*'k'; config\(\) must return",
        ),
    ):
        flow = Flow("normal", Chain([layer, DiagonalScaling(2)]))
        with pytest.raises(NiceTypeError, match=f"save: {message}"):
            flow.save(path)
        with pytest.raises(NiceTypeError, match=f"save: {message}"):  # before the first step
            fit(flow, x, epochs=1, checkpoint=path, progress=False)
    assert not list(tmp_path.iterdir())
    Flow("normal", Chain([Stretch(2), DiagonalScaling(2)])).save(path)
    assert Flow.load(path, classes=[Stretch]).layers[0].k == 2.0


@needs_numba
def test_a_method_replaced_on_an_object_is_seen(rng, tmp_path):
    flow = real_nvp(2, 3, (4,), dtype="float64", rng=rng)
    couple = flow.layers[1]._couple
    flow.layers[1]._couple = lambda x_b, theta: couple(x_b, 2 * theta)
    with pytest.raises(
        NiceTypeError, match=r"save: bijector\.layers\.1 has a method or a partition that is not nice_np's"
    ):
        flow.save(tmp_path / "flow.npz")
    with pytest.raises(NiceTypeError, match="only the library's own classes have a graph"):
        to_onnx(flow)
    assert [type(layer).__name__ for layer in fused(flow, 10).twin.layers].count("AffineCoupling") == 1


class OwnLaw(AdditiveCoupling):
    """As ours."""


class OwnPartition(Partition):
    def split(self, x):
        x_a, x_b = super().split(x)
        return 2 * x_a, x_b


def test_a_partition_of_yours_is_seen(tmp_path):
    flow = Flow("normal", AdditiveCoupling(OwnPartition.odd_even(2), MLP((1, 3, 1), rng=0)))
    with pytest.raises(NiceTypeError, match="save: bijector has a method or a partition that is not nice_np's"):
        flow.save(tmp_path / "flow.npz")
    with pytest.raises(NiceTypeError, match="to_onnx: bijector has a method or a partition that is not nice_np's"):
        to_onnx(flow)
    together = fused(flow, 10)
    assert together is None or not together.compiled
    flow = Flow("normal", OwnLaw(OwnPartition.odd_even(2), MLP((1, 3, 1), rng=0)))
    with pytest.raises(NiceTypeError, match=r"save: bijector\.partition is .*OwnPartition.*, but would be loaded as"):
        flow.save(tmp_path / "flow.npz")


@needs_numba
def test_a_scale_or_activation_can_be_exchanged_in_a_flow_and_is_noticed(rng, tmp_path):
    flow = shaken(real_nvp(2, 3, (4,), dtype="float64", rng=rng), rng)
    x, before = rng.normal(size=(5, 2)), None
    for change in (
        lambda: setattr(flow.layers[1], "scale", TanhScale(0.3)),
        lambda: setattr(flow.layers[2].conditioner, "activation", LeakyReLU(0.9)),
        lambda: setattr(flow.layers[3].scale, "bound", 5.0),
    ):
        before = flow.log_prob(x)
        change()
        assert not np.allclose(flow.log_prob(x), before)
        loss, grads = flow.nll_and_grad(x)
        grads, fast = grads.copy(), fused(flow, 5)
        assert abs(fast(x, None)[0] - loss) < 1e-12
        np.testing.assert_allclose(flow.params.grads, grads, atol=1e-12)
        flow.save(tmp_path / "flow.npz")
        np.testing.assert_array_equal(Flow.load(tmp_path / "flow.npz").log_prob(x), flow.log_prob(x))
    assert real_nvp(2, 3, (4,), rng=0).layers[1].scale.bound == 2.0  # no other flow has changed
    with pytest.raises(NiceValueError, match="a new module would not be trained"):
        flow.layers[1].conditioner = MLP((1, 4, 2))


def test_the_scale_of_a_vae_is_fixed():
    for part in (GaussianPosterior(MLP((4, 3, 4))), Gaussian(4)):
        assert part.scale.bound == 5.0
        with pytest.raises(AttributeError):
            part.scale = TanhScale(3.0)


class OwnLikelihood(Bernoulli):
    def mean(self, theta):
        return 0.5 * super().mean(theta)


def test_a_likelihood_of_yours_is_saved_as_yours(tmp_path):
    model = variational_autoencoder(4, 2, (3,), dtype="float64", rng=0)
    decoder = type(model.decoder)(MLP((2, 3, 4), rng=0), OwnLikelihood())
    VAE(GaussianPosterior(MLP((4, 3, 4), rng=0)), type(model.prior)(), decoder).save(tmp_path / "vae.npz")
    with pytest.raises(CheckpointError, match="unknown class 'OwnLikelihood'"):
        VAE.load(tmp_path / "vae.npz")
    again = VAE.load(tmp_path / "vae.npz", classes=[OwnLikelihood])
    assert type(again.decoder.likelihood) is OwnLikelihood


class ShiftedChain(Chain):
    def forward(self, x):
        z, log_det, cache = super().forward(x)
        return z + 1, log_det, cache

    def inverse(self, z):
        return super().inverse(z - 1)


def test_a_chain_with_passes_of_its_own_is_one_layer(rng):
    flow, x = Flow("normal", ShiftedChain([DiagonalScaling(2)])), rng.normal(size=(5, 2))
    assert flow.layers == (flow.bijector,)
    expected = StandardNormal().log_prob(x + 1)
    np.testing.assert_allclose(flow.log_prob(x), expected)
    for recompute in (False, True):
        assert flow.nll_and_grad(x, recompute=recompute)[0] == pytest.approx(-expected.mean())
    np.testing.assert_allclose(flow.decode(flow.encode(x)), x)


class Trained(TanhScale):
    param_names = ("a",)

    def __init__(self):
        super().__init__()
        self.a, self.da = np.ones(1), np.zeros(1)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: real_nvp(2, scale=TanhScale), NiceTypeError, r"one of exp, .*; write TanhScale\(\)"),
        (lambda: real_nvp(2, scale=np.tanh), NiceTypeError, r"nice_np\.bijectors\.scales\.Scale; got <ufunc"),
        (lambda: real_nvp(2, scale=ReLU()), NiceTypeError, r"scale: .* got ReLU\(\)"),
        (lambda: nice(2, activation=np.tanh), NiceTypeError, r"instance of nice_np\.networks\.activations\.Activation"),
        (lambda: nice(2, activation=Tanh), NiceTypeError, r"write Tanh\(\)"),
        (lambda: real_nvp(2, scale=Trained()), NiceValueError, "has parameters, which only layers and conditioners"),
        (lambda: TanhScale(0), NiceValueError, "TanhScale: bound must be finite, > 0 and < 30"),
        (lambda: LeakyReLU(1.0), NiceValueError, "LeakyReLU: slope must be finite, > 0 and < 1"),
        (lambda: ConvNet((2, 2), [0, 3], activation=3), NiceTypeError, "activation must be a string, one of relu"),
    ],
)  # fmt: skip
def test_what_is_no_scale_or_activation_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_one_object_can_be_given_to_several_flows():
    scale = TanhScale(3.0)
    first, second = (real_nvp(2, 3, (4,), scale=scale, rng=0) for _ in range(2))
    assert first.layers[1].scale is not second.layers[1].scale


def test_scikit_learn_clones_and_pickles_them(rng):
    sklearn = pytest.importorskip("sklearn.base")
    from nice_np.sklearn import NICEDensity

    density = NICEDensity(partial(real_nvp, scale=Bound(), activation=LeakyReLU(0.3)), epochs=2, random_state=0)
    x = rng.normal(size=(40, 3))
    fitted = sklearn.clone(density).fit(x)
    for again in (sklearn.clone(density).fit(x), pickle.loads(pickle.dumps(fitted))):
        np.testing.assert_array_equal(again.score_samples(x), fitted.score_samples(x))
        assert Bound in classes_of(again.flow_)


@pytest.mark.parametrize("part", ["optimizer", "learning_rate"])
def test_a_run_is_not_resumed_with_a_class_of_the_same_name(part, rng, tmp_path):
    import nice_np

    ours = {"optimizer": nice_np.Adam(), "learning_rate": nice_np.Cosine(1e-3)}[part]
    theirs = type(type(ours).__name__, (type(ours),), {"__module__": __name__})
    settings = {"checkpoint": tmp_path / "c.npz", "progress": False, "rng": 0}
    flow, x = nice(2, 3, (4,), rng=0), rng.normal(size=(20, 2))
    fit(flow, x, epochs=1, **{part: ours}, **settings)
    again = theirs() if part == "optimizer" else theirs(1e-3)
    with pytest.raises(NiceValueError, match=rf"settings\.{part} is .*test_recognised\.{type(ours).__name__}\("):
        fit(flow, x, epochs=2, resume=True, **{part: again}, **settings)
