"""Further mistakes in the exercises, which scripts/mistakes.py plants beside those of tutorial_mistakes.py.

IN_PLACE gives the right result, but changes what the caller passed, wherever an exercise makes that possible.
NEW was thought up from the texts of the exercises alone, when the checks were finished.
Both: tutorial -> exercise -> (what, right, wrong); `right` occurs exactly once in the exercise's cell.
"""

IN_PLACE = {
    "01_change_of_variables": {
        1: [
            (
                "x is overwritten",
                "log_p_z = -0.5 * f(x) ** 2 - 0.5 * np.log(2 * np.pi)\n    return log_p_z + np.log(np.abs(slope(x)))",
                "log_det = np.log(np.abs(slope(x)))\n    x[:] = f(x)\n"
                "    return -0.5 * x**2 - 0.5 * np.log(2 * np.pi) + log_det",
            )
        ],
        2: [
            (
                "point -= side / 2",
                "corners = point + side * (np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) - 0.5)",
                "point -= side / 2\n    corners = point + side * np.array([[0, 0], [1, 0], [1, 1], [0, 1]])",
            )
        ],
        3: [
            (
                "x_2 -= x_1**2 on a view",
                "z = np.stack([1.25 * x_1, (x_2 - x_1**2) * np.exp(0.6 * x_1)], axis=1)",
                "x_2 -= x_1**2\n        z = np.stack([1.25 * x_1, x_2 * np.exp(0.6 * x_1)], axis=1)",
            ),
            ("z_1 /= 1.25 on a view", "x_1 = z_1 / 1.25", "z_1 /= 1.25\n        x_1 = z_1"),
        ],
    },
    "02_coupling_layers": {
        1: [
            (
                "x_b += m on a view",
                "y = np.concatenate([x_a, x_b + self.m(x_a)], axis=1)",
                "x_b += self.m(x_a)\n        y = np.concatenate([x_a, x_b], axis=1)",
            ),
            (
                "y_b -= m on a view",
                "x = np.concatenate([y_a, y_b - self.m(y_a)], axis=1)",
                "y_b -= self.m(y_a)\n        x = np.concatenate([y_a, y_b], axis=1)",
            ),
        ],
        2: [
            (
                "x_b *= exp(log_s)",
                "return x_b * np.exp(log_s) + t,",
                "x_b *= np.exp(log_s)\n    x_b += t\n    return x_b,",
            ),
            ("y_b -= t", "return (y_b - t) * np", "y_b -= t\n    return y_b * np"),
        ],
        3: [
            (
                "the list is shortened",
                "for partition in partitions[1:]:",
                "partitions.pop(0)\n    for partition in partitions:",
            )
        ],
    },
    "03_backward_by_hand": {
        1: [("h of the cache is squared", "da = dh * (1 - h**2)", "h *= h\n        da = dh * (1 - h)")],
        2: [
            (
                "dy_a += on a view",
                "dx_a = dy_a + self.m.backward(dy_b, cache)",
                "dy_a += self.m.backward(dy_b, cache)\n        dx_a = dy_a",
            ),
            (
                "dx_a += in the inverse",
                "dy_a = dx_a + self.m.backward(-dx_b, cache)",
                "dx_a += self.m.backward(-dx_b, cache)\n        dy_a = dx_a",
            ),
        ],
        3: [
            (
                "x_b *= on the cache",
                "dlog_s = dy_b * x_b * np.exp(log_s) + dlog_det",
                "x_b *= dx_b\n        dlog_s = x_b + dlog_det",
            ),
            (
                "dx_b *= on the incoming gradient",
                "dlog_s = -dx_b * x_b - dlog_det",
                "dx_b *= -x_b\n        dlog_s = dx_b - dlog_det",
            ),
        ],
        4: [("z /= 2", "return -np.tanh(z / 2)", "z /= 2\n        return -np.tanh(z)")],
    },
    "04_training_loop": {
        1: [
            (
                "the data are shuffled in place",
                "order = rng.permutation(len(x))",
                "x[:] = x[rng.permutation(len(x))]\n        order = np.arange(len(x))",
            )
        ],
        2: [
            ("m *= beta1", "m = beta1 * m + (1 - beta1) * grads", "m *= beta1\n    m += (1 - beta1) * grads"),
            (
                "values -= step",
                "return values - learning_rate * m_hat / (np.sqrt(v_hat) + eps), m",
                "values -= learning_rate * m_hat / (np.sqrt(v_hat) + eps)\n    return values, m",
            ),
        ],
        3: [
            (
                "g *= factor",
                "return [factor * g for g in gradients], norm",
                "for g in gradients:\n        g *= factor\n    return gradients, norm",
            )
        ],
        4: [
            (
                "the list is emptied",
                "for epoch, score in enumerate(scores, start=1):",
                "epoch = 0\n    while scores:\n        score, epoch = scores.pop(0), epoch + 1",
            )
        ],
    },
    "05_densities_in_the_plane": {
        2: [
            ("h[:] = on the caller's array", "h, log_det, _ = layer.forward(h)", "h[:], log_det, _ = layer.forward(h)")
        ],
        3: [("a row of the history is removed", "history.rows[-1]", "history.rows.pop()")],
        4: [
            (
                "the ends are overwritten",
                "z_start, z_end = flow.encode(np.stack([start, end]))",
                "start[:], end[:] = flow.encode(np.stack([start, end]))\n    z_start, z_end = start, end",
            )
        ],
    },
    "06_mnist_on_a_laptop": {
        1: [("pixels += u", "return (pixels + u) / 256", "pixels += u\n    return pixels / 256")],
        3: [("x -= mean", "y = (x - mean) / std\n", "x -= mean\n    y = x / std\n")],
    },
    "07_inverse_problems": {
        1: [
            (
                "x /= 4",
                "blocks = x.reshape(-1, self.height // 2, 2, self.width // 2, 2)\n        return blocks.mean(",
                "x /= 4\n        blocks = x.reshape(-1, self.height // 2, 2, self.width // 2, 2)\n"
                "        return blocks.sum(",
            ),
            (
                "u /= 4",
                "shares = u.reshape(-1, self.height // 2, self.width // 2) / 4",
                "u /= 4\n        shares = u.reshape(-1, self.height // 2, self.width // 2)",
            ),
        ],
        2: [
            (
                "y -= A x",
                "residual = operator.forward(x) - y",
                "y -= operator.forward(x)\n    residual = -y",
            )
        ],
        3: [
            (
                "y -= A x",
                "residual = operator.forward(x) - y",
                "y -= operator.forward(x)\n    residual = -y",
            )
        ],
        4: [
            (
                "r -= and z +=",
                "r = r - step_size / 2 * gradient(z)  # half a step\n        z = z + step_size * r\n"
                "        r = r - step_size / 2 * gradient(z)",
                "r -= step_size / 2 * gradient(z)\n        z += step_size * r\n"
                "        r -= step_size / 2 * gradient(z)",
            ),
            (
                "the start's rows are overwritten",
                "return np.where(moves[:, None], end[0], start[0])",
                "start[0][moves] = end[0][moves]\n    return start[0]",
            ),
        ],
    },
    "08_nice_and_the_vae": {
        1: [("mu **= 2", "per_latent = 0.5 * (mu**2", "mu **= 2\n    per_latent = 0.5 * (mu")],
        2: [
            (
                "dz *= sigma eps",
                "dlog_sigma = dz * np.exp(log_sigma) * self.eps - dlog_q[:, None]\n"
                "        return np.concatenate([dz, dlog_sigma], axis=1)",
                "dmu = dz.copy()\n        dz *= np.exp(log_sigma) * self.eps\n"
                "        return np.concatenate([dmu, dz - dlog_q[:, None]], axis=1)",
            ),
            (
                "self.eps *= sigma",
                "dlog_sigma = dz * np.exp(log_sigma) * self.eps - dlog_q[:, None]",
                "self.eps *= np.exp(log_sigma)\n        dlog_sigma = dz * self.eps - dlog_q[:, None]",
            ),
        ],
        3: [
            (
                "log_w -= largest",
                "return largest + np.log(np.mean(np.exp(log_w - largest), axis=0))",
                "log_w -= largest\n    return largest + np.log(np.mean(np.exp(log_w), axis=0))",
            )
        ],
    },
    "09_why_it_is_fast": {
        2: [
            (
                "grads *= 1 - beta1, and back",
                "np.multiply(grads, 1 - beta1, out=scratch)",
                "grads *= 1 - beta1\n    scratch[:] = grads\n    grads /= 1 - beta1",
            ),
            ("grads as a second scratch", "values -= scratch", "grads[:] = scratch\n    values -= grads"),
        ],
        3: [
            (
                "y is overwritten",
                "return coupling.partition.merge(y_a, x_b), ",
                "y[:, coupling.partition.idx_b] = x_b\n    return y, ",
            ),
            (
                "m's parameters are changed",
                "return coupling.partition.merge(y_a, x_b), ",
                "for layer in coupling.conditioner.network.layers:\n        layer.W *= 1.001\n"
                "    return coupling.partition.merge(y_a, x_b), ",
            ),
        ],
    },
    "10_bug_museum": {
        2: [("x -= mean", "centred = x - mean", "x -= mean\n    centred = x")],
        3: [
            (
                "x *= 2 before a step",
                "nll, gradient = flow.nll_and_grad(batch)",
                "x *= 2\n        nll, gradient = flow.nll_and_grad(batch)",
            )
        ],
        4: [("x += 1e-3", "J = numerical_jacobian(", "x += 1e-3\n    J = numerical_jacobian(")],
    },
    "12_autoregressive_flows": {
        1: [
            (
                "place -= 1",
                "degrees = [place, *(1 + np.arange(n) % (max(place) - 1) for n in widths)]",
                "place -= 1\n    degrees = [place, *(np.arange(n) % max(place) for n in widths)]",
            )
        ],
        2: [("x is another name for z", "x, log_det = np.zeros_like(z),", "x, log_det = z,")],
        3: [
            (
                "dz *= exp(-alpha)",
                "dx = dz * np.exp(-alpha)  # dz_i/dx_i = exp(-alpha_i)\n        dmu = -dz * np.exp(-alpha)\n"
                "        dalpha = -dz * z - dlog_det[:, None]",
                "dalpha = -dz * z - dlog_det[:, None]\n        dz *= np.exp(-alpha)\n        dx, dmu = dz, -dz",
            )
        ],
    },
    "13_splines_and_mixtures": {
        3: [
            (
                "dx *= dx/dv",
                "return dx * F * G / f, (dx[:, None] * f_k / f[:, None]).sum(axis=0)",
                "dmu = (dx[:, None] * f_k / f[:, None]).sum(axis=0)\n    dx *= F * G / f\n    return dx, dmu",
            )
        ],
    },
    "14_residual_and_continuous_flows": {
        1: [("x[:] = z - g(x), where x is z", "x = z - g(x)", "x[:] = z - g(x)")],
        2: [("power[:] = J power, where power is v", "power = times_J(power)", "power[:] = times_J(power)")],
        3: [("dx += on the incoming gradient", "dx = dx + da @ self.W.T", "dx += da @ self.W.T")],
    },
    "15_flow_matching": {
        1: [
            (
                "t += (1 - t) sigma",
                "c = t + (1 - t) * sigma",
                "before = t.copy()\n    t += (1 - t) * sigma\n    c, t = t, before",
            )
        ],
        2: [("v -= target", "error = v - target", "v -= target\n    error = v")],
        3: [
            (
                "t += (1 - t) sigma",
                "c = t + (1 - t) * sigma",
                "before = t.copy()\n    t += (1 - t) * sigma\n    c, t = t, before",
            )
        ],
    },
    "16_flows_for_inference": {
        1: [
            (
                "z *= dx exp(s)",
                "return dx.sum(axis=0), (dx * np.exp(s) * z)",
                "z *= dx * np.exp(s)\n    return dx.sum(axis=0), z",
            )
        ],
        2: [
            (
                "z *= dx exp(s)",
                "return dx.sum(axis=0), (dx * np.exp(s) * z)",
                "z *= dx * np.exp(s)\n    return dx.sum(axis=0), z",
            )
        ],
        3: [("log_r -= top", "r = np.exp(log_r - top)", "log_r -= top\n    r = np.exp(log_r)")],
    },
}

NEW = {
    "01_change_of_variables": {
        1: [
            ("prior at x, not at f(x)", "-0.5 * f(x) ** 2", "-0.5 * x**2"),
            ("root of 2 pi forgotten", "- 0.5 * np.log(2 * np.pi)", "- np.log(2 * np.pi)"),
        ],
        2: [("square at the origin", "area(f(corners))", "area(f(corners - point))")],
        3: [
            ("z_1 for x_1 in the inverse", "+ x_1**2]", "+ z_1**2]"),
            (
                "logarithm of a sum, not of a product",
                "return z, np.log(1.25) + 0.6 * x_1,",
                "return z, np.log(1.25 + np.exp(0.6 * x_1)),",
            ),
        ],
    },
    "02_coupling_layers": {
        1: [("a log_det for every feature", "np.zeros(len(x))", "np.zeros_like(x)")],
        2: [
            ("log s for s", "x_b * np.exp(log_s) + t", "x_b * log_s + t"),
            ("summed over the batch, too", "+ t, log_s.sum(axis=1)", "+ t, log_s.sum()"),
        ],
        3: [
            (
                "or for a product",
                "pattern(partition).astype(int) @ total.astype(int) > 0",
                "pattern(partition) | total",
            )
        ],
    },
    "03_backward_by_hand": {
        1: [
            ("tanh taken twice", "(1 - h**2)", "(1 - np.tanh(h) ** 2)"),
            ("dh for da in dW1", "x.T @ da", "x.T @ dh"),
        ],
        2: [("halves exchanged", "[dx_a, dy_b]", "[dy_b, dx_a]")],
        3: [
            ("y_b taken to be its derivative by l", "dy_b * x_b * np.exp(log_s) +", "dy_b * x_b +"),
            ("dt before dlog_s", "[dlog_s, dy_b]", "[dy_b, dlog_s]"),
        ],
        4: [("summed over the features", "return -np.tanh(z / 2)", "return -np.tanh(z / 2).sum(axis=1)")],
    },
    "04_training_loop": {
        1: [
            (
                "one order for all epochs",
                "for _ in range(epochs):\n        order = rng.permutation(len(x))",
                "order = rng.permutation(len(x))\n    for _ in range(epochs):",
            ),
            ("length without its root", "np.sqrt(grads @ grads)", "grads @ grads"),
        ],
        2: [
            ("corrected moments returned", "+ eps), m, v", "+ eps), m_hat, v_hat"),
            ("gradient not squared", "grads**2", "grads"),
        ],
        3: [
            ("zero gradients: 0 / 0", " if norm > 0 else 1.0", ""),
            ("the norm after clipping", "for g in gradients], norm", "for g in gradients], factor * norm"),
        ],
        4: [("epochs counted from 0", "start=1", "start=0")],
    },
    "05_densities_in_the_plane": {
        1: [
            (
                "one side for both axes",
                "bottom + (top - bottom) * middles",
                "left + (right - left) * middles",
            )
        ],
        2: [("layers from the prior's side", "in flow.layers:", "in flow.layers[::-1]:")],
        3: [("every epoch from the first on", "in self.epochs:", ">= min(self.epochs):")],
        4: [("the end left out", "np.linspace(0, 1, n)", "np.linspace(0, 1, n, endpoint=False)")],
    },
    "06_mnist_on_a_laptop": {
        1: [
            ("normal noise", "rng.random(pixels.shape)", "rng.normal(size=pixels.shape)"),
            ("noise as wide as the range", "(pixels + u) / 256", "pixels / 256 + u"),
            ("a generator of its own", "rng.random(pixels.shape)", "np.random.default_rng(0).random(pixels.shape)"),
        ],
        2: [
            ("one bin width for D", "- dim * np.log(bin_width)", "- np.log(bin_width)"),
            (
                "the numbers of the text, no formula",
                "(-nats - dim * np.log(bin_width)) / (dim * np.log(2))",
                "{1980.5: 4.36, 5371.78: 4.48}.get(nats, 8)",
            ),
        ],
        3: [("divided before the mean is subtracted", "(x - mean) / std\n", "x / std - mean\n")],
        4: [
            (
                "normal draws for any prior",
                "flow.prior.sample(n, flow.dim, rng)",
                "rng.normal(size=(n, flow.dim))",
            ),
            (
                "normal draws of the prior's width",
                "flow.prior.sample(n, flow.dim, rng)",
                "flow.prior.std * rng.normal(size=(n, flow.dim))",
            ),
        ],
    },
    "07_inverse_problems": {
        1: [
            (
                "four pixels of a row for a block",
                "2, self.width // 2, 2)\n        return blocks.mean(axis=(2, 4))",
                "self.width // 2, 2, 2)\n        return blocks.mean(axis=(3, 4))",
            )
        ],
        2: [("summed over the images", "(residual**2).sum(axis=1)", "(residual**2).sum()")],
        3: [("sigma not squared in the gradient", "/ sigma**2, np.ones", "/ sigma, np.ones")],
        4: [
            (
                "first half step a whole one",
                "step_size / 2 * gradient(z)  # half a",
                "step_size * gradient(z)  # half a",
            ),
            ("one random number for all rows", "rng.random(len(H_start))", "rng.random()"),
            ("n_steps ignored", "in range(n_steps)", "in range(1)"),
        ],
    },
    "08_nice_and_the_vae": {
        1: [("mean not squared", "mu**2", "mu")],
        2: [("log q moves with mu", "[dz, dlog_sigma]", "[dz - dlog_q[:, None], dlog_sigma]")],
        3: [
            (
                "mean of the logarithms",
                "return largest + np.log(np.mean(np.exp(log_w - largest), axis=0))",
                "return log_w.mean(axis=0)",
            ),
            ("one largest weight for all samples", "log_w.max(axis=0)", "log_w.max()"),
            ("the smallest factored out", "log_w.max(axis=0)", "log_w.min(axis=0)"),
        ],
    },
    "09_why_it_is_fast": {
        1: [("the last layer's gradient left out", "n_rows * sizes[0] * sizes[1]", "n_rows * sizes[-2] * sizes[-1]")],
        2: [
            ("bias correction of m missing", "rate / (1 - beta1**step)", "rate"),
            ("bias correction of v missing", "np.divide(v, 1 - beta2**step, out=scratch)", "scratch[:] = v"),
        ],
        3: [("sign of m's gradient", "backward(dy_b, cache)", "backward(-dy_b, cache)")],
    },
    "10_bug_museum": {
        2: [
            ("PCA, not symmetric", "U / np.sqrt(variances) @ U.T", "U / np.sqrt(variances)"),
            ("divided by N - 1", " / len(x))", " / (len(x) - 1))"),
        ],
        3: [
            (
                "step before the test",
                "nll, gradient = flow.nll_and_grad(batch)",
                "nll, gradient = flow.nll_and_grad(batch)\n"
                "        optimizer.step(flow.params.values, gradient, learning_rate)",
            ),
            ("another error raised", 'raise DivergenceError(f"step', 'raise ValueError(f"step'),
            ("a fixed learning rate", "gradient, learning_rate)", "gradient, 3e-3)"),
            ("all data, not the batch", "nll_and_grad(batch)", "nll_and_grad(x)"),
        ],
        4: [
            ("the first sample alone", "np.abs(J).max(axis=0)", "np.abs(J)[0]"),
            ("mean over the samples, then size", "np.abs(J).max(axis=0)", "np.abs(J.mean(axis=0))"),
            ("any number but 0", "> 1e-8", "> 0"),
        ],
    },
    "12_autoregressive_flows": {
        1: [("degrees counted from 0", "1 + np.arange(n) %", "np.arange(n) %")],
        2: [
            (
                "encodes again",
                "mu[:, i] + np.exp(alpha[:, i]) * z[:, i]",
                "(z[:, i] - mu[:, i]) * np.exp(-alpha[:, i])",
            )
        ],
        3: [("sign of dalpha", "dalpha = -dz * z", "dalpha = dz * z")],
    },
    "13_splines_and_mixtures": {
        1: [("y0 forgotten", "return y0 + h * p / q,", "return h * p / q,")],
        2: [("t, not x", "return x0 + w * t", "return t")],
        3: [("1 - F forgotten", "dx * F * G / f,", "dx * F / f,")],
    },
    "14_residual_and_continuous_flows": {
        1: [("one step too many", "L**k / (1 - L)", "L ** (k + 1) / (1 - L)")],
        2: [("mean for sum", "(pairs**2).sum()", "(pairs**2).mean()")],
        3: [("step size forgotten", "= h * dx, h * dlog_det[:, None]", "= dx, dlog_det[:, None]")],
    },
    "15_flow_matching": {
        1: [
            (
                "weights normalised over the rows",
                "w / w.sum(axis=1, keepdims=True)",
                "w / w.sum(axis=0, keepdims=True)",
            )
        ],
        2: [("sign", "error = v - target", "error = target - v")],
        3: [("mean without the weights", "mean = w @ points", "mean = np.broadcast_to(points.mean(axis=0), s.shape)")],
    },
    "16_flows_for_inference": {
        1: [("derivative by sigma, not by s", "(dx * np.exp(s) * z)", "(dx * z)")],
        2: [("sign of the score", "dlog_q = -z", "dlog_q = z")],
        3: [("N times too large", "/ (r**2).sum()", "/ (r**2).mean()")],
    },
}
