"""Conditioners, the networks inside a coupling layer; each has its gradient and none is ever inverted.

Read `mlp` first, with `activations`; then `convolution`, whose gradient is a convolution, and `convnet`.
"""
