"""On what the numbers were measured."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np  # noqa: F401 (its BLAS is loaded with it)
from threadpoolctl import threadpool_info

LIBRARIES = ("nice-np", "numpy", "scipy", "numba", "torch", "jax", "jaxlib")
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "XLA_FLAGS")


def describe() -> dict[str, Any]:
    """Processor, system, versions, BLAS, settings of threads, and the date."""
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version_of(name) for name in LIBRARIES},
        "blas": blas(),
        "environment": {name: os.environ[name] for name in THREADS if name in os.environ},
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def cpu_model() -> str:
    """As Linux names it; elsewhere what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def version_of(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def blas() -> list[dict[str, Any]]:
    """The BLAS that NumPy loads, with its kernels for this processor and its number of threads."""
    wanted = ("internal_api", "version", "architecture", "threading_layer", "num_threads")
    return [{key: pool.get(key) for key in wanted} for pool in threadpool_info() if pool["user_api"] == "blas"]
