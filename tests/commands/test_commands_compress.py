"""nice-np compress and decompress: files that come back to the byte, and what is refused."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from command_line import as_json, fail, succeed
from registry import shaken

from nice_np import integer_flow, nice, save_model
from nice_np.commands import compress as command
from nice_np.datasets.idx import to_idx_bytes

SHAPE = (4, 8)


@pytest.fixture
def here(tmp_path, monkeypatch, rng):
    monkeypatch.chdir(tmp_path)
    flow = shaken(integer_flow(SHAPE, channels=3, rng=0), rng, 0.2)
    save_model("model.npz", flow, {"image_shape": SHAPE})
    pixels = np.clip(np.rint(256 * flow.sample(12, rng=rng)), 0, 255).astype(np.uint8).reshape(12, *SHAPE)
    Path("digits").write_bytes(to_idx_bytes(pixels))
    np.save("digits.npy", pixels)
    return pixels


def there_and_back(source, target):
    out = as_json(succeed("compress", source, "--model", "model.npz", "--out", "small", "--json"))
    assert out["bytes"] == Path("small").stat().st_size
    assert out["bits_per_pixel"] == pytest.approx(8 * out["bytes"] / out["pixels"])
    succeed("decompress", "small", "--model", "model.npz", "--out", target)


@pytest.mark.parametrize("name", ["digits", "digits.npy"])
def test_a_file_comes_back_to_the_byte(name, here):
    there_and_back(name, f"again{Path(name).suffix}")
    assert Path(f"again{Path(name).suffix}").read_bytes() == Path(name).read_bytes()


def test_other_kinds_of_files(here):
    from PIL import Image

    Path("digits.gz").write_bytes(gzip.compress(Path("digits").read_bytes()))
    Image.fromarray(here[3]).save("one.png")
    np.save("rows.npy", here.reshape(12, -1))
    for name, expected in (("digits.gz", here), ("one.png", here[3:4]), ("rows.npy", here.reshape(12, -1))):
        there_and_back(name, "again.npy")
        np.testing.assert_array_equal(np.load("again.npy"), expected, strict=True)
        Path("small").unlink()
        Path("again.npy").unlink()


def test_files_are_not_replaced_and_damage_is_named(here):
    there_and_back("digits", "again")
    words = ("compress", "digits", "--model", "model.npz", "--out", "small")
    assert "small exists; --force replaces it" in fail(*words, code=1)
    succeed(*words, "--force")
    back = ("decompress", "small", "--model", "model.npz", "--out")
    assert "again exists; --force replaces it" in fail(*back, "again", code=1)
    good = Path("small").read_bytes()
    for wrong in (good[:-1], good[:60], b"", good[:50] + b"?" + good[51:], Path("digits").read_bytes()):
        Path("small").write_bytes(wrong)
        assert "nice-np: error: small: " in fail(*back, "new", code=1)
        assert not Path("new").exists()


def test_wrong_models_and_files_are_refused(here, rng):
    save_model("dense.npz", nice(32, hidden=(4,), rng=0), {"image_shape": SHAPE})
    save_model("other.npz", shaken(integer_flow(SHAPE, channels=3, rng=0), rng, 0.2), {"image_shape": SHAPE})
    there_and_back("digits", "again")
    np.save("floats.npy", here / 255)
    np.save("larger.npy", np.zeros((2, 5, 8), np.uint8))
    for words, message in (
        ("compress digits --model dense.npz --out a", "dense.npz holds a Flow, whose likelihood is a density"),
        ("decompress small --model dense.npz --out a", "dense.npz holds a Flow, whose likelihood is a density"),
        ("decompress small --model other.npz --out a", "small: was compressed with another model"),
        ("compress floats.npy --model model.npz --out a", "floats.npy: expected N >= 1 images of 4 x 8 whole numbers"),
        ("compress larger.npy --model model.npz --out a", "larger.npy: expected N >= 1 images of 4 x 8 whole numbers"),
        ("compress missing --model model.npz --out a", "missing: no such file"),
        ("decompress missing --model model.npz --out a", "missing: no such file"),
        ("compress digits --model missing.npz --out a", "missing.npz"),
        ("compress digits --model model.npz --out none/a", "cannot write none/a"),
    ):
        assert message in fail(*words.split(), code=1)
        assert not Path("a").exists()
    assert "--model" in fail("compress", "digits", "--out", "a", code=2)


def test_an_interruption_leaves_nothing(here, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    before = sorted(path.name for path in Path().iterdir())
    monkeypatch.setattr(command, "compress", interrupted)
    fail("compress", "digits", "--model", "model.npz", "--out", "small", code=130)
    assert sorted(path.name for path in Path().iterdir()) == before
