"""What happened to a run's machines, as marks on the time axis of their charts."""

from __future__ import annotations

from typing import Any

from hpctrack_server.data.entries import Entry
from hpctrack_server.data.matrix.sensor_groups import HOST_CODES

MARKS_MAX = 500


def list_marks(entry: Entry) -> list[dict[str, Any]]:
    """Return what charts of a machine should show: attempts, OOM, throttling, the time limit."""
    record = entry.read()
    marks = [
        {"kind": "attempt", "wall_s": wall_s, "text": f"attempt {number}"}
        for number, wall_s in _attempts(entry).items()
        if number > 1
    ]
    for one in record.warnings:
        code = str(one.get("code", ""))
        if code.startswith(HOST_CODES) or one.get("level") == "error":
            marks.append({
                "kind": "bad" if one.get("level") == "error" or code.startswith("oom") else "warn",
                "wall_s": float(one.get("wall_s") or 0.0),
                "text": f"{code}: {one.get('text', '')}"[:300],
            })  # fmt: skip
    end = str(record.job.get("SLURM_JOB_END_TIME", ""))
    if end.isdecimal():
        marks.append({"kind": "limit", "wall_s": float(end), "text": "time limit of the job"})
    shown = [
        {**one, "at": float(str(one["wall_s"])) - record.created_wall_s}
        for one in marks
        if float(str(one["wall_s"])) > 0
    ]
    return sorted(shown, key=lambda one: float(str(one["at"])))[:MARKS_MAX]


def _attempts(entry: Entry) -> dict[int, float]:
    found: dict[int, float] = {}
    for source in entry.run.sources():
        number = int(source.facts.get("attempt", 1))
        created = float(source.facts.get("created_wall_s") or 0.0)
        if created > 0:
            found[number] = min(found.get(number, created), created)
    return found
