"""NICE on one page is the library's NICE: same likelihoods, gradients, samples and steps; and the program runs."""

import ast
import subprocess
import sys

import numpy as np
import one_page
import pytest

from nice_np import Adam, nice

SHAPES = [(2, 3, (8, 8)), (7, 4, (5,)), (6, 5, (4, 3, 4))]  # D, couplings, hidden widths


def pair(dim, couplings, hidden, rng):
    """A model of the page and a flow of the library with the same weights, and data."""
    x = rng.normal(1.0, 2.0, (40, dim)) @ rng.normal(size=(dim, dim))
    page = one_page.NICE(x, couplings, hidden, rng)
    flow = nice(dim, couplings, hidden, dtype=np.float64, rng=0)
    standardize, *laws, scaling = flow.layers
    standardize.set(page.mean, page.std)
    page.s += rng.normal(size=dim)
    scaling.log_scale = page.s
    for law, (idx_a, idx_b, network) in zip(laws, page.couplings, strict=True):
        assert np.array_equal(law.partition.idx_a, idx_a)
        assert np.array_equal(law.partition.idx_b, idx_b)
        for layer, (W, b) in zip(law.conditioner.layers, network.layers, strict=True):
            W += rng.normal(size=W.shape) / 4  # far from the identity
            layer.W, layer.b = W, b
    return page, flow, x


def as_vector(page, flow, arrays):
    """The page's arrays, W, b, ..., s, in the order of the flow's vector."""
    vectors = np.concatenate([array.ravel() for array in arrays])
    assert vectors.shape == flow.params.values.shape
    assert np.array_equal(np.concatenate([p.ravel() for p in page.parameters()]), flow.params.values)
    return vectors


@pytest.mark.parametrize(("dim", "couplings", "hidden"), SHAPES)
def test_the_same_likelihoods_latents_and_samples(dim, couplings, hidden, rng):
    page, flow, x = pair(dim, couplings, hidden, rng)
    np.testing.assert_allclose(page.log_prob(x), flow.log_prob(x), rtol=1e-10)
    z = flow.encode(x)
    np.testing.assert_allclose(page.encode(x)[0], z, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(page.decode(z), flow.decode(z), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(page.decode(z), x, rtol=1e-10, atol=1e-10)
    samples = page.sample(20, np.random.default_rng(7))
    np.testing.assert_allclose(samples, flow.sample(20, rng=np.random.default_rng(7)), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("dim", "couplings", "hidden"), SHAPES)
def test_the_same_loss_gradients_and_step_of_adam(dim, couplings, hidden, rng):
    page, flow, x = pair(dim, couplings, hidden, rng)
    loss, grads = page.loss_and_gradients(x)
    nll, expected = flow.nll_and_grad(x)
    assert loss == pytest.approx(nll, rel=1e-12)
    np.testing.assert_allclose(as_vector(page, flow, grads), expected, rtol=1e-10, atol=1e-10)

    ours, theirs, values = (
        one_page.Adam(page.parameters(), weight_decay=0.3),
        Adam(weight_decay=0.3),
        flow.params.values,
    )
    for rate in (1e-2, 3e-3):
        _, grads = page.loss_and_gradients(x)
        ours.step(grads, rate)
        theirs.step(values, flow.nll_and_grad(x)[1], rate)
        np.testing.assert_allclose(np.concatenate([p.ravel() for p in page.parameters()]), values, rtol=0, atol=1e-10)


def test_it_imports_numpy_and_matplotlib_alone():
    nodes = list(ast.walk(ast.parse(one_page.PATH.read_text(encoding="utf-8"))))
    imported = {alias.name.split(".")[0] for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module.split(".")[0] for node in nodes if isinstance(node, ast.ImportFrom)}
    assert imported - set(sys.stdlib_module_names) == {"numpy", "matplotlib"}


def run(folder, *words):
    """What the program prints, a list of lines; its picture is in the folder."""
    command = [sys.executable, str(one_page.PATH), *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    picture = folder / lines[-1].removeprefix("samples: ")
    assert picture.stat().st_size > 2000
    return lines


@pytest.mark.slow
def test_two_moons(tmp_path):
    *epochs, held_out, _ = run(tmp_path)
    assert len(epochs) == 40
    assert -2.30 < float(held_out.split()[2]) < -2.10  # the density of the moons itself scores -2.10


@pytest.mark.slow
def test_digits(tmp_path):
    *_, held_out, _ = run(tmp_path, "digits")
    assert 1800 < float(held_out.split()[2]) < 2000
    assert 4.3 < float(held_out.split()[4]) < 4.7
