"""A flow read back from the JavaScript that `nice_np.interop.to_web` writes, with float16 weights in float64."""

import base64
import json
import re

import numpy as np

import nice_np as nn
from nice_np.bijectors import other_scales, scales
from nice_np.networks import activations


def parts_of(text):
    """about, flow and numbers of the file."""
    about, tree = (
        json.loads(re.search(rf"^{name}: (.*?),\n(?:flow|numbers)", text, re.M | re.S)[1]) for name in ("about", "flow")
    )
    return about, tree, base64.b64decode(re.search("numbers: `([^`]*)`", text)[1])


def read_back(text):
    """The flow of the file; nothing but the file is used."""
    _, tree, numbers = parts_of(text)
    return Reader(numbers).build(tree, tree["dim"])


class Reader:
    def __init__(self, numbers):
        self.numbers = numbers

    def array(self, given):
        (kind, dtype) = ("int16", "<i2") if "int16" in given else ("float16", "<f2")
        size = int(np.prod(given["shape"]))
        values = np.frombuffer(self.numbers, dtype, size, 2 * given[kind]).reshape(given["shape"])
        return values.astype(int) if kind == "int16" else values.astype(float) * given["scale"]

    def build(self, tree, dim):
        return getattr(self, tree["class"], self.other)(tree, dim)

    def filled(self, part, tree):
        for name, *_ in part.named_parameters():
            getattr(part, name)[...] = self.array(tree[name])
        return part

    def other(self, tree, dim):
        """A prior, a scale or an activation: its settings are numbers."""
        cls = next(
            vars(room)[tree["class"]] for room in (nn, scales, other_scales, activations) if tree["class"] in vars(room)
        )
        return cls(**{name: tree[name] for name in ("bound", "floor", "slope") if name in tree})

    def Flow(self, tree, dim):
        return nn.Flow(self.build(tree["prior"], dim), self.build(tree["bijector"], dim))

    def Chain(self, tree, dim):
        return nn.Chain([self.build(layer, dim) for layer in tree["layers"]])

    def Partition(self, tree, dim):
        idx_a, idx_b = self.array(tree["idx_a"]), self.array(tree["idx_b"])
        part = nn.Partition(dim, idx_a)
        np.testing.assert_array_equal(part.idx_b, idx_b)
        return part

    def OnPart(self, tree, dim):
        part = self.Partition(tree["partition"], dim)
        return nn.OnPart(self.build(tree["bijector"], len(part.idx_a)), part)

    def coupling(self, tree, dim):
        scale = [self.build(tree["scale"], dim)] if "scale" in tree else []
        law, part = getattr(nn, tree["class"]), self.Partition(tree["partition"], dim)
        return law(part, self.build(tree["conditioner"], len(part.idx_a)), *scale)

    AdditiveCoupling = MultiplicativeCoupling = AffineCoupling = coupling

    def network(self, net, tree):
        for layer, weights in zip(net.layers, tree["layers"], strict=True):
            assert type(layer).__name__ == weights["class"]
            layer.W[...], layer.b[...] = self.array(weights["W"]), self.array(weights["b"])
        return net

    def MLP(self, tree, dim):
        sizes = [dim, *(layer["b"]["shape"][0] for layer in tree["layers"])]
        return self.network(nn.MLP(sizes, self.build(tree["activation"], dim)), tree)

    def GlowNet(self, tree, dim):
        channels = [dim // np.prod(tree["pixels"]), *(layer["b"]["shape"][0] for layer in tree["layers"])]
        return self.network(nn.GlowNet(tree["pixels"], channels, activation=self.build(tree["activation"], dim)), tree)

    def Permutation(self, tree, dim):
        return nn.Permutation(self.array(tree["order"]))

    def Logit(self, tree, dim):
        return nn.Logit(dim, tree["margin"] / tree["width"])

    def Equalize(self, tree, dim):
        return nn.Equalize(dim, self.array(tree["shares"]))

    def Rescale(self, tree, dim):
        return nn.Rescale(dim, tree["low"], tree["low"] + tree["width"])

    def Standardize(self, tree, dim):
        return nn.Standardize(self.array(tree["mean"]), self.array(tree["std"]))

    def DiagonalScaling(self, tree, dim):
        return self.filled(nn.DiagonalScaling(dim), tree)

    def ActNorm(self, tree, dim):
        return self.filled(nn.ActNorm(dim, (dim // tree["pixels"], tree["pixels"], 1)), tree)

    def LULinear(self, tree, dim):
        order, signs = self.array(tree["order"]), self.array(tree["signs"])
        shape = (len(order), tree["pixels"], 1)
        return self.filled(nn.LULinear.from_config(order, signs, dim=dim, image_shape=shape), tree)
