"""Invertible maps with hand-written gradients.

Read `base` first, the contract; then `partition` and `coupling`, and the laws `additive`, `multiplicative` and `affine`
with `scales`; `scaling` and `chain` complete NICE.  `standardize`, `whitening`, `logit`, `equalize` and
`rescale` prepare the data, `rebuilding` gives gradients without stored activations.
"""

from nice_np.bijectors.additive import AdditiveCoupling
from nice_np.bijectors.affine import AffineCoupling
from nice_np.bijectors.base import Bijector, Inverse
from nice_np.bijectors.chain import Chain
from nice_np.bijectors.coupling import Coupling
from nice_np.bijectors.equalize import Equalize
from nice_np.bijectors.logit import Logit
from nice_np.bijectors.multiplicative import MultiplicativeCoupling
from nice_np.bijectors.on_part import OnPart
from nice_np.bijectors.other_scales import FlooredSigmoidScale, SoftclipScale
from nice_np.bijectors.partition import Partition, get_partition
from nice_np.bijectors.permutation import Permutation
from nice_np.bijectors.rescale import Rescale
from nice_np.bijectors.scales import ExpScale, Scale, SigmoidScale, SoftplusScale, TanhScale
from nice_np.bijectors.scaling import DiagonalScaling
from nice_np.bijectors.standardize import Standardize
from nice_np.bijectors.whitening import PCAWhitening, Whitening, ZCAWhitening
from nice_np.bijectors.with_context import WithContext

__all__ = [
    "AdditiveCoupling",
    "AffineCoupling",
    "Bijector",
    "Chain",
    "Coupling",
    "DiagonalScaling",
    "Equalize",
    "ExpScale",
    "FlooredSigmoidScale",
    "Inverse",
    "Logit",
    "MultiplicativeCoupling",
    "OnPart",
    "PCAWhitening",
    "Partition",
    "Permutation",
    "Rescale",
    "Scale",
    "SigmoidScale",
    "SoftclipScale",
    "SoftplusScale",
    "Standardize",
    "TanhScale",
    "Whitening",
    "WithContext",
    "ZCAWhitening",
    "get_partition",
]
