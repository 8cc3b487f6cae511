"""Pictures of data and flows with Matplotlib: images, curves, likelihoods, densities and bent grids.

Each function draws on the Axes it is given, or on those of a new Figure (made without ``pyplot``: no display is needed,
nothing stays open), and returns the Axes.  Wrong arguments raise NiceValueError or NiceTypeError.
"""

from nice_np.plotting.curves import spectrum, training_curve, training_curves
from nice_np.plotting.grids import image_grid, label_grid, reconstructions
from nice_np.plotting.plane import bent_grid, density
from nice_np.plotting.style import DPI, save

__all__ = [
    "DPI",
    "bent_grid",
    "density",
    "image_grid",
    "label_grid",
    "reconstructions",
    "save",
    "spectrum",
    "training_curve",
    "training_curves",
]
