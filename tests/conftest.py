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


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No folder in the environment, an empty cache, tmp_path/cache, and a network that is down."""
    import pooch
    import requests

    def no_network(*args, **kwargs):
        raise requests.ConnectionError("the tests have no network")

    monkeypatch.delenv("NICE_NP_DATA", raising=False)
    monkeypatch.setattr("nice_np.datasets.download.PAUSE", 0.0)
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache" / project)
    monkeypatch.setattr(requests.Session, "send", no_network)
