"""Names that other libraries use: refused with the name that is meant, or taken where only the spelling differs."""

import inspect
import pickle
import traceback

import numpy as np
import pytest

import nice_np
from nice_np import Adam, AffineCoupling, NiceError, NiceTypeError, NiceValueError, datasets, fit, nice, real_nvp
from nice_np.suggestions import instead, nearest, same, suggests

X = np.zeros((3, 2))


@suggests
def play(x, speed=1.0, *, learning_rate=0.1, rng=None):
    """A function."""
    return x, speed, learning_rate, rng


def test_a_right_call_is_passed_on():
    assert play(1, 2.0, learning_rate=3, rng=4) == (1, 2.0, 3, 4)


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("lr", "learning_rate"), ("seed", "rng"), ("random_state", "rng"), ("sped", "speed"), ("X", "x")],
)
def test_an_unknown_argument_names_the_one_that_is_meant(wrong, meant):
    with pytest.raises(NiceTypeError, match=rf"^play\(\) has no argument '{wrong}': did you mean {meant}\?$"):
        play(1, **{wrong: 2})


def test_an_argument_of_another_function_names_it():
    with pytest.raises(NiceTypeError, match=r"^play\(\) has no argument 'n_epochs': epochs is an argument of fit\(\)$"):
        play(1, n_epochs=2)


def test_an_argument_like_no_other_lists_them():
    with pytest.raises(NiceTypeError, match=r"no argument 'qqq'; it has x, speed, learning_rate, rng$"):
        play(1, qqq=2)


def test_too_many_positional_arguments():
    with pytest.raises(NiceTypeError, match=r"positional arguments are x, speed; give by name: learning_rate=, rng=$"):
        play(1, 2, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fit(None, X, epochs=1, lr=1e-3), r"fit\(\) has no argument 'lr': did you mean learning_rate\?"),
        (lambda: fit(None, X, epochs=1, seed=0), "did you mean rng"),
        (lambda: fit(None, X, epochs=1, random_state=0), "did you mean rng"),
        (lambda: fit(None, X, epochs=1, verbose=1), "did you mean progress"),
        (lambda: fit(None, X, epochs=1, val=X), "did you mean validation"),
        (lambda: fit(None, X, epochs=1, validation_data=X), "did you mean validation"),
        (lambda: fit(None, X, epochs=1, weight_decay=0.1), r"weight_decay is an argument of Adam\(\)"),
        (lambda: Adam(lr=1e-3), r"Adam\(\) has no argument 'lr': learning_rate is an argument of fit\(\)"),
        (lambda: Adam(1e-3), r"Adam\(\): positional arguments are not taken; give by name: beta1=, "),
        (lambda: nice(2, hidden_sizes=(3,)), "did you mean hidden"),
        (lambda: real_nvp(2, n_layers=3), "did you mean couplings"),
        (lambda: nice(n_features=2), "did you mean dim"),
        (lambda: nice(2, epochs=3), r"epochs is an argument of fit\(\)"),
        (lambda: nice_np.MLP((2, 3), hidden=3), "did you mean sizes"),
        (lambda: nice_np.Cosine(lr=1e-3), "did you mean rate"),
        (
            lambda: nice(2, hidden=3).sample(n_samples=3),
            r"^Flow.sample\(\) has no argument '\w+': did you mean n\?",
        ),
        (lambda: datasets.two_moons(n_samples=3), "did you mean n?"),
        (lambda: datasets.two_moons(3, random_state=3), "did you mean rng?"),
    ],
)
def test_habits_from_other_libraries(call, message):
    with pytest.raises(NiceTypeError, match=message) as caught:
        call()
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, NiceError)


def doors():
    """The public functions and classes whose arguments have other names elsewhere."""
    for module in (nice_np, datasets):
        for name in module.__all__:
            thing = getattr(module, name)
            kind = inspect.isfunction(thing) or (inspect.isclass(thing) and not issubclass(thing, BaseException))
            if kind and {"rng", "seed", "learning_rate", "rate", "progress"} & set(inspect.signature(thing).parameters):
                yield pytest.param(thing, id=name)


@pytest.mark.parametrize("door", list(doors()))
def test_every_door_with_a_seed_or_a_rate_suggests(door):
    with pytest.raises(NiceTypeError, match=rf"^{door.__name__}\(\) has no argument 'random_stat'(:|; it has) "):
        door(random_stat=0)


def test_a_debugger_meets_one_more_frame():
    try:
        fit(None, X, epochs=1)
    except NiceTypeError as error:
        frames = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert frames == ["test_a_debugger_meets_one_more_frame", "checked", "fit"]


def test_signature_documentation_and_pickling_stay():
    assert list(inspect.signature(play).parameters) == ["x", "speed", "learning_rate", "rng"]
    assert play.__doc__ == "A function."
    assert list(inspect.signature(Adam).parameters) == ["beta1", "beta2", "eps", "weight_decay"]
    assert pickle.loads(pickle.dumps(Adam(beta1=0.5))).beta1 == 0.5
    assert pickle.loads(pickle.dumps(fit)) is fit


def test_warnings_name_the_line_of_the_caller():
    with pytest.warns(UserWarning, match="three are needed") as caught:
        nice(2, couplings=1, hidden=3)
    with pytest.warns(UserWarning, match="never changes") as later:
        fit(nice(2, hidden=3, rng=0), np.ones((4, 2)), epochs=1, progress=False, rng=0)
    assert caught[0].filename == later[0].filename == __file__


@pytest.mark.parametrize(
    ("given", "taken"), [("Adam", "adam"), ("ODD_EVEN", "odd-even"), ("leakyReLU", "leaky_relu"), ("gaussian", None)]
)
def test_the_same_name_in_another_spelling(given, taken):
    assert same(given, ["adam", "odd-even", "leaky_relu"]) == taken


def test_an_exact_name_comes_first_and_second_names_only_where_ours_is_allowed():
    assert same("A", ["a", "A"]) == "A"
    assert same("gaussian", ["normal", "logistic"]) == "normal"
    assert same("gaussian", ["bernoulli", "gaussian"]) == "gaussian"


def test_the_nearest_name():
    assert nearest("logistc", ["normal", "logistic"]) == "logistic"
    assert nearest("q", ["normal", "logistic"]) is None
    assert nearest("gausian", ["normal", "logistic"]) == "normal"  # by its second name
    assert nearest("gausian", ["bernoulli", "gaussian"]) == "gaussian"


def test_builders_take_names_in_any_spelling_and_one_width():
    flow = nice(4, hidden=3, prior="Gaussian", partition="odd_even", activation="ReLU", preprocess="Logit", rng=0)
    assert repr(flow) == repr(nice(4, hidden=(3,), prior="normal", activation="relu", preprocess=("logit",), rng=0))
    assert real_nvp(2, hidden=3, scale="Tanh", rng=0).n_parameters == real_nvp(2, hidden=(3,), rng=0).n_parameters
    vae = nice_np.variational_autoencoder(4, hidden=3, kind="NICE_posterior", flow_hidden=3, rng=0)
    assert repr(vae) == repr(
        nice_np.variational_autoencoder(4, hidden=(3,), kind="nice-posterior", flow_hidden=(3,), rng=0)
    )
    assert AffineCoupling(nice_np.Partition.odd_even(2), nice_np.MLP((1, 2)), scale="EXP").config()["scale"] == "exp"


def test_restoration_takes_names_in_any_spelling():
    flow, y = nice(2, hidden=3, preprocess=(), rng=0), np.ones((1, 1))
    settings = {"flow": flow, "y": y, "operator": nice_np.Mask([True, False]), "sigma": 0.1, "steps": 3}
    for one, other in (("adam", "Adam"), ("lbfgs", "LBFGS")):
        found = [nice_np.restore(optimizer=name, space=space, **settings).x
                 for name, space in ((one, "latent"), (other, "Latent"))]  # fmt: skip
        np.testing.assert_array_equal(*found)
    filled = [nice_np.inpaint(flow, [[1.0, 0.0]], [True, False], space=space, optimizer=name, drift=drift, rng=0).x
              for space, name, drift in (("image", "annealed", "batch"), ("Image", "Annealed", "BATCH"))]  # fmt: skip
    np.testing.assert_array_equal(*filled)


def test_a_wrong_width_names_the_builder_and_the_argument():
    for build in (nice, real_nvp):
        with pytest.raises(NiceTypeError, match=f"^{build.__name__}: hidden must be a sequence of whole numbers"):
            build(2, hidden="big")
        with pytest.raises(NiceValueError, match=f"^{build.__name__}: unknown conditioner 'cnv' .did you mean 'conv'"):
            build(2, conditioner="cnv")
        with pytest.raises(NiceValueError, match=f"^{build.__name__}: couplings must be >= 1"):
            build(2, couplings=0)


@pytest.mark.parametrize(
    ("attribute", "cure"),
    [
        ("fit", r"nice_np.fit\(model, x, epochs=...\)"), ("predict", "log_prob"), ("parameters", "params.values"),
        ("eval", "one mode"), ("summary", r"print\(model\)"), ("to", r"astype\('float64'\)"), ("forward", "encode"),
    ],
)  # fmt: skip
def test_a_model_says_what_to_use_instead(attribute, cure):
    for model in (nice(2, hidden=3, rng=0), nice_np.variational_autoencoder(2, hidden=3, rng=0)):
        assert not hasattr(model, attribute)
        with pytest.raises(AttributeError, match=f"^'{type(model).__name__}' object has no attribute .*{cure}"):
            getattr(model, attribute)


def test_an_autoencoder_has_a_bound_instead_of_a_likelihood():
    with pytest.raises(AttributeError, match=r"'VAE' object has no attribute 'log_prob': it has a bound .* use elbo"):
        nice_np.variational_autoencoder(2, hidden=3).log_prob(X)


def test_any_other_attribute_of_a_model():
    with pytest.raises(AttributeError, match=r"'Flow' object has no attribute 'colour'$"):
        nice(2, hidden=3).colour  # noqa: B018
    assert instead("colour") == ""


def test_the_package_suggests_and_loads_rooms_when_asked():
    with pytest.raises(AttributeError, match=r"^module 'nice_np' has no attribute 'RealNVP': did you mean real_nvp\?"):
        nice_np.RealNVP  # noqa: B018
    with pytest.raises(AttributeError, match=r"'quaternion'$"):
        nice_np.quaternion  # noqa: B018
    assert {"plotting", "interop", "fit"} <= set(dir(nice_np))
    assert nice_np.datasets.load.__module__ == "nice_np.datasets"
    assert nice_np.plotting.density.__module__ == "nice_np.plotting.plane"
