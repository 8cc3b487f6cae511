"""The Python of README.md and of the documents runs, and prints what they say."""

import re
from pathlib import Path

import pytest
from tutorial_mistakes import MISTAKES

from nice_np import __version__, fit, nice
from nice_np.datasets import cifar10, faces, mnist, names, svhn, tfd, two_moons
from nice_np.errors import NiceError, NiceTypeError, NiceValueError

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not (ROOT / "docs").exists(), reason="the documents are only in the checkout")


def blocks(name):
    return re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_readme_example_prints_what_it_says(capsys):
    (code,) = blocks("README.md")
    exec(compile(code, "README.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    promised = [line.rsplit(": ", 1)[1] for line in code.splitlines() if line.startswith("print")]
    assert printed == promised


def test_the_layers_of_the_document_on_own_layers_are_right(capsys, tmp_path, monkeypatch):
    whole, parameters, law, scale, registry_line = blocks("docs/own_layer.md")
    monkeypatch.chdir(tmp_path)  # they write files
    exec(compile(whole, "docs/own_layer.md", "exec"), {})
    assert capsys.readouterr().out.count("\nPASSED") == 3
    exec(compile(parameters, "docs/own_layer.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "forward: s" in printed
    assert "PASSED" in printed
    assert printed.splitlines()[-2:] == ["[5. 5.]", "0.0"]
    exec(compile(law, "docs/own_layer.md", "exec"), {})  # raises where a check fails
    exec(compile(scale, "docs/own_layer.md", "exec"), {"__name__": "page"})
    assert (tmp_path / "flow.npz").exists()
    assert "SinhCoupling" in registry_line


@pytest.mark.parametrize("sign", ["+=", "="])
def test_a_layer_that_adds_or_assigns_works_as_that_document_says(sign, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parameters = blocks("docs/own_layer.md")[1]
    assert parameters.count("self.ds[...] = ") == 2
    exec(compile(parameters.replace("self.ds[...] =", f"self.ds {sign}"), "docs/own_layer.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "PASSED" in printed
    assert printed.splitlines()[-2:] == ["[5. 5.]", "0.0"]


def test_a_gradient_that_no_name_announces_is_refused_as_that_document_says():
    parameters = blocks("docs/own_layer.md")[1]
    unnamed = parameters.replace('param_names = ("s",)', "param_names = ()")
    assert unnamed != parameters
    with pytest.raises(NiceValueError, match=r"s: an array with a gradient ds .* param_names"):
        exec(compile(unnamed, "docs/own_layer.md", "exec"), {})


def test_a_layer_without_config_is_not_saved_as_that_document_says():
    parameters = blocks("docs/own_layer.md")[1]
    silent = parameters.replace("def config(self)", "def other(self)").replace("epochs=20", "epochs=1")
    assert silent.count("def other") == 1
    with pytest.raises(NiceTypeError, match=r"Stretch.*config\(\) must return all arguments"):
        exec(compile(silent, "docs/own_layer.md", "exec"), {})


def test_a_wrong_sign_in_the_law_of_that_document_is_seen():
    law = blocks("docs/own_layer.md")[2]
    for right, wrong in [("dv - dlog_det", "dv + dlog_det"), ("return dy_b, -dminus", "return dy_b, dminus")]:
        assert law.count(right) == 1
        with pytest.raises(NiceError):
            exec(compile(law.replace(right, wrong), "docs/own_layer.md", "exec"), {})


def test_the_course_plan_names_every_mistake_that_is_planted():
    text = (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8")
    sections = {part.splitlines()[0].lower().replace(" ", "_"): part for part in text.split("\n### ")[1:]}
    assert sorted(sections) == sorted(MISTAKES)
    for notebook, section in sections.items():
        planted = [(str(k), what) for k in sorted(MISTAKES[notebook]) for what, _, _ in MISTAKES[notebook][k]]
        rows = [tuple(line.strip("| ").split(" | ")) for line in section.splitlines() if line.startswith("| ")][1:]
        assert [row[:2] for row in rows] == planted, notebook
        assert all(len(row) == 4 and row[3].endswith(("?", ".")) for row in rows), notebook


def test_the_citation_file_is_of_this_version():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {__version__}\n" in text
    assert f"version = {{{__version__}}}" in (ROOT / "docs" / "citing.md").read_text(encoding="utf-8")


def test_the_loss_of_the_design_document_is_right(rng):
    (code,) = [block for block in blocks("docs/design.md") if "def loss" in block]
    flow, x = nice(2, hidden=(4,), rng=0), two_moons(50, rng)
    fit(flow, x, epochs=1, progress=False, rng=0)
    variables = {"flow": flow, "x": x}
    exec(compile(code, "docs/design.md", "exec"), variables)
    nll, grads = variables["loss"](flow.params.values.copy())
    assert nll == pytest.approx(-flow.log_prob(x).mean(), abs=1e-4)
    assert grads.shape == flow.params.values.shape


def test_the_blocks_of_the_data_document_run(capsys):
    listing, error, own = blocks("docs/data.md")
    exec(compile(listing, "docs/data.md", "exec"), {})
    listed, representation = capsys.readouterr().out.splitlines()
    assert listed == str(names())
    assert f"# {representation}" in listing
    exec(compile(error, "docs/data.md", "exec"), {})
    assert capsys.readouterr().out.startswith("no olivettifaces.mat in a-folder-without-faces or ")
    exec(compile(own, "docs/data.md", "exec"), {})
    assert 8 < float(capsys.readouterr().out) < 9


def test_the_blocks_of_the_document_on_running_run(tmp_path, monkeypatch):
    pytest.importorskip("tensorboardX", reason='pip install -e ".[tensorboard]"')
    board, log = blocks("docs/running.md")
    monkeypatch.chdir(tmp_path)
    exec(compile(board, "docs/running.md", "exec"), {})
    assert len(list((tmp_path / "events").iterdir())) == 1
    assert "basicConfig" in log


def test_the_data_document_names_every_data_set_and_file():
    text = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    remote = [file.name for file in (cifar10.ARCHIVE, svhn.TRAIN_FILE, svhn.TEST_FILE, faces.FILE)]
    for word in (*(f"`{name}`" for name in names()), *mnist.CONTENTS, *remote, tfd.FILE, "NICE_NP_DATA"):
        assert word in text, word


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Dask itself
def test_the_blocks_of_the_document_on_other_tools_run(tmp_path, monkeypatch, capsys):
    for package in ("onnx", "onnxruntime", "distributed", "torch", "zuko"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    variables = {}
    for code in blocks("docs/ecosystem.md"):
        exec(compile(code, "docs/ecosystem.md", "exec"), variables)
    assert "nicedensity__architecture" in capsys.readouterr().out
    assert variables["x"].shape == (10, 784)
    assert (variables["same"].params.values == variables["flow"].params.values).all()


def test_the_numbers_of_the_exam(capsys):
    (code,) = blocks("docs/exam_solutions.md")
    exec(compile(code, "docs/exam_solutions.md", "exec"), {})
    text = (ROOT / "docs" / "exam_solutions.md").read_text(encoding="utf-8")
    assert f"It prints {', '.join(capsys.readouterr().out.splitlines())}." in text


def test_the_example_of_the_document_on_inference(capsys):
    (code,) = blocks("docs/inference.md")
    exec(compile(code, "docs/inference.md", "exec"), {})
    assert capsys.readouterr().out.splitlines() == ["True", "mu 4 +- 3", "log evidence -31.3 nats"]
