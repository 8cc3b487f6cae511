"""Model files and training checkpoints: one .npz each, with a JSON header and plain arrays.

A file holds ``header`` (UTF-8 JSON as bytes: format, version, kind, bin width, architecture, table of parameters,
metadata), ``values`` (the flat parameter vector) and one member for each other array.  ``np.load`` can open it.  What a
run needs to be resumed is in `nice_np.training.state`, and resuming it in `nice_np.training.resume`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from nice_np.errors import CheckpointError, NiceTypeError, NiceValueError
from nice_np.files.architecture import SPARE, Arrays, build, by_name, check_size, own_classes
from nice_np.files.npz import read_npz, write_npz
from nice_np.files.recognised import readable
from nice_np.files.text import from_json, printable
from nice_np.parameters import Module, Packed
from nice_np.validation import as_path

log = logging.getLogger(__name__)

FORMAT, VERSION = "nice_np", 1
MAX_HEADER = 4 * 2**20  # bytes of JSON, enough for thousands of layers or epochs


def save(
    path: str | PathLike[str], kind: str, model: Packed, metadata: dict[str, Any], extra: Mapping[str, npt.NDArray[Any]]
) -> None:
    """Write a file of the given kind: the model, metadata for the header, and extra arrays.

    Raises
    ------
    NiceValueError
        If an array has NaN or inf, which are never written, or if metadata is not JSON.
    NiceTypeError
        If an argument, or a setting of one of your own modules, has a type that cannot be saved, or if the settings of
        one of yours would not give the same module again.
    NiceFileError
        If the file cannot be written.
    """
    path = as_path(path, "save", "path")
    if not isinstance(model, Packed) or not hasattr(model, "params"):
        raise NiceTypeError(f"save: model must be a Flow or a VAE, got {model!r}")
    if not isinstance(metadata, dict):
        raise NiceTypeError(f"save: metadata must be a dict, got {metadata!r}")
    try:
        architecture, arrays = readable(model)
        header = {
            "format": FORMAT,
            "version": VERSION,
            "kind": kind,
            "dtype": model.dtype.name,
            "architecture": architecture,
            "parameters": _table(model),
            "metadata": metadata,
        }
        if model.bin_width is not None:
            header["bin_width"] = model.bin_width
        text = json.dumps(header, allow_nan=False).encode()
        if len(text) > MAX_HEADER:
            raise NiceValueError(
                f"save: {len(text)} bytes of architecture and metadata, at most {MAX_HEADER} are allowed"
            )
        from_json(text)  # what could not be read again is not written
    except (NiceTypeError, NiceValueError):
        raise
    except (TypeError, ValueError, RecursionError) as error:
        raise NiceValueError(f"save: settings and metadata must be plain JSON without NaN: {error}") from None
    check_size(header["architecture"], own_classes(), limit=np.inf)
    arrays |= {f"extra.{name}": array for name, array in extra.items()} | {"values": model.params.values}
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            what = "a parameter" if name == "values" else name
            raise NiceValueError(f"save: {what} is NaN or inf; {path} was not written")
    write_npz(path, {"header": np.frombuffer(text, np.uint8), **arrays})
    log.info("wrote the %s %s, %d parameters", kind, path, len(model.params))


def load(
    path: str | PathLike[str], kind: str, classes: Iterable[type[Module]] = ()
) -> tuple[Packed, dict[str, Any], Arrays]:
    """Read a file of the given kind: model, metadata, extra arrays.

    Raises
    ------
    CheckpointError, NiceFileError
        See `Model.load`.
    """
    path, known = as_path(path, "load", "path"), by_name(classes)
    arrays = read_npz(path)
    try:
        header = _header(arrays, kind)
        values = arrays.pop("values")
        extra = {name.removeprefix("extra."): arrays.pop(name) for name in list(arrays) if name.startswith("extra.")}
        held = sum(array.nbytes for array in (values, *arrays.values())) // 4  # numbers have 4 or 8 bytes
        check_size(header["architecture"], known, limit=held + SPARE)
        model = build(header["architecture"], arrays, [], known)
        if not isinstance(model, Packed) or not hasattr(model, "params"):
            raise ValueError(f"the architecture is a {type(model).__name__}, expected a Flow or a VAE")
        if arrays:
            raise ValueError(f"unexpected members {sorted(arrays)}")
        _check_parameters(model, header, values)
        model.bin_width = header.get("bin_width")  # none in older files
    except KeyError as error:
        raise CheckpointError(f"{path}: {printable(str(error))} is missing, or used twice") from None
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise CheckpointError(f"{path}: {printable(str(error))}") from None
    model.params.values[:] = values
    log.info("read the %s %s, %d parameters", kind, path, len(model.params))
    return model, header["metadata"], extra


def _header(arrays: Arrays, kind: str) -> dict[str, Any]:
    if "header" not in arrays:
        raise ValueError("member 'header' is missing; not a nice_np file")
    text = arrays.pop("header").tobytes()
    if len(text) > MAX_HEADER:
        raise ValueError(f"member 'header' has {len(text)} bytes, at most {MAX_HEADER} are allowed")
    try:
        header = from_json(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"member 'header' is not JSON as nice_np writes it: {error}") from None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ValueError(f"member 'header' does not say that this is a {FORMAT} file")
    # The version comes first: in another version everything else may have another name.
    if header.get("version") != VERSION:
        raise ValueError(f"format version {header.get('version')!r}; this nice_np reads version {VERSION}")
    if header.get("kind") != kind:
        raise ValueError(f"holds a {header.get('kind')!s}, expected a {kind}")
    if not isinstance(header.get("metadata"), dict):
        raise ValueError("field 'metadata' in the header is not an object")
    return header


def _check_parameters(model: Packed, header: dict[str, Any], values: npt.NDArray[Any]) -> None:
    if not _same_table(header["parameters"], _table(model)):
        raise ValueError("the table of parameters does not match the architecture")
    found = values.shape, values.dtype, header["dtype"]
    expected = (len(model.params),), model.dtype, model.dtype.name
    if found != expected:
        raise ValueError(f"member 'values' has shape, dtype, dtype in the header {found}, expected {expected}")
    if not np.isfinite(values).all():
        raise ValueError("member 'values' contains NaN or inf")


def _table(model: Packed) -> list[Any]:
    return [[slot.path, list(slot.shape)] for slot in model.params.slots]


def _same_table(saved: Any, table: list[Any]) -> bool:
    """Whether the parameters have the names and shapes of the file; `Gaussian.u` was called raw in older ones."""
    return saved in (table, [[path.replace(".likelihood.u", ".likelihood.raw"), shape] for path, shape in table])
