""".npz files: written atomically, and read without trust."""

import io
import os
import stat
import struct
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import numpy as np
import pytest

from nice_np import CheckpointError, NiceFileError, NiceTypeError, NiceValueError
from nice_np.files.npz import read_npz, write_npz

posix = pytest.mark.skipif(os.name != "posix", reason="needs fork and resource limits")


def npy(descr="<f8", shape="(2,)", body=bytes(16), fortran="False", version=b"\1\0"):
    header = f"{{'descr': {descr!r}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY" + version + struct.pack("<H", len(header)) + header + body


def zip_bytes(members, method=zipfile.ZIP_STORED):
    """An archive of (name, bytes) pairs; names may appear twice."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members:
            if name in archive.namelist():
                with pytest.warns(UserWarning, match="Duplicate name"):
                    archive.writestr(name, data)
            else:
                archive.writestr(name, data)
    return buffer.getvalue()


def run(code, *arguments, timeout=60):
    """Run Python code in a child; returns what it printed."""
    imports = "import os, sys\nfrom pathlib import Path\nimport numpy as np\nfrom nice_np.files.npz import *\n"
    code = imports + textwrap.dedent(code)
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), environment.get("PYTHONPATH", "")])
    result = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True, text=True, timeout=timeout, check=False, env=environment,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout


# -- writing and reading back -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "array",
    [
        np.array([0.1, -0.0, 5e-324, 1e308]),
        np.array([0.1, 1e-45], np.float32),
        np.arange(256, dtype=np.uint8),
        np.array([-(2**63), 2**63 - 1]),
        np.array(2.5),
        np.empty(0),
        np.empty((3, 0, 2), np.float32),
        np.arange(32.0).reshape(2, 2, 2, 2, 2),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(20.0)[::3],
    ],
    ids=str,
)
def test_arrays_come_back_bit_for_bit(array, tmp_path):
    path = tmp_path / "a.npz"
    write_npz(path, {"x": array, "y": np.ones(2)})
    for back in (read_npz(path), np.load(path, allow_pickle=False)):
        assert list(back) == ["x", "y"]
        assert back["x"].dtype == array.dtype
        assert back["x"].shape == array.shape
        assert back["x"].tobytes() == array.tobytes()
    assert read_npz(path)["x"].flags.writeable


def test_other_byte_orders_and_integers_keep_their_values(tmp_path):
    path = tmp_path / "a.npz"
    write_npz(path, {"big": np.array([1.5, -2], ">f4"), "short": np.array([-300, 300], np.int16)})
    back = read_npz(path)
    assert back["big"].dtype == np.float32
    assert back["big"].tolist() == [1.5, -2]
    assert back["short"].dtype == np.int64
    assert back["short"].tolist() == [-300, 300]


@pytest.mark.parametrize("dtype", ["?", "u2", "u8", "f2", "c8", "U1", "O", "M8[s]", "i4,f4"])
def test_dtypes_that_would_be_rounded_wrapped_or_pickled_are_refused(dtype, tmp_path):
    with pytest.raises(NiceTypeError, match="'x' has dtype"):
        write_npz(tmp_path / "a.npz", {"x": np.zeros(2, dtype)})
    assert list(tmp_path.iterdir()) == []


def test_the_same_arrays_give_the_same_bytes(tmp_path):
    for name in ("a.npz", "b"):
        write_npz(tmp_path / name, {"x": np.arange(5)})
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_file_gets_the_usual_permissions(tmp_path):
    write_npz(tmp_path / "a.npz", {})
    (tmp_path / "b").touch()
    assert stat.S_IMODE((tmp_path / "a.npz").stat().st_mode) == stat.S_IMODE((tmp_path / "b").stat().st_mode)


@pytest.mark.parametrize("name", ["", "folder", "missing/a.npz", "file/a.npz", "a\0b", "a" * 300, "pipe"])
def test_paths_that_cannot_be_written_or_read_are_named(name, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    if name == "pipe":
        os.mkfifo(tmp_path / name)
    path = tmp_path / name if name else tmp_path
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(NiceFileError) as caught:
        write_npz(path, {"x": np.ones(1)})
    assert isinstance(caught.value, OSError)
    assert str(path) in str(caught.value)
    if name != "pipe":
        with pytest.raises(NiceFileError) as caught:
            read_npz(path)
        assert str(path) in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs Linux")
def test_a_folder_that_takes_no_files(tmp_path):
    from pathlib import Path

    with pytest.raises(NiceFileError, match="cannot write /proc/nice_np"):
        write_npz(Path("/proc/nice_np_model.npz"), {"x": np.ones(1)})


def test_too_many_arrays_are_refused(tmp_path):
    with pytest.raises(NiceValueError, match="10001 arrays, at most 10000"):
        write_npz(tmp_path / "a.npz", dict.fromkeys(map(str, range(10_001)), np.ones(1)))


# -- interruptions ------------------------------------------------------------------------------------------------


@posix
def test_killed_at_any_moment_the_file_stays_whole(tmp_path):
    """30 children that save in a loop are killed; the file always loads, and never holds half a save."""
    killed_inside, leftovers = run(
        """
        import random, signal, time
        from saving import watched
        path, random = Path(sys.argv[1]) / "a.npz", random.Random(0)
        inside, killed_inside = watched(), 0
        arrays = lambda value: {f"x{i}": np.full(20_000, value) for i in range(5)}
        write_npz(path, arrays(0.0))
        for turn in range(30):
            child = os.fork()
            if child == 0:
                value = float(turn)
                while True:
                    value += 1
                    write_npz(path, arrays(value))
            time.sleep(random.uniform(0.002, 0.03))
            os.kill(child, signal.SIGKILL)
            assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
            killed_inside, inside[0] = killed_inside + inside[0], 0
            back = read_npz(path)
            assert len(back) == 5 and len({value for x in back.values() for value in x}) == 1
        print(killed_inside, len(list(path.parent.glob(".nice-np-*"))))
        """,
        tmp_path,
    ).split()
    assert int(leftovers) <= 3, "temporary files have names"
    assert int(killed_inside) >= 3, "no child was killed inside a save: the test would prove nothing"


@posix
def test_two_processes_saving_to_one_path_leave_a_whole_file(tmp_path):
    seen = run(
        """
        path = Path(sys.argv[1]) / "a.npz"
        def save(value, times):
            for _ in range(times):
                write_npz(path, {"x": np.full(30_000, value), "y": np.full(3, value)})
        save(0.0, 1)
        children = []
        for value in (1.0, 2.0):
            children.append(os.fork())
            if children[-1] == 0:
                try:
                    save(value, 60)
                    os._exit(0)
                finally:
                    os._exit(1)
        seen, codes = set(), []
        while len(codes) < 2:
            back = read_npz(path)
            values = set(back["x"]) | set(back["y"])
            assert len(values) == 1
            seen |= values
            pid, status = os.waitpid(-1, os.WNOHANG)
            codes += [status] if pid else []
        assert codes == [0, 0]
        print(len(seen), [p.name for p in path.parent.iterdir()])
        """,
        tmp_path,
    )
    assert seen.split(maxsplit=1)[1].strip() == "['a.npz']"
    assert int(seen.split()[0]) >= 2


@posix
@pytest.mark.parametrize("limit", [0, 100, 5_000, 79_000, 80_200])
def test_a_file_size_limit_leaves_the_old_file(limit, tmp_path):
    path = tmp_path / "a.npz"
    write_npz(path, {"x": np.ones(3)})
    before = path.read_bytes()
    message = run(
        """
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
        try:
            write_npz(Path(sys.argv[1]), {"x": np.zeros(10_000)})
        except NiceFileError as error:
            print(error)
        """,
        path,
        limit,
    )
    assert message.startswith(f"cannot write {path}: File too large")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@posix
def test_a_full_disk_leaves_the_old_file(tmp_path):
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", tmp_path], capture_output=True).returncode:
        pytest.skip("mounting a small tmpfs is not allowed here")
    try:
        path = tmp_path / "a.npz"
        write_npz(path, {"x": np.ones(3)})
        before = path.read_bytes()
        for n in (5_500, 7_000, 100_000):
            with pytest.raises(NiceFileError, match=f"cannot write {path}: No space left on device"):
                write_npz(path, {"y": np.ones(2_500), "x": np.ones(n)})
        assert path.read_bytes() == before
        assert list(tmp_path.iterdir()) == [path]
        write_npz(path, {"x": np.ones(2_000)})
        assert read_npz(path)["x"].shape == (2_000,)
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_an_error_inside_a_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    write_npz(path, {"x": np.ones(3)})

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_npz(path, {"x": np.zeros(3)})
    assert read_npz(path)["x"].tolist() == [1, 1, 1]
    assert list(tmp_path.iterdir()) == [path]


def test_the_bytes_reach_the_disk_before_the_name_does(tmp_path, monkeypatch):
    events, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (events.append(os.fstat(file)), fsync(file)))
    monkeypatch.setattr(os, "replace", lambda a, b: (events.append("replace"), replace(a, b)))
    write_npz(tmp_path / "a.npz", {"x": np.ones(1000)})
    file, replaced, folder = events
    assert (file.st_size, replaced, folder.st_ino) == (
        (tmp_path / "a.npz").stat().st_size,
        "replace",
        tmp_path.stat().st_ino,
    )


# -- damaged and hostile files ------------------------------------------------------------------------------------

PICKLE = b"cos\nsystem\n(S'touch pwned'\ntR."
HOSTILE = {
    "empty": (b"", "end of the file"),
    "text": (b"once upon a time\n" * 20, "end of the file"),
    "npy": (npy(), "end of the file"),
    "end record alone": (b"PK\5\6" + bytes(18), None),
    "end record of nonsense": (b"PK\5\6" + b"\xff" * 18, "table of contents"),
    "many entries": (bytes(2_000_000) + b"PK\5\6" + bytes(8) + struct.pack("<IIH", 2_000_000, 0, 0), "claims 2000000"),
    "like PyTorch": (zip_bytes([("archive/data.pkl", PICKLE), ("archive/version", b"3\n")]), "archive/data.pkl"),
    "deflated": (zip_bytes([("x.npy", npy())], zipfile.ZIP_DEFLATED), "x.npy"),
    "bomb": (zip_bytes([("x.npy", bytes(50_000_000))], zipfile.ZIP_DEFLATED), "claim more bytes"),
    "duplicate": (zip_bytes([("x.npy", npy()), ("x.npy", npy())]), "twice"),
    "no npy": (zip_bytes([("x.txt", npy())]), "x.txt"),
    "objects": (zip_bytes([("x.npy", npy("|O", "(1,)", PICKLE))]), r"x\.npy.*not an array"),
    "pickle": (zip_bytes([("x.npy", PICKLE)]), r"x\.npy.*not an array"),
    "structured": (zip_bytes([("x.npy", npy([("a", "<f8")], "(2,)"))]), r"x\.npy.*not an array"),
    "complex": (zip_bytes([("x.npy", npy("<c16", "(1,)"))]), r"x\.npy.*not an array"),
    "big-endian": (zip_bytes([("x.npy", npy(">f8"))]), r"x\.npy.*not an array"),
    "fortran": (zip_bytes([("x.npy", npy(fortran="True"))]), r"x\.npy.*not an array"),
    "code": (zip_bytes([("x.npy", npy(shape="(__import__('os').abort(),)"))]), r"x\.npy.*not an array"),
    "parentheses": (zip_bytes([("x.npy", npy(shape="(" * 60_000))]), r"x\.npy.*not an array"),
    "version 2": (zip_bytes([("x.npy", npy(version=b"\2\0"))]), r"x\.npy.*not an array"),
    "cut header": (zip_bytes([("x.npy", npy()[:20])]), r"x\.npy.*not an array"),
    "empty member": (zip_bytes([("x.npy", b"")]), r"x\.npy.*not an array"),
    "negative": (zip_bytes([("x.npy", npy(shape="(-2,)"))]), r"x\.npy.*not an array"),
    "huge": (zip_bytes([("x.npy", npy(shape="(1000000000000,)"))]), r"x\.npy.*does not fit 16 bytes"),
    "digits": (zip_bytes([("x.npy", npy(shape=f"({'9' * 60_000},)"))]), r"x\.npy"),
    "huge but empty": (zip_bytes([("x.npy", npy(shape=f"(0, {10**30}, {10**30})", body=b""))]), r"x\.npy"),
    "100 axes": (zip_bytes([("x.npy", npy(shape=f"({'1, ' * 100})", body=bytes(8)))]), r"x\.npy"),
    "spaces": (zip_bytes([("x.npy", npy(shape="(1 2,)"))]), r"x\.npy"),
    "too short": (zip_bytes([("x.npy", npy(body=bytes(15)))]), r"x\.npy.*does not fit 15 bytes"),
    "too long": (zip_bytes([("x.npy", npy(body=bytes(17)))]), r"x\.npy.*does not fit 17 bytes"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "message"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_files_are_refused(data, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.npz"
    path.write_bytes(data)
    if message is None:  # an empty archive is valid
        assert read_npz(path) == {}
        return
    with pytest.raises(CheckpointError, match=message) as caught:
        read_npz(path)
    assert isinstance(caught.value, ValueError)
    assert str(caught.value).startswith(f"{path}: ")
    assert list(tmp_path.iterdir()) == [path]


def test_the_valid_counterpart_of_the_hostile_files_is_read(tmp_path):
    (tmp_path / "a.npz").write_bytes(zip_bytes([("x.npy", npy())]))
    assert read_npz(tmp_path / "a.npz")["x"].tolist() == [0, 0]


@pytest.mark.parametrize("flag", [1, 32, 64])
def test_encrypted_and_patched_members_are_refused(flag, tmp_path):
    data = bytearray(zip_bytes([("x.npy", npy())]))
    data[data.index(b"PK\1\2") + 8] |= flag
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(CheckpointError, match=r"x\.npy"):
        read_npz(tmp_path / "a.npz")


def test_members_that_overlap_are_refused(tmp_path):
    """Two entries with the same bytes: how a small file unpacks to a large one."""
    data = zip_bytes([("x.npy", npy("<f8", "(1000,)", bytes(8000)))])
    start, end = data.index(b"PK\1\2"), data.index(b"PK\5\6")
    entry = data[start:end]
    tail = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 2, 2, 2 * len(entry), start, 0)
    (tmp_path / "a.npz").write_bytes(data[:start] + entry + entry.replace(b"x.npy", b"y.npy") + tail)
    with pytest.raises(CheckpointError, match="claim more bytes"):
        read_npz(tmp_path / "a.npz")


def test_two_entries_with_one_member_are_refused(tmp_path):
    """Where they claim no more bytes than the file has; zipfile would warn, from Python 3.12 on."""
    data = zip_bytes([("x.npy", npy("<f8", "(1,)", bytes(8)))])
    start, end = data.index(b"PK\1\2"), data.index(b"PK\5\6")
    entry, gap = data[start:end], bytes(1000)
    tail = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 2, 2, 2 * len(entry), start + len(gap), 0)
    (tmp_path / "a.npz").write_bytes(data[:start] + gap + entry + entry.replace(b"x.npy", b"y.npy") + tail)
    with pytest.raises(CheckpointError, match=r"members 'x.npy' and 'y.npy' overlap"):
        read_npz(tmp_path / "a.npz")


def test_a_second_table_of_contents_cannot_be_slipped_in(tmp_path):
    good = zip_bytes([("x.npy", npy())])
    end = good[-22:]
    for length, where in ((2**40, len(good) - 22), (60, 0)):
        record = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, length, 0)
        locator = struct.pack("<4sIQI", b"PK\6\7", 0, where, 1)
        (tmp_path / "a.npz").write_bytes(good[:-22] + record + locator + end)
        with pytest.raises(CheckpointError, match="its table of contents"):
            read_npz(tmp_path / "a.npz")


def test_a_member_beyond_the_end_is_refused(tmp_path):
    data = zip_bytes([("x.npy", npy())])
    start, end = data.index(b"PK\1\2"), data.index(b"PK\5\6")
    entry = bytearray(data[start:end])
    entry[42:46] = b"\xff" * 4  # the offset is in the extra field
    entry[30:32] = struct.pack("<H", 12)
    entry += struct.pack("<HHQ", 1, 8, 2**63)
    tail = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(entry), start, 0)
    (tmp_path / "a.npz").write_bytes(data[:start] + entry + tail)
    with pytest.raises(CheckpointError):
        read_npz(tmp_path / "a.npz")


def test_archives_beyond_4_gib_stay_readable(tmp_path, monkeypatch):
    """With the limits of the old zip format set to 0, Python writes the records of the new one."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    write_npz(tmp_path / "a.npz", {"x": np.arange(100.0), "y": np.ones(2)})
    assert b"PK\6\7" in (tmp_path / "a.npz").read_bytes()[-98:]
    assert read_npz(tmp_path / "a.npz")["x"].tolist() == list(range(100))


def test_a_file_cut_anywhere_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    write_npz(path, {"x": np.arange(10.0), "y": np.ones(2)})
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointError):
            read_npz(path)


@posix
def test_a_pipe_or_a_device_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(NiceFileError, match=f"cannot read {path}: it is not a regular file"):
            read_npz(path)
