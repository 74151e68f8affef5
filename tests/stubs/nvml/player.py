"""Runs the GPU telemetry for a test: a line of JSON in, a line of JSON out."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hpctrack.telemetry.gpu import make_gpu_telemetry
from hpctrack.telemetry.reading import Watch, WatchedRank


def main() -> None:
    root, environ = Path(sys.argv[1]), json.loads(sys.argv[2])
    telemetry = make_gpu_telemetry(environ=environ, root=root)

    def read(mono_s: float, ranks: list[list[Any]]) -> object:
        watch = Watch(1.7e9 + mono_s, mono_s, tuple(WatchedRank(*rank) for rank in ranks))
        found = telemetry.read(watch)
        return {
            "devices": [dataclasses.asdict(device) for device in found.devices],
            "samples": found.samples,
            "happenings": found.happenings,
        }

    def keys(pid: int, rank: int, *visible: str | None) -> object:
        return telemetry.find_keys(WatchedRank(pid, rank, *visible))

    def absences(uuid: str) -> object:
        found = [one.list_absences(uuid) for one in telemetry.watches]
        return {name: str(absence) for one in found for name, absence in one.items()}

    def restart() -> None:
        nonlocal telemetry
        telemetry.close()
        telemetry = make_gpu_telemetry(environ=environ, root=root)

    def places() -> object:
        found = telemetry.places
        used = {pid: sorted(gpus) for pid, gpus in found.used.items()}
        return {"nodes": found.nodes, "allowed": found.allowed, "used": used}

    actions: dict[str, Callable[..., object]] = {
        "read": read,
        "keys": keys,
        "absences": absences,
        "places": places,
        "restart": restart,
    }
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        print(json.dumps(actions[name](*arguments)), flush=True)
    telemetry.close()


if __name__ == "__main__":
    main()
