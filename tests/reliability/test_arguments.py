"""Any value for any argument either works or raises a NiceError that is also the expected builtin and says why.

As scikit-learn does with its estimators: a good call of every public function and class, in which each argument in
turn is replaced by things that do not belong there.
"""

import builtins
import inspect
import re
import warnings

import numpy as np
import pytest

import nice_np
from nice_np import datasets, errors

X = np.random.default_rng(0).random((6, 4))
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 4), dtype=np.uint8)
BINARY = (X > 0.5).astype(float)
USERS_OWN = {"function", "callbacks", "log_density_and_grad"}  # code of the user's: what it raises is its own
STRANGE = [
    None, True, -1, 0, 1.5, np.nan, np.inf, 1j, "x", b"x", "", [], [1], [[1, 2], [3]], {}, {"a": 1}, object(), int,
    np.array([np.nan]), np.zeros((2, 2, 2)), np.zeros((0, 4)), np.full((6, 4), np.nan), np.full((6, 4), "a"),
    np.zeros((6, 4), complex), np.ma.masked_array(X, X > 0.5), np.zeros((6, 3)), np.zeros((6, 4), "M8[s]"), lambda: 0,
    np.array(3), np.array([True, False]), np.array([1, 2]), "\ud800", "f4," * 9, -(2**70), range(3), X.tolist(), {1},
    slice(2), (1, "x"), (None, None), np.float16(2), np.zeros((6, 4), "V3"), Ellipsis, iter([1]), OverflowError("x"),
]  # fmt: skip
BUILTINS = (ValueError, TypeError, OverflowError, OSError, ArithmeticError, ImportError)


def flow():
    return nice_np.nice(4, couplings=3, hidden=(5,), preprocess=(), rng=0)


def labelled():
    return nice_np.nice(4, couplings=3, hidden=(5,), preprocess=(), context_dim=2, rng=0)


def vae():
    return nice_np.variational_autoencoder(4, 2, hidden=(5,), rng=0)


def part():
    return nice_np.Partition.odd_even(4)


def first_two():
    return nice_np.DiscretisedLogistics(2, 2)


def integers():
    return nice_np.integer_flow((2, 2), levels=1, couplings=1, channels=2, components=2, rng=0)


def network(thetas=1):
    return nice_np.MLP((2, 3, 2 * thetas), rng=0)


def mask():
    return nice_np.Mask(np.array([True, False, True, True]))


def problem(**others):
    return {"flow": flow(), "y": X[:2, [0, 2, 3]], "operator": mask(), **others}


MASKED = {
    "dim": 4, "layers": 2, "hidden": (5,), "prior": "normal", "scale": "tanh", "activation": "relu",
    "ordering": "reversed", "preprocess": (), "init": "he", "context_dim": 0, "dtype": "float32", "rng": 0,
}  # fmt: skip
CONTINUOUS = {
    "dim": 4, "hidden": (5,), "prior": "normal", "steps": 2, "method": "rk4", "probes": 1, "activation": "tanh",
    "preprocess": (), "init": "he", "context_dim": 0, "dtype": "float32", "rng": 0,
}  # fmt: skip
CALLS = {
    "MLP": {"sizes": (2, 3, 4), "activation": "relu", "init": "he", "output_scale": 0.1, "dtype": "float32", "rng": 0},
    "SGD": {"momentum": 0.5},
    "Adam": {"beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "weight_decay": 0.1},
    "RMSPropMomentum": {"decay": 0.9, "floor": 0.01, "momentum": 0.5, "momentum_from": 6},
    "AdditiveAutoregressive": {"conditioner": nice_np.MaskedMLP((4, 5, 4), rng=0)},
    "AffineAutoregressive": {"conditioner": nice_np.MaskedMLP((4, 5, 8), rng=0), "scale": "tanh"},
    "MaskedMLP": {
        "sizes": (4, 5, 8), "order": "natural", "context_dim": 0, "activation": "relu", "init": "he",
        "output_scale": 0.1, "dtype": "float32", "rng": 0,
    },
    "UMNNAutoregressive": {"conditioner": nice_np.MaskedMLP((4, 5, 4 * nice_np.UMNNAutoregressive.thetas_per_feature))},
    "UMNNCoupling": {"partition": part(), "conditioner": network(nice_np.UMNNCoupling.thetas_per_feature)},
    "Planar": {"dim": 4, "dtype": "float32", "rng": 0},
    "Radial": {"dim": 4, "dtype": "float32", "rng": 0},
    "Sylvester": {"dim": 4, "rank": 2, "dtype": "float32", "rng": 0},
    "Residual": {"network": nice_np.MLP((4, 5, 4), "tanh", rng=0), "c": 0.9, "log_det": "exact"},
    "NeuralODE": {"network": nice_np.MLP((5, 4), "tanh", rng=0), "steps": 2, "method": "rk4", "probes": 1, "seed": 0},
    "FlowMatching": {
        "prior": "normal", "bijector": nice_np.NeuralODE(nice_np.MLP((5, 5, 4), "tanh", rng=0)), "context_dim": 0,
        "sigma": 0.1,
    },
    "planar_flow": {
        "dim": 4, "layers": 2, "kind": "planar", "prior": "normal", "preprocess": (), "dtype": "float32", "rng": 0,
    },
    "residual_flow": {
        "dim": 4, "layers": 2, "hidden": 5, "prior": "normal", "c": 0.9, "log_det": "exact", "activation": "tanh",
        "preprocess": (), "init": "he", "context_dim": 0, "dtype": "float32", "rng": 0,
    },
    "iaf": MASKED,
    "maf": MASKED,
    "continuous_flow": CONTINUOUS,
    "flow_matching": {**CONTINUOUS, "sigma": 0.1},
    "ActNorm": {"dim": 4, "image_shape": (2, 2), "fitted": True, "dtype": "float32"},
    "BatchNorm": {"mean": np.zeros(4), "std": np.ones(4), "fitted": True, "share": 0.5, "measured": 1},
    "Householder": {"dim": 4, "reflections": 2, "image_shape": (2, 2), "dtype": "float32", "rng": 0},
    "LULinear": {"dim": 4, "image_shape": (2, 2), "dtype": "float32", "rng": 0, "fitted": True},
    "AdditiveCoupling": {"partition": part(), "conditioner": network()},
    "AffineCoupling": {"partition": part(), "conditioner": network(2), "scale": "tanh"},
    "MultiplicativeCoupling": {"partition": part(), "conditioner": network(), "scale": "exp"},
    "SplineCoupling": {"partition": part(), "conditioner": network(5), "bins": 2, "bound": 3.0},
    "SplineAutoregressive": {"conditioner": nice_np.MaskedMLP((4, 5, 20), rng=0), "bins": 2, "bound": 3.0},
    "RoundedAdditiveCoupling": {"partition": part(), "conditioner": network(), "step": 0.25},
    "DiscretisedLogistics": {"dim": 4, "components": 2, "step": 0.25, "dtype": "float32"},
    "GivenTheFirst": {"first": first_two(), "conditioner": nice_np.MLP((2, 3, 12), rng=0), "dim": 4, "step": 1 / 256},
    "DeeperLevel": {"prior": nice_np.DiscretisedLogistics(4), "bijector": nice_np.Permutation.reversal(4)},
    "IntegerFlow": {"prior": nice_np.DiscretisedLogistics(4), "bijector": nice_np.Permutation.reversal(4)},
    "integer_flow": {
        "image_shape": (4, 4), "levels": 1, "couplings": 1, "channels": 2, "components": 2, "dtype": "float64",
        "rng": 0,
    },
    "compress": {"flow": integers(), "pixels": PIXELS},
    "decompress": {"flow": integers(), "data": nice_np.compress(integers(), PIXELS), "name": "digits.nice"},
    "MixtureCoupling": {"partition": part(), "conditioner": network(5), "components": 1},
    "MixtureAutoregressive": {"conditioner": nice_np.MaskedMLP((4, 5, 20), rng=0), "components": 1},
    "Blur": {"image_shape": (2, 2), "sigma": 0.5},
    "Chain": {"layers": [nice_np.DiagonalScaling(4)]},
    "Composition": {"after": nice_np.Identity(4), "first": nice_np.Identity(4)},
    "Constant": {"rate": 0.1},
    "Cosine": {"rate": 0.1, "warmup": 3},
    "ConvNet": {"image_shape": (2, 2), "idx_a": [0, 3], "channels": (2,), "thetas_per_feature": 1, "context_dim": 1},
    "DiagonalGaussian": {"dim": 4, "dtype": "float32"},
    "GaussianMixture": {"dim": 4, "components": 2, "dtype": "float32", "rng": 0},
    "LogisticMixture": {"dim": 4, "components": 2, "dtype": "float32", "rng": 0},
    "LearnedStudentT": {"dim": 4, "nu": 5.0, "dtype": "float32"},
    "StudentT": {"nu": 5.0},
    "Uniform": {"low": 0.0, "high": 1.0},
    "VariationalDequantization": {"noise": nice_np.Permutation(range(8)), "levels": 4},
    "variational_dequantization": {
        "image_shape": (4, 4), "couplings": 1, "channels": 2, "law": "affine", "levels": 4, "activation": "relu",
        "init": "he", "dtype": "float32", "rng": 0,
    },
    "log_prob_of_pixels": {"flow": flow(), "pixels": PIXELS, "draws": 2, "rng": 0, "context": None},
    "DiagonalScaling": {"dim": 4, "log_scale": 0.1, "dtype": "float64"},
    "Downsample": {"image_shape": (2, 2), "factor": 2},
    "ExponentialDecay": {"rate": 0.1, "factor": 1.1, "minimum": 1e-4},
    "Flow": {"prior": "normal", "bijector": nice_np.DiagonalScaling(4), "context_dim": 0},
    "GlowNet": {
        "pixels": (2, 2), "channels": (1, 3, 1), "context_dim": 1, "activation": "relu", "init": "he",
        "output_scale": 0.1, "dtype": "float32", "rng": 0,
    },
    "OnPart": {"bijector": nice_np.DiagonalScaling(2), "partition": part()},
    "glow": {
        "image_shape": (4, 4), "levels": 1, "steps": 1, "channels": 2, "prior": "normal", "law": "affine",
        "scale": "tanh", "activation": "relu", "preprocess": ("logit",), "init": "he",
        "start": "rotation", "context_dim": 0, "dtype": "float32", "rng": 0,
    },
    "labelled": {"flow": nice_np.glow((4, 4), 1, 1, 2, rng=0), "classes": 2, "weight": 1.0},
    "LabelledFlow": {
        "prior": "normal", "context_dim": 2, "weight": 1.0,
        "bijector": nice_np.Chain([nice_np.WithContext(nice_np.DiagonalScaling(4), 2) for _ in range(2)]),
    },
    "GaussianImages": {"mean": np.zeros(4), "covariance": np.eye(4)},
    "GreyOut": {"channels": 3, "height": 2, "width": 2},
    "HiddenPixels": problem(),
    "Identity": {"dim": 4},
    "ImageObjective": problem(sigma=0.1),
    "LatentObjective": problem(sigma=0.1),
    "LatentPosterior": problem(sigma=0.1),
    "ProxyObjective": problem(sigma=0.1, gamma=0.1),
    "Inverse": {"bijector": nice_np.DiagonalScaling(4)},
    "InverseTime": {"rate": 0.1, "half": 10},
    "Logit": {"dim": 4, "alpha": 0.1},
    "Mask": {"observed": [True, False]},
    "PCAWhitening": {"mean": np.zeros(4), "components": np.eye(4), "std": np.ones(4)},
    "ZCAWhitening": {"mean": np.zeros(4), "components": np.eye(4), "std": np.ones(4)},
    "Partition": {"dim": 4, "idx_a": [0, 2], "context_dim": 1},
    "Permutation": {"order": [2, 0, 1]},
    "RandomProjection": {"dim": 4, "n_measurements": 2, "rng": 0},
    "Equalize": {"dim": 4, "shares": [0.8, 0.2]},
    "Rescale": {"dim": 4, "low": -1.0, "high": 1.0},
    "Separable": {"image_shape": (2, 2), "rows": np.eye(2), "columns": np.eye(2)},
    "Standardize": {"mean": np.zeros(4), "std": np.ones(4)},
    "WithContext": {"bijector": nice_np.DiagonalScaling(4), "context_dim": 2},
    "binarize": {"pixels": PIXELS, "rng": 0, "dtype": "float32"},
    "dequantize": {"pixels": PIXELS, "rng": 0, "dtype": "float32"},
    "check_gradients": {"obj": nice_np.DiagonalScaling(4), "x": X, "rng": 0, "max_coordinates": 9, "directions": 1},
    "check_inverse": {"obj": nice_np.DiagonalScaling(4, 0.1), "x": X, "rtol": 1e-12, "atol": 1e-7},
    "check_log_det": {"obj": nice_np.DiagonalScaling(4, 0.1), "x": X, "atol": 1e-7},
    "classify": {"flow": labelled(), "x": X},
    "log_prob_by_label": {"flow": labelled(), "x": X},
    "sample_by_label": {"flow": labelled(), "n": 2, "rng": 0},
    "fit": {
        "model": flow(), "x": X, "validation": X, "epochs": 1, "batch_size": 3, "learning_rate": 1e-3,
        "optimizer": "adam", "clip_norm": 1.0, "average": 2, "patience": 2, "callbacks": (), "checkpoint_every": 1.0,
        "rng": 0, "threads": 1, "progress": False,
    },
    "fit_to_density": {
        "flow": flow(), "log_density_and_grad": flow().log_prob_and_grad, "steps": 1, "batch_size": 3,
        "path_gradient": True, "learning_rate": 1e-3, "optimizer": "adam", "clip_norm": 1.0, "average": 2,
        "callbacks": (), "checkpoint_every": 1.0, "rng": 0, "threads": 1, "progress": False,
    },
    "importance_sample": {"flow": flow(), "log_density_and_grad": flow().log_prob_and_grad, "n": 4, "rng": 0},
    "inpaint": {
        "flow": flow(), "x": X, "mask": mask(), "space": "latent", "optimizer": "adam", "steps": 2, "start": None,
        "sigma": 0.1, "learning_rate": 0.1, "clip": (0, 1), "rng": 0, "progress": False, "context": None, "drift": None,
    },
    "restore": {
        "flow": flow(), "y": X[:2, [0, 2, 3]], "operator": mask(), "sigma": 0.1, "space": "latent",
        "optimizer": "adam", "steps": 2, "learning_rate": 0.1, "clip": (0, 1), "start": X[:2], "gamma": None,
        "context": None, "progress": False,
    },
    "sample_completions": {
        "flow": flow(), "x": X[:2], "mask": mask(), "sigma": 0.1, "chains": 2, "warmup": 2, "steps": 2, "leapfrogs": 2,
        "clip": (0, 1), "context": None, "rng": 0, "progress": False,
    },
    "sample_posterior": {
        "flow": flow(), "y": X[:2, [0, 2, 3]], "operator": mask(), "sigma": 0.1, "chains": 2, "warmup": 2, "steps": 2,
        "leapfrogs": 2, "rng": 0, "start": X[:2], "clip": (0, 1), "context": None, "progress": False,
    },
    "named_mask": {"name": "top", "height": 4, "width": 4, "rng": 0},
    "nice": {
        "dim": 4, "couplings": 3, "hidden": (5,), "prior": "normal", "activation": "relu", "conditioner": "mlp",
        "partition": "odd-even", "preprocess": ("standardize",), "init": "he", "context_dim": 0, "dtype": "float32",
        "rng": 0,
    },
    "real_nvp": {
        "dim": 4, "couplings": 3, "hidden": (5,), "prior": "normal", "scale": "tanh", "activation": "relu",
        "conditioner": "mlp", "partition": "odd-even", "preprocess": (), "init": "he", "dtype": "float32", "rng": 0,
    },
    "spline_flow": {
        "dim": 4, "layers": 3, "hidden": (5,), "prior": "normal", "wiring": "coupling", "bins": 2, "bound": 3.0,
        "activation": "relu", "preprocess": (), "init": "he", "context_dim": 0, "dtype": "float32", "rng": 0,
    },
    "mixture_flow": {
        "dim": 4, "layers": 1, "hidden": (5,), "prior": "normal", "wiring": "autoregressive", "components": 1,
        "activation": "relu", "preprocess": (), "init": "he", "context_dim": 0, "dtype": "float32", "rng": 0,
    },
    "variational_autoencoder": {
        "dim": 4, "latent": 2, "hidden": (5,), "kind": "plain", "decoder": "bernoulli", "couplings": 2,
        "flow_hidden": (5,), "activation": "relu", "dtype": "float32", "rng": 0,
    },
    "numerical_jacobian": {"function": lambda x: x, "x": X, "eps": 1e-5},
    "one_hot": {"labels": [0, 1], "classes": 2, "dtype": "float32"},
    "psnr": {"x": X, "reference": X + 1, "data_range": 1.0},
    "to_bits_per_dim": {"log_likelihood": 3.0, "dim": 2, "bin_width": 1 / 256},
}  # fmt: skip

# Bases to derive from, records of results, errors, and doors that are met below with files.
OTHERS = {
    "Autoregressive", "Bijector", "Coupling", "Model", "Module", "Objective", "Operator", "Optimizer", "Prior",
    "Schedule", "Whitening", "StandardNormal", "StandardLogistic", "FlatParameters", "VAE", "History", "Posterior",
    "Restoration", "WeightedSample", "StopTraining", "TrainingInterrupted", "load", "load_model", "save_model",
    "TensorBoard",
}  # fmt: skip


def optimizer():
    return nice_np.Adam()


class Pullback:
    """What `decode_with_pullback` gives to go back with."""

    def __init__(self):
        self.pullback = flow().decode_with_pullback(X)[2]


METHODS = {
    "Flow.decode_with_pullback": (flow, {"z": X}),
    "Flow.log_prob_and_grad": (flow, {"x": X}),
    "Pullback.pullback": (Pullback, {"dx": X, "dlog_det": X[:, 0]}),
    "Adam.restore": (optimizer, {"steps": 2, "state": {"m": np.ones(3), "v": np.ones(3)}}),
    "Adam.step": (optimizer, {"values": np.ones(3), "grads": np.ones(3), "learning_rate": 0.1}),
    "VAE.sample_latents": (vae, {"n": 2, "rng": 0}),
    "Flow.log_prob": (flow, {"x": X}),
    "Flow.encode": (flow, {"x": X}),
    "Flow.decode": (flow, {"z": X}),
    "Flow.bits_per_dim": (flow, {"x": X, "bin_width": 1 / 256}),
    "Flow.nll_and_grad": (flow, {"x": X}),
    "Flow.grad_log_prob": (flow, {"x": X}),
    "Flow.sample": (flow, {"n": 2, "rng": 0, "temperature": 1.0}),
    "Flow.astype": (flow, {"dtype": "float64"}),
    "VAE.elbo": (vae, {"x": BINARY, "eps": np.zeros((6, 2))}),
    "VAE.loss_and_grad": (vae, {"x": BINARY, "eps": np.zeros((6, 2))}),
    "VAE.bounds": (vae, {"x": BINARY, "k": 2, "rng": 0}),
    "VAE.iwae": (vae, {"x": BINARY, "k": 2, "rng": 0}),
    "VAE.encode": (vae, {"x": BINARY}),
    "VAE.decode": (vae, {"z": np.zeros((3, 2))}),
    "VAE.draw_noise": (vae, {"n": 2, "rng": 0}),
    "VAE.sample": (vae, {"n": 2, "rng": 0}),
    "VAE.reconstruct": (vae, {"x": BINARY}),
    "DiagonalScaling.forward": (lambda: nice_np.DiagonalScaling(4), {"x": X}),
    "AdditiveCoupling.inverse": (lambda: nice_np.AdditiveCoupling(part(), network()), {"z": X}),
}


def strange_calls(call, arguments):
    """Call with each argument replaced by each strange thing; only a NiceError may be raised."""
    refused = 0
    for name in arguments:
        for value in STRANGE:
            if name in USERS_OWN and callable(value):
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("error", RuntimeWarning)
                warnings.simplefilter("ignore", UserWarning)
                try:
                    call(**{**arguments, name: value})
                except errors.NiceError as error:
                    refused += 1
                    problem = "" if isinstance(error, BUILTINS) and len(str(error)) > 10 else "says too little"
                except Exception as error:
                    problem = f"{type(error).__name__}: {error}"
                else:
                    problem = ""
            assert not problem, f"{name}={value!r}: {problem}"
    return refused


@pytest.mark.parametrize("name", CALLS)
def test_functions_and_classes(name):
    thing, arguments = getattr(nice_np, name), CALLS[name]
    thing(**arguments)
    assert set(arguments) <= set(inspect.signature(thing).parameters)
    assert strange_calls(thing, arguments) > 3


@pytest.mark.parametrize("name", METHODS)
def test_methods(name):
    make, arguments = METHODS[name]
    method = getattr(make(), name.split(".")[1])
    method(**arguments)
    assert strange_calls(method, arguments) > 3


def test_every_public_name_is_here():
    names = {name for name in nice_np.__all__ if callable(getattr(nice_np, name)) and not issubclass_of_error(name)}
    assert names == set(CALLS) | OTHERS


def issubclass_of_error(name):
    thing = getattr(nice_np, name)
    return inspect.isclass(thing) and issubclass(thing, errors.NiceError)


def test_every_error_is_a_builtin_too():
    for name, kind in vars(errors).items():
        if inspect.isclass(kind) and kind is not errors.NiceError and issubclass(kind, errors.NiceError):
            assert any(base.__name__ in vars(builtins) for base in kind.__mro__[2:-3]), name


@pytest.mark.parametrize("value", STRANGE, ids=lambda value: re.sub(r"\W+", " ", repr(value))[:20])
def test_paths(value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = flow()
    for door in (
        lambda: nice_np.load(value),
        lambda: nice_np.load_model(value),
        lambda: nice_np.save_model("a.npz", value),
        lambda: nice_np.save_model("a.npz", model, metadata=value),
        lambda: nice_np.Flow.load("none.npz", classes=value),
        lambda: datasets.load("cifar10", data_dir=value) if value is not None else None,
        lambda: datasets.load(value),
        lambda: datasets.read_idx(value),
        lambda: datasets.load("rings", seed=value),
    ):
        try:
            door()
        except errors.NiceError as error:
            assert isinstance(error, BUILTINS)  # noqa: PT017
