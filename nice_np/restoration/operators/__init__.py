"""What a camera, a scratch or a sensor does to an image: y = A x, a linear map from D features to M measurements.

A flow knows which x are likely; an operator says what is left of x in y.  Together they answer inverse problems:
inpainting (Mask), denoising (Identity), deblurring (Blur), super-resolution (Downsample), colourisation (GreyOut) and
compressive sensing (RandomProjection), the noise of y apart.  The gradient of |y - A x|^2 / 2 with respect to x is
A^T (A x - y): hence every operator has its adjoint A^T, the map for which <A x, u> = <x, A^T u> for all x and u.

Samples are rows, as everywhere: forward maps (N, D) to (N, M), adjoint (N, M) to (N, D).  An image is a row of its
planes, channel after channel, each plane row after row.
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
