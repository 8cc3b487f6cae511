"""The table of a report: settings and scores of finished runs, beside the results of the NICE paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nice_np.datasets.base import SPLITS
from nice_np.pixels.dequantize import BIN_WIDTH
from nice_np.runs.finished import FinishedRun

PAPER = {"mnist": 1980.50, "tfd": 5514.71, "svhn": 11496.55, "cifar10": 5371.78}  # test nats; NICE, section 5.1
PAPER_BITS = {"mnist": 4.36, "cifar10": 4.48}  # from its nats, in [0, 1] and [-1, 1]; unknown for the others

Cell = Callable[[dict[str, Any]], str | None]  # from metrics.json; None if the run has no such value
Rows = list[tuple[str, list[str]]]


def table(runs: Sequence[FinishedRun]) -> list[tuple[str, Rows]]:
    """Groups of rows (label, one cell per run), without rows and groups that are empty for all runs."""
    groups = {heading: _filled(rows, runs) for heading, rows in ROWS.items()}
    return [(heading, rows) for heading, rows in groups.items() if rows]


def _filled(rows: dict[str, Cell], runs: Sequence[FinishedRun]) -> Rows:
    cells = [(label, [cell(run.metrics) for run in runs]) for label, cell in rows.items()]
    return [(label, [text or "\N{EN DASH}" for text in row]) for label, row in cells if any(row)]


def _score(name: str, split: str, form: str = "{:,.2f}") -> Cell:
    return lambda metrics: form.format(metrics[name][split]) if name in metrics else None


def _test_score(name: str) -> Cell:
    def cell(metrics: dict[str, Any]) -> str | None:
        if name not in metrics:
            return None
        return f"{metrics[name]['test']:,.2f} \N{PLUS-MINUS SIGN} {metrics['standard_error']['test']:,.2f}"

    return cell


def paper(metrics: dict[str, Any]) -> str | None:
    """The paper's test log-likelihood, with a star where it is in another unit."""
    name = metrics["dataset"]
    if name not in PAPER or "log_likelihood" not in metrics:  # the paper's results are of flows
        return None
    return f"{PAPER[name]:,.2f}{'' if name == 'mnist' else ' *'}"


def _paper_bits(metrics: dict[str, Any]) -> str | None:
    name = metrics["dataset"]
    return f"{PAPER_BITS[name]:.2f}" if name in PAPER_BITS and "log_likelihood" in metrics else None


def _other_bin_width(metrics: dict[str, Any]) -> str | None:
    """The width of a level in x, unless it is that of 8-bit pixels in [0, 1]."""
    width = metrics.get("bin_width")
    return f"{width:.4g}" if isinstance(width, float) and width != BIN_WIDTH else None


def _processor(metrics: dict[str, Any]) -> str | None:
    threads = metrics.get("threads")
    if not isinstance(threads, dict):
        return None
    limits = [f"{name}={value}" for name, value in threads.items() if name != "cores"]
    return ", ".join([f"{threads.get('cores')} core(s)", *limits])


ROWS: dict[str, dict[str, Cell]] = {
    "Run": {
        "data set": lambda m: str(m["dataset"]),
        "preset": lambda m: str(m["preset"]),
        "command": lambda m: m.get("command"),
        "seed": lambda m: str(m["seed"]),
    },
    "Training": {
        "parameters": lambda m: f"{m['parameters']:,}",
        "epochs": lambda m: f"{m['epochs']:,}",
        "steps": lambda m: f"{m['steps']:,}",
        "seconds": lambda m: f"{m['train_seconds']:,.1f}",
        "processor": _processor,
    },
    "Log-likelihood (nats)": {
        "train": _score("log_likelihood", "train"),
        "validation": _score("log_likelihood", "validation"),
        "test": _test_score("log_likelihood"),
        "test, given the label": _score("log_likelihood_given_label", "test"),
        "test, NICE paper": paper,
    },
    "ELBO (nats)": {
        "train": _score("elbo", "train"),
        "validation": _score("elbo", "validation"),
        "test": _test_score("elbo"),
    },
    "bits/dim": {
        **{split: _score("bits_per_dim", split, "{:.4f}") for split in SPLITS},
        "test, NICE paper": _paper_bits,
        "bin width": _other_bin_width,
    },
    "Label accuracy": {split: _score("accuracy", split, "{:.2%}") for split in SPLITS},
}
