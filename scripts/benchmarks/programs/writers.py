"""Every tracker behind the same three calls; its own ``log`` is called directly where it can be."""

from __future__ import annotations

import importlib
import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Log = Callable[[dict[str, float], int], Any]


def _nothing() -> None:
    return None


@dataclass(frozen=True, slots=True)
class Writer:
    """A run that has begun.

    Parameters
    ----------
    log : callable
        Takes a mapping and a step.
    flush : callable
        Returns when what was logged can be read by others, as far as the tracker can say.
    close : callable
        Ends the run.
    """

    log: Log
    flush: Callable[[], Any] = _nothing
    close: Callable[[], Any] = _nothing


def _open_struct(folder: Path, name: str) -> Writer:
    """Do the least that records a number: pack step, time, value, metric; append to a list."""
    numbers: dict[str, int] = {}
    rows: list[bytes] = []
    pack, append, now = struct.Struct("<qddH").pack, rows.append, time.time

    def log(values: dict[str, float], step: int) -> None:
        wall_s = now()
        for key, value in values.items():
            append(pack(step, wall_s, value, numbers.setdefault(key, len(numbers))))

    file = (folder / f"{name}.bin").open("ab")

    def flush() -> None:
        file.writelines(rows)
        rows.clear()
        file.flush()

    def close() -> None:
        flush()
        file.close()

    return Writer(log, flush, close)


def _open_hpctrack(folder: Path, name: str) -> Writer:
    hpctrack = importlib.import_module("hpctrack")
    run = hpctrack.init("bench", dir=folder, name=name)
    return Writer(run.log, run.flush, run.finish)


def _open_wandb(folder: Path, name: str) -> Writer:
    os.environ["WANDB_SILENT"] = "true"
    wandb = importlib.import_module("wandb")
    run = wandb.init(project="bench", dir=folder, mode="offline", name=name)
    return Writer(run.log, close=run.finish)


def _open_trackio(folder: Path, name: str) -> Writer:
    os.environ["TRACKIO_DIR"] = str(folder)
    trackio = importlib.import_module("trackio")
    run = trackio.init(project="bench", name=name, embed=False)
    return Writer(run.log, close=trackio.finish)


def _open_tensorboard(folder: Path, name: str) -> Writer:
    """Open what every SummaryWriter writes through, fed as they feed it."""
    writing = importlib.import_module("tensorboard.summary.writer.event_file_writer")
    event_pb2 = importlib.import_module("tensorboard.compat.proto.event_pb2")
    summary_pb2 = importlib.import_module("tensorboard.compat.proto.summary_pb2")
    writer = writing.EventFileWriter(str(folder / name))
    event, summary, now = event_pb2.Event, summary_pb2.Summary, time.time

    def log(values: dict[str, float], step: int) -> None:
        for key, number in values.items():
            found = summary(value=[summary.Value(tag=key, simple_value=number)])
            writer.add_event(event(wall_time=now(), step=step, summary=found))

    return Writer(log, writer.flush, writer.close)


def _open_summary_writer(module: str) -> Callable[[Path, str], Writer]:
    def open_writer(folder: Path, name: str) -> Writer:
        writer = importlib.import_module(module).SummaryWriter(str(folder / name))
        add = writer.add_scalar

        def log(values: dict[str, float], step: int) -> None:
            for key, number in values.items():
                add(key, number, step)

        return Writer(log, writer.flush, writer.close)

    return open_writer


def _open_mlflow(folder: Path, name: str) -> Writer:
    # Since version 3 plain files, the only store of mlflow-skinny, have to be asked for.
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    mlflow = importlib.import_module("mlflow")
    mlflow.set_tracking_uri(folder.joinpath("mlruns").as_uri())
    mlflow.start_run(run_name=name)
    return Writer(mlflow.log_metrics, close=mlflow.end_run)


def _open_aim(folder: Path, name: str) -> Writer:
    aim = importlib.import_module("aim")
    run = aim.Run(repo=str(folder), experiment=name, system_tracking_interval=None)

    def log(values: dict[str, float], step: int) -> None:
        for key, number in values.items():
            run.track(number, name=key, step=step)

    return Writer(log, close=run.close)


MODULES = {
    "struct": "struct",
    "hpctrack": "hpctrack",
    "wandb": "wandb",
    "trackio": "trackio",
    "tensorboard": "tensorboard.summary.writer.event_file_writer",
    "tensorboardX": "tensorboardX",
    "torch": "torch.utils.tensorboard",
    "mlflow": "mlflow",
    "aim": "aim",
}

OPENERS: dict[str, Callable[[Path, str], Writer]] = {
    "struct": _open_struct,
    "hpctrack": _open_hpctrack,
    "wandb": _open_wandb,
    "trackio": _open_trackio,
    "tensorboard": _open_tensorboard,
    "tensorboardX": _open_summary_writer("tensorboardX"),
    "torch": _open_summary_writer("torch.utils.tensorboard"),
    "mlflow": _open_mlflow,
    "aim": _open_aim,
}


def load_tracker(tool: str) -> None:
    """Import a tracker, for measurements that leave this out."""
    importlib.import_module(MODULES[tool])


def open_writer(tool: str, folder: str, *, name: str = "run") -> Writer:
    """Begin a run of a tracker below a folder, with the tracker's defaults."""
    return OPENERS[tool](Path(folder), name)
