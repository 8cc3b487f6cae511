"""Linear operators: every adjoint, the ten masks of the NICE paper, what each operator does, and refused arguments."""

import numpy as np
import pytest
from scipy import ndimage

from nice_np import (
    Blur,
    Composition,
    Downsample,
    GreyOut,
    Identity,
    Mask,
    NiceTypeError,
    NiceValueError,
    Operator,
    RandomProjection,
    Separable,
    named_mask,
)

NAMES = ("top", "bottom", "left", "right", "even", "odd", "center-rows", "center-columns", "random75", "random90")


def separable(image_shape, out_shape, rng):
    return Separable(image_shape, *(rng.normal(size=sides) for sides in zip(out_shape, image_shape[-2:], strict=True)))


OPERATORS = {
    "Identity": lambda rng: Identity(7),
    "Mask": lambda rng: Mask([True, False, False, True, True]),
    "Mask-all": lambda rng: Mask(np.ones(4, bool)),
    "Mask-image": lambda rng: Mask(named_mask("center", 6, 5)),
    "Mask-colour": lambda rng: Mask(np.broadcast_to(named_mask("random75", 4, 6, rng), (3, 4, 6))),
    "Separable": lambda rng: separable((4, 6), (3, 5), rng),
    "Separable-square": lambda rng: separable((5, 5), (5, 5), rng),
    "Separable-colour": lambda rng: separable((3, 4, 6), (5, 2), rng),
    "Blur": lambda rng: Blur((7, 5), sigma=0.9),
    "Blur-colour": lambda rng: Blur((3, 4, 6), sigma=1.4),
    "Blur-line": lambda rng: Blur((1, 6), sigma=0.5),
    "Downsample": lambda rng: Downsample((4, 6), factor=2),
    "Downsample-colour": lambda rng: Downsample((3, 6, 9), factor=3),
    "Downsample-1": lambda rng: Downsample((2, 3), factor=1),
    "GreyOut": lambda rng: GreyOut(3, 4, 5),
    "GreyOut-one": lambda rng: GreyOut(1, 2, 3),
    "RandomProjection": lambda rng: RandomProjection(12, 5, rng),
    "RandomProjection-tall": lambda rng: RandomProjection(3, 8, rng),
    "Composition": lambda rng: Downsample((4, 6), 2) @ separable((4, 6), (4, 6), rng),
    "Composition-three": lambda rng: RandomProjection(6, 4, rng) @ Downsample((4, 6), 2) @ GreyOut(3, 4, 6),
    "Composition-right": lambda rng: RandomProjection(24, 4, rng) @ (separable((4, 6), (4, 6), rng) @ GreyOut(2, 4, 6)),
}


@pytest.fixture(params=OPERATORS)
def operator(request, rng):
    return OPERATORS[request.param](rng)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-5)])
def test_the_adjoint_is_the_adjoint(operator, dtype, tolerance, rng):
    for _ in range(5):
        x = rng.normal(size=(3, operator.dim_in)).astype(dtype)
        u = rng.normal(size=(3, operator.dim_out)).astype(dtype)
        y, back = operator.forward(x), operator.adjoint(u)
        for row in range(3):  # <A x, u> = <x, A^T u>, relative to |A x| |u|: the sum may be near zero
            scale = np.linalg.norm(y[row]) * np.linalg.norm(u[row])
            assert abs(y[row] @ u[row] - x[row] @ back[row]) <= tolerance * scale


def test_the_matrix_is_forward_and_its_transpose_the_adjoint(operator, rng):
    x, u = rng.normal(size=(4, operator.dim_in)), rng.normal(size=(4, operator.dim_out))
    A = operator.matrix()
    assert A.shape == (operator.dim_out, operator.dim_in)
    np.testing.assert_allclose(operator.forward(x), x @ A.T, rtol=0, atol=1e-13)
    np.testing.assert_allclose(operator.adjoint(u), u @ A, rtol=0, atol=1e-13)


def test_linear(operator, rng):
    for apply, dim in ((operator.forward, operator.dim_in), (operator.adjoint, operator.dim_out)):
        x, y = rng.normal(size=(2, 3, dim))
        np.testing.assert_allclose(apply(2 * x - 3 * y), 2 * apply(x) - 3 * apply(y), rtol=0, atol=1e-12)
        np.testing.assert_array_equal(apply(np.zeros((1, dim))), 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_shape_and_a_new_array(operator, dtype, rng):
    dims = (operator.dim_in, operator.dim_out)
    for apply, dim, dim_result in ((operator.forward, *dims), (operator.adjoint, *dims[::-1])):
        x = rng.normal(size=(3, dim)).astype(dtype)
        before = x.copy()
        y = apply(x)
        assert y.dtype == dtype
        assert y.shape == (3, dim_result)
        assert not np.shares_memory(x, y)
        np.testing.assert_array_equal(x, before)
        y[...] = 7.0  # the operator must not keep it
        np.testing.assert_array_equal(x, before)
        np.testing.assert_allclose(apply(x), apply(x.astype(np.float64)), rtol=0, atol=2e-5)


def test_any_layout_integers_and_no_rows(operator, rng):
    x = rng.integers(0, 9, (4, operator.dim_in))
    y = operator.forward(x.astype(np.float64))
    for same in (x, x.tolist(), np.asfortranarray(x), x.astype(">f8"), np.repeat(x, 2, axis=1)[:, ::2]):
        np.testing.assert_allclose(operator.forward(same), y, rtol=1e-14, atol=1e-14)
        assert operator.forward(same).dtype == np.float64
    assert operator.forward(np.zeros((0, operator.dim_in))).shape == (0, operator.dim_out)
    assert operator.adjoint(np.zeros((0, operator.dim_out))).shape == (0, operator.dim_in)


def test_wrong_numbers_of_features(operator):
    name = "GreyOut|RandomProjection|[A-Z][a-z]+"
    with pytest.raises(NiceValueError, match=rf"({name}): x has \d+ features, expected {operator.dim_in}"):
        operator.forward(np.zeros((2, operator.dim_in + 1)))
    with pytest.raises(NiceValueError, match=rf"({name}): u has \d+ features, expected {operator.dim_out}"):
        operator.adjoint(np.zeros((2, operator.dim_out + 1)))
    with pytest.raises(NiceValueError, match=r"expected x of shape .*; use x\[None\]"):
        operator.forward(np.zeros(operator.dim_in))
    with pytest.raises(NiceTypeError, match="expected real numbers"):
        operator.forward(np.full((1, operator.dim_in), "a"))


# Masks


ROW, COLUMN = np.divmod(np.arange(784), 28)
MISSING = {
    "top": list(range(392)),
    "bottom": list(range(392, 784)),
    "even": list(range(0, 784, 2)),
    "odd": list(range(1, 784, 2)),
    "left": [28 * i + j for i in range(28) for j in range(14)],
    "right": [28 * i + j for i in range(28) for j in range(14, 28)],
    "center-rows": list(range(196, 588)),
    "center-columns": [28 * i + j for i in range(28) for j in range(7, 21)],
    "center": [28 * i + j for i in range(7, 21) for j in range(7, 21)],
}


@pytest.mark.parametrize("name", MISSING)
def test_named_masks_of_28_by_28(name):
    observed = named_mask(name, 28, 28)
    assert observed.shape == (28, 28)
    assert observed.dtype == bool
    mask = Mask(observed)
    assert mask.hidden.tolist() == MISSING[name]
    assert mask.observed.tolist() == sorted(set(range(784)) - set(MISSING[name]))
    assert (mask.dim_in, mask.dim_out) == (784, 784 - len(MISSING[name]))


@pytest.mark.parametrize(("name", "missing"), [("random75", 588), ("random90", 705)])
def test_random_masks_miss_their_share_and_depend_on_the_seed_only(name, missing):
    observed = named_mask(name, 28, 28, 3)
    assert (~observed).sum() == missing
    np.testing.assert_array_equal(observed, named_mask(name, 28, 28, 3))
    np.testing.assert_array_equal(observed, named_mask(name, 28, 28, np.random.default_rng(3)))
    assert not np.array_equal(observed, named_mask(name, 28, 28, 4))
    assert (~named_mask(name, 28, 28)).sum() == missing
    assert 0.4 < observed[:14].sum() / observed.sum() < 0.6  # spread over both halves
    assert 0.4 < observed[:, :14].sum() / observed.sum() < 0.6


@pytest.mark.parametrize(("height", "width"), [(2, 2), (2, 5), (3, 3), (5, 8), (9, 4)])
def test_named_masks_of_other_sizes(height, width):
    masks = {name: named_mask(name, height, width, 0) for name in (*NAMES, "center")}
    for name, mask in masks.items():
        assert mask.shape == (height, width), name
        assert 0 < mask.sum() < mask.size, name
    for one, other in (("top", "bottom"), ("left", "right"), ("even", "odd")):
        np.testing.assert_array_equal(masks[one], ~masks[other])
    assert (~masks["top"]).any(axis=1).sum() == height // 2
    assert (~masks["left"]).any(axis=0).sum() == width // 2
    assert (~masks["center-rows"]).all(axis=1).sum() == height // 2
    assert (~masks["center-columns"]).all(axis=0).sum() == width // 2
    side = min(height, width) // 2
    assert (~masks["center"]).sum() == side**2
    for name in ("center", "center-rows", "center-columns"):  # equally far from both borders, or one pixel nearer
        for axis in (0, 1):
            hidden = np.flatnonzero((~masks[name]).any(axis=1 - axis))
            before, after = hidden[0], masks[name].shape[axis] - 1 - hidden[-1]
            assert after - before in (0, 1)


def test_a_mask_selects_and_puts_back():
    mask = Mask([[True, False], [False, True]])
    x = np.array([[1.0, 2.0, 3.0, 4.0]])
    np.testing.assert_array_equal(mask.forward(x), [[1, 4]])
    np.testing.assert_array_equal(mask.adjoint(mask.forward(x)), [[1, 0, 0, 4]])
    assert (mask.observed.tolist(), mask.hidden.tolist()) == ([0, 3], [1, 2])


# What the others do


@pytest.mark.parametrize("sigma", [0.1, 0.5, 1.0, 1.7, 3.0, 8.5])
def test_blur_is_the_filter_of_scipy(sigma, rng):
    x = rng.normal(size=(2, 3, 9, 7))
    expected = ndimage.gaussian_filter(x, (0, 0, sigma, sigma), mode="constant", truncate=4.0)
    y = Blur((3, 9, 7), sigma).forward(x.reshape(2, -1))
    np.testing.assert_allclose(y.reshape(x.shape), expected, rtol=0, atol=1e-14)


def test_blur_keeps_a_constant_inside_and_darkens_the_border():
    y = Blur((20, 24), sigma=1.0).forward(np.ones((1, 480))).reshape(20, 24)
    np.testing.assert_allclose(y[4:-4, 4:-4], 1, rtol=1e-14)  # 4 sigma = 4 pixels
    assert (y[:4] < 1).all()
    assert (y[:, -4:] < 1).all()
    assert y[0, 0] < 0.5
    np.testing.assert_array_equal(Blur((3, 3), sigma=1e-300).forward(np.ones((1, 9))), 1)


def test_a_separable_operator_moves_an_image_down_and_left():
    down, left = np.eye(3, k=-1), np.eye(4, k=1)  # neither is its own transpose
    x = np.arange(12.0).reshape(1, 12)
    y = Separable((3, 4), down, left).forward(x).reshape(3, 4)
    np.testing.assert_array_equal(y, [[0, 0, 0, 0], [1, 2, 3, 0], [5, 6, 7, 0]])
    back = Separable((3, 4), down, left).adjoint(x).reshape(3, 4)
    np.testing.assert_array_equal(back, [[0, 4, 5, 6], [0, 8, 9, 10], [0, 0, 0, 0]])


def test_downsample_takes_the_mean_of_blocks_and_spreads_it(rng):
    x = rng.normal(size=(2, 3, 4, 6))
    operator = Downsample((3, 4, 6), factor=2)
    y = operator.forward(x.reshape(2, -1)).reshape(2, 3, 2, 3)
    for i in range(2):
        for j in range(3):
            block = x[:, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
            np.testing.assert_allclose(y[:, :, i, j], block.mean(axis=(2, 3)), rtol=0, atol=1e-15)
    spread = operator.adjoint(y.reshape(2, -1)).reshape(x.shape)
    np.testing.assert_allclose(spread, np.kron(y, np.ones((2, 2))) / 4, rtol=1e-15)


def test_grey_is_the_mean_of_the_planes(rng):
    x = rng.normal(size=(2, 3, 4, 5))
    y = GreyOut(3, 4, 5).forward(x.reshape(2, -1))
    np.testing.assert_allclose(y.reshape(2, 4, 5), (x[:, 0] + x[:, 1] + x[:, 2]) / 3, rtol=0, atol=1e-15)
    np.testing.assert_allclose(GreyOut(3, 4, 5).adjoint(y), np.concatenate([y, y, y], axis=1) / 3, rtol=1e-15)


def test_a_random_projection_keeps_the_length_on_average(rng):
    operator = RandomProjection(400, 100, rng=5)
    assert abs(operator.A.mean()) < 4 * 0.1 / 200  # 40,000 draws of N(0, 1/100)
    assert operator.A.std() == pytest.approx(0.1, rel=0.02)
    np.testing.assert_array_equal(operator.A, RandomProjection(400, 100, np.random.default_rng(5)).A)
    assert not np.array_equal(operator.A, RandomProjection(400, 100, rng=6).A)
    np.testing.assert_array_equal(operator.matrix(), operator.A)
    x = rng.normal(size=(200, 400))
    assert (operator.forward(x) ** 2).sum() == pytest.approx((x**2).sum(), rel=0.05)


def test_composition_applies_the_right_one_first(rng):
    A, B = separable((2, 3), (2, 3), rng), separable((2, 3), (2, 3), rng)  # square: either order would run
    x = rng.normal(size=(4, 6))
    np.testing.assert_array_equal((A @ B).forward(x), A.forward(B.forward(x)))
    np.testing.assert_array_equal((A @ B).adjoint(x), B.adjoint(A.adjoint(x)))
    np.testing.assert_allclose((A @ B).matrix(), A.matrix() @ B.matrix(), rtol=0, atol=1e-13)
    assert isinstance(A @ B, Composition)


def test_a_user_defined_operator():
    class Difference(Operator):
        dim_in, dim_out = 3, 2

        def forward(self, x):
            return x[:, 1:] - x[:, :-1]

        def adjoint(self, u):
            return np.pad(u, ((0, 0), (1, 0))) - np.pad(u, ((0, 0), (0, 1)))

    np.testing.assert_array_equal(Difference().matrix(), [[-1, 1, 0], [0, -1, 1]])
    assert repr(Identity(2) @ Difference()) == "Identity(dim=2) @ Difference(dim_in=3, dim_out=2)"
    with pytest.raises(TypeError, match="abstract"):
        Operator()


@pytest.mark.parametrize(
    ("operator", "text"),
    [
        (Identity(3), "Identity(dim=3)"),
        (Mask([True, False, True]), "Mask(dim_in=3, dim_out=2)"),
        (Separable((2, 2), [[1, 0]], np.eye(2)), "Separable(image_shape=(2, 2), dim_out=2)"),
        (Blur((3, 4, 4), 1.5), "Blur(image_shape=(3, 4, 4), sigma=1.5)"),
        (Downsample((4, 4), 2), "Downsample(image_shape=(4, 4), factor=2)"),
        (GreyOut(3, 4, 5), "GreyOut(channels=3, height=4, width=5)"),
        (RandomProjection(4, 2), "RandomProjection(dim=4, n_measurements=2)"),
    ],
)
def test_representation(operator, text):
    assert repr(operator) == text


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Identity(0), NiceValueError, "Identity: dim must be >= 1, got 0"),
        (lambda: Identity(2.0), NiceTypeError, "Identity: dim must be a whole number"),
        (lambda: Mask([1, 0, 1]), NiceTypeError, "True or False for every pixel, got dtype int64; use observed != 0"),
        (lambda: Mask([False, False]), NiceValueError, r"at least one True, got shape \(2,\) with 0 True"),
        (lambda: Mask(np.zeros((0,), bool)), NiceValueError, "at least one True"),
        (lambda: Mask(True), NiceValueError, r"must have shape \(D,\), \(height, width\)"),
        (lambda: Mask(np.ones((1, 1, 1, 1), bool)), NiceValueError, r"must have shape \(D,\), \(height, width\)"),
        (lambda: Mask("top"), NiceTypeError, "Mask: observed has dtype <U3, expected real numbers"),
        (
            lambda: named_mask("topp", 4, 4),
            NiceValueError,
            r"unknown name 'topp' .did you mean 'top'.*; choose one of top, .*random90",
        ),
        (lambda: named_mask(3, 4, 4), NiceTypeError, "named_mask: name must be a string, one of top"),
        (lambda: named_mask("top", 1, 4), NiceValueError, "named_mask: height must be >= 2, got 1"),
        (lambda: named_mask("top", 4, 2.5), NiceTypeError, "named_mask: width must be a whole number"),
        (lambda: named_mask("random75", 4, 4, "seed"), NiceTypeError, "named_mask: rng must be a seed"),
        (lambda: Separable((2, 3), np.eye(2), np.eye(2)), NiceValueError, r"columns must have 3 columns for an image"),
        (lambda: Separable((2, 3), np.eye(3), np.eye(3)), NiceValueError, r"Separable: rows must have 2 columns"),
        (lambda: Separable((2, 2), [1, 0], np.eye(2)), NiceValueError, "Separable: expected rows of shape"),
        (lambda: Separable((2, 2), np.full((2, 2), np.nan), np.eye(2)), NiceValueError, "rows contains NaN or inf"),
        (lambda: Blur((4,), 1.0), NiceValueError, r"Blur: image_shape must be \(height, width\) or"),
        (lambda: Blur(16, 1.0), NiceTypeError, "Blur: image_shape must be a sequence of whole numbers"),
        (lambda: Blur((4, 0), 1.0), NiceValueError, "Blur: every entry of image_shape must be >= 1"),
        (lambda: Blur((4, 4), 0.0), NiceValueError, "Blur: sigma must be finite, > 0"),
        (lambda: Blur((4, 3), 4.0), NiceValueError, "Blur: sigma must be finite, > 0 and < 4; got 4.0"),
        (lambda: Blur((4, 4), 1e30), NiceValueError, "Blur: sigma must be finite"),
        (lambda: Blur((4, 4), "1"), NiceTypeError, "Blur: sigma must be a number"),
        (
            lambda: Downsample((4, 6), 4),
            NiceValueError,
            r"factor 4 must divide .*got \(4, 6\); crop or pad",
        ),
        (lambda: Downsample((4, 6), 0), NiceValueError, "Downsample: factor must be >= 1"),
        (lambda: Downsample((1, 1, 4, 6), 2), NiceValueError, "Downsample: image_shape must be"),
        (lambda: GreyOut(3, 0, 4), NiceValueError, r"GreyOut: every entry of \(channels, height, width\) must be >= 1"),
        (lambda: RandomProjection(0, 3), NiceValueError, "RandomProjection: dim must be >= 1"),
        (lambda: RandomProjection(3, 0), NiceValueError, "RandomProjection: n_measurements must be >= 1"),
        (lambda: RandomProjection(3, 2, -1), NiceValueError, "RandomProjection: rng must be a seed >= 0"),
        (lambda: Identity(3) @ Identity(4), NiceValueError, r"B gives 4 measurements, but A expects 3; A is Identity"),
        (lambda: Identity(3) @ np.eye(3), NiceTypeError, r"expects two operators, got ndarray; .*A.forward\(x\)"),
        (lambda: Composition(None, Identity(3)), NiceTypeError, "expects two operators, got NoneType"),
    ],
)
def test_bad_calls(call, error, message):
    with pytest.raises(error, match=message):
        call()
