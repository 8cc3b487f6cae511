"""The convolutional conditioner: convolution, folding of the pixels, order of theta, start, refusals."""

import numpy as np
import pytest
from registry import conv_coupling, convnet, shaken
from scipy import signal

from nice_np import (
    AdditiveCoupling,
    AffineCoupling,
    CheckpointError,
    ConvNet,
    Flow,
    NiceTypeError,
    NiceValueError,
    Partition,
    check_gradients,
)
from nice_np.networks.convnet import fold
from nice_np.networks.convolution import Conv3x3

BOARD = Partition.checkerboard(4, 6)

# -- the convolution -------------------------------------------------------------------------------------------------


def by_loops(x, dy, W, b):
    """The definition, number by number: y, dx, dW, db."""
    n_images, height, width, _ = x.shape
    y, dx, dW, db = np.zeros(dy.shape) + b, np.zeros(x.shape), np.zeros(W.shape), np.zeros(b.shape)
    for n, r, s, i, j, c_in, c_out in np.ndindex(n_images, height, width, *W.shape):
        row, column = r + i - 1, s + j - 1
        if 0 <= row < height and 0 <= column < width:
            y[n, r, s, c_out] += x[n, row, column, c_in] * W[i, j, c_in, c_out]
            dx[n, row, column, c_in] += dy[n, r, s, c_out] * W[i, j, c_in, c_out]
            dW[i, j, c_in, c_out] += dy[n, r, s, c_out] * x[n, row, column, c_in]
    for n, r, s in np.ndindex(n_images, height, width):
        db += dy[n, r, s]
    return y, dx, dW, db


@pytest.mark.parametrize("shape", [(1, 1, 1, 1, 1), (2, 1, 4, 3, 2), (3, 4, 5, 2, 3), (1, 2, 2, 1, 4)])
def test_convolution_and_gradients_are_the_loops(shape, rng):
    *images, c_in, c_out = shape
    conv = shaken(Conv3x3(np.zeros((3, 3, c_in, c_out)), np.zeros(c_out)), rng)
    x, dy = rng.normal(size=(*images, c_in)), rng.normal(size=(*images, c_out))
    expected = by_loops(x, dy, conv.W, conv.b)
    dx = conv.backward(dy, x)
    for found, right in zip((conv.product(x) + conv.b, dx, conv.dW, conv.db), expected, strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(conv.backward(2 * dy, x, parameters=False), 2 * dx)
    np.testing.assert_allclose(conv.dW, expected[2], rtol=1e-12, atol=1e-13)
    conv.backward(dy, x)
    np.testing.assert_allclose(conv.dW, expected[2], rtol=1e-12, atol=1e-13)


def test_convolution_is_scipys(rng):
    conv = shaken(Conv3x3(np.zeros((3, 3, 2, 3)), np.zeros(3)), rng)
    x = rng.normal(size=(2, 6, 5, 2))
    expected = np.zeros((2, 6, 5, 3)) + conv.b
    for n, c_in, c_out in np.ndindex(2, 2, 3):
        expected[n, :, :, c_out] += signal.correlate2d(x[n, :, :, c_in], conv.W[:, :, c_in, c_out], mode="same")
    np.testing.assert_allclose(conv.product(x) + conv.b, expected, rtol=1e-12, atol=1e-13)


def test_repr_of_the_layers():
    assert repr(convnet((4, 6), BOARD, np.random.default_rng(0)).layers[0]) == "Conv3x3(2, 4)"
    assert repr(ConvNet((4, 6), BOARD.idx_a, (8,), 2, rng=0)) == "ConvNet(4x6, 2-8-4, relu)"


# -- from pixels to channels -----------------------------------------------------------------------------------------


def test_fold_is_its_picture():
    order = fold(BOARD.idx_a, (4, 6))
    np.testing.assert_array_equal(BOARD.idx_a[order], [[[0, 7], [2, 9], [4, 11]], [[12, 19], [14, 21], [16, 23]]])
    shuffled = BOARD.idx_a[::-1]
    np.testing.assert_array_equal(shuffled[fold(shuffled, (4, 6))], BOARD.idx_a[order])


def test_planes_of_a_colour_image_become_channels():
    kept = Partition.checkerboard(2, 4, 3).idx_a
    np.testing.assert_array_equal(kept[fold(kept, (3, 2, 4))], [[[0, 5, 8, 13, 16, 21], [2, 7, 10, 15, 18, 23]]])
    columns = Partition.odd_even(8).idx_a  # one column of two: two of the four fields
    np.testing.assert_array_equal(columns[fold(columns, (2, 4))], [[[0, 4], [2, 6]]])


@pytest.mark.parametrize(
    "partition", [BOARD, BOARD.swapped(), Partition.odd_even(24), Partition(24, BOARD.idx_a[::-1])]
)
def test_a_pixel_sees_the_blocks_around_it(partition, rng):
    """One convolution: y_b depends on itself and on the kept pixels of its own and the eight neighbouring blocks."""
    layer = conv_coupling(AdditiveCoupling, (4, 6), partition, rng, channels=())
    x = rng.normal(size=(1, 24))
    for b in partition.idx_b:
        dz = np.zeros((1, 24))
        dz[0, b] = 1
        dx = layer.backward(dz, np.zeros(1), layer.forward(x)[2])[0]  # the row dy_b/dx of the Jacobian
        rows, columns = np.divmod(np.arange(24), 6)
        near = (abs(rows // 2 - b // 6 // 2) <= 1) & (abs(columns // 2 - b % 6 // 2) <= 1)
        near[partition.idx_b] = False
        near[b] = True
        np.testing.assert_array_equal(dx != 0, near)


@pytest.mark.parametrize("image_shape", [(4, 6), (3, 4, 6)])
def test_order_of_theta(image_shape, rng):
    """A network that copies: raw of a transformed field is the kept field of its row and block, t ten times that."""
    planes = 1 if len(image_shape) == 2 else 3
    part = Partition.checkerboard(4, 6, planes)
    net = ConvNet(image_shape, part.idx_a, (), thetas_per_feature=2, rng=rng)
    k = 2 * planes
    net.layers[0].W[...] = 0
    net.layers[0].W[1, 1, :, :k], net.layers[0].W[1, 1, :, k:] = np.eye(k), 10 * np.eye(k)
    image = rng.normal(size=(5, planes, 4, 6))
    other = image.reshape(5, planes, 4, 3, 2)[..., ::-1].reshape(5, -1)  # the other field of the block in each row
    raw, t = np.split(net.forward(image.reshape(5, -1)[:, part.idx_a])[0], 2, axis=1)
    np.testing.assert_allclose(raw, other[:, part.idx_b], rtol=1e-14)
    np.testing.assert_allclose(t, 10 * other[:, part.idx_b], rtol=1e-14)


def test_a_shift_of_the_image_shifts_theta(rng):
    part = Partition.checkerboard(16, 16)
    net = convnet((16, 16), part, rng, channels=(3,))

    def theta(image):
        values = np.full((16, 16), np.nan)
        values.ravel()[part.idx_b] = net.forward(image.reshape(1, -1)[:, part.idx_a])[0][0]
        return values

    image = rng.normal(size=(16, 16))
    there, shifted = theta(image), theta(np.roll(image, (2, -4), axis=(0, 1)))
    # Two convolutions look two blocks, four pixels, far; the roll wraps two rows and four columns.
    np.testing.assert_allclose(shifted[6:12, 4:8], there[4:10, 8:12], rtol=1e-12)
    assert not np.allclose(shifted[6:12, 4:8], there[6:12, 4:8], equal_nan=True)


def test_context_acts_on_every_pixel_alike(rng):
    net = convnet((4, 6), BOARD, rng, channels=(), context_dim=3)
    x = rng.normal(size=(2, 15))
    x[1, :12] = x[0, :12]
    theta, _ = net.forward(x)
    small = (theta[1] - theta[0])[fold(BOARD.idx_b, (4, 6))]  # (h, w, k_b)
    expected = (x[1, 12:] - x[0, 12:]) @ net.W_context
    np.testing.assert_allclose(small, np.broadcast_to(expected, small.shape), rtol=1e-11)


@pytest.mark.parametrize("context_dim", [0, 1, 3])
def test_gradients_with_context(context_dim, rng):
    net = convnet((2, 4, 2), Partition.checkerboard(4, 2, 2), rng, channels=(3, 2), context_dim=context_dim)
    check_gradients(net, rng.normal(size=(2, net.sizes[0])), rng=rng).raise_if_failed()


# -- start, dtype, files ---------------------------------------------------------------------------------------------


def test_start(rng):
    part = Partition.checkerboard(32, 32)
    net = ConvNet((32, 32), part.idx_a, (40, 40), context_dim=50, rng=0)
    first, second, last = (layer.W.std() for layer in net.layers)
    assert first == pytest.approx(np.sqrt(2 / (9 * 2 + 50)), rel=0.1)  # a context is so many more inputs
    assert net.W_context.std() == pytest.approx(np.sqrt(2 / (9 * 2 + 50)), rel=0.1)
    assert second == pytest.approx(np.sqrt(2 / 360), rel=0.02)
    assert last == pytest.approx(0.01 * np.sqrt(2 / 360), rel=0.1)
    silent = ConvNet((32, 32), part.idx_a, output_scale=0, rng=0)
    np.testing.assert_array_equal(silent.forward(rng.normal(size=(2, 512)))[0], 0)
    narrow = ConvNet((32, 32), part.idx_a, context_dim=500, init="uniform", rng=0)
    for W in (narrow.W_context, *(layer.W for layer in narrow.layers)):
        assert np.abs(W).max() <= 0.01
        assert W.std() == pytest.approx(0.01 / np.sqrt(3), rel=0.1)


def test_float32_from_the_start(rng):
    net = ConvNet((4, 6), BOARD.idx_a, context_dim=2, dtype=np.float32, rng=0)
    theta, cache = net.forward(rng.normal(size=(3, 14)).astype(np.float32))
    dx = net.backward(theta, cache)
    arrays = [theta, dx, *cache.inputs, *(a for _, *both in net.named_parameters() for a in both)]
    assert {a.dtype for a in arrays} == {np.dtype(np.float32)}


def test_backward_leaves_cache_and_argument_alone(rng):
    net = convnet((4, 6), BOARD, rng, channels=(3, 2), context_dim=1)
    theta, cache = net.forward(rng.normal(size=(3, 13)))
    kept = [h.copy() for h in (*cache.inputs, cache.context, theta)]
    net.backward(theta, cache)
    for before, after in zip(kept, (*cache.inputs, cache.context, theta), strict=True):
        np.testing.assert_array_equal(before, after)


def test_save_and_load(rng, tmp_path):
    part = Partition.checkerboard(4, 4, 3)
    layer = conv_coupling(AffineCoupling, (3, 4, 4), part, rng, channels=(5, 4), activation="softplus")
    flow = Flow("normal", layer)
    flow.save(tmp_path / "flow.npz")
    loaded = Flow.load(tmp_path / "flow.npz")
    x = rng.normal(size=(5, 48))
    np.testing.assert_array_equal(loaded.log_prob(x), flow.log_prob(x))
    assert loaded.bijector.conditioner.config() == layer.conditioner.config()


@pytest.mark.parametrize("settings", [{}, {"channels": ()}, {"context_dim": 3, "thetas_per_feature": 2}])
@pytest.mark.parametrize("image_shape", [(4, 6), (3, 4, 6)])
def test_count(image_shape, settings):
    kept = Partition.checkerboard(4, 6, 3 if len(image_shape) == 3 else 1).idx_a
    net = ConvNet(image_shape, kept, rng=0, **settings)
    orders = len(kept) + net.sizes[1]
    assert ConvNet.count_parameters(net.config()) == net.n_parameters + orders


@pytest.mark.parametrize("change", [{"image_shape": [10**6, 10**6]}, {"channels": [10**9]}, {"context_dim": 10**9}])
def test_a_file_that_asks_for_too_much_is_refused(change, rng, tmp_path):
    flow = Flow("normal", conv_coupling(AffineCoupling, (4, 6), BOARD, rng))
    config = flow.bijector.conditioner.config()
    flow.bijector.conditioner.config = lambda: {**config, **change}
    flow.save(tmp_path / "bomb.npz")
    with pytest.raises(CheckpointError, match="far more than the file holds"):
        Flow.load(tmp_path / "bomb.npz")


# -- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"image_shape": (28, 27)}, NiceValueError, r"even height and width, got \(28, 27\); pad the images"),
        ({"image_shape": (3, 4)}, NiceValueError, "even height and width"),
        ({"image_shape": (24,)}, NiceValueError, r"\(height, width\) or \(channels, height, width\)"),
        ({"image_shape": (1, 1, 4, 6)}, NiceValueError, r"\(height, width\) or \(channels, height, width\)"),
        ({"image_shape": 24}, NiceTypeError, "sequence of whole numbers"),
        ({"image_shape": (4, 8)}, NiceValueError, "same fields of every 2x2 block"),
        ({"idx_a": [0, 2, 4]}, NiceValueError, r"take a partition such as Partition.checkerboard"),
        ({"idx_a": np.arange(12)}, NiceValueError, "same fields of every 2x2 block"),
        ({"idx_a": np.arange(24)}, NiceValueError, "not all of them"),
        ({"idx_a": []}, NiceValueError, "same fields"),
        ({"idx_a": [*BOARD.idx_a, 0]}, NiceValueError, "same fields"),
        ({"idx_a": [*BOARD.idx_a, 24]}, NiceValueError, "same fields"),
        ({"idx_a": [*BOARD.idx_a[1:], -24]}, NiceValueError, "same fields"),
        ({"idx_a": BOARD.idx_a.reshape(2, 6)}, NiceValueError, "same fields"),
        ({"idx_a": "black"}, NiceTypeError, "idx_a has dtype"),
        ({"channels": 32}, NiceTypeError, "sequence of whole numbers"),
        ({"channels": (0,)}, NiceValueError, "every entry of channels must be >= 1"),
        ({"thetas_per_feature": 0}, NiceValueError, "thetas_per_feature must be >= 1"),
        ({"context_dim": -1}, NiceValueError, "context_dim must be >= 0"),
        ({"activation": "gelu"}, NiceValueError, "relu, leaky_relu, tanh, softplus"),
        ({"init": "zeros"}, NiceValueError, "spread, he, uniform"),
        ({"output_scale": np.nan}, NiceValueError, "output_scale"),
        ({"dtype": int}, NiceValueError, "float32 or float64"),
        ({"rng": 1.5}, NiceTypeError, "rng"),
    ],
)
def test_bad_arguments(arguments, error, says):
    with pytest.raises(error, match=says):
        ConvNet(**{"image_shape": (4, 6), "idx_a": BOARD.idx_a, **arguments})


def test_wrong_input():
    net = ConvNet((4, 6), BOARD.idx_a, context_dim=2, rng=0)
    with pytest.raises(NiceValueError, match="ConvNet: x has 12 features, expected 14"):
        net.forward(np.zeros((2, 12)))
    with pytest.raises(NiceValueError, match=r"the conditioner must map 12 to 24 features.*maps 14 to 12"):
        AffineCoupling(BOARD, net)


@pytest.mark.parametrize("channels", [(), (4,)])
def test_a_gradient_of_another_shape_is_refused(channels, rng):
    net = ConvNet((4, 6), BOARD.idx_a, channels, rng=0)
    _, cache = net.forward(rng.normal(size=(2, 12)))
    for shape in ((3, 12), (1, 12), (2, 13), (2, 1), (12,)):
        with pytest.raises(NiceValueError, match=r"ConvNet: expected dy of shape \(2, 12\), got"):
            net.backward(np.ones(shape), cache, parameters=False)


def test_defaults_and_types_of_the_config():
    net = ConvNet((4, 6), BOARD.idx_a, rng=0)
    assert (net.channels[1:-1], net.output_scale, type(net.layers)) == ((32, 32), 0.01, tuple)
    config = net.config()
    assert [type(config[name]) for name in ("image_shape", "channels", "idx_a")] == [list] * 3
    count = ConvNet.count_parameters(config)
    assert type(count) is int
    assert count == net.n_parameters + net._order_a.size + net._order_theta.size
