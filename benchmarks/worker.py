"""One case in a process of its own, for a clean start: ``python -m benchmarks.worker paper OPTIONS``, all as JSON."""

from __future__ import annotations

import json
import sys

import nice_np._blas  # noqa: F401 (before NumPy, as on nice_np's own command line)
from benchmarks.agreement import Disagreement
from benchmarks.cases import CASES
from benchmarks.options import Options


def main(name: str, options_json: str) -> None:
    """Print the result as JSON; a disagreement goes to stderr, in one line."""
    fields = json.loads(options_json)
    options = Options(**{**fields, "only": tuple(fields["only"])})
    try:
        result = CASES[name].measure(options)
    except Disagreement as error:
        sys.exit(str(error))
    print(json.dumps(result.as_dict()))


if __name__ == "__main__":
    main(*sys.argv[1:])
