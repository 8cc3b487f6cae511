"""The relatives of NICE: one file a family, each a bijector on the contract of `nice_np.bijectors`.

1. `autoregressive`, the other wiring of a law; then the laws `spline_law`, and after `implicit` `mixture_law`, `umnn`.
2. `planar`, `radial`, `sylvester`: small determinants; `residual`: a power series; `continuous`: a trace.
3. `rounding`: integers to integers; `discretised`: their probability.
4. `actnorm`, `channel_map`, `linear`, `householder`: linear layers; `batch_norm`: why that is awkward in a flow.
"""

from nice_np.families.actnorm import ActNorm
from nice_np.families.adjoint import continuous_adjoint
from nice_np.families.autoregressive import AdditiveAutoregressive, AffineAutoregressive, Autoregressive
from nice_np.families.batch_norm import BatchNorm
from nice_np.families.continuous import NeuralODE
from nice_np.families.householder import Householder
from nice_np.families.learned_noise import VariationalDequantization
from nice_np.families.linear import LULinear
from nice_np.families.mixture_law import MixtureAutoregressive, MixtureCoupling
from nice_np.families.planar import Planar
from nice_np.families.radial import Radial
from nice_np.families.residual import Residual
from nice_np.families.rounding import RoundedAdditiveCoupling
from nice_np.families.spline_law import SplineAutoregressive, SplineCoupling
from nice_np.families.sylvester import Sylvester
from nice_np.families.umnn import UMNNAutoregressive, UMNNCoupling

__all__ = [
    "ActNorm",
    "AdditiveAutoregressive",
    "AffineAutoregressive",
    "Autoregressive",
    "BatchNorm",
    "Householder",
    "LULinear",
    "MixtureAutoregressive",
    "MixtureCoupling",
    "NeuralODE",
    "Planar",
    "Radial",
    "Residual",
    "RoundedAdditiveCoupling",
    "SplineAutoregressive",
    "SplineCoupling",
    "Sylvester",
    "UMNNAutoregressive",
    "UMNNCoupling",
    "VariationalDequantization",
    "continuous_adjoint",
]
