"""One line for each component: name -> constructor.  test_contract.py runs every check on every line."""

import numpy as np

from nice_np import (
    MLP,
    ActNorm,
    AdditiveAutoregressive,
    AdditiveCoupling,
    AffineAutoregressive,
    AffineCoupling,
    BatchNorm,
    Chain,
    ConvNet,
    DeeperLevel,
    DiagonalGaussian,
    DiagonalScaling,
    DiscretisedLogistics,
    Equalize,
    GaussianMixture,
    GivenTheFirst,
    GlowNet,
    Householder,
    Inverse,
    LearnedStudentT,
    LogisticMixture,
    Logit,
    LULinear,
    MaskedMLP,
    MixtureAutoregressive,
    MixtureCoupling,
    MultiplicativeCoupling,
    OnPart,
    Partition,
    PCAWhitening,
    Permutation,
    Rescale,
    RoundedAdditiveCoupling,
    SplineAutoregressive,
    SplineCoupling,
    Standardize,
    StandardLogistic,
    StandardNormal,
    StudentT,
    UMNNAutoregressive,
    UMNNCoupling,
    Uniform,
    VariationalDequantization,
    WithContext,
    ZCAWhitening,
)
from nice_np.bijectors import FlooredSigmoidScale, SoftclipScale, TanhScale
from nice_np.families import NeuralODE, Planar, Radial, Residual, Sylvester
from nice_np.networks.activations import LeakyReLU


def draw(layer, rng, shape, pass_="forward"):
    """Inputs of a pass: normal, or for forward of a layer with bounds uniform well inside them."""
    low, high = layer.interval
    if pass_ == "inverse" or not np.isfinite(high - low):
        return rng.normal(size=shape)
    return rng.uniform(low + 0.05 * (high - low), high - 0.05 * (high - low), size=shape)


def shaken(module, rng, size=0.4):
    """Random parameters of order one, so that no layer is near the identity and no bias is zero."""
    for _, array, _ in module.named_parameters():
        array[...] = rng.normal(0, size, array.shape)
    return module


def mlp(sizes, rng, activation="relu"):
    return shaken(MLP(sizes, activation, rng=rng), rng)


def convnet(image_shape, partition, rng, channels=(4,), **settings):
    return shaken(ConvNet(image_shape, partition.idx_a, channels, rng=rng, **settings), rng)


def conv_coupling(law, image_shape, partition, rng, **settings):
    settings |= {"thetas_per_feature": law.thetas_per_feature, "context_dim": partition.context_dim}
    return law(partition, convnet(image_shape, partition, rng, **settings))


def glownet(channels, rng, pixels=(2, 3), **settings):
    return shaken(GlowNet(pixels, channels, rng=rng, **settings), rng)


def coupling(law, partition, rng, hidden=(6,), activation="relu", **settings):
    n_out = law.thetas_per_feature * len(partition.idx_b)
    n_in = len(partition.idx_a) + partition.context_dim
    return law(partition, mlp((n_in, *hidden, n_out), rng, activation), **settings)


def autoregressive(law, rng, dim=4, hidden=(7, 6), activation="relu", order="random", context_dim=0, **settings):
    sizes = (dim + context_dim, *hidden, law.thetas_per_feature * dim)
    return law(shaken(MaskedMLP(sizes, order, context_dim, activation, rng=rng), rng), **settings)


def masked(sizes, rng, context_dim=1):
    return shaken(MaskedMLP(sizes, "random", context_dim, rng=rng), rng)


def whitening(kind, rng):
    components, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    return kind(rng.normal(size=5), components, np.exp(rng.normal(size=5)))


def chain(rng):
    return Chain(
        [
            Standardize(rng.normal(size=5), np.exp(rng.normal(size=5))),
            coupling(AdditiveCoupling, Partition.odd_even(5), rng),
            Permutation.random(5, rng),
            coupling(AffineCoupling, Partition.halves(5).swapped(), rng),
            shaken(DiagonalScaling(5), rng),
        ]
    )


def gentle(layer):
    """A smaller theta: the integrals of UMNN are right to rounding only for functions without sharp bends."""
    layer.conditioner.layers[-1].W[...] *= 0.3
    layer.conditioner.layers[-1].b[...] *= 0.3
    return layer


def far(layer):
    """A larger theta: an output of one moves a pixel by four levels only."""
    layer.conditioner.layers[-1].W[...] *= 20
    layer.conditioner.layers[-1].b[...] *= 20
    return layer


def learned_noise(rng):
    # additive: where an affine one makes the noise of a bin steep, a round trip loses digits, as it must
    return VariationalDequantization(coupling(AdditiveCoupling, Partition(2, [0], context_dim=2), rng), levels=2)


def radial(rng):
    layer = shaken(Radial(3), rng, 0.3)
    layer.b[...] += 3  # beta is near 3 - alpha: far from 0, where the layer is the identity
    return layer


COUPLINGS = {
    f"{law.__name__}-{name}": lambda rng, law=law, kw=settings: coupling(law, Partition.odd_even(5), rng, **kw)
    for law, name, settings in [
        (AdditiveCoupling, "relu", {}),
        (AdditiveCoupling, "leaky_relu", {"activation": "leaky_relu"}),
        (AdditiveCoupling, "leaky_relu-slope", {"activation": LeakyReLU(0.7)}),
        (AdditiveCoupling, "tanh", {"activation": "tanh"}),
        (AdditiveCoupling, "softplus", {"activation": "softplus"}),
        (AdditiveCoupling, "linear", {"hidden": ()}),
        (AdditiveCoupling, "deep", {"hidden": (6, 5, 4)}),
        *[(AffineCoupling, scale, {"scale": scale}) for scale in ("exp", "tanh", "sigmoid", "softplus")],
        *[(MultiplicativeCoupling, scale, {"scale": scale}) for scale in ("exp", "tanh", "sigmoid", "softplus")],
        *[
            (AffineCoupling, type(scale).__name__, {"scale": scale})
            for scale in (TanhScale(0.7), SoftclipScale(), FlooredSigmoidScale())
        ],
        (AffineCoupling, "deep", {"hidden": (6, 5, 4), "activation": "tanh"}),
    ]
}

BIJECTORS = {
    **COUPLINGS,
    "RoundedAdditiveCoupling": lambda rng: far(coupling(RoundedAdditiveCoupling, Partition.odd_even(5), rng)),
    "partition-halves": lambda rng: coupling(AffineCoupling, Partition.halves(4), rng),
    "partition-checkerboard": lambda rng: coupling(AffineCoupling, Partition.checkerboard(2, 3), rng),
    "partition-any": lambda rng: coupling(AdditiveCoupling, Partition(6, [5, 0, 2]), rng),
    "partition-lonely": lambda rng: coupling(AffineCoupling, Partition(2, [1]), rng),
    "partition-context": lambda rng: coupling(AffineCoupling, Partition(5, [0, 2, 4], context_dim=2), rng),
    "partition-context-alone": lambda rng: coupling(AffineCoupling, Partition(3, [], context_dim=2), rng, hidden=()),
    "partition-context-any": lambda rng: coupling(AdditiveCoupling, Partition(4, [3, 0], context_dim=1), rng),
    "WithContext": lambda rng: WithContext(coupling(AffineCoupling, Partition.odd_even(3), rng), 2),
    "ConvNet-grey": lambda rng: conv_coupling(AffineCoupling, (4, 6), Partition.checkerboard(4, 6), rng),
    "ConvNet-colour": lambda rng: conv_coupling(
        AdditiveCoupling, (3, 4, 4), Partition.checkerboard(4, 4, 3).swapped(), rng, channels=(3, 2)
    ),
    "ConvNet-context": lambda rng: conv_coupling(
        AffineCoupling, (2, 4), Partition.checkerboard(2, 4).with_context(3), rng, activation="tanh"
    ),
    "OnPart": lambda rng: OnPart(coupling(AffineCoupling, Partition.odd_even(3), rng), Partition(5, [4, 0, 1])),
    "OnPart-context": lambda rng: OnPart(
        coupling(AffineCoupling, Partition(3, [1], 2), rng), Partition(5, [0, 1, 3], 2)
    ),
    "GlowNet": lambda rng: AffineCoupling(Partition.halves(12), glownet((1, 3, 4, 2), rng)),
    "GlowNet-context": lambda rng: AdditiveCoupling(
        Partition(18, np.arange(12), 2), glownet((2, 3, 1), rng, context_dim=2, activation="tanh")
    ),
    "DiagonalScaling": lambda rng: shaken(DiagonalScaling(5), rng),
    "Standardize": lambda rng: Standardize(rng.normal(size=5), np.exp(rng.normal(size=5))),
    "ZCAWhitening": lambda rng: whitening(ZCAWhitening, rng),
    "PCAWhitening": lambda rng: whitening(PCAWhitening, rng),
    "Rescale": lambda rng: Rescale(5, -3.0, -0.5),
    "Equalize": lambda rng: Chain([Equalize(5, [8.0, 1.0, 0.5, 0.5]), Logit(5, alpha=1e-3)]),  # z is in the unit cube
    "Logit": lambda rng: Logit(5, alpha=0.05),
    "Permutation-tile": lambda rng: Permutation.tile(5),
    "Permutation-reversal": lambda rng: Permutation.reversal(5),
    "Permutation-halves": lambda rng: Permutation.halves(5),
    "Permutation-random": lambda rng: Permutation.random(5, rng),
    "AffineAutoregressive": lambda rng: autoregressive(AffineAutoregressive, rng),
    "AffineAutoregressive-context": lambda rng: autoregressive(AffineAutoregressive, rng, context_dim=2, scale="exp"),
    "AdditiveAutoregressive": lambda rng: autoregressive(AdditiveAutoregressive, rng, order="natural", hidden=(6,)),
    "Permutation-squeeze": lambda rng: Permutation.squeeze((2, 2, 4)),
    "ActNorm": lambda rng: shaken(ActNorm(5), rng),
    "ActNorm-image": lambda rng: shaken(ActNorm(8, (2, 2, 2)), rng),
    "BatchNorm": lambda rng: BatchNorm(rng.normal(size=5), np.exp(rng.normal(size=5))),
    "LULinear": lambda rng: shaken(LULinear(5, rng=rng), rng),
    "LULinear-image": lambda rng: shaken(LULinear(12, (3, 2, 2), rng=rng), rng),
    "Householder": lambda rng: Householder(5, 3, rng=rng),
    "Householder-image": lambda rng: Householder(12, None, (3, 2, 2), rng=rng),
    "UMNNCoupling": lambda rng: gentle(coupling(UMNNCoupling, Partition.odd_even(3), rng)),
    "UMNNAutoregressive": lambda rng: gentle(autoregressive(UMNNAutoregressive, rng, 2, (4,), context_dim=1)),
    "SplineCoupling": lambda rng: SplineCoupling(Partition(3, [1]), mlp((1, 4, 16), rng), bins=3, bound=1.5),
    "SplineAutoregressive": lambda rng: SplineAutoregressive(masked((3, 4, 16), rng), bins=3),
    "MixtureCoupling": lambda rng: MixtureCoupling(Partition(3, [1]), mlp((1, 3, 16), rng), components=2),
    "MixtureAutoregressive": lambda rng: MixtureAutoregressive(masked((3, 4, 10), rng), components=1),
    "VariationalDequantization": lambda rng: Chain([learned_noise(rng), Logit(2, alpha=1e-3)]),  # z is in the unit cube
    "Inverse": lambda rng: Inverse(coupling(AffineCoupling, Partition.odd_even(5), rng)),
    "Chain": chain,
    "Planar": lambda rng: shaken(Planar(3), rng, 1.0),
    "Radial": radial,
    "Residual": lambda rng: Residual(mlp((3, 6, 5, 3), rng, "tanh"), c=0.8),
    "Residual-context": lambda rng: Residual(mlp((4, 8, 3), rng, "softplus"), c=0.7),
    "Sylvester": lambda rng: shaken(Sylvester(3), rng, 1.0),
    "Sylvester-rank": lambda rng: shaken(Sylvester(4, rank=2), rng, 1.0),
    "NeuralODE": lambda rng: NeuralODE(shaken(MLP((4, 3, 2), "tanh", rng=rng), rng, 0.25), steps=8),
}

CONDITIONERS = (
    {
        f"MLP-{activation}-{len(hidden)}": lambda rng, a=activation, h=hidden: mlp((3, *h, 4), rng, a)
        for activation in ("relu", "leaky_relu", "tanh", "softplus")
        for hidden in ((), (5,), (5, 4), (5, 4, 6))
    }
    | {
        "MaskedMLP": lambda rng: shaken(MaskedMLP((5, 6, 7, 6), (1, 2, 0), 2, "tanh", rng=rng), rng),
    }
    | {
        f"ConvNet-{activation}-{len(channels)}": lambda rng, a=activation, c=channels: convnet(
            (4, 6), Partition.odd_even(24), rng, c, thetas_per_feature=2, context_dim=2, activation=a
        )
        for activation in ("relu", "leaky_relu", "tanh", "softplus")
        for channels in ((), (3,), (3, 2))
    }
    | {
        f"GlowNet-{activation}-{len(channels)}": lambda rng, a=activation, c=channels: glownet(
            c, rng, context_dim=2, activation=a
        )
        for activation in ("relu", "tanh")
        for channels in ((2, 3), (3, 2), (2, 4, 3), (1, 3, 5, 2))
    }
)

PRIORS = {
    "StandardNormal": lambda rng: StandardNormal(),
    "StandardLogistic": lambda rng: StandardLogistic(),
    "Uniform": lambda rng: Uniform(-50.0, 50.0),
    "StudentT": lambda rng: StudentT(4.0),
    "LearnedStudentT": lambda rng: LearnedStudentT(3, 6.0),
    "DiagonalGaussian": lambda rng: shaken(DiagonalGaussian(3), rng),
    "GaussianMixture": lambda rng: shaken(GaussianMixture(3, 4), rng),
    "LogisticMixture": lambda rng: shaken(LogisticMixture(3, 4), rng),
    "DiscretisedLogistics": lambda rng: shaken(DiscretisedLogistics(3, 2), rng),
    "GivenTheFirst": lambda rng: GivenTheFirst(
        shaken(DiscretisedLogistics(1, 2), rng), mlp((1, 5, 12), rng), dim=3, step=2.0**-5
    ),
    "DeeperLevel": lambda rng: DeeperLevel(
        shaken(DiscretisedLogistics(3, 2), rng), coupling(RoundedAdditiveCoupling, Partition.odd_even(3), rng)
    ),
}
