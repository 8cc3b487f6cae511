"""Where data files are searched for and how they are opened."""

import gzip
import os
import zlib
from pathlib import Path

import pytest

from nice_np.datasets.download import RemoteFile
from nice_np.datasets.files import ENVIRONMENT_VARIABLE, cached, find, given_folder, open_file
from nice_np.errors import DatasetError, NiceTypeError

pytestmark = pytest.mark.usefixtures("offline")
REMOTE = RemoteFile("a.bin", ("https://example.org/a.bin", "https://example.com/a.bin"), "0" * 64, 5)


# --- given_folder -----------------------------------------------------------------------------------------------------


def test_argument_then_environment_then_none(monkeypatch):
    assert given_folder(None, "load_x") is None
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "there")
    assert given_folder(None, "load_x") == Path("there")
    assert given_folder("here", "load_x") == given_folder(Path("here"), "load_x") == Path("here")
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "")
    assert given_folder(None, "load_x") is None


@pytest.mark.parametrize("bad", [3, b"folder", ["folder"], 0.5])
def test_folder_must_be_a_path(bad):
    with pytest.raises(NiceTypeError, match="load_x: data_dir must be"):
        given_folder(bad, "load_x")


# --- find -------------------------------------------------------------------------------------------------------------


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def test_the_folder_comes_before_its_subfolders_and_they_in_turn(tmp_path):
    paths = [tmp_path / "a", tmp_path / "one" / "a", tmp_path / "two" / "a"]
    touch(*paths)
    for path in paths:
        assert find(("a",), tmp_path, ("one", "two"), "cure") == path
        path.unlink()


def test_names_come_in_turn_within_a_folder(tmp_path):
    touch(tmp_path / "b", tmp_path / "sub" / "a")
    assert find(("a", "b"), tmp_path, ("sub",), "cure") == tmp_path / "b"
    touch(tmp_path / "a")
    assert find(("a", "b"), tmp_path, ("sub",), "cure") == tmp_path / "a"


def test_nothing_found_says_where_and_what_to_do(tmp_path):
    with pytest.raises(DatasetError) as caught:
        find(("a", "b", "c"), tmp_path, ("sub",), "buy one")
    assert str(caught.value) == f"no a (or b, c) in {tmp_path} or {tmp_path / 'sub'}; buy one"


@pytest.mark.parametrize("folder", ["missing", "file", "null\0byte"])
def test_the_folder_is_no_folder(tmp_path, folder):
    touch(tmp_path / "file")
    with pytest.raises(DatasetError, match="is not a folder; cure"):
        find(("a",), tmp_path / folder, ("sub",), "cure")


def test_folder_that_may_not_be_looked_into(monkeypatch, tmp_path):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(DatasetError, match=r"cannot be searched \(Permission denied\); cure") as caught:
        find(("a",), tmp_path, ("sub",), "cure")
    assert str(tmp_path) in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="everything is open to the superuser")
def test_folder_without_permissions(tmp_path):
    folder = tmp_path / "closed"
    touch(folder / "a")
    folder.chmod(0)
    try:
        with pytest.raises(DatasetError, match="cannot be searched"):
            find(("a",), folder, (), "cure")
        with pytest.raises(DatasetError, match=r"cannot be read|no such file"), open_file(folder / "a", "a file"):
            pass
    finally:
        folder.chmod(0o700)


def test_names_too_long_and_links_in_a_circle(tmp_path):
    with pytest.raises(DatasetError, match="cure"):
        find(("a" * 5000,), tmp_path, (), "cure")
    try:
        (tmp_path / "circle").symlink_to(tmp_path / "circle")
    except OSError:
        pytest.skip("needs symbolic links")
    with pytest.raises(DatasetError, match="cannot be searched"):
        find(("circle",), tmp_path, (), "cure")


# --- cached -----------------------------------------------------------------------------------------------------------


def test_empty_cache_without_network(tmp_path):
    with pytest.raises(DatasetError) as caught:
        cached(REMOTE, "sub", progress=False, hint="; or take another")
    for part in (*REMOTE.urls, str(tmp_path / "cache" / "nice_np" / "sub"), "data_dir", ENVIRONMENT_VARIABLE):
        assert part in str(caught.value)
    assert str(caught.value).endswith("; or take another")


# --- open_file --------------------------------------------------------------------------------------------------------


def test_a_file_is_opened_and_closed(tmp_path):
    (tmp_path / "a").write_bytes(b"content")
    with open_file(tmp_path / "a", "a file") as file:
        assert file.read() == b"content"
    assert file.closed


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(DatasetError, match="no such file") as caught, open_file(tmp_path / "a", "an IDX file"):
        pass
    assert str(tmp_path / "a") in str(caught.value)
    with pytest.raises(DatasetError, match="expected an IDX file, found a folder"), open_file(tmp_path, "an IDX file"):
        pass


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipe_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DatasetError, match="found a special file"), open_file(tmp_path / "pipe", "an IDX file"):
        pass


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (EOFError(), "the gzip stream is truncated; fetch the file again"),
        (gzip.BadGzipFile("CRC"), r"damaged \(CRC\); fetch the file again"),
        (zlib.error("bad block"), r"damaged \(bad block\); fetch the file again"),
        (OSError(5, "Input/output error"), r"cannot be read \(Input/output error\)"),
        (ValueError("embedded null byte"), r"cannot be read \(embedded null byte\)"),
        (DatasetError("the reader's own words"), "^the reader's own words$"),
    ],
)
def test_trouble_while_reading(tmp_path, error, message):
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(DatasetError, match=message), open_file(tmp_path / "a", "a file"):
        raise error


def test_errors_of_the_program_are_not_hidden(tmp_path):
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(ZeroDivisionError), open_file(tmp_path / "a", "a file"):
        raise ZeroDivisionError
