"""Damage a file in thousands of ways and read each: ``python mutate.py KIND SEED COUNT FOLDER`` prints the counts.

Every mutant must be refused by the promised exception, which names the file, or read as the original was; within two
seconds and 100 MiB.  Runs in a process of its own, so that a crash of it is seen, too.
"""

import gzip
import hashlib
import io
import json
import resource
import signal
import struct
import sys
import time
import traceback
import warnings
import zlib
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nice_np import errors

MEMORY = 100 * 2**20
SECONDS = 2.0


class Target(NamedTuple):
    """A file to damage: where it is read, what is in it, how it is read, and how it may be refused.

    `load` gives a fingerprint; that of a file with no checksum inside leaves out what may change unseen.
    `pack` turns the damaged bytes into the file, for formats in which a checksum would catch all damage at once.
    """

    path: Path
    content: bytes
    load: Callable[[], bytes]
    refusal: type[Exception] | tuple[type[Exception], ...]
    pack: Callable[[bytes], bytes] = bytes


def digest(*parts: Any) -> bytes:
    total = hashlib.sha256()
    for part in parts:
        total.update(part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode())
    return total.digest()


def of_model(model: Any, metadata: Any) -> bytes:
    return digest(repr(model), model.params.values, json.dumps(metadata))


def of_dataset(data: Any) -> bytes:
    splits = [f(name) for f in (data.split, data.labels) for name in ("train", "validation", "test")]
    return digest(data.name, data.image_shape, *splits)


def shape_of_dataset(n_labels: int, data: Any) -> bytes:
    """Of a file without checksum: pixels and labels may change, but not the shapes and the ranges."""
    for name in ("train", "validation", "test"):
        if not set(np.unique(data.labels(name)).tolist()) <= set(range(-1, n_labels)):
            raise AssertionError("labels out of range")
    sizes = [data.split(name).shape[1:] for name in ("train", "validation", "test")]
    return digest(sizes, data.train.dtype, data.n_train + data.n_validation + data.n_test)


# -- the files --------------------------------------------------------------------------------------------------------


def small_flow() -> Any:
    from nice_np import nice

    flow = nice(4, couplings=3, hidden=(3,), rng=0)
    flow.params.values[:] = np.random.default_rng(0).normal(size=len(flow.params))
    return flow


def model(folder: Path) -> Target:
    from nice_np import load_model

    path = folder / "model.npz"
    small_flow().save(path, {"note": "small"})
    return Target(path, path.read_bytes(), lambda: of_model(*load_model(path)), errors.CheckpointError)


def vae(folder: Path) -> Target:
    from nice_np import load_model, variational_autoencoder

    path = folder / "vae.npz"
    variational_autoencoder(6, 2, hidden=(4,), rng=0).save(path)
    return Target(path, path.read_bytes(), lambda: of_model(*load_model(path)), errors.CheckpointError)


def with_header(arrays: dict[str, Any]) -> Callable[[bytes], bytes]:
    from nice_np.files.npz import _write_members

    def pack(header: bytes) -> bytes:
        buffer = io.BytesIO()
        _write_members(buffer, {**arrays, "header": np.frombuffer(header, np.uint8)})
        return buffer.getvalue()

    return pack


def model_header(folder: Path) -> Target:
    """The JSON in a model, with a right checksum: what loads is a model, though it may be another one."""
    from nice_np import load_model
    from nice_np.files.npz import read_npz

    target = model(folder)
    arrays = read_npz(target.path)

    def load() -> bytes:
        flow, _ = load_model(target.path)
        if not np.isfinite(flow.sample(2, rng=0)).all():
            raise AssertionError("samples are not finite")
        return digest(len(flow.params))

    return target._replace(content=arrays["header"].tobytes(), load=load, pack=with_header(arrays))


def training(path: Path, resume: bool) -> bytes:
    from nice_np import fit

    flow, x = small_flow(), np.random.default_rng(1).normal(size=(30, 4))
    history = fit(
        flow, x, validation=x[:5], average=3, epochs=2, batch_size=10, progress=False, rng=0,
        checkpoint=path, resume=resume,
    )  # fmt: skip
    return digest(flow.params.values, history.rows)


def checkpoint(folder: Path) -> Target:
    path = folder / "checkpoint.npz"
    training(path, resume=False)
    return Target(path, path.read_bytes(), lambda: training(path, resume=True), errors.CheckpointError)


def checkpoint_header(folder: Path) -> Target:
    """The JSON in a checkpoint, with a right checksum: a setting that differs is named (ValueError)."""
    from nice_np.files.npz import read_npz

    target = checkpoint(folder)
    arrays = read_npz(target.path)

    def load() -> bytes:
        training(target.path, resume=True)
        return b""

    refusal = (errors.CheckpointError, errors.NiceValueError)
    return target._replace(content=arrays["header"].tobytes(), load=load, refusal=refusal, pack=with_header(arrays))


def checkpoint_history(folder: Path) -> Target:
    """The JSON of the history in a checkpoint, with a right checksum."""
    from nice_np.files.npz import read_npz

    target = checkpoint_header(folder)
    arrays = read_npz(target.path)
    header = arrays["header"].tobytes()

    def pack(history: bytes) -> bytes:
        return with_header({**arrays, "extra.history": np.frombuffer(history, np.uint8)})(header)

    return target._replace(content=arrays["extra.history"].tobytes(), pack=pack)


def idx(folder: Path) -> Target:
    """No checksum: a header that was hit is one of another array, which must be all that is in the file."""
    from nice_np.datasets.idx import read_idx, to_idx_bytes

    path = folder / "images-idx3-ubyte"
    content = to_idx_bytes(np.random.default_rng(0).integers(256, size=(5, 4, 3), dtype=np.uint8))

    def load() -> bytes:
        array = read_idx(path)
        if 4 + 4 * array.ndim + array.size != path.stat().st_size:
            raise AssertionError(f"{array.shape}")
        return b""

    return Target(path, content, load, errors.DatasetError)


def idx_gzip(folder: Path) -> Target:
    from nice_np.datasets.idx import read_idx

    plain = idx(folder)
    return plain._replace(content=gzip.compress(plain.content), load=lambda: digest(read_idx(plain.path)))


def cifar_files() -> dict[str, bytes]:
    from nice_np.datasets.cifar10 import RECORD, TEST_FILE, TRAIN_FILES

    records = np.random.default_rng(0).integers(256, size=(13, RECORD), dtype=np.uint8)
    records[:, 0] = np.arange(13) % 10
    return {TRAIN_FILES[0]: records[:10].tobytes(), TEST_FILE: records[10:].tobytes()}


def cifar10_records(folder: Path) -> Target:
    from nice_np.datasets import load_cifar10

    files = cifar_files()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    name, content = next(iter(files.items()))
    load = lambda: shape_of_dataset(10, load_cifar10(folder))  # noqa: E731
    return Target(folder / name, content, load, errors.DatasetError)


def cifar10_archive(folder: Path) -> Target:
    from test_cifar10 import tar_of

    from nice_np.datasets import load_cifar10
    from nice_np.datasets.cifar10 import ARCHIVE

    content = gzip.compress(tar_of(cifar_files()), 1, mtime=0)
    return Target(folder / ARCHIVE.name, content, lambda: of_dataset(load_cifar10(folder)), errors.DatasetError)


def cifar10_tar(folder: Path) -> Target:
    """The headers inside the archive, with a right checksum of gzip."""
    from test_cifar10 import tar_of

    tar, archive = tar_of(cifar_files()), cifar10_archive(folder)
    end = 3 * 512
    return archive._replace(content=tar[:end], pack=lambda head: gzip.compress(head + tar[end:], 1, mtime=0))


def tfd(folder: Path, compressed: bool = True) -> Target:
    from test_tfd import make, write

    from nice_np.datasets import load_tfd

    pictures = np.random.default_rng(0).integers(256, size=(12, 48, 48), dtype=np.uint8)
    path = write(folder, make(pictures, labs_id=None), compressed)
    exact, loose = of_dataset, lambda data: shape_of_dataset(8, data)
    summary = exact if compressed else loose
    return Target(path, path.read_bytes(), lambda: summary(load_tfd(folder)), errors.DatasetError)


def tfd_plain(folder: Path) -> Target:
    """Without compression there is no checksum; damaged where the numbers are not, at the two ends."""
    target = tfd(folder, compressed=False)
    content, load = target.content, target.load
    start, stop = 400, len(content) - 900
    middle = content[start:stop]
    head, tail = content[:start], content[stop:]

    def pack(ends: bytes) -> bytes:
        cut = min(len(head), len(ends))
        return ends[:cut] + middle + ends[cut:]

    return target._replace(content=head + tail, load=load, pack=pack)


def svhn(folder: Path) -> Target:
    from test_svhn import write

    from nice_np.datasets import load_svhn
    from nice_np.datasets.svhn import TEST_FILE, TRAIN_FILE

    pictures = np.random.default_rng(0).integers(256, size=(13, 32, 32, 3), dtype=np.uint8)
    write(folder / TRAIN_FILE.name, pictures[:10], np.arange(10))
    write(folder / TEST_FILE.name, pictures[10:], np.arange(3))
    path = folder / TEST_FILE.name
    return Target(path, path.read_bytes(), lambda: of_dataset(load_svhn(folder)), errors.DatasetError)


def faces(folder: Path) -> Target:
    from test_faces import write

    from nice_np.datasets import faces as module
    from nice_np.datasets import load_faces

    drawn = np.zeros((40, 10, 64, 64), np.uint8)
    drawn[:, :, ::7] = np.random.default_rng(0).integers(256, size=(40, 10, 1, 1))
    pixels = np.stack([picture.ravel(order="F") for person in drawn for picture in person])
    module.PIXELS_SHA256 = hashlib.sha256(pixels.tobytes()).hexdigest()
    path = folder / module.FILE.name
    write(path, drawn, do_compression=True)
    return Target(path, path.read_bytes(), lambda: of_dataset(load_faces(folder)), errors.DatasetError)


IMAGE_REFUSALS = (errors.NiceFileError, errors.NiceValueError, errors.DatasetError)


def npy(folder: Path) -> Target:
    """Images of a user's own; the header only, for the numbers have no checksum."""
    from nice_np.datasets.image_files import read_images

    path, buffer = folder / "x.npy", io.BytesIO()
    np.save(buffer, np.random.default_rng(0).random((3, 4, 6)))
    content, end = buffer.getvalue(), 128

    def load() -> bytes:
        rows = read_images(path, (4, 6))
        if rows.ndim != 2 or rows.shape[1] != 24 or rows.dtype not in (np.uint8, np.float64):
            raise AssertionError(f"{rows.shape} {rows.dtype}")
        return b""

    return Target(path, content[:end], load, IMAGE_REFUSALS, lambda head: head + content[end:])


def png_bytes() -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(256, size=(4, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG", pnginfo=None)
    return buffer.getvalue()


def png(folder: Path) -> Target:
    """Each chunk has a checksum, though not what stands behind the last one."""
    from nice_np.datasets.image_files import read_images

    path = folder / "x.png"
    return Target(path, png_bytes(), lambda: digest(read_images(path, (3, 4, 6))), IMAGE_REFUSALS)


def png_chunks(folder: Path) -> Target:
    """A picture whose chunks have right checksums around damaged contents."""
    from nice_np.datasets.image_files import read_images

    target = png(folder)

    def load() -> bytes:
        rows = read_images(target.path, (3, 4, 6))
        if rows.shape != (1, 72) or rows.dtype != np.uint8:
            raise AssertionError(f"{rows.shape} {rows.dtype}")
        return b""

    return target._replace(load=load, pack=sealed)


def sealed(content: bytes) -> bytes:
    """The same PNG chunks, as far as they can be followed, with right checksums."""
    out, at = content[:8], 8
    while at + 8 <= len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        body = content[at + 4 : at + 8 + length]
        if at + 12 + length > len(content):
            return out + content[at:]
        out += content[at : at + 4] + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + length
    return out + content[at:]


def inpaint(folder: Path) -> Target:
    """The whole command on a damaged picture: exit code 1, and one line that names it."""
    from nice_np import cli, nice, save_model

    picture, flow = png(folder), nice(72, hidden=(4,), rng=0)
    save_model(folder / "model.npz", flow, {"image_shape": (3, 4, 6)})
    words = [
        "inpaint", folder / "model.npz", "--images", picture.path, "--mask", "top", "--steps", "1", "--quiet",
        "--save", folder / "x.npy", "--out", folder / "x.pdf.png", "--force",
    ]  # fmt: skip

    def load() -> bytes:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()) as said:
            code = cli.main([str(word) for word in words])
        if code == 1 and said.getvalue().startswith("nice-np: error: ") and said.getvalue().count("\n") == 1:
            raise errors.NiceFileError(said.getvalue())
        if code != 0 or said.getvalue():
            raise AssertionError(f"exit code {code}, {said.getvalue()!r}")
        return digest(np.load(folder / "x.npy"))

    return picture._replace(load=load, refusal=errors.NiceFileError)


def settings_json(folder: Path) -> Target:
    """The settings of a run folder that is resumed."""
    from nice_np.runs.folder import open_folder

    settings = {"dataset": "rings", "seed": 3, "batch_size": 100, "average": None}
    path = folder / "settings.json"
    content = json.dumps(settings, indent=2).encode()
    folder.mkdir(exist_ok=True)
    (folder / "checkpoint.npz").touch()  # `open_folder` asks whether it is there; `fit` reads it

    def load() -> bytes:
        with open_folder(folder, settings, resume=True):
            return b""

    refusal = (errors.NiceFileError, errors.NiceValueError)
    return Target(path, content, load, refusal)


KINDS: dict[str, Callable[[Path], Target]] = {
    function.__name__: function
    for function in (
        model, vae, model_header, checkpoint, checkpoint_header, checkpoint_history, idx, idx_gzip, cifar10_records,
        cifar10_archive, cifar10_tar, tfd, tfd_plain, svhn, faces, npy, png, png_chunks, inpaint, settings_json,
    )
}  # fmt: skip


# -- the damage -------------------------------------------------------------------------------------------------------

WORDS = [b"\xff" * 4, bytes(4), b"\0\0\0\x80", b"\x7f\xff\xff\xff", b"PK\5\6", b"1e999", b"-1", b"NaN", b"null", b"["]


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """One to three flips, replacements, deletions, insertions, doublings or a cut."""
    data = bytearray(content)
    for _ in range(1 + int(rng.integers(3)) * int(rng.integers(2))):
        if not data:
            break
        at = int(rng.integers(len(data)))
        kind = int(rng.integers(8))
        if kind <= 1:
            data[at] ^= 1 << int(rng.integers(8))
        elif kind == 2:
            data[at] = int(rng.integers(256))
        elif kind == 3:
            del data[at : at + int(rng.integers(1, 9))]
        elif kind == 4:
            data[at:at] = rng.bytes(int(rng.integers(1, 9)))
        elif kind == 5:
            word = WORDS[int(rng.integers(len(WORDS)))]
            data[at : at + len(word)] = word
        elif kind == 6:
            end = at + int(rng.integers(1, 65))
            data[at:at] = data[at:end]
        else:
            del data[at:]
    return bytes(data)


class TooLong(BaseException):
    """Not an Exception: no reader may take it for damage."""


def _too_long(*_: Any) -> None:
    raise TooLong


def virtual_memory() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def attack(target: Target, seed: int, count: int, folder: Path) -> dict[str, Any]:
    """Counts of what became of `count` mutants; raises on the first that broke a promise."""
    target.path.write_bytes(target.pack(target.content))
    expected = target.load()  # and everything is imported and compiled before memory becomes scarce
    try:
        target.path.write_bytes(b"")
        target.load()
    except target.refusal:
        pass
    if sys.platform == "linux":
        limit = virtual_memory() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    signal.signal(signal.SIGALRM, _too_long)
    rng, same, refused, slowest = np.random.default_rng(seed), 0, 0, 0.0
    for turn in range(count):
        mutant = target.pack(damaged(target.content, rng))
        target.path.write_bytes(mutant)
        signal.alarm(60)
        before = time.process_time()
        try:
            found = target.load()
            if found != expected:
                raise AssertionError("it was read, but not as the original")
            same += 1
        except target.refusal as error:
            if str(target.path) not in str(error) and str(target.path.parent) not in str(error):
                keep(folder, mutant, turn, seed)
                raise AssertionError(f"the message does not name the file: {error}") from error
            refused += 1
        except BaseException:
            keep(folder, mutant, turn, seed)
            raise
        finally:
            signal.alarm(0)
        seconds = time.process_time() - before
        slowest = max(slowest, seconds)
        if seconds > SECONDS:
            keep(folder, mutant, turn, seed)
            raise AssertionError(f"it took {seconds:.1f} s")
    return {"mutants": count, "same": same, "refused": refused, "slowest": slowest}


def keep(folder: Path, mutant: bytes, turn: int, seed: int) -> None:
    path = folder / f"broken-{seed}-{turn}"
    path.write_bytes(mutant)
    print(f"turn {turn} of seed {seed} is kept as {path}", file=sys.stderr)


def main() -> int:
    kind, seed, count, name = sys.argv[1:]
    warnings.simplefilter("error")
    folder = Path(name)
    (folder / kind).mkdir()
    try:
        print(json.dumps(attack(KINDS[kind](folder / kind), int(seed), int(count), folder)))
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
