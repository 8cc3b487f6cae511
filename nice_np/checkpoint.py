"""Model files and training checkpoints: one .npz each, with a JSON header and plain arrays.

A file holds ``header`` (UTF-8 JSON as bytes: format, version, kind, architecture, table of parameters, metadata),
``values`` (the flat parameter vector) and one member for every other array.  Anyone can open it with ``np.load``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np import bijectors, mlp, priors
from nice_np.errors import CheckpointError, NiceTypeError, NiceValueError
from nice_np.flow import Flow
from nice_np.npz import read_npz, write_npz
from nice_np.parameters import Module

FORMAT, VERSION = "nice_np", 1
CLASSES: dict[str, type[Module]] = {
    cls.__name__: cls
    for cls in (
        bijectors.AdditiveCoupling,
        bijectors.AffineCoupling,
        bijectors.Chain,
        bijectors.DiagonalScaling,
        bijectors.Inverse,
        bijectors.MultiplicativeCoupling,
        bijectors.Permutation,
        bijectors.Standardize,
        mlp.MLP,
        priors.StandardLogistic,
        priors.StandardNormal,
        Flow,
    )
}
Arrays = dict[str, npt.NDArray[Any]]


def save_model(path: str | PathLike[str], flow: Flow, metadata: dict[str, Any] | None = None) -> None:
    """Write a flow, and anything that JSON can hold, to an .npz file; see `Flow.save`."""
    save(path, "model", flow, metadata or {}, {})


def load_model(path: str | PathLike[str], classes: Iterable[type[Module]] = ()) -> tuple[Flow, dict[str, Any]]:
    """Read what `save_model` wrote: the flow and its metadata; see `Flow.load`."""
    flow, metadata, _ = load(path, "model", classes)
    return flow, metadata


def save(
    path: str | PathLike[str], kind: str, flow: Flow, metadata: dict[str, Any], extra: Mapping[str, npt.NDArray[Any]]
) -> None:
    """Write a file of the given kind: the flow, metadata for the header, and extra arrays.

    Raises
    ------
    NiceValueError
        If a parameter is NaN or inf (never written), or metadata is not JSON.
    NiceFileError
        If the file cannot be written.
    """
    if not np.isfinite(flow.params.values).all():
        raise NiceValueError(f"save: a parameter is NaN or inf; {path} was not written")
    arrays: Arrays = {}
    header = {
        "format": FORMAT,
        "version": VERSION,
        "kind": kind,
        "dtype": flow.dtype.name,
        "architecture": _describe(flow, arrays),
        "parameters": [[slot.path, list(slot.shape)] for slot in flow.params.slots],
        "metadata": metadata,
    }
    try:
        text = json.dumps(header, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise NiceValueError(f"save: metadata must be plain JSON without NaN: {error}") from None
    arrays.update({f"extra.{name}": array for name, array in extra.items()})
    arrays["values"] = flow.params.values
    write_npz(
        Path(path), {"header": np.frombuffer(text.encode(), np.uint8), **{k: _little(a) for k, a in arrays.items()}}
    )


def load(
    path: str | PathLike[str], kind: str, classes: Iterable[type[Module]] = ()
) -> tuple[Flow, dict[str, Any], Arrays]:
    """Read a file of the given kind: flow, metadata, extra arrays.

    Raises
    ------
    CheckpointError, NiceFileError
        See `Flow.load`.
    """
    path = Path(path)
    arrays = read_npz(path)
    header = _header(path, arrays, kind)
    known = {**CLASSES, **{cls.__name__: cls for cls in classes}}
    try:
        values = arrays.pop("values")
        table = [(str(name), tuple(map(int, shape))) for name, shape in header["parameters"]]
        extra = {name[len("extra.") :]: arrays.pop(name) for name in list(arrays) if name.startswith("extra.")}
        used: set[str] = set()
        _refuse_too_large(header["architecture"], values.size)
        flow = _build(header["architecture"], arrays, used, known)
        if not isinstance(flow, Flow):
            raise ValueError(f"the architecture is a {type(flow).__name__}, expected a Flow")
        _check_parameters(flow, table, values, header["dtype"])
    except KeyError as error:
        raise CheckpointError(f"{path}: member or field {error} is missing") from None
    except (ValueError, TypeError, RecursionError, AttributeError, OverflowError, MemoryError) as error:
        raise CheckpointError(f"{path}: {error}") from None
    if used != set(arrays):
        raise CheckpointError(f"{path}: unexpected members {sorted(set(arrays) - used)}")
    flow.params.values[:] = values
    return flow, header["metadata"], extra


def architecture(flow: Flow) -> Any:
    """The flow's architecture as JSON, without its arrays."""
    return _describe(flow, {})


def _header(path: Path, arrays: Arrays, kind: str) -> dict[str, Any]:
    if "header" not in arrays:
        raise CheckpointError(f"{path}: member 'header' is missing; not a nice_np file")
    try:
        header = json.loads(arrays.pop("header").tobytes().decode())
        found, version, found_kind = header["format"], header["version"], header["kind"]
        metadata = header["metadata"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path}: member 'header' is damaged: {error!r}") from None
    if found != FORMAT:
        raise CheckpointError(f"{path}: format is {found!r}, expected {FORMAT!r}")
    if version != VERSION:
        raise CheckpointError(f"{path}: format version {version!r}; this nice_np reads version {VERSION}")
    if found_kind != kind:
        raise CheckpointError(f"{path}: holds a {found_kind}, expected a {kind}")
    if not isinstance(metadata, dict):
        raise CheckpointError(f"{path}: field 'metadata' must be an object")
    checked: dict[str, Any] = header
    return checked


def _check_parameters(flow: Flow, table: list[tuple[str, tuple[int, ...]]], values: Any, dtype: Any) -> None:
    expected = [(slot.path, slot.shape) for slot in flow.params.slots]
    if table != expected:
        different = [f"{a} instead of {b}" for a, b in zip(table, expected, strict=False) if a != b] or ["their number"]
        raise ValueError(f"parameters do not fit the architecture: {different[0]}")
    if values.shape != (len(flow.params),) or values.dtype != flow.dtype or dtype != flow.dtype.name:
        raise ValueError(
            f"member 'values' is {values.shape} {values.dtype}, expected ({len(flow.params)},) {flow.dtype}"
        )
    if not np.isfinite(values).all():
        raise ValueError("member 'values' contains NaN or inf")


def _describe(value: Any, arrays: Arrays) -> Any:
    """A module as JSON; arrays are put into `arrays` and named in their place."""
    if isinstance(value, Module):
        return {"class": type(value).__name__, **{k: _describe(v, arrays) for k, v in value.config().items()}}
    if isinstance(value, np.ndarray):
        name = f"array.{len(arrays)}"
        arrays[name] = value
        return {"array": name}
    if isinstance(value, (list, tuple)):
        return [_describe(item, arrays) for item in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise NiceTypeError(
        f"save: {type(value).__name__} cannot be saved; config() may hold JSON values, arrays and modules"
    )


def _build(node: Any, arrays: Arrays, used: set[str], classes: Mapping[str, type[Module]]) -> Any:
    """Undo `_describe`."""
    if isinstance(node, list):
        return [_build(item, arrays, used, classes) for item in node]
    if not isinstance(node, dict):
        return node
    if "array" in node:
        used.add(node["array"])
        return arrays[node["array"]]
    name = node["class"]
    if name not in classes:
        raise ValueError(f"unknown class {name!r}; pass your own classes as load(path, classes=[...])")
    settings = {key: _build(value, arrays, used, classes) for key, value in node.items() if key != "class"}
    make: Any = getattr(classes[name], "from_config", classes[name])
    return make(**settings)


def _refuse_too_large(node: Any, limit: int) -> None:
    """Refuse, before anything is allocated, an architecture with more parameters than the file holds."""

    def count(node: Any) -> int:
        if isinstance(node, list):
            return sum(map(count, node))
        if not isinstance(node, dict):
            return 0
        own = getattr(CLASSES.get(node.get("class", "")), "count_parameters", None)
        return (own(node) if own else 0) + sum(map(count, node.values()))

    if (found := count(node)) > limit:
        raise ValueError(f"the architecture needs {found} parameters, member 'values' holds {limit}")


def _little(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    # The format's dtypes: <f4, <f8, u1, <i8, C order.
    kind = array.dtype.kind
    target = {"i": "<i8", "u": "u1", "f": f"<f{array.dtype.itemsize}"}[kind]
    return np.ascontiguousarray(array, target)
