"""Conditioners, the networks inside a coupling layer; each has its gradient and none is ever inverted.

Read `mlp` first, with `activations`; then `convolution`, whose gradient is a convolution, and `convnet`.
"""

from nice_np.networks.activations import Activation, LeakyReLU, ReLU, Softplus, Tanh

__all__ = ["Activation", "LeakyReLU", "ReLU", "Softplus", "Tanh"]
