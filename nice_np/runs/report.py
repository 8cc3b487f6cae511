"""One self-contained HTML page that compares finished runs: numbers, training curves and figures."""

from __future__ import annotations

import base64
import io
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from nice_np._version import __version__
from nice_np.errors import DatasetError, NiceFileError, NiceImportError
from nice_np.files.atomic import open_to_read
from nice_np.flows.flow import Flow
from nice_np.flows.model import Model
from nice_np.runs.figures import draw_samples
from nice_np.runs.finished import FinishedRun
from nice_np.runs.folder import FIGURES, load_run
from nice_np.runs.scoring import load_data
from nice_np.runs.table import paper, table
from nice_np.training.history import History
from nice_np.vae import VAE
from nice_np.validation import Array

if TYPE_CHECKING:
    import jinja2

PAPER_NOTE = (
    "NICE paper: Dinh, Krueger & Bengio (2014), section 5.1. Log-likelihoods with a star are of data that the paper "
    "rescaled or whitened: they are in another unit and cannot be compared; bits/dim can."
)
VAE_NOTE = (
    "The likelihood of a VAE is not known: the ELBO is a lower bound on it, and its bits/dim an upper bound. A VAE "
    "with a Bernoulli decoder sees binarised images, so its scores can be compared only with those of other such VAEs."
)
SCORE_NOTE = (
    "Test scores are given with their standard error. Log-likelihoods are of the data as the flow sees them (images "
    "dequantised and scaled to [0, 1]); higher is better. bits/dim are of the integer image, or of the bin width that "
    "is given; lower is better. Both can be compared only on the same data set."
)
KINDS = {  # title and caption of each kind of figure
    "training_curve": (
        "Training of each run",
        "Log-likelihood of training and validation data; the best epoch is kept.",
    ),
    "samples": ("Samples", "Drawn from the model, not selected; for a VAE their means, E[x | z]."),
    "reconstructions": (
        "Reconstructions",
        "Test images x, and decode(encode(x)): a flow loses only rounding, a VAE what its latents do not hold.",
    ),
    "interpolation": ("Interpolation", "From one test image to another through the latent space."),
    "inpainting": (
        "Inpainting",
        "Test images with their lower halves hidden, and the most probable completions under the model.",
    ),
    "likelihoods": ("Likelihoods", "Of test images, and of images that should be improbable under the model."),
    "nearest_neighbours": ("Nearest training images", "A model that has memorised its data would draw copies of them."),
    "density": ("Density", "p(x) over the plane, with samples from the model."),
    "bent_grid": ("Bent grid", "A regular grid of latents, bent layer by layer on its way to the data."),
    "spectrum": ("Spectrum", "Scales of the latent dimensions in descending order: the small ones hardly matter."),
}
STACKED = ("bent_grid",)  # too wide to be placed side by side
IN_A_ROW = 10  # images of each data set in the picture of data and samples


class Poster(NamedTuple):
    """The picture of data and samples."""

    png: bytes | None  # None if there is no run of images, or their data are not available
    models: dict[str, str]  # the run from which the samples of each data set are drawn
    left_out: dict[str, str]  # data sets that are missing in the picture, and why


class Report(NamedTuple):
    """A page and its poster; the HTML needs no other file and no script."""

    html: str
    poster: Poster


class Picture(NamedTuple):
    """A picture as a data: URI, with its size in screen pixels."""

    uri: str
    width: int
    height: int


def make_report(runs: Sequence[FinishedRun], data_dir: str | os.PathLike[str] | None = None) -> Report:
    """Compare runs, at least one and with distinct names, on one page.

    `data_dir` is the folder with the files of the data sets, see `nice_np.datasets.load`.  NiceImportError if Jinja2 is
    not installed; NiceFileError or CheckpointError if a figure or a model cannot be read.
    """
    template = _template()
    poster = make_poster(runs, data_dir)
    notes = [SCORE_NOTE]
    notes += [VAE_NOTE] if any(run.history.measure == "elbo" for run in runs) else []
    notes += [PAPER_NOTE] if any(paper(run.metrics) for run in runs) else []
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
        autoescape=True,  # names and files of runs are not trusted
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html")


def _layers(metrics: dict[str, Any]) -> str:
    configuration = metrics.get("configuration")
    lines = configuration.get("flow", configuration.get("vae")) if isinstance(configuration, dict) else None
    return "\n".join(map(str, lines)) if isinstance(lines, list) else "not known"


def embed(png: bytes, name: str) -> Picture:
    """A picture as a data: URI in lossless WebP, about half the bytes of the PNG; NiceFileError if it is not a PNG."""
    from PIL import Image

    webp = io.BytesIO()
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            image.convert("RGB").save(webp, "WEBP", lossless=True)
            size = image.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise NiceFileError(f"cannot read {name}: not a complete PNG picture; delete it to leave it out") from None
    return Picture(f"data:image/webp;base64,{base64.b64encode(webp.getvalue()).decode()}", *size)


def _figures(runs: Sequence[FinishedRun]) -> list[dict[str, Any]]:
    """Title, caption, layout and pictures of each kind of figure that some run has."""
    return [
        {
            "title": title,
            "caption": caption,
            "layout": "stack" if kind in STACKED else "row",
            "images": [(run.name, _from_file(run.figures[kind])) for run in runs if kind in run.figures],
        }
        for kind, (title, caption) in ((kind, KINDS[kind]) for kind in FIGURES)
        if any(kind in run.figures for run in runs)
    ]


def _from_file(path: Path) -> Picture:
    try:
        with open_to_read(path) as file:
            png = file.read()
    except OSError as error:
        raise NiceFileError(f"cannot read {path}: {error.strerror or error}") from error
    return embed(png, str(path))


def _curves(runs: Sequence[FinishedRun]) -> list[tuple[str, str, Picture]]:
    """One figure with the training curves of all runs per data set and measure (log-likelihood or ELBO)."""
    from nice_np import plotting

    groups: dict[tuple[str, str], dict[str, History]] = {}
    for run in runs:  # in the order of the runs
        groups.setdefault((run.metrics["dataset"], run.history.measure), {})[run.name] = run.history
    curves = []
    for (name, measure), histories in groups.items():
        with _any_letters():  # Matplotlib 3.7 lays out the figure, and warns, before it is saved
            drawing = plotting.training_curves(histories, title=f"Training on {name}")
        what = "ELBO" if measure == "elbo" else "Log-likelihood"
        curves.append((name, what, embed(_rendered(drawing), "training curves")))
    return curves


def make_poster(runs: Sequence[FinishedRun], data_dir: str | os.PathLike[str] | None = None) -> Poster:
    """Draw test images of each data set of images, and below them samples of the first run on it."""
    from nice_np import plotting

    first: dict[str, FinishedRun] = {}
    for run in runs:
        if run.metrics.get("image_shape") is not None:
            first.setdefault(run.metrics["dataset"], run)
    data, samples, models, left_out = {}, {}, {}, {}
    for name, run in first.items():
        seed = run.metrics["seed"]
        model, _ = load_run(run.folder)
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
    """A row of samples, (IN_A_ROW, D): one per label for a conditional flow, the means E[x | z] for a VAE."""
    if isinstance(model, VAE):
        return model.decode(model.sample_latents(IN_A_ROW, seed))
    return draw_samples(cast(Flow, model), IN_A_ROW, 1, seed)


def _rendered(drawing: Any) -> bytes:
    """A drawing as PNG."""
    from nice_np import plotting

    picture = io.BytesIO()
    with _any_letters():
        plotting.save(drawing, picture)
    return picture.getvalue()


@contextmanager
def _any_letters() -> Iterator[None]:
    """No warning for a run whose name has letters that Matplotlib's font lacks."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")
        yield
