"""JSON and terminals."""

import json

import pytest

from nice_np.files.text import from_json, printable, to_json


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


@pytest.mark.parametrize("text", [b"1e999", b"[-1e999]", b"NaN", b"Infinity", b"\xff", b"[", b"[" * 300 + b"]" * 300])
def test_json_that_is_not_strict_finite_and_shallow_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        from_json(text)


def test_json_of_many_parts_is_refused():
    assert from_json(b"[" + b"[]," * 150_000 + b"0]")[-1] == 0
    with pytest.raises(ValueError, match="300001 lists, objects and keys, at most 200000 are allowed"):
        from_json(b"[" + b"[]," * 300_000 + b"0]")
    rows = [{"a row with a long key": 0.5}] * 150_000  # a long history has more, but not more densely
    assert from_json(json.dumps(rows).encode()) == rows
