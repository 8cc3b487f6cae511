"""Memory that a step frees stays with the process, and a program's own setting stays."""

import os
import subprocess
import sys

import pytest

MEASURE = """
import numpy as np, resource
from nice_np.training.malloc import keep_freed_memory
keep_freed_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    arrays = [np.ones(500_000) for _ in range(10)]  # 4 MB each, all freed at the end
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mallopt is glibc's")
@pytest.mark.parametrize("own", [{}, {"MALLOC_TRIM_THRESHOLD_": "131072"}])
def test_pages_of_freed_arrays_are_used_again(own):
    run = subprocess.run(
        [sys.executable, "-c", MEASURE], env={**os.environ, **own}, capture_output=True, text=True, check=True
    )
    pages = int(run.stdout)
    assert pages > 1000 if own else pages < 1000
