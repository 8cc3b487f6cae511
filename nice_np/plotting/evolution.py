"""How the density of a flow in the plane changes, for example during training: an animation, and a small GIF of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import BytesIO
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.animation import AbstractMovieWriter, FuncAnimation
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from nice_np.errors import NiceTypeError, NiceValueError
from nice_np.flows.flow import Flow
from nice_np.plotting.plane import as_extent, density_on_grid
from nice_np.plotting.style import DPI, annotate, refuse_other
from nice_np.validation import as_float, as_int, as_samples

LONGEST = 655.0  # seconds: a GIF counts hundredths, up to 65535
LEVELS = 12  # steps of colour: even areas are what makes a GIF small


def density_evolution(
    flows: Sequence[Flow],
    titles: Sequence[str] | None = None,
    samples: npt.ArrayLike | None = None,
    extent: Sequence[float] = (-4, 4, -4, 4),
    resolution: int = 150,
    top: float | None = None,
) -> FuncAnimation:
    """Animate the density p(x) of several flows of the plane, one a frame, in the same colours.

    Parameters
    ----------
    flows : sequence of Flow
        Of dimension 2, such as copies that a callback of `fit` has kept.  A density too large for a float64 raises
        NiceOverflowError.
    titles : sequence of str, optional
        One a frame, by default "1 of 20", "2 of 20", ...
    samples : array_like, shape (M, 2), optional
        Points in a second panel at the left, for comparison.
    extent : (left, right, bottom, top)
        The part of the plane to show.
    resolution : int
        Pixels of the density along each side.
    top : float, optional
        The density of the brightest colour, in 1 / area; by default the highest of the last flow.

    Returns
    -------
    FuncAnimation
        `gif` makes a small file of it; its own methods ``save`` and ``to_jshtml`` work, too.
    """
    owner = "density_evolution"
    refuse_other(flows, Iterable, owner, "flows")
    flows = list(flows)
    if not flows:
        raise NiceValueError(f"{owner}: expected at least one flow")
    names = [f"{k} of {len(flows)}" for k in range(1, len(flows) + 1)] if titles is None else list(titles)
    if len(names) != len(flows):
        raise NiceValueError(f"{owner}: expected one title a flow, got {len(names)} titles for {len(flows)} flows")
    pictures = [density_on_grid(flow, extent, resolution, owner) for flow in flows]  # (resolution, resolution) each
    brightest = float(pictures[-1].max()) if top is None else as_float(top, owner, "top", above=0)
    points = None if samples is None else as_samples(samples, 2, owner=owner, name="samples")

    left, right, bottom, upper = as_extent(flows[0], extent, owner)
    columns = 1 if points is None else 2
    figure = Figure(figsize=(3.5 if points is None else 5.9, 2.9), dpi=DPI, layout="constrained")
    *beside, ax = np.ravel(figure.subplots(1, columns, sharex=True, sharey=True, subplot_kw={"aspect": "equal"}))
    if points is not None:
        beside[0].plot(points[:, 0], points[:, 1], ".", markersize=1, color="black")
        annotate(beside[0], "data", "$x_1$", "$x_2$")
    colours = mpl.colormaps["viridis"].resampled(LEVELS)
    image = ax.imshow(
        pictures[0], origin="lower", extent=(left, right, bottom, upper), cmap=colours, vmin=0, vmax=brightest
    )
    figure.colorbar(image, ax=ax, label="density $p(x)$").ax.tick_params(labelsize=8)
    annotate(ax, names[0], "$x_1$", "$x_2$")
    ax.set(xlim=(left, right), ylim=(bottom, upper))
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once: the panels must not move from frame to frame

    def draw(k: int) -> tuple[Any, ...]:
        image.set_data(pictures[k])
        ax.set_title(names[k], fontsize=10)
        return (image,)

    return FuncAnimation(figure, draw, frames=len(flows), interval=200, repeat_delay=1500)


def gif(animation: FuncAnimation, seconds: float = 0.2, dpi: int = 80, colours: int = 64) -> bytes:
    """An animation as the bytes of a GIF that repeats for ever.

    All frames share the colours of the last one: that takes far fewer bytes than a palette for each frame, as
    Matplotlib's own writer makes it.

    Parameters
    ----------
    animation : FuncAnimation
        Such as `density_evolution` returns.
    seconds : float
        How long a frame is shown, up to 655; the last one at least 1.5 s.
    dpi : int
        Pixels per inch of the figure.
    colours : int
        From 2 to 256; fewer are smaller.

    Returns
    -------
    bytes
        Write them to a file, or put them into a page behind ``data:image/gif;base64,``.
    """
    if not isinstance(animation, FuncAnimation):
        raise NiceTypeError(f"gif: expected a matplotlib FuncAnimation, got {type(animation).__name__}")
    seconds = as_float(seconds, "gif", "seconds", above=0)
    if seconds > LONGEST:
        raise NiceValueError(f"gif: seconds must be at most {LONGEST:g}, got {seconds:g}")
    milliseconds = round(1000 * seconds)
    dpi, colours = as_int(dpi, "gif", "dpi", 1), as_int(colours, "gif", "colours", 2)
    if colours > 256:
        raise NiceValueError(f"gif: colours must be at most 256, got {colours}")
    film = _Film()
    animation.save("not written", writer=film, dpi=dpi)
    palette = film.frames[-1].quantize(colours, method=Image.Quantize.MEDIANCUT)
    first, *others = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in film.frames]
    duration = [milliseconds] * len(others) + [max(milliseconds, 1500)]
    written = BytesIO()
    first.save(written, "GIF", save_all=True, append_images=others, duration=duration, loop=0, optimize=True)
    return written.getvalue()


class _Film(AbstractMovieWriter):
    """A writer for ``Animation.save`` that keeps the frames as pictures and writes no file."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[Image.Image] = []

    def setup(self, fig: Figure, outfile: Any, dpi: float | None = None) -> None:
        self.fig, self.dpi = fig, fig.dpi if dpi is None else dpi
        self._dpi_before = fig.dpi
        fig.set_dpi(self.dpi)
        self._canvas = FigureCanvasAgg(fig)

    def grab_frame(self, **savefig_kwargs: Any) -> None:
        self._canvas.draw()  # type: ignore[no-untyped-call]
        pixels = np.asarray(self._canvas.buffer_rgba())  # type: ignore[no-untyped-call]
        self.frames.append(Image.fromarray(pixels).convert("RGB"))

    def finish(self) -> None:
        self.fig.set_dpi(self._dpi_before)
