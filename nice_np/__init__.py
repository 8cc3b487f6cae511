"""nice_np: normalizing flows in NumPy with hand-written gradients.

Flow = prior + bijector.  ``nice(...)`` and ``real_nvp(...)`` build the papers' models, ``fit`` trains them,
``check_gradients`` compares every hand-derived gradient with finite differences, ``check_inverse`` and
``check_log_det`` do the same for the inverse and the log-determinant.
"""

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from nice_np import _blas, _moved  # noqa: F401 (before NumPy)
from nice_np._version import __version__

if TYPE_CHECKING:  # what a type checker sees; `_HOMES` says the same to Python
    from nice_np.bijectors import (
        AdditiveCoupling,
        AffineCoupling,
        Bijector,
        Chain,
        Coupling,
        DiagonalScaling,
        Equalize,
        Inverse,
        Logit,
        MultiplicativeCoupling,
        OnPart,
        Partition,
        PCAWhitening,
        Permutation,
        Rescale,
        Standardize,
        Whitening,
        WithContext,
        ZCAWhitening,
    )
    from nice_np.checks.gradients import check_gradients
    from nice_np.checks.jacobian import numerical_jacobian
    from nice_np.checks.maps import check_inverse, check_log_det
    from nice_np.codec import compress, decompress
    from nice_np.errors import (
        CheckpointError,
        DatasetError,
        DivergenceError,
        DriftError,
        NiceError,
        NiceFileError,
        NiceImportError,
        NiceOverflowError,
        NiceTypeError,
        NiceValueError,
        TrainingInterrupted,
    )
    from nice_np.families import (
        ActNorm,
        AdditiveAutoregressive,
        AffineAutoregressive,
        Autoregressive,
        BatchNorm,
        Householder,
        LULinear,
        MixtureAutoregressive,
        MixtureCoupling,
        NeuralODE,
        Planar,
        Radial,
        Residual,
        RoundedAdditiveCoupling,
        SplineAutoregressive,
        SplineCoupling,
        Sylvester,
        UMNNAutoregressive,
        UMNNCoupling,
        VariationalDequantization,
    )
    from nice_np.flows.autoregressive_flows import iaf, maf
    from nice_np.flows.builders import nice, real_nvp
    from nice_np.flows.conditional import classify, log_prob_by_label, one_hot, sample_by_label
    from nice_np.flows.continuous import continuous_flow, flow_matching
    from nice_np.flows.dequantization import log_prob_of_pixels, variational_dequantization
    from nice_np.flows.flow import Flow, to_bits_per_dim
    from nice_np.flows.flow_matching import FlowMatching
    from nice_np.flows.glow import glow
    from nice_np.flows.integer import IntegerFlow, integer_flow
    from nice_np.flows.integer_priors import DeeperLevel, DiscretisedLogistics, GivenTheFirst
    from nice_np.flows.labelled import LabelledFlow, labelled
    from nice_np.flows.law_flows import mixture_flow, spline_flow
    from nice_np.flows.mixtures import GaussianMixture, LogisticMixture
    from nice_np.flows.model import Model, load, load_model, save_model
    from nice_np.flows.other_priors import DiagonalGaussian, Uniform
    from nice_np.flows.planar import planar_flow
    from nice_np.flows.priors import Prior, StandardLogistic, StandardNormal
    from nice_np.flows.residual import residual_flow
    from nice_np.flows.student_t import LearnedStudentT, StudentT
    from nice_np.inference import WeightedSample, fit_to_density, importance_sample
    from nice_np.networks.convnet import ConvNet
    from nice_np.networks.glownet import GlowNet
    from nice_np.networks.masked import MaskedMLP
    from nice_np.networks.mlp import MLP
    from nice_np.parameters import FlatParameters, Module
    from nice_np.pixels.binarize import binarize
    from nice_np.pixels.dequantize import dequantize
    from nice_np.restoration import (
        GaussianImages,
        HiddenPixels,
        ImageObjective,
        LatentObjective,
        LatentPosterior,
        Objective,
        Posterior,
        ProxyObjective,
        Restoration,
        inpaint,
        restore,
        sample_completions,
        sample_posterior,
    )
    from nice_np.restoration.operators import (
        Blur,
        Composition,
        Downsample,
        GreyOut,
        Identity,
        Mask,
        Operator,
        RandomProjection,
        Separable,
        named_mask,
    )
    from nice_np.restoration.scores import psnr
    from nice_np.training.fit import fit
    from nice_np.training.history import History
    from nice_np.training.loop import StopTraining
    from nice_np.training.optim import SGD, Adam, Optimizer, RMSPropMomentum
    from nice_np.training.schedules import Constant, Cosine, ExponentialDecay, InverseTime, Schedule
    from nice_np.training.tensorboard import TensorBoard
    from nice_np.vae import VAE, variational_autoencoder
logging.getLogger(__name__).addHandler(logging.NullHandler())  # quiet, until a program asks for more

__all__ = [  # noqa: RUF022 (by theme, in the order in which one meets them)
    "__version__",
    # flows
    "Flow", "nice", "real_nvp", "maf", "iaf", "spline_flow", "mixture_flow", "glow", "LabelledFlow", "labelled",
    "classify", "log_prob_by_label", "one_hot", "sample_by_label", "to_bits_per_dim",
    # bijectors
    "Bijector", "Chain", "Inverse", "Coupling", "Partition",
    "AdditiveCoupling", "MultiplicativeCoupling", "AffineCoupling",
    "DiagonalScaling", "Permutation", "OnPart", "WithContext",
    "Standardize", "Whitening", "PCAWhitening", "ZCAWhitening", "Logit", "Equalize", "Rescale",
    # families
    "Autoregressive", "AdditiveAutoregressive", "AffineAutoregressive",
    "ActNorm", "BatchNorm", "LULinear", "Householder",
    "Planar", "Radial", "Sylvester", "planar_flow",
    "SplineCoupling", "SplineAutoregressive",
    "NeuralODE", "continuous_flow", "FlowMatching", "flow_matching",
    "UMNNCoupling", "UMNNAutoregressive",
    "MixtureCoupling", "MixtureAutoregressive",
    "Residual", "residual_flow",
    "RoundedAdditiveCoupling", "IntegerFlow", "integer_flow",
    # conditioners and priors
    "MLP", "MaskedMLP", "ConvNet", "GlowNet", "Prior", "StandardLogistic", "StandardNormal",
    "DiagonalGaussian", "GaussianMixture", "LogisticMixture", "StudentT", "LearnedStudentT", "Uniform",
    "DiscretisedLogistics", "GivenTheFirst", "DeeperLevel",
    # pixels
    "dequantize", "binarize", "VariationalDequantization", "variational_dequantization", "log_prob_of_pixels",
    # training
    "fit", "History", "StopTraining", "TensorBoard", "Optimizer", "Adam", "RMSPropMomentum", "SGD",
    "Schedule", "Constant", "Cosine", "ExponentialDecay", "InverseTime",
    # checks
    "check_gradients", "check_inverse", "check_log_det", "numerical_jacobian",
    # parameters and files
    "Module", "Model", "FlatParameters", "load", "save_model", "load_model",
    # restoration
    "inpaint", "restore", "sample_completions", "sample_posterior", "Restoration", "Posterior", "psnr",
    "Operator", "Identity", "Mask", "named_mask", "Blur", "Downsample", "GreyOut", "RandomProjection", "Separable",
    "Composition", "GaussianImages",
    "Objective", "ImageObjective", "LatentObjective", "ProxyObjective", "HiddenPixels", "LatentPosterior",
    # inference
    "fit_to_density", "importance_sample", "WeightedSample",
    # lossless codes
    "compress", "decompress",
    # autoencoders
    "VAE", "variational_autoencoder",
    # errors
    "NiceError", "NiceValueError", "NiceTypeError", "NiceOverflowError", "NiceFileError", "NiceImportError",
    "CheckpointError", "DatasetError", "DivergenceError", "DriftError", "TrainingInterrupted",
]  # fmt: skip

_HOMES = {  # the public names by the module that is imported when one of its names is asked for first
    "bijectors": "AdditiveCoupling AffineCoupling Bijector Chain Coupling DiagonalScaling Equalize Inverse Logit "
    "MultiplicativeCoupling OnPart Partition PCAWhitening Permutation Rescale Standardize Whitening "
    "WithContext ZCAWhitening",
    "checks.gradients": "check_gradients",
    "checks.jacobian": "numerical_jacobian",
    "checks.maps": "check_inverse check_log_det",
    "codec": "compress decompress",
    "errors": "CheckpointError DatasetError DivergenceError DriftError NiceError NiceFileError NiceImportError "
    "NiceOverflowError NiceTypeError NiceValueError TrainingInterrupted",
    "families": "ActNorm AdditiveAutoregressive AffineAutoregressive Autoregressive BatchNorm Householder LULinear "
    "MixtureAutoregressive MixtureCoupling NeuralODE Planar Radial Residual RoundedAdditiveCoupling "
    "SplineAutoregressive SplineCoupling Sylvester UMNNAutoregressive UMNNCoupling "
    "VariationalDequantization",
    "flows.autoregressive_flows": "iaf maf",
    "flows.builders": "nice real_nvp",
    "flows.conditional": "classify log_prob_by_label one_hot sample_by_label",
    "flows.continuous": "continuous_flow flow_matching",
    "flows.dequantization": "log_prob_of_pixels variational_dequantization",
    "flows.flow": "Flow to_bits_per_dim",
    "flows.flow_matching": "FlowMatching",
    "flows.glow": "glow",
    "flows.labelled": "LabelledFlow labelled",
    "flows.integer": "IntegerFlow integer_flow",
    "flows.integer_priors": "DeeperLevel DiscretisedLogistics GivenTheFirst",
    "flows.law_flows": "mixture_flow spline_flow",
    "flows.mixtures": "GaussianMixture LogisticMixture",
    "flows.model": "Model load load_model save_model",
    "flows.other_priors": "DiagonalGaussian Uniform",
    "flows.planar": "planar_flow",
    "flows.priors": "Prior StandardLogistic StandardNormal",
    "flows.residual": "residual_flow",
    "flows.student_t": "LearnedStudentT StudentT",
    "inference": "WeightedSample fit_to_density importance_sample",
    "networks.convnet": "ConvNet",
    "networks.glownet": "GlowNet",
    "networks.masked": "MaskedMLP",
    "networks.mlp": "MLP",
    "parameters": "FlatParameters Module",
    "pixels.binarize": "binarize",
    "pixels.dequantize": "dequantize",
    "restoration": "GaussianImages HiddenPixels ImageObjective LatentObjective LatentPosterior Objective Posterior "
    "ProxyObjective Restoration inpaint restore sample_completions sample_posterior",
    "restoration.operators": "Blur Composition Downsample GreyOut Identity Mask Operator RandomProjection Separable "
    "named_mask",
    "restoration.scores": "psnr",
    "training.fit": "fit",
    "training.history": "History",
    "training.loop": "StopTraining",
    "training.optim": "SGD Adam Optimizer RMSPropMomentum",
    "training.schedules": "Constant Cosine ExponentialDecay InverseTime Schedule",
    "training.tensorboard": "TensorBoard",
    "vae": "VAE variational_autoencoder",
}  # fmt: skip
_MODULES = {
    *("bijectors", "checks", "cli", "codec", "commands", "datasets", "errors", "families", "files", "flows", "grading"),
    *("inference", "interop", "kernels", "networks", "notebook", "parameters", "pixels", "playground", "plotting"),
    *("restoration", "runs", "sklearn", "suggestions", "training", "vae", "validation"),
}

if TYPE_CHECKING:  # a type checker sees them, and no other name
    from nice_np import datasets, interop, playground, plotting, runs, sklearn  # noqa: F401
else:
    _HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

    def __getattr__(name: str) -> Any:
        if name in _HOME_OF:
            return globals().setdefault(name, getattr(import_module(f"nice_np.{_HOME_OF[name]}"), name))
        if name in _MODULES:
            return import_module(f"nice_np.{name}")
        from nice_np.suggestions import nearest

        near = nearest(name, __all__)
        text = f"module 'nice_np' has no attribute {name!r}"
        raise AttributeError(f"{text}: did you mean {near}?" if near else text)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
