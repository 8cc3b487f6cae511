"""The playground's figure: sliders below, three pictures above, and a point that follows the mouse."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.widgets import Button, RadioButtons, Slider

from nice_np.errors import NiceError
from nice_np.flows.priors import PRIORS
from nice_np.playground.one_unit import LAWS, MOST_COUPLINGS, Knob, Playground, tiny_flow
from nice_np.playground.panels import ConditionerCurves, Panels
from nice_np.plotting.style import BLUE, DPI
from nice_np.validation import Array, Rng, as_rng

SIZE = (13.0, 7.3)  # inches, 16:9 for a projector
COLUMNS = (0.155, 0.37, 0.585, 0.8)  # left ends of the groups of sliders
FIRST_ROW, ROW = 0.195, 0.045  # of sliders: position of the uppermost, and distance between two
NO_WINDOW = (
    "play: Matplotlib cannot open a window here ({why}): save a picture with --save FILE.png, or, on a machine with a "
    "display, install a backend: pip install PyQt6"
)


class QuietSlider(Slider):
    """A slider that does not redraw the figure itself; its listener does."""

    drawon = False


class PlayFigure:
    """Sliders for the knobs of a flow, with its density, bent grid and log-determinant.

    For a tiny flow there are also buttons for law, couplings and prior, which keep the parameters.  Without a `figure`
    a new one is made, without a window; `rng` is for the button "random".
    """

    def __init__(self, ground: Playground, figure: Figure | None = None, rng: Rng = None) -> None:
        self.ground, self.rng = ground, as_rng(rng, "play")
        self.figure = Figure(dpi=DPI) if figure is None else figure
        if figure is None:
            FigureCanvasAgg(self.figure)
        self.figure.set_size_inches(*SIZE)
        self.panels = Panels(self.figure)
        self.point: Array = np.array([1.0, 0.5])  # (2,); follows the mouse with the button held down
        self.sliders: dict[str, QuietSlider] = {}  # by name of the knob
        self._curves: list[ConditionerCurves] = []
        self._slider_axes: list[Axes] = []
        self._make_buttons()
        self._still: Any = None  # the saved picture of what does not move
        self._moving: list[Artist] = []
        self._make_sliders()
        self.figure.canvas.mpl_connect("button_press_event", self._on_mouse)
        self.figure.canvas.mpl_connect("motion_notify_event", self._on_mouse)
        self.figure.canvas.mpl_connect("draw_event", self._on_draw)
        self.refresh()

    @property
    def width(self) -> float:
        """The pictures show the square from -width to width, four standard deviations of the prior."""
        return float(ceil(4 * self.ground.flow.prior.std))

    def refresh(self) -> None:
        """Draw the current flow."""
        changed = self.panels.show(self.ground.flow, self.point, self.width)
        for curves in self._curves:
            curves.show()
        self._draw(everything=changed)

    def _draw(self, everything: bool) -> None:
        """Draw what moves over the saved picture of the rest, or everything."""
        canvas: Any = self.figure.canvas
        if everything or self._still is None or not canvas.supports_blit:
            canvas.draw_idle()  # and then _on_draw
        else:
            canvas.restore_region(self._still)
            self._draw_moving()
            canvas.blit(self.figure.bbox)

    def _on_draw(self, event: Any) -> None:
        """Save the picture of what does not move: at this point only `animated` artists have not been drawn."""
        canvas: Any = self.figure.canvas
        if not canvas.is_saving():  # to a file Matplotlib draws everything itself
            self._still = canvas.copy_from_bbox(self.figure.bbox) if canvas.supports_blit else None
            self._draw_moving()

    def _draw_moving(self) -> None:
        for artist in self._moving:
            self.figure.draw_artist(artist)

    def set_all(self, change: Callable[[], None]) -> None:
        """Let `change` set knobs, move the sliders to match, and draw once."""
        change()
        for name, slider in self.sliders.items():
            slider.eventson = False  # or each would redraw the figure
            slider.set_val(self.ground.positions[name])
            slider.eventson = True
        self.refresh()

    def choose(self, **different: Any) -> None:
        """Switch to another law, number of couplings or prior; parameters that both flows have are kept."""
        before = self.ground
        if before.choice is None:
            raise NiceError("play: law, couplings and prior of a trained flow cannot be changed")
        self.ground = tiny_flow(**before.choice._replace(**different)._asdict())
        for name in self.ground.positions.keys() & before.positions.keys():
            self.ground.turn(name, before.positions[name])
        self._make_sliders()
        self._still = None
        self.refresh()

    # -- widgets --------------------------------------------------------------------------------------------------

    def _make_sliders(self) -> None:
        for slider in self.sliders.values():
            slider.disconnect_events()
        for ax in self._slider_axes:
            ax.remove()
        self.sliders, self._curves, self._slider_axes = {}, [], []
        for left, group in zip(COLUMNS, self.ground.groups, strict=False):
            if group.coupling is None:  # only a title
                ax = self._add_axes(left + 0.01, FIRST_ROW + 0.035, 0.165, 0.001)
                ax.set_axis_off()
            else:
                ax = self._add_axes(left + 0.01, 0.285, 0.165, 0.085)
                self._curves.append(ConditionerCurves(ax, group.coupling, self.width))
            ax.set_title(group.title, fontsize=9)
            for row, knob in enumerate(group.knobs):
                self.sliders[knob.name] = self._slider(left + 0.025, FIRST_ROW - row * ROW, knob)
        parts = [part for slider in self.sliders.values() for part in (slider.poly, *slider.ax.lines, slider.valtext)]
        curves = [curve for group in self._curves for curve in group.moving]
        self._moving = [*self.panels.moving, *curves, *parts]
        for artist in self._moving:
            artist.set_animated(True)

    def _add_axes(self, left: float, bottom: float, width: float, height: float) -> Axes:
        ax = self.figure.add_axes((left, bottom, width, height))
        self._slider_axes.append(ax)
        return ax

    def _slider(self, left: float, bottom: float, knob: Knob) -> QuietSlider:
        ax, start = self._add_axes(left, bottom, 0.12, 0.03), self.ground.positions[knob.name]
        style: dict[str, Any] = {"valfmt": "%.2f", "color": BLUE, "initcolor": "none"}
        slider = QuietSlider(ax, knob.symbol, knob.low, knob.high, valinit=start, **style)
        slider.label.set_x(-0.06)  # clear of the handle at either end
        slider.valtext.set_x(1.06)

        def turn(value: float) -> None:
            self.ground.turn(knob.name, value)
            self.refresh()

        slider.on_changed(turn)
        return slider

    def _make_buttons(self) -> None:
        choice = self.ground.choice
        if choice is not None:
            counts = [str(k) for k in range(1, MOST_COUPLINGS + 1)]
            self.radios = {
                "law": self._radio("law", list(LAWS), choice.law, 0.305, 0.1),
                "couplings": self._radio("couplings", counts, str(choice.couplings), 0.175, 0.1),
                "prior": self._radio("prior", list(PRIORS), choice.prior, 0.08, 0.07),
            }
            self.radios["law"].on_clicked(lambda law: self.choose(law=law))
            self.radios["couplings"].on_clicked(lambda count: self.choose(couplings=int(str(count))))
            self.radios["prior"].on_clicked(lambda prior: self.choose(prior=prior))
        axes = [self.figure.add_axes((left, 0.02, 0.055, 0.04)) for left in (0.02, 0.08)]
        self.reset = Button(axes[0], "identity")
        self.reset.on_clicked(lambda _: self.set_all(self.ground.reset))
        self.other = Button(axes[1], "trained" if choice is None else "random")
        self.other.on_clicked(lambda _: self.set_all(self._other))

    def _radio(self, title: str, labels: list[str], active: str, bottom: float, height: float) -> RadioButtons:
        ax = self.figure.add_axes((0.02, bottom, 0.115, height))
        ax.set_title(title, fontsize=9, loc="left", pad=2)
        return RadioButtons(ax, labels, active=labels.index(active), activecolor=BLUE)

    def _other(self) -> None:
        if self.ground.choice is None:
            self.ground.complete()
        else:
            self.ground.randomize(self.rng)

    def _on_mouse(self, event: Any) -> None:
        """Move the point to the mouse while its button is held down, unless it pans or zooms."""
        toolbar: Any = getattr(self.figure.canvas, "toolbar", None)
        if toolbar is not None and toolbar.mode:
            return
        if event.inaxes in self.panels.axes and event.button == 1:
            self.point = np.array([event.xdata, event.ydata])
            self.panels.show_point(self.ground.flow, self.point)
            self._draw(everything=False)


def show(ground: Playground, rng: Rng = None) -> Playground:
    """Open a window until it is closed; returns the playground that was shown last.

    NiceError if Matplotlib has no backend that opens windows, for example without a display.
    """
    import matplotlib.pyplot as plt  # imported here, since it selects a backend

    try:
        figure = plt.figure(figsize=SIZE, dpi=DPI, num="nice-np play")
    except Exception as error:  # each backend raises its own error if there is no display
        raise NiceError(NO_WINDOW.format(why=f"{error}".split("\n")[0])) from error
    manager = type(figure.canvas).manager_class
    if manager.start_main_loop.__func__ is FigureManagerBase.start_main_loop.__func__:  # type: ignore[attr-defined]
        plt.close(figure)
        raise NiceError(NO_WINDOW.format(why=f"{plt.get_backend()} opens none"))
    player = PlayFigure(ground, figure, rng)  # bound to a name, since Matplotlib's events keep only weak references
    plt.show(block=True)
    return player.ground
