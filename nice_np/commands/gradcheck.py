"""nice-np gradcheck: every hand-written gradient of a model against finite differences."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from nice_np.checks.gradients import check_gradients
from nice_np.checks.small_models import small_models
from nice_np.commands.options import add_seed
from nice_np.commands.parsing import Arguments, Parser, path
from nice_np.commands.shared import Result, labels_to_draw
from nice_np.flows.flow import Flow
from nice_np.runs.folder import load_run
from nice_np.vae import VAE

EPILOG = """examples:
  nice-np gradcheck
  nice-np gradcheck runs/mnist --json
"""


def add_arguments(parser: Parser) -> None:
    """Declare the arguments."""
    text = "run folder or model.npz (default: small models of every kind)"
    parser.add_argument("model", type=path, nargs="?", metavar="MODEL", help=text)
    add_seed(parser)


def run(arguments: Arguments) -> Result:
    """Check one model, or small flows with every coupling law and prior and a VAE of every kind."""
    if arguments.model is not None:
        models = {str(arguments.model): load_run(arguments.model)[0]}
    else:
        models = dict(small_models(arguments.seed))
    reports: dict[str, Any] = {}
    lines = []
    for name, model in models.items():
        rng = np.random.default_rng(arguments.seed)
        exact = model.astype(np.float64)
        context = labels_to_draw(model, None, 4) if isinstance(model, Flow) else None
        x = exact.sample(4, rng, context=context) if isinstance(exact, Flow) else cast(VAE, exact).sample(4, rng)
        # At most 200 elements of each array one by one: a large model would take minutes.
        report = check_gradients(model, x, context=context, rng=rng, max_coordinates=200)
        reports[name] = report
        lines += [name, *str(report).split("\n"), ""]
    passed = all(report.passed for report in reports.values())
    lines.append("all gradients agree with finite differences" if passed else "some gradients are WRONG, see above")
    return {"passed": passed, "reports": {name: r.to_dict() for name, r in reports.items()}}, lines
