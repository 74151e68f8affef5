"""Builds the stub of NVIDIA's library and runs our telemetry on it, in a process of its own.

The real pynvml is used: it opens ``libnvidia-ml.so.1``, and finds the stub through
``LD_LIBRARY_PATH``. It keeps the library for as long as its process lives, hence the process.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hpctrack.telemetry.gpu_places import GpuPlaces
from hpctrack.telemetry.reading import Device, Happening, Reading, Sample, WatchedRank

HERE = Path(__file__).resolve().parent

RANK = WatchedRank(pid=4242, rank=0)


def build_library(folder: Path, *flags: str) -> Path:
    """Compile the stub and return the folder that it is in."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "libnvidia-ml.so.1"
    soname = "-Wl,-soname,libnvidia-ml.so.1"
    options = ["-O1", "-Wall", "-Werror", "-shared", "-fPIC", soname, *flags]
    subprocess.run(
        ["gcc", *options, "-o", str(target), str(HERE / "stub.c"), "-lpthread"],
        check=True,
        capture_output=True,
        text=True,
    )
    return folder


class Script:
    """What the driver says, from now on.

    Parameters
    ----------
    path : Path
        The file; replaced as a whole, so that the stub never sees half of it.
    answers : mapping
        At the beginning.
    """

    def __init__(self, path: Path, answers: Mapping[str, str]) -> None:
        self.path = path
        self.log = path.with_suffix(".log")
        self._answers = {"driver": "580.65.06", "cuda": "13000", **answers}
        self._write()

    def change(self, answers: Mapping[str, object]) -> None:
        """Answer these otherwise; None takes an answer away."""
        for key, value in answers.items():
            if value is None:
                self._answers.pop(key, None)
            else:
                self._answers[key] = str(value)
        self._write()

    def start_log(self) -> None:
        """Forget the calls so far and write down those that come."""
        self.log.unlink(missing_ok=True)
        self.change({"log": self.log})

    def count_calls(self, function: str, device: str = "") -> int:
        """Count the calls of a function for a device since ``start_log``."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return lines.count(f"{function} {device}")

    def _write(self) -> None:
        draft = self.path.with_suffix(".draft")
        draft.write_text("".join(f"{key}={value}\n" for key, value in self._answers.items()))
        draft.replace(self.path)


class Telemetry:
    """Our GPU telemetry in a process that has the stub for its driver.

    Parameters
    ----------
    library : Path
        Folder of the stub; an empty one is a machine without NVIDIA's library.
    script : Script
    root : Path
        Where ``proc``, ``dev`` and ``sys`` are.
    environ : mapping
        The agent's environment.
    python_path : Path, optional
        Searched for packages before all others.
    """

    def __init__(
        self,
        library: Path,
        script: Script,
        *,
        root: Path,
        environ: Mapping[str, str] | None = None,
        python_path: Path | None = None,
    ) -> None:
        path = [str(python_path)] if python_path else []
        env = {
            **os.environ,
            "LD_LIBRARY_PATH": str(library),
            "NVML_STUB_SCRIPT": str(script.path),
            "PYTHONPATH": ":".join([*path, *filter(None, [os.environ.get("PYTHONPATH")])]),
        }
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "player.py"), str(root), json.dumps(dict(environ or {}))],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def read(self, mono_s: float, ranks: Sequence[WatchedRank] = (RANK,)) -> Reading:
        """Read once, at a moment of our choosing."""
        asked = [dataclasses.astuple(rank) for rank in ranks]
        answer = self._ask("read", mono_s, asked)
        return Reading(
            [Device(**one) for one in answer["devices"]],
            [Sample(*one) for one in answer["samples"]],
            [Happening(*one) for one in answer["happenings"]],
        )

    def find_keys(self, rank: WatchedRank) -> list[str] | None:
        """Ask which devices a rank has."""
        keys: list[str] | None = self._ask("keys", *dataclasses.astuple(rank))
        return keys

    def find_places(self) -> GpuPlaces:
        """Ask where the GPUs are, and whose they are."""
        found = self._ask("places")
        allowed, used = (
            {int(pid): tuple(keys) for pid, keys in found[name].items()}
            for name in ("allowed", "used")
        )
        return GpuPlaces(found["nodes"], allowed, used)

    def list_absences(self, uuid: str) -> dict[str, str]:
        """Ask what cannot be read of a device, and why."""
        absences: dict[str, str] = self._ask("absences", uuid)
        return absences

    def restart(self) -> None:
        """Begin anew, as a new agent would, in the same process."""
        self._ask("restart")

    def close(self) -> None:
        """End the process; it must end by itself."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            assert self._process.wait(60) == 0
        finally:
            self._process.kill()
            self._process.stdout.close()

    def _ask(self, *request: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the player has died"
        return json.loads(line)


StartTelemetry = Callable[..., tuple[Telemetry, Script]]
"""What the fixture ``start_telemetry`` is."""


def let_in(folder: Path) -> None:
    """Let other users reach a folder: a test that gives up root's rights has to."""
    for path in (folder, *folder.parents):
        if path.stat().st_uid == os.getuid() and not path.stat().st_mode & 0o001:
            path.chmod(0o755)


def values(reading: Reading, uuid: str = "", pid: int = 0) -> dict[str, float]:
    """Return the samples of a device, or of a process on it, by name."""
    return {
        sample.name.removeprefix("gpu/"): sample.value
        for sample in reading.samples
        if sample.device == uuid and sample.pid == pid
    }


def codes(reading: Reading) -> list[str]:
    """Return the codes of what happened, in order."""
    return [happening.code for happening in reading.happenings]
