"""Programs that write for TensorBoard with the real writers, recorded by a real agent."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

import hpctrack
from tests.programs import only_run, run_python

WRITE = """
import sys
import hpctrack
run = hpctrack.init("p", sync_tensorboard=True)
assert not any(name.startswith("tensorboard") for name in sys.modules)
import numpy as np
from tensorboardX import SummaryWriter
before = len(sys.meta_path)
with SummaryWriter("logs") as root, SummaryWriter("logs/val") as val:
    for step in (5, 7):
        root.add_scalar("train/loss", step / 2, step)
        val.add_scalar("loss", step * 2, step)
    root.add_histogram("weights", np.arange(100.0), 5)
    root.add_image("picture", np.zeros((3, 4, 4), np.uint8), 5)
    root.add_text("note", "hello", 5)
run.finish()
import tensorboardX.event_file_writer as module
assert module.EventFileWriter.add_event.__module__ == module.__name__
assert len(sys.meta_path) == before - 1
"""


def test_what_tensorboardx_writes_is_in_the_run_by_its_own_steps(tmp_path: Path) -> None:
    done = run_python(WRITE)
    assert done.returncode == 0, done.stderr
    found = only_run(tmp_path / "store")
    loss = found.history(["train/loss"])
    assert list(loss["_step"]) == [5, 7]
    assert found.summary["train/loss"] == 3.5
    assert found.summary["val/loss"] == 14
    assert {"weights", "picture", "note"} <= {one.key for one in found.media()}


def test_scalars_that_are_tensors_come_from_tensorboards_own_writer(tmp_path: Path) -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    value = Summary.Value(tag="loss", tensor=TensorProto(dtype=1, float_val=[0.5]))
    value.metadata.plugin_data.plugin_name = "scalars"
    run = hpctrack.init("p", sync_tensorboard=True)
    writer = EventFileWriter(str(tmp_path / "logs"))
    writer.add_event(Event(step=3, summary=Summary(value=[value])))
    run.finish()
    writer.add_event(Event(step=4, summary=Summary(value=[value])))
    writer.close()
    history = only_run(tmp_path / "store").history(["loss"])
    assert list(history["_step"]) == [3]


def test_without_the_wish_nothing_is_hooked() -> None:
    before = list(sys.meta_path)
    with hpctrack.init("p"):
        assert sys.meta_path == before


def test_times_are_the_writers_and_hyperparameters_need_no_folder(tmp_path: Path) -> None:
    done = run_python(
        """
        import hpctrack
        from tensorboardX import SummaryWriter
        run = hpctrack.init("p", sync_tensorboard=True)
        with SummaryWriter("logs/a") as writer:
            writer.add_scalar("old", 2, 9, walltime=1000.0)
            writer.add_hparams({"lr": 0.1}, {"hp/acc": 0.9})
        run.finish()
        """
    )
    assert done.returncode == 0, done.stderr
    found = only_run(tmp_path / "store")
    assert found.metric("old").wall_s.tolist() == [1000.0]
    assert found.metrics() == ["hp/acc", "old"]
    assert found.config == {"lr": 0.1}


def test_a_loaded_tensorflow_is_told_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", ModuleType("tensorflow"))
    with hpctrack.init("p", sync_tensorboard=True):
        pass
    assert capsys.readouterr().err.count("does not see what tf.summary writes") == 1
