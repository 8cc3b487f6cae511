"""nice-np report: finished runs side by side on one HTML page."""

from __future__ import annotations

from contextlib import ExitStack

from nice_np.commands.options import add_data_dir, add_force
from nice_np.commands.parsing import Arguments, Parser, ending_in, path
from nice_np.commands.shared import Result
from nice_np.errors import NiceValueError
from nice_np.files.atomic import replacing
from nice_np.runs.finished import read_runs
from nice_np.runs.folder import refuse_to_replace
from nice_np.runs.report import make_report

EPILOG = """example:
  nice-np report runs/mnist runs/mnist-affine --out report.html --poster samples.png
"""


def add_arguments(parser: Parser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("runs", type=path, nargs="+", metavar="RUN", help="folder of a finished run")
    add("--out", "-o", type=ending_in(".html"), required=True, metavar="FILE", help="the page (.html), self-contained")
    add("--poster", type=ending_in(".png"), metavar="FILE", help="also save its picture of data and samples (.png)")
    add_data_dir(parser)
    add_force(parser)


def run(arguments: Arguments) -> Result:
    """Write the page."""
    out, poster = arguments.out, arguments.poster
    refuse_to_replace(arguments.force, out, poster)
    runs = read_runs(arguments.runs)
    page = make_report(runs, arguments.data_dir)
    left_out = page.poster.left_out
    if poster is not None and page.poster.png is None:
        reasons = "; ".join(left_out.values()) or "none of the runs is of images"
        raise NiceValueError(f"no picture of data and samples for {poster}: {reasons}; leave out --poster")
    with ExitStack() as stack:  # if one of the files cannot be written, neither is
        for file, data in ((out, page.html.encode()), (poster, page.poster.png)):
            if file is not None and data is not None:
                stack.enter_context(replacing(file)).write(data)
    result = {
        "out": str(out),
        "poster": None if poster is None else str(poster),
        "runs": {run.name: str(run.folder) for run in runs},
        "left_out": left_out,
    }
    lines = [
        f"{len(runs)} run(s) side by side in {out}",
        *([f"data and samples in {poster}"] if poster is not None else []),
        *(f"no samples beside the data of {name}: {reason}" for name, reason in left_out.items()),
    ]
    return result, lines
