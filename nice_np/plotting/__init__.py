"""Figures of data and flows with Matplotlib: images, curves, likelihoods, densities, bent grids, checks, animations.

Each function draws on the Axes it is given, or on those of a new Figure, and returns the Axes.  ``pyplot`` is not used:
no display is needed and no figure stays open.  A notebook shows the new figure where the Axes are the last line of a
cell; elsewhere in a cell, use IPython's ``display``.  Bad arguments raise NiceValueError or NiceTypeError, numbers too
large to draw NiceOverflowError.  `density_evolution` returns an animation, and `gif` its bytes.

Reading order: `style` and `tiles`, which the others share, then any figure by its name.
"""

from nice_np.plotting.checks import check_matrix, gradient_check, jacobian_image
from nice_np.plotting.curves import spectrum, training_curve, training_curves
from nice_np.plotting.evolution import density_evolution, gif
from nice_np.plotting.latents import interpolation
from nice_np.plotting.likelihood import likelihood_histogram
from nice_np.plotting.neighbours import nearest, nearest_neighbours
from nice_np.plotting.plane import bent_grid, density
from nice_np.plotting.restorations import restorations
from nice_np.plotting.roofline import roofline
from nice_np.plotting.rows import data_and_samples, sample_rows
from nice_np.plotting.style import COLOURS, DPI, STYLE, save
from nice_np.plotting.tiles import image_grid, label_grid, reconstructions
from nice_np.plotting.whitening import whitening

__all__ = [
    "COLOURS",
    "DPI",
    "STYLE",
    "bent_grid",
    "check_matrix",
    "data_and_samples",
    "density",
    "density_evolution",
    "gif",
    "gradient_check",
    "image_grid",
    "interpolation",
    "jacobian_image",
    "label_grid",
    "likelihood_histogram",
    "nearest",
    "nearest_neighbours",
    "reconstructions",
    "restorations",
    "roofline",
    "sample_rows",
    "save",
    "spectrum",
    "training_curve",
    "training_curves",
    "whitening",
]
