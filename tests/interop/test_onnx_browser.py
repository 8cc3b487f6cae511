"""ONNX graphs in a browser: the numbers are Python's, and the page of the documentation draws."""

import base64
import io
import json
import os
import re
import shutil
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import registry
from browser import needs_chromium, opened, served
from matplotlib import image

from nice_np import nice, real_nvp
from nice_np.interop import save_onnx

DIGITS = Path(__file__).parents[2] / "docs" / "browser" / "digits.html"
SCRIPTS = ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
pytestmark = [
    pytest.mark.slow,
    needs_chromium,
    pytest.mark.skipif("ORT_WEB" not in os.environ, reason="ORT_WEB names no folder of onnxruntime-web's package/dist"),
]
# Runs the calls of calls.json and shows the outputs.
NUMBERS = """<!doctype html><pre id="numbers"></pre><script src="ort.wasm.min.js"></script><script type="module">
const results = [];
for (const {file, inputs} of await (await fetch("calls.json")).json()) {
  const session = await ort.InferenceSession.create(file);
  const tensor = ({data, shape}) => new ort.Tensor("float32", Float32Array.from(data), shape);
  const given = Object.fromEntries(Object.entries(inputs).map(([name, array]) => [name, tensor(array)]));
  const output = (await session.run(given))[session.outputNames[0]];
  results.push({data: Array.from(output.data), shape: output.dims});
}
document.getElementById("numbers").textContent = JSON.stringify(results);
</script>"""
# Fixes the random numbers, and copies the picture's pixels into the page.
WITNESS = """<pre id="png"></pre><script>
Math.random = () => 0.75;
new MutationObserver(() => { element("png").textContent = element("picture").toDataURL(); })
  .observe(element("status"), {childList: true});
</script>"""
SLIDER = """<pre id="png"></pre><script>
const warmer = ["1.0", "0.7"];  // from 0.7 and back
new MutationObserver(() => {
  element("png").textContent += element("picture").toDataURL() + " ";
  if (warmer.length) { element("temperature").value = warmer.shift(); element("temperature").oninput(); }
}).observe(element("status"), {childList: true});
</script>"""


@pytest.fixture
def page(tmp_path):
    """A folder with onnxruntime-web."""
    pytest.importorskip("onnx")
    folder = tmp_path / "page"
    folder.mkdir()
    for name in SCRIPTS:
        shutil.copy(Path(os.environ["ORT_WEB"]) / name, folder)
    return folder


def as_record(array):
    return {"data": array.ravel().tolist(), "shape": array.shape}


def test_the_numbers_are_those_of_python(page, tmp_path, rng):
    x = rng.normal(size=(5, 6)).astype(np.float32)
    context = np.eye(3, dtype=np.float32)[rng.integers(3, size=5)]
    calls, expected = [], []
    for k, (flow, given) in enumerate([
        (nice(6, hidden=(8, 8), prior="logistic", rng=rng), {}),
        (real_nvp(6, hidden=(8, 8), prior="normal", rng=rng), {}),
        (real_nvp(6, hidden=(8,), context_dim=3, rng=rng), {"context": context}),
    ]):  # fmt: skip
        registry.shaken(flow, rng)
        for method, name in (("encode", "x"), ("log_prob", "x"), ("decode", "z")):
            save_onnx(flow, page / f"{method}{k}.onnx", method)
            arrays = {name: as_record(x)} | {name: as_record(array) for name, array in given.items()}
            calls.append({"file": f"{method}{k}.onnx", "inputs": arrays})
            expected.append(getattr(flow, method)(x, **given))
    (page / "calls.json").write_text(json.dumps(calls))
    (page / "numbers.html").write_text(NUMBERS)
    with served(page) as (address, missing):
        dom, errors = opened(f"{address}/numbers.html", tmp_path / "profile")
    assert (errors, missing) == ([], [])
    results = json.loads(found("numbers", dom))
    for call, result, values in zip(calls, results, expected, strict=True):
        there = np.reshape(result["data"], result["shape"])
        np.testing.assert_allclose(there, values, rtol=1e-5, atol=1e-5, err_msg=call["file"])


def test_the_page_of_the_documentation_draws(page, tmp_path, rng):
    flow = registry.shaken(nice(64, hidden=(8,), prior="logistic", rng=rng), rng)
    save_onnx(flow, page / "decode.onnx", "decode")
    (page / "digits.html").write_text(DIGITS.read_text(encoding="utf-8") + WITNESS, encoding="utf-8")
    with served(page) as (address, missing):
        dom, errors = opened(f"{address}/digits.html", tmp_path / "profile")
    assert (errors, missing) == ([], [])
    assert found("status", dom).startswith("40 images of 8 x 8 pixels, temperature 0.70: ")
    shown = image.imread(io.BytesIO(base64.b64decode(found("png", dom).split(",")[1])))  # (5 * 8, 8 * 8, RGBA)
    latents = np.full((1, 64), 0.7 * np.log(3), np.float32)  # where the logistic distribution function is 0.75
    expected = np.clip(flow.decode(latents), 0, 1).reshape(8, 8)
    assert expected.std() > 0
    np.testing.assert_allclose(shown[..., :3], np.tile(expected, (5, 8))[..., None] * np.ones(3), atol=0.6 / 255)


@pytest.mark.parametrize("prior", ["logistic", "normal"])
def test_the_slider_keeps_the_latents(prior, page, tmp_path, rng):
    save_onnx(registry.shaken(nice(64, hidden=(8,), prior=prior, rng=rng), rng), page / "decode.onnx", "decode")
    text = DIGITS.read_text(encoding="utf-8").replace("const draw = logistic;", f"const draw = {prior};")
    assert f"const draw = {prior};" in text
    (page / "digits.html").write_text(text + SLIDER, encoding="utf-8")
    with served(page) as (address, missing):
        dom, errors = opened(f"{address}/digits.html", tmp_path / "profile")
    assert (errors, missing) == ([], [])
    first, warm, again = found("png", dom).split()
    assert first == again != warm


def test_the_page_says_what_it_cannot_draw(page, tmp_path, rng):
    save_onnx(nice(6, hidden=(8,), rng=rng), page / "decode.onnx", "decode")
    shutil.copy(DIGITS, page)
    with served(page) as (address, missing):
        dom, _ = opened(f"{address}/digits.html", tmp_path / "profile")
        assert found("status", dom) == "Not drawn: 6 features are not a square gray image"
        assert missing == []
        (page / "decode.onnx").unlink()
        dom, _ = opened(f"{address}/digits.html", tmp_path / "profile")
        assert found("status", dom).startswith("Not drawn: ")
        assert missing == ["/decode.onnx"]


def found(name, dom):
    """The text of the element with this id."""
    return unescape(re.search(rf'<\w+ id="{name}">(.*?)</', dom)[1])
