"""The ONNX operators of a variational autoencoder's two networks: encode and decode."""

from __future__ import annotations

from functools import singledispatch

import numpy as np

from nice_np.errors import NiceTypeError
from nice_np.interop.onnx_graph import Graph, Outputs
from nice_np.interop.onnx_layers import forward, inverse, log_scale
from nice_np.interop.onnx_networks import network
from nice_np.vae import VAE, Bernoulli, FixedGaussian, FlowPosterior, Gaussian, Likelihood

METHODS = ("encode", "decode")


def encode(vae: VAE, graph: Graph) -> Outputs:
    """x (N, D) -> mean, log_variance of q(z_0 | x), and z without noise: (N, L) each.

    z_0 and z are the same, except in a `FlowPosterior`, where z = f(z_0; h(x)).
    """
    posterior, latent = vae.posterior, vae.latent
    y = "x" if vae.preprocess is None else forward(vae.preprocess, graph, "x")[0]
    theta = network(posterior.network, graph, y)  # (N, 2L + C), see GaussianPosterior.encode
    mean, r = graph.columns(theta, np.arange(latent)), graph.columns(theta, np.arange(latent, 2 * latent))
    z = mean
    if isinstance(posterior, FlowPosterior):
        context = np.arange(2 * latent, 2 * latent + posterior.context_dim)
        start = graph.columns(theta, np.concatenate([np.arange(latent), context]))  # (N, L + C)
        z = graph.columns(forward(posterior.bijector, graph, start)[0], np.arange(latent))
    log_variance = graph.add("Mul", log_scale(posterior.scale, graph, r), 2.0)
    return {"mean": (mean, latent), "log_variance": (log_variance, latent), "z": (z, latent)}


def decode(vae: VAE, graph: Graph) -> Outputs:
    """z (N, L) -> the parameters of p(y | z), and x = f^-1(E[y | z]) for y = f(x) of `preprocess`: (N, D) each."""
    theta = network(vae.decoder.network, graph, "z")
    parameters = parameters_of(vae.decoder.likelihood, graph, theta)
    x = parameters["mean"]
    if vae.preprocess is not None:
        x = inverse(vae.preprocess, graph, x)[0]
    return {name: (array, vae.dim) for name, array in {**parameters, "x": x}.items()}


@singledispatch
def parameters_of(likelihood: Likelihood, graph: Graph, theta: str) -> dict[str, str]:
    """The names of the law's parameters and its mean, (N, D) each."""
    raise NiceTypeError(f"to_onnx: no graph is known for {likelihood!r}")


@parameters_of.register
def _(likelihood: Bernoulli, graph: Graph, theta: str) -> dict[str, str]:
    return {"logits": theta, "mean": graph.add("Sigmoid", theta)}


@parameters_of.register(Gaussian)
@parameters_of.register(FixedGaussian)
def _(likelihood: Gaussian, graph: Graph, theta: str) -> dict[str, str]:
    log_variance = graph.add("Expand", 2 * likelihood.log_sigma, graph.add("Shape", theta))  # (D,) -> (N, D)
    return {"mean": theta, "log_variance": log_variance}
