"""Model files and checkpoints that are as large as they can be in one respect: ``python hostile.py FOLDER [NAME ...]``.

Each is read in a process of its own; seconds, MiB beyond those at the start, and what came of it are printed as JSON.
"""

import json
import os
import signal
import sys
import time
import traceback
from functools import partial
from pathlib import Path

import numpy as np

from nice_np import errors, fit, load_model, nice
from nice_np.files.npz import _write_members, read_npz
from nice_np.files.text import to_json

MIB = 2**20


def header(bijector, table=(), metadata=None, kind="model", **root):
    flow = {"class": "Flow", "prior": {"class": "StandardNormal"}, "bijector": bijector, **root}
    return {
        "format": "nice_np", "version": 1, "kind": kind, "dtype": "float64", "architecture": flow,
        "parameters": list(table), "metadata": metadata or {},
    }  # fmt: skip


def chain(layers):
    return header({"class": "Chain", "layers": layers})


def mlp(sizes, **more):
    return {"class": "MLP", "sizes": sizes, **more}


def coupling(conditioner=None, dim=2, idx_a=(0,), **more):
    return {
        "class": "AdditiveCoupling", "dim": dim, "idx_a": list(idx_a),
        "conditioner": mlp([1, 1]) if conditioner is None else conditioner, **more,
    }  # fmt: skip


def convnet(**changes):
    sizes = {"image_shape": [2, 2], "idx_a": [0, 3], "channels": [1], "thetas_per_feature": 1, "context_dim": 0}
    return {"class": "ConvNet", **sizes, **changes}


LOGIT = {"class": "Logit", "dim": 2}


def nested(depth):
    node = LOGIT
    for _ in range(depth):
        node = {"class": "Inverse", "bijector": node}
    return node


def tower(levels):
    """Chains of twice the chain before: 2^levels layers in a few lines."""
    node = LOGIT
    for level in range(levels):
        node = {"class": "Chain", "layers": [node, {"again": level + 1}]}  # number 0 is the prior
    return node


def text(size):
    return "x" * size


MANY = 9_900  # a little less than MAX_MODULES


def many_couplings(n=MANY // 4):
    paths = [f"bijector.layers.{i}.conditioner.layers.0" for i in range(n)]
    table = [row for path in paths for row in ([f"{path}.W", [1, 1]], [f"{path}.b", [1]])]
    return header({"class": "Chain", "layers": [coupling()] * n}, table), {"values": np.zeros(2 * n)}


def one_network(n):
    path = "bijector.conditioner.layers."
    table = [row for i in range(n) for row in ([f"{path}{i}.W", [1, 1]], [f"{path}{i}.b", [1]])]
    return header(coupling(mlp([1] * (n + 1))), table), {"values": np.zeros(2 * n)}


FILES = {
    # name: header (or bytes of one), further members
    "allowed: layers without parameters": lambda: (chain([LOGIT] * MANY), {}),
    "allowed: couplings": many_couplings,
    "allowed: one deep network": lambda: one_network(MANY),
    "allowed: again": lambda: (chain([LOGIT, *[{"again": 1}] * MANY]), {}),
    "allowed: again doubled": lambda: (header(tower(12)), {}),
    "allowed: nested chains": lambda: (chain([nested(45)] * 210), {}),
    "allowed: permutations": lambda: (chain([{"class": "Permutation", "order": [1, 0]}] * MANY), {}),
    "allowed: metadata of objects": lambda: (header(LOGIT, metadata={"x": [{"a": 0}] * 90_000}), {}),
    "allowed: metadata of keys": lambda: (header(LOGIT, metadata={f"{i:x}": 0 for i in range(190_000)}), {}),
    "allowed: numbers": lambda: (chain([coupling(mlp([1, 300_000, 1]))]), {}),
    "allowed: numbers of the file": lambda: (
        chain([coupling(mlp([1, 600_000, 1]))]), {"values": np.zeros(4 * MIB, "u1")}),
    "layers without parameters": lambda: (chain([LOGIT] * 150_000), {}),
    "layers of few parameters": lambda: (chain([{"class": "DiagonalScaling", "dim": 1}] * 95_000), {}),
    "couplings": lambda: (chain([coupling()] * 33_000), {}),
    "one deep network": lambda: (chain([coupling(mlp([1] * 1_000_000))]), {}),
    "deep networks": lambda: (chain([coupling(mlp([1] * 1000))] * 600), {}),
    "a deep convolution": lambda: (chain([coupling(convnet(channels=[1] * 90_000), dim=4, idx_a=[0, 3])]), {}),
    "values for deep networks": lambda: (chain([coupling(mlp([1] * 400_000))]), {"values": np.zeros(800_000)}),
    "again": lambda: (chain([LOGIT, *[{"again": 1}] * 330_000]), {}),
    "again doubled": lambda: (header(tower(45)), {}),
    "nested": lambda: (header(nested(45)), {}),
    "nested chains": lambda: (chain([nested(45)] * 2_500), {}),
    "couplings of many features": lambda: (chain([{"class": "Coupling", "dim": 900_000}] * 9), {}),
    "context of a coupling": lambda: (chain([coupling(context_dim=10**9)]), {}),
    "context around a layer": lambda: (
        chain([{"class": "WithContext", "bijector": LOGIT, "context_dim": 10**9}]), {}),
    "context of a flow": lambda: (
        header({"class": "WithContext", "bijector": LOGIT, "context_dim": 10**9}, context_dim=10**9), {}),
    "context of a convolution": lambda: (
        chain([coupling(convnet(context_dim=10**8), dim=4, idx_a=[0, 3], context_dim=10**8)]), {}),
    "channels that cancel": lambda: (
        chain([coupling(convnet(channels=[-(10**5), 10**5], context_dim=10**9), dim=4, idx_a=[0, 3])]), {}),
    "thetas of a convolution": lambda: (
        chain([coupling(convnet(thetas_per_feature=10**9), dim=4, idx_a=[0, 3])]), {}),
    "negative thetas": lambda: (
        chain([coupling(convnet(thetas_per_feature=-(10**9)), dim=4, idx_a=[0, 3])]), {}),
    "an image": lambda: (
        chain([coupling(convnet(image_shape=[30_000, 30_000]), dim=900_000_000, idx_a=[0, 3])]), {}),
    "an image of negative sides": lambda: (
        chain([coupling(convnet(image_shape=[-30_000, -30_000]), dim=4, idx_a=[0, 3])]), {}),
    "a wide network": lambda: (chain([coupling(mlp([1, 499_990, 1]))]), {}),
    "numbers of the file": lambda: (chain([coupling(mlp([1, 1_800_000, 1]))]), {"values": np.zeros(4 * MIB, "u1")}),
    "a wide scaling": lambda: (header({"class": "DiagonalScaling", "dim": 999_999}), {}),
    "a wide logit": lambda: (header({"class": "Logit", "dim": 10**9}), {}),
    "a permutation in JSON": lambda: (
        header({"class": "Permutation", "order": list(range(500_000))}), {}),
    "permutations in JSON": lambda: (chain([{"class": "Permutation", "order": [0]}] * 100_000), {}),
    "a permutation of lists": lambda: (header({"class": "Permutation", "order": [[0]] * 900_000}), {}),
    "a partition in JSON": lambda: (header(coupling(mlp([1, 1]), 900_000, range(400_000))), {}),
    "means in JSON": lambda: (
        header({"class": "Standardize", "mean": [0] * 900_000, "std": [1] * 900_000}), {}),
    "a dtype": lambda: (header({"class": "DiagonalScaling", "dim": 2, "dtype": "f4," * 1_000_000}), {}),
    "a name": lambda: (header({"class": text(4_000_000)}), {}),
    "a prior": lambda: (header(LOGIT, prior=text(4_000_000)), {}),
    "a scale": lambda: (
        chain([{**coupling(mlp([1, 2])), "class": "AffineCoupling", "scale": text(4_000_000)}]), {}),
    "an activation": lambda: (chain([coupling(mlp([1, 1], activation=text(4_000_000)))]), {}),
    "settings": lambda: (header({"class": "Logit", "dim": 2, **{f"a{i}": 0 for i in range(300_000)}}), {}),
    "a long setting": lambda: (header({"class": "Logit", "dim": 2, text(4_000_000): 0}), {}),
    "metadata of lists": lambda: (header(LOGIT, metadata={"x": [[]] * 2_000_000}), {}),
    "metadata of objects": lambda: (header(LOGIT, metadata={"x": [{"a": 0}] * 500_000}), {}),
    "metadata of keys": lambda: (header(LOGIT, metadata={f"{i:x}": 0 for i in range(420_000)}), {}),
    "metadata of numbers": lambda: (header(LOGIT, metadata={"x": [1e9] * 500_000}), {}),
    "metadata of small numbers": lambda: (header(LOGIT, metadata={"x": [0] * 1_900_000}), {}),
    "metadata of text": lambda: (header(LOGIT, metadata={"x": ["\x1b[31m"] * 300_000}), {}),
    "deep metadata": lambda: (header(LOGIT, metadata={"x": json.loads("[" * 900 + "]" * 900)}), {}),
    "deep objects in metadata": lambda: (
        header(LOGIT, metadata=json.loads('{"x":' * 900 + "0" + "}" * 900)), {}),
    "a table of parameters": lambda: (header(LOGIT, table=[["a", [1]]] * 300_000), {}),
    "members": lambda: (header(LOGIT), {f"array.{i}": np.zeros(1) for i in range(9_990)}),
    "twice as many members": lambda: (header(LOGIT), {f"{i}": np.zeros(0) for i in range(19_000)}),
    "members with long names": lambda: (header(LOGIT), {f"{i}" + text(8_900): np.zeros(0) for i in range(100)}),
    "a member with an absurd name": lambda: (header(LOGIT), {"\x1b[31m" + text(60_000): np.zeros(0)}),
    "extras with long names": lambda: (header(LOGIT), {f"extra.{i}" + text(8_900): np.zeros(0) for i in range(100)}),
    "empty axes": lambda: (header(LOGIT), {"values": np.zeros((0,) * 60)}),
    "JSON in UTF-16": lambda: (json.dumps(header(LOGIT)).encode("utf-16"), {}),
    "JSON of brackets": lambda: (b"[" * 4 * MIB, {}),
    "JSON of digits": lambda: (b"[" + b"9" * 4_000_000 + b"]", {}),
    "JSON of lists": lambda: (b"[" + b"[]," * 1_390_000 + b"0]", {}),
    "JSON of objects": lambda: (b"[" + b'{"a":0},' * 520_000 + b"0]", {}),
    "JSON of floats": lambda: (b"[" + b"1e9," * 1_000_000 + b"0]", {}),
    "JSON of surrogates": lambda: (b'["' + rb"\ud800" * 690_000 + b'"]', {}),
    "the same key": lambda: (b"{" + b'"a":0,' * 690_000 + b'"a":0}', {}),
}  # fmt: skip


ROW = {"epoch": 1, "step": 1, "learning_rate": 0.1, "seconds": 1.0, "validation_bits_per_dim": None}
HISTORIES = {  # the JSON of the history in a checkpoint
    "history of lists": lambda: b"[" + b"[]," * 1_300_000 + b"[]]",
    "history of objects": lambda: b"[" + b"{}," * 1_300_000 + b"{}]",
    "history of keys": lambda: json.dumps([{f"{i:x}": 0 for i in range(400_000)}]).encode(),
    "history of rows": lambda: json.dumps([ROW] * 40_000).encode(),
    "history of numbers": lambda: b"[" + b"0," * 2_000_000 + b"0]",
    "history of brackets": lambda: b"[" * 4 * MIB,
}


def train(path, resume):
    x = np.random.default_rng(1).normal(size=(30, 4))
    model = nice(4, couplings=3, hidden=(3,), rng=0)
    fit(model, x, epochs=2, batch_size=10, progress=False, rng=0, checkpoint=path, resume=resume)


def contents(name, folder):
    """The members of a file."""
    if name in HISTORIES:
        train(folder / "c.npz", resume=False)
        return {**read_npz(folder / "c.npz"), "extra.history": np.frombuffer(HISTORIES[name](), np.uint8)}
    head, members = FILES[name]()
    head = head if isinstance(head, bytes) else json.dumps(head, separators=(",", ":")).encode()
    return {"header": np.frombuffer(head, np.uint8), "values": np.zeros(0), **members}


def write(name, path):
    with open(path, "wb") as file:
        _write_members(file, contents(name, path.parent))


def read(name, path):
    """Resume from a checkpoint, or read a model and show it, as `nice-np info` does."""
    if name in HISTORIES:
        train(path, resume=True)
    else:
        model, metadata = load_model(path)
        return repr(model), to_json(metadata)
    return None


def peak():
    """MiB, the most so far; getrusage would count what the parent had before this process began."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def measured(name, path):
    """Seconds, MiB beyond the start, and what came of it."""
    before, started = peak(), time.process_time()
    try:
        read(name, path)
        said = "read"
    except errors.NiceError as error:
        said = f"{type(error).__name__}: {error}"
    return {"seconds": time.process_time() - started, "mib": peak() - before, "said": said}


def report(name, path):
    print(json.dumps([name, measured(name, path)]), flush=True)


def in_child(work):
    """Run it in a fork of this process, which has imported everything, with one minute of time."""
    if (child := os.fork()) == 0:
        signal.alarm(60)
        try:
            work()
            os._exit(0)
        finally:
            traceback.print_exc()
            os._exit(1)
    return os.waitpid(child, 0)[1]


def main():
    folder = Path(sys.argv[1])
    train(folder / "small.npz", resume=False)
    train(folder / "small.npz", resume=True)  # compiles, and imports what is imported late
    for name in sys.argv[2:] or [*FILES, *HISTORIES]:
        path = folder / "hostile.npz"
        if in_child(partial(write, name, path)) or in_child(partial(report, name, path)):
            raise SystemExit(f"{name} ended its process")
        for made in folder.iterdir():
            made.unlink()


if __name__ == "__main__":
    main()
