"""Event files, read back by TensorBoard itself: every epoch appears once, also after kills and restarts."""

import logging
import shutil
import struct
import sys

import numpy as np
import pytest
from command_line import fail, run, succeed

from nice_np import History, NiceFileError, NiceImportError, StopTraining, TensorBoard, fit, nice

pytest.importorskip("tensorboardX", reason='pip install -e ".[tensorboard]"')
accumulator = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator", reason="pip install tensorboard, which reads the files"
)

CURVES = ["gradient_norm", "learning_rate", "train/nats", "valid/bits_per_dim", "valid/nats"]


def curves(folder):
    """{tag: {step: value}} as TensorBoard shows it; fails if a step appears twice."""
    reader = accumulator.EventAccumulator(str(folder))
    reader.Reload()
    found = {}
    for tag in reader.Tags()["scalars"]:
        points = [(event.step, event.value) for event in reader.Scalars(tag)]
        found[tag] = dict(points)
        assert len(found[tag]) == len(points), (tag, points)
        assert [step for step, _ in points] == sorted(found[tag]), tag
    return found


def agrees(folder, history):
    """Each row of the history is a point of each curve, and there are no others."""
    found = curves(folder)
    columns = {
        "train/nats": "train_log_likelihood", "valid/nats": "validation_log_likelihood",
        "valid/bits_per_dim": "validation_bits_per_dim", "learning_rate": "learning_rate",
    }  # fmt: skip
    for tag, column in columns.items():
        expected = dict(zip(history.column("step"), history.column(column), strict=True))
        assert found[tag] == pytest.approx(expected, rel=1e-6), tag
    return found


@pytest.fixture
def train(rng, tmp_path):
    """Trains to a number of epochs, from the checkpoint if there is one; returns the history."""
    x = rng.normal([1.0, -2.0], [0.5, 2.0], (60, 2))

    def train(epochs, folder="events", more=(), **settings):
        checkpoint = tmp_path / "checkpoint.npz"
        board = TensorBoard(tmp_path / folder)
        settings = {"checkpoint": checkpoint, "resume": checkpoint.exists(), **settings}
        return fit(
            nice(2, hidden=(4,), rng=0), x, validation=x[:20], epochs=epochs, batch_size=20, progress=False, rng=0,
            learning_rate=0.01, callbacks=[board, *more], **settings,
        )  # fmt: skip

    return train


def test_the_curves_are_the_history(train, tmp_path):
    history = train(4)
    found = agrees(tmp_path / "events", history)
    assert sorted(found) == CURVES
    assert all(value > 0 for value in found["gradient_norm"].values())


def test_the_norm_is_that_of_the_last_gradient(train, tmp_path):
    norms = []
    history = train(3, more=[lambda model, history: norms.append(np.linalg.norm(model.params.grads))])
    found = curves(tmp_path / "events")["gradient_norm"]
    assert found == pytest.approx(dict(zip(history.column("step"), norms, strict=True)), rel=1e-5)


def test_a_resumed_run_continues_the_curves(train, tmp_path):
    train(2)
    before = curves(tmp_path / "events")
    history = train(5)
    found = agrees(tmp_path / "events", history)
    assert len(found["gradient_norm"]) == 5
    assert found["gradient_norm"].items() > before["gradient_norm"].items()


def test_epochs_after_the_last_checkpoint_are_not_drawn_twice(train, tmp_path):
    train(2)
    shutil.copy(tmp_path / "checkpoint.npz", tmp_path / "old.npz")
    train(5)  # ... and the process is killed: its checkpoint is the one after epoch 2
    shutil.copy(tmp_path / "old.npz", tmp_path / "checkpoint.npz")
    history = train(4)
    found = agrees(tmp_path / "events", history)
    assert len(found["gradient_norm"]) == 4


def test_what_is_missing_is_added_from_the_history(train, tmp_path):
    train(3)
    history = train(5, folder="elsewhere")
    found = agrees(tmp_path / "elsewhere", history)
    assert sorted(found["gradient_norm"]) == history.column("step")[3:]


def test_half_a_record_at_the_end_of_a_killed_run(train, tmp_path):
    train(3)
    (file,) = (tmp_path / "events").iterdir()
    data = file.read_bytes()
    for cut in (1, 20, 100):
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        (tmp_path / "copy").mkdir()
        (tmp_path / "copy" / file.name).write_bytes(data[:-cut])
        shutil.copy(tmp_path / "checkpoint.npz", tmp_path / "kept.npz")
        history = train(4, folder="copy")
        agrees(tmp_path / "copy", history)
        shutil.copy(tmp_path / "kept.npz", tmp_path / "checkpoint.npz")


def test_files_of_other_programs_are_kept(train, tmp_path):
    folder = tmp_path / "events"
    folder.mkdir()
    (folder / "events.out.tfevents.1.somewhere").write_bytes(struct.pack("Q", 5) + b"crc." + b"\xff" * 5 + b"crc.")
    (folder / "notes.txt").write_text("mine")
    train(2)
    assert (folder / "notes.txt").read_text() == "mine"
    assert len(list(folder.iterdir())) == 3


def test_a_new_run_in_the_folder_replaces_the_old_one(train, tmp_path):
    train(5)
    (tmp_path / "checkpoint.npz").unlink()
    agrees(tmp_path / "events", train(2))


def test_points_of_a_replaced_run_are_not_taken_for_the_new_one(train, tmp_path):
    train(5)
    (tmp_path / "checkpoint.npz").unlink()
    train(1)
    train(3, folder="elsewhere")
    agrees(tmp_path / "events", train(4))


def test_one_callback_for_two_runs(rng, tmp_path):
    x, board = rng.normal(size=(20, 2)), TensorBoard(tmp_path)
    for epochs in (3, 2):
        history = fit(nice(2, hidden=(4,), rng=0), x, epochs=epochs, progress=False, rng=0, callbacks=[board])
    found = curves(tmp_path)
    assert sorted(found["train/nats"]) == history.column("step")
    assert "valid/nats" not in found
    board.close()
    board.close()


def test_a_run_that_a_callback_ends_is_complete(train, tmp_path):
    def enough(model, history):
        if len(history.rows) == 2:
            raise StopTraining

    agrees(tmp_path / "events", train(9, more=[enough]))


def test_a_full_disk_stops_the_curves_and_not_the_training(train, tmp_path, monkeypatch, caplog):
    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tensorboardX.record_writer.RecordWriter.write", full)
    with caplog.at_level(logging.WARNING, "nice_np"):
        assert len(train(3).rows) == 3
    assert [record.getMessage() for record in caplog.records] == [
        f"no more events: cannot write into {tmp_path / 'events'}: No space left on device"
    ]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("mine")
    for name in ("file", "file/below"):
        with pytest.raises(NiceFileError, match="TensorBoard: cannot write into"):
            TensorBoard(tmp_path / name)


def test_without_tensorboardx_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX.record_writer", None)
    with pytest.raises(NiceImportError, match=r'pip install "nice-np\[tensorboard\]"'):
        TensorBoard(tmp_path)


def test_the_command(here, no_figures):
    words = ("train", "rings", "--batch-size", "5000", "--tensorboard", "events", "--quiet")
    succeed(*words, "--epochs", "1")
    succeed(*words, "--epochs", "3", "--resume")
    history = History.from_csv((here / "runs/rings/history.csv").read_text())
    agrees(here / "events", history)
    (here / "file").write_text("")
    err = fail("train", "grid", "--epochs", "1", "--tensorboard", "file", code=1)
    assert "cannot write into file" in err
    assert "--tensorboard" in run("train", "--help")[1]


def test_events_never_replace_a_file_or_go_through_a_link(train, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("nice_np.training.tensorboard.time.time", lambda: 1e9)
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "events").mkdir()
    (tmp_path / "events" / "events.out.tfevents.1000000000.nice_np.000001").symlink_to(tmp_path / "mine")
    history = train(1)
    assert len(history.rows) == 1
    assert "no more events: cannot write into" in caplog.text
    assert (tmp_path / "mine").read_text() == "mine"
