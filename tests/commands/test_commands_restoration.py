"""The commands inpaint and restore: what they compute, write, print and refuse."""

import json

import numpy as np
import pytest
from command_line import as_json, fail, image_size, run, succeed
from PIL import Image

from nice_np import (
    Blur,
    Downsample,
    Flow,
    Identity,
    Logit,
    Mask,
    NiceOverflowError,
    RandomProjection,
    inpaint,
    named_mask,
    nice,
    one_hot,
    plotting,
    psnr,
    restore,
    save_model,
)
from nice_np.commands.inpaint import MASKS
from nice_np.commands.restoration_inputs import SPACES
from nice_np.commands.restore import TASKS
from nice_np.datasets import load
from nice_np.pixels.dequantize import NOISE_SEED, dequantize
from nice_np.restoration.arguments import space_for

SHAPE = (4, 6)
QUICK = ("--steps", "4", "--quiet")


def random_flow(dim, rng, **settings):
    flow = nice(dim, hidden=(8,), rng=rng, **settings)
    flow.params.values[:] = rng.normal(0, 0.2, len(flow.params))
    return flow


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A flow of small grey images with random weights, without a data set."""
    path = tmp_path_factory.mktemp("model") / "model.npz"
    save_model(path, random_flow(24, np.random.default_rng(0)), {"image_shape": SHAPE})
    return path


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A flow of digits with random weights, whose metadata name the data set."""
    path = tmp_path_factory.mktemp("digits") / "model.npz"
    metadata = {"image_shape": (28, 28), "dataset": "mnist-small", "seed": 0, "bin_width": 1 / 256}
    save_model(path, random_flow(784, np.random.default_rng(0)), metadata)
    return path


@pytest.fixture
def here(tmp_path, monkeypatch, rng):
    """A folder with images, their measurements and a mask."""
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", rng.integers(0, 256, (3, *SHAPE), dtype=np.uint8))
    np.save("f.npy", rng.uniform(size=(3, 24)))
    mask = np.full(SHAPE, 255, np.uint8)
    mask[1:3, 2] = 0
    Image.fromarray(mask).save("mask.png")
    return tmp_path


@pytest.fixture
def drawn(monkeypatch):
    """The arguments and settings with which the figure was drawn."""
    calls = []
    draws = plotting.restorations

    def spy(*arguments, **settings):
        calls.append((arguments, settings))
        return draws(*arguments, **settings)

    monkeypatch.setattr(plotting, "restorations", spy)
    return calls


def seen_by_the_flow(name):
    pixels = np.load(name).reshape(3, -1)
    return dequantize(pixels, NOISE_SEED, np.float32)


# -- inpaint ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", SPACES)
def test_inpaint_agrees_with_the_library(model, here, drawn, space):
    words = ("inpaint", model, "--mask", "left", "--images", "x.npy", "--space", space, *QUICK)
    result = as_json(succeed(*words, "--out", "a.png", "--save", "a.npy", "--json"))
    x, flow = seen_by_the_flow("x.npy"), Flow.load(model)
    mask = Mask(named_mask("left", *SHAPE))
    optimizer = "adam" if space == "image" else "lbfgs"
    sigma = None if space == "image" else 0.01
    expected = inpaint(flow, x, mask, space=space, optimizer=optimizer, steps=4, sigma=sigma, clip=(0, 1)).x
    np.testing.assert_array_equal(np.load("a.npy"), expected)
    np.testing.assert_array_equal(expected[:, mask.observed], x[:, mask.observed])
    np.testing.assert_allclose(result["log_likelihood"], flow.log_prob(expected), rtol=1e-6)
    bits = -(np.array(result["log_likelihood"]) / 24 - np.log(256)) / np.log(2)
    np.testing.assert_allclose(result["bits_per_dim"], bits)
    assert result["mean"]["log_likelihood"] == pytest.approx(np.mean(result["log_likelihood"]))
    assert "psnr" not in result  # the hidden pixels are not known
    assert (result["mask"], result["optimizer"], result["images"], result["data"]) == ("left", optimizer, 3, "x.npy")
    assert result["seconds"] > 0
    (original, degraded, restored, shape), settings = drawn[0]
    assert original is None
    assert tuple(shape) == SHAPE
    np.testing.assert_array_equal(restored, expected)
    np.testing.assert_array_equal(degraded[:, mask.observed], x[:, mask.observed])
    np.testing.assert_array_equal(np.flatnonzero(settings["hidden"]), mask.hidden)
    assert min(image_size(here / "a.png")) > 100


def test_hidden_pixels_are_ignored(model, here):
    x = np.load("f.npy").reshape(3, *SHAPE)
    words = ("inpaint", model, "--mask", "mask.png", "--images", "x2.npy", *QUICK, "--force")
    found = []
    for hidden in (0.0, np.nan, 7.0):
        x[:, 1:3, 2] = hidden
        np.save("x2.npy", x)
        succeed(*words, "--out", "a.png", "--save", "a.npy")
        found.append(np.load("a.npy"))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
    assert found[0].shape == (3, 24)
    x[1, 3, 5] = np.nan
    np.save("x2.npy", x)
    assert "x2.npy: expected between 0, black, and 1, white, got nan in row 1, column 23" in fail(
        *words, "--out", "b.png", code=1
    )


def test_inpaint_test_images_compares_with_the_originals(digits, here, drawn):
    words = ("inpaint", digits, "--mask", "bottom", "-n", "2", "--out", "a.png", *QUICK)
    result = as_json(succeed(*words, "--json"))
    (original, _, restored, _), settings = drawn[0]
    data = load("mnist-small", seed=0)
    np.testing.assert_array_equal(original, dequantize(data.test[:2], NOISE_SEED, np.float32))
    np.testing.assert_allclose(result["psnr"], psnr(restored, original), rtol=1e-6)
    filled, lower = original.reshape(2, 28, 28).copy(), np.s_[:, 14:]
    filled[lower] = ((data.train.mean(axis=0) + 0.5) / 256).reshape(28, 28)[14:]
    np.testing.assert_allclose(result["psnr_before"], psnr(filled.reshape(2, 784), original), rtol=1e-5)
    flow = Flow.load(digits)
    np.testing.assert_allclose(result["log_likelihood_of_original"], flow.log_prob(original), rtol=1e-6)
    assert settings["decibels"]
    out = succeed(*words, "--force")
    assert out.isascii()
    assert "mnist-small test, bottom half missing" in out
    assert f"{result['psnr'][1]:.2f}" in out
    assert f"{result['log_likelihood'][1]:.1f}" in out
    assert f"{result['mean']['bits_per_dim']:.3f}" in out
    assert "before: the mean training image in the missing pixels" in out


def test_random_masks_and_annealing_come_from_the_seed(model, here):
    words = ("inpaint", model, "--images", "x.npy", "--mask", "random75", "--optimizer", "annealed", *QUICK, "--force")
    found = {}
    for seed in (0, 1, 0):
        result = as_json(succeed(*words, "--out", "a.png", "--save", "a.npy", "--seed", seed, "--json"))
        found.setdefault(seed, []).append(np.load("a.npy"))
        assert result["space"] == "image"
    np.testing.assert_array_equal(*found[0])
    x = seen_by_the_flow("x.npy")
    masks = [(found[seed][0] == x).all(axis=0) for seed in (0, 1)]
    assert [mask.sum() for mask in masks] == [6, 6]
    assert (masks[0] != masks[1]).any()


def test_every_mask_is_known_to_the_library(model, here):
    for name in MASKS:
        assert named_mask(name, 28, 28, rng=0).any()
    with pytest.raises(ValueError, match="choose one of") as error:
        named_mask("none", 28, 28)
    assert sorted(str(error.value).split("choose one of ")[1].split(", ")) == sorted(MASKS)


@pytest.mark.parametrize(
    ("mask", "says"),
    [
        ("left", "left half missing"),
        ("odd", "odd columns missing"),
        ("random90", "90 % of the pixels missing"),
        ("center-rows", "center rows missing"),
        ("mask.png", "black pixels of mask.png missing"),
    ],
)
def test_the_figure_says_what_is_missing(mask, says, model, here, drawn):
    succeed("inpaint", model, "--images", "x.npy", "--mask", mask, *QUICK, "--out", "a.png")
    assert drawn[0][1]["title"] == says


def test_samples_and_their_mean(model, here, drawn):
    words = ("inpaint", model, "--images", "x.npy", "--mask", "top", *QUICK, "--samples", "2", "--out", "a.png")
    result = as_json(succeed(*words, "--save", "d.npy", "--json"))
    draws, x = np.load("d.npy"), seen_by_the_flow("x.npy")
    assert draws.shape == (3, 2, 24)
    np.testing.assert_array_equal(draws[..., 12:], np.repeat(x[:, None, 12:], 2, axis=1))
    assert (draws[:, 0, :12] != draws[:, 1, :12]).any()
    _, settings = drawn[0]
    np.testing.assert_array_equal(settings["draws"], draws)
    np.testing.assert_array_equal(settings["mean"][:, 12:], x[:, 12:])
    assert (result["samples"], result["sigma"], result["sigma_of_draws"]) == (2, 0.01, 0.08)
    assert len(result["acceptance"]) == 3
    assert "then 2 samples per image" in succeed(*words, "--force")


# -- restore ----------------------------------------------------------------------------------------------------------


OPERATORS = {
    "denoise": ([], None, SHAPE),
    "superres": (["--factor", "2"], Downsample(SHAPE, 2), (2, 3)),
    "deblur": (["--blur", "0.8"], Blur(SHAPE, 0.8), SHAPE),
    "compressed": (["--measurements", "0.3"], RandomProjection(24, 7, rng=5), SHAPE),
}


@pytest.mark.parametrize("task", TASKS)
def test_restore_degrades_and_restores(task, model, here, drawn):
    option, operator, shape = OPERATORS[task]
    words = ("restore", model, "--task", task, "--sigma", "0.01", *QUICK, "--seed", "5")
    result = as_json(succeed(*words, *option, "--images", "x.npy", "--out", "a.png", "--save", "a.npy", "--json"))
    (original, seen, restored, _), settings = drawn[0]
    x = seen_by_the_flow("x.npy")
    np.testing.assert_array_equal(original, x)
    assert tuple(settings["degraded_shape"]) == shape
    exact = x if operator is None else operator.forward(x)
    if task == "compressed":
        exact = operator.adjoint(exact)
        assert "A^T y" in settings["names"][1]
    noise = seen - exact
    assert 0.002 < noise.std() < 0.03
    assert abs(noise.mean()) < 0.01
    np.testing.assert_allclose(result["psnr"], psnr(restored, original), rtol=1e-6)
    expected = {"denoise": seen, "deblur": seen, "compressed": seen}.get(task)
    if expected is None:
        expected = seen.reshape(3, 2, 3).repeat(2, axis=1).repeat(2, axis=2).reshape(3, 24)
    np.testing.assert_allclose(result["psnr_before"], psnr(expected, x), rtol=1e-4)
    np.testing.assert_array_equal(np.load("a.npy"), restored)


@pytest.mark.parametrize("task", TASKS)
def test_a_users_own_measurements_are_restored_as_they_are(task, model, here, drawn):
    option, operator, shape = OPERATORS[task]
    x = seen_by_the_flow("x.npy").astype(np.float64)
    operator = operator or Identity(24)
    y = operator.forward(x)
    np.save("y.npy", y if task == "compressed" else y.reshape(3, *shape))
    words = ("restore", model, "--task", task, "--sigma", "0.1", *QUICK, "--seed", "5", *option)
    result = as_json(succeed(*words, "--measured", "y.npy", "--out", "a.png", "--save", "a.npy", "--json"))
    expected = restore(Flow.load(model), y, operator, 0.1, steps=4, clip=(0, 1)).x
    np.testing.assert_array_equal(np.load("a.npy"), expected)
    assert "psnr" not in result
    assert "psnr_before" not in result
    (original, *_), settings = drawn[0]
    assert original is None
    assert not settings["decibels"]


def test_measurements_of_8_bits_are_taken_at_the_middle_of_their_bins(model, here):
    levels = np.load("x.npy")[0]
    Image.fromarray(levels).save("y.png")
    np.save("y.npy", (levels + 0.5) / 256)
    for name in ("y.png", "y.npy"):
        words = ("--measured", name, "--out", "a.png", "--save", f"{name}.npy", "--force")
        succeed("restore", model, "--task", "denoise", "--sigma", "0.1", *QUICK, *words)
    np.testing.assert_array_equal(np.load("y.png.npy"), np.load("y.npy.npy"))


def test_many_images_are_listed_and_drawn_in_part(model, here, drawn, rng):
    np.save("many.npy", rng.uniform(size=(30, 24)))
    words = ("restore", model, "--task", "denoise", "--sigma", "0.1", "--images", "many.npy", "--steps", "1", "--quiet")
    out = succeed(*words, "--out", "a.png")
    assert "... and 10 more: --json lists all" in out
    assert len(drawn[0][0][0]) == 20
    assert "(the first 20 of 30)" in drawn[0][1]["title"]
    assert len(as_json(succeed(*words, "--out", "a.png", "--force", "--json", "-n", "25"))["psnr"]) == 25


def test_progress_is_shown_unless_quiet(model, here):
    words = ["restore", model, "--task", "denoise", "--sigma", "0.1", "--images", "x.npy", "--steps", "2", "--force"]
    assert run(*words, "--out", "a.png")[2] != ""
    assert run(*words, "--out", "a.png", "--quiet")[2] == ""


# -- labels, spaces, colour -------------------------------------------------------------------------------------------


def test_labels_of_test_images_and_of_your_own(here, rng):
    flow = random_flow(784, rng, context_dim=10)
    metadata = {"image_shape": (28, 28), "dataset": "mnist-small", "seed": 0}
    save_model("m.npz", flow, metadata)
    words = ("inpaint", "m.npz", "--mask", "top", "-n", "2", *QUICK, "--force", "--out", "a.png", "--save", "a.npy")
    data = load("mnist-small", seed=0)
    x = dequantize(data.test[:2], NOISE_SEED, np.float32)
    mask = named_mask("top", 28, 28)
    for more, labels in (((), data.test_labels[:2]), (("--label", "3"), [3, 3])):
        result = as_json(succeed(*words, *more, "--json"))
        context = one_hot(labels, 10)
        expected = inpaint(flow, x, mask, space="latent", steps=4, clip=(0, 1), context=context).x
        np.testing.assert_array_equal(np.load("a.npy"), expected)
        np.testing.assert_allclose(result["log_likelihood"], flow.log_prob(expected, context), rtol=1e-6)
    np.save("own.npy", np.zeros((1, 784)))
    err = fail(*words, "--images", "own.npy", code=1)
    assert "this flow was trained with labels: give that of the images, --label 0 .. 9" in err
    assert "knows the labels 0 .. 9, not 10" in fail(*words, "--label", "10", code=1)
    succeed(*words, "--images", "own.npy", "--label", "3")


def test_a_flow_without_labels_takes_none(model, here):
    words = ("inpaint", model, "--mask", "top", "--images", "x.npy", "--out", "a.png", "--label", "1")
    assert "trained without labels: leave out --label" in fail(*words, code=1)


def test_behind_a_logit_the_proxy_is_the_default(here, rng):
    flow = random_flow(24, rng, preprocess=("logit",))
    assert any(isinstance(layer, Logit) for layer in flow.layers)
    assert (space_for(flow), space_for(random_flow(24, rng))) == ("proxy", "latent")
    save_model("m.npz", flow, {"image_shape": SHAPE})
    words = ("--images", "x.npy", *QUICK, "--out", "a.png", "--force", "--json")
    assert as_json(succeed("inpaint", "m.npz", "--mask", "top", *words))["space"] == "proxy"
    assert as_json(succeed("restore", "m.npz", "--task", "denoise", "--sigma", "1", *words))["space"] == "proxy"


def test_colour(here, rng):
    flow = random_flow(72, rng)
    save_model("m.npz", flow, {"image_shape": [3, *SHAPE]})
    Image.fromarray(rng.integers(0, 256, (*SHAPE, 3), dtype=np.uint8)).save("x.png")
    words = ("--images", "x.png", *QUICK, "--out", "a.png", "--save", "a.npy", "--force")
    for command in (
        ("inpaint", "m.npz", "--mask", "mask.png"),
        ("inpaint", "m.npz", "--mask", "random90"),
        ("restore", "m.npz", "--task", "superres", "--sigma", "0.1"),
        ("restore", "m.npz", "--task", "compressed", "--sigma", "0.1"),
    ):
        succeed(*command, *words)
        assert np.load("a.npy").shape == (1, 72)


# -- what is refused --------------------------------------------------------------------------------------------------

INPAINT = "inpaint m.npz --mask top --out a.png"
RESTORE = "restore m.npz --task denoise --sigma 0.1 --out a.png"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("inpaint", "required: MODEL, --mask, --out"),
        ("inpaint m.npz --out a.png --mask lefft", "argument --mask: unknown mask 'lefft' (did you mean left?)"),
        ("inpaint m.npz --out a.png --mask m.jpg", "or a picture FILE.png"),
        ("inpaint m.npz --out a.jpg --mask top", "expected a file ending in .png, got 'a.jpg'"),
        (f"{INPAINT} --save a.png", "expected a file ending in .npy"),
        (f"{INPAINT} --images a.txt", "expected a file ending in .npy or .png"),
        (f"{INPAINT} --space latents", "unknown space 'latents' (did you mean latent?)"),
        (f"{INPAINT} --optimizer sgd", "unknown optimizer 'sgd'; choose one of adam, lbfgs, annealed"),
        (f"{INPAINT} --steps 0", "argument --steps"),
        (f"{INPAINT} --sigma 0", "argument --sigma: expected a number > 0"),
        (f"{INPAINT} --samples 0", "argument --samples"),
        (f"{INPAINT} -n 0", "argument -n"),
        (f"{INPAINT} --label -1", "argument --label"),
        (f"{INPAINT} --seed -1", "argument --seed"),
        (f"{INPAINT} --factor 2", "unknown argument '--factor'"),
        ("restore m.npz --task denoise --out a.png", "required: --sigma"),
        ("restore m.npz --sigma 1 --out a.png --task deblurr", "unknown task 'deblurr' (did you mean deblur?)"),
        (f"{RESTORE} --optimizer annealed", "unknown optimizer 'annealed'"),
        (f"{RESTORE} --factor 1", "argument --factor: expected a whole number from 2"),
        (f"{RESTORE} --measurements 1.5", "argument --measurements: expected a number > 0 and <= 1, got '1.5'"),
        (f"{RESTORE} --measurements 0", "argument --measurements"),
        (f"{RESTORE} --blur nan", "argument --blur"),
        (f"{RESTORE} --images a.npy --measured b.npy", "not allowed with argument --images"),
    ],
)
def test_a_usage_error_ends_with_2(words, says, here):
    before = sorted(here.iterdir())
    assert says in fail(*words.split(), code=2)
    assert sorted(here.iterdir()) == before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("inpaint MODEL --mask top", "does not say what it was trained on; give images with --images FILE"),
        ("inpaint MODEL --mask top --images no.npy", "no.npy: no such file"),
        ("inpaint MODEL --mask top --images no.png", "no.png: no such file"),
        ("inpaint MODEL --mask no.png --images x.npy", "no.png: no such file"),
        ("inpaint MODEL --mask small.png --images x.npy", "small.png: expected 6 x 4 pixels"),
        ("inpaint MODEL --mask top --images small.npy", "small.npy: expected N >= 1 rows of 24 numbers, or 4 x 6"),
        (
            "inpaint MODEL --mask top --images bright.npy",
            "bright.npy: expected between 0, black, and 1, white, got 7.0",
        ),
        ("inpaint MODEL --mask top --images x.npy --sigma 1 --space image", "--sigma is for latent space"),
        ("inpaint MODEL --mask top --images x.npy --optimizer annealed --space proxy", 'belongs to space="image"'),
        ("inpaint MODEL --mask top --images x.npy --sigma 1e-30", "overflows"),
        ("restore MODEL --task denoise --sigma 1 --images x.npy --factor 2", "--factor is for --task superres"),
        ("restore MODEL --task superres --sigma 1 --images x.npy --blur 2", "--blur is for --task deblur, not for"),
        ("restore MODEL --task superres --sigma 1 --images x.npy --factor 3", "factor 3 must divide height and width"),
        ("restore MODEL --task deblur --sigma 1 --images x.npy --blur 9", "sigma must be finite, > 0 and < 6"),
        ("restore MODEL --task compressed --sigma 1 --measured x.npy", "x.npy: expected N >= 1 rows of 6 numbers"),
        (
            "restore MODEL --task compressed --sigma 1 --measured small.png",
            "small.png: these measurements are not an image",
        ),
        ("restore MODEL --task denoise --sigma 1 --measured infinite.npy", "infinite.npy: expected a finite number"),
        ("restore PLANE --task denoise --sigma 1", "is not a model of images, and only images can be restored"),
        ("inpaint PLANE --mask top", "is not a model of images, and only images can be restored"),
        ("inpaint ODD --mask top", "the flow has 24 features, which are not images of shape (5, 5)"),
        ("inpaint no.npz --mask top", "no.npz: No such file"),
        ("inpaint S0 --mask top", "image_shape"),
        ("inpaint S1 --mask top", "image_shape"),
        ("inpaint S2 --mask top", "image_shape"),
        ("inpaint S3 --mask top", "bin_width must be a number"),
        ("inpaint S4 --mask top", "has 2 features, the model expects 24"),
    ],
)
def test_what_cannot_be_done_ends_with_1_and_writes_nothing(words, says, model, here, rng):
    Image.fromarray(np.zeros((3, 3), np.uint8)).save("small.png")
    np.save("small.npy", np.zeros((2, 9)))
    np.save("bright.npy", np.full((1, 24), 7.0))
    np.save("infinite.npy", np.full((1, 24), np.inf))
    save_model("PLANE", nice(2, hidden=(4,), rng=0), {"dataset": "rings"})
    save_model("ODD", Flow.load(model), {"image_shape": (5, 5)})
    for k, strange in enumerate(
        (
            {"image_shape": "abc"},
            {"image_shape": [0, 24]},
            {"image_shape": {"a": 1}},
            {"bin_width": "x"},
            {"dataset": "rings"},
        )
    ):
        save_model(f"S{k}", Flow.load(model), {"image_shape": SHAPE, **strange})
    before = sorted(here.iterdir())
    words = [str(model) if word == "MODEL" else word for word in words.split()]
    assert says in fail(*words, "--out", "a.png", "--save", "a.npy", "--quiet", code=1)
    assert sorted(here.iterdir()) == before


def test_existing_files_are_refused_first(model, here, monkeypatch):
    monkeypatch.setattr("nice_np.commands.restoration_inputs.open_model", lambda path: pytest.fail("too late"))
    for name in ("a.png", "a.npy"):
        (here / name).write_text("mine")
        words = ("inpaint", model, "--mask", "top", "--out", "a.png", "--save", "a.npy")
        assert f"{name} exists; --force replaces it" in fail(*words, code=1)
        assert (here / name).read_text() == "mine"
        (here / name).unlink()


def test_a_path_that_cannot_be_written_is_refused_before_the_work(model, here, monkeypatch):
    monkeypatch.setattr("nice_np.commands.inpaint.fill_in", lambda *arguments, **settings: pytest.fail("too late"))
    words = ("inpaint", model, "--mask", "top", "--images", "x.npy")
    assert "cannot write no/a.png" in fail(*words, "--out", "no/a.png", code=1)
    assert "cannot write no/a.npy" in fail(*words, "--out", "a.png", "--save", "no/a.npy", code=1)
    assert not (here / "a.png").exists()


def test_overflow_is_one_line(model, here, monkeypatch):
    def overflow(*arguments, **settings):
        raise NiceOverflowError("Flow: row 0 overflows float32 in layer 3")

    monkeypatch.setattr("nice_np.commands.restore.most_probable", overflow)
    words = ("restore", model, "--task", "denoise", "--sigma", "0.1", "--images", "x.npy", "--out", "a.png")
    assert "overflows float32 in layer 3" in fail(*words, code=1)
    assert not (here / "a.png").exists()


@pytest.mark.parametrize("command", ["inpaint", "restore"])
def test_help_explains_files_spaces_and_tasks(command):
    out = succeed(command, "--help")
    for word in (*SPACES, *(MASKS if command == "inpaint" else TASKS), "--images", "uint8", "examples:"):
        assert word in out
    assert out.isascii()
    assert max(map(len, out.splitlines())) <= 110


def test_json_is_json(model, here):
    words = ("inpaint", model, "--mask", "top", "--images", "x.npy", *QUICK, "--out", "a.png", "--json")
    assert set(json.loads(succeed(*words))) >= {"model", "mask", "space", "steps", "seed", "seconds", "mean", "out"}
