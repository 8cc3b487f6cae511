"""Arrays of every kind in public functions, by hypothesis: layouts, dtypes, shapes, NaN, and numbers near overflow."""

import copy
import warnings

import numpy as np
import pytest
from faults import FAULTS, times
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from registry import BIJECTORS, draw, shaken

from nice_np import (
    MLP,
    DiagonalScaling,
    Flow,
    NiceOverflowError,
    NiceTypeError,
    NiceValueError,
    StandardNormal,
    check_gradients,
    check_log_det,
    dequantize,
    fit,
    inpaint,
    nice,
    psnr,
    real_nvp,
    restore,
    sample_posterior,
    variational_autoencoder,
)
from nice_np.restoration.gaussian import GaussianImages
from nice_np.restoration.operators import Mask

many = settings(
    max_examples=times(60),
    deadline=None,
    derandomize=FAULTS == 1,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
few = settings(many, max_examples=times(15))
DIM = 5
MODELS = {
    "nice": shaken(nice(DIM, couplings=3, hidden=(6,), dtype=np.float64, rng=0), np.random.default_rng(0)),
    "real_nvp": shaken(real_nvp(DIM, couplings=3, hidden=(6,), dtype=np.float64, rng=0), np.random.default_rng(0)),
    "float32": shaken(nice(DIM, couplings=3, hidden=(6,), rng=0), np.random.default_rng(0)),
}
VAE = variational_autoencoder(DIM, 2, hidden=(6,), decoder="gaussian", rng=0)
OBSERVED = np.array([True, False, True, True, False])
DOORS = {
    "log_prob": lambda model, x: model.log_prob(x),
    "encode": lambda model, x: model.encode(x),
    "decode": lambda model, x: model.decode(x),
    "grad_log_prob": lambda model, x: model.grad_log_prob(x),
    "bits_per_dim": lambda model, x: model.bits_per_dim(x),
    "nll_and_grad": lambda model, x: model.nll_and_grad(x)[1].copy(),
}
doors = st.sampled_from(sorted(DOORS))
models = st.sampled_from(sorted(MODELS))


# -- the same values in another form --------------------------------------------------------------------------------


@st.composite
def forms(draw_):
    """A batch of small whole numbers, and the same in another dtype, byte order or layout."""
    n = draw_(st.integers(1, 7))
    values = np.random.default_rng(draw_(st.integers(0, 99))).integers(0, 2, (n, DIM))
    dtype = draw_(st.sampled_from(["?", "i1", "u2", "i2", ">i4", "i8", "u8", "f2", ">f4", "f4", "f8", ">f8", "g"]))
    array = values.astype(dtype)
    layout = draw_(
        st.sampled_from(["plain", "fortran", "strided", "reversed", "read-only", "broadcast", "list", "view"])
    )
    if layout == "fortran":
        array = np.asfortranarray(array)
    elif layout == "strided":
        wide = np.ones((2 * n, 3 * DIM), dtype)
        wide[::2, ::3] = array
        array = wide[::2, ::3]
    elif layout == "reversed":
        array = np.ascontiguousarray(array[::-1, ::-1])[::-1, ::-1]
    elif layout == "read-only":
        array.flags.writeable = False
    elif layout == "broadcast":
        array = np.broadcast_to(array[:1], (n, DIM))
        values = np.repeat(values[:1], n, axis=0)
    elif layout == "list":
        array = array.tolist()
    elif layout == "view":
        array = memoryview(np.ascontiguousarray(array)) if array.dtype.isnative and dtype != "g" else array
    return values.astype(np.float64), array


@many
@given(models, doors, forms())
def test_any_form_of_the_same_numbers_gives_the_same_answer(model, door, both):
    values, array = both
    before = np.array(array, copy=True)
    found, expected = (DOORS[door](MODELS[model], x) for x in (array, values))
    np.testing.assert_allclose(found, expected, rtol=1e-12 if model != "float32" else 1e-5, atol=1e-12)
    np.testing.assert_array_equal(np.array(array), before)


@few
@pytest.mark.filterwarnings("ignore:feature . never changes")
@given(forms())
def test_training_on_any_form(both):
    values, array = both
    flows = [nice(DIM, couplings=3, hidden=(6,), dtype=np.float64, preprocess=(), rng=0) for _ in range(2)]
    for flow, x in zip(flows, (array, values), strict=True):
        fit(flow, x, epochs=1, batch_size=3, progress=False, rng=0)
    np.testing.assert_array_equal(flows[0].params.values, flows[1].params.values)


@few
@given(models, doors, st.integers(0, 99))
def test_a_memory_mapped_file_is_read_and_left_alone(tmp_path_factory, model, door, seed):
    path = tmp_path_factory.mktemp("mapped") / "x.npy"
    x = np.random.default_rng(seed).random((6, DIM))
    np.save(path, x)
    content = path.read_bytes()
    found = DOORS[door](MODELS[model], np.load(path, mmap_mode="r"))
    np.testing.assert_array_equal(found, DOORS[door](MODELS[model], x))
    assert path.read_bytes() == content


@many
@given(
    models, st.sampled_from(["log_prob", "encode", "decode", "grad_log_prob"]), st.integers(1, 30), st.integers(0, 99)
)
def test_a_row_does_not_know_of_the_others(model, door, n, seed):
    """Batch of one, permuted rows, any split into batches: the same values row by row."""
    rng = np.random.default_rng(seed)
    x = rng.random((n, DIM))
    whole = DOORS[door](MODELS[model], x)
    tolerance = {"rtol": 1e-10, "atol": 1e-12} if model != "float32" else {"rtol": 1e-4, "atol": 1e-4}
    order, cut = rng.permutation(n), int(rng.integers(0, n + 1))
    np.testing.assert_allclose(DOORS[door](MODELS[model], x[order]), whole[order], **tolerance)
    parts = [DOORS[door](MODELS[model], part) for part in (x[:cut], x[cut:])]
    np.testing.assert_allclose(np.concatenate(parts), whole, **tolerance)
    np.testing.assert_allclose(DOORS[door](MODELS[model], x[:1]), whole[:1], **tolerance)


# -- what is no batch -----------------------------------------------------------------------------------------------


@many
@given(models, doors, st.lists(st.integers(0, 7), max_size=4))
def test_other_shapes_are_refused(model, door, shape):
    x = np.zeros(shape)
    if len(shape) == 2 and shape[1] == DIM:
        if shape[0] == 0 and door in ("bits_per_dim", "nll_and_grad"):
            with pytest.raises(NiceValueError, match="0 samples"):
                DOORS[door](MODELS[model], x)
        else:
            assert len(np.atleast_1d(DOORS[door](MODELS[model], x))) >= shape[0] * (door not in ("bits_per_dim",))
        return
    says = rf"expected \w+ of shape \(N, {DIM}\), got"
    if len(shape) == 2:
        says = f"has {shape[1]} features, expected {DIM}"
    with pytest.raises(NiceValueError, match=says):
        DOORS[door](MODELS[model], x)


@many
@given(doors, st.sampled_from(["c8", "c16", "O", "U3", "S3", "V8", "M8[s]", "m8[s]", "i4,f4"]), st.integers(0, 3))
def test_other_kinds_of_numbers_are_refused(door, dtype, n):
    error = NiceValueError if dtype.startswith("c") else NiceTypeError
    with pytest.raises(error):
        DOORS[door](MODELS["nice"], np.zeros((n, DIM), dtype))


@pytest.mark.parametrize("build", [nice, real_nvp])
def test_one_feature_is_too_few_and_odd_numbers_are_not(build, rng):
    with pytest.raises(NiceValueError, match="at least 2"):
        build(1, hidden=(4,), rng=0)
    for dim in (2, 3, 5, 7):
        flow = shaken(build(dim, couplings=3, hidden=(4,), dtype=np.float64, rng=0), rng)
        x = rng.normal(size=(3, dim))
        np.testing.assert_allclose(flow.decode(flow.encode(x)), x, rtol=1e-9, atol=1e-9)
        check_gradients(flow, x, rng=0).raise_if_failed()


# -- NaN and infinity -----------------------------------------------------------------------------------------------

PLACES = {
    **{name: (lambda x, f=function: f(MODELS["nice"], x)) for name, function in DOORS.items()},
    "fit": lambda x: fit(nice(DIM, hidden=(4,), rng=0), x, epochs=1, progress=False, rng=0),
    "fit, validation": lambda x: fit(
        nice(DIM, hidden=(4,), rng=0), np.zeros((4, DIM)), validation=x, epochs=1, progress=False, rng=0
    ),
    "inpaint": lambda x: inpaint(MODELS["nice"], x, np.ones(DIM, bool), steps=1),
    "restore": lambda x: restore(MODELS["nice"], x, Mask(np.ones(DIM, bool)), 0.1, steps=1),
    "sample_posterior": lambda x: sample_posterior(
        MODELS["nice"], x, Mask(np.ones(DIM, bool)), 0.1, chains=1, warmup=1, steps=1, rng=0
    ),
    "VAE.encode": VAE.encode,
    "VAE.elbo": lambda x: VAE.elbo(x, np.zeros((len(x), 2))),
    "VAE.iwae": lambda x: VAE.iwae(x, 2, rng=0),
    "VAE.reconstruct": VAE.reconstruct,
    "dequantize": lambda x: dequantize(np.clip(x, 0, 1), 0),
}


@many
@given(
    st.sampled_from(sorted(PLACES)), st.integers(1, 5), st.data(), st.sampled_from([np.nan, np.inf, -np.inf]),
    st.sampled_from([np.float64, np.float32, np.float16]),
)  # fmt: skip
def test_one_nan_or_infinity_anywhere_is_named_with_its_row(door, n, data, bad, dtype):
    row, column = data.draw(st.integers(0, n - 1)), data.draw(st.integers(0, DIM - 1))
    x = np.zeros((n, DIM), dtype)
    x[row, column] = bad
    if door == "dequantize":
        if not np.isnan(bad):
            return
        with pytest.raises(NiceValueError):
            PLACES[door](x)
        return
    with pytest.raises(NiceValueError, match=rf"NaN or inf.*{row}|row {row}|\[{row}, {column}\]") as caught:
        PLACES[door](x)
    assert isinstance(caught.value, ValueError)


# -- pixels -----------------------------------------------------------------------------------------------------------

TAKE_PIXELS = {"fit", "fit, validation", "bits_per_dim", "dequantize"}
REFUSE_PIXELS = {
    **{name: door for name, door in PLACES.items() if name not in TAKE_PIXELS},
    "log_prob_and_grad": lambda x: MODELS["nice"].log_prob_and_grad(x),
    "decode_with_pullback": lambda x: MODELS["nice"].decode_with_pullback(x),
    "context": lambda x: nice(3, hidden=(4,), context_dim=DIM, rng=0).log_prob(np.zeros((len(x), 3)), x),
    "a chain": lambda x: MODELS["nice"].bijector.forward(x),
    "a layer": lambda x: DiagonalScaling(DIM).inverse(x),
    "a network": lambda x: MLP((DIM, 3, 2), rng=0).forward(x),
    "a prior": lambda x: StandardNormal().log_prob(x),
    "an operator": lambda x: Mask(np.ones(DIM, bool)).forward(x),
    "start": lambda x: restore(MODELS["nice"], x / 255, Mask(np.ones(DIM, bool)), 0.1, steps=1, start=x),
    "GaussianImages": lambda x: GaussianImages.fit(x),
    "psnr": lambda x: psnr(x / 255, x),
    "check_gradients": lambda x: check_gradients(MODELS["nice"], x, rng=0),
    "check_log_det": lambda x: check_log_det(MODELS["nice"].bijector, x),
    "VAE.loss_and_grad": lambda x: VAE.loss_and_grad(x, np.zeros((len(x), 2))),
    "VAE.bounds": lambda x: VAE.bounds(x, 2, rng=0),
}


@pytest.mark.parametrize("door", sorted(REFUSE_PIXELS))
def test_pixels_are_refused_where_no_noise_is_drawn(door, rng):
    pixels = rng.integers(0, 256, (6, DIM), dtype=np.uint8)
    cure = r"dtype uint8, which means pixels, .* nice_np\.dequantize\(.*, rng\).*\.astype\(float\)"
    with pytest.raises(NiceTypeError, match=cure):
        REFUSE_PIXELS[door](pixels)
    if "check" not in door and door != "GaussianImages":
        REFUSE_PIXELS[door](dequantize(pixels, rng))  # its cure


# -- near overflow --------------------------------------------------------------------------------------------------


@many
@given(
    st.sampled_from(sorted(BIJECTORS)),
    st.sampled_from(["log_prob", "encode", "decode", "grad_log_prob", "nll_and_grad"]),
    st.floats(-320, 308), st.floats(-3, 6), st.integers(0, 99), st.sampled_from([np.float64, np.float32]),
)  # fmt: skip
def test_huge_numbers_give_the_right_answer_or_name_the_layer(name, door, exponent, size, seed, dtype):
    """Inputs up to 1e308 and parameters up to 1e6: a finite answer, or OverflowError; no warning, no NaN, no inf."""
    rng = np.random.default_rng(seed)
    layer = BIJECTORS[name](rng)
    layer.cast(np.dtype(dtype))
    for _, array, _ in layer.named_parameters():
        array *= dtype(10.0**size)
    flow = Flow("logistic", layer)
    x = draw(layer, rng, (3, layer.dim), "inverse" if door == "decode" else "forward")
    if np.isinf(layer.interval).all() or door == "decode":
        x = x * 10.0 ** min(exponent, 307)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            found = getattr(flow, door)(x)
        except NiceOverflowError as error:
            message = str(error)
        except NiceValueError as error:  # beyond the interval of a logit
            message = str(error)
            if "is not between" not in message:
                raise
        else:
            message = ""
            found = np.concatenate([np.ravel(part) for part in found]) if isinstance(found, tuple) else found
            assert np.isfinite(found).all()
    assert not message or any(word in message for word in ("layer", "does not fit", "overflow", "is not between"))


@many
@given(models, st.integers(0, 99), st.floats(0, 1e3))
def test_samples_are_finite(model, seed, temperature):
    flow = copy.deepcopy(MODELS[model])
    try:
        found = flow.sample(5, rng=seed, temperature=temperature)
    except NiceOverflowError as error:
        assert "layer" in str(error)  # noqa: PT017
    else:
        assert np.isfinite(found).all()
