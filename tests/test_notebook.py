"""What a notebook shows: the richest form that IPython finds for each object."""

import subprocess
import sys
from html import unescape
from html.parser import HTMLParser

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from nice_np import (
    Chain,
    DiagonalScaling,
    Flow,
    History,
    check_gradients,
    check_inverse,
    fit,
    nice,
    plotting,
    variational_autoencoder,
)
from nice_np.notebook import table

PNG, GIF = b"\x89PNG\r\n", "data:image/gif;base64,R0lGOD"


class Page(HTMLParser):
    """The cells of tables and the sources of pictures; fails for a tag that is not closed."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.pictures, self.open = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.pictures.append(dict(attrs)["src"])
            return
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


class Broken(DiagonalScaling):
    """Its name is markup, and so is its representation."""

    def backward(self, dz, dlog_det, cache, parameters=True):
        return -super().backward(dz, dlog_det, cache, parameters)

    def __repr__(self):
        return "<script>alert('x')</script>"


def flow():
    return nice(2, hidden=(3,), rng=0)


def trained():
    return fit(flow(), np.eye(2), validation=np.eye(2), epochs=5, progress=False, rng=0)


def test_a_table_is_escaped():
    text = table("<b>&", ["<i>"], [["<u>"]], below="<s>")
    assert Page(text).rows == [["<i>"], ["<u>"]]
    for tag in ("<b>", "<i>", "<u>", "<s>"):
        assert tag not in text


def test_a_flow_shows_its_layers_with_shapes_and_counts():
    text = flow()._repr_html_()
    assert "Flow(dim=2, prior=StandardLogistic, float32, 42 parameters)" in text
    head, *rows = Page(text).rows
    assert head == ["layer", "shapes", "parameters"]
    assert len(rows) == 6
    assert rows[1] == [
        "AdditiveCoupling(dim=2, kept=1, conditioner=MLP(1-3-1, relu))", "(1, 3) (3,) (3, 1) (1,)", "10"
    ]  # fmt: skip
    assert Page(flow().bijector._repr_html_()).rows == [head, *rows]


def test_an_autoencoder_shows_its_parts():
    rows = Page(variational_autoencoder(4, 2, hidden=3, rng=0)._repr_html_()).rows
    assert [row[0].partition("(")[0] for row in rows[1:]] == ["GaussianPosterior", "PlainPrior", "Decoder"]


def test_representations_of_users_are_escaped():
    model = Flow("normal", Chain([Broken(2)]))
    for shown in (model, model.bijector, check_gradients(model.bijector, np.ones((1, 2)))):
        assert "<script>" not in shown._repr_html_()


def test_a_history_shows_first_best_and_last_epoch_and_the_curve():
    history = trained()
    history.best_epoch = 3
    page = Page(history._repr_html_())
    assert [row[0] for row in page.rows] == ["epoch", "1", "3", "5"]
    assert page.pictures[0].startswith("data:image/png;base64,iVBORw0KGgo")
    history.best_epoch = None
    assert [row[0] for row in Page(history._repr_html_()).rows] == ["epoch", "1", "5"]
    assert [row[0] for row in Page(History(history.rows[:1])._repr_html_()).rows] == ["epoch", "1"]


def test_a_history_without_epochs_shows_no_curve():
    page = Page(History()._repr_html_())
    assert (len(page.rows), page.pictures) == (1, [])


def test_a_report_shows_what_failed_first():
    report = check_gradients(Broken(2), np.ones((3, 2)))
    verdicts = [row[-1] for row in Page(report._repr_html_()).rows]
    assert verdicts[0] == "verdict"
    assert "FAILED" in verdicts[1]
    assert "passed" in verdicts
    assert verdicts[1:] == sorted(verdicts[1:])  # capitals come first
    assert f"most likely: {report.cause}" in unescape(report._repr_html_())


def test_a_report_on_maps_has_its_own_columns():
    head, *rows = Page(check_inverse(DiagonalScaling(2, 0.1), np.ones((1, 2)))._repr_html_()).rows
    assert head == ["array", "shape", "max error", "allowed", "verdict"]
    assert all(len(row) == 5 for row in rows)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plotting.density(flow(), resolution=5),
        lambda: plotting.bent_grid(flow()),
        lambda: plotting.density(flow(), resolution=5).figure,
        lambda: plotting.image_grid(np.zeros((4, 9))),
        lambda: plotting.sample_rows({"a": np.zeros((2, 9))}),
        lambda: plotting.spectrum(flow()),
        lambda: trained().plot(),
        lambda: plotting.whitening(*np.random.default_rng(0).normal(size=(2, 20, 2))),
    ],
)
def test_a_drawing_shows_its_figure(draw):
    assert draw()._repr_png_().startswith(PNG)


def test_an_animation_shows_itself_as_a_gif():
    assert Page(plotting.density_evolution([flow()], resolution=5)._repr_html_()).pictures[0].startswith(GIF)


def test_given_axes_come_back_as_they_are():
    ax = Figure().add_subplot()
    assert plotting.density(flow(), ax, resolution=5) is ax


@pytest.mark.parametrize("name", ["density", "history", "flow", "bent_grid", "report"])
def test_ipython_finds_it(name):
    formatters = pytest.importorskip("IPython.core.formatters")
    shown = {
        "density": (lambda: plotting.density(flow(), resolution=5), "image/png"),
        "bent_grid": (lambda: plotting.bent_grid(flow()), "image/png"),
        "history": (trained, "text/html"),
        "flow": (flow, "text/html"),
        "report": (lambda: check_gradients(DiagonalScaling(2), np.ones((1, 2))), "text/html"),
    }
    make, kind = shown[name]
    assert kind in formatters.DisplayFormatter().format(make())[0]


def test_showing_changes_no_settings_of_matplotlib():
    before = dict(mpl.rcParams)
    plotting.density(flow(), resolution=5)._repr_png_()
    trained()._repr_html_()
    assert dict(mpl.rcParams) == before


def test_matplotlib_is_loaded_only_when_something_is_drawn():
    program = (
        "import sys, nice_np\n"
        "flow = nice_np.nice(2, hidden=3)\n"
        "flow._repr_html_(); dir(nice_np)\n"
        "assert 'matplotlib' not in sys.modules\n"
        "assert nice_np.plotting.density and 'matplotlib' in sys.modules\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
