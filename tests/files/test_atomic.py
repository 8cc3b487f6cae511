"""Atomic writes: old file or new file, links, leftovers, and paths that cannot be written."""

import os
import time
from pathlib import Path

import pytest

from nice_np import NiceFileError
from nice_np.files.atomic import ABANDONED, replacing, write_text


def contents(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("stop", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_file_is_replaced_whole_or_not_at_all(stop, tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def stopped_half_way():
        with replacing(path) as temporary:
            temporary.write_text("half of the n")
            raise stop

    with pytest.raises(stop):
        stopped_half_way()
    assert path.read_text() == "old"
    write_text(path, "new")
    assert path.read_text() == "new"
    assert contents(tmp_path) == ["file.txt"]


def test_replacing_keeps_links_and_long_names(tmp_path):
    (tmp_path / "link.txt").symlink_to(tmp_path / "file.txt")
    write_text(tmp_path / "link.txt", "text")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "file.txt").read_text() == "text"
    write_text(tmp_path / ("n" * 255), "text")


def test_replacing_says_what_cannot_be_written(tmp_path):
    (tmp_path / "folder").mkdir()
    cases = {"folder": "it is a folder", "no/file": "No such file", "n" * 300: "File name too long"}
    for name, reason in cases.items():
        with pytest.raises(NiceFileError, match=rf"cannot write .*{name}: .*{reason}"), replacing(tmp_path / name):
            pytest.fail("the block ran")
    assert contents(tmp_path) == ["folder"]


def test_pipes_devices_and_impossible_names_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/null")
    for name, reason in {"pipe": "not a regular file", "link": "not a regular file", "a\0b": "null"}.items():
        with pytest.raises(NiceFileError, match=reason), replacing(tmp_path / name):
            pytest.fail("the block ran")
    assert contents(tmp_path) == ["link", "pipe"]
    assert Path("/dev/null").is_char_device()


def test_leftovers_are_removed_by_a_later_save_but_not_those_of_a_running_one(tmp_path):
    old, young = tmp_path / ".nice-np-0123.tmp", tmp_path / ".nice-np-4567.tmp"
    for leftover in (old, young):
        leftover.write_bytes(b"half")
    os.utime(old, (0, time.time() - ABANDONED - 60))
    write_text(tmp_path / "a.txt", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == [young.name, "a.txt"]


def test_an_error_of_a_writer_names_the_path(tmp_path):
    path = tmp_path / "file.txt"

    def fails(error):
        with replacing(path) as temporary:
            raise error(f"cannot write {temporary}: it is full")

    for error in (OSError, NiceFileError):
        with pytest.raises(NiceFileError, match=r"cannot write .*file.txt: .*it is full"):
            fails(error)
    assert contents(tmp_path) == []
