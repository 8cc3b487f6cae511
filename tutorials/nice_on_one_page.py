"""NICE on one page: all of Dinh, Krueger & Bengio (2014) in NumPy, with every gradient written by hand.

    python tutorials/nice_on_one_page.py            two moons, a few seconds
    python tutorials/nice_on_one_page.py digits     10,000 digits of MNIST, about a minute

§ is a section of the paper, arXiv 1410.8516.  N is the batch, D the number of features; x is data, z latent.  dA is
dL/dA, in the shape of A, where the loss L is the mean negative log-likelihood of a batch in nats.
"""

import sys
from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

DIGITS = Path(__file__).parents[1] / "nice_np" / "datasets" / "digits" / "digits.npz"


class Network:
    """m of a coupling (§3.2).  Any function will do; this one is h <- ReLU(h) W + b, without the ReLU at its input."""

    def __init__(self, sizes, rng, dtype):
        self.layers = []
        for n_in, n_out in pairwise(sizes):
            W, b = rng.normal(0, np.sqrt(2 / n_in), (n_in, n_out)), rng.normal(0, 0.5, n_out)  # He et al. 2015
            small = 0.01 if len(self.layers) == len(sizes) - 2 else 1  # the flow starts near the identity
            self.layers.append(((small * W).astype(dtype), (small * b).astype(dtype)))

    def forward(self, h):
        inputs = []  # of each layer
        for W, b in self.layers:
            inputs.append(np.maximum(h, 0) if inputs else h)
            h = inputs[-1] @ W + b  # (N, n_in) @ (n_in, n_out) -> (N, n_out)
        return h, inputs

    def backward(self, dh, inputs):
        grads = []  # dW, db, dW, db, ...
        for (W, _), h in zip(self.layers[::-1], inputs[::-1], strict=True):
            grads = [h.T @ dh, dh.sum(axis=0), *grads]  # out_j = sum_i h_i W_ij + b_j: dout_j/dW_ij = h_i
            dh = dh @ W.T  # dout_j/dh_i = W_ij
            if h is not inputs[0]:
                dh *= h > 0  # dReLU(u)/du = 1 where u > 0, else 0
        return dh, grads


class NICE:
    """z = exp(s) * coupling_K(... coupling_1((x - mean) / std)), with a logistic prior on z."""

    def __init__(self, x, couplings, hidden, rng):
        D, dtype = x.shape[1], x.dtype
        self.mean, self.std = x.mean(axis=0), x.std(axis=0)  # fixed: a scaling that makes training much faster
        halves = [np.arange(0, D, 2), np.arange(1, D, 2)]  # I_1 and I_2 of §5.1: even and odd features
        self.couplings = []
        for _ in range(couplings):  # after three, every output can depend on every input (§3.2)
            idx_a, idx_b = halves
            self.couplings.append((idx_a, idx_b, Network([len(idx_a), *hidden, len(idx_b)], rng, dtype)))
            halves = [idx_b, idx_a]  # what was changed is kept next
        self.s = np.full(D, np.log(np.pi / np.sqrt(3)), dtype)  # the prior's standard deviation

    def parameters(self):  # W, b, W, b, ..., s
        return [array for _, _, network in self.couplings for layer in network.layers for array in layer] + [self.s]

    def encode(self, x):
        y, caches = (x - self.mean) / self.std, []  # (N, D)
        for idx_a, idx_b, network in self.couplings:
            m, cache = network.forward(y[:, idx_a])  # (N, D/2)
            y[:, idx_b] += m  # §3.2: y_a = x_a, y_b = x_b + m(x_a).  The Jacobian is triangular, its determinant 1
            caches.append(cache)
        log_det = np.sum(self.s) - np.sum(np.log(self.std))  # §3.3: z_d = exp(s_d) y_d adds s_d
        return y * np.exp(self.s), log_det, caches

    def decode(self, z):
        y = z * np.exp(-self.s)  # (N, D)
        for idx_a, idx_b, network in self.couplings[::-1]:
            y[:, idx_b] -= network.forward(y[:, idx_a])[0]  # x_b = y_b - m(y_a), since x_a = y_a: m is never inverted
        return y * self.std + self.mean

    def log_prob(self, x):
        z, log_det, _ = self.encode(x)
        return log_logistic(z).sum(axis=1) + log_det  # (N,); §2: log p(x) = sum_d log p(z_d) + log |det dz/dx|

    def loss_and_gradients(self, x):
        z, log_det, caches = self.encode(x)
        loss = -np.mean(log_logistic(z).sum(axis=1) + log_det)
        dz = np.tanh(z / 2) / len(z)  # (N, D); d log p(z)/dz = -tanh(z / 2)
        ds = np.sum(dz * z, axis=0) - 1  # (D,); dz/ds = z, and log_det = ... + sum_d s_d enters L with a minus
        dy, grads = dz * np.exp(self.s), [ds]
        for (idx_a, idx_b, network), cache in zip(self.couplings[::-1], caches[::-1], strict=True):
            dx_a, network_grads = network.backward(dy[:, idx_b], cache)  # dm = dy_b, for y_b = x_b + m
            dy[:, idx_a] += dx_a  # x_a counts twice: as y_a and through m.  dx_b = dy_b
            grads = network_grads + grads
        return loss, grads

    def sample(self, n, rng):
        u = rng.uniform(size=(n, len(self.s)))
        return self.decode(np.log(u) - np.log1p(-u))  # z = the inverse of the logistic distribution function, at u


def log_logistic(z):
    """§3.4: log p(z) = -log(1 + e^z) - log(1 + e^-z), with no exponential that could overflow."""
    return -np.abs(z) - 2 * np.log1p(np.exp(-np.abs(z)))


class Adam:
    """Kingma & Ba 2015, with the decoupled weight decay of Loshchilov & Hutter 2019."""

    def __init__(self, parameters, weight_decay):
        self.parameters, self.weight_decay, self.t = parameters, weight_decay, 0
        self.m, self.v = ([np.zeros_like(p) for p in parameters] for _ in range(2))

    def step(self, grads, rate, beta1=0.9, beta2=0.999, eps=1e-8):
        self.t += 1
        for p, g, m, v in zip(self.parameters, grads, self.m, self.v, strict=True):
            m += (1 - beta1) * (g - m)  # means of g and g^2 over the last steps; they start at 0,
            v += (1 - beta2) * (g * g - v)
            m_hat, v_hat = m / (1 - beta1**self.t), v / (1 - beta2**self.t)  # which this corrects
            p *= 1 - rate * self.weight_decay
            p -= rate * m_hat / (np.sqrt(v_hat) + eps)


def two_moons(n, rng):
    t, side = rng.uniform(0, np.pi, (n, 1)), rng.choice([-1, 1], (n, 1))
    return side * np.hstack([2 * np.cos(t) - 1, 2 * np.sin(t) - 0.5]) + rng.normal(0, 0.15, (n, 2))


def dequantize(x, rng):
    """§5.1: integers have no density, so pixel k = 0 .. 255 becomes (k + u) / 256, u ~ U[0, 1).  Points stay."""
    return (x + rng.random(x.shape, np.float32)) / 256 if x.dtype == np.uint8 else x


def main(digits):
    """Train, print log-likelihoods, draw samples; returns the flow and its log-likelihood on held-out data."""
    rng = np.random.default_rng(0)
    if digits:
        train, test = np.load(DIGITS)["train"], np.load(DIGITS)["test"]  # (10000, 784), (2000, 784), uint8
        couplings, hidden, epochs, weight_decay = 10, [200], 30, 0.3
    else:
        train, test = two_moons(10_000, rng), two_moons(5_000, rng)
        couplings, hidden, epochs, weight_decay = 8, [32, 32], 40, 0.0
    flow = NICE(dequantize(train, rng), couplings, hidden, rng)
    adam, steps = Adam(flow.parameters(), weight_decay), epochs * len(train) // 100

    def show(name, nats):
        bits = 8 - nats / (train.shape[1] * np.log(2))  # of a pixel in [0, 1], whose bins are 2^-8 wide
        print(f"{name:20}{nats:8.2f} nats" + (f"{bits:8.3f} bits/dim" if digits else ""), flush=True)

    for epoch in range(1, epochs + 1):
        losses = []
        for rows in rng.permutation(len(train)).reshape(-1, 100):
            loss, grads = flow.loss_and_gradients(dequantize(train[rows], rng))
            adam.step(grads, rate=3e-3 * (1 + np.cos(np.pi * adam.t / steps)) / 2)  # falls to 0
            losses.append(loss)
        show(f"epoch {epoch} of {epochs}", -np.mean(losses))
    nats = flow.log_prob(dequantize(test, rng)).mean()
    show("held-out data", nats)

    if digits:
        image = flow.sample(100, rng).reshape(10, 10, 28, 28).swapaxes(1, 2).reshape(280, 280)
    else:
        image = np.histogram2d(*flow.sample(300_000, rng).T, bins=300, range=[(-4, 4)] * 2)[0].T[::-1]
    picture = f"nice_{'digits' if digits else 'moons'}.png"
    plt.imsave(picture, image, cmap="gray", vmin=0, vmax=1 if digits else None)
    print(f"samples: {picture}")
    return flow, nats


if __name__ == "__main__":
    main(digits="digits" in sys.argv[1:])
