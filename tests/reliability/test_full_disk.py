"""A full file system, or a limit on the size of files: an error that names the path, and the old file stays intact."""

import contextlib
import http.server
import os
import threading

import numpy as np
import pytest
from faults import files_limited_to, is_one_line_error, posix, run, small_disk, tally, temporaries, times
from kill_loop import state

from nice_np import NiceFileError, fit, nice, save_model
from nice_np.datasets.download import RemoteFile, fetch
from nice_np.errors import DatasetError

pytestmark = [posix, pytest.mark.slow]


@pytest.fixture(scope="module")
def moons(tmp_path_factory):
    """A finished run."""
    out = tmp_path_factory.mktemp("runs") / "moons"
    assert run("train", "two-moons", "--epochs", 1, "--batch-size", 5000, "--quiet", "--out", out).returncode == 0
    return out


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A model of images, and an image."""
    folder = tmp_path_factory.mktemp("images")
    save_model(folder / "model.npz", nice(24, hidden=(8,), rng=0), {"image_shape": (4, 6)})
    np.save(folder / "x.npy", np.random.default_rng(0).random((3, 24)))
    return folder


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def failed_without_a_trace(child, path, folder, before):
    assert child.returncode == 1, child.stderr
    assert is_one_line_error(child.stderr, "cannot write "), child.stderr
    assert str(path) in child.stderr
    assert child.stdout == ""
    assert contents(folder) == before
    assert temporaries(folder) == []


def writers(moons, images, out):
    """Every command that writes one file: words, and the file."""
    names = {name: out / f"{name}" for name in ("a.npy", "a.png", "i.npy", "i.png", "report.html", "e.npz")}
    inpaint = ("inpaint", images / "model.npz", "--images", images / "x.npy", "--mask", "top", "--steps", 2, "--quiet")
    return [
        (("sample", moons, "-n", 20_000, "--out", names["a.npy"]), names["a.npy"]),
        (("sample", moons, "--out", names["a.png"]), names["a.png"]),
        ((*inpaint, "--out", names["i.png"]), names["i.png"]),
        (("report", moons, "--out", names["report.html"]), names["report.html"]),
        (("export", images / "model.npz", "--to", "blocks", "--out", names["e.npz"]), names["e.npz"]),
    ]


@pytest.mark.parametrize("number", range(5))
def test_a_command_on_a_full_disk(number, moons, images, tmp_path):
    with small_disk(tmp_path / "disk", "8k") as disk:
        words, path = writers(moons, images, disk)[number]
        path.write_text("the old file")
        before = contents(disk)
        failed_without_a_trace(run(*words, "--force"), path, disk, before)
    tally("writes to a full disk or beyond a limit", 1)


@pytest.mark.parametrize("number", range(5))
def test_a_command_under_a_limit(number, moons, images, tmp_path):
    rng = np.random.default_rng(number)
    words, path = writers(moons, images, tmp_path)[number]
    path.write_text("the old file")
    before = contents(tmp_path)
    for limit in [0, *rng.integers(1, 2_000, times(1)).tolist()]:
        child = run(*words, "--force", preexec_fn=files_limited_to(int(limit)), stdin=None)
        failed_without_a_trace(child, path, tmp_path, before)
        tally("writes to a full disk or beyond a limit", 1)


def test_a_run_on_a_disk_of_every_size(moons, tmp_path):
    """Wherever the disk fills up, in settings, checkpoint, model, history or figures: one line that names the path."""
    codes = set()
    for size in ["4k", "12k", "40k", "80k", "140k", "200k", *(["100k", "160k", "250k"] if times(10) > 10 else [])]:
        with small_disk(tmp_path / "disk", size) as disk:
            child = run(
                "train", "two-moons", "--epochs", 2, "--batch-size", 2500, "--checkpoint-every", 1e-9, "--quiet",
                "--out", disk / "run",
            )  # fmt: skip
            codes.add(child.returncode)
            if child.returncode:
                assert child.returncode == 1
                assert is_one_line_error(child.stderr, str(disk)), child.stderr
                assert "cannot write" in child.stderr
            assert temporaries(disk) == []
            for path in disk.rglob("*.npz"):
                np.load(path, allow_pickle=False).close()
            if (disk / "run" / "checkpoint.npz").exists():
                state(disk / "run" / "checkpoint.npz")
        tally("writes to a full disk or beyond a limit", child.returncode)
    assert 1 in codes


def test_a_checkpoint_survives_the_disk_that_becomes_full(tmp_path):
    """The run that meets a full disk fails; with free space again it resumes from the last checkpoint, bit for bit."""
    x = np.random.default_rng(0).integers(0, 256, (60, 6), dtype=np.uint8)
    settings = {"epochs": 6, "batch_size": 20, "progress": False, "rng": 1, "checkpoint_every": 0}
    whole = nice(6, couplings=3, hidden=(8,), rng=0)
    fit(whole, x, checkpoint=tmp_path / "whole.npz", **settings)
    with small_disk(tmp_path / "disk", "64k") as disk:
        path = disk / "c.npz"
        seen = []

        def fill(model, history):
            seen.append(path.read_bytes())
            if len(seen) == 3:
                with contextlib.suppress(OSError), open(disk / "filler", "wb", buffering=0) as filler:
                    while True:
                        filler.write(bytes(1024))

        with pytest.raises(NiceFileError, match=rf"cannot write {path}: No space left on device") as caught:
            fit(nice(6, couplings=3, hidden=(8,), rng=0), x, checkpoint=path, callbacks=[fill], **settings)
        assert isinstance(caught.value, OSError)
        assert path.read_bytes() == seen[-1]
        assert sorted(os.listdir(disk)) == ["c.npz", "filler"]
        (disk / "filler").unlink()
        resumed = nice(6, couplings=3, hidden=(8,), rng=0)
        fit(resumed, x, checkpoint=path, resume=True, **settings)
        assert state(path) == state(tmp_path / "whole.npz")
    np.testing.assert_array_equal(resumed.params.values, whole.params.values)
    tally("writes to a full disk or beyond a limit", 1)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(bytes(100_000))

    def log_message(self, *args):
        pass


def test_a_download_cache_that_is_full(tmp_path):
    import hashlib

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_address[1]}/f"
            remote = RemoteFile("f", (url,), hashlib.sha256(bytes(100_000)).hexdigest(), 100_000)
            with small_disk(tmp_path / "disk", "32k") as disk:
                (disk / "f").write_text("an older version")
                with pytest.raises(DatasetError, match=f"cannot write {disk}/f: No space left on device"):
                    fetch(remote, disk, allow_http=True)
                assert os.listdir(disk) == ["f"]
                assert (disk / "f").read_text() == "an older version"
        finally:
            server.shutdown()
            thread.join()
    tally("writes to a full disk or beyond a limit", 1)


def test_standard_output_on_a_full_disk(moons, tmp_path):
    with small_disk(tmp_path / "disk", "4k") as disk:
        (disk / "filler").write_bytes(bytes(4096))
        with open(disk / "out", "w") as out:
            child = run("info", moons, stdout=out)
    assert child.returncode == 1
    assert child.stderr == "nice-np: error: cannot write to standard output: No space left on device\n"
    tally("writes to a full disk or beyond a limit", 1)
