"""The progress bar of `fit`: share done, loss in nats and bits/dim, samples per second, time left."""

from __future__ import annotations

from typing import Any


class Progress:
    """A tqdm bar over the share of the run that is done; works in a terminal and in a notebook, or is silent.

    Parameters
    ----------
    show : bool
    done : float
        The share already done, when a run is resumed.
    """

    def __init__(self, show: bool, done: float = 0.0) -> None:
        self.bar: Any = None
        if show:
            from tqdm.auto import tqdm

            # In percent; the clock that tqdm shows beside it gives time spent and time left.
            layout = "{desc}{percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"
            self.bar = tqdm(total=100.0, initial=100.0 * done, bar_format=layout, mininterval=0.2, leave=True)

    def update(self, done: float, epoch: int, nats: float, bits: float, samples_per_second: float) -> None:
        """Show the state after a step: share done, epoch, running log-likelihood, bits/dim, speed."""
        if self.bar is not None:
            self.bar.set_description_str(f"epoch {epoch} ", refresh=False)
            self.bar.set_postfix_str(
                f"{nats:.1f} nats, {bits:.3f} bits/dim, {samples_per_second:.0f} samples/s", refresh=False
            )
            self.bar.update(min(100.0 * done, 100.0) - self.bar.n)

    def close(self) -> None:
        """Leave the bar as it is."""
        if self.bar is not None:
            self.bar.close()
