"""The code: exact, as short as the likelihood says, the same on every machine, and refused where it is damaged."""

import numpy as np
import pytest
from registry import shaken

from nice_np import (
    CheckpointError,
    DiagonalScaling,
    DiscretisedLogistics,
    IntegerFlow,
    NiceTypeError,
    NiceValueError,
    compress,
    decompress,
    integer_flow,
    nice,
)
from nice_np.codec import images, rans
from nice_np.codec import portable as portable_module
from nice_np.codec.images import MAX_SYMBOLS
from nice_np.codec.portable import LEVELS, Intervals, exp, portable
from nice_np.codec.rans import TOTAL, Decoder, Encoder
from nice_np.families.discretised import log_mass, mixture_of
from nice_np.networks import convolution, mlp


def small_flow(rng, size=0.2, **settings):
    return shaken(integer_flow((4, 8), channels=3, rng=0, **settings), rng, size)


def likely(flow, n, rng):
    """Images that the flow finds likely: its samples, cut to pixels."""
    return np.clip(np.rint(flow.sample(n, rng=rng) * 256), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("lanes", [1, 3, 64])
def test_symbols_come_back_and_cost_what_they_are_worth(lanes, rng):
    p = np.array([0.9, 0.06, 0.03, 0.009, 0.001])
    edges = np.concatenate([[0], np.round(np.cumsum(p) * TOTAL)]).astype(np.int64)
    symbols = rng.choice(5, 5_000, p=p)
    encoder = Encoder(lanes)
    for part in (symbols[1801:], symbols[:1801]):
        encoder.push(edges[part], edges[part + 1] - edges[part])
    code = encoder.finish()
    decoder = Decoder(code, lanes)

    def find(point, where):
        symbol = np.searchsorted(edges, point, side="right") - 1
        return symbol, edges[symbol], edges[symbol + 1] - edges[symbol]

    found = np.concatenate([decoder.pop(1801, find), decoder.pop(len(symbols) - 1801, find)])
    decoder.finish()
    np.testing.assert_array_equal(found, symbols)
    worth = -np.log2(p[symbols]).sum()
    assert 0 <= 8 * len(code) - worth < 64 * lanes + 40


@pytest.mark.parametrize("shape", [(0, 32), (1, 32), (5, 4, 8), (25, 4, 8)])
def test_every_pixel_comes_back(shape, rng, monkeypatch):
    flow = small_flow(rng)
    monkeypatch.setattr(images, "CHUNK", 10)
    monkeypatch.setattr(rans, "PER_LANE", 100)
    pixels = rng.integers(0, 256, shape).astype(np.uint8)
    np.testing.assert_array_equal(decompress(flow, compress(flow, pixels)), pixels, strict=True)


def test_the_size_is_the_likelihood(rng):
    flow = small_flow(rng)
    pixels = likely(flow, 400, rng)
    predicted = flow.bits_per_dim(pixels) * pixels.size / 8
    assert len(compress(flow, pixels)) == pytest.approx(predicted, rel=0.02)
    assert len(compress(flow, pixels[:1])) < flow.bits_per_dim(pixels[:1]) * 32 / 8 + 100


def test_the_intervals_are_the_probabilities_and_fill_the_line(rng):
    symbols, step = np.arange(LEVELS + 1), 1 / 256
    mixture = mixture_of(rng.normal(0, 2, (1, 9, 1)).repeat(LEVELS + 1, axis=2))  # one distribution for every symbol
    intervals = Intervals.of(mixture, 1, step)
    bounds = intervals.bound(symbols)
    widths = np.diff(bounds)
    assert (widths >= 1).all()
    assert bounds[[0, -1]].tolist() == [0, TOTAL]
    log_p = log_mass((symbols[None] - LEVELS // 2) * step, mixture, step)[0][0]
    np.testing.assert_allclose(widths / TOTAL, np.exp(log_p[:-1]), rtol=1e-3, atol=1e-6)
    found = intervals.rows(slice(0, LEVELS)).find(bounds[:-1] + widths // 2)
    for part, expected in zip(found, (symbols[:-1], bounds[:-1], widths), strict=True):
        np.testing.assert_array_equal(part, expected)


def test_the_exponential_is_right():
    x = np.linspace(-700, 700, 20_001)
    np.testing.assert_allclose(exp(x), np.exp(x), rtol=1e-15)


class Shuffled(np.ndarray):
    """An array whose products add their terms in another order, as another BLAS may."""

    def __matmul__(self, other):
        return self.dot(other)

    def dot(self, other):
        order = np.random.default_rng(1).permutation(self.shape[-1])
        return np.ascontiguousarray(np.asarray(self)[:, order]) @ np.asarray(other)[order]


def test_sums_in_any_order_give_the_same_bits(rng, monkeypatch):
    flow, pixels = small_flow(rng, 0.4), rng.integers(0, 256, (6, 32)).astype(np.uint8)
    twin, double = portable(flow), flow.astype(np.float64)
    z = twin.encode(twin.from_pixels(pixels, None))

    def parameters(flow):
        return np.concatenate([np.ravel(part) for _, mixture in flow.prior.factors(z) for part in mixture])

    code, portable_before, double_before = compress(flow, pixels), parameters(twin), parameters(double)
    neighbours = convolution.neighbours
    monkeypatch.setattr(convolution, "neighbours", lambda x: neighbours(x).view(Shuffled))
    monkeypatch.setattr(mlp.Linear, "product", lambda self, x: x.view(Shuffled).dot(self.W))
    assert (parameters(double) != double_before).any()  # the order matters, but not to a portable flow
    np.testing.assert_array_equal(parameters(twin), portable_before)
    assert compress(flow, pixels) == code
    np.testing.assert_array_equal(decompress(flow, code), pixels)


def test_each_damaged_byte_is_refused(rng):
    flow = small_flow(rng)
    code = compress(flow, likely(flow, 3, rng))
    twin = portable(flow)
    for position in range(len(code)):
        damaged = bytearray(code)
        damaged[position] ^= 1 << int(rng.integers(8))
        for wrong in (bytes(damaged), code[:position], code + code[: position + 1]):
            with pytest.raises(CheckpointError, match=r"^small.nice: "):
                decompress(flow, wrong, "small.nice")
    assert twin.dim == 32


@pytest.mark.slow
def test_a_code_that_decodes_to_other_pixels_is_refused(rng, monkeypatch):
    """A machine that computes differently: here its sigmoid is off in the last digits."""
    flow = small_flow(rng, 0.4)
    code = compress(flow, rng.integers(0, 256, (40, 32)).astype(np.uint8))
    monkeypatch.setattr(portable_module, "TABLE", portable_module.TABLE * (1 - 1e-6))
    with pytest.raises(CheckpointError, match=r"on this machine|this machine computes differently"):
        decompress(flow, code)


def test_another_model_is_refused(rng):
    flow = small_flow(rng)
    code = compress(flow, likely(flow, 2, rng))
    flow.params.values[0] += 1e-3
    with pytest.raises(CheckpointError, match="another model"):
        decompress(flow, code)
    with pytest.raises(CheckpointError, match="another model"):
        decompress(small_flow(rng, couplings=1), code)


def test_an_impossible_number_of_pixels_is_refused_before_it_is_allocated(rng):
    from nice_np.codec.images import DIGEST, _digest

    flow = small_flow(rng)
    code = compress(flow, likely(flow, 2, rng))
    claim = (MAX_SYMBOLS * len(code)).to_bytes(4, "little")
    body = code[:9] + claim + code[13:-DIGEST]
    with pytest.raises(CheckpointError, match=r"more than .* bytes can hold"):
        decompress(flow, body + _digest(body))


def test_what_is_no_code_is_refused(rng):
    flow = small_flow(rng)
    with pytest.raises(NiceTypeError, match="expected an IntegerFlow"):
        compress(nice(32, rng=0), np.zeros((1, 32), np.uint8))
    with pytest.raises(NiceValueError, match=r"uint8 pixels of shape \(N, 32\).* got float64 of shape \(1, 32\)"):
        compress(flow, np.zeros((1, 32)))
    off_grid = IntegerFlow(DiscretisedLogistics(32), DiagonalScaling(32, log_scale=0.1))
    with pytest.raises(NiceValueError, match="leaves the grid of whole numbers"):
        compress(off_grid, np.full((1, 32), 200, np.uint8))
    flow.params.values[...] *= 50
    with pytest.raises(NiceValueError, match="moves a pixel by more than 2048 grey levels"):
        compress(flow, np.full((1, 32), 200, np.uint8))
    flow.params.values[...] *= 1e5
    with pytest.raises(NiceValueError, match="add up to more than 8192"):
        compress(flow, np.zeros((1, 32), np.uint8))
