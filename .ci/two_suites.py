"""The quick tests twice at the same time, a core each: with the JIT switched off, and under python -O."""

import os
import subprocess
import sys
import tempfile

SUITES = {
    "with the JIT switched off": ([], [], {"NUMBA_DISABLE_JIT": "1"}),
    "under python -O": (["-O"], ["-k", "not doctest"], {}),
}


def start(python, pytest, environment):
    """The running suite and the file that holds what it prints."""
    log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (outlives this function)
    words = [sys.executable, *python, "-m", "pytest", "-q", *pytest]
    environment = {**os.environ, **environment}
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment), log


started = {name: start(*how) for name, how in SUITES.items()}
for name, (suite, log) in started.items():
    suite.wait()
    log.seek(0)
    print(f"--- {name}", log.read(), sep="\n", flush=True)  # noqa: T201 (a program)
sys.exit(any(suite.returncode for suite, _ in started.values()))
