"""Linear measurements: y = A x maps D features of an image x to M measurements y.

A flow knows which x are likely; an operator says what of x is left in y.  Together they solve inverse problems:
inpainting (Mask), denoising (Identity), deblurring (Blur), super-resolution (Downsample), colourisation (GreyOut) and
compressive sensing (RandomProjection).  The gradient of |y - A x|^2 / 2 with respect to x is A^T (A x - y), so every
operator comes with its adjoint A^T, defined by <A x, u> = <x, A^T u> for all x and u.

As everywhere, samples are rows: `forward` maps (N, D) to (N, M), `adjoint` maps (N, M) to (N, D).  An image is stored
channel by channel, each channel row by row.  Read `base` first; the other modules are independent examples.
"""

from nice_np.restoration.operators.averages import Downsample, GreyOut
from nice_np.restoration.operators.base import Composition, Identity, Operator
from nice_np.restoration.operators.mask import Mask, named_mask
from nice_np.restoration.operators.projection import RandomProjection
from nice_np.restoration.operators.separable import Blur, Separable

__all__ = [
    "Blur",
    "Composition",
    "Downsample",
    "GreyOut",
    "Identity",
    "Mask",
    "Operator",
    "RandomProjection",
    "Separable",
    "named_mask",
]
