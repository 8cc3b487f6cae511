"""The page of finished runs: numbers and pictures, that it is self-contained and safe, and what is refused."""

import base64
import io
import json
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nice_np import (
    NiceFileError,
    NiceImportError,
    NiceTypeError,
    NiceValueError,
    cli,
    load_model,
    nice,
    plotting,
    variational_autoencoder,
)
from nice_np.datasets import load
from nice_np.datasets.base import SPLITS
from nice_np.runs.finished import read_runs
from nice_np.runs.folder import FIGURES
from nice_np.runs.report import KINDS, embed, make_poster, make_report
from nice_np.runs.table import table
from nice_np.training.history import COLUMNS, History

VOID = ("meta", "img")  # elements without an end tag


class Page(HTMLParser):
    """A parsed page: tags, attributes and text; a tag that is not closed is an error."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.texts, self.images, self.open = [], [], [], {}, []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "img":
            self.images[dict(attrs)["alt"]] = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip() and self.open[-1] != "style":
            self.texts.append(data.strip())

    def row(self, label):
        """The cells behind a label that occurs once."""
        assert self.texts.count(label) == 1
        return self.texts[self.texts.index(label) + 1 :]


def pixels(attributes):
    """The RGB pixels of an <img>, whose size must be the one it claims."""
    kind, data = attributes["src"].split(",")
    assert kind == "data:image/webp;base64"
    image = Image.open(io.BytesIO(base64.b64decode(data, validate=True)))
    assert image.size == (int(attributes["width"]), int(attributes["height"]))
    return np.asarray(image.convert("RGB"))


def png(colour=(10, 20, 30)):
    file = io.BytesIO()
    Image.new("RGB", (4, 3), colour).save(file, "PNG")
    return file.getvalue()


def write_run(folder, flow, *, dataset="mnist-small", image_shape=(28, 28), figures=("samples",), **more):
    """A finished run as `train` writes it, with invented numbers; `more` are fields of metrics.json."""
    (folder / "figures").mkdir(parents=True)
    for kind in figures:
        (folder / "figures" / f"{kind}.png").write_bytes(png())
    flow.save(folder / "model.npz")
    row = dict.fromkeys(History([{}]).rows[0]) | {
        "epoch": 1, "step": 5, "learning_rate": 0.1, "train_log_likelihood": -1.5,
        "validation_log_likelihood": -2.5, "validation_bits_per_dim": 3.5, "seconds": 0.25,
    }  # fmt: skip
    (folder / "history.csv").write_text(History([row]).to_csv(), encoding="utf-8")
    metrics = {
        "dataset": dataset, "preset": "digits", "seed": 3, "parameters": len(flow.params), "epochs": 1, "steps": 5,
        "train_seconds": 0.25, "image_shape": image_shape,
        **{name: dict.fromkeys(SPLITS, 1.5) for name in ("log_likelihood", "bits_per_dim", "standard_error")},
        **more,
    }  # fmt: skip
    (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    return folder


def command(*words):
    """Exit code, standard output and standard error of a command."""
    with pytest.MonkeyPatch.context() as patch:
        out, err = io.StringIO(), io.StringIO()
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        code = cli.main([str(word) for word in words])
    return code, out.getvalue(), err.getvalue()


def succeed(*words):
    code, out, err = command(*words)
    assert (code, err) == (0, "")
    return out


def fail(*words, code=1):
    found, out, err = command(*words)
    assert (found, out) == (code, "")
    assert err.startswith("nice-np: error: ")
    assert err.count("\n") == 1
    return err


@pytest.fixture(scope="module")
def trained(moons, demo):
    """The folders of a run on two moons and of one on digits, as the command line makes them; not to be changed."""
    return moons, demo[0]


@pytest.fixture
def plane(tmp_path):
    """A run on points of the plane."""
    flow = nice(2, hidden=(4,), rng=0)
    return write_run(tmp_path / "plane", flow, dataset="rings", image_shape=None, figures=("density",))


@pytest.fixture
def digits(tmp_path):
    """A run on the digits in the package."""
    return write_run(tmp_path / "digits", nice(784, hidden=(2,), rng=0))


@pytest.fixture
def labelled(tmp_path):
    """A run on the same digits with their labels."""
    flow = nice(784, hidden=(2,), context_dim=10, rng=0)
    flow.params.values[:] += 0.05
    scores = {"accuracy": dict.fromkeys(SPLITS, 0.75), "log_likelihood_given_label": dict.fromkeys(SPLITS, 1234.5)}
    return write_run(tmp_path / "labelled", flow, **scores)


# -- what the page says and shows -------------------------------------------------------------------------------------


def test_two_runs_side_by_side(trained, tmp_path):
    out = succeed("report", *trained, "--out", tmp_path / "page.html")
    assert out == f"2 run(s) side by side in {tmp_path / 'page.html'}\n"
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    page, metrics = Page(html), [json.loads((folder / "metrics.json").read_text()) for folder in trained]
    assert page.row("run")[:2] == ["moons", "demo"]
    assert page.row("data set")[:2] == ["two-moons", "mnist-small"]
    assert page.row("preset")[:2] == ["toy-affine", "digits"]
    assert page.row("seed")[:2] == ["3", "0"]
    assert page.row("parameters")[:2] == [f"{m['parameters']:,}" for m in metrics]
    assert page.row("steps")[:2] == [f"{m['steps']}" for m in metrics]
    assert page.row("seconds")[:2] == [f"{m['train_seconds']:,.1f}" for m in metrics]
    for text in page.row("processor")[:2]:
        assert text.startswith(f"{metrics[0]['threads']['cores']} core(s)")
    for m in metrics:
        nats, error = m["log_likelihood"], m["standard_error"]["test"]
        for text in (
            f"{nats['train']:,.2f}",
            f"{nats['validation']:,.2f}",
            f"{nats['test']:,.2f} ± {error:,.2f}",
        ):
            assert text in page.texts
        for split in SPLITS:
            assert f"{m['bits_per_dim'][split]:.4f}" in page.texts
    for text in ("Label accuracy", "test, given the label", "test, NICE paper"):
        assert text not in page.texts
    assert "AffineCoupling" in html
    assert len(html) < 1_500_000


def test_every_figure_is_there_pixel_for_pixel(trained):
    runs = read_runs(trained)
    page = Page(make_report(runs).html)
    drawn = 0
    for run in runs:
        for path in (run.folder / "figures").iterdir():
            shown = page.images[f"{KINDS[path.stem][0]}, {run.name}"]
            np.testing.assert_array_equal(pixels(shown), np.asarray(Image.open(path).convert("RGB")))
            drawn += 1
    others = [name for name in page.images if not name.endswith((", moons", ", demo"))]
    assert others == [
        "A row of test images and a row of samples for each data set",
        "Log-likelihood after each epoch of all runs on two-moons",
        "Log-likelihood after each epoch of all runs on mnist-small",
    ]
    assert drawn + len(others) == len(page.images) == 3 + 7 + 3


def section(html, title):
    """The part of a page below a heading."""
    (part,) = [part for part in html.split("<section>") if f"<h2>{title}</h2>" in part]
    return Page(part.split("</section>")[0])


def test_figures_of_one_kind_stand_in_one_row(digits, labelled, plane):
    html = make_report(read_runs([digits, labelled, plane])).html
    samples = section(html, "Samples")
    assert list(samples.images) == ["Samples, digits", "Samples, labelled"]
    assert ("class", "row") in samples.attributes
    assert "<h2>Spectrum</h2>" not in html


def test_wide_figures_stand_below_each_other(tmp_path):
    flow, figures = nice(2, hidden=(4,), rng=0), ("density", "bent_grid")
    folders = [write_run(tmp_path / name, flow, image_shape=None, figures=figures) for name in ("a", "b")]
    html = make_report(read_runs(folders)).html
    assert ("class", "row") in section(html, "Density").attributes
    assert ("class", "stack") in section(html, "Bent grid").attributes


def test_every_kind_of_figure_has_a_title():
    assert tuple(KINDS) == FIGURES


def test_the_command_in_the_table_trains_the_same(trained):
    moons, digits = (json.loads((folder / "metrics.json").read_text()) for folder in trained)
    assert moons["command"] == "nice-np train two-moons --epochs=1 --batch-size=5000 --seed=3"
    assert digits["command"] == "nice-np train mnist-small --time-limit=0.3"
    again = cli.parse(moons["command"].split()[1:])
    assert (again.dataset, again.epochs, again.batch_size, again.seed) == ("two-moons", 1, 5000, 3)


def test_curves_of_the_same_data_are_in_one_figure(digits, labelled, plane, monkeypatch):
    calls = []
    draw = plotting.training_curves
    monkeypatch.setattr(
        plotting, "training_curves", lambda histories, title: calls.append((list(histories), title)) or draw(histories)
    )
    make_report(read_runs([digits, plane, labelled]))
    assert calls == [(["digits", "labelled"], "Training on mnist-small"), (["plane"], "Training on rings")]


def test_a_run_with_labels(labelled, digits):
    groups = dict(table(read_runs([labelled, digits])))
    assert groups["Label accuracy"] == [(split, ["75.00%", "–"]) for split in SPLITS]
    assert ("test, given the label", ["1,234.50", "–"]) in groups["Log-likelihood (nats)"]


@pytest.fixture
def autoencoder(tmp_path):
    """A run of a VAE on the same digits."""
    model = variational_autoencoder(784, latent=2, hidden=(3,), rng=0)
    row = {"epoch": 1, "step": 5, "learning_rate": 0.1, "train_elbo": -150.0, "validation_elbo": -160.0,
           "validation_bits_per_dim": 0.3, "seconds": 0.25}  # fmt: skip
    folder = write_run(tmp_path / "autoencoder", model, figures=("samples", "reconstructions"))
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["elbo"] = dict.fromkeys(SPLITS, -160.25)
    metrics["configuration"] = {"vae": repr(model).splitlines()}
    del metrics["log_likelihood"]
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "history.csv").write_text(History([row], measure="elbo").to_csv())
    return folder


def test_a_vae_beside_a_flow_has_a_bound_and_no_likelihood(autoencoder, digits):
    runs = read_runs([autoencoder, digits])
    groups = dict(table(runs))
    assert groups["ELBO (nats)"] == [
        ("train", ["-160.25", "–"]), ("validation", ["-160.25", "–"]), ("test", ["-160.25 ± 1.50", "–"])
    ]  # fmt: skip
    assert [row[1][0] for row in groups["Log-likelihood (nats)"]] == ["–", "–", "–"]
    html = make_report(runs).html
    page = Page(html)
    assert "ELBO after each epoch of all runs on mnist-small" in page.images
    assert "Log-likelihood after each epoch of all runs on mnist-small" in page.images
    assert "The likelihood of a VAE is not known" in html
    assert "VAE(dim=784" in html
    alone = make_report(read_runs([digits])).html
    assert "The likelihood of a VAE" not in alone
    assert "ELBO (nats)" not in alone


def test_a_vae_has_no_row_of_the_paper(autoencoder):
    metrics = json.loads((autoencoder / "metrics.json").read_text())
    (autoencoder / "metrics.json").write_text(json.dumps({**metrics, "dataset": "mnist"}))
    groups = dict(table(read_runs([autoencoder])))
    assert "Log-likelihood (nats)" not in groups
    assert "test, NICE paper" not in dict(groups["bits/dim"])


def test_on_the_poster_a_vae_shows_its_means(autoencoder, rows):
    make_poster(read_runs([autoencoder]))
    model, _ = load_model(autoencoder / "model.npz")
    expected = model.decode(model.sample_latents(10, 3)).reshape(-1, 28, 28)
    np.testing.assert_array_equal(rows[1]["mnist-small"], expected)


def test_a_history_of_another_model(autoencoder, digits):
    shutil.copy(digits / "history.csv", autoencoder / "history.csv")
    with pytest.raises(NiceFileError, match=r"history.csv is damaged: it is of another model"):
        read_runs([autoencoder])


def test_numbers_of_the_paper(tmp_path):
    flow = nice(2, hidden=(4,), rng=0)
    names = ("mnist", "cifar10", "rings")
    folders = [write_run(tmp_path / name, flow, dataset=name, image_shape=None) for name in names]
    runs = read_runs(folders)
    rows = dict(dict(table(runs))["Log-likelihood (nats)"])
    assert rows["test, NICE paper"] == ["1,980.50", "5,371.78 *", "–"]
    bits = dict(dict(table(runs))["bits/dim"])
    assert bits["test, NICE paper"] == ["4.36", "4.48", "–"]
    assert "they are in another unit" in make_report(runs).html
    assert "they are in another unit" not in make_report(runs[2:]).html


def test_embedding_keeps_every_pixel(rng):
    noise = rng.integers(0, 256, (9, 14, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    uri, width, height = embed(file.getvalue(), "noise")
    np.testing.assert_array_equal(pixels({"src": uri, "width": width, "height": height}), noise)


# -- data and samples -------------------------------------------------------------------------------------------------


@pytest.fixture
def rows(monkeypatch):
    """What `plotting.data_and_samples` is asked to draw: [data, samples]."""
    asked = []
    draw = plotting.data_and_samples
    monkeypatch.setattr(plotting, "data_and_samples", lambda *given: asked.extend(given) or draw(*given))
    return asked


def test_the_poster_has_the_first_run_of_each_data_set_of_images(plane, digits, labelled, rows):
    poster = make_poster(read_runs([plane, digits, labelled]))
    data, samples = rows
    np.testing.assert_array_equal(data["mnist-small"], load("mnist-small").test[:10].reshape(-1, 28, 28))
    flow, _ = load_model(digits / "model.npz")
    np.testing.assert_array_equal(samples["mnist-small"], flow.sample(10, rng=3).reshape(-1, 28, 28))
    assert poster.models == {"mnist-small": "digits"}
    assert poster.left_out == {}
    assert poster.png.startswith(b"\x89PNG")


def test_on_the_poster_each_label_is_drawn_once(labelled, rows):
    make_poster(read_runs([labelled]))
    samples = rows[1]["mnist-small"].reshape(-1, 784)
    flow, _ = load_model(labelled / "model.npz")
    z = flow.prior.sample(10, 784, np.random.default_rng(3))
    np.testing.assert_allclose(samples, flow.decode(z, np.eye(10)), atol=1e-6)


def test_the_poster_as_a_file(digits, plane, tmp_path):
    page, picture = tmp_path / "page.html", tmp_path / "poster.png"
    out = succeed("report", plane, digits, "--out", page, "--poster", picture, "--json")
    assert json.loads(out) == {
        "out": str(page), "poster": str(picture), "left_out": {},
        "runs": {"plane": str(plane), "digits": str(digits)},
    }  # fmt: skip
    shown = Page(page.read_text(encoding="utf-8")).images["A row of test images and a row of samples for each data set"]
    np.testing.assert_array_equal(pixels(shown), np.asarray(Image.open(picture).convert("RGB")))
    assert "digits for mnist-small" in " ".join(page.read_text(encoding="utf-8").split())


def test_data_that_are_not_available_are_left_out_and_named(tmp_path, digits):
    mnist = write_run(tmp_path / "far", nice(784, hidden=(2,), rng=0), dataset="mnist")
    words = ("report", mnist, "--data-dir", tmp_path / "nowhere", "--out", tmp_path / "page.html")
    assert "train-images-idx3-ubyte" in fail(*words, "--poster", tmp_path / "a.png")
    assert not (tmp_path / "page.html").exists()
    assert "no samples beside the data of mnist: " in succeed(*words)
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "mnist is left out: its images were not available" in html
    assert str(tmp_path) not in html
    poster = make_poster(read_runs([mnist, digits]), tmp_path / "nowhere")
    assert list(poster.models) == ["mnist-small"]
    assert list(poster.left_out) == ["mnist"]


def test_no_images_no_poster(plane, tmp_path):
    assert make_poster(read_runs([plane])).png is None
    assert "<h2>Data and samples</h2>" not in make_report(read_runs([plane])).html
    words = ("report", plane, "--out", tmp_path / "a.html", "--poster", tmp_path / "a.png")
    assert "none of the runs is of images; leave out --poster" in fail(*words)
    assert not list(tmp_path.glob("a.*"))


def test_a_model_that_does_not_fit_its_data_set(tmp_path):
    folder = write_run(tmp_path / "odd", nice(3, hidden=(2,), rng=0))
    assert "data set mnist-small has 784 features, the model expects 3" in fail(
        "report", folder, "--out", tmp_path / "a.html"
    )


# -- whole and harmless -----------------------------------------------------------------------------------------------


def test_the_page_is_self_contained(trained):
    html = make_report(read_runs(trained)).html
    page = Page(html)
    assert {"script", "link", "iframe", "object", "base", "a"}.isdisjoint(page.tags)
    for name, value in page.attributes:
        assert name not in ("href", "srcset", "data", "action", "background", "poster")
        assert not name.startswith("on")
        assert name != "src" or value.startswith("data:image/webp;base64,")
    for text in ("http:", "https:", "//", "url(", "@import", *(str(folder.parent) for folder in trained)):
        assert text not in "".join(part for part in html.split('"') if not part.startswith("data:"))
    assert ("content", "default-src 'none'; img-src data:; style-src 'unsafe-inline'") in page.attributes


EVIL = "<img src=x onerror=alert(1)>\"'&amp;$_{{7*7}}"


def test_names_are_text(tmp_path):
    flow = nice(2, hidden=(4,), rng=0)

    def run(folder, text):
        texts = {"dataset": text, "preset": text, "command": text}
        more = {"threads": {text: text}, "configuration": {"flow": [text]}}
        return write_run(folder, flow, image_shape=None, figures=("density",), **texts, **more)

    evil, tame = run(tmp_path / EVIL, EVIL), run(tmp_path / "tame", "a")
    page = Page(make_report(read_runs([evil])).html)
    assert page.tags == Page(make_report(read_runs([tame])).html).tags
    assert page.texts.count(EVIL) >= 6  # run (twice), data set, preset, command, layers
    assert f"Density, {EVIL}" in page.images
    assert f"Layers of {EVIL}" in dict(page.attributes).values()


@pytest.mark.parametrize("name", ["雪", "two\nlines", "_hidden", "$x", "\x1b[31mred"])
def test_odd_names(name, plane, monkeypatch):
    plane.rename(plane.with_name(name))
    monkeypatch.chdir(plane.parent)
    succeed("report", f"./{name}", "--out", "page.html")
    shown = name.encode("unicode_escape").decode() if not name.isprintable() else name
    assert Page(Path("page.html").read_text(encoding="utf-8")).row("run")[0] == shown


def test_a_name_that_is_not_unicode(plane, tmp_path):
    odd = plane.rename(plane.with_name("odd\udce9"))
    succeed("report", odd, "--out", tmp_path / "page.html")
    assert r"odd\udce9" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_folders_of_the_same_name_are_told_apart(plane, monkeypatch):
    monkeypatch.chdir(plane.parent)
    shutil.copytree("plane", "other/plane")
    assert [run.name for run in read_runs([Path("plane"), Path("other/plane")])] == ["plane", str(Path("other/plane"))]
    monkeypatch.chdir("plane")
    assert read_runs([Path()])[0].name == "plane"


# -- what it refuses --------------------------------------------------------------------------------------------------


def test_without_jinja2(plane, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert 'pip install "nice-np[report]"' in fail("report", plane, "--out", tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()
    with pytest.raises(NiceImportError):
        make_report(read_runs([plane]))


def test_existing_files_are_replaced_only_with_force(plane, digits, tmp_path):
    page, picture = tmp_path / "page.html", tmp_path / "a.png"
    page.write_text("mine")
    assert f"{page} exists; --force replaces it" in fail("report", plane, "--out", page)
    picture.write_text("mine")
    words = ("report", digits, "--out", tmp_path / "new.html", "--poster", picture)
    assert f"{picture} exists; --force replaces it" in fail(*words)
    assert (page.read_text(), picture.read_text()) == ("mine", "mine")
    assert not (tmp_path / "new.html").exists()
    succeed("report", plane, "--out", page, "--force")
    succeed(*words, "--force")
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert picture.read_bytes().startswith(b"\x89PNG")


def damaged(change):
    """A change of metrics.json: new values of some fields."""

    def damage(folder):
        path = folder / "metrics.json"
        metrics = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps({**metrics, **change}), encoding="utf-8")

    return damage


def overwrite(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def unfinished(folder):
    (folder / "metrics.json").rename(folder / "checkpoint.npz")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda folder: shutil.rmtree(folder), "metrics.json: No such file"),
        (lambda folder: (folder / "metrics.json").unlink(), "metrics.json: No such file"),
        (unfinished, "is not finished, it has no metrics.json yet; continue with train --resume"),
        (overwrite("metrics.json", b""), "metrics.json is damaged: "),
        (overwrite("metrics.json", b"\xff\xfe"), "metrics.json is damaged: "),
        (overwrite("metrics.json", b"[" * 100_000), "metrics.json is damaged: "),
        (overwrite("metrics.json", b"[]"), "expected a JSON object"),
        (damaged({"preset": None}), "expected preset to be a string, got None"),
        (damaged({"steps": "7"}), "expected steps to be a number, got '7'"),
        (damaged({"steps": 10**400}), "metrics.json is damaged: int too large"),
        (damaged({"log_likelihood": 3}), "expected log_likelihood to have a number for each split, got 3"),
        (damaged({"bits_per_dim": {"test": 1}}), "expected bits_per_dim of train to be a number, got None"),
        (damaged({"accuracy": "all"}), "expected accuracy to have a number for each split"),
        (lambda folder: (folder / "history.csv").unlink(), "history.csv: No such file"),
        (overwrite("history.csv", b""), "history.csv is damaged: "),
        (overwrite("history.csv", b"epoch,step\n1,2\n"), "expected the columns epoch, step, learning_rate"),
        (overwrite("figures/samples.png", b"GIF89a"), "samples.png: not a complete PNG picture"),
        (overwrite("figures/samples.png", png()[:50]), "samples.png: not a complete PNG picture"),
        (overwrite("model.npz", b"PK"), "model.npz"),
        (lambda folder: (folder / "model.npz").unlink(), "model.npz"),
    ],
)
def test_damaged_runs(damage, says, digits, tmp_path):
    damage(digits)
    assert says in fail("report", digits, "--out", tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_a_page_that_cannot_be_written(plane, tmp_path):
    assert "cannot write" in fail("report", plane, "--out", tmp_path / "no" / "page.html")


def test_a_run_given_twice(plane):
    with pytest.raises(NiceValueError, match="is given twice"):
        read_runs([plane, plane / ".." / "plane"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("report --out a.html", "required: RUN"),
        ("report a", "required: --out"),
        ("report a --out a.pdf", "expected a file ending in .html, got 'a.pdf'"),
        ("report a --out a.html --poster a.jpg", "expected a file ending in .png, got 'a.jpg'"),
    ],
)
def test_usage_errors(words, says):
    assert says in fail(*words.split(), code=2)


def test_help_has_an_example():
    out = succeed("report", "--help")
    assert out.isascii()
    assert max(map(len, out.splitlines())) <= 110
    (example,) = [line.split() for line in out.splitlines() if line.startswith("  nice-np ")]
    assert cli.parse(example[1:]).command == "report"
    assert "report" in succeed("--help")


# -- a history, read back ---------------------------------------------------------------------------------------------


def test_a_history_is_read_back():
    row = {
        "epoch": 3, "step": 70, "learning_rate": 1e-3, "train_log_likelihood": -2.5,
        "validation_log_likelihood": None, "validation_bits_per_dim": None, "seconds": 1.5,
    }  # fmt: skip
    history = History([row, {**row, "epoch": 4, "validation_log_likelihood": -2.25}])
    again = History.from_csv(history.to_csv())
    assert again.rows == history.rows
    assert isinstance(again.rows[0]["epoch"], int)


@pytest.mark.parametrize("change", [("-2.5", "low"), ("-2.5", "-2.5,1"), ("1.5", ""), ("epoch", "Epoch"), ("1.5", '"')])
def test_a_table_that_is_not_a_history(change):
    text = "epoch,step,learning_rate,train_log_likelihood,validation_log_likelihood,validation_bits_per_dim,seconds\n"
    text += "1,2,3,-2.5,,,1.5"
    assert History.from_csv(text).rows[0]["train_log_likelihood"] == -2.5
    if change == ("1.5", ""):
        text, change = text.replace(",1.5", ""), ("", "")
    with pytest.raises(NiceValueError, match="History: not a training history"):
        History.from_csv(text.replace(*change))


def test_values_that_are_not_text_or_are_empty():
    with pytest.raises(NiceTypeError, match="History: text must be a str, got bytes"):
        History.from_csv(b"epoch")
    with pytest.raises(NiceValueError, match=r"History: not a training history: expected the columns .* got none"):
        History.from_csv("")


def test_histories_differ_by_what_their_scores_are_and_say_why_they_ended():
    assert History() == History(stopped="epochs")
    assert History() != History(measure="elbo")
    row = {**dict.fromkeys(COLUMNS, 1.0), "epoch": 3, "step": 70}
    assert repr(History([row])).endswith(", best epoch None)")
    assert repr(History([row], stopped="epochs")).endswith(", best epoch None, stopped by epochs)")


def test_bytes_that_are_not_a_picture():
    with pytest.raises(NiceFileError, match="cannot read here: not a complete PNG picture"):
        embed(b"none", "here")
