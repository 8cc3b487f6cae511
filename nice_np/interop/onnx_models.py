"""A flow or a VAE as an ONNX model: encode, log_prob or decode, to run in a browser, in C++, anywhere without Python.

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
from nice_np.interop import onnx_ode, onnx_pixels, onnx_planar, onnx_splines, onnx_vae  # noqa: F401 (they add layers)
from nice_np.interop.onnx_graph import Graph, Outputs
from nice_np.interop.onnx_layers import forward, inverse
from nice_np.interop.onnx_priors import log_prior
from nice_np.vae import VAE
from nice_np.validation import as_choice, as_path

if TYPE_CHECKING:
    import onnx

METHODS = ("encode", "log_prob", "decode")
OPSET = 17  # of 2022; later ones keep the meaning of every operator used here
IR_VERSION = 8  # of the file format; the one released with this opset
LARGEST = 2**31  # bytes, the limit of a protobuf message


def to_onnx(model: Flow | VAE, method: str = "log_prob") -> onnx.ModelProto:
    """One method of a flow or a VAE as an ONNX model.

    Parameters
    ----------
    model : Flow or VAE
        Of the library's own layers, priors and likelihoods.
    method : {"log_prob", "encode", "decode"}
        Inputs and outputs of a flow are named as in Python: x (N, D) -> log_prob (N,), nats; x (N, D) -> z (N, D);
        z (N, D) -> x (N, D).  A flow with a context has a second input, context (N, C).  N is not fixed.

        A VAE has "encode", x (N, D) -> mean and log_variance of the encoder's Gaussian and the z without noise,
        (N, L) each; and "decode", z (N, L) -> x, which is E[x | z] as in `VAE.decode`, and the likelihood's parameters,
        logits and mean or mean and log_variance, (N, D) each, in units of ``preprocess(x)``.

    Returns
    -------
    onnx.ModelProto
        In the model's dtype; browsers need float32.

    Raises
    ------
    NiceImportError
        If the package onnx is not installed.
    NiceTypeError
        For a part of a class of your own, also one derived from ours.
    NiceValueError
        For a model of 2 GiB or more, the limit of the file format.
    """
    if not isinstance(model, Flow | VAE):
        raise NiceTypeError(f"to_onnx: expected a Flow or a VAE, got {type(model).__name__}")
    known = METHODS if isinstance(model, Flow) else onnx_vae.METHODS
    method = as_choice(method, known, "to_onnx", f"method of a {type(model).__name__}")
    refuse_foreign(model, "to_onnx", "a graph")
    if model.params.values.nbytes >= LARGEST:
        raise NiceValueError(
            f"to_onnx: {model.params.values.nbytes:,} bytes of weights; an ONNX file holds less than 2 GiB"
        )
    try:
        import onnx
    except ImportError as error:
        raise NiceImportError('to_onnx needs the package onnx: pip install "nice-np[onnx]"') from error
    from onnx import helper

    graph = Graph(model.dtype)
    if isinstance(model, Flow):
        inputs = {"z" if method == "decode" else "x": model.dim}
        if model.context_dim:
            inputs["context"] = model.context_dim
        outputs = _of_flow(model, graph, method)
    elif method == "encode":
        inputs, outputs = {"x": model.dim}, onnx_vae.encode(model, graph)
    else:
        inputs, outputs = {"z": model.latent}, onnx_vae.decode(model, graph)
    for name, (array, _) in outputs.items():
        graph.nodes.append(helper.make_node("Identity", [array], [name]))
    graph.keep_what_leads_to(*outputs)

    kind = helper.np_dtype_to_tensor_dtype(model.dtype)

    def declared(name: str, columns: int | None) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, kind, ["N"] if columns is None else ["N", columns])

    given = [declared(name, columns) for name, columns in inputs.items()]
    wanted = [declared(name, columns) for name, (_, columns) in outputs.items()]
    proto = helper.make_model(
        helper.make_graph(graph.nodes, method, given, wanted, graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="nice_np",
        producer_version=__version__,
        doc_string=repr(model),
    )
    onnx.checker.check_model(proto, full_check=True)
    return proto


def _of_flow(flow: Flow, graph: Graph, method: str) -> Outputs:
    given, wanted = {"encode": ("x", "z"), "log_prob": ("x", "log_prob"), "decode": ("z", "x")}[method]
    start = graph.add("Concat", given, "context", axis=1) if flow.context_dim else given
    end, log_det = (inverse if method == "decode" else forward)(flow.bijector, graph, start)
    if flow.context_dim:
        end = graph.columns(end, np.arange(flow.dim))
    if method == "log_prob":
        return {wanted: (graph.add("Add", log_prior(flow.prior, graph, end, flow.dim), log_det), None)}
    return {wanted: (end, flow.dim)}


def save_onnx(model: Flow | VAE, path: str | PathLike[str], method: str = "log_prob") -> None:
    """Write one method of a flow or a VAE to an ONNX file; an existing file is replaced, whole or not at all.

    Parameters
    ----------
    model, method
        See `to_onnx`.
    path : path
        Usually ending in .onnx.

    Raises
    ------
    NiceFileError
        If it cannot be written; other errors as in `to_onnx`.
    """
    data = to_onnx(model, method).SerializeToString()
    with replacing(as_path(path, "save_onnx", "path")) as file:
        file.write(data)
