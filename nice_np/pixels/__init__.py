"""From 8-bit pixels to data that have a density, or a probability.

`dequantize` adds uniform noise, for flows; `binarize` draws 0 or 1, for the Bernoulli decoder of a VAE.
"""
