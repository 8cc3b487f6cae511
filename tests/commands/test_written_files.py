"""Every command that writes x every kind of thing that may be there already: what is replaced, and what never is."""

import json
import os
import socket
import stat
from pathlib import Path

import numpy as np
import pytest
from command_line import QUICK, run
from matplotlib.figure import Figure

from nice_np import NiceFileError, compress, integer_flow, nice, plotting, save_model
from nice_np.commands import train
from nice_np.interop import save_onnx

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX links, pipes, sockets and devices")
pytestmark = posix
SHAPE = (4, 6)
IMAGES = ("MODEL", "--images", "x.npy", "--steps", "1", "-n", "1", "--quiet")
INPAINT, RESTORE = ("inpaint", *IMAGES, "--mask", "top"), ("restore", *IMAGES, "--task", "denoise", "--sigma", "1")
WRITERS = {  # the words of the command, and the file that it writes
    "sample, array": (("sample", "MODEL", "-n", "2", "--out", "new/a.npy"), "a.npy"),
    "sample, picture": (("sample", "MODEL", "-n", "2", "--out", "new/a.png"), "a.png"),
    "export": (("export", "MODEL", "--to", "blocks", "--out", "new/a"), "a"),
    "export, ONNX": (("export", "MODEL", "--to", "log_prob", "--out", "new/a.onnx"), "a.onnx"),
    "report": (("report", "RUN", "--out", "new/a.html"), "a.html"),
    "report, poster": (("report", "RUN", "--out", "b.html", "--poster", "new/a.png"), "a.png"),
    "inpaint": ((*INPAINT, "--out", "new/a.png"), "a.png"),
    "inpaint, array": ((*INPAINT, "--out", "b.png", "--save", "new/a.npy"), "a.npy"),
    "restore": ((*RESTORE, "--out", "new/a.png"), "a.png"),
    "restore, array": ((*RESTORE, "--out", "b.png", "--save", "new/a.npy"), "a.npy"),
    "play": (("play", "--save", "new/a.png"), "a.png"),
    "compress": (("compress", "pixels.npy", "--model", "INTEGERS", "--out", "new/a"), "a"),
    "decompress": (("decompress", "CODE", "--model", "INTEGERS", "--out", "new/a.npy"), "a.npy"),
}
RUN_FILES = ("settings.json", "checkpoint.npz", "model.npz", "metrics.json", "history.csv", "figures/samples.png")
LOCK = ".nice-np.lock"
REGULAR = ("a private file", "a hard link")
NEVER = (
    "a folder", "a pipe", "a socket", "a device", "/dev/full", "a link to a file", "a link to nothing",
    "a link to a device", "a link to the standard output", "a link to a folder", "a link to itself",
)  # fmt: skip


def make(kind, path):
    """Put something at `path`; `mine` and `folder` beside it belong to somebody else."""
    mine, links = path.with_name("mine"), {
        "a file": "mine", "nothing": "missing", "a device": "/dev/full", "the standard output": "/dev/stdout",
        "a folder": "somewhere", "itself": path.name,
    }  # fmt: skip
    mine.write_text("mine")
    path.with_name("somewhere").mkdir()
    if kind.startswith("a link to "):
        path.symlink_to(links[kind.removeprefix("a link to ")])
    elif kind == "a hard link":
        os.link(mine, path)
    elif kind == "a folder":
        path.mkdir()
    elif kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a socket":
        here = os.getcwd()
        os.chdir(path.parent)  # a longer path does not fit into an address
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
        os.chdir(here)
    elif kind in ("a device", "/dev/full"):
        try:
            os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3 if kind == "a device" else 7))
        except PermissionError:
            pytest.skip("only root makes devices")
    else:
        path.write_text("theirs")
        path.chmod(0o600 if kind == "a private file" else 0o664)


def seen(folder):
    """All that can be told of the files in a folder: kind, mode, owner, inode, links, content or target."""
    found = {}
    for path in sorted(folder.rglob("*")):
        s = path.lstat()
        what = path.read_bytes() if stat.S_ISREG(s.st_mode) else os.readlink(path) if path.is_symlink() else None
        found[str(path.relative_to(folder))] = (s.st_mode, s.st_uid, s.st_ino, s.st_nlink, s.st_rdev, what)
    return found


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.npz"
    save_model(path, nice(24, hidden=(3,), rng=0), {"image_shape": SHAPE})
    integers = integer_flow(SHAPE, levels=1, channels=2, rng=0)
    save_model(path.with_name("integers.npz"), integers, {"image_shape": SHAPE})
    path.with_name("code").write_bytes(compress(integers, np.zeros((1, *SHAPE), np.uint8)))
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run, of images so that a report has a poster."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "draw", lambda *arguments: [])
        words = ("--preset", "digits-nice", "--batch-size", "5000", "--epochs", "1", "--quiet", "--out", folder)
        code, _, err = run("train", "mnist-small", *words)
    assert code == 0, err
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("pixels.npy", np.zeros((1, *SHAPE), np.uint8))
    np.save("x.npy", np.random.default_rng(0).uniform(size=(1, 24)))
    (tmp_path / "new").mkdir()
    return tmp_path


def words_of(writer, model, finished):
    words, name = WRITERS[writer]
    if writer == "export, ONNX":
        pytest.importorskip("onnx")
    files = {"MODEL": model, "RUN": finished}
    files |= {"INTEGERS": model.with_name("integers.npz"), "CODE": model.with_name("code")}
    return [str(files.get(word, word)) for word in words], Path("new") / name


@pytest.mark.parametrize("kind", NEVER)
@pytest.mark.parametrize("writer", WRITERS)
def test_what_is_no_regular_file_is_never_replaced(writer, kind, here, model, finished):
    words, path = words_of(writer, model, finished)
    make(kind, path)
    before = seen(here)
    for more in ((), ("--force",)):
        code, out, err = run(*words, *more)
        assert (code, out) == (1, "")
        assert err.startswith(f"nice-np: error: cannot write {path}: it is a ")
        assert err.count("\n") == 1
        assert seen(here) == before


@pytest.mark.parametrize("kind", REGULAR)
@pytest.mark.parametrize("writer", WRITERS)
def test_a_regular_file_is_replaced_with_force_alone(writer, kind, here, model, finished):
    words, path = words_of(writer, model, finished)
    make(kind, path)
    before, mode = seen(here), path.stat().st_mode
    code, out, err = run(*words)
    assert (code, out, err) == (1, "", f"nice-np: error: {path} exists; --force replaces it\n")
    assert seen(here) == before
    code, _, err = run(*words, "--force")
    assert code == 0, err
    assert path.read_bytes() not in (b"theirs", b"mine")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(mode)
    assert (here / "new" / "mine").read_text() == "mine"  # the other name of a hard link keeps its content
    assert {entry.name for entry in (here / "new").iterdir()} == {path.name, "mine", "somewhere"}


@pytest.mark.parametrize("kind", NEVER)
@pytest.mark.parametrize("name", [*RUN_FILES, LOCK])
def test_a_run_never_replaces_what_is_no_regular_file(name, kind, here, monkeypatch):
    monkeypatch.setattr(train, "load", lambda *arguments, **settings: pytest.fail("it was not refused before the work"))
    path = here / "new" / name
    path.parent.mkdir(exist_ok=True)
    make(kind, path)
    for words in ("train rings", "train rings --force", "demo", "demo --force", "train rings --resume"):
        if "--resume" in words and name != "checkpoint.npz":
            (here / "new" / "checkpoint.npz").write_bytes(b"")
        before = seen(here)
        code, out, err = run(*words.split(), "--out", "new", "--quiet")
        assert (code, out) == (1, "")
        assert "it is a " in err
        assert err.count("\n") == 1
        assert {k: v for k, v in seen(here).items() if k != "new/figures"} == {
            k: v for k, v in before.items() if k != "new/figures"
        }


@pytest.mark.parametrize("kind", ["a file", "a hard link"])
@pytest.mark.parametrize("name", RUN_FILES)
def test_a_run_replaces_files_of_others_with_force_alone(name, kind, here, monkeypatch):
    monkeypatch.setattr(train, "draw", lambda *arguments: [])
    path = here / "new" / name
    path.parent.mkdir(exist_ok=True)
    make(kind, path)
    before = seen(here)
    code, out, err = run("train", "rings", *QUICK, "--out", "new")
    assert (code, out) == (1, "")
    assert "was not written by nice-np" in err if name == "settings.json" else "already holds a run" in err
    assert seen(here) == before
    code, _, err = run("train", "rings", *QUICK, "--out", "new", "--force")
    assert code == 0, err
    assert (path.parent / "mine").read_text() == "mine"
    assert json.loads((here / "new" / "settings.json").read_text())["dataset"] == "rings"
    assert not path.exists() or path.read_bytes() not in (b"theirs", b"mine")


@pytest.mark.parametrize("kind", NEVER)
@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.npz", lambda path: save_model(path, nice(2, hidden=(3,), rng=0))),
        ("a.onnx", lambda path: save_onnx(nice(2, hidden=(3,), rng=0), path)),
        ("a.png", lambda path: plotting.save(Figure(), path)),
        ("a.svg", lambda path: plotting.save(Figure(), path)),
        ("a", lambda path: plotting.save(Figure(), path.with_suffix(""))),
    ],
    ids=["save_model", "save_onnx", "png", "svg", "without a suffix"],
)
def test_functions_never_replace_what_is_no_regular_file(name, write, kind, tmp_path):
    if name == "a.onnx":
        pytest.importorskip("onnx")
    path = tmp_path / ("a.png" if name == "a" else name)
    make(kind, path)
    before = seen(tmp_path)
    with pytest.raises(NiceFileError, match="it is a "):
        write(path)
    assert seen(tmp_path) == before
