"""tutorials/nice_on_one_page.py as a module: a second program for NICE that shares no code with the library."""

import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).parents[1] / "tutorials" / "nice_on_one_page.py"
if not PATH.exists():
    pytest.skip("tutorials/ is in the checkout: run python -m pytest there", allow_module_level=True)

_spec = importlib.util.spec_from_file_location("nice_on_one_page", PATH)
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
NICE, Adam, Network, dequantize, main = (
    getattr(_module, name) for name in ("NICE", "Adam", "Network", "dequantize", "main")
)
