"""Models in files: what is saved comes back bit for bit, and a damaged or hostile file is refused."""

import io
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from registry import BIJECTORS, draw
from test_npz import posix

from nice_np import (
    MLP,
    AdditiveCoupling,
    Bijector,
    Chain,
    CheckpointError,
    DiagonalScaling,
    Flow,
    Inverse,
    Module,
    NiceFileError,
    NiceTypeError,
    NiceValueError,
    Partition,
    Permutation,
    Standardize,
    fit,
    load_model,
    nice,
    real_nvp,
    save_model,
)
from nice_np.files import architecture as module
from nice_np.files.npz import _write_members, read_npz, write_npz


class Shift(Bijector):
    """A user's layer with its own arrays and settings; its description of itself can be falsified."""

    param_names = ("shift",)

    def __init__(self, dim, table=None, inner=None, **others):
        self.dim, self.table, self.inner, self.others = dim, table, inner, others
        self.shift, self.dshift = np.zeros(dim), np.zeros(dim)

    def forward(self, x):
        return x + self.shift, np.zeros(len(x)), None

    def inverse(self, z):
        return z - self.shift, np.zeros(len(z)), None

    def backward(self, dz, dlog_det, cache):
        return dz

    inverse_backward = backward

    def config(self):
        return {"dim": self.dim, "table": self.table, "inner": self.inner, **self.others}


def small():
    """Two additive couplings and a scaling; 38 parameters in float64."""
    partition, rng = Partition.odd_even(4), np.random.default_rng(0)
    couplings = [AdditiveCoupling(p, MLP((2, 3, 2), rng=rng)) for p in (partition, partition.swapped())]
    flow = Flow("logistic", Chain([*couplings, DiagonalScaling(4)]))
    flow.params.values[:] = rng.normal(size=len(flow.params))
    return flow


def assert_same(flow, back):
    assert type(back) is type(flow)
    assert repr(back) == repr(flow)
    assert back.dtype == flow.dtype
    assert back.params.slots == flow.params.slots
    assert back.params.values.tobytes() == flow.params.values.tobytes()
    assert not back.params.grads.any()
    x = draw(flow.bijector, np.random.default_rng(0), (7, flow.dim))
    assert back.log_prob(x).tobytes() == flow.log_prob(x).tobytes()
    assert back.sample(3, rng=1).tobytes() == flow.sample(3, rng=1).tobytes()


def packed(arrays):
    """Like `write_npz`, but in memory: a thousand fsyncs would be slow."""
    buffer = io.BytesIO()
    _write_members(buffer, arrays)
    return buffer.getvalue()


def edited(path, change, **members):
    """The file at `path` with its header changed by a function, and members replaced, added or (None) dropped."""
    arrays = read_npz(path)
    header = json.loads(arrays["header"].tobytes())
    header = change(header) or header
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    arrays.update(members)
    write_npz(path, {name: array for name, array in arrays.items() if array is not None})


@pytest.fixture
def path(tmp_path):
    """A small saved model: a Chain of two couplings with separate arrays, and a scaling."""
    small().save(tmp_path / "model.npz", {"note": "small"})
    return tmp_path / "model.npz"


# -- there and back -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prior", ["logistic", "normal"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("make", BIJECTORS.values(), ids=BIJECTORS.keys())
def test_every_bijector_comes_back_bit_for_bit(make, dtype, prior, rng, tmp_path):
    bijector = make(rng)
    bijector.cast(np.dtype(dtype))
    flow = Flow(prior, bijector)
    flow.save(tmp_path / "model", {})
    assert os.listdir(tmp_path) == ["model"], "the path is used as given"
    assert_same(flow, Flow.load(str(tmp_path / "model")))


@pytest.mark.parametrize("partition", ["odd-even", "halves"])
@pytest.mark.parametrize("scale", ["exp", "tanh", "sigmoid", "softplus"])
def test_the_papers_models_come_back_bit_for_bit(partition, scale, rng, tmp_path):
    for flow in (
        real_nvp(5, couplings=3, hidden=(4,), scale=scale, partition=partition, dtype=np.float32, rng=0),
        nice(7, couplings=3, hidden=(4, 3), partition=partition, rng=0),
    ):
        flow.params.values[:] = rng.normal(size=len(flow.params))
        flow.save(tmp_path / "m.npz")
        assert_same(flow, Flow.load(tmp_path / "m.npz"))


def test_an_unfitted_standardize_is_unfitted_afterwards(tmp_path):
    Flow("normal", Chain([Standardize.unfitted(3), DiagonalScaling(3)])).save(tmp_path / "m")
    assert Flow.load(tmp_path / "m").bijector.layers[0].fitted is False


def test_a_permutation_used_twice_stays_one_object(rng, tmp_path):
    shared = Permutation.random(4, rng)
    flow = Flow("normal", Chain([shared, DiagonalScaling(4), shared]))
    flow.save(tmp_path / "m")
    back = Flow.load(tmp_path / "m")
    assert_same(flow, back)
    assert back.bijector.layers[0] is back.bijector.layers[2]


def test_your_own_layer_must_be_named(rng, tmp_path):
    layer = Shift(3, np.arange(6.0).reshape(2, 3), [DiagonalScaling(3), [1, "two", None, True]], array=[7], again=0)
    flow = Flow("normal", layer)
    flow.params.values[:] = rng.normal(size=len(flow.params))
    flow.save(tmp_path / "m")
    with pytest.raises(CheckpointError, match=r"unknown class 'Shift'; pass your own classes as load\(path, classes="):
        Flow.load(tmp_path / "m")
    back = Flow.load(tmp_path / "m", classes=[Shift])
    assert_same(flow, back)
    assert back.bijector.table.tobytes() == layer.table.tobytes()
    assert back.bijector.inner[1] == [1, "two", None, True]
    assert back.bijector.others == {"array": [7], "again": 0}


@pytest.mark.parametrize("classes", [Shift, [3], ["Shift"], [int]])
def test_classes_must_be_classes(classes, path):
    with pytest.raises(NiceTypeError, match="classes must be a list of Module subclasses"):
        Flow.load(path, classes=classes)


def test_metadata_comes_back(tmp_path):
    metadata = {"seed": 3, "text": "ß \ud800", "list": [1, None, True, {"x": 0.1}], "big": 2**70, "": {}}
    save_model(tmp_path / "m", small(), metadata)
    assert load_model(tmp_path / "m")[1] == metadata
    save_model(tmp_path / "m", small())
    assert load_model(tmp_path / "m")[1] == {}


LOOP: list = []
LOOP.append(LOOP)
DEEP: list = []
for _ in range(100_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), np.arange(3), {1, 2}, b"x", np.float32(1), object(), LOOP, DEEP, "x" * 5_000_000],
    ids=lambda value: type(value).__name__,
)
def test_metadata_that_is_not_json_is_refused(value, path):
    before = path.read_bytes()
    with pytest.raises(NiceValueError, match=r"JSON|bytes of architecture and metadata"):
        small().save(path, {"key": value})
    assert path.read_bytes() == before


@pytest.mark.parametrize("metadata", [[], "text", 3])
def test_metadata_must_be_a_dict(metadata, tmp_path):
    with pytest.raises(NiceTypeError, match="metadata must be a dict"):
        small().save(tmp_path / "m", metadata)


def test_arguments_of_the_wrong_type(path):
    with pytest.raises(NiceTypeError, match="model must be a Flow or a VAE, got"):
        save_model(path, DiagonalScaling(3))
    for door in (small().save, Flow.load):
        with pytest.raises(NiceTypeError, match="path must be a string or a Path, got 3"):
            door(3)


@pytest.mark.parametrize(
    "layer",
    [
        Shift(3, np.array([True])),
        Shift(3, np.array(["a"])),
        Shift(3, {"a": 1}),
        Shift(3, object()),
        type("DiagonalScaling", (Shift,), {})(3),
    ],
)
def test_a_layer_that_could_not_be_loaded_is_refused(layer, path):
    before = path.read_bytes()
    with pytest.raises(NiceTypeError, match=r"cannot be saved|can be saved|has the name of one of nice_np's"):
        Flow("normal", layer).save(path)
    assert path.read_bytes() == before


def test_a_nesting_too_deep_to_load_is_not_saved(tmp_path):
    layer = DiagonalScaling(2)
    for _ in range(module.MAX_DEPTH - 2):
        layer = Chain([layer])
    flow = Flow("normal", layer)
    flow.save(tmp_path / "m")
    assert_same(flow, Flow.load(tmp_path / "m"))
    for depth in (10, 2000):
        layer = DiagonalScaling(2)
        flow = Flow("normal", layer)
        for _ in range(depth * 11):
            layer = Inverse(layer)
        vars(flow)["bijector"] = layer
        with pytest.raises(NiceValueError, match=r"nested more than 50|recursion"):
            flow.save(tmp_path / "deep")
    assert os.listdir(tmp_path) == ["m"]


def test_the_same_flow_gives_the_same_bytes_and_numpy_can_read_them(path, tmp_path):
    small().save(tmp_path / "again.npz", {"note": "small"})
    assert path.read_bytes() == (tmp_path / "again.npz").read_bytes()
    with np.load(path, allow_pickle=False) as archive:
        assert archive["values"].tobytes() == small().params.values.tobytes()
        assert json.loads(archive["header"].tobytes())["format"] == "nice_np"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_is_never_written(bad, path):
    before = path.read_bytes()
    flow = small()
    flow.params.values[-1] = bad
    with pytest.raises(NiceValueError, match=f"a parameter is NaN or inf; {path} was not written"):
        flow.save(path)
    layer = Standardize([0.0, 1.0], [1.0, 1.0])
    layer.mean[0] = bad
    with pytest.raises(NiceValueError, match=r"array.0 is NaN or inf"):
        Flow("normal", layer).save(path)
    assert path.read_bytes() == before


def test_missing_and_unwritable_paths_are_named(tmp_path):
    with pytest.raises(NiceFileError, match=f"cannot read {tmp_path}/none.npz: No such file"):
        Flow.load(tmp_path / "none.npz")
    with pytest.raises(NiceFileError, match=f"cannot write {tmp_path}/no/m.npz: No such file"):
        small().save(tmp_path / "no" / "m.npz")


# -- damaged and hostile files ------------------------------------------------------------------------------------


def layers(header):
    return header["architecture"]["bijector"]["layers"]


def first(header):
    return layers(header)[0]


def node(**settings):
    """A change that replaces the first layer by another module."""
    name = settings.pop("cls", "DiagonalScaling")
    return lambda header: layers(header).__setitem__(0, {"class": name, **settings})


def setting(name, value):
    return lambda header: header.update({name: value})


def conditioner(**settings):
    return lambda header: first(header)["conditioner"].update(settings)


def deep(header):
    nest = {"class": "DiagonalScaling", "dim": 4}
    for _ in range(200):
        nest = {"class": "Inverse", "bijector": nest}
    header["architecture"]["bijector"] = nest


def negative_pair(header):
    """Two networks whose counts cancel: the first alone would take 20 GB."""
    n = 50_000
    first(header)["conditioner"]["sizes"] = [n, n]
    layers(header)[1]["conditioner"]["sizes"] = [n, -n]


HEADERS = {
    "an escape sequence as kind": (setting("kind", "\x1b[2J"), r"holds a \\x1b\[2J, expected a model"),
    "another format": (setting("format", "other"), "does not say that this is a nice_np file"),
    "a newer version": (setting("version", 2), "format version 2; this nice_np reads version 1"),
    "a newer version with other fields": (lambda h: {"format": "nice_np", "version": 7}, "version 7; .* version 1"),
    "a checkpoint": (setting("kind", "checkpoint"), "holds a checkpoint, expected a model"),
    "kind of another type": (setting("kind", [1]), "expected a model"),
    "metadata": (setting("metadata", [1]), "'metadata'"),
    "no metadata": (lambda h: h.pop("metadata") and None, "'metadata'"),
    "no architecture": (lambda h: h.pop("architecture") and None, "'architecture' is missing"),
    "no table": (lambda h: h.pop("parameters") and None, "'parameters' is missing"),
    "no dtype": (lambda h: h.pop("dtype") and None, "'dtype' is missing"),
    "bin width of text": (setting("bin_width", "1"), "bin_width must be a number"),
    "bin width 0": (setting("bin_width", 0), "bin_width must be finite, > 0"),
    "bin width of a huge number": (setting("bin_width", 10**400), "bin_width must be a number"),
    "list": (lambda h: [h], "does not say"),
    "number": (lambda h: 3, "does not say"),
    "dtype": (setting("dtype", "float32"), "member 'values' has"),
    "table": (lambda h: h["parameters"].pop() and None, "table of parameters"),
    "table of another type": (setting("parameters", 3), "table of parameters"),
    "table of other shapes": (lambda h: h["parameters"][0].__setitem__(1, [3, 2]), "table of parameters"),
    "architecture is text": (setting("architecture", "abc"), "the architecture is a str"),
    "architecture is a list": (setting("architecture", []), "the architecture is a list"),
    "architecture is no flow": (lambda h: h.update(architecture=h["architecture"]["bijector"]), "expected a Flow"),
    "a flow in a flow": (lambda h: h["architecture"].update(bijector=h["architecture"].copy()), "cannot build Flow"),
    "a flow as prior": (lambda h: h["architecture"].update(prior=json.loads(json.dumps(h["architecture"]))), "missing"),
    "a prior as bijector": (lambda h: h["architecture"].update(bijector={"class": "StandardNormal"}), "Flow"),
    "a number as bijector": (lambda h: h["architecture"].update(bijector=3), "expected a Bijector"),
    "prior": (lambda h: h["architecture"].update(prior="cauchy"), "cannot build Flow: prior"),
    "unknown class": (lambda h: first(h).update({"class": "os.system"}), "unknown class 'os.system'"),
    "class of many letters": (lambda h: first(h).update({"class": "A" * 100_000}), "unknown class 'AAA"),
    "member of many letters": (lambda h: first(h).update(idx_a={"array": "A" * 100_000}), "AAA"),
    "class is a number": (lambda h: first(h).update({"class": 3}), "unknown class 3"),
    "class is a list": (lambda h: first(h).update({"class": []}), "unhashable"),
    "class is missing": (lambda h: first(h).pop("class") and None, "'class' is missing"),
    "abstract class": (lambda h: first(h).update({"class": "Coupling"}), "unknown class 'Coupling'"),
    "node is a list": (lambda h: layers(h).__setitem__(0, []), "cannot build Chain"),
    "node is text": (lambda h: layers(h).__setitem__(0, "abc"), "cannot build Chain"),
    "layers are text": (lambda h: h["architecture"]["bijector"].update(layers="abc"), "cannot build Chain"),
    "layers are none": (lambda h: h["architecture"]["bijector"].update(layers=[]), "cannot build Chain"),
    "self": (lambda h: first(h).update(self=1), "cannot build"),
    "surplus setting": (lambda h: first(h).update(colour=1), "cannot build .*colour"),
    "missing setting": (lambda h: first(h).pop("conditioner") and None, "cannot build .*conditioner"),
    "sizes are text": (conditioner(sizes="abc"), "'sizes' must be given in whole numbers"),
    "sizes are a number": (conditioner(sizes=3), "not iterable"),
    "sizes are floats": (conditioner(sizes=[2.0, 2.0]), "'sizes' must be given in whole numbers"),
    "sizes are one": (conditioner(sizes=[2]), "cannot build MLP"),
    "sizes hold text": (conditioner(sizes=[10**9, "abc"]), "'sizes' must be given in whole numbers"),
    "sizes hold a list": (conditioner(sizes=[10**9, [0]]), "'sizes' must be given in whole numbers"),
    "sizes hold nothing": (conditioner(sizes=[2, 0]), "cannot build MLP"),
    "sizes are negative": (conditioner(sizes=[2, -3, 2]), "must be positive"),
    "sizes cancel": (negative_pair, "far more than the file holds|must be positive"),
    "sizes are huge": (conditioner(sizes=[10**9, 10**9]), "far more than the file holds"),
    "sizes are absurd": (conditioner(sizes=[10**4000, 10**4000]), "too large"),
    "many sizes": (conditioner(sizes=[1] * 600_000), "has 600011 modules, at most 10000 are allowed"),
    "dim is huge": (node(dim=10**9), "far more than the file holds"),
    "dim is absurd": (node(dim=10**400), "too large"),
    "dim is negative": (node(dim=-5), "must be positive"),
    "dim is text": (node(dim="4"), "'dim' must be given in whole numbers"),
    "dim is a float": (node(dim=1e9), "'dim' must be given in whole numbers"),
    "dim is true": (node(dim=True), "'dim' must be given in whole numbers"),
    "dim is a list": (node(dim=[4]), "DiagonalScaling|int"),
    "dim is missing": (node(), "'dim' must be given in whole numbers"),
    "dim differs": (node(dim=5), "cannot build Chain"),
    "start is infinite": (node(dim=4, log_scale=1e308 * 10), "is not a JSON number"),
    "start is text": (node(dim=4, log_scale="abc"), "cannot build DiagonalScaling"),
    "dtype of a layer": (node(dim=4, dtype="O"), "cannot build DiagonalScaling"),
    "dtypes that differ": (node(dim=4, dtype="float32"), "cannot build Flow"),
    "coupling with a huge dim": (lambda h: first(h).update(dim=10**9), "far more than the file holds"),
    "coupling with a huge float": (lambda h: first(h).update(dim=1e9), "cannot build AdditiveCoupling"),
    "coupling with a negative dim": (lambda h: first(h).update(dim=-(10**9)), "cannot build AdditiveCoupling"),
    "coupling with another dim": (lambda h: first(h).update(dim=5), "cannot build AdditiveCoupling"),
    "many couplings": (lambda h: layers(h).extend([{"class": "Coupling", "dim": 900_000}] * 9), "far more"),
    "permutation": (node(cls="Permutation", order="abc"), "cannot build Permutation"),
    "permutation of objects": (node(cls="Permutation", order=[{"class": "StandardNormal"}]), "cannot build Perm"),
    "standardize": (node(cls="Standardize", mean=[0.0], std=[0.0]), "cannot build Standardize"),
    "array is missing": (lambda h: first(h).update(idx_a={"array": "array.9"}), "'array.9' is missing"),
    "array is a number": (lambda h: first(h).update(idx_a={"array": 9}), "9 is missing"),
    "array is a list": (lambda h: first(h).update(idx_a={"array": []}), "unhashable"),
    "array used twice": (lambda h: layers(h)[1].update(idx_a={"array": "array.0"}), "'array.0' is missing, or used"),
    "array not used": (lambda h: first(h).update(idx_a=[0, 2]), r"unexpected members \['array.0'\]"),
    "header as array": (lambda h: first(h).update(idx_a={"array": "header"}), "'header' is missing"),
    "again": (lambda h: layers(h).__setitem__(0, {"again": 99}), "no module number 99"),
    "again in text": (lambda h: layers(h).__setitem__(0, {"again": "0"}), "no module number '0'"),
    "again backwards": (lambda h: layers(h).__setitem__(1, {"again": -1}), "no module number -1"),
    "deep": (deep, "nested more than 50 modules deep"),
}  # fmt: skip

MEMBERS = {
    "no values": ({"values": None}, "'values' is missing"),
    "no header": ({"header": None}, "member 'header' is missing"),
    "no array": ({"array.0": None}, "'array.0' is missing"),
    "surplus": ({"x": np.ones(2)}, r"unexpected members \['x'\]"),
    "renamed": ({"array.0": None, "array.7": np.array([0, 2])}, "'array.0' is missing"),
    "wrong shape": ({"values": np.zeros(50)}, "member 'values' has"),
    "two axes": ({"values": np.zeros((1, len(small().params)))}, "member 'values' has"),
    "wrong dtype": ({"values": np.zeros(len(small().params), np.float32)}, "member 'values' has"),
    "integers": ({"values": np.zeros(len(small().params), np.int64)}, "member 'values' has"),
    "NaN": ({"values": np.full(len(small().params), np.nan)}, "member 'values' contains NaN"),
    "inf": ({"values": np.full(len(small().params), np.inf)}, "member 'values' contains NaN"),
    "indices too large": ({"array.0": np.array([0, 9])}, "cannot build AdditiveCoupling"),
    "indices twice": ({"array.0": np.array([0, 0])}, "cannot build AdditiveCoupling"),
    "indices of floats": ({"array.0": np.array([0.0, 2.0])}, "cannot build AdditiveCoupling"),
    "too many indices": ({"array.0": np.arange(3)}, "cannot build AdditiveCoupling"),
    "header of text": ({"header": np.frombuffer(b"{", np.uint8)}, "member 'header' is not JSON"),
    "header of bytes": ({"header": np.full(9, 255, np.uint8)}, "member 'header' is not JSON"),
    "header of NaN": ({"header": np.frombuffer(b'{"format": NaN}', np.uint8)}, "NaN is not a JSON number"),
    "header of brackets": ({"header": np.full(1_000_000, ord("["), np.uint8)}, "member 'header' is not JSON"),
    "huge header": ({"header": np.full(5_000_000, ord(" "), np.uint8)}, "member 'header' has 5000000 bytes"),
    "empty header": ({"header": np.empty(0)}, "member 'header' is not JSON"),
    "digits": ({"header": np.full(100_000, ord("7"), np.uint8)}, "member 'header'"),
}


def refuse(path, message):
    with pytest.raises(CheckpointError, match=message) as caught:
        Flow.load(path)
    assert isinstance(caught.value, ValueError)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value)) < 2000
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(("members", "message"), MEMBERS.values(), ids=MEMBERS.keys())
def test_wrong_members_are_refused(members, message, path):
    arrays = {**read_npz(path), **members}
    write_npz(path, {name: array for name, array in arrays.items() if array is not None})
    refuse(path, message)


def bent_headers(folder):
    """All hostile headers, one by one; also called in a child with little memory."""
    for i, (name, (change, message)) in enumerate(HEADERS.items()):
        path = Path(folder) / f"{i}.npz"
        small().save(path)
        edited(path, change)
        try:
            refuse(path, message)
        except BaseException as error:
            error.args = (f"{name}: {error}",)
            raise


def test_hostile_headers_are_refused(tmp_path):
    bent_headers(tmp_path)


@posix
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux")
def test_hostile_headers_take_less_than_100_mib(tmp_path):
    """With an address space of 100 MiB more than the process has, the errors are the same: nothing is allocated."""
    code = (
        "import resource, sys, numpy as np, test_checkpoint, test_npz\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 100 * 2**20,) * 2)\n"
        "try:\n"
        "    np.ones(30_000_000)\n"
        "except MemoryError:\n"
        "    print('limited')\n"
        "test_checkpoint.bent_headers(sys.argv[1])\n"
        "for data, message in test_npz.HOSTILE.values():\n"
        "    open(sys.argv[1] + '/x', 'wb').write(data)\n"
        "    message and test_checkpoint.refuse(sys.argv[1] + '/x', message)\n"
        "print('refused')\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}
    environment |= {"OPENBLAS_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True, text=True, check=False, env=environment, timeout=120,
    )  # fmt: skip
    assert result.stdout.split() == ["limited", "refused"], result.stderr


def test_one_array_cannot_be_copied_many_times(tmp_path):
    """A thousand layers that all name the same large array would take a thousand times its memory."""
    n = 100_000
    Flow("normal", Chain([Standardize(np.zeros(n), np.ones(n)), Permutation.reversal(n)])).save(tmp_path / "m")
    edited(tmp_path / "m", lambda h: layers(h).extend([layers(h)[0]] * 1000))
    refuse(tmp_path / "m", "'array.0' is missing, or used twice")


@pytest.mark.parametrize("error", [ZeroDivisionError, IndexError, MemoryError, AssertionError, UserWarning, KeyError])
def test_whatever_your_own_layer_raises_is_a_checkpoint_error(error, tmp_path):
    class Fragile(Shift):
        def __init__(self, dim, **_):
            if dim == 4:
                raise error("no such dim")
            super().__init__(dim)

    Flow("normal", Fragile(3)).save(tmp_path / "m")
    assert Flow.load(tmp_path / "m", classes=[Fragile]).dim == 3
    edited(tmp_path / "m", lambda h: h["architecture"]["bijector"].update(dim=4))
    with pytest.raises(CheckpointError, match=r"cannot build Fragile: .*no such dim"):
        Flow.load(tmp_path / "m", classes=[Fragile])


def test_an_overflow_in_a_constructor_is_an_error(tmp_path):
    class Fragile(Shift):
        def __init__(self, dim, size=1.0, **_):
            super().__init__(dim, size=size)
            self.scale = np.full(dim, 1e300) * size

    Flow("normal", Fragile(3)).save(tmp_path / "m")
    edited(tmp_path / "m", lambda h: h["architecture"]["bijector"].update(size=1e300))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a warning alone would not be enough
        with pytest.raises(CheckpointError, match="cannot build Fragile: overflow"):
            Flow.load(tmp_path / "m", classes=[Fragile])


def test_your_own_layer_can_say_how_large_it_is(tmp_path):
    class Counted(Shift):
        @classmethod
        def count_parameters(cls, config):
            return config["dim"] ** 2

    Flow("normal", Counted(3)).save(tmp_path / "m")
    assert Flow.load(tmp_path / "m", classes=[Counted]).dim == 3
    edited(tmp_path / "m", lambda h: h["architecture"]["bijector"].update(dim=2000))
    with pytest.raises(CheckpointError, match="needs 4000000 numbers"):
        Flow.load(tmp_path / "m", classes=[Counted])


def test_your_class_cannot_replace_ours(path):
    class MLP(Module):
        def __init__(self, **_):
            raise AssertionError("the wrong class was built")

    assert_same(small(), Flow.load(path, classes=[MLP]))


def test_a_checkpoint_is_not_a_model(rng, tmp_path):
    fit(small(), rng.normal(size=(20, 4)), epochs=1, rng=0, checkpoint=tmp_path / "c.npz", progress=False)
    refuse(tmp_path / "c.npz", "holds a checkpoint, expected a model")


# -- mutations ----------------------------------------------------------------------------------------------------


def mutated(data, rng):
    """One flip, deletion, insertion, doubling or cut at a random position."""
    data = bytearray(data)
    at, kind = int(rng.integers(len(data))), rng.integers(6)
    if kind <= 1:
        data[at] ^= 1 << int(rng.integers(8))
    elif kind == 2:
        del data[at : at + int(rng.integers(1, 9))]
    elif kind == 3:
        data[at:at] = rng.bytes(int(rng.integers(1, 9)))
    elif kind == 4:
        data[at : at + 4] = [b"\xff\xff\xff\xff", b"\0\0\0\0", b"PK\5\6", b"\0\0\0\x80"][rng.integers(4)]
    else:
        del data[at:]
    return bytes(data)


a_few_and_many = pytest.mark.parametrize("rounds", [200, pytest.param(2000, marks=pytest.mark.slow)])


@a_few_and_many
def test_a_mutated_file_loads_bit_for_bit_or_is_refused(rounds, path, rng):
    data = path.read_bytes()
    directory = data.index(b"PK\1\2")
    expected = small()
    x = rng.normal(size=(5, 4))
    counts = {"same": 0, "refused": 0}
    for turn in range(rounds):
        # Half of the mutations hit the table of contents, a small part of the file in which zipfile is most vulnerable.
        damaged = mutated(data, rng) if turn % 2 else data[:directory] + mutated(data[directory:], rng)
        path.write_bytes(damaged)
        try:
            flow, metadata = load_model(path)
        except CheckpointError as error:
            counts["refused"] += str(error).startswith(f"{path}: ")
        else:
            assert metadata == {"note": "small"}
            assert repr(flow) == repr(expected)
            assert flow.params.values.tobytes() == expected.params.values.tobytes()
            assert flow.log_prob(x).tobytes() == expected.log_prob(x).tobytes()
            counts["same"] += 1
    assert counts["same"] >= rounds / 40
    assert counts["refused"] == rounds - counts["same"]
    assert counts["refused"] >= rounds / 2


@pytest.mark.parametrize("rounds", [400, pytest.param(2000, marks=pytest.mark.slow)])
def test_mutated_json_with_a_right_checksum_is_never_another_error(rounds, path, rng):
    """The checksum catches random damage; an attacker can compute a new one."""
    text = bytes(read_npz(path)["header"])
    arrays = read_npz(path)
    counts = {"loaded": 0, "refused": 0}
    for _ in range(rounds):
        arrays["header"] = np.frombuffer(mutated(text, rng), np.uint8)
        path.write_bytes(packed(arrays))
        try:
            Flow.load(path)
            counts["loaded"] += 1
        except CheckpointError:
            counts["refused"] += 1
    assert counts["loaded"] >= rounds / 200
    assert counts["refused"] >= rounds / 2


def test_json_values_of_every_wrong_type_are_never_another_error(path):
    """Each value anywhere in the header is replaced by one of every other type."""
    original = json.loads(bytes(read_npz(path)["header"]))
    arrays = read_npz(path)
    others = [None, True, -1, 10**30, 1.5, "", "abc", [], [[]], [1, 2], {}, {"array": "values"}, {"again": 0}]
    refused = 0

    def places(value):
        for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
            yield value, key
            yield from places(value[key])

    for container, key in list(places(original)):
        kept = container[key]
        for other in others:
            container[key] = other
            arrays["header"] = np.frombuffer(json.dumps(original).encode(), np.uint8)
            path.write_bytes(packed(arrays))
            try:
                Flow.load(path)
            except CheckpointError:
                refused += 1
        container[key] = kept
    assert refused >= 500
