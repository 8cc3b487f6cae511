"""Import a library, build a model, take one training step, and say how long it took: run by `startup` as a program.

    python -m benchmarks.first_step nice_np '{"dim": 2, ...}' STARTED

STARTED is ``time.time()`` in the parent, just before it started this process.
"""

from __future__ import annotations

import json
import sys
import time


def main(name: str, model_json: str, started: str) -> None:
    """Print seconds from the end of the import, and from the start of the process, to the end of the first step."""
    __import__(name)
    imported = time.time()

    from benchmarks.contenders import around_steps, build
    from benchmarks.model import Model

    model = Model.from_json(model_json)
    contender = build(name, model)
    x = contender.prepare(model.data(model.batch))
    with around_steps(contender, model.batch):
        contender.wait(contender.step(x))
    done = time.time()
    print(json.dumps({"after_import": done - imported, "in_all": done - float(started)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
