"""JSON and terminals."""

import json

import pytest

from nice_np.files.text import printable, to_json


def test_json_has_no_nan():
    text = to_json({"a": [float("nan"), (1.5, float("inf"))], "b": {"c": None, 1: True}})
    assert json.loads(text, parse_constant=pytest.fail) == {"a": [None, [1.5, None]], "b": {"c": None, "1": True}}


def test_a_line_has_no_control_characters():
    assert printable("Zürich 7\n\x1b[31m\udcff") == "Zürich 7\\n\\x1b[31m\\udcff"


def test_json_has_no_control_characters():
    value = {"a": "".join(map(chr, range(0x20))) + "\x7f\x9b\u202e\u2028"}
    text = to_json(value)
    assert text.isprintable()
    assert json.loads(text) == value
