"""One HTML page that puts finished runs side by side: numbers, training curves and figures, everything inside it."""

from __future__ import annotations

import base64
import io
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from nice_np._version import __version__
from nice_np.errors import DatasetError, NiceFileError, NiceImportError
from nice_np.flows.flow import Flow
from nice_np.flows.model import Model
from nice_np.runs.figures import draw_samples
from nice_np.runs.finished import FinishedRun
from nice_np.runs.folder import FIGURES, SPLITS, load_any_run, load_data
from nice_np.training.history import History
from nice_np.vae import VAE
from nice_np.validation import Array

if TYPE_CHECKING:
    import jinja2

PAPER = {"mnist": 1980.50, "tfd": 5514.71, "svhn": 11496.55, "cifar10": 5371.78}  # nats, test; NICE, section 5.1
PAPER_BITS = {"mnist": 4.36, "cifar10": 4.48}  # from its nats, in [0, 1] and in [-1, 1]; not known for the others
PAPER_NOTE = (
    "NICE paper: Dinh, Krueger & Bengio (2014), section 5.1. Log-likelihoods with a star are of data that the paper "
    "rescaled or whitened in its own way, another unit: they do not compare. bits/dim do."
)
VAE_NOTE = (
    "The likelihood of a VAE is not known; ELBO is a bound from below on it, and its bits/dim are one from above. A "
    "VAE with a Bernoulli decoder sees binarised images, and its scores compare with those of the same kind only."
)
SCORE_NOTE = (
    "Test scores are given with their standard error. Log-likelihoods are of the data as the flow sees them, images "
    "dequantised and in [0, 1]; higher is better. bits/dim are of the integer image; lower is better. "
    "Both compare on the same data set only."
)
KINDS = {  # title and explanation of each kind of figure
    "training_curve": (
        "Training of each run",
        "Log-likelihood of training and validation data; the best epoch is kept.",
    ),
    "samples": ("Samples", "Drawn from the model, none of them chosen; of a VAE their means, E[x | z]."),
    "reconstructions": (
        "Reconstructions",
        "Test images x, and decode(encode(x)): a flow loses nothing but rounding, a VAE what its latents do not hold.",
    ),
    "interpolation": ("Interpolation", "From one test image to another through the latent space."),
    "inpainting": (
        "Inpainting",
        "Test images, their lower halves hidden, and filled in by the model: what it finds likely there.",
    ),
    "likelihoods": ("Likelihoods", "Of test images, and of images that the model should find strange."),
    "nearest_neighbours": ("Nearest training images", "A model that has learned by heart would draw copies of them."),
    "density": ("Density", "p(x) over the plane, with samples from the model."),
    "bent_grid": ("Bent grid", "A regular grid of latents, bent layer by layer on its way to the data."),
    "spectrum": ("Spectrum", "Scales of the latent dimensions in descending order: the small ones hardly matter."),
}
STACKED = ("bent_grid",)  # too wide to stand side by side
IN_A_ROW = 10  # images of each data set in the picture of data and samples


@dataclass(frozen=True)
class Poster:
    """The picture of data and samples.

    Attributes
    ----------
    png : bytes or None
        None where no run is of images at hand.
    models : dict of str to str
        Of each data set in it, the run that the samples are of.
    left_out : dict of str to str
        Data sets that should be in it, and why they are not.
    """

    png: bytes | None
    models: dict[str, str]
    left_out: dict[str, str]


@dataclass(frozen=True)
class Report:
    """A page and the poster in it.

    Attributes
    ----------
    html : str
        Self-contained: pictures are data: URIs, and there is no script.
    poster : Poster
    """

    html: str
    poster: Poster


class Picture(NamedTuple):
    """A picture inside a page, its size in screen pixels."""

    uri: str
    width: int
    height: int


def make_report(runs: Sequence[FinishedRun], data_dir: str | os.PathLike[str] | None = None) -> Report:
    """Compare runs on one page.

    Parameters
    ----------
    runs : sequence of FinishedRun
        At least one, with names that differ.
    data_dir : path, optional
        Where the files of the data sets are, see `nice_np.datasets.load`; of each data set of images, some are shown
        beside samples of the first run on it.

    Raises
    ------
    NiceImportError
        If Jinja2 is not installed.
    NiceFileError, CheckpointError
        If a figure or a model cannot be read.
    """
    template = _template()
    poster = make_poster(runs, data_dir)
    notes = [
        SCORE_NOTE,
        *([VAE_NOTE] if any(_measure(run) == "elbo" for run in runs) else []),
        *([PAPER_NOTE] if any(_paper(run.metrics) for run in runs) else []),
    ]
    html = template.render(
        title=f"{len(runs)} runs side by side" if len(runs) > 1 else "A run",
        names=[run.name for run in runs],
        table=table(runs),
        notes=notes,
        poster=poster,
        poster_picture=None if poster.png is None else embed(poster.png, "data and samples"),
        curves=_curves(runs),
        figures=_figures(runs),
        architectures=[(run.name, _layers(run.metrics)) for run in runs],
        version=__version__,
    )
    return Report(html, poster)


def _template() -> jinja2.Template:
    try:
        import jinja2
    except ImportError:
        raise NiceImportError('a report needs Jinja2, which is not installed: pip install "nice-np[report]"') from None
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("nice_np.runs"),
        autoescape=True,  # names of runs, and what stands in their files, are not ours
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html")


# -- numbers ----------------------------------------------------------------------------------------------------------

Cell = Callable[[dict[str, Any]], str | None]  # from metrics.json; None where a run has nothing to say
Rows = list[tuple[str, list[str]]]


def table(runs: Sequence[FinishedRun]) -> list[tuple[str, Rows]]:
    """Groups of rows (label, a cell for each run), without rows and groups that are empty for all runs."""
    groups: list[tuple[str, list[tuple[str, Cell]]]] = [
        (
            "Run",
            [
                ("data set", lambda m: str(m["dataset"])),
                ("preset", lambda m: str(m["preset"])),
                ("command", lambda m: m.get("command")),
                ("seed", lambda m: str(m["seed"])),
            ],
        ),
        (
            "Training",
            [
                ("parameters", lambda m: f"{m['parameters']:,}"),
                ("epochs", lambda m: f"{m['epochs']:,}"),
                ("steps", lambda m: f"{m['steps']:,}"),
                ("seconds", lambda m: f"{m['train_seconds']:,.1f}"),
                ("processor", _processor),
            ],
        ),
        (
            "Log-likelihood (nats)",
            [
                ("train", _score("log_likelihood", "train")),
                ("validation", _score("log_likelihood", "validation")),
                ("test", _test_score),
                ("test, given the label", _score("log_likelihood_given_label", "test")),
                ("test, NICE paper", _paper),
            ],
        ),
        (
            "ELBO (nats)",
            [
                ("train", _score("elbo", "train")),
                ("validation", _score("elbo", "validation")),
                ("test", _test_bound),
            ],
        ),
        (
            "bits/dim",
            [
                *[(split, _score("bits_per_dim", split, "{:.4f}")) for split in SPLITS],
                ("test, NICE paper", _paper_bits),
            ],
        ),
        ("Labels found", [(split, _score("accuracy", split, "{:.2%}")) for split in SPLITS]),
    ]
    filled = [(heading, _filled(rows, runs)) for heading, rows in groups]
    return [(heading, rows) for heading, rows in filled if rows]


def _filled(rows: Sequence[tuple[str, Cell]], runs: Sequence[FinishedRun]) -> Rows:
    cells = [(label, [cell(run.metrics) for run in runs]) for label, cell in rows]
    return [(label, [text or "\N{EN DASH}" for text in row]) for label, row in cells if any(row)]


def _score(name: str, split: str, form: str = "{:,.2f}") -> Cell:
    return lambda metrics: form.format(metrics[name][split]) if name in metrics else None


def _test_score(metrics: dict[str, Any], name: str = "log_likelihood") -> str | None:
    if name not in metrics:
        return None
    score, error = metrics[name]["test"], metrics["standard_error"]["test"]
    return f"{score:,.2f} \N{PLUS-MINUS SIGN} {error:,.2f}"


def _test_bound(metrics: dict[str, Any]) -> str | None:
    return _test_score(metrics, "elbo")


def _paper(metrics: dict[str, Any]) -> str | None:
    name = metrics["dataset"]
    if "log_likelihood" not in metrics:  # the paper's figures are of flows
        return None
    return f"{PAPER[name]:,.2f}{'' if name == 'mnist' else ' *'}" if name in PAPER else None


def _paper_bits(metrics: dict[str, Any]) -> str | None:
    name = metrics["dataset"]
    return f"{PAPER_BITS[name]:.2f}" if name in PAPER_BITS and "log_likelihood" in metrics else None


def _processor(metrics: dict[str, Any]) -> str | None:
    threads = metrics.get("threads")
    if not isinstance(threads, dict):
        return None
    limits = [f"{name}={value}" for name, value in threads.items() if name != "cores"]
    return ", ".join([f"{threads.get('cores')} core(s)", *limits])


def _layers(metrics: dict[str, Any]) -> str:
    configuration = metrics.get("configuration")
    lines = configuration.get("flow", configuration.get("vae")) if isinstance(configuration, dict) else None
    return "\n".join(map(str, lines)) if isinstance(lines, list) else "not known"


# -- pictures ---------------------------------------------------------------------------------------------------------


def embed(png: bytes, name: str) -> Picture:
    """A picture as a data: URI, in WebP: every pixel as it was, in about half the bytes.

    Raises
    ------
    NiceFileError
        Naming the picture, if it is no PNG.
    """
    from PIL import Image

    webp = io.BytesIO()
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            image.convert("RGB").save(webp, "WEBP", lossless=True)
            size = image.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise NiceFileError(f"cannot read {name}: it is no whole PNG picture; delete it to leave it out") from None
    return Picture(f"data:image/webp;base64,{base64.b64encode(webp.getvalue()).decode()}", *size)


def _figures(runs: Sequence[FinishedRun]) -> list[dict[str, Any]]:
    """What each kind of figure is, and those of all runs that have it; kinds that none has are left out."""
    kinds = [kind for kind in FIGURES if any(kind in run.figures for run in runs)]
    return [
        {
            "title": KINDS[kind][0],
            "caption": KINDS[kind][1],
            "layout": "stack" if kind in STACKED else "row",
            "images": [(run.name, _of_file(run.figures[kind])) for run in runs if kind in run.figures],
        }
        for kind in kinds
    ]


def _of_file(path: Path) -> Picture:
    try:
        return embed(path.read_bytes(), str(path))
    except NiceFileError:
        raise
    except OSError as error:
        raise NiceFileError(f"cannot read {path}: {error.strerror or error}") from error


def _curves(runs: Sequence[FinishedRun]) -> list[tuple[str, str, Picture]]:
    """The training curves of all runs on a data set in one figure, for each data set; bounds in one of their own."""
    from nice_np import plotting

    groups: dict[tuple[str, str], dict[str, History]] = {}
    for run in runs:  # in the order of the runs
        groups.setdefault((run.metrics["dataset"], _measure(run)), {})[run.name] = run.history
    curves = []
    for (name, measure), histories in groups.items():
        with _any_letters():  # Matplotlib 3.7 lays the figure out, and warns, before it is saved
            drawing = plotting.training_curves(histories, title=f"Training on {name}")
        what = "ELBO" if measure == "elbo" else "Log-likelihood"
        curves.append((name, what, embed(_rendered(drawing), "training curves")))
    return curves


def _measure(run: FinishedRun) -> str:
    return run.history.measure


def make_poster(runs: Sequence[FinishedRun], data_dir: str | os.PathLike[str] | None = None) -> Poster:
    """Draw test images of each data set, and below them samples of the first run on it."""
    from nice_np import plotting

    data, samples, models, left_out = {}, {}, {}, {}
    for run in _first_of_images(runs):
        name, seed = run.metrics["dataset"], run.metrics["seed"]
        model, _ = load_any_run(run.folder)
        try:
            dataset = load_data(model, name, data_dir, seed)
        except DatasetError as error:
            left_out[name] = str(error)
            continue
        shape = dataset.image_shape or (dataset.dim,)
        data[name] = dataset.test[:IN_A_ROW].reshape(-1, *shape)
        samples[name] = _samples(model, seed).reshape(-1, *shape)
        models[name] = run.name
    return Poster(_rendered(plotting.data_and_samples(data, samples)) if data else None, models, left_out)


def _samples(model: Model, seed: int) -> Array:
    """A row of samples, (IN_A_ROW, D), of a flow with labels one of each; of a VAE the means E[x | z]."""
    if isinstance(model, VAE):
        return model.decode(model.sample_latents(IN_A_ROW, seed))
    return draw_samples(cast(Flow, model), IN_A_ROW, 1, seed)


def _first_of_images(runs: Sequence[FinishedRun]) -> list[FinishedRun]:
    """The first run on each data set of images."""
    first: dict[str, FinishedRun] = {}
    for run in runs:
        if run.metrics.get("image_shape") is not None:
            first.setdefault(run.metrics["dataset"], run)
    return list(first.values())


def _rendered(drawing: Any) -> bytes:
    """A drawing as PNG."""
    from nice_np import plotting

    picture = io.BytesIO()
    with _any_letters():
        plotting.save(drawing, picture)
    return picture.getvalue()


@contextmanager
def _any_letters() -> Iterator[None]:
    """A run may be named in letters that Matplotlib's font lacks."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")
        yield
