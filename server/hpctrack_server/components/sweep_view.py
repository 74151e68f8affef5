"""How a sweep stands, as its pages show it: bars, words and tables. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

STATES = ("finished", "pruned", "running", "waiting", "failed", "crashed", "stopped")
"""In the order of the bar; each is a class of the style sheet, too."""

BEST_ROWS = 10

SHOWN_PARAMETERS = 12
"""Columns of the table of best trials; the page of a run has the others."""

FAILURES_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a progress bar.

    Parameters
    ----------
    state : str
    count : int
    share : float
        0 to 1.
    """

    state: str
    count: int
    share: float


def make_segments(counts: Mapping[str, int], total: int | None) -> list[Segment]:
    """Return the parts of the bar; what nobody was given yet is the rest of it."""
    known = sum(counts.values())
    whole = max(total or 0, known, 1)
    return [
        Segment(state, counts[state], counts[state] / whole)
        for state in STATES
        if counts.get(state)
    ]


def describe_state(counts: Mapping[str, int], wish: str, *, over: int, total: int | None) -> str:
    """Return the word for how a sweep stands: a class of the style sheet, too."""
    if total is not None and over >= total and not counts.get("running"):
        return "finished"
    if wish in {"stop", "cancel"}:
        return "stopping" if counts.get("running") else "stopped"
    if wish == "pause":
        return "pausing" if counts.get("running") else "paused"
    if counts.get("running"):
        return "running"
    return "waiting" if counts.get("waiting") or not over else "idle"


def list_asks(wish: str, state: str) -> list[tuple[str, str]]:
    """Return what can be asked of a sweep now, as word and label."""
    if state == "finished" or wish == "cancel":
        return []
    if wish == "pause":
        return [("resume", "Resume"), ("stop", "Stop")]
    if wish == "stop":
        return [("resume", "Resume")]
    return [("pause", "Pause"), ("stop", "Stop")]


def describe_request(
    request: Mapping[str, Any] | None, taken: Mapping[str, Any] | None, counts: Mapping[str, int]
) -> tuple[str, str]:
    """Return what has become of a request: a class, and a sentence without times."""
    if request is None:
        return "", ""
    if taken is None:
        return "waiting", "The next hpctrack sync from where the sweep runs takes it along."
    if taken["taking"] == "overtaken":
        return "overtaken", f"It was not done: {taken['note']}."
    if taken["taking"] == "failed":
        return "failed", f"It could not be done: {taken['note']}."
    if request["wish"] in {"pause", "stop"} and counts.get("running"):
        what = (
            "The trials that run go on to their end"
            if request["wish"] == "pause"
            else "Trials that run end"
        )
        return "taken", f"It was done. {what}; {counts['running']} were running then."
    return "done", "It was done."


def list_best(details: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of the table of best trials; of several metrics the front comes first."""
    trials = details["trials"]
    places = {number: at for at, number in enumerate(trials["number"])}
    front = find_front_trials(details)
    ordered = sorted(details["ranking"], key=lambda number: number not in front)
    rows = []
    for number in ordered[:BEST_ROWS]:
        at = places[number]
        rows.append({
            "number": number,
            "state": trials["state"][at],
            "is_front": number in front,
            "run": trials["run"][at],
            "run_project": trials["run_project"][at],
            "value": details["values"][number],
            "metrics": details["metrics"][number],
            "parameters": details["parameters"][number],
            "duration_s": trials["duration_s"][at],
            "iterations": trials["iterations"][at],
            "command": details["commands"].get(number, ""),
        })  # fmt: skip
    return rows


def find_winner(details: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return number, state and value of the trial that is best in the first metric."""
    if not details["ranking"]:
        return None
    trials, number = details["trials"], details["ranking"][0]
    state = trials["state"][trials["number"].index(number)]
    return {"number": number, "state": state, "value": details["values"][number]}


def find_front_trials(details: Mapping[str, Any]) -> frozenset[int]:
    """Return the trials that no other beats in all of several metrics; none if there is one."""
    if len(details["sweep"]["metrics"]) < 2:  # noqa: PLR2004 - several
        return frozenset()
    return frozenset(number for one in details["best"] for number in one["finished"])


def list_parameters(details: Mapping[str, Any]) -> list[str]:
    """Return the parameters in which trials differ, the columns of that table."""
    return [
        one["name"]
        for one in details["parallel"]
        if one["role"] == "parameter" and len({repr(value) for value in one["values"]}) > 1
    ][:SHOWN_PARAMETERS]


def find_numeric(details: Mapping[str, Any]) -> set[str]:
    """Return the parameters whose values are numbers; a table aligns them to the right."""
    return {
        one["name"]
        for one in details["parallel"]
        if one["role"] == "parameter" and one["kind"] == "number"
    }


def find_parameter(parameters: Mapping[str, Any], name: str) -> Any:
    """Return a nested parameter by its dotted name; None if the trial has none."""
    if name in parameters:
        return parameters[name]
    head, dot, rest = name.partition(".")
    inner = parameters.get(head)
    return find_parameter(inner, rest) if dot and isinstance(inner, Mapping) else None


def list_failures(details: Mapping[str, Any]) -> Sequence[tuple[int, str, str]]:
    """Return number, run and last words of trials that failed."""
    trials = details["trials"]
    runs = dict(zip(trials["number"], trials["run"], strict=True))
    return [(number, runs[number], said) for number, said in details["failures"].items()]
