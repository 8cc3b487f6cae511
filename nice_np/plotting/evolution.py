"""How the density of a flow in the plane changes, for example during training: an animation and a small GIF of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.animation import AbstractMovieWriter, FuncAnimation
from matplotlib.figure import Figure
from PIL import Image

from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.flows.flow import Flow
from nice_np.notebook import picture
from nice_np.plotting.plane import as_extent, density_on_grid, draw_density
from nice_np.plotting.style import DPI, annotate
from nice_np.validation import as_float, as_int, as_samples, as_tuple

LONGEST = 655.0  # seconds: a GIF counts hundredths, up to 65535
LEVELS = 12  # steps of colour: areas of one colour keep a GIF small


def density_evolution(
    flows: Sequence[Flow],
    titles: Sequence[str] | None = None,
    samples: npt.ArrayLike | None = None,
    extent: Sequence[float] = (-4, 4, -4, 4),
    resolution: int = 150,
    top: float | None = None,
) -> FuncAnimation:
    """Animate the densities p(x) of several flows of the plane, one per frame, in the same colours.

    Parameters
    ----------
    flows : sequence of Flow
        Of dimension 2, such as copies kept by a callback of `fit`.  A density too large for float64 raises
        NiceOverflowError.
    titles : sequence of str, optional
        One per frame; by default "1 of 20", "2 of 20", ...
    samples : array_like, shape (M, 2), optional
        Points in a second panel on the left, for comparison.
    extent : (left, right, bottom, top)
        The part of the plane to show.
    resolution : int
        Pixels of the density along each side.
    top : float, optional
        The density of the brightest colour, in 1 / area; by default the highest of the last flow.

    Returns
    -------
    FuncAnimation
        `gif` makes a small file of it; its own methods ``save`` and ``to_jshtml`` work too.
    """
    owner = "density_evolution"
    flows = as_tuple(flows, f"{owner}: expected a sequence of flows")
    if not flows:
        raise NiceValueError(f"{owner}: expected at least one flow")
    names = [f"{k} of {len(flows)}" for k in range(1, len(flows) + 1)] if titles is None else list(titles)
    if len(names) != len(flows):
        raise NiceValueError(f"{owner}: expected one title per flow, got {len(names)} titles for {len(flows)} flows")
    pictures = [density_on_grid(flow, extent, resolution, owner) for flow in flows]  # (resolution, resolution) each
    brightest = float(pictures[-1].max()) if top is None else as_float(top, owner, "top", above=0)
    points = None if samples is None else as_samples(samples, 2, owner=owner, name="samples")

    columns = 1 if points is None else 2
    figure = Figure(figsize=(3.5 if points is None else 5.9, 2.9), dpi=DPI, layout="constrained")
    *beside, ax = np.ravel(figure.subplots(1, columns, sharex=True, sharey=True, subplot_kw={"aspect": "equal"}))
    if points is not None:
        beside[0].plot(points[:, 0], points[:, 1], ".", markersize=1, color="black")
        annotate(beside[0], "data", "$x_1$", "$x_2$")
    colours = mpl.colormaps["viridis"].resampled(LEVELS)
    image = draw_density(ax, pictures[0], as_extent(flows[0], extent, owner), brightest, names[0], colours)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once: the panels must not move between frames

    def draw(k: int) -> tuple[Any, ...]:
        image.set_data(pictures[k])
        ax.set_title(names[k], fontsize=10)
        return (image,)

    return Evolution(figure, draw, frames=len(flows), interval=200, repeat_delay=1500)


class Evolution(FuncAnimation):
    """An animation that a notebook shows, as a small GIF."""

    def _repr_html_(self) -> str:
        return picture(gif(self), "gif")


def gif(animation: FuncAnimation, seconds: float = 0.2, dpi: int = 80, colours: int = 64) -> bytes:
    """The bytes of a GIF of an animation, repeated forever.

    All frames share the colours of the last one, which takes far fewer bytes than Matplotlib's own writer with its
    palette per frame.

    Parameters
    ----------
    animation : FuncAnimation
        Such as `density_evolution` returns.
    seconds : float
        The duration of a frame, up to 655; the last one lasts at least 1.5 s.
    dpi : int
        Pixels per inch of the figure.
    colours : int
        2 to 256; fewer are smaller.

    Returns
    -------
    bytes
        For a file, or for a web page behind ``data:image/gif;base64,``.
    """
    if not isinstance(animation, FuncAnimation):
        raise NiceTypeError(f"gif: expected a matplotlib FuncAnimation, got {type(animation).__name__}")
    seconds = as_float(seconds, "gif", "seconds", above=0)
    if seconds > LONGEST:
        raise NiceValueError(f"gif: seconds must be at most {LONGEST:g}, got {seconds:g}")
    dpi, colours = as_int(dpi, "gif", "dpi", 1), as_int(colours, "gif", "colours", 2, 256)
    film = _Film()
    animation.save(os.devnull, writer=film, dpi=dpi)
    palette = film.frames[-1].quantize(colours, method=Image.Quantize.MEDIANCUT)
    first, *others = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in film.frames]
    milliseconds = round(1000 * seconds)
    duration = [milliseconds] * len(others) + [max(milliseconds, 1500)]
    written = BytesIO()
    first.save(written, "GIF", save_all=True, append_images=others, duration=duration, loop=0, optimize=True)
    return written.getvalue()


class _Film(AbstractMovieWriter):
    """A writer for ``Animation.save`` that keeps the frames as images and writes no file."""

    def setup(self, fig: Figure, outfile: Any, dpi: float | None = None) -> None:
        super().setup(fig, outfile, dpi)
        self.frames: list[Image.Image] = []

    def grab_frame(self, **savefig_kwargs: Any) -> None:
        pixels = BytesIO()
        self.fig.savefig(pixels, **{**savefig_kwargs, "format": "rgba", "dpi": self.dpi})
        self.frames.append(Image.frombytes("RGBA", self.frame_size, pixels.getvalue()).convert("RGB"))

    def finish(self) -> None:
        """There is no file to close."""
