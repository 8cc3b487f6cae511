"""Can the tests fail?  Plant one error at a time in a copy of the package and see that the suite turns red.

python scripts/mutants.py            all mutants
python scripts/mutants.py affine     those whose file or description contains the word
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
TESTS = [f"tests/test_{name}.py" for name in (
    "contract", "bijectors", "scales", "mlp", "parameters", "convnet", "priors", "flow", "models", "optim", "kernels", "fused", "dequantize", "operators", "restoration", "posterior", "scores",
    "training", "parallel", "ranks", "rebuilding",
    "training_data", "conditional", "fitted", "logit", "rescale", "whitening", "units", "vae", "vae_training", "binarize", "jacobian", "mapcheck",
    "checks", "errors", "idx", "mnist", "cifar10", "svhn", "faces", "tfd", "interop", "sklearn",
)]  # fmt: skip
PATIENCE = 600  # seconds: the tests take a third of it


class Mutant(NamedTuple):
    """Replace `old` by `new` in one file; `old` must occur exactly once there."""

    what: str
    file: str
    old: str
    new: str


def several(file: str, *changes: tuple[str, str, str]) -> list[Mutant]:
    """Mutants of one file, each given as (what, old, new)."""
    return [Mutant(what, file, old, new) for what, old, new in changes]


MUTANTS = [
    *several(
        "bijectors/additive.py",
        ("wrong sign in forward", "x_b + theta", "x_b - theta"),
        ("wrong sign in inverse", "y_b - theta", "y_b + theta"),
        ("wrong sign in dt of inverse", "return dx_b, -dx_b", "return dx_b, dx_b"),
        ("gradient x 1.0005", "return dy_b, dy_b", "return dy_b, 1.0005 * dy_b"),
        ("input gradient x 1.0005", "return dy_b, dy_b", "return 1.0005 * dy_b, dy_b"),
        ("missing dt", "return dy_b, dy_b", "return dy_b, 0 * dy_b"),
        ("log-det not zero", "np.zeros(len(x_b), x_b.dtype)", "np.ones(len(x_b), x_b.dtype)"),
    ),
    *several(
        "bijectors/affine.py",
        ("missing log-det", "scaled + t, log_s.sum(axis=1)", "scaled + t, 0 * log_s.sum(axis=1)"),
        ("wrong sign of log-det", "scaled + t, log_s.sum(axis=1)", "scaled + t, -log_s.sum(axis=1)"),
        ("mean for sum in log-det", "scaled + t, log_s.sum(axis=1)", "scaled + t, log_s.mean(axis=1)"),
        ("log-det gradient missing", "dlog_s = dy_b * cache.scaled + dlog_det[:, None]", "dlog_s = dy_b * cache.scaled"),
        ("log-det gradient x 1.0005", "cache.scaled + dlog_det", "cache.scaled + 1.0005 * dlog_det"),
        ("log-det gradient missing in inverse", "cache.scaled - dlog_det[:, None]", "cache.scaled"),
        ("wrong sign in inverse", "dlog_s = -dx_b", "dlog_s = dx_b"),
        ("inverse log-det not negated", "x_b, -log_s.sum(axis=1)", "x_b, log_s.sum(axis=1)"),
        ("scale and shift swapped in the gradient", "np.concatenate([draw, dy_b]", "np.concatenate([dy_b, draw]"),
        ("shift inside the scale", "x_b = (y_b - t) * s", "x_b = y_b * s - t"),
        ("dx_b without the scale", "dx_b = dy_b * cache.s  #", "dx_b = dy_b  #"),
        ("dt of inverse without the scale", "np.concatenate([draw, -dy_b]", "np.concatenate([draw, -dx_b]"),
    ),
    *several(
        "bijectors/multiplicative.py",
        ("missing log-det", "return y_b, log_s.sum(axis=1)", "return y_b, 0 * log_s.sum(axis=1)"),
        ("log-det gradient missing", "dy_b * cache.result + dlog_det[:, None]", "dy_b * cache.result"),
        ("wrong sign in inverse", "dlog_s = -dx_b", "dlog_s = dx_b"),
        ("inverse multiplies", "s = np.exp(-log_s)", "s = np.exp(log_s)"),
    ),
    *several(
        "bijectors/coupling.py",
        ("path through m forgotten", "dx_a = dy_a + self", "dx_a = 0 * dy_a + self"),
        ("direct path forgotten in inverse", "dy_a = dx_a + self", "dy_a = 0 * dx_a + self"),
        ("halves swapped", "self.partition.merge(x_a, y_b), log_det", "self.partition.swapped().merge(y_b, x_a), log_det"),
        ("accumulate ignored", "self.conditioner.backward(dtheta, cache, accumulate)", "self.conditioner.backward(dtheta, cache)"),
        ("broadcast answers allowed", "if np.shape(theta) != expected:", "if False:"),
        ("broadcast gradients allowed", "check_shape(dx_a, (len(dtheta), width)", "check_shape(dx_a, dx_a.shape"),
    ),
    *several(
        "bijectors/partition.py",
        ("the wrong side is kept", "np.arange(0, as_int(dim", "np.arange(1, as_int(dim"),
        ("shorter half first", "(as_int(dim, \"Partition\", \"dim\", 1) + 1) // 2", "as_int(dim, \"Partition\", \"dim\", 1) // 2"),
        ("checkerboard of columns", "(rows + columns) % 2", "columns % 2"),
        ("parts swapped in merge", "put_pairs(x, *((a, b) if", "put_pairs(x, *((b, a) if"),
        ("parts of a list swapped in merge", "put_columns(x, self._a, a)", "put_columns(x, self._a, 1.0001 * a)"),
        ("features of another number are split", "(*x.shape[:1], self.dim + self.context_dim)", "x.shape"),
        ("transformed features of another shape are merged", "check_shape(x_b, (*rows, len(self.idx_b))", "check_shape(x_b, x_b.shape"),
        ("scattered sets taken for pairs", "dim % 2 == 0 and all(", "dim % 2 == 0 and any("),
    ),
    *several(
        "bijectors/scaling.py",
        ("missing log-det gradient", ".sum(axis=0) + dlog_det.sum()\n        return dz", ".sum(axis=0)\n        return dz"),
        ("mean of dlog_det", "self.dlog_scale += (dz * cache.scaled).sum(axis=0) + dlog_det.sum()", "self.dlog_scale += (dz * cache.scaled).sum(axis=0) + dlog_det.mean()"),
        ("assigned instead of added", "self.dlog_scale += (dz", "self.dlog_scale = (dz"),
        ("wrong sign in inverse", "self.dlog_scale -= (dx", "self.dlog_scale += (dx"),
        ("log-det without the sum", "np.full(len(x), self.log_scale.sum())", "np.full(len(x), self.log_scale[0])"),
    ),
    *several(
        "bijectors/standardize.py",
        ("missing log-det", "np.full(len(x), -np.log(self.std).sum())", "np.zeros(len(x), self.std.dtype)"),
        ("wrong sign of log-det", "np.full(len(x), -np.log", "np.full(len(x), np.log"),
        ("multiplied gradient", "return dz / self.std", "return dz * self.std"),
        ("small data pass for constant", "1e-12 * np.abs(mean) +", "1e-12 * (1 + np.abs(mean)) +"),
    ),
    *several(
        "bijectors/permutation.py",
        ("gradient with the wrong order", "np.take(dz, self.inverse_order", "np.take(dz, self.order"),
        ("inverse with the wrong order", "np.take(z, self.inverse_order", "np.take(z, self.order"),
        ("odd first", "np.concatenate([positions[::2], positions[1::2]])", "np.concatenate([positions[1::2], positions[::2]])"),
    ),
    *several(
        "bijectors/chain.py",
        ("the interval of a permutation", "if not isinstance(layer, Permutation)", "if True"),
        ("a layer left out", "self._back_through(lowest + 1", "self._back_through(lowest + 2"),
        ("lowest layer left out", "if lowest < len(self.layers):", "if False:"),
        ("log-det of the last layer only", "            log_det = log_det + layer_log_det  # (N,)\n            caches.append(cache)\n        return z", "            log_det = layer_log_det  # (N,)\n            caches.append(cache)\n        return z"),
        ("caches in the wrong order", "cache[first:][::-1], strict", "cache[first:], strict"),
        ("log-det gradient dropped", "layer.backward(dz, dlog_det, layer_cache", "layer.backward(dz, 0 * dlog_det, layer_cache"),
    ),
    *several(
        "bijectors/base.py",
        ("rebuild: the cache of the inverse", "return x, self.forward(x)[2]", "return x, self.inverse(z)[2]"),
        ("rebuild: forward at the output", "return x, self.forward(x)[2]", "return x, self.forward(z)[2]"),
    ),
    *several(
        "bijectors/coupling.py",
        ("rebuild: the law's cache at the output", "law_cache = self._couple(x_b, theta)[2]", "law_cache = self._couple(y_b, theta)[2]"),
        ("rebuild: the law's cache of the inverse", "law_cache = self._couple(x_b, theta)[2]", "law_cache = self._uncouple(y_b, theta)[2]"),
        ("rebuild: the conditioner asked once more", "x_b = self._uncouple(y_b, theta)[0]\n", "x_b = self._uncouple(y_b, self._theta(y_a)[0])[0]\n"),
    ),
    *several(
        "bijectors/rebuilding.py",
        ("layers in the wrong order", "in zip(self.layers[::-1],", "in zip(self.layers,"),
        ("marks in the wrong order", "trace.marks[::-1]", "trace.marks"),
        ("log-det of the last layer only", "log_det = log_det + layer_log_det", "log_det = layer_log_det"),
        ("caches are kept", "z, layer_log_det = layer.forward(z)[:2]", "z, layer_log_det, marks[-1].cache = layer.forward(z)"),
        ("nested chains are one layer", "if isinstance(bijector, Chain):", "if isinstance(bijector, Chain) and not path:"),
        ("the same input from layer to layer", "return x, layer.backward(", "return z, layer.backward("),
        ("no guard", "if not drift[row] <= tolerance:", "if False:"),
        ("NaN passes the guard", "if not drift[row] <= tolerance:", "if drift[row] > tolerance:"),
        ("the guard allows anything", "np.sqrt(np.finfo(x.dtype).eps)", "1.0"),
        ("the guard allows no rounding", "np.sqrt(np.finfo(x.dtype).eps)", "np.finfo(x.dtype).eps"),
        ("float64 with the tolerance of float32", "np.sqrt(np.finfo(x.dtype).eps)", "np.float32(3.5e-4)"),
        ("a small feature does not count", "unit = np.maximum(size, SMALL", "unit = np.maximum(size.max(), SMALL"),
        ("a large row hides the others", "np.fmax(np.fmax(size, np.median(size))", "np.fmax(size.max()"),
        ("a row near zero is refused", "np.fmax(np.fmax(size, np.median(size))", "np.fmax(size"),
        ("a row without a number names another one", "np.fmax(np.fmax(size,", "np.maximum(np.maximum(size,"),
        ("a context hides its features", "size = np.dot(np.abs(x[:, : self.dim]), self.per_unit)", "size = np.abs(x).mean(axis=1) * self.per_unit.mean()"),
    ),
    *several(
        "flow.py",
        ("recompute ignored", "Rebuilding(self.bijector, self.dim) if recompute else self.bijector", "self.bijector"),
    ),
    *several(
        "bijectors/scales.py",
        ("no clipping", "return self.log_of(np.clip(r, self.low, self.high))", "return self.log_of(r)"),
        ("gradient beyond the clip", "* inside", ""),
        ("tanh slope without the square", "1 - (log_s / self.bound) ** 2", "1 - (log_s / self.bound)"),
        ("sigmoid slope s instead of 1 - s", "return -np.expm1(log_s)", "return np.exp(log_s)"),
        ("softplus slope without division", "-np.expm1(-s) / s", "-np.expm1(-s)"),
        ("sigmoid shift forgotten", "np.exp(-(r + 2))", "np.exp(-r)"),
    ),
    *several(
        "mlp.py",
        ("transposed weight gradient x 1.0005", "self.dW += x.T @ dy", "self.dW += 1.0005 * (x.T @ dy)"),
        ("bias gradient missing", "add_rows(self.db, dy)", "add_rows(self.db, 0 * dy)"),
        ("bias gradient averaged", "add_rows(self.db, dy)", "add_rows(self.db, dy / len(dy))"),
        ("an old gradient is added to", "if self.stale:", "if False:"),
        ("a second gradient overwrites the first", "            self.stale = False\n", ""),
        ("weight gradient assigned", "self.dW += x.T", "self.dW = x.T"),
        ("activation gradient skipped", "self.activation.backward(layer.backward(dh, h, accumulate), h)", "layer.backward(dh, h, accumulate)"),
        ("ReLU after the last layer", "return self.layers[-1].forward(inputs[-1]), MLPCache(inputs)", "return np.maximum(self.layers[-1].forward(inputs[-1]), 0), MLPCache(inputs)"),
        ("He without the factor 2", "np.sqrt(2 / n_in)", "np.sqrt(1 / n_in)"),
    ),
    *several(
        "convolution.py",
        ("no zeros but the other border", "(1, 1), (1, 1), (0, 0)))", "(1, 1), (1, 1), (0, 0)), mode=\"wrap\")"),
        ("neighbours of the output taken for the input's", "near = neighbours(dy)", "near = neighbours(0 * dy)"),
        ("bias gradient averaged", "self.db += dy.sum(axis=(0, 1, 2))", "self.db += dy.mean(axis=(0, 1, 2))"),
        ("weight gradient assigned", "self.dW += turned", "self.dW = turned"),
        ("weight gradient x 1.0005", "self.dW += turned", "self.dW += 1.0005 * turned"),
        ("weight gradient not turned", "c_out)[:, ::-1, ::-1].transpose", "c_out).transpose"),
        ("weight gradient turned in rows only", "[:, ::-1, ::-1].transpose", "[:, ::-1].transpose"),
        ("weight gradient transposed", "transpose(1, 2, 0, 3)", "transpose(2, 1, 0, 3)"),
        ("input gradient with the unturned kernel", "self.W[::-1, ::-1].swapaxes", "self.W.swapaxes"),
        ("accumulate ignored", "        if accumulate:", "        if True:"),
    ),
    *several(
        "convnet.py",
        ("rows and columns of blocks exchanged", "transpose(1, 3, 0, 2, 4).reshape(height // 2, width // 2", "transpose(3, 1, 0, 2, 4).reshape(height // 2, width // 2"),
        ("positions in ascending order", "order: Indices = ascending[np.searchsorted(idx, small, sorter=ascending)]", "order: Indices = np.searchsorted(np.sort(idx), small)"),
        ("any index set folds", "small.size == 0 or not", "small.size == 0 and not"),
        ("thetas interleaved", "order_b[:, :, None] + len(idx_b) * np.arange(self.thetas_per_feature)[:, None]", "self.thetas_per_feature * order_b[:, :, None] + np.arange(self.thetas_per_feature)[:, None]"),
        ("unfolded with the order itself", "np.argsort(order, axis=None)", "order.ravel()"),
        ("activation gradient skipped", "dh = self.activation.backward(layer.backward(dh, h, accumulate), h)", "dh = layer.backward(dh, h, accumulate)"),
        ("accumulate ignored in the last layers", "layer.backward(dh, h, accumulate)", "layer.backward(dh, h)"),
        ("accumulate ignored in the first layer", "cache.inputs[0], accumulate)", "cache.inputs[0])"),
        ("context gradient averaged", "da = dh.sum(axis=(1, 2))", "da = dh.mean(axis=(1, 2))"),
        ("context weights assigned", "self.dW_context += cache", "self.dW_context = cache"),
        ("context input gradient missing", "[dx_a, da @ self.W_context.T]", "[dx_a, 0 * da @ self.W_context.T]"),
        ("the first bias left out", "self.activation.forward(y, layer.b)", "self.activation.forward(y, 0 * layer.b)"),
        ("the last bias left out", "y + self.layers[-1].b", "y"),
        ("context ignored", "y += (cache.context", "y += 0 * (cache.context"),
        ("He without the factor 2", "np.sqrt(2 / n_in)", "np.sqrt(1 / n_in)"),
        ("context not counted as inputs", "9 * c_in + (self.context_dim if k == 0 else 0)", "9 * c_in + (self.context_dim if k < 0 else 0)"),
        ("output scale on every layer", "W *= self.output_scale if k == len(channels) else 1", "W *= self.output_scale"),
        ("orders not counted", " + kept + thetas * others)", ")"),
    ),
    *several(
        "activations.py",
        ("ReLU gradient of another shape", "check_shape(dh, h.shape", "check_shape(dh, dh.shape"),
        ("tanh gradient", "dh * (1 - h * h)", "dh * (1 - h)"),
        ("leaky ReLU gradient the wrong way round", "np.where(h > 0, dh, SLOPE * dh)", "np.where(h < 0, dh, SLOPE * dh)"),
        ("leaky ReLU gradient of the plain one", "np.where(h > 0, dh, SLOPE * dh)", "np.where(h > 0, dh, 0 * dh)"),
        ("softplus gradient", "dh * -np.expm1(-h)", "dh * np.expm1(-h)"),
        ("naive softplus", "np.logaddexp(0, a, out=a)", "np.log1p(np.exp(a))"),
    ),
    *several(
        "priors.py",
        ("Gaussian constant dropped", " - z.dtype.type(0.5 * log(2 * pi) * z.shape[1])", ""),
        ("Gaussian gradient sign", "return -as_batch", "return as_batch"),
        ("logistic without the 2", "size + 2 * np.log1p", "size + np.log1p"),
        ("logistic gradient tanh(z)", "np.tanh(0.5 * as_batch", "np.tanh(as_batch"),
        ("naive logistic", "np.exp(-size)", "np.exp(size)"),
        ("mean instead of sum", "np.exp(-size))).sum(axis=1)", "np.exp(-size))).mean(axis=1)"),
        ("gradients of another shape", "check_shape(gradient, z.shape", "check_shape(gradient, gradient.shape"),
        ("samples of another shape", "check_shape(z, (n, dim)", "check_shape(z, z.shape"),
        ("samples with another width", "return np.log(u, out=u)", "return 0.55 * np.log(u, out=u)"),
        ("infinite samples", "np.fmin(np.fmax(u, step, out=u), 1 - step, out=u)", "pass"),
        ("NaN in samples", "np.fmin(np.fmax(u, step, out=u), 1 - step, out=u)", "np.clip(u, step, 1 - step, out=u)"),
    ),
    *several(
        "flow.py",
        ("log-det dropped", "return log_prior + log_det", "return log_prior + 0 * log_det"),
        ("log-det subtracted", "return log_prior + log_det", "return log_prior - log_det"),
        ("dropped 1/N", "z.dtype.type(-1 / len(x))", "z.dtype.type(-1)"),
        ("gradient accumulates over calls", "with self.params.gradients_from_zero():", "if True:"),
        ("1/N x 1.0005", "z.dtype.type(-1 / len(x))", "z.dtype.type(-1.0005 / len(x))"),
        ("log-det missing in the gradient", "np.full(len(x), weight), cache", "np.zeros(len(x), z.dtype), cache"),
        ("temperature squared", "rows[:] = temperature * checked", "rows[:] = temperature**2 * checked"),
        ("the same latents in every chunk", "checked_sample(self.prior, len(rows), self.dim, rng)", "checked_sample(self.prior, len(rows), self.dim, 0)"),
        ("log-det of the last layer only in scoring", "        log_det = log_det + layer_log_det\n    return x", "        log_det = layer_log_det\n    return x"),
        ("bits/dim in nats", "/ (dim * log(2))", "/ dim"),
        ("bin width of the wrong sign", "-log_likelihood - dim * log(bin_width)", "-log_likelihood + dim * log(bin_width)"),
        ("overflow passes silently", "            if not np.isfinite(result).all():", "            if False:"),
        ("infinite gradient passes silently", "if not all_finite(self.params.grads):", "if False:"),
        ("(N, 1) answers broadcast", "if np.shape(value) != (len(part),):", "if False:"),
        ("grad_log_prob touches parameters", "accumulate=False)[:, : self.dim]", "accumulate=True)[:, : self.dim]"),
    ),
    *several(
        "kernels.py",
        ("no bias correction", "learning_rate / (1 - beta1**step)", "learning_rate"),
        ("root not corrected", "1 / sqrt(1 - beta2**step)", "1.0"),
        ("weight decay grows", "1 - learning_rate * weight_decay", "1 + learning_rate * weight_decay"),
        ("ReLU gradient >=", "if flat_h[i] > 0", "if flat_h[i] >= 0"),
        ("ReLU gradient >= in the twin", "dh *= h > 0", "dh *= h >= 0"),
        ("every second column from 1", "x[n, 2 * j] = even[n, j]", "x[n, 2 * j] = odd[n, j]"),
        ("the last column not taken", "range(len(columns)):\n            part", "range(len(columns) - 1):\n            part"),
        ("a half left out", "        work(slice(size // 2))\n", ""),
        ("NaN passes for finite", "not abs(vector[i]) <= limit", "abs(vector[i]) > limit"),
        ("no flush of small moments", "0 if abs(mean) < tiny else mean", "mean"),
        ("bias added to the first rows only", "range(y.shape[0])", "range(min(y.shape))"),
        ("rows not summed to the last", "range(dy.shape[0])", "range(dy.shape[0] - 1)"),
        ("loop differs from twin", "- rate * m[i] / (np.sqrt(v[i]) * root + eps)", "- rate * m[i] / (np.sqrt(v[i] + eps) * root)"),
    ),
    *several(
        "parameters.py",
        ("small gradients not cleared", "            grad.fill(0)\n        for module in self._overwriting:", "            pass\n        for module in self._overwriting:"),
        ("half a gradient is left", "            self._grads.fill(np.nan)\n            raise", "            raise"),
        ("half a gradient is left by Ctrl-C", "except BaseException:", "except Exception:"),
        ("no gradient, an old one stays", "if module.stale:  # no gradient came", "if False:"),
        ("an old gradient may be added to", "self._refuse_stale(name)", "pass"),
        ("what no name announces is not trained", "if id(array) not in trained and", "if False and"),
        ("one array twice", "if other != path:", "if False:"),
        ("constants of any dtype", "if len(found) > 1:", "if False:"),
    ),
    *several(
        "fused_kernels.py",
        ("wrong sign of t", "z[n, indices[at + j]] += h[n, j]", "z[n, indices[at + j]] -= h[n, j]"),
        ("missing log-det", "log_det[n] += log_s", "log_det[n] += 0 * log_s"),
        ("log-det gradient missing", "(dy * scaled + dlog_det[n]) * slope", "dy * scaled * slope"),
        ("slope missing", "(dy * scaled + dlog_det[n]) * slope", "dy * scaled + dlog_det[n]"),
        ("dx_b without the scale", "dy * np.exp(log_s)", "dy"),
        ("second gradient written", "dW += np.dot(h.T, d)", "np.dot(h.T, d, dW)"),
        ("ReLU after the last layer", "if i < first + count - 1:", "if True:"),
        ("ReLU gradient >=", "if h[n, j] > 0", "if h[n, j] >= 0"),
        ("dx_a assigned", "dz[n, indices[at + j]] += d[n, j]", "dz[n, indices[at + j]] = d[n, j]"),
    ),
    *several(
        "fused.py",
        ("context forgotten", "*range(part.dim, coupling.dim)]", "]"),
        ("always added", "add = accumulate and not self._linears[0].stale", "add = accumulate"),
        ("subclasses fused", "type(layer) is AdditiveCoupling or", "isinstance(layer, AdditiveCoupling) or"),
        ("any scale", "and type(layer.scale) is TanhScale", "and True"),
        ("any activation", 'net.activation == ACTIVATIONS["relu"] and', ""),
        ("shared layers fused", "max(uses.values()) > 1", "max(uses.values()) > 9"),
    ),
    *several(
        "optim.py",
        ("added instead of a floor", "np.maximum(np.sqrt(self.v), self.floor)", "(np.sqrt(self.v) + self.floor)"),
        ("momentum from the start", "self.momentum if self._epoch >= self.momentum_from else 0.0", "self.momentum"),
        ("schedule never ends", "cos(pi * min(progress, 1.0))", "cos(pi * progress)"),
        ("clipping to twice the norm", "grads *= max_norm / norm", "grads *= 2 * max_norm / norm"),
        ("vectors of other steps restored", "if set(state) != set(expected):", "if False:"),
    ),
    *several(
        "dequantize.py",
        ("noise of half a bin", "x += levels", "x *= 0.5\n    x += levels"),
        ("divided by 255", "BIN_WIDTH = 1 / 256", "BIN_WIDTH = 1 / 255"),
    ),
    *several(
        "operators/base.py",
        ("composition in the wrong order", "self.after.forward(self.first.forward(x))", "self.first.forward(self.after.forward(x))"),
        ("adjoint of a composition in the wrong order", "self.first.adjoint(self.after.adjoint(u))", "self.after.adjoint(self.first.adjoint(u))"),
        ("the matrix transposed", "self.forward(np.eye(self.dim_in)).T", "self.forward(np.eye(self.dim_in))"),
        ("the input itself returned", "np.array(as_batch(x, self.dim_in, self))", "as_batch(x, self.dim_in, self)"),
    ),
    *several(
        "operators/mask.py",
        ("hidden for observed", "self.observed = np.flatnonzero(seen)", "self.observed = np.flatnonzero(~seen)"),
        ("columns for rows", '"top": rows < height // 2', '"top": columns < height // 2'),
        ("even rows", '"even": columns % 2', '"even": rows % 2'),
        ("one pixel more is missing", "order < RANDOM_PERCENT", "order <= RANDOM_PERCENT"),
        ("the middle begins a pixel late", "start = (of - length) // 2", "start = (of - length + 1) // 2"),
    ),
    *several(
        "operators/separable.py",
        ("right matrix not transposed", "rows @ planes @ columns.T", "rows @ planes @ columns"),
        ("left matrix not transposed in the adjoint", "rows.T @ planes @ columns", "rows @ planes @ columns"),
        ("a kernel that does not sum to one", "half[0] + 2 * half[1:].sum()", "half.sum()"),
        ("the kernel ends a pixel early", "int(TRUNCATE * sigma + 0.5)", "int(TRUNCATE * sigma - 0.5)"),
    ),
    *several(
        "operators/averages.py",
        ("the sum of a block", "blocks.mean(axis=(2, 4))", "blocks.sum(axis=(2, 4))"),
        ("adjoint without 1/factor^2", "u.reshape(-1, height, width) / self.factor**2", "u.reshape(-1, height, width)"),
        ("adjoint with 1/factor", "u.reshape(-1, height, width) / self.factor**2", "u.reshape(-1, height, width) / self.factor"),
        ("adjoint on every pixel of a row", ".repeat(self.factor, axis=1).repeat(self.factor, axis=2)", ".repeat(self.factor**2, axis=1)"),
        ("grey: adjoint without 1/channels", "np.tile(u / self.channels", "np.tile(u"),
    ),
    *several(
        "operators/projection.py",
        ("variance 1", "draws / sqrt(self.dim_out)", "draws"),
        ("variance 1/D", "draws / sqrt(self.dim_out)", "draws / sqrt(self.dim_in)"),
    ),
    *several(
        "restoration/objectives.py",
        ("wrong sign of the log-det", "self.flow.prior.log_prob(u) + log_det", "self.flow.prior.log_prob(u) - log_det"),
        ("wrong sign of the log-det gradient", "pullback(dfit, np.ones_like(log_det))", "pullback(dfit, -np.ones_like(log_det))"),
        ("log-det gradient in the proxy", "pullback(dfit, np.zeros_like(log_det)) + weight * u", "pullback(dfit, np.ones_like(log_det)) + weight * u"),
        ("log-det gradient in the posterior of latents", "pullback(dfit, np.zeros_like(log_det)) - checked", "pullback(dfit, np.ones_like(log_det)) - checked"),
        ("gradient without 1/sigma^2", "operator.adjoint(residual) / x.dtype.type(sigma)", "operator.adjoint(residual)"),
        ("value without the half", "return squares(residual) / 2", "return squares(residual)"),
        ("gradient of the prior dropped in image space", "dfit - dlog_prob", "dfit"),
        ("gradient of the prior dropped in latent space", "np.ones_like(log_det)) - checked_gradient(self.flow.prior, u)", "np.ones_like(log_det))"),
        ("gradient of the prior dropped in the posterior", "np.zeros_like(log_det)) - checked_gradient(self.flow.prior, u)", "np.zeros_like(log_det))"),
        ("gamma in nats without 1/sigma^2", "self.gamma / self.sigma / self.sigma", "self.gamma"),
        ("context of other images", "self.context[images]", "self.context[: len(images)]"),
        ("measurements of other images", "some.y = self.y[images]", "some.y = self.y[: len(images)]"),
    ),
    *several(
        "restoration/scores.py",
        ("PSNR of the amplitude, not of its square", "20 * (np.log10(data_range)", "10 * (np.log10(data_range)"),
        ("PSNR without the range of the data", "(np.log10(data_range) - np.log10(peak)", "(-np.log10(peak)"),
        ("PSNR of the sum of squares", "error, error) / error.shape[1]", "error, error)"),
    ),
    *several(
        "restoration/solvers.py",
        ("the ascent goes down", "(noise - u.dtype.type(drift) * gradient)", "(noise + u.dtype.type(drift) * gradient)"),
        ("the ascent without its noise", "(noise - u.dtype.type(drift) * gradient)", "(-u.dtype.type(drift) * gradient)"),
    ),
    *several(
        "restoration/doors.py",
        ("the wrong step size", "InverseTime(0.1, half=100)", "InverseTime(0.1, half=101)"),
        ("the drift of the batch not divided", '1 / max(len(y), 1) if follows == "batch"', '1.0 if follows == "batch"'),
        ("observed pixels not pasted back", "    filled[:, mask.observed] = y\n", ""),
        ("the final image not clipped", "np.clip(objective.image(u), *box)", "objective.image(u)"),
    ),
    *several(
        "restoration/arguments.py",
        ("a box without any room", "if inner[0] >= inner[1]:", "if False:"),
        ("pixels leave the interval", "inner = max(box[0], low + margin), min(box[1], high - margin)", "inner = box"),
    ),
    *several(
        "restoration/lbfgs.py",
        ("the last block forgotten", "range(0, len(u), BLOCK)", "range(0, max(len(u) - BLOCK, 1), BLOCK)"),
        ("answers go to other images", "answers[n].put((float(f)", "answers[-1 - n].put((float(f)"),
    ),
    *several(
        "restoration/hmc.py",
        ("every proposal is taken", "self.rng.random(len(z)) < probability", "self.rng.random(len(z)) < 1"),
        ("the energy without its half", "start = U + (w * w).sum(axis=1) / 2", "start = U + (w * w).sum(axis=1)"),
        ("a full step of the momentum at the start", "w = w + e / 2 * force\n                z", "w = w + e * force\n                z"),
        ("the force uphill", "return U, -(dU @ self.whitener.T)", "return U, dU @ self.whitener.T"),
        ("the force in the wrong metric", "return U, -(dU @ self.whitener.T)", "return U, -(dU @ self.whitener)"),
        ("the metric on one side only", "z = z + e * (w @ W)", "z = z + e * (w @ W.T)"),
        ("the wrong way accepted", "np.exp(-np.maximum(change, 0))", "np.exp(-np.maximum(-change, 0))"),
    ),
    *several(
        "restoration/posterior.py",
        ("information without 1/sigma^2", "len(z)) / target.sigma / target.sigma", "len(z))"),
        ("draws at the sigma of the warm-up", "self.probability += self._step(self.target)", "self.probability += self._step(self.target.at(WIDE))"),
        ("squares in the flow's own dtype", "x = self._images().astype(np.float64)", "x = self._images()"),
        ("the mean over chains only", "count, dtype = self.steps * chains", "count, dtype = chains"),
        ("the draws not clipped", "np.clip(self.target.image(self.chains.z), *self.box)", "self.target.image(self.chains.z)"),
    ),
    *several(
        "restoration/gaussian.py",
        ("the wrong sign of the residual", "measured - operator.forward(self.mean[None])", "operator.forward(self.mean[None]) - measured"),
        ("the noise's variance missing", "sigma**2 * np.eye(len(ACA))", "0 * np.eye(len(ACA))"),
        ("a singular matrix is solved", "if not (pivots > 10", "if not (pivots > 0 * 10"),
        ("a variance below 0 is drawn with", "+ slack * np.eye", "+ 100 * np.eye"),
    ),
    *several(
        "training_loop.py",
        ("best weights not kept", "            bar.close()\n        self._keep_best()\n", "            bar.close()\n"),
        ("the same order each epoch", "state.order = state.rng.permutation(len(self.data))", "state.order = np.random.default_rng(0).permutation(len(self.data))"),
        ("divergence not seen", "if nll > state.first_nll + EXPLODED * self.model.dim:", "if False:"),
        ("divergence without its name in the history", 'self.state.history.stopped = "divergence"', "pass"),
        ("last batch dropped", "if self.state.position == len(self.data) or", "if self.state.position > len(self.data) - self.plan.batch_size or"),
        ("the same noise each time", "self.data.rows(rows).drawn(self.model, state.rng)", "self.data.rows(rows).drawn(self.model, np.random.default_rng(0))"),
        ("validation with the raw weights", "values[:] = self._weights()", "pass"),
        ("an optimiser that has overflowed goes on", "if not all(np.isfinite(vector).all() for vector in self.plan.optimizer.state().values()):", "if False:"),
        ("the last weights after a save that failed", "            self._keep_best()\n            raise\n        finally:", "            raise\n        finally:"),
        ("the training data alone say what a bit is", "for part in (data, validation) if part", "for part in (data,) if part"),
    ),
    *several(
        "parallel.py",
        ("a shard weighs as much as the batch", "len(part) / len(x)", "1.0"),
        ("shards weigh alike, whatever their rows", "[share for _, _, share in parts]", "[1 / len(parts) for _ in parts]"),
        ("the first shard is not weighed", "total[block] *= shares[0]", "total[block] *= 1.0"),
        ("the end of the vector is not added", "range(piece.start, piece.stop, BLOCK)", "range(piece.start, piece.stop - BLOCK, BLOCK)"),
        ("activations stored all the same", "Rebuilt(model) if recompute else", "Rebuilt(model) if False else"),
        ("one gradient for all shards", "*(model.replica() for _ in range(n - 1))", "*(model for _ in range(n - 1))"),
        ("context of other rows", "context[rows]", "context[: len(part)]"),
        ("the row of the shard in a message", "if any(task.exception() for task in tasks):", "if False:"),
        ("BLAS gets its threads back too early", "if self.inside == 0:\n                self.limits.restore", "if True:\n                self.limits.restore"),
        ("as many BLAS threads as ever", "threadpool_limits(1, user_api=\"blas\")", "threadpool_limits(None)"),
    ),
    *several(
        "ranks.py",
        ("a rank without rows adds its last gradient", "            self.part.fill(0)\n", ""),
        ("a rank's gradient weighs as much as the batch", "np.multiply(share, grads", "np.multiply(1, grads"),
        ("a rank's loss weighs as much as the batch", "return share * nll", "return nll"),
        ("a signal for one rank only", "highest: int = max(self.comm.allgather(number))", "highest: int = self.comm.allgather(number)[self.comm.rank]"),
        ("each rank has its own clock and decisions", "shared: T = self.comm.bcast(value)", "shared: T = value"),
        ("ranks may differ", "if value != first[name]:", "if False:"),
        ("an error stays on its rank", "raise kind(f\"rank {rank}: {message}\")", "pass"),
    ),
    *several(
        "checks.py",
        ("labels pass for a row of context", 'if context_dim > 1 and raw.dtype.kind != "f":', "if False:"),
        ("any word is a flag", "and value in (0, 1)):", "or True):"),
    ),
    *several(
        "errors.py",
        ("a signal gets lost in a pool", "return type(self), (str(self), self.signum), vars(self)", "return type(self), (str(self),), vars(self)"),
    ),
    *several(
        "models.py",
        ("a given layer keeps its dtype", "layer.cast(dtype)", "pass"),
        ("a given layer is not copied", "copy.deepcopy(name)", "name"),
    ),
    *several(
        "training.py",
        ("an unfitted layer out of reach", "if isinstance(module, Fitted) and not module.fitted:", "if False:"),
        ("each rank draws its own noise", "team.from_first(lambda: TrainingState.start(generator, model.measure))", "TrainingState.start(generator, model.measure)"),
        ("lost patience is lost for ever", "patient = plan.patience is None or state.stale < plan.patience", "patient = False"),
        ("what a link points to is not looked for", "Path(os.path.realpath(checkpoint))", "checkpoint"),
    ),
    *several(
        "training_data.py",
        ("context of other samples", "None if self.context is None else self.context[rows]", "None if self.context is None else self.context[: len(self.x[rows])]"),
        ("a resumed run may change the context", "for array in (self.x, self.context) if array is not None", "for array in (self.x,)"),
    ),
    *several(
        "bijectors/partition.py",
        ("the conditioner does not see the context", "x_a[:, kept:] = x[:, self.dim :]", "x_a[:, kept:] = 0"),
        ("the context is lost", "x[:, self.dim :] = x_a[:, kept:]", "x[:, self.dim :] = 0"),
    ),
    *several(
        "flow.py",
        ("pullback of another shape", "check_shape(dx, (len(z), self.dim)", "check_shape(dx, dx.shape"),
        ("the layers' overflow blamed on the prior", "if all(by_prior) else", "if False else"),
        ("pullback adds to parameter gradients", "dlog_det, cache, accumulate=False)\n            bad", "dlog_det, cache)\n            bad"),
        ("the context is scored by the prior", "z = z[:, : self.dim]  # (N, D)", "pass"),
        ("a changed context goes unseen", "if not np.array_equal(z[:, self.dim :], part[:, self.dim :]):", "if False:"),
    ),
    *several(
        "bijectors/with_context.py",
        ("no gradient through the context", "self.bijector.backward(dlatents, dlog_det, cache, accumulate), dcontext]", "self.bijector.backward(dlatents, dlog_det, cache, accumulate), 0 * dcontext]"),
        ("no inverse gradient through the context", "np.concatenate([dz, dcontext], axis=1)", "np.concatenate([dz, 0 * dcontext], axis=1)"),
    ),
    *several(
        "training_state.py",
        ("resume with other indices", "        _compare_arrays(path, then, now)\n", ""),
        ("resume forgets the optimiser", "optimizer.restore(metadata", "type(optimizer)().restore(metadata"),
        ("resume forgets the generator", "        rng.bit_generator.state = metadata[\"rng\"]\n", ""),
        ("resume forgets the average", "state.best_values, state.average = extra.get(\"best_values\"), extra.get(\"average\")", "state.best_values = extra.get(\"best_values\")"),
    ),
    *several(
        "vae/latents.py",
        ("log-det of the posterior's flow added", "log_q_0 - log_det, FlowCache", "log_q_0 + log_det, FlowCache"),
        ("entropy gradient missing", "dlog_sigma = dz * cache.noise - dlog_q[:, None]", "dlog_sigma = dz * cache.noise"),
        ("path through sigma eps missing", "dlog_sigma = dz * cache.noise - dlog_q[:, None]", "dlog_sigma = 0 * dz - dlog_q[:, None]"),
        ("sigma missing in the path through eps", "GaussianCache(cache, raw, log_sigma, noise)", "GaussianCache(cache, raw, log_sigma, eps)"),
        ("no gradient through the context", "dlog_q, din[:, self.latent :], cache.gaussian", "dlog_q, 0 * din[:, self.latent :], cache.gaussian"),
        ("log-det gradient of the posterior's flow", "self.bijector.backward(dout, -dlog_q,", "self.bijector.backward(dout, dlog_q,"),
        ("log-det gradient of the prior's flow missing", "self.bijector.backward(du, dlog_p, bijector_cache)", "self.bijector.backward(du, 0 * dlog_p, bijector_cache)"),
        ("the prior samples by forward", "self.bijector.inverse(u.astype", "self.bijector.forward(u.astype"),
        ("a changed context goes unseen", "if not np.array_equal(z[:, self.latent :], context, equal_nan=True):", "if False:"),
        ("log sigma missing in the posterior at any z", "np.exp(-log_sigma)) - log_sigma.sum(axis=1)", "np.exp(-log_sigma))"),
        ("log-det of the inverse subtracted", "self.scale.forward(raw)) + log_det", "self.scale.forward(raw)) - log_det"),
    ),
    *several(
        "vae/likelihoods.py",
        ("softplus of the wrong sign", "softplus = np.maximum(theta, 0)", "softplus = np.maximum(-theta, 0)"),
        ("half of softplus missing", "softplus = np.maximum(theta, 0) + np.log1p", "softplus = np.maximum(theta, 0) + 0 * np.log1p"),
        ("greys pass as binary", "        if not binary.all():", "        if False:"),
        ("log sigma missing in the density", "0.5 * r**2 + log_sigma + 0.5", "0.5 * r**2 + 0.5"),
        ("log sigma's gradient without its own term", "dlog_p @ (r**2 - 1)", "dlog_p @ r**2"),
        ("bounded sigma without its slope", "self.draw += self.scale.backward(dlog_sigma, self.raw, log_sigma)", "self.draw += dlog_sigma"),
    ),
    *several(
        "vae/autoencoder.py",
        ("one noise for all k", "self._bound(x, self.draw_noise(len(x), rng))", "self._bound(x, self.draw_noise(len(x), 0))"),
        ("the noise of the first rows in every chunk", "function(*(array[start : start + CHUNK] for array in arrays))", "function(arrays[0][start : start + CHUNK], *(a[: len(arrays[0][start : start + CHUNK])] for a in arrays[1:]))"),
        ("log k forgotten", "(log_total - np.log(k))", "log_total"),
        ("the sum of draws for their mean", "(total / k)", "total"),
        ("posterior's sign in the gradient", "self.posterior.backward(dz, -weight,", "self.posterior.backward(dz, weight,"),
        ("no gradient of the prior", "+ self.prior.backward(weight, prior_cache)", "+ 0 * self.prior.backward(weight, prior_cache)"),
        ("one row of noise for all", "if len(noise) != n:", "if False:"),
        ("volume of preprocess missing", "Terms(log_p_y + log_det, log_p_z", "Terms(log_p_y, log_p_z"),
        ("latents decoded into preprocessed x", "return y if self.preprocess is None else self.preprocess.inverse(y)[0]", "return y"),
        ("the same noise in every batch", "return self.draw_noise(n, rng)", "return self.draw_noise(n, 0)"),
        ("binary pixels in bins of 1/256", "return 1.0 if self.is_binary else super().pixel_width", "return super().pixel_width"),
        ("greys for a Bernoulli decoder", "return binarize(pixels, rng, self.dtype) if self.is_binary else", "return"),
    ),
    *several(
        "binarize.py",
        ("black and white swapped", "np.float32) < greys", "np.float32) > greys"),
        ("a threshold", "as_rng(rng, \"binarize\").random(pixels.shape, np.float32)", "np.float32(0.5)"),
    ),
    *several(
        "jacobian.py",
        ("one-sided instead of central", "return (right + left) / 2", "return right"),
        ("transposed", "quotients[:, :, j] =", "quotients[:, j, :] ="),
        ("any step", '"eps", minimum=1e-8', '"eps"'),
    ),
    *several(
        "mapcheck.py",
        ("only the latents of x are tried", "between = (z + np.roll(z, 1, axis=0)) / 2", "between = z"),
        ("forward's log-det for both", "layer.inverse, z, back_log_det, atol", "layer.forward, samples, log_det, atol"),
        ("everything is a kink", "(explained | kink).all()", "kink.all() or True"),
        ("no nearer look at a kink", "STEPS = (1e-5, 1e-6, 1e-7)", "STEPS = (1e-5,)"),
        ("the identity passes", "if np.array_equal(z, samples) and rows[0].passed:", "if False:"),
        ("NaN is nearest", "np.where(np.isnan(distances), np.inf, distances).argmin", "distances.argmin"),
        ("the layer itself is cast", "copied = float64_copy(obj, owner)", "copied = obj"),
    ),
    *several(
        "datasets/idx.py",
        ("lengths read little-endian", 'struct.unpack(f">{n_axes}I", sizes)', 'struct.unpack(f"<{n_axes}I", sizes)'),
        ("bytes that follow go unseen", "if len(content) > promised:", "if False:"),
        ("any promise is believed", "if promised > MAX_BYTES:", "if False:"),
    ),
    *several(
        "datasets/cifar10.py",
        ("the label counts as a pixel", "return records[:, 1:].copy()", "return records[:, :-1].copy()"),
        ("a broken file passes for a part", "or size % RECORD or", "or"),
        ("the archive's end is not checked", "if stream.seek(MAX_ARCHIVE + 1) > MAX_ARCHIVE:", "if False:"),
    ),
    *several(
        "datasets/svhn.py",
        ("rows and columns swapped", "images.transpose(3, 2, 0, 1)", "images.transpose(3, 2, 1, 0)"),
        ("ten is no zero", "(digits % 10)", "digits"),
    ),
    *several(
        "datasets/faces.py",
        ("faces on their side", ".transpose(0, 2, 1)  # the file", ".copy()  # the file"),
        ("validation images are tested", "test=people[:, 9]", "test=people[:, 8]"),
        ("any faces pass", "if found != PIXELS_SHA256:", "if False:"),
    ),
    *several(
        "datasets/tfd.py",
        ("the unlabelled are not trained on", "masks = (roles == UNLABELLED) | (roles == TRAIN)", "masks = (roles == TRAIN)"),
        ("always the first fold", 'arrays["folds"][:, fold]', 'arrays["folds"][:, 0]'),
        ("the unlabelled keep a label", "np.where(roles == UNLABELLED, NO_EXPRESSION, expressions)", "expressions"),
    ),
    *several(
        "datasets/official.py",
        ("the first tenth is held out", "validation=train[0][kept:]", "validation=train[0][: n_train // 10]"),
        ("a part passes for the whole", "if (n_train, n_test) != whole:", "if False:"),
    ),
    *several(
        "datasets/mnist.py",
        ("validation images are trained on", "train=train_images[:-N_VALIDATION]", "train=train_images"),
        ("Fashion-MNIST passes", "if md5 != file.md5:", "if False:"),
    ),
    *several(
        "interop/folding.py",
        ("the mean's image under W forgotten", "first.b -= shift[a] @ first.W", "pass"),
        ("the answer not centred", "last.b -= shift[b]  #", "pass  #"),
        ("the answer in units of x'", "last.W *= std[b]", "last.W *= 1"),
        ("the volume of standardising lost", "scaling.log_scale -= np.log(std)", "scaling.log_scale -= 0"),
        ("a shared network is folded twice", "deepcopy(flow.prior), [deepcopy(layer) for layer in flow.layers]", "*deepcopy((flow.prior, flow.layers)),"),
        ("every coupling centres again", "    shift[b] = 0\n", ""),
    ),
    *several(
        "interop/state_dicts.py",
        ("weights not transposed", "linear.W[:], linear.b[:] = W.T, b", "linear.W[:], linear.b[:] = W.reshape(linear.W.shape), b"),
        ("the other parity first", 'if kept == "even" else', 'if kept == "odd" else'),
        ("roles are not exchanged", "        part = part.swapped()\n    if left:", "    if left:"),
        ("what is left over is ignored", "    if left:\n", "    if False:\n"),
        ("the wrong columns of a masked weight", "weights[0][:, part.idx_a]", "weights[0][:, part.idx_b]"),
    ),
    *several(
        "sklearn.py",
        ("held-out samples are trained on", "return samples[order[n_held_out:]], samples", "return samples, samples"),
        ("score is a sum", "self.score_samples(X).mean()", "self.score_samples(X).sum()"),
        ("a prior serves one fit only", "prior=deepcopy(self.prior)", "prior=self.prior"),
        ("a RandomState is not moved on", "random_state.randint(np.iinfo(np.int32).max, size=4)", "0"),
    ),
]  # fmt: skip


def exit_code(folder: Path, first: str = "") -> int:
    """That of the suite of the copy at `folder`, 1 where a test fails; files whose name contains `first` come first."""
    options = ["-q", "-x", "-p", "no:cacheprovider", "-p", "no:randomly", "-m", "not slow"]
    command = [sys.executable, "-m", "pytest", *options, *sorted(TESTS, key=lambda test: first not in test)]
    try:
        return subprocess.run(command, cwd=folder, capture_output=True, timeout=PATIENCE).returncode
    except subprocess.TimeoutExpired:  # a suite that never ends is noticed too
        return 1


def killed(mutant: Mutant, folder: Path) -> bool:
    """Whether the suite fails with the mutant planted in the copy at `folder`."""
    path = folder / "nice_np" / mutant.file
    source = path.read_text(encoding="utf-8")
    if source.count(mutant.old) != 1:
        raise SystemExit(f"{mutant.file}: {source.count(mutant.old)} places for {mutant.what!r}: {mutant.old!r}")
    path.write_text(source.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        return exit_code(folder, path.stem) == 1  # first the tests that mirror the file
    finally:
        path.write_text(source, encoding="utf-8")


def main() -> int:
    """Try the mutants; the exit code is 1 where one survives."""
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    chosen = [mutant for mutant in MUTANTS if word in f"{mutant.file} {mutant.what}"]
    if not chosen:
        raise SystemExit(f"no mutant has {word!r} in its file or description")
    survivors = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("nice_np", "tests", "setup.cfg"):
            (shutil.copytree if (ROOT / part).is_dir() else shutil.copy)(ROOT / part, folder / part)
        if exit_code(folder) != 0:
            raise SystemExit("the tests fail without any mutant; until they pass, a failure proves nothing")
        for mutant in chosen:
            dead = killed(mutant, folder)
            survivors += not dead
            print(f"{'killed  ' if dead else 'SURVIVED'} {mutant.file:<28} {mutant.what}", flush=True)
    print(f"{len(chosen) - survivors} of {len(chosen)} mutants killed")
    return int(survivors > 0)


if __name__ == "__main__":
    sys.exit(main())
