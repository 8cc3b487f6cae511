"""Fixtures for every test."""

import os
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def rng():
    """The only source of randomness in tests: the same numbers every time."""
    return np.random.default_rng(20141030)


@pytest.fixture
def data_dir():
    """The folder with the original MNIST files, where the environment names one."""
    folder = os.environ.get("NICE_NP_DATA")
    if not folder or not Path(folder).exists():
        pytest.skip("set NICE_NP_DATA to a folder with the original MNIST files to run this test")
    return Path(folder)
