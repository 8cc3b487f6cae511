"""Weights of PyTorch's NICE: names, shapes, and likelihoods and gradients equal to those of a PyTorch model."""

import re
from itertools import pairwise

import numpy as np
import pytest
import registry

from nice_np import (
    DiagonalScaling,
    Flow,
    NiceTypeError,
    NiceValueError,
    Partition,
    Standardize,
    fit,
    nice,
    real_nvp,
)
from nice_np.flows.builders import original_nice
from nice_np.interop import fold_standardize, from_state_dict, to_state_dict

ACTIVATIONS = {"blocks": "relu", "masked": "leaky_relu"}


def odd_first(dim):
    return Partition.odd_even(dim).swapped()


def flow_for(layout, rng, dim=6, dtype=np.float64, **settings):
    """A flow that fits the layout, without zero weights."""
    settings = {"hidden": (7, 5), "partition": odd_first(dim), "preprocess": (), **settings}
    flow = nice(dim, activation=ACTIVATIONS[layout], dtype=dtype, rng=rng, **settings)
    return registry.shaken(flow, rng)


# -- the two programs' models, written anew with the names and shapes of their arrays ---------------------------------


def torch_model(layout, dim, width, hidden, couplings, mask_config=1):
    torch = pytest.importorskip("torch")
    nn = torch.nn

    class Blocks(nn.Module):
        def __init__(self):
            super().__init__()
            half = dim // 2
            self.in_block = nn.Sequential(nn.Linear(half, width), nn.ReLU())
            self.mid_block = nn.ModuleList(nn.Sequential(nn.Linear(width, width), nn.ReLU()) for _ in range(hidden - 1))
            self.out_block = nn.Linear(width, half)

        def shift(self, x, kept):
            h = self.in_block(x[:, kept::2])
            for block in self.mid_block:
                h = block(h)
            shift = torch.zeros_like(x)
            shift[:, 1 - kept :: 2] = self.out_block(h)
            return shift

    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            sizes = [dim, *[width] * hidden, dim]
            parts = []
            for n_in, n_out in pairwise(sizes):
                parts += [nn.Linear(n_in, n_out), nn.LeakyReLU(0.2)]
            self.m = nn.Sequential(*parts[:-1])

        def shift(self, x, kept):
            mask = torch.zeros(dim, dtype=x.dtype)
            mask[kept::2] = 1
            return (1 - mask) * self.m(mask * x)

    class Scaling(nn.Module):
        def __init__(self, name):
            super().__init__()
            self.register_parameter(name, nn.Parameter(torch.zeros(1, dim)))

    class NICE(nn.Module):
        def __init__(self):
            super().__init__()
            if layout == "blocks":
                self.coupling = nn.ModuleList(Blocks() for _ in range(couplings))
                self.scaling = Scaling("scale")
            else:
                self.coupling_layers = nn.ModuleList(Masked() for _ in range(couplings))
                self.scaling_layer = Scaling("log_scale_vector")

        def log_prob(self, x):
            kept = mask_config  # the first coupling keeps the odd columns when it is 1
            for coupling in self.coupling if layout == "blocks" else self.coupling_layers:
                x = x + coupling.shift(x, kept)
                kept = 1 - kept
            log_scale = self.scaling.scale if layout == "blocks" else self.scaling_layer.log_scale_vector
            z = x * torch.exp(log_scale)
            softplus = nn.functional.softplus
            return -(softplus(z) + softplus(-z)).sum(dim=1) + log_scale.sum()

    torch.manual_seed(0)
    model = NICE().double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return torch, model


@pytest.mark.parametrize("layout", ["blocks", "masked"])
@pytest.mark.parametrize(("hidden", "couplings"), [(1, 3), (3, 4)])
def test_the_same_likelihoods_and_gradients_as_pytorch(layout, hidden, couplings, rng):
    torch, model = torch_model(layout, 6, 5, hidden, couplings)
    flow = from_state_dict(model.state_dict(), dtype=np.float64)
    x = rng.normal(size=(9, 6))
    there = model.log_prob(torch.from_numpy(x))
    np.testing.assert_allclose(flow.log_prob(x), there.detach().numpy(), rtol=0, atol=1e-12)
    (-there.mean()).backward()
    # Its gradients have the layout of its weights: read like weights, they give our vector of gradients.
    theirs = from_state_dict({name: p.grad for name, p in model.named_parameters()}, dtype=np.float64)
    np.testing.assert_allclose(flow.nll_and_grad(x)[1], theirs.params.values, rtol=0, atol=1e-12)
    assert np.abs(theirs.params.values).max() > 0.01


@pytest.mark.parametrize("layout", ["blocks", "masked"])
def test_pytorch_loads_the_weights_of_a_trained_flow(layout, rng):
    x = rng.normal(3.0, [0.1, 2.0, 1.0, 1.0, 5.0, 1.0], (300, 6))
    settings = {"activation": ACTIVATIONS[layout], "partition": odd_first(6), "dtype": np.float64}
    flow = nice(6, couplings=4, hidden=(5, 5), rng=rng, **settings)
    fit(flow, x, epochs=2, progress=False, rng=rng)
    torch, model = torch_model(layout, 6, 5, 2, 4)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in to_state_dict(flow, layout).items()})
    there = model.log_prob(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(flow.log_prob(x), there, rtol=0, atol=1e-10)


def test_pytorch_with_the_other_mask(rng):
    torch, model = torch_model("blocks", 4, 5, 2, 3, mask_config=0)
    flow = from_state_dict(model.state_dict(), first_kept="even", dtype=np.float64)
    x = rng.normal(size=(5, 4))
    np.testing.assert_allclose(
        flow.log_prob(x), model.log_prob(torch.from_numpy(x)).detach().numpy(), rtol=0, atol=1e-12
    )


# -- there and back ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["blocks", "masked"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_there_and_back_is_the_same_flow(layout, dtype, rng):
    flow = flow_for(layout, rng, dtype=dtype)
    state = to_state_dict(flow, layout)
    assert {array.dtype for array in state.values()} == {np.dtype(dtype)}
    again = from_state_dict(state, dtype=dtype)
    np.testing.assert_array_equal(again.params.values, flow.params.values)
    assert repr(again) == repr(flow)


def test_the_names_and_shapes_of_blocks(rng):
    state = to_state_dict(flow_for("blocks", rng, couplings=3), "blocks")
    assert {name: array.shape for name, array in state.items() if name.startswith(("coupling.1", "scaling"))} == {
        "coupling.1.in_block.0.weight": (7, 3),
        "coupling.1.in_block.0.bias": (7,),
        "coupling.1.mid_block.0.0.weight": (5, 7),
        "coupling.1.mid_block.0.0.bias": (5,),
        "coupling.1.out_block.weight": (3, 5),
        "coupling.1.out_block.bias": (3,),
        "scaling.scale": (1, 6),
    }
    assert len(state) == 3 * 6 + 1


def test_the_names_and_shapes_of_masked(rng):
    state = to_state_dict(flow_for("masked", rng, couplings=3), "masked")
    assert {name: array.shape for name, array in state.items() if not name.startswith("coupling_layers.1")} == {
        f"coupling_layers.{i}.m.{k}.{name}": shape
        for i in (0, 2)
        for k, (n_in, n_out) in {0: (6, 7), 2: (7, 5), 4: (5, 6)}.items()
        for name, shape in {"weight": (n_out, n_in), "bias": (n_out,)}.items()
    } | {"scaling_layer.log_scale_vector": (1, 6)}
    first, last = state["coupling_layers.0.m.0.weight"], state["coupling_layers.0.m.4.weight"]
    # The first coupling keeps 1, 3, 5 and transforms 0, 2, 4.
    np.testing.assert_array_equal((first != 0).any(axis=0), [False, True] * 3)
    np.testing.assert_array_equal((last != 0).any(axis=1), [True, False] * 3)


def test_through_a_file_of_plain_arrays(tmp_path, rng):
    flow = flow_for("blocks", rng)
    np.savez(tmp_path / "weights.npz", **to_state_dict(flow))
    with np.load(tmp_path / "weights.npz", allow_pickle=False) as state:
        again = from_state_dict(state, dtype=np.float64)
    np.testing.assert_array_equal(again.params.values, flow.params.values)


def test_the_arrays_are_copies(rng):
    flow = flow_for("blocks", rng)
    before = flow.params.values.copy()
    for array in to_state_dict(flow).values():
        array[:] = 7
    np.testing.assert_array_equal(flow.params.values, before)


def test_the_prefix_of_data_parallel_is_dropped(rng):
    flow = flow_for("blocks", rng)
    state = {f"module.{name}": array for name, array in to_state_dict(flow).items()}
    np.testing.assert_array_equal(from_state_dict(state, dtype=np.float64).params.values, flow.params.values)


# -- standardised data ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dim", "settings"),
    [
        (6, {}),
        (5, {"partition": "halves", "activation": "tanh", "prior": "normal"}),
        (2, {"couplings": 3, "hidden": ()}),
    ],
)
def test_folding_keeps_latents_and_likelihoods(dim, settings, rng):
    flow = registry.shaken(nice(dim, hidden=settings.pop("hidden", (7,)), dtype=np.float64, rng=rng, **settings), rng)
    flow.layers[0].set(rng.normal(size=dim), np.exp(rng.normal(size=dim)))
    before = flow.params.values.copy()
    folded = fold_standardize(flow)
    x = rng.normal(size=(20, dim))
    np.testing.assert_allclose(folded.encode(x), flow.encode(x), rtol=0, atol=1e-12)
    np.testing.assert_allclose(folded.log_prob(x), flow.log_prob(x), rtol=0, atol=1e-12)
    assert len(folded.layers) == len(flow.layers) - 1
    np.testing.assert_array_equal(flow.params.values, before)  # the flow itself is unchanged


def test_folding_copies_a_flow_of_raw_data(rng):
    flow = flow_for("blocks", rng)
    folded = fold_standardize(flow)
    assert folded is not flow
    np.testing.assert_array_equal(folded.params.values, flow.params.values)


@pytest.mark.filterwarnings("ignore:with 1 coupling")
def test_folding_needs_couplings_for_every_feature(rng):
    flow = nice(4, couplings=1, hidden=(3,), rng=rng)
    flow.layers[0].set(np.ones(4), np.ones(4))
    with pytest.raises(NiceValueError, match="feature 0 is never transformed"):
        fold_standardize(flow)


@pytest.mark.parametrize(
    ("flow", "message"),
    [
        (
            lambda: Flow("normal", Standardize([1.0, 1.0], [1.0, 1.0])),
            "couplings and a DiagonalScaling on top, got Standard",
        ),
        (lambda: real_nvp(4, hidden=(3,)), "couplings and a DiagonalScaling on top, got AffineC"),
        (lambda: nice(4, hidden=(3,), preprocess=("standardize", "logit")), "MLPs and no context, got Logit"),
    ],
)
def test_folding_refuses_other_flows(flow, message):
    with pytest.raises(NiceValueError, match=message):
        fold_standardize(flow())


def test_a_flow_with_a_context_has_no_layout():
    with pytest.raises(NiceValueError, match="expected additive couplings with MLPs and no context, got WithContext"):
        to_state_dict(nice(4, hidden=(3,), context_dim=2))


# -- what is refused --------------------------------------------------------------------------------------------------


def without(name):
    return lambda state: state.pop(name)


def changed(name, change):
    return lambda state: state.update({name: change(state[name])})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            without("scaling.scale"),
            "expected an array scaling.scale or scaling_layer.log_scale_vector, found coup",
        ),
        (without("coupling.1.out_block.bias"), "coupling.1.out_block.bias is missing"),
        (without("coupling.1.in_block.0.weight"), "unexpected coupling.1.in_block.0.bias"),
        (changed("scaling.scale", np.ravel), "expected scaling.scale of shape"),
        (changed("scaling.scale", lambda a: a[:, :5]), r"scaling.scale must be \(1, D\) with an even D, got \(1, 5\)"),
        (changed("scaling.scale", lambda a: a * np.nan), "scaling.scale contains NaN"),
        (changed("coupling.0.out_block.weight", np.transpose), r"weight \(3, 5\) and bias \(3,\), got \(5, 3\)"),
        (changed("coupling.2.in_block.0.bias", lambda a: a[:-1]), r"coupling.2.in_block.0 must have weight \(6, 3\)"),
        (changed("coupling.0.out_block.bias", lambda a: a.astype(str)), "expected real numbers"),
        (lambda state: state.update(extra=np.zeros(2)), "unexpected extra; is this another model"),
    ],
)
def test_another_state_dict(damage, message, rng):
    state = to_state_dict(flow_for("blocks", rng))
    damage(state)
    with pytest.raises((NiceValueError, NiceTypeError), match=message):
        from_state_dict(state)


def test_a_checkpoint_that_holds_more_than_weights(rng):
    state = to_state_dict(flow_for("blocks", rng))
    with pytest.raises(NiceValueError, match=re.escape('checkpoint["model_state_dict"]')):
        from_state_dict({"model_state_dict": state, "epoch": 3})
    with pytest.raises(NiceTypeError, match="expected a mapping of names to arrays, got list"):
        from_state_dict([state])
    with pytest.raises(NiceValueError, match="unknown first_kept"):
        from_state_dict(state, first_kept="first")


@pytest.mark.parametrize(
    ("flow", "layout", "message"),
    [
        (lambda: nice(6, hidden=(3,), activation="tanh"), "blocks", 'layers with activation="relu"'),
        (lambda: nice(6, hidden=()), "blocks", "coupling 0 must have hidden layers"),
        (lambda: nice(5, hidden=(3,)), "blocks", "even number of features, the flow has 5"),
        (lambda: nice(6, hidden=(3,), partition="halves"), "blocks", r"coupling 0 must keep Partition.dim=6, a=.0 2 "),
        (lambda: nice(6, hidden=(3,), activation="leaky_relu"), "masked", r"partition=Partition.odd_even\(6\).swapped"),
        (lambda: original_nice(6, width=3), "blocks", "MLPs and no context, got Permutation"),
        (lambda: real_nvp(6, hidden=(3,), preprocess=()), "blocks", "AffineCoupling"),
        (lambda: Flow("normal", DiagonalScaling(2)), "blocks", "additive couplings and a DiagonalScaling on top"),
        (lambda: nice(6, hidden=(3,)), "pytorch", "unknown layout 'pytorch'; choose one of blocks, masked"),
    ],
)  # fmt: skip
def test_another_flow(flow, layout, message):
    with pytest.raises(NiceValueError, match=message):
        to_state_dict(flow(), layout)


def test_an_argument_that_is_not_a_flow():
    with pytest.raises(NiceTypeError, match="expected a Flow, got dict"):
        to_state_dict({})


def test_names_that_are_not_strings():
    with pytest.raises(NiceTypeError, match="every name must be a string, got 1"):
        from_state_dict({1: np.ones(2)})
