"""nice-np report: finished runs side by side on one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nice_np.commands.options import add_data_dir, add_force, new_command
from nice_np.commands.parsing import Arguments, Parser, ending_in
from nice_np.commands.shared import Result
from nice_np.errors import NiceValueError
from nice_np.runs.finished import read_runs
from nice_np.runs.folder import refuse_to_replace, replacing, write_text
from nice_np.runs.report import make_report

EXAMPLES = """example:
  nice-np report runs/mnist runs/mnist-affine --out report.html --poster samples.png
"""


def add_parser(subparsers: Any) -> Parser:
    """Describe the command and its arguments."""
    parser = new_command(subparsers, "report", "put finished runs side by side on one HTML page", EXAMPLES)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of a finished run")
    parser.add_argument(
        "--out", type=ending_in(".html"), required=True, metavar="FILE", help="the page (.html), everything inside it"
    )
    parser.add_argument(
        "--poster", type=ending_in(".png"), metavar="FILE", help="its picture of data and samples as a file, too (.png)"
    )
    add_data_dir(parser)
    add_force(parser)
    return parser


def run(arguments: Arguments) -> Result:
    """Put finished runs side by side on a page."""
    out, poster = arguments.out, arguments.poster
    for path in (out, poster):
        if path is not None:
            refuse_to_replace(path, arguments.force)
    runs = read_runs(arguments.runs)
    page = make_report(runs, arguments.data_dir)
    left_out = page.poster.left_out
    if poster is not None:
        if page.poster.png is None:
            reasons = "; ".join(left_out.values()) or "none of the runs is of images"
            raise NiceValueError(f"no picture of data and samples for {poster}: {reasons}; leave out --poster")
        with replacing(poster) as temporary:
            temporary.write_bytes(page.poster.png)
    write_text(out, page.html)
    result = {
        "out": str(out),
        "poster": None if poster is None else str(poster),
        "runs": {run.name: str(run.folder) for run in runs},
        "left_out": left_out,
    }
    lines = [
        f"{len(runs)} run(s) side by side in {out}",
        *([f"data and samples in {poster}"] if poster is not None else []),
        *(f"no samples beside data of {name}: {reason}" for name, reason in left_out.items()),
    ]
    return result, "\n".join(lines)
