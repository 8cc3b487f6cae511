"""Conditioners, the networks inside a coupling layer; each has its gradient and none is ever inverted.

Read `mlp` first, with `activations`; then `convolution`, whose gradient is a convolution, and `convnet`.
`tangents` carries derivatives through a network, for families that need its Jacobian.
"""

from nice_np.networks.activations import Activation, LeakyReLU, ReLU, Smooth, Softplus, Tanh

__all__ = ["Activation", "LeakyReLU", "ReLU", "Smooth", "Softplus", "Tanh"]
