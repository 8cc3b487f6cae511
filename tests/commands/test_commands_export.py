"""nice-np export: files for other programs."""

import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import as_json, fail, succeed

from nice_np import load_model, nice, real_nvp, save_model
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


def test_what_cannot_be_exported(here, monkeypatch):
    save_model("affine.npz", real_nvp(4, hidden=(3,), rng=0))
    where = ["--out", "out"]
    assert "unknown format 'block' (did you mean blocks?)" in fail("export", "x", "--to", "block", *where, code=2)
    assert "required: --to, --out" in fail("export", "affine.npz", code=2)
    assert "got AffineCoupling" in fail("export", "affine.npz", "--to", "masked", *where, code=1)
    assert "missing" in fail("export", "missing", "--to", "masked", *where, code=1)
    for kind, ending, right in (("blocks", "onnx", "npz"), ("decode", "NPZ", "onnx")):
        err = fail("export", "affine.npz", "--to", kind, "--out", f"w.{ending}", code=2)
        assert f"argument --out: --to {kind} writes a file .{right}, got w.{ending}" in err
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert 'pip install "nice-np[onnx]"' in fail("export", "affine.npz", "--to", "encode", *where, code=1)
    assert not Path("out").exists()
