"""Atomic writes: old file or new file, what is never replaced, modes and owners, leftovers, what reaches the disk."""

import contextlib
import os
import socket
import stat
import time
from pathlib import Path

import pytest

from nice_np import NiceFileError
from nice_np.errors import DatasetError
from nice_np.files import atomic
from nice_np.files.atomic import ABANDONED, read_text, replacing, write_text

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX modes, links, pipes and sockets")


@pytest.fixture(params=["without a name", "named", "copied"], autouse=True)
def temporary_file(request, monkeypatch):
    """The temporary file has no name on Linux, and a name elsewhere; where it cannot be linked, it is copied."""

    def refused(*args, **settings):
        raise PermissionError(1, "Operation not permitted")

    if request.param == "named":
        monkeypatch.setattr(atomic, "OPEN_FILES", "/no such folder")
    elif not (hasattr(os, "O_TMPFILE") and os.path.isdir(atomic.OPEN_FILES)):
        pytest.skip("files without a name are Linux's")
    if request.param == "copied":
        monkeypatch.setattr(os, "link", refused)
    return request.param


def contents(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("stop", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_file_is_replaced_whole_or_not_at_all(stop, tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def stopped_half_way():
        with replacing(path) as file:
            file.write(b"half of the n")
            raise stop

    with pytest.raises(stop):
        stopped_half_way()
    assert path.read_text() == "old"
    write_text(path, "new")
    assert path.read_text() == "new"
    assert contents(tmp_path) == ["file.txt"]


def test_nothing_is_seen_of_a_save_before_its_end(temporary_file, tmp_path):
    with replacing(tmp_path / "file.txt") as file:
        file.write(b"half of")
        file.flush()
        assert (contents(tmp_path) == []) == (temporary_file != "named")
    assert contents(tmp_path) == ["file.txt"]


def test_long_names(tmp_path):
    write_text(tmp_path / ("n" * 255), "text")
    assert (tmp_path / ("n" * 255)).read_text() == "text"


def test_replacing_says_what_cannot_be_written(tmp_path):
    (tmp_path / "folder").mkdir()
    cases = {
        "folder": "it is a folder, and only", "no/file": "No such file", "n" * 300: "File name too long",
        "a\0b": "null", ".": "it is a folder", "..": "it is a folder",
    }  # fmt: skip
    for name, reason in cases.items():
        with pytest.raises(NiceFileError, match=rf"cannot write .*{name}: .*{reason}"), replacing(tmp_path / name):
            pytest.fail("the block ran")
    assert contents(tmp_path) == ["folder"]


def make(kind, path):
    """Something at `path` that is not a regular file; returns what belongs to it."""
    if kind.startswith("a symbolic link"):
        (path.parent / "target").write_text("mine")
        path.symlink_to({"file": "target", "device": "/dev/null", "nothing": "missing"}[kind.split()[-1]])
    elif kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a device":
        try:
            os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
        except PermissionError:
            pytest.skip("only root makes devices")
    elif kind == "a socket":
        server = socket.socket(socket.AF_UNIX)
        here = os.getcwd()
        os.chdir(path.parent)  # a long path does not fit into a socket's address
        try:
            server.bind(path.name)
        finally:
            os.chdir(here)
            server.close()


LINKS = ("a symbolic link to a file", "a symbolic link to a device", "a symbolic link to nothing")


@posix
@pytest.mark.parametrize("kind", ["a pipe", "a device", "a socket", *LINKS])
def test_only_regular_files_are_replaced(kind, tmp_path):
    path = tmp_path / "out"
    make(kind, path)
    before, there = path.lstat(), contents(tmp_path)
    what = kind if kind not in LINKS else "a symbolic link"
    with pytest.raises(NiceFileError, match=f"out: it is {what}, and only a regular file is replaced"), replacing(path):
        pytest.fail("the block ran")
    assert path.lstat() == before
    assert contents(tmp_path) == there
    if kind.endswith("file"):
        assert path.read_text() == "mine"


@posix
@pytest.mark.parametrize("kind", ["a pipe", "a socket", "a symbolic link to a file"])
def test_what_appears_while_a_file_is_written_is_not_replaced_either(kind, tmp_path):
    path = tmp_path / "out"
    path.write_text("old")

    def swapped():
        with replacing(path):
            path.unlink()
            make(kind, path)

    with pytest.raises(NiceFileError, match="out: it is a"):
        swapped()
    assert not stat.S_ISREG(path.lstat().st_mode)
    assert contents(tmp_path) == (["out", "target"] if kind in LINKS else ["out"])


@posix
def test_a_hard_link_keeps_its_content(tmp_path):
    path, other = tmp_path / "out", tmp_path / "other"
    other.write_text("mine")
    os.system(f"ln {other} {path}")
    write_text(path, "new")
    assert (path.read_text(), other.read_text()) == ("new", "mine")


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o755, 0o444])
def test_a_replaced_file_keeps_its_mode_and_owner(mode, tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(mode)
    with contextlib.suppress(PermissionError):  # root alone can
        os.chown(path, 12_345, 54_321)
    before = path.stat()
    write_text(path, "new")
    after = path.stat()
    assert path.read_text() == "new"
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


@posix
def test_a_private_file_is_private_while_it_is_written(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o600)
    with replacing(path) as file:
        assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == 0o600


@posix
def test_a_new_file_has_the_usual_mode(tmp_path):
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "file", "new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


@posix
def test_the_bytes_reach_the_disk_before_the_name_and_the_name_before_the_end(temporary_file, monkeypatch, tmp_path):
    happened, fsync, replace = [], os.fsync, os.replace

    def seen_fsync(descriptor):
        status = os.fstat(descriptor)
        happened.append("folder" if stat.S_ISDIR(status.st_mode) else f"{status.st_size} bytes of {status.st_ino}")
        fsync(descriptor)

    def seen_replace(source, target):
        happened.append(f"name of {os.stat(source).st_ino}")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(os, "replace", seen_replace)
    write_text(tmp_path / "file", "text")
    number = (tmp_path / "file").stat().st_ino
    assert happened[-3:] == [f"4 bytes of {number}", f"name of {number}", "folder"]
    assert len(happened) == (4 if temporary_file == "copied" else 3)


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
        with replacing(path):
            raise error("it is full")

    with pytest.raises(NiceFileError, match=r"cannot write .*file.txt: it is full"):
        fails(OSError)
    with pytest.raises(DatasetError, match=r"^it is full$"):  # an OSError too, but of the block's own
        fails(DatasetError)
    assert contents(tmp_path) == []


def test_a_full_disk_is_reported_once(tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")

    def fills():
        with replacing(tmp_path / "a") as file, open("/dev/full", "wb") as full:
            os.dup2(full.fileno(), file.fileno())
            file.write(b"text")

    with pytest.raises(NiceFileError, match=r"cannot write .*: No space left on device"):
        fills()
    assert contents(tmp_path) == []


def test_an_absurdly_long_text_is_not_read(tmp_path):
    path = tmp_path / "settings.json"
    with open(path, "wb") as file:
        file.truncate(2**24 + 1)
    with pytest.raises(ValueError, match="more than 16777216 bytes"):
        read_text(path)


@posix
@pytest.mark.parametrize("kind", ["pipe", "text"])
def test_a_path_through_a_missing_folder_reaches_no_other_file(kind, tmp_path):
    path = tmp_path / "own"
    os.mkfifo(path) if kind == "pipe" else path.write_text("mine")
    before = os.lstat(path)
    with pytest.raises(NiceFileError, match="No such file or directory"):
        write_text(tmp_path / "missing" / ".." / "own", "new")
    assert os.lstat(path)[:3] == before[:3]  # kind, inode, device
    assert [file.name for file in tmp_path.iterdir()] == ["own"]
