"""nice-np completion: shells that load its script, and a user who presses Tab."""

import os
import select
import shutil
import subprocess
import sys
import time

import pytest
from command_line import as_json, fail, succeed

from nice_np import datasets
from nice_np.commands import COMMANDS
from nice_np.commands.completion import SHELLS
from nice_np.runs.presets import PRESETS

pytest.importorskip("shtab", reason='pip install -e ".[completion]"')
# Each shell is told to print what it would have run.
PREPARE = {
    "bash": ("bash --norc --noprofile -i", "PS1='> '; source SCRIPT; nice-np() { echo GOT: $*; }"),
    "zsh": (
        "zsh -f -i",
        "PS1='> '; fpath=(FOLDER $fpath); autoload -Uz compinit; compinit -u -d FOLDER/dump; "
        "nice-np() { echo GOT: $*; }",
    ),
}
NAMES = {"bash": "nice-np", "zsh": "_nice-np", "fish": "nice-np.fish"}


@pytest.fixture
def script(tmp_path):
    """Writes the script of a shell under the name that the shell expects."""

    def write(shell):
        path = tmp_path / NAMES[shell]
        path.write_text(succeed("completion", shell))
        return path

    return write


class Terminal:
    """A shell in a terminal; `type` writes keys, `wait_for` reads until something has been shown."""

    def __init__(self, words, folder):
        import pty  # not available on Windows

        self.ours, theirs = pty.openpty()
        environment = {**os.environ, "HOME": str(folder), "TERM": "dumb", "XDG_CONFIG_HOME": str(folder), "LC_ALL": "C"}
        self.child = subprocess.Popen(
            words.split(), stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
        )
        os.close(theirs)
        self.shown = ""

    def type(self, keys):
        os.write(self.ours, keys.encode())

    def wait_for(self, text):
        start, end = len(self.shown), time.monotonic() + 30
        while text not in self.shown[start:]:
            assert select.select([self.ours], [], [], end - time.monotonic())[0], self.shown
            self.shown += os.read(self.ours, 65536).decode(errors="replace")
        return self.shown[start:]

    def close(self):
        self.child.kill()
        self.child.wait()
        os.close(self.ours)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")
@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_tab(shell, script, tmp_path):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    words, prepare = PREPARE[shell]
    prepare = prepare.replace("SCRIPT", str(script(shell))).replace("FOLDER", str(tmp_path))
    terminal = Terminal(words, tmp_path)
    try:
        terminal.type(f"{prepare}; echo RE''ADY\n")
        terminal.wait_for("READY")
        terminal.type("nice-np tr\ttwo-m\t--pres\ttoy-a\t--tensorb\tru\n")
        line = terminal.wait_for("GOT: ")
        line += "" if "\n" in line.split("GOT: ")[1] else terminal.wait_for("\n")
    finally:
        terminal.close()
    assert line.split("GOT: ")[1].split("\r")[0] == "train two-moons --preset toy-affine --tensorboard ru"


def of_fish(script, line):
    found = subprocess.run(
        ["fish", "--no-config", "-c", f"source {script}; complete -C '{line}'"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert found.returncode == 0, found.stderr
    return [row.split("\t")[0] for row in found.stdout.splitlines()]


def of_bash(script, line):
    """What bash would offer: COMP_WORDS are the words so far, the answer is in COMPREPLY."""
    words = line.split(" ")
    code = f"""source {script}
COMP_WORDS=({" ".join(word or "''" for word in words)}); COMP_CWORD={len(words) - 1}
function=$(complete -p nice-np | sed 's/.*-F \\([^ ]*\\).*/\\1/')
$function nice-np "${{COMP_WORDS[-1]}}" "${{COMP_WORDS[-2]}}"
printf '%s\\n' "${{COMPREPLY[@]}}" """
    found = subprocess.run(["bash", "--norc", "-c", code], capture_output=True, text=True, timeout=60)
    assert found.returncode == 0, found.stderr
    return found.stdout.split()


@pytest.mark.parametrize(("shell", "ask"), [("bash", of_bash), ("fish", of_fish)])
def test_all_names_are_offered(shell, ask, script):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    path = script(shell)
    assert set(ask(path, "nice-np ")) >= set(COMMANDS)
    assert ask(path, "nice-np tr") == ["train"]
    assert set(ask(path, "nice-np train ")) >= set(datasets.names())
    assert set(ask(path, "nice-np train rings --preset ")) >= set(PRESETS)
    assert sorted(ask(path, "nice-np evaluate run --split t")) == ["test", "train"]
    assert "--time-limit" in ask(path, "nice-np demo --time")
    assert "left" in ask(path, "nice-np inpaint run --mask le")


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_one_of_that_shell(shell, script, tmp_path):
    text = succeed("completion", shell)
    for name in ("train", "two-moons", "toy-affine", "--checkpoint-every"):
        assert name in text
    assert as_json(succeed("completion", shell, "--json"))["script"] + "\n" == text
    if shell in NAMES and shutil.which(shell):
        found = subprocess.run([shell, "-n", str(script(shell))], capture_output=True, text=True, timeout=60)
        assert (found.returncode, found.stderr) == (0, "")


def test_unknown_shells_and_a_missing_shtab(monkeypatch):
    assert "unknown shell 'bsh' (did you mean bash?)" in fail("completion", "bsh", code=2)
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert 'pip install "nice-np[completion]"' in fail("completion", "bash", code=1)
