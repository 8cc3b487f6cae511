"""Small models of every kind, with random weights: what `nice-np gradcheck` checks when no model is given."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from nice_np import bijectors as b
from nice_np.bijectors.scales import SCALES
from nice_np.families import ActNorm, Householder, LULinear, NeuralODE, Planar, Radial, Residual, Sylvester
from nice_np.flows.flow import Flow
from nice_np.flows.flow_matching import FlowMatching
from nice_np.flows.mixtures import GaussianMixture, LogisticMixture
from nice_np.flows.model import Model
from nice_np.flows.other_priors import DiagonalGaussian
from nice_np.flows.priors import PRIORS
from nice_np.flows.student_t import LearnedStudentT
from nice_np.networks.mlp import MLP
from nice_np.vae import variational_autoencoder
from nice_np.vae.build import DECODERS, KINDS


def small_models(seed: int) -> Iterator[tuple[str, Model]]:
    """Pairs (name, model): a flow for each law, scale and prior, and a VAE for each form and decoder."""
    rng = np.random.default_rng(seed)
    laws: list[tuple[str, type[b.Coupling], dict[str, Any]]] = [("AdditiveCoupling", b.AdditiveCoupling, {})]
    for scale in SCALES:
        laws.append((f"MultiplicativeCoupling, scale {scale}", b.MultiplicativeCoupling, {"scale": scale}))
        laws.append((f"AffineCoupling, scale {scale}", b.AffineCoupling, {"scale": scale}))
    for (name, law, settings), prior in product(laws, PRIORS):
        part, layers = b.Partition.odd_even(5), []
        for _ in range(3):
            sizes = (len(part.idx_a), 8, law.thetas_per_feature * len(part.idx_b))
            layers.append(law(part, MLP(sizes, rng=rng), **settings))
            part = part.swapped()
        flow = Flow(prior, b.Chain([b.Standardize(rng.normal(size=5), np.ones(5)), *layers, b.DiagonalScaling(5)]))
        flow.params.values[:] = rng.normal(0, 0.3, len(flow.params))
        yield f"{name}, {prior} prior", flow
    for learned in (DiagonalGaussian(4), LearnedStudentT(4), GaussianMixture(4, 3), LogisticMixture(4, 3)):
        below = [ActNorm(4, (2, 1, 2)), LULinear(4, (2, 1, 2), rng=rng), ActNorm(4), Householder(4, rng=rng)]
        flow = Flow(learned, b.Chain(below))
        flow.params.values[:] = rng.normal(0, 0.3, len(flow.params))
        yield f"ActNorm, LULinear, Householder, {type(learned).__name__}", flow
    network = MLP((4, 6, 4), "tanh", rng=rng)
    flow = Flow("normal", b.Chain([Planar(4, rng=rng), Radial(4, rng=rng), Sylvester(4, rng=rng), Residual(network)]))
    flow.params.values[:] = rng.normal(0, 0.3, len(flow.params))
    yield "Planar, Radial, Sylvester, Residual", flow
    matching = FlowMatching("normal", NeuralODE(MLP((4, 5, 3), "tanh", rng=rng), steps=3))
    matching.params.values[:] = rng.normal(0, 0.3, len(matching.params))
    yield "NeuralODE, by likelihood and by flow matching", matching
    for kind, decoder in product(KINDS, DECODERS):
        vae = variational_autoencoder(
            5, 3, (6,), kind, decoder,
            couplings=3, flow_hidden=(4,), context_dim=2 if kind.endswith("-posterior") else 0,
            dtype=np.float64, rng=rng,
        )  # fmt: skip
        vae.params.values[:] = rng.normal(0, 0.3, len(vae.params))
        yield f"VAE, {kind}, {decoder} decoder", vae
