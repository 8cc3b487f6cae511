"""A figure to play with a flow of the plane: sliders below, three pictures above, a point that follows the mouse."""

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
from nice_np.playground.one_unit import LAWS, MOST_COUPLINGS, Playground, tiny_flow
from nice_np.playground.panels import Answers, Panels
from nice_np.plotting.style import BLUE, DPI
from nice_np.validation import Array, Rng, as_rng

SIZE = (13.0, 7.3)  # inches: the shape of a projector's picture
COLUMNS = (0.155, 0.37, 0.585, 0.8)  # left ends of the groups of sliders
FIRST_ROW, ROW = 0.195, 0.045  # of sliders: the uppermost one, and the way to the next
NO_WINDOW = (
    "play: Matplotlib cannot open a window here ({why}): draw one picture with --save FILE.png, or, on a machine with "
    "a display, install a backend: pip install PyQt6"
)


class QuietSlider(Slider):
    """A slider that leaves drawing to who listens to it, or each of a dozen would have all of the figure drawn."""

    drawon = False


class PlayFigure:
    """Sliders for the knobs of a flow, and its density, bent grid and log-determinant, which follow them.

    Parameters
    ----------
    ground : Playground
        A tiny flow gets buttons for its law, couplings and prior, which make another one with the same parameters.
    figure : Figure, optional
        Empty.  By default a new one without a window.
    rng : seed or numpy.random.Generator
        Of the button "random".

    Attributes
    ----------
    ground : Playground
        What is shown now.
    figure : Figure
    sliders : dict of str to QuietSlider
        By the name of their knob.
    panels : Panels
    point : ndarray, shape (2,)
        Where the numbers above the pictures are taken; it follows the mouse, held down.
    """

    def __init__(self, ground: Playground, figure: Figure | None = None, rng: Rng = None) -> None:
        self.ground, self.rng = ground, as_rng(rng, "play")
        self.figure = Figure(dpi=DPI) if figure is None else figure
        if figure is None:
            FigureCanvasAgg(self.figure)
        self.figure.set_size_inches(*SIZE)
        self.panels = Panels(self.figure)
        self.point: Array = np.array([1.0, 0.5])
        self.sliders: dict[str, QuietSlider] = {}
        self._answers: list[Answers] = []
        self._slider_axes: list[Axes] = []
        self._make_buttons()
        self._still: Any = None  # the picture of all that does not move
        self._moving: list[Artist] = []
        self._make_sliders()
        self.figure.canvas.mpl_connect("button_press_event", self._on_mouse)
        self.figure.canvas.mpl_connect("motion_notify_event", self._on_mouse)
        self.figure.canvas.mpl_connect("draw_event", self._on_draw)
        self.refresh()

    @property
    def width(self) -> float:
        """The pictures show the square from -width to width: four standard deviations of the prior, rounded up."""
        return float(ceil(4 * self.ground.flow.prior.std))

    def refresh(self) -> None:
        """Draw the flow as it is now."""
        changed = self.panels.show(self.ground.flow, self.point, self.width)
        for answers in self._answers:
            answers.show()
        self._draw(everything=changed)

    def _draw(self, everything: bool) -> None:
        """Draw what moves over the picture of what does not, or all of it."""
        canvas: Any = self.figure.canvas
        if everything or self._still is None or not canvas.supports_blit:
            canvas.draw_idle()  # and then _on_draw
        else:
            canvas.restore_region(self._still)
            self._draw_moving()
            canvas.blit(self.figure.bbox)

    def _on_draw(self, event: Any) -> None:
        """Keep the picture of what does not move: axes and all else have been drawn, what is `animated` has not."""
        canvas: Any = self.figure.canvas
        if not canvas.is_saving():  # to a file everything is drawn, by Matplotlib
            self._still = canvas.copy_from_bbox(self.figure.bbox) if canvas.supports_blit else None
            self._draw_moving()

    def _draw_moving(self) -> None:
        for artist in self._moving:
            self.figure.draw_artist(artist)

    def set_all(self, change: Callable[[], None]) -> None:
        """Let `change` turn knobs, put the sliders where the knobs are, and draw once."""
        change()
        for name, slider in self.sliders.items():
            slider.eventson = False  # each would draw everything
            slider.set_val(self.ground.positions[name])
            slider.eventson = True
        self.refresh()

    def choose(self, **different: Any) -> None:
        """Another law, number of couplings or prior; parameters that both flows have are kept."""
        before = self.ground
        if before.choice is None:
            raise NiceError("play: a trained flow has its law, couplings and prior already")
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
        self.sliders, self._answers, self._slider_axes = {}, [], []
        for left, group in zip(COLUMNS, self.ground.groups, strict=False):
            bottom = 0.285 if group.coupling is not None else FIRST_ROW + 0.035
            ax = self._add_axes(left + 0.01, bottom, 0.165, 0.37 - 0.285 if group.coupling is not None else 0.001)
            ax.set_title(group.title, fontsize=9)
            if group.coupling is None:
                ax.set_axis_off()
            else:
                self._answers.append(Answers(ax, group.coupling, self.width))
            for row, knob in enumerate(group.knobs):
                ax = self._add_axes(left + 0.025, FIRST_ROW - row * ROW, 0.12, 0.03)
                start = self.ground.positions[knob.name]
                slider = QuietSlider(
                    ax, knob.symbol, knob.low, knob.high, valinit=start, valfmt="%.2f", color=BLUE, initcolor="none"
                )
                slider.label.set_x(-0.06)  # both clear of the handle at either end
                slider.valtext.set_x(1.06)
                slider.on_changed(self._turner(knob.name))
                self.sliders[knob.name] = slider
        parts = [part for slider in self.sliders.values() for part in (slider.poly, *slider.ax.lines, slider.valtext)]
        curves = [curve for answers in self._answers for curve in answers.moving]
        self._moving = [*self.panels.moving, *curves, *parts]
        for artist in self._moving:
            artist.set_animated(True)

    def _add_axes(self, left: float, bottom: float, width: float, height: float) -> Axes:
        ax = self.figure.add_axes((left, bottom, width, height))
        self._slider_axes.append(ax)
        return ax

    def _turner(self, name: str) -> Callable[[float], None]:
        def turn(value: float) -> None:
            self.ground.turn(name, value)
            self.refresh()

        return turn

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
            self.radios["couplings"].on_clicked(lambda couplings: self.choose(couplings=int(str(couplings))))
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
        """The point goes where the mouse is held down, unless it pans or zooms."""
        toolbar: Any = getattr(self.figure.canvas, "toolbar", None)
        if toolbar is not None and toolbar.mode:
            return
        if event.inaxes in self.panels.axes and event.button == 1:
            self.point = np.array([event.xdata, event.ydata])
            self.panels.show_point(self.ground.flow, self.point)
            self._draw(everything=False)


def show(ground: Playground, rng: Rng = None) -> Playground:
    """Play in a window until it is closed; returns what was there last.

    Raises
    ------
    NiceError
        If Matplotlib has no backend that opens windows, as on a machine without a display.
    """
    import matplotlib.pyplot as plt  # chooses the backend, so only where a window is wanted

    try:
        figure = plt.figure(figsize=SIZE, dpi=DPI, num="nice-np play")
    except Exception as error:  # each backend has its own for a display that is not there
        raise NiceError(NO_WINDOW.format(why=f"{error}".split("\n")[0])) from error
    manager = type(figure.canvas).manager_class
    if manager.start_main_loop.__func__ is FigureManagerBase.start_main_loop.__func__:  # type: ignore[attr-defined]
        plt.close(figure)
        raise NiceError(NO_WINDOW.format(why=f"{plt.get_backend()} opens none"))
    player = PlayFigure(ground, figure, rng)  # a name: Matplotlib keeps weak references to what events call
    plt.show(block=True)
    return player.ground
