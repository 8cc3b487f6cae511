"""Couplings of zuko and nflows: the same densities there and here, in both directions."""

import numpy as np
import pytest
from registry import shaken

from nice_np import (
    MLP,
    AdditiveCoupling,
    AffineCoupling,
    Chain,
    DiagonalScaling,
    Flow,
    NiceTypeError,
    NiceValueError,
    Partition,
    Permutation,
    Standardize,
    WithContext,
    real_nvp,
)
from nice_np.bijectors import FlooredSigmoidScale, SoftclipScale, TanhScale
from nice_np.interop import from_state_dict, to_state_dict
from nice_np.networks import LeakyReLU, Tanh

SCALES = {"zuko": SoftclipScale(), "nflows": FlooredSigmoidScale()}


def arrays(model):
    return {name: tensor.detach().numpy().copy() for name, tensor in model.state_dict().items()}


def randomised(model, torch):
    """In float64, with weights that matter."""
    generator = torch.Generator().manual_seed(0)
    model = model.double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return model


def zuko_flow(law="affine", dim=5, context=0, transforms=3, hidden=(7, 6), activation=None):
    torch, zuko = pytest.importorskip("torch"), pytest.importorskip("zuko")
    additive = {"univariate": zuko.transforms.AdditiveTransform, "shapes": ((),)}
    settings = {"hidden_features": hidden, "activation": activation, **(additive if law == "additive" else {})}
    return randomised(zuko.flows.NICE(dim, context, transforms=transforms, **settings), torch)


def nflows_flow(network="residual", law="affine", dim=5, blocks=2, layers=None):
    """Couplings of nflows with a ResidualNet or its MLP, other layers between them."""
    torch, nflows = pytest.importorskip("torch"), pytest.importorskip("nflows")
    from nflows import distributions, flows, nn, transforms

    class Plain(nn.nets.MLP):
        def forward(self, inputs, context=None):
            return super().forward(inputs)

    def net(n_in, n_out):
        if network == "residual":
            return nn.nets.ResidualNet(n_in, n_out, hidden_features=6, num_blocks=blocks)
        return Plain((n_in,), (n_out,), hidden_sizes=[7, 6])

    kind = {"affine": transforms.AffineCouplingTransform, "additive": transforms.AdditiveCouplingTransform}[law]
    signs = [torch.tensor([(-1) ** (i + k) for i in range(dim)]) for k in range(2)]
    shift, scale = torch.linspace(-1, 1, dim), torch.linspace(0.5, 2, dim)
    parts = [
        transforms.PointwiseAffineTransform(shift.double(), scale.double()),
        kind(signs[0], net),
        transforms.RandomPermutation(dim),
        kind(signs[1], net),
        transforms.ReversePermutation(dim),
        kind(signs[0], net),
    ]
    assert nflows
    return randomised(flows.Flow(transforms.CompositeTransform(parts), distributions.StandardNormal([dim])), torch)


def log_prob_of(model, x, context=None):
    torch = pytest.importorskip("torch")
    x, context = torch.from_numpy(x), None if context is None else torch.from_numpy(context)
    with torch.no_grad():
        if type(model).__module__.startswith("zuko"):
            return model(context).log_prob(x).numpy()
        return model.log_prob(x).numpy()


@pytest.mark.parametrize("dim", [2, 5])
@pytest.mark.parametrize("context", [0, 3])
@pytest.mark.parametrize("law", ["affine", "additive"])
def test_a_flow_of_zuko(law, context, dim, rng):
    model = zuko_flow(law, dim, context)
    x, c = rng.normal(size=(50, dim)), rng.normal(size=(50, context)) if context else None
    flow = from_state_dict(arrays(model), dtype=np.float64)
    np.testing.assert_allclose(flow.log_prob(x, c), log_prob_of(model, x, c), rtol=0, atol=1e-10)
    assert flow.context_dim == context
    again, expected = to_state_dict(flow, "zuko"), arrays(model)
    assert set(again) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(again[name], array, strict=True, err_msg=name)


@pytest.mark.parametrize(("network", "blocks"), [("residual", 0), ("residual", 1), ("residual", 3), ("mlp", 0)])
@pytest.mark.parametrize("law", ["affine", "additive"])
def test_a_flow_of_nflows(law, network, blocks, rng):
    model = nflows_flow(network, law, blocks=blocks)
    x = 2 * rng.normal(size=(50, 5))
    flow = from_state_dict(arrays(model), dtype=np.float64)
    np.testing.assert_allclose(flow.log_prob(x), log_prob_of(model, x), rtol=0, atol=1e-10)
    np.testing.assert_allclose(flow.decode(flow.encode(x)), x, atol=1e-9)
    assert np.isfinite(flow.nll_and_grad(x)[1]).all()


def ours(layout, law=None, context=0, activation="relu", partition=None, between=(), rng=None):
    part = partition or Partition.odd_even(5)
    part = part.with_context(context)
    layers = [*between]
    for k in range(4):
        kind = law or (AdditiveCoupling, AffineCoupling)[k % 2]
        sizes = (len(part.idx_a) + context, 7, 6, kind.thetas_per_feature * len(part.idx_b))
        scale = {"scale": SCALES[layout]} if kind is AffineCoupling else {}
        layers.append(kind(part, MLP(sizes, activation, rng=rng), **scale))
        part = part.swapped()
    layers = [WithContext(layer, context) if context and layer in between else layer for layer in layers]
    return shaken(Flow("normal", Chain(layers), context), rng, 0.3)


@pytest.mark.parametrize("context", [0, 2])
@pytest.mark.parametrize("law", [AffineCoupling, AdditiveCoupling])
@pytest.mark.parametrize("partition", [None, Partition(5, [4, 0, 2])])
def test_ours_in_zuko(partition, law, context, rng):
    torch = pytest.importorskip("torch")
    flow = ours("zuko", law, context, partition=partition, rng=rng)
    model = zuko_flow("affine" if law is AffineCoupling else "additive", 5, context, 4)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in to_state_dict(flow, "zuko").items()})
    x, c = rng.normal(size=(50, 5)), rng.normal(size=(50, context)) if context else None
    np.testing.assert_allclose(log_prob_of(model, x, c), flow.log_prob(x, c), rtol=0, atol=1e-10)


@pytest.mark.parametrize("law", [AffineCoupling, AdditiveCoupling])
def test_ours_in_nflows(law, rng):
    torch = pytest.importorskip("torch")
    layers = [Standardize(rng.normal(size=5), np.exp(rng.normal(size=5)))]
    for kept, fixed in (([3, 1], Permutation.random(5, rng)), ([4, 0, 2], Permutation.reversal(5)), ([0, 4], None)):
        sizes = (len(kept), 7, 6, law.thetas_per_feature * (5 - len(kept)))
        scale = {"scale": FlooredSigmoidScale()} if law is AffineCoupling else {}
        layers += [law(Partition(5, kept), MLP(sizes, rng=rng), **scale), *([fixed] if fixed else [])]
    flow = shaken(Flow("normal", Chain(layers)), rng)
    model = nflows_flow("mlp", "affine" if law is AffineCoupling else "additive")
    model.load_state_dict({name: torch.from_numpy(array) for name, array in to_state_dict(flow, "nflows").items()})
    x = 2 * rng.normal(size=(50, 5))
    np.testing.assert_allclose(log_prob_of(model, x), flow.log_prob(x), rtol=0, atol=1e-10)


# -- without PyTorch --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", SCALES)
@pytest.mark.parametrize("context", [0, 2])
@pytest.mark.parametrize("activation", ["relu", Tanh(), LeakyReLU(0.3)])
def test_there_and_back(activation, context, layout, rng):
    between = [] if layout == "zuko" else [Standardize(np.arange(5.0), np.full(5, 2.0)), Permutation.reversal(5)]
    flow = ours(layout, None, context, activation, Partition(5, [3, 1]), between, rng)
    again = from_state_dict(to_state_dict(flow, layout), activation=activation, dtype=np.float64)
    x, c = rng.normal(size=(20, 5)), rng.normal(size=(20, context)) if context else None
    np.testing.assert_allclose(again.log_prob(x, c), flow.log_prob(x, c), rtol=0, atol=1e-12)
    assert from_state_dict(to_state_dict(flow, layout), activation=activation).dtype == np.float32


def test_a_diagonal_scaling_is_a_pointwise_affine_transform(rng):
    layer = AffineCoupling(Partition.odd_even(5), MLP((3, 4, 4), rng=rng), FlooredSigmoidScale())
    flow = shaken(Flow("normal", Chain([layer, DiagonalScaling(5)])), rng)
    x = rng.normal(size=(20, 5))
    again = from_state_dict(to_state_dict(flow, "nflows"), dtype=np.float64)
    np.testing.assert_allclose(again.log_prob(x), flow.log_prob(x), rtol=0, atol=1e-12)


def bare(**settings):
    return real_nvp(4, 3, (5,), preprocess=(), **settings)


class Own(SoftclipScale):
    def log_of(self, r):
        return 0 * r


@pytest.mark.parametrize(
    ("flow", "layout", "error", "message"),
    [
        (lambda: bare(), "zuko", NiceValueError, r"with scale=SoftclipScale\(bound=6.9"),
        (lambda: bare(scale=SoftclipScale(2.0)), "zuko", NiceValueError, "got AffineCoup"),
        (lambda: bare(scale=TanhScale()), "nflows", NiceValueError, "FlooredSigmoidScale"),
        (lambda: bare(scale=Own()), "zuko", NiceTypeError, "scale is of class Own"),
        (lambda: real_nvp(4, 3, (5,), scale=SoftclipScale()), "zuko", NiceValueError, r"got Standardize\(dim=4\)"),
        (lambda: real_nvp(4, 3, (), preprocess=(), scale=SoftclipScale()), "zuko", NiceValueError, "one hidden layer"),
        (
            lambda: bare(prior="logistic", scale=SoftclipScale()),
            "zuko", NiceValueError, 'zuko needs prior="normal"',
        ),
        (lambda: None, "nflows", NiceTypeError, "expected a Flow, got NoneType"),
    ],
)  # fmt: skip
def test_what_has_no_form_there_is_refused(flow, layout, error, message):
    with pytest.raises(error, match=f"to_state_dict: .*{message}"):
        to_state_dict(flow(), layout)


@pytest.mark.parametrize(
    ("layout", "change", "message"),
    [
        ("zuko", {"transform.transforms.0.mask": np.arange(5)}, "mask must be a vector of booleans"),
        ("zuko", {"transform.transforms.0.mask": np.ones(5, bool)}, "inputs and 2 outputs|idx_a"),
        ("zuko", {"transform.transforms.0.mask": None}, "expected a coupling's mask, found hyper.0.weight"),
        ("zuko", {"transform.transforms.1.hyper.2.bias": None}, r"transforms\.1: hyper\.2\.bias is missing"),
        ("zuko", {"transform.transforms.1.hyper.2.bias": np.zeros(9)}, r"hyper\.2 has weight \(6, 7\) and bias \(9,\)"),
        ("zuko", {"transform.transforms.1.hyper.3.weight": np.ones(3)}, "unexpected .*hyper.3.weight"),
        ("zuko", {"transform.transforms.7.mask": np.ones(5, bool)}, r"layers \[0, 1, 2, 3, 7\] of zuko"),
        ("zuko", {"base.loc": np.ones(5)}, r"base\.loc is not 0; only a standard normal base"),
        ("zuko", {"base.df": np.ones(5)}, r"unexpected base\.df in a flow of zuko"),
        (
            "zuko",
            {f"transform.transforms.1.hyper.4.{part}": np.ones((7, 6)[:n]) for part, n in (("weight", 2), ("bias", 1))},
            r"a network of \d inputs and 7 outputs; .* other laws cannot be read",
        ),
        ("nflows", {"_transform._transforms.0.identity_features": None}, "expected a coupling, a permutation or"),
        ("nflows", {"_transform._transforms.0.transform_features": np.array([0])}, "must be the others than"),
        ("nflows", {"_transform._transforms.0.unconditional_transform.w": np.ones(3)}, "unexpected _transform"),
        ("nflows", {"_transform._transforms.4._permutation": np.zeros(5, int)}, "order must hold each of 0 .. 4 once"),
        ("nflows", {"_transform._transforms.0.transform_net._input_layer.bias": np.full(7, np.nan)}, "NaN or inf"),
    ],
)  # fmt: skip
def test_what_is_not_here_is_refused(layout, change, message):
    state = dict(to_state_dict(ours(layout, rng=np.random.default_rng(0)), layout))
    for name, array in change.items():
        if array is None:
            del state[name]
        else:
            state[name] = array
    with pytest.raises(NiceValueError, match=f"from_state_dict: .*({message})"):
        from_state_dict(state)


def test_a_residual_net_needs_relu():
    prefix = "_transform._transforms.0.transform_net."
    state = {"_transform._transforms.0.identity_features": np.array([0]),
             "_transform._transforms.0.transform_features": np.array([1]),
             f"{prefix}initial_layer.weight": np.ones((3, 1)), f"{prefix}initial_layer.bias": np.ones(3),
             f"{prefix}final_layer.weight": np.ones((1, 3)), f"{prefix}final_layer.bias": np.ones(1)}  # fmt: skip
    assert from_state_dict(state).dim == 2
    with pytest.raises(NiceValueError, match=r"transforms\.0: a ResidualNet can be written as an MLP with ReLU only"):
        from_state_dict(state, activation="tanh")
    state[f"{prefix}blocks.0.batch_norm_layers.0.weight"] = np.ones(3)
    with pytest.raises(NiceValueError, match=r"linear_layers\.0\.weight is missing"):
        from_state_dict(state)
