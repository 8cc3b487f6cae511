"""The experiment of the NICE authors' code, written down once more from its description, in plain float64 NumPy.

It shares no code with the package: networks are lists of (W, b), and learning rate, momentum and floor stand in the
loop.  With the same first weights and the same random numbers both must reach the same weights.
"""

import numpy as np

FIRST_RATE, LAST_RATE, DECAY = 1e-3, 1e-4, 1.0005


def train(pixels, networks, log_scales, epochs, batch_size, rng):
    """Change networks and log_scales in place; returns the training log-likelihood of every epoch."""
    parameters = [array for network in networks for W, b in network for array in (W, b)] + [log_scales]
    squares = [np.zeros_like(array) for array in parameters]
    momenta = [np.zeros_like(array) for array in parameters]
    history, t = [], 0
    for epoch in range(1, epochs + 1):
        mu = 0.0 if epoch <= 5 else 0.5
        order, total = rng.permutation(len(pixels)), 0.0
        for start in range(0, len(pixels), batch_size):
            batch = pixels[order[start : start + batch_size]]
            x = (255 * (batch / 255) + rng.random(batch.shape)) / 256
            nats, grads = log_likelihood_and_gradients(x, networks, log_scales)
            total += nats * len(batch)
            rate = max(FIRST_RATE / DECAY**t, LAST_RATE)
            for value, grad, v, m in zip(parameters, grads, squares, momenta, strict=True):
                v[...] = 0.95 * v + 0.05 * grad**2
                m[...] = mu * m + rate * grad / np.maximum(np.sqrt(v), 1e-2)  # upwards: a log-likelihood
                value += m
            t += 1
        history.append(total / len(pixels))
    return history


def log_likelihood_and_gradients(x, networks, log_scales):
    """The mean over the batch, and its gradients in the order W, b, W, b, ..., log_scales."""
    n, dim = x.shape
    half = dim // 2
    y = np.concatenate([x[:, 0::2], x[:, 1::2]], axis=1)
    traces = []
    for network in networks:
        m, trace = run(network, y[:, :half])
        traces.append(trace)
        y = np.concatenate([y[:, :half], y[:, half:] + m], axis=1)[:, ::-1]
    z = y * np.exp(log_scales)
    log_prior = -np.logaddexp(0, z) - np.logaddexp(0, -z)
    nats = float(np.mean(np.sum(log_prior, axis=1) + np.sum(log_scales)))

    dz = -np.tanh(z / 2) / n
    grads = [np.sum(dz * z, axis=0) + 1]  # of the log-scales, through z and through their own sum
    dy = dz * np.exp(log_scales)
    for network, trace in zip(networks[::-1], traces[::-1], strict=True):
        dy = dy[:, ::-1].copy()
        network_grads, dx_a = run_back(network, trace, dy[:, half:])
        dy[:, :half] += dx_a
        grads = network_grads + grads
    return nats, grads


def run(network, h):
    """What the network gives, and the input of each of its layers."""
    inputs = []
    for number, (W, b) in enumerate(network):
        inputs.append(h)
        h = h @ W + b
        if number < len(network) - 1:
            h = np.where(h > 0, h, 0)
    return h, inputs


def run_back(network, inputs, dh):
    """Gradients [W, b, W, b, ...] and that of the network's input."""
    grads = []
    for number in range(len(network))[::-1]:
        W, _ = network[number]
        grads = [np.einsum("ni,no->io", inputs[number], dh, optimize=True), dh.sum(axis=0), *grads]
        dh = dh @ W.T
        if number > 0:
            dh = np.where(inputs[number] > 0, dh, 0)  # what entered this layer came out of a ReLU
    return grads, dh
