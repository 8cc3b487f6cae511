"""What readers get wrong in the exercises of the tutorials: name -> exercise -> (what, right, wrong), three or more of each.

test_tutorials.py plants the k-th mistake in every exercise of a solved notebook and expects each check to fail.
`right` must occur exactly once in the exercise's cell.  docs/teaching.md lists what the checks say for each; the same
test compares.
"""

MISTAKES = {
    "01_change_of_variables": {
        1: [
            ("absolute value missing", "np.abs(slope(x))", "slope(x)"),
            ("factor on the wrong side", "+ np.log(np.abs(slope(x)))", "- np.log(np.abs(slope(x)))"),
            ("logarithm of the slope missing", "np.log(np.abs(slope(x)))", "np.abs(slope(x))"),
        ],
        2: [
            ("divided by a side, not by an area", "/ side**2", "/ side"),
            ("corners not in order around the square", "[1, 1], [0, 1]", "[0, 1], [1, 1]"),
            ("the point is a corner, not the middle", "[0, 1]]) - 0.5)", "[0, 1]]))"),
            ("side is not used", "corners = point", "side = 1e-3\n    corners = point"),
        ],
        3: [
            ("sign in the log-determinant", "np.log(1.25) + 0.6 * x_1, None", "np.log(1.25) - 0.6 * x_1, None"),
            ("log-determinant of forward for the inverse", "-np.log(1.25) - 0.6", "np.log(1.25) + 0.6"),
            ("inverse stretches where it should shrink", "z_2 * np.exp(-0.6", "z_2 * np.exp(0.6"),
        ],
    },
    "02_coupling_layers": {
        1: [
            ("the inverse adds", "y_b - self.m(y_a)", "y_b + self.m(y_a)"),
            ("log-determinant 1 where the determinant is 1", "np.zeros(len(y))", "np.ones(len(y))"),
            ("m is never added", "x_b + self.m(x_a)", "x_b"),
            ("as many log-determinants as features", "np.zeros(len(x))", "np.zeros(x.shape[1])"),
        ],
        2: [
            ("mean for sum", "+ t, log_s.sum(axis=1)", "+ t, log_s.mean(axis=1)"),
            ("shift subtracted after the scale", "(y_b - t) * np.exp(-log_s)", "y_b * np.exp(-log_s) - t"),
            ("log-determinant of forward for the inverse", "-log_s.sum(axis=1)", "log_s.sum(axis=1)"),
        ],
        3: [
            ("rows and columns exchanged", "partition.idx_b, partition.idx_a", "partition.idx_a, partition.idx_b"),
            (
                "layers in the wrong order",
                "pattern(partition).astype(int) @ total.astype(int)",
                "total.astype(int) @ pattern(partition).astype(int)",
            ),
            ("numbers instead of booleans", "astype(int) > 0", "astype(int)"),
        ],
    },
    "03_backward_by_hand": {
        1: [
            ("derivative of tanh missing", "dh * (1 - h**2)", "dh"),
            ("mean for sum", "self.db2[...] = dy.sum(axis=0)", "self.db2[...] = dy.mean(axis=0)"),
            ("gradient of the batch before kept", "self.dW2[...] = h.T", "self.dW2 += h.T"),
        ],
        2: [
            ("sign of m in the inverse", "self.m.backward(-dx_b, cache)", "self.m.backward(dx_b, cache)"),
            ("x_a counted once", "dy_a + self.m", "self.m"),
            ("sign of the direct path in the inverse", "dx_a + self.m", "-dx_a + self.m"),
        ],
        3: [
            ("log-determinant's part missing", "+ dlog_det[:, None]", ""),
            ("its sign in the inverse", "- dlog_det[:, None]", "+ dlog_det[:, None]"),
            ("scale missing in dt of the inverse", "[dlog_s, -dy_b]", "[dlog_s, -dx_b]"),
        ],
        4: [
            ("sign", "-np.tanh(z / 2)", "np.tanh(z / 2)"),
            ("factor 1/2 missing", "-np.tanh(z / 2)", "-np.tanh(z)"),
            ("overflow far out", "-np.tanh(z / 2)", "-1 + 2 * np.exp(-z) / (1 + np.exp(-z))"),
        ],
    },
    "04_training_loop": {
        1: [
            ("always the same order", "rng.permutation(len(x))", "np.arange(len(x))"),
            ("the last, smaller batch left out", "len(x), batch_size", "len(x) - batch_size + 1, batch_size"),
            ("a copy is trained", "flow.params.values,", "flow.params.values.copy(),"),
        ],
        2: [
            ("second moment not corrected", "v / sum_of_weights(beta2, t)", "v"),
            ("eps inside the root", "(np.sqrt(v_hat) + eps)", "np.sqrt(v_hat + eps)"),
            ("correction of the first step in every step", "m / sum_of_weights(beta1, t)", "m / (1 - beta1)"),
            ("decay rates written as numbers", "m = beta1 * m", "beta1, beta2 = 0.9, 0.999\n    m = beta1 * m"),
        ],
        3: [
            ("short gradients are lengthened", "min(1.0, max_norm / norm)", "max_norm / norm"),
            ("root missing", "np.sqrt(sum((g**2).sum() for g in gradients))", "sum((g**2).sum() for g in gradients)"),
            (
                "each array clipped by its own norm",
                "factor * g for g",
                "min(1.0, max_norm / (np.linalg.norm(g) + 1e-12)) * g for g",
            ),
        ],
        4: [
            ("one epoch too late", ">= patience", "> patience"),
            ("an equal score counts as better", "score > best", "score >= best"),
            ("the last epoch is kept, not the best", "return best_epoch, epoch", "return epoch, epoch"),
            ("the best of all, also after the end", "best_epoch, epoch\n", "1 + scores.index(max(scores)), epoch\n"),
        ],
    },
    "07_inverse_problems": {
        1: [
            ("sum for mean", "blocks.mean(", "blocks.sum("),
            ("an adjoint that undoes forward", "self.width // 2) / 4", "self.width // 2)"),
            ("shares along one axis only", ".repeat(2, axis=1).repeat(2, axis=2)", ".repeat(4, axis=2)"),
        ],
        2: [
            ("sign of the prior's gradient", "- dlog_prob", "+ dlog_prob"),
            ("noise missing in the gradient", "operator.adjoint(residual) / sigma**2", "operator.adjoint(residual)"),
            ("factor 1/2 missing", "/ (2 * sigma**2)", "/ sigma**2"),
        ],
        3: [
            ("log-determinant missing in the gradient", "np.ones(len(z))", "np.zeros(len(z))"),
            ("log-determinant of the wrong direction", "+ log_det", "- log_det"),
            ("sign of the prior's gradient", "- flow.prior.grad_log_prob(z)", "+ flow.prior.grad_log_prob(z)"),
        ],
        4: [
            ("half a step missing", "r = r - step_size / 2 * gradient(z)  # half a step", "pass"),
            ("sign of the difference", "< H_start - H_end", "< H_end - H_start"),
            ("kinetic energy missing", "potential(z) + (r**2).sum(axis=1) / 2", "potential(z)"),
        ],
    },
    "08_nice_and_the_vae": {
        1: [
            ("sigma for its square", "np.exp(2 * log_sigma)", "np.exp(log_sigma)"),
            ("sign of log sigma", "- 1) - log_sigma", "- 1) + log_sigma"),
            ("mean for sum", "per_latent.sum(axis=1)", "per_latent.mean(axis=1)"),
        ],
        2: [
            ("path through log q forgotten", " - dlog_q[:, None]", ""),
            ("its sign", "- dlog_q[:, None]", "+ dlog_q[:, None]"),
            ("derivative by sigma, not by log sigma", "dz * np.exp(log_sigma) * self.eps", "dz * self.eps"),
        ],
        3: [
            ("sum for mean", "np.mean(", "np.sum("),
            (
                "largest weight not factored out: underflow",
                "largest = log_w.max(axis=0)",
                "largest = np.zeros(log_w.shape[1])",
            ),
            ("largest weight not added back", "return largest + np.log", "return np.log"),
        ],
    },
    "09_why_it_is_fast": {
        1: [
            ("gradient of the input counted", "2 * forward - first", "2 * forward"),
            ("rows of the batch forgotten", "n_rows * n_in * n_out", "n_in * n_out"),
            ("one product per layer in the backward pass", "2 * forward - first", "forward"),
        ],
        2: [
            ("a temporary", "np.multiply(grads, grads, out=scratch)", "scratch[:] = grads * grads"),
            (
                "eps under the root",
                "np.sqrt(scratch, out=scratch)\n    scratch += eps",
                "scratch += eps\n    np.sqrt(scratch, out=scratch)",
            ),
            (
                "the gradient overwritten",
                "np.multiply(grads, grads, out=scratch)",
                "grads *= grads\n    scratch[:] = grads",
            ),
        ],
        3: [
            ("the inverse adds", "y_b - t", "y_b + t"),
            ("x_a counted once", "dy_a + coupling.conditioner", "coupling.conditioner"),
            ("m evaluated twice", "y_b - t", "y_b - coupling.conditioner.forward(y_a)[0]"),
        ],
    },
    "05_densities_in_the_plane": {
        1: [
            ("a side for an area", "* (top - bottom) / resolution**2", "/ resolution"),
            ("logarithms summed", "np.exp(log_p).sum()", "log_p.sum()"),
            (
                "corners of the cells, not middles",
                "(np.arange(resolution) + 0.5) / resolution",
                "np.arange(resolution) / resolution",
            ),
            ("resolution is not used", "middles = (np", "resolution = 200\n    middles = (np"),
        ],
        2: [
            ("every layer sees the data", "h, log_det, _ = layer.forward(h)", "_, log_det, _ = layer.forward(h)"),
            ("the last layer alone", "total = total + log_det", "total = log_det"),
            ("sign", "total = total + log_det", "total = total - log_det"),
        ],
        3: [
            ("no copy", "self.flows.append(flow.copy())", "self.flows.append(flow)"),
            ("epochs counted from 0", "if len(history.rows) in", "if len(history.rows) - 1 in"),
            ("the first row, not the last", "history.rows[-1]", "history.rows[0]"),
        ],
        4: [
            (
                "a straight line in the data plane",
                "path = flow.decode((1 - t) * z_start + t * z_end)",
                "path = (1 - t) * start + t * end",
            ),
            ("log p of the latents", "flow.log_prob(path)", "flow.prior.log_prob(flow.encode(path))"),
            ("from the end to the start", "(1 - t) * z_start + t * z_end", "t * z_start + (1 - t) * z_end"),
        ],
    },
    "10_bug_museum": {
        1: [
            ("the curve is trusted", '6: "log_det"', '6: "curve"'),
            ("right, but expensive", '6: "log_det"', '6: "integral"'),
            ("a check that does not exist", '7: "covariance"', '7: "check_whitening"'),
        ],
        2: [
            ("power -1", "np.sqrt(variances)", "variances"),
            ("not centred", "centred = x - mean", "centred = x"),
            ("not divided by N", " / len(x))", ")"),
        ],
        3: [
            (
                "skips the batch",
                'raise DivergenceError(f"step {len(losses) + 1}: loss {nll}")',
                "continue",
            ),
            ("infinity overlooked", "np.isfinite(nll) and", "not np.isnan(nll) and"),
            ("gradient not checked", " and np.isfinite(gradient).all()", ""),
        ],
        4: [
            ("negative derivatives do not count", "np.abs(J)", "J"),
            ("one dependence is enough", ".all()", ".any()"),
            ("at every sample, not at one", ".max(axis=0)", ".min(axis=0)"),
        ],
    },
    "06_mnist_on_a_laptop": {
        1: [
            ("256 levels in 255 bins", "(pixels + u) / 256", "(pixels + u) / 255"),
            ("one number for all pixels of an image", "rng.random(pixels.shape)", "rng.random(len(pixels))[:, None]"),
            ("noise around the level, not above it", "pixels + u", "pixels + u - 0.5"),
        ],
        2: [
            ("sign of the bin width", "- dim * np.log(bin_width)", "+ dim * np.log(bin_width)"),
            ("sign of the likelihood", "(-nats", "(nats"),
            ("nats, not bits", "(dim * np.log(2))", "dim"),
        ],
        3: [
            ("log-determinant missing", " - np.log(std).sum()", ""),
            ("its sign", "- np.log(std).sum()", "+ np.log(std).sum()"),
            ("mean for sum", "np.log(std).sum()", "np.log(std).mean()"),
        ],
        4: [
            (
                "the image scaled, not the latents",
                "z = temperature * flow.prior.sample(n, flow.dim, rng)\n    return flow.decode(z)",
                "return temperature * flow.decode(flow.prior.sample(n, flow.dim, rng))",
            ),
            ("root of the temperature", "= temperature *", "= np.sqrt(temperature) *"),
            ("latents returned", "return flow.decode(z)", "return z"),
        ],
    },
    "11_images_on_several_scales": {
        1: [
            (
                "rows and columns of a block exchanged",
                "transpose(0, 1, 3, 5, 2, 4)",
                "transpose(0, 1, 5, 3, 2, 4)",
            ),
            ("the block before the channel", "transpose(0, 1, 3, 5, 2, 4)", "transpose(0, 3, 5, 1, 2, 4)"),
            ("the pixels of a block together", "transpose(0, 1, 3, 5, 2, 4)", "transpose(0, 1, 2, 4, 3, 5)"),
            ("four channels counted as volume", "np.zeros(len(x))", "np.full(len(x), np.log(4))"),
        ],
        2: [
            ("sign of the shift", "b = -planes", "b = planes"),
            ("variance for the deviation", "planes.std(axis=(0, 2))", "planes.var(axis=(0, 2))"),
            ("pixels before channels", "reshape(len(x), channels, -1)", "reshape(len(x), -1, channels).swapaxes(1, 2)"),
            ("log-determinant of one pixel", "planes.shape[2] * log_s.sum()", "log_s.sum()"),
        ],
        3: [
            ("no term for the volume", "by_z + by_volume", "by_z"),
            ("inverse not transposed", "np.linalg.inv(W).T", "np.linalg.inv(W)"),
            ("first term transposed", '"ncp,ndp->cd"', '"ncp,ndp->dc"'),
            ("pixels not counted", "x.shape[2] * dlog_det.sum()", "dlog_det.sum()"),
        ],
        4: [
            ("mean of z for that of x", "return -t / s,", "return -t,"),
            ("deviation upside down", "1 / s, log_p", "s, log_p"),
            ("constant left out", "(z**2 + np.log(2 * np.pi))", "z**2"),
            ("slope missing", " + np.log(s)", ""),
        ],
    },
    "12_autoregressive_flows": {
        1: [
            ("an output sees its own feature", "place > degrees", "place >= degrees"),
            (
                "masks turned by 90 degrees",
                "[*hidden, place > degrees[-1][:, None]]",
                "[M.T for M in [*hidden, place > degrees[-1][:, None]]]",
            ),
            ("a hidden unit does not see its own degree", "above >= below", "above > below"),
            ("degrees from 0", "1 + np.arange(n) % (max(place) - 1)", "np.arange(n) % max(place)"),
        ],
        2: [
            ("the order is ignored", "for i in order", "for i in range(len(order))"),
            ("log-determinant of the other direction", "log_det += alpha", "log_det -= alpha"),
            ("the network reads z", "network(x)", "network(z)"),
        ],
        3: [
            ("sign of the log-determinant", "- dlog_det[:, None]", "+ dlog_det[:, None]"),
            ("x counted once", "return dx + self.m", "return self.m"),
            ("sign of mu", "dmu = -dz", "dmu = dz"),
        ],
    },
    "14_residual_and_continuous_flows": {
        1: [
            ("sign of g", "x = z - g(x)", "x = z + g(x)"),
            ("z replaced in every step", "x = z - g(x)", "x = x - g(x)"),
            ("only the next step counted, not the later ones", "L**k / (1 - L) *", "L**k *"),
        ],
        2: [
            ("all terms positive", "(-1) ** (k + 1) / k", "1 / k"),
            ("1/k missing", "(-1) ** (k + 1) / k", "(-1) ** (k + 1)"),
            ("one of the two entries of a pair", "(A + A.T)[", "A["),
        ],
        3: [
            ("s acts on the velocity alone", " - 2 * s * c * dtrace", ""),
            ("W acts through x W alone", " + self.U.T * dc", ""),
            ("the first step first", "cache[::-1]", "cache"),
            ("assigned, not added", "self.db += da", "self.db = da"),
        ],
    },
    "15_flow_matching": {
        1: [
            ("latent of the line not divided by its width", " / c[:, None]", ""),
            ("all points equally probable", "log_w - log_w.max(axis=1, keepdims=True)", "0 * log_w"),
            ("weights underflow", "log_w - log_w.max(axis=1, keepdims=True)", "log_w"),
            ("u = z - x", "u = (1 - sigma) * z", "u = z"),
            ("c = t", "c = t + (1 - t) * sigma", "c = t"),
        ],
        2: [
            ("mean over coordinates, too", "(error**2).sum(axis=1).mean()", "(error**2).mean()"),
            ("factor 2 missing", "2 / len(v)", "1 / len(v)"),
            ("1/N missing", "2 / len(v)", "2"),
        ],
        3: [
            ("weights taken for constants", " - (1 - t) * spread / c**3", ""),
            ("one coordinate for D", "s.shape[1] * (1 - sigma)", "(1 - sigma)"),
            ("sign of the spread", "- (1 - t) * spread", "+ (1 - t) * spread"),
        ],
    },
    "16_flows_for_inference": {
        1: [
            ("log-determinant missing", "* z).sum(axis=0) - 1", "* z).sum(axis=0)"),
            ("sign", "-density(x)[1]", "density(x)[1]"),
            ("sum for mean", " / len(z)", ""),
        ],
        2: [
            ("density of q left out", "(density(x)[1] - dlog_q)", "density(x)[1]"),
            ("log-determinant kept", "* z).sum(axis=0)", "* z).sum(axis=0) - 1"),
            ("derivative by z, not by x", "-z * np.exp(-s)", "-z"),
            (
                "the full gradient",
                "(density(x)[1] - dlog_q) / len(z)\n    return dx.sum(axis=0), (dx * np.exp(s) * z).sum(axis=0)",
                "density(x)[1] / len(z)\n    return dx.sum(axis=0), (dx * np.exp(s) * z).sum(axis=0) - 1",
            ),
        ],
        3: [
            ("largest ratio not factored out", "top = log_r.max()", "top = 0.0"),
            ("sum for mean", "np.log(r.mean())", "np.log(r.sum())"),
            ("1/N forgotten in the error", " - 1 / len(r)", ""),
            ("mean of log r", "top + np.log(r.mean())", "log_r.mean()"),
            ("error of Z", "np.sqrt(max(1 / ess - 1 / len(r), 0.0))", "np.exp(log_r).std() / len(r) ** 0.5"),
        ],
    },
    "13_splines_and_mixtures": {
        1: [
            ("derivative by t, not by x", "(s / q) ** 2 * r", "(s / q) ** 2 * r * w"),
            (
                "d0 and d1 exchanged",
                "d1 * t**2 + 2 * s * u + d0 * (1 - t) ** 2",
                "d0 * t**2 + 2 * s * u + d1 * (1 - t) ** 2",
            ),
            ("q not squared", "(s / q) ** 2 * r", "s**2 / q * r"),
            ("h forgotten", "y0 + h * p / q", "y0 + p / q"),
        ],
        2: [
            ("the other root", "(b + root)", "(b - root)"),
            ("the textbook form of the root", "2 * s * v / (b + root)", "(root - b) / (2 * (s - b))"),
            ("sign of v (d0 + d1 - 2 s)", "d0 - v *", "d0 + v *"),
            ("s for 2 s", "d1 - 2 * s)", "d1 - s)"),
            ("x0 forgotten", "x0 + w * t", "w * t"),
        ],
        3: [
            ("the slope, not one over it", "dx * F * G / f,", "dx * f / (F * G),"),
            ("sign of dmu", "(dx[:, None] * f_k", "(-dx[:, None] * f_k"),
            ("mean for sum", ".sum(axis=0)", ".mean(axis=0)"),
            ("dL/dF for dL/dv", "dx * F * G / f,", "dx / f,"),
            ("not divided by f", "f_k / f[:, None]", "f_k"),
        ],
    },
}
