"""The command line as a whole: usage, help, exit codes, and terminals, pipes and locales of every kind."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import ENVIRONMENT, QUICK, WITHOUT_FIGURES, as_json, child, fail, run, succeed

from nice_np import NiceFileError, __version__, cli, datasets, nice, save_model
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
        ("compress a.npy --modle b", "unknown argument '--modle' (did you mean --model?)"),
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


CLEAR = "a\x1b[2J\x9b31m\u202e\x7f\nnice-np: b"  # clears a screen, turns text around, pretends to be another line


def harmless(text):
    return all(line.isprintable() for line in text.split("\n")) and "\nnice-np: b" not in text


@pytest.mark.parametrize("more", [[], ["--json", "-vv"]], ids=["", "json and log"])
def test_no_name_reaches_the_terminal_as_it_is(more, here, moons, no_figures):
    """Neither on standard output nor on standard error, neither of a file nor from a file."""
    shutil.copytree(moons, CLEAR)
    save_model("model.npz", nice(24, hidden=(3,), rng=0), {"dataset": CLEAR, CLEAR: CLEAR, "image_shape": (4, 6)})
    save_model(f"{CLEAR}5", nice(2, hidden=(3,), rng=0))
    np.save(f"{CLEAR}.npy", np.full((1, 24), 0.5))
    commands = [
        ("info", CLEAR), ("info", "model.npz"), ("evaluate", CLEAR), ("evaluate", "model.npz"), (CLEAR,),
        ("gradcheck", f"{CLEAR}5"), ("sample", CLEAR, "--out", f"{CLEAR}1.npy"),
        ("sample", CLEAR, "--out", f"{CLEAR}1.npy"),
        ("train", "rings", *QUICK[:-1], "--out", f"{CLEAR}2"), ("train", CLEAR), ("train",
        "rings", f"--epochs={CLEAR}"),
        ("train", "rings", f"--{CLEAR}"), ("info", f"{CLEAR}3"), ("play", f"{CLEAR}3"), ("demo",
        "--out", f"{CLEAR}.npy"),
        ("evaluate", CLEAR, "--data", "mnist", f"--data-dir={CLEAR}"), ("report", f"{CLEAR}2",
        "--out", f"{CLEAR}.html"),
        ("export", "model.npz", "--to", "blocks", "--out", f"{CLEAR}4"), ("report", CLEAR, "--out", "a.html"),
        ("inpaint", "model.npz", "--images", f"{CLEAR}.npy", "--mask", "top", "--steps", "1", "--out", f"{CLEAR}.png"),
        ("play", "--set", f"{CLEAR}=1"), ("play", CLEAR, "--couplings", "1"),
    ]  # fmt: skip
    for words in commands:
        _, out, err = run(*words, *more)
        assert out or err
        assert harmless(out), (words, out)
        assert harmless(err), (words, err)


def test_a_traceback_is_harmless_too(here):
    found = child("info", CLEAR, "--debug", text=True)
    assert found.returncode == 1
    assert "Traceback" in found.stderr
    assert "NiceFileError: cannot read a\\x1b[2J" in found.stderr
    assert harmless(found.stderr.replace("\nnice-np: b", ""))  # Python writes a message over several lines


LONG = "n" * 256
NO_FILE = (
    "info",
    "gradcheck",
    "evaluate",
    "play",
    "export --to blocks --out o.npz",
    "sample --out o.npy",
    "report --out o.html",
)


@pytest.mark.parametrize(
    "words",
    [
        *(f"{words} LONG" for words in NO_FILE), *(f"{words} LONG/a.npz" for words in NO_FILE),
        "inpaint LONG --mask top --out o.png", "inpaint IMAGES --mask LONG.png --out o.png",
        "inpaint IMAGES --mask top --out LONG.png", "inpaint IMAGES --mask top --out o.png --save LONG.npy",
        "inpaint IMAGES --mask top --images LONG.npy --out o.png", "restore LONG --task denoise --sigma 1 --out o.png",
        "restore IMAGES --task denoise --sigma 1 --measured LONG.npy --out o.png",
        "restore IMAGES --task denoise --sigma 1 --images LONG.png --out o.png",
        "restore IMAGES --task denoise --sigma 1 --out LONG/a.png",
        "sample MODEL --out LONG.npy", "sample MODEL --out LONG.png", "sample MODEL --out LONG/a.png",
        "export IMAGES --to blocks --out LONG", "report MODEL --out LONG.html",
        "report MODEL --out o.html --poster LONG.png",
        "play --save LONG.png", "demo --out LONG", "demo --out LONG/a", "train rings --out LONG",
        "train rings --out LONG --resume", "train rings --out LONG --force", "train mnist --data-dir LONG",
        "train faces --data-dir LONG", "train tfd --data-dir LONG", "train cifar10 --data-dir LONG/a",
        "evaluate MODEL --data mnist --data-dir LONG", "train rings --out o --tensorboard LONG",
    ],
)  # fmt: skip
def test_a_component_that_no_file_system_takes(words, here, moons):
    if "--tensorboard" in words:
        pytest.importorskip("tensorboardX")
    save_model("images.npz", nice(24, hidden=(3,), rng=0), {"image_shape": (4, 6)})
    words = words.replace("LONG", LONG).replace("IMAGES", "images.npz").split()
    err = fail(*(moons if word == "MODEL" else word for word in words), code=1)
    assert "(--debug shows where)" not in err
    assert "File name too long" in err
    assert [path.name for path in here.iterdir()] == ["images.npz"]


@pytest.mark.parametrize(
    "words",
    [
        "train rings --time-limit=--", "train rings --epochs=--", "train rings --out=--", "train rings --seed=--",
        "train rings --preset=--", "train --learning-rate=-- rings", "sample run -n-- --out a.npy",
        "sample run -n=-- --out a",
        "play --set=--", "play --save=--", "report run --out=--", "report run --poster=-- --out=a.html",
        "evaluate run --k=--",
        "evaluate run --data-dir=--", "inpaint run --mask=-- --out=a.png", "restore run --sigma=-- --task=--",
        "demo --out=--",
        "export run --to=-- --out=a", "export run --to=blocks --out=--", "train rings --resume=--",
        "info --json=-- run",
    ],
)  # fmt: skip
def test_two_dashes_are_no_value(words, here):
    assert "expected a value, got '--'" in fail(*words.split(), code=2)
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    "words", ["train rings --out=", "demo --out=", "export a --to blocks --out=", "train rings --data-dir="]
)
def test_an_empty_path_is_not_the_current_folder(words, here):
    assert "expected a path, got ''" in fail(*words.split(), code=2)
    assert "expected a path, got ''" in fail("info", "", code=2)


def test_after_two_dashes_everything_is_a_name(here):
    assert "cannot read --out=--: No such file" in fail("info", "--", "--out=--", code=1)
