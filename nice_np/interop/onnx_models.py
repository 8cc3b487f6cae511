"""A flow as an ONNX model: encode, log_prob or decode, to run in a browser, in C++, or anywhere without Python.

ONNX describes a computation as a list of operators on named arrays; those of each layer are in
`nice_np.interop.onnx_layers`.  A graph checks nothing: for input that a flow refuses, such as a pixel outside the
interval of a logit, it returns NaN.
"""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from nice_np._version import __version__
from nice_np.errors import NiceImportError, NiceTypeError, NiceValueError
from nice_np.files.atomic import replacing
from nice_np.files.recognised import refuse_foreign
from nice_np.flows.flow import Flow
from nice_np.interop.onnx_graph import Graph
from nice_np.interop.onnx_layers import forward, inverse, log_prior
from nice_np.validation import as_choice, as_path

if TYPE_CHECKING:
    import onnx

METHODS = ("encode", "log_prob", "decode")
OPSET = 17  # of 2022; later ones keep the meaning of every operator used here
IR_VERSION = 8  # of the file format; the one released with this opset
LARGEST = 2**31  # bytes, the limit of a protobuf message


def to_onnx(flow: Flow, method: str = "log_prob") -> onnx.ModelProto:
    """One of a flow's methods as an ONNX model.

    Parameters
    ----------
    flow : Flow
        Of the library's own layers and priors.
    method : {"log_prob", "encode", "decode"}
        Inputs and outputs are named as in Python: x (N, D) -> log_prob (N,), nats; x (N, D) -> z (N, D);
        z (N, D) -> x (N, D).  A flow with a context has a second input, context (N, C).  N is not fixed.

    Returns
    -------
    onnx.ModelProto
        In the flow's dtype; browsers need float32.

    Raises
    ------
    NiceImportError
        If the package onnx is not installed.
    NiceTypeError
        For a layer or prior of your own.
    NiceValueError
        For a model of 2 GiB or more, the limit of the file format.
    """
    if not isinstance(flow, Flow):
        raise NiceTypeError(f"to_onnx: expected a Flow, got {type(flow).__name__}")
    method = as_choice(method, METHODS, "to_onnx", "method")
    refuse_foreign(flow, "to_onnx", "a graph")
    if flow.params.values.nbytes >= LARGEST:
        raise NiceValueError(
            f"to_onnx: {flow.params.values.nbytes:,} bytes of weights; an ONNX file holds less than 2 GiB"
        )
    try:
        import onnx
    except ImportError as error:
        raise NiceImportError('to_onnx needs the package onnx: pip install "nice-np[onnx]"') from error
    from onnx import helper

    graph = Graph(flow.dtype)
    given, wanted = {"encode": ("x", "z"), "log_prob": ("x", "log_prob"), "decode": ("z", "x")}[method]
    start = graph.add("Concat", given, "context", axis=1) if flow.context_dim else given
    end, log_det = (inverse if method == "decode" else forward)(flow.bijector, graph, start)
    if flow.context_dim:
        end = graph.columns(end, np.arange(flow.dim))
    if method == "log_prob":
        end = graph.add("Add", log_prior(flow.prior, graph, end, flow.dim), log_det)
    graph.nodes.append(helper.make_node("Identity", [end], [wanted]))
    graph.keep_what_leads_to(wanted)

    kind = helper.np_dtype_to_tensor_dtype(flow.dtype)
    inputs = [helper.make_tensor_value_info(given, kind, ["N", flow.dim])]
    if flow.context_dim:
        inputs.append(helper.make_tensor_value_info("context", kind, ["N", flow.context_dim]))
    shape: list[str | int] = ["N"] if method == "log_prob" else ["N", flow.dim]
    output = helper.make_tensor_value_info(wanted, kind, shape)
    model = helper.make_model(
        helper.make_graph(graph.nodes, method, inputs, [output], graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="nice_np",
        producer_version=__version__,
        doc_string=repr(flow),
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def save_onnx(flow: Flow, path: str | PathLike[str], method: str = "log_prob") -> None:
    """Write one of a flow's methods to an ONNX file; an existing file is replaced, whole or not at all.

    Parameters
    ----------
    flow, method
        See `to_onnx`.
    path : path
        Usually ending in .onnx.

    Raises
    ------
    NiceFileError
        If it cannot be written; other errors as in `to_onnx`.
    """
    data = to_onnx(flow, method).SerializeToString()
    with replacing(as_path(path, "save_onnx", "path")) as file:
        file.write(data)
