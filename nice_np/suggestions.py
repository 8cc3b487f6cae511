"""Which name was meant by another library's word, another spelling or a misspelling; errors that say so."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from functools import wraps
from inspect import Parameter, signature
from typing import ParamSpec, TypeVar

from nice_np.errors import NiceTypeError

P = ParamSpec("P")
R = TypeVar("R")

# Our argument, and what scikit-learn, Keras, PyTorch and other libraries of flows call it.
ARGUMENTS = {
    "learning_rate": "lr learning_rate_init eta step_size",
    "rng": "seed random_state generator key",
    "seed": "rng random_state",
    "progress": "verbose progress_bar show_progress",
    "validation": "val valid validation_data x_val x_validation val_data eval_set",
    "validation_context": "y_val validation_labels",
    "context": "y label labels cond condition conditions",
    "epochs": "n_epochs num_epochs max_epochs max_iter n_iter nb_epoch",
    "batch_size": "minibatch_size batch bs",
    "clip_norm": "clipnorm max_norm max_grad_norm gradient_clip grad_clip",
    "patience": "early_stopping n_iter_no_change",
    "optimizer": "optim opt solver optimiser",
    "threads": "n_jobs num_threads num_workers",
    "callbacks": "callback on_epoch_end",
    "dim": "n_features features num_features input_dim in_features input_size d data_dim",
    "couplings": "n_layers num_layers n_couplings num_couplings n_flows num_flows n_blocks transforms layers",
    "layers": "n_layers num_layers n_flows num_flows n_blocks transforms couplings",
    "hidden": "hidden_layer_sizes hidden_units n_hidden num_hidden units width widths hidden_layers",
    "prior": "base base_dist base_distribution latent_distribution",
    "activation": "nonlinearity act",
    "partition": "mask masking split",
    "n": "n_samples num_samples size sample_shape num_points n_points",
    "temperature": "temp",
    "rate": "lr learning_rate",
    "sizes": "hidden hidden_sizes layer_sizes layers",
    "x": "X data samples inputs x_train train",
    "model": "flow vae net",
}
# Arguments that belong to another function.
ELSEWHERE = {
    **dict.fromkeys(("learning_rate", "epochs", "batch_size", "validation", "clip_norm", "patience"), "fit"),
    **dict.fromkeys(("weight_decay", "beta1", "beta2"), "Adam"),
    "momentum": "SGD",
    **dict.fromkeys(("hidden", "couplings", "prior", "activation"), "nice"),
}
VALUES = {"gaussian": "normal", "standardise": "standardize", "standardized": "standardize", "standard": "standardize"}
# What one might expect of a model, and where it is here.
METHODS = {
    "fit train fit_transform": "use nice_np.fit(model, x, epochs=...)",
    "predict": "use log_prob(x) or sample(n)",
    "score_samples logpdf log_density": "use log_prob(x)",
    "log_prob": "it has a bound on log p(x): use elbo, bounds or iwae",  # of a VAE: a flow has it
    "pdf prob": "use np.exp(model.log_prob(x))",
    "forward transform": "use encode(x), data to latents",
    "inverse inverse_transform": "use decode(z), latents to data",
    "backward loss nll": "use nll_and_grad(x), which returns the loss and its gradient",
    "rvs rsample generate": "use sample(n)",
    "parameters weights get_weights": "use params.values, one vector, or named_parameters()",
    "num_parameters count_params": "use n_parameters",
    "state_dict": "use save(path), or to_state_dict(model) of nice_np.interop",
    "load_state_dict": "use nice_np.load(path), or from_state_dict(state) of nice_np.interop",
    "to double float half": "use astype('float64') or astype('float32'), which copy",
    "cuda cpu device": "NumPy computes on the CPU",
    "eval training": "a model has one mode, so there is nothing to switch",
    "compile": "fit takes the optimizer, and compiles small flows by itself",
    "summary": "use print(model)",
    "history": "fit returns it",
    "plot": "use nice_np.plotting",
    "clone": "use copy()",
    "base base_dist": "use prior",
}


def same(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` that is `name` up to capitals, spaces, hyphens and underscores, or has it as an alias."""
    spelt = {_plain(one): one for one in names} | {one: one for one in names}
    return next((spelt[one] for one in (name, _plain(name), VALUES.get(_plain(name))) if one in spelt), None)


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` that is most like `name`; None if nothing is close."""
    spelt = {other: one for other, one in VALUES.items() if one in names} | {_plain(one): one for one in names}
    near = difflib.get_close_matches(_plain(name[:100]), spelt, n=1)  # a name from a file may be very long
    return spelt[near[0]] if near else None


def suggests(function: Callable[P, R]) -> Callable[P, R]:
    """`function`, with an error that says which argument was meant where it is given one that it does not have.

    Examples
    --------
    >>> @suggests
    ... def fit(x, *, learning_rate=1e-3): ...
    >>> fit(0, lr=0.1)
    Traceback (most recent call last):
    nice_np.errors.NiceTypeError: fit() has no argument 'lr': did you mean learning_rate?
    """
    owner, of_class = f"{function.__qualname__}()", function.__name__ == "__init__"
    kinds = {name: one.kind for name, one in signature(function).parameters.items()}
    positional = [name for name, kind in kinds.items() if kind is Parameter.POSITIONAL_OR_KEYWORD]
    names = [name for name in kinds if name != "self"]

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        who = f"{type(args[0]).__name__}()" if of_class else owner  # a subclass has its own name
        if len(args) > len(positional):
            first = ", ".join(name for name in positional if name != "self")
            others = ", ".join(f"{name}=" for name in names if name not in positional)
            raise NiceTypeError(f"{who}: positional arguments are {first or 'not taken'}; give by name: {others}")
        for name in kwargs:
            if name not in kinds:
                raise NiceTypeError(f"{who} has no argument {name!r}{_meant(name, names)}")
        return function(*args, **kwargs)

    return checked


def instead(name: str) -> str:
    """What to use instead of the attribute `name` of other libraries' models, as the end of a message."""
    return next((f": {here}" for words, here in METHODS.items() if name in words.split()), "")


def _meant(name: str, names: list[str]) -> str:
    ours = [name, *(one for one, words in ARGUMENTS.items() if name in words.split())]
    here = [one for one in ours if one in names]
    elsewhere = [one for one in ours if one in ELSEWHERE]
    if elsewhere and not here:
        return f": {elsewhere[0]} is an argument of {ELSEWHERE[elsewhere[0]]}()"
    found = here[0] if here else nearest(name, names)
    return f": did you mean {found}?" if found else f"; it has {', '.join(names)}"


def _plain(name: str) -> str:
    return name.casefold().replace("-", "").replace("_", "").replace(" ", "")
