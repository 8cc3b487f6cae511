"""The command line as a whole: usage, help, exit codes, and terminals, pipes and locales of every kind."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import ENVIRONMENT, QUICK, WITHOUT_FIGURES, as_json, child, fail, run, succeed

from nice_np import NiceFileError, __version__, cli, datasets
from nice_np.commands import COMMANDS, info
from nice_np.runs.presets import PRESETS


def test_without_arguments_it_names_the_commands():
    err = fail(code=2)
    for name in COMMANDS:
        assert name in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("trian rings", r"unknown command 'trian' (did you mean train?)"),
        ("train", "required: DATASET (see nice-np train --help)"),
        ("train two_moon", "unknown data set 'two_moon' (did you mean two-moons?); choose one of mnist-small, mnist"),
        ("train fashion", "unknown data set 'fashion'; choose one of"),
        ("train rings --preset digit", "unknown preset 'digit' (did you mean digits?)"),
        ("train rings --epochs 0", "argument --epochs: expected a whole number from 1 to"),
        ("train rings --epochs -1", "argument --epochs"),
        ("train rings --epochs 1e3", "got '1e3'"),
        ("train rings --epochs 2.5", "got '2.5'"),
        ("train rings --epochs nan", "got 'nan'"),
        ("train rings --epochs " + "9" * 5000, "argument --epochs"),
        ("train rings --batch-size 0", "argument --batch-size"),
        ("train rings --batch-size " + "9" * 400, "argument --batch-size"),
        ("train rings --threads 0", "argument --threads: expected a whole number from 1 to"),
        ("train rings --learning-rate nan", "argument --learning-rate: expected a number > 0, got 'nan'"),
        ("train rings --learning-rate inf", "got 'inf'"),
        ("train rings --learning-rate 0", "got '0'"),
        ("train rings --learning-rate fast", "got 'fast'"),
        ("train rings --time-limit 0", "argument --time-limit: expected a number > 0"),
        ("train rings --time-limit -5", "argument --time-limit"),
        ("train rings --epochs 2 --time-limit 2", "not allowed with argument --epochs"),
        ("train rings --seed -1", "argument --seed"),
        ("train rings --checkpoint-every 0", "argument --checkpoint-every"),
        ("train rings --resume --force", "--resume continues a run and --force replaces it"),
        ("train rings --epoch 3", "unknown argument '--epoch' (did you mean --epochs?) (see nice-np train --help)"),
        ("train rings --res", "unknown argument '--res'"),
        ("train rings rings", "unknown argument 'rings'"),
        ("train --epochs", "argument --epochs: expected one argument"),
        ("--json train rings", "unknown argument '--json'; write it after train"),
        ("demo --resume", "unknown argument '--resume'"),
        ("demo --time-limit nan", "argument --time-limit"),
        ("sample run", "required: --out"),
        ("sample run --out a.jpg", "expected a file ending in .png or .npy, got 'a.jpg'"),
        ("sample run --out a.png -n 0", "argument -n"),
        ("sample run --out a.png -n 99999999999", "argument -n"),
        ("sample run --out a.png --temperature -1", "argument --temperature: expected a number >= 0"),
        ("evaluate", "required: MODEL"),
        ("evaluate run --split tset", "unknown split 'tset' (did you mean test?)"),
        ("evaluate run --data moon", "unknown data set 'moon'"),
        ("gradcheck --seed x", "argument --seed"),
        ("info", "required: MODEL"),
        ("train two-moons --lr 1e-3", "unknown argument '--lr' (did you mean --learning-rate?)"),
        ("train two-moons --tl 1", "unknown argument '--tl' (did you mean --time-limit?)"),
    ],
)  # fmt: skip
def test_a_usage_error_ends_with_2_and_creates_nothing(words, says, here):
    assert says in fail(*words.split(), code=2)
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_help(command):
    out = succeed(*command, "--help")
    assert out.startswith(" ".join(("usage: nice-np", *command)))
    assert out.isascii()
    assert max(map(len, out.splitlines())) <= 110
    if command == ("train",):
        for name in (*datasets.names(), *PRESETS):
            assert name in out


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_examples_can_be_parsed(command):
    """Every command shows at least one example, and it can be parsed; in the general help a comment follows each."""
    lines = succeed(*command.split(), "--help").splitlines()
    examples = [line.strip().split("  ")[0].split(" > ")[0] for line in lines if line.startswith("  nice-np ")]
    assert len(examples) >= (8 if command == "" else 1)
    for example in examples:
        assert cli.parse(shlex.split(example)[1:]).command == (command or example.split()[1])


def test_version():
    assert succeed("--version") == succeed("-V") == f"nice-np {__version__}\n"


@pytest.mark.parametrize("words", ["demo", "train rings", "sample M", "report M", "inpaint M --mask left"])
def test_o_is_out(words):
    name = "a.html" if words.startswith("report") else "a.png"
    assert cli.parse([*words.split(), "-o", name]).out == cli.parse([*words.split(), "--out", name]).out == Path(name)


HEAVY = (
    "numba",
    "matplotlib",
    "scipy",
    "pooch",
    "requests",
    "tqdm",
    "PIL",
    "jinja2",
    "tensorboardX",
    "google",
    "shtab",
)


def test_help_imports_nothing_heavy():
    code = f"""
import sys
from nice_np.cli import main
from nice_np.commands import COMMANDS
for words in (*([name, "--help"] for name in COMMANDS), ["--help"], ["trian"], ["--version"], ["info", "/nowhere"]):
    main(words)
print(sorted(set({HEAVY}) & set(sys.modules)))
"""
    found = child(code=code, text=True)
    assert found.stdout.splitlines()[-1] == "[]", found.stderr


def test_the_package_alone_imports_nothing_heavy():
    found = child(code=f"import sys, nice_np; print(sorted(set({HEAVY}) & set(sys.modules)))", text=True)
    assert (found.stdout, found.stderr) == ("[]\n", "")


def test_out_that_cannot_be_written(moons, here):
    Path("file").write_text("mine")
    assert "file is not a folder" in fail("train", "rings", *QUICK, "--out", "file", code=1)
    for out in ("file/below", "/proc/nowhere", "n" * 300, "d/" * 3000):
        assert "cannot" in fail("train", "rings", *QUICK, "--out", out, "--force", code=1)
    for out in ("file/a.png", "no/a.npy", "n" * 300 + ".npy"):
        assert "cannot write" in fail("sample", moons, "--out", out, "--force", code=1)
    Path("folder.png").mkdir()
    assert "it is a folder" in fail("sample", moons, "--out", "folder.png", "--force", code=1)
    assert sorted(path.name for path in here.iterdir()) == ["file", "folder.png"]
    assert Path("file").read_text() == "mine"


@pytest.mark.parametrize("name", ["with space", "ünïcødé-雪", "-dash", "quote'\"", "%s{}", "..."])
def test_odd_paths(name, here, no_figures):
    succeed("train", "rings", *QUICK, f"--out={name}")
    succeed("evaluate", "--", name)
    succeed("sample", "--out", f"./{name}.npy", "--", name)
    assert Path(f"{name}.npy").exists()
    assert name in as_json(succeed("sample", f"--out={name}.npy", "--force", "--json", f"./{name}"))["out"]


def test_debug_shows_the_traceback(here):
    with pytest.raises(NiceFileError, match="No such file"):
        run("info", "missing", "--debug")


def test_a_bug_is_one_line_too(moons, monkeypatch):
    monkeypatch.setattr(info, "run", lambda arguments: 1 / 0)
    assert "ZeroDivisionError: division by zero (--debug shows where)" in fail("info", moons, code=1)
    monkeypatch.setattr(info, "run", lambda arguments: bytearray(2**62))
    assert "out of memory" in fail("info", moons, code=1)


EVALUATE = pytest.param(["evaluate", "MODEL", "--json"], marks=pytest.mark.slow)
GRADCHECK = pytest.param(["gradcheck"], marks=pytest.mark.slow)


@pytest.mark.parametrize("words", [["--help"], ["info", "MODEL"], EVALUATE])
def test_a_full_or_closed_standard_output(words, moons):
    words = [str(moons) if word == "MODEL" else word for word in words]
    with open("/dev/full", "w") as full:
        found = child(*words, stdout=full, stderr=subprocess.PIPE, capture_output=False, text=True)
    assert found.returncode == 1
    assert found.stderr == "nice-np: error: cannot write to standard output: No space left on device\n"

    shell = f"exec {sys.executable} -m nice_np " + " ".join(words)
    for closed in (">&-", ">&- 2>&-"):
        found = subprocess.run(
            ["sh", "-c", f"{shell} {closed}"], env=ENVIRONMENT, capture_output=True, text=True, timeout=60
        )
        assert found.returncode == 0
        assert "Traceback" not in found.stderr


def test_errors_with_a_closed_standard_error_do_not_go_to_standard_output(here):
    for words in ("info missing", "trian"):
        shell = f"exec {sys.executable} -m nice_np {words} 2>&-"
        found = subprocess.run(["sh", "-c", shell], env=ENVIRONMENT, capture_output=True, timeout=60)
        assert found.returncode in (1, 2)
        assert found.stdout == b""


def test_a_full_standard_error(here):
    with open("/dev/full", "w") as full:
        for words, code in ((["info", "missing"], 1), (["trian"], 2)):
            assert child(*words, stdout=full, stderr=full, capture_output=False).returncode == code


@pytest.mark.parametrize("words", [["--help"], GRADCHECK])
def test_a_reader_that_closes_the_pipe(words):
    read, write = os.pipe()
    os.close(read)
    try:
        found = child(*words, stdout=write, stderr=subprocess.PIPE, capture_output=False)
    finally:
        os.close(write)
    assert (found.returncode, found.stderr) == (0, b"")


def test_a_log_that_is_full_does_not_stop_training(tmp_path):
    with open("/dev/full", "w") as full:
        found = child(
            "train",
            "rings",
            *QUICK[:-1],
            "--out",
            tmp_path / "run",
            code=WITHOUT_FIGURES,
            stderr=full,
            stdout=subprocess.PIPE,
            capture_output=False,
        )
    assert found.returncode == 0
    assert b"bits/dim" in found.stdout


# Five commands in one child: most of the time goes into its imports.
IN_TURN = """
import sys
from nice_np import cli
from nice_np.commands import train
moons, samples, missing, rings = sys.argv[1:]
train.draw = lambda *arguments: []
commands = [
    ["info", moons],
    ["evaluate", moons],
    ["sample", moons, "--out", samples],
    ["info", missing],
    ["train", "rings", "--epochs", "1", "--batch-size", "5000", "--out", rings],
]
print("codes:", [cli.main(words) for words in commands])
"""


def test_the_c_locale(moons, tmp_path):
    environment = {**ENVIRONMENT, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    odd = tmp_path / "ünïcødé"
    shutil.copytree(moons, odd)
    found = child(odd, odd / "雪.npy", odd / "雪", odd / "ü", code=IN_TURN, env=environment)
    assert found.returncode == 0, found.stderr
    assert found.stdout.isascii()
    assert found.stdout.endswith(b"codes: [0, 0, 0, 1, 0]\n")
    assert b"Traceback" not in found.stderr
    assert (odd / "雪.npy").exists()
    assert (odd / "ü" / "model.npz").exists()
