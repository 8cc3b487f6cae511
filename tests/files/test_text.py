"""JSON and terminals."""

import json

import pytest

from nice_np.files.text import printable, to_json


def test_json_has_no_nan():
    text = to_json({"a": [float("nan"), (1.5, float("inf"))], "b": {"c": None, 1: True}})
    assert json.loads(text, parse_constant=pytest.fail) == {"a": [None, [1.5, None]], "b": {"c": None, "1": True}}


def test_a_line_has_no_control_characters():
    assert printable("Zürich 7\n\x1b[31m\udcff") == "Zürich 7\\n\\x1b[31m\\udcff"
