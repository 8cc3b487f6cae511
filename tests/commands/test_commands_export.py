"""nice-np export: files for other programs."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import as_json, fail, succeed
from exported_flow import parts_of, read_back

from nice_np import load_model, nice, real_nvp, save_model, spline_flow
from nice_np.interop import from_state_dict


def test_weights_for_pytorch(here, rng):
    flow = nice(6, hidden=(5,), dtype=np.float64, rng=rng)
    save_model("flow.npz", flow)
    result = as_json(succeed("export", "flow.npz", "--to", "blocks", "--out", "weights.NPZ", "--json"))
    assert result == {"model": "flow.npz", "to": "blocks", "out": "weights.NPZ"}
    with np.load("weights.NPZ", allow_pickle=False) as state:
        again = from_state_dict(state, first_kept="even", dtype=np.float64)
    x = rng.normal(size=(4, 6))
    np.testing.assert_allclose(again.log_prob(x), flow.log_prob(x), rtol=1e-12)
    before = Path("weights.NPZ").read_bytes()
    assert "weights.NPZ exists; --force" in fail("export", "flow.npz", "--to", "blocks", "--out", "weights.NPZ", code=1)
    assert Path("weights.NPZ").read_bytes() == before
    succeed("export", "flow.npz", "--to", "blocks", "--out", "weights.NPZ", "--force")


@pytest.mark.parametrize("method", ["encode", "log_prob", "decode"])
def test_graphs(moons, here, method):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    out = succeed("export", moons, "--to", method, "--out", "flow.onnx")
    assert "an ONNX graph of " in out
    assert "written to flow.onnx" in out
    flow, _ = load_model(moons / "model.npz")
    session = onnxruntime.InferenceSession("flow.onnx")
    given = np.array([[0.1, -0.2], [0.3, 0.0]], np.float32)
    (there,) = session.run(None, {session.get_inputs()[0].name: given})
    np.testing.assert_allclose(there, getattr(flow, method)(given), rtol=1e-5, atol=1e-5)


def test_javascript(moons, here):
    out = succeed("export", moons, "--to", "web", "--out", "flow.js")
    assert "as a JavaScript file" in out
    text = Path("flow.js").read_text(encoding="utf-8")
    about, flow = parts_of(text)[0], load_model(moons / "model.npz")[0]
    metrics = json.loads((moons / "metrics.json").read_text(encoding="utf-8"))
    for name in ("dataset", "preset", "parameters", "epochs", "steps", "train_seconds", "bin_width"):
        assert about[name] == metrics[name]
    for name in ("log_likelihood", "bits_per_dim"):
        assert about[f"test_{name}"] == metrics[name]["test"]
    x = np.array([[0.1, -0.2], [0.3, 0.0]])
    np.testing.assert_allclose(read_back(text).log_prob(x), flow.log_prob(x), atol=0.02)
    save_model("alone.npz", flow, {"dataset": "</script>", "log_likelihood": 3})
    succeed("export", "alone.npz", "--to", "web", "--out", "alone.js")
    text = Path("alone.js").read_text(encoding="utf-8")
    assert "</" not in text
    assert parts_of(text)[0].keys() == {"nice_np", "parameters", "dataset"}


def test_what_cannot_be_exported(here, monkeypatch):
    save_model("affine.npz", real_nvp(4, hidden=(3,), rng=0))
    where = ["--out", "out"]
    assert "unknown format 'block' (did you mean blocks?)" in fail("export", "x", "--to", "block", *where, code=2)
    assert "required: --to, --out" in fail("export", "affine.npz", code=2)
    assert "got AffineCoupling" in fail("export", "affine.npz", "--to", "masked", *where, code=1)
    assert "missing" in fail("export", "missing", "--to", "masked", *where, code=1)
    wrong = [("blocks", "onnx", "npz"), ("decode", "NPZ", "onnx"), ("web", "npz", "js"), ("zuko", "js", "npz")]
    for kind, ending, right in wrong:
        err = fail("export", "affine.npz", "--to", kind, "--out", f"w.{ending}", code=2)
        assert f"argument --out: --to {kind} writes a file .{right}, got w.{ending}" in err
    save_model("spline.npz", spline_flow(4, layers=3, hidden=4, wiring="coupling", rng=0))
    assert "SplineCoupling, which flow.js does not know" in fail("export", "spline.npz", "--to", "web", *where, code=1)
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert 'pip install "nice-np[onnx]"' in fail("export", "affine.npz", "--to", "encode", *where, code=1)
    assert not Path("out").exists()
