"""What each answer of the API takes and gives, beside what its route and docstring say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

JSON = "application/json"
BYTES = "application/octet-stream"
EVENTS = "text/event-stream"
TEXT = "text/plain"
ARROW = "application/vnd.apache.arrow.stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One answer.

    Parameters
    ----------
    query : mapping
        Parameters of the address and what they mean; of one that begins with ``*`` the rest is
        the name, and it must be given.
    body : mapping
        An example of what is sent, for methods that send something.
    gives : tuple of str
        Content types of the answer.
    becomes : str
        What the connection is used for from then on, where the answer is no document.
    """

    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)
    gives: tuple[str, ...] = (JSON,)
    becomes: str = ""


SELECTION = {
    "filter": 'in the query language: `config.lr > 1e-3 and state == "finished"`',
    "search": "a regular expression over name, id, user and tags",
    "sort": "`-created,name`: a minus in front is descending",
}
WINDOW = {"x0": "where the window begins", "x1": "where it ends"}
RANKS_WINDOW = {
    "*metric": "as logged",
    "how": "`max`, `mean` or `min`: what a pixel shows",
    "sort": "order of the ranks: `rank`, `host`, `mean` or `peak`",
    **WINDOW,
    "r0": "first row, in that order",
    "r1": "row after the last one",
    "width": "columns",
    "height": "rows",
    "low": "where the colours begin",
    "high": "where they end",
}
RUNS_BODY = {"filter": "summary.val/acc > 0.9", "search": "", "sort": "-created"}

OPERATIONS: dict[str, Operation] = {
    "healthz": Operation(),
    "socket": Operation(
        becomes="A WebSocket for all that a page listens to. Say "
        '`{"listen": "/api/v1/projects/p/events", "id": 1}` with the address of an event stream '
        "below and a number of yours, and be told what that stream would tell you, as "
        '`{"id": 1, "event": "change", "data": ...}`, or the event `error`; `{"end": 1}` ends it. '
        '`{"event": "open"}` comes first. The `Origin` must be the very address that is asked; who '
        "names none has to send the token as a header."
    ),
    "projects": Operation(),
    "runs": Operation(query={**SELECTION, "start": "runs left out", "count": "at most 1,000"}),
    "table": Operation(
        body={"keys": ["name", "config.lr"], **RUNS_BODY, "start": 0, "count": 50},
        gives=(JSON, ARROW),
    ),
    "columns": Operation(),
    "groups": Operation(body={"keys": ["@config-but-seed"], **RUNS_BODY}),
    "complete": Operation(
        query={"text": "what has been typed of a filter", "at": "where, in characters"}
    ),
    "export": Operation(
        query={
            "format": "`csv`, `json` or `parquet`",
            "keys": "columns, separated by commas",
            "ids": "only these runs",
            **SELECTION,
        },
        gives=("text/csv", JSON, "application/vnd.apache.parquet"),
    ),
    "sparklines": Operation(body={"metric": "loss", "ids": ["4711.0"], "width": 60}),
    "edit": Operation(
        body={
            "ids": ["4711.0"],
            "name": "baseline",
            "notes": "",
            "add_tags": ["paper"],
            "remove_tags": [],
            "archived": False,
            "deleted": False,
            "was": {"notes": "as they were read: refused if somebody has changed them since"},
        }
    ),
    "store-events": Operation(gives=(EVENTS,)),
    "project-events": Operation(gives=(EVENTS,)),
    "points": Operation(
        query={
            "*runs": "ids, separated by commas",
            "metric": "a name; for several metrics several times, for all not at all",
            "ranks": "`mean`, `min`, `max`, `all`, or a number",
        },
        gives=(EVENTS,),
    ),
    "chart-series": Operation(
        body={
            "y": "val/loss",
            "query": {**RUNS_BODY, "limit": 20},
            "x": "step",
            "x0": None,
            "x1": None,
            "width": 500,
            "log_x": False,
            "ranks": "mean",
            "smooth": {"kind": "ema", "amount": 0.8},
            "group": {"by": ["config.lr"], "center": "mean", "band": "std"},
        },
        gives=(BYTES,),
    ),
    "chart-metrics": Operation(
        query={"runs": "ids, separated by commas", "limit": "at most so many runs", **SELECTION}
    ),
    "run": Operation(),
    "metrics": Operation(query={"shown": "`1` leaves out what a definition hides"}),
    "series": Operation(
        query={
            "*metric": "as logged",
            "view": "`rank`, `all` or `band`",
            "rank": "of view `rank`",
            "x": "`step` or `time`",
            **WINDOW,
            "width": "buckets; each keeps its extremes",
        },
        gives=(BYTES,),
    ),
    "run-events": Operation(gives=(EVENTS,)),
    "run-check": Operation(),
    "run-usage": Operation(query={"carbon": "grams of CO2 for each kWh"}),
    "run-config": Operation(query={"format": "`yaml`, `json` or `args`"}, gives=(TEXT, JSON)),
    "run-file": Operation(gives=(BYTES,)),
    "run-patch": Operation(gives=(TEXT,)),
    "diff": Operation(
        query={
            "runs": "ids, separated by commas",
            "limit": "at most so many runs",
            "all": "`1` shows what is the same, too",
            **SELECTION,
        }
    ),
    "strip": Operation(
        query={"span": "seconds, back from now", "width": "columns"}, gives=(BYTES,)
    ),
    "matrix": Operation(query=RANKS_WINDOW, gives=(BYTES,)),
    "cell": Operation(
        query={
            "*metric": "as logged",
            "*ranks": "numbers, separated by commas: those of a pixel",
            "*x0": "its first step",
            "x1": "the step after its last one",
            "how": "`max`, `mean` or `min`: which of its values is shown",
        }
    ),
    "spread": Operation(
        query={"*metric": "as logged", **WINDOW, "width": "columns"}, gives=(BYTES,)
    ),
    "stragglers": Operation(
        query={"*metric": "seconds for each step", "better": "`higher` for a throughput"}
    ),
    "nodes": Operation(query={"metric": "that colours the ranks"}),
    "system": Operation(),
    "sensor": Operation(
        query={
            "*name": "such as `gpu/util_frac`",
            "host": "only its devices",
            "device": "only this one, by its key",
            "x0": "seconds since the run began",
            "x1": "likewise",
            "width": "columns",
            "height": "rows",
            "how": "`mean`, `max` or `min`, of what falls into a pixel",
        },
        gives=(BYTES,),
    ),
    "energy": Operation(),
    "console": Operation(
        query={
            "rank": "only this rank",
            "stream": "`stdout` or `stderr`",
            "from": "first line",
            "count": "lines",
            "search": "what is looked for",
            "regex": "`1`: it is a pattern",
            "case": "`1`: capitals count",
            "find": "line from which on",
            "time": "jump to",
        }
    ),
    "console-text": Operation(
        query={"rank": "only this rank", "stream": "`stdout` or `stderr`"}, gives=(TEXT,)
    ),
    "compare-facts": Operation(query={"runs": "ids, separated by commas", **SELECTION}),
    "panel-columns": Operation(
        body={"keys": ["config.lr"], "query": {**RUNS_BODY, "limit": 1000}}, gives=(BYTES,)
    ),
    "panels": Operation(body={**RUNS_BODY, "settings": {"x": "config.lr", "y": "summary.val/acc"}}),
    "statistics": Operation(
        body={"metric": "summary.val/acc", "by": ["@config-but-seed"], "pair": "config.seed"}
    ),
    "statistics_export": Operation(
        query={"format": "`latex`, `csv` or `json`", **SELECTION}, gives=(TEXT, "text/csv", JSON)
    ),
    "sweeps": Operation(),
    "sweep": Operation(),
    "sweep_importance": Operation(),
    "sweep_ask": Operation(body={"ask": "pause", "seen": "run"}),
    "saved-list": Operation(body={"title": "Best of May", "body": {}}),
    "saved": Operation(body={"title": "Best of May", "body": {}, "updated": ""}),
    "media": Operation(),
    "media-at": Operation(query={"*key": "as logged", "step": "", "rank": ""}),
    "media-table": Operation(
        query={
            "*key": "as logged",
            "step": "",
            "rank": "",
            "sort": "number of a column",
            "desc": "`1`: the largest first",
            "word": "only rows that have it",
            "start": "",
            "count": "",
            "format": "`csv` is a download of the whole",
        }
    ),
    "media-histograms": Operation(query={"*key": "as logged", "rank": ""}, gives=(BYTES,)),
    "media-body": Operation(
        query={"download": "`1`: to keep, not to show", "as": "form, of what a table's cell names"},
        gives=(BYTES,),
    ),
    "media-frame": Operation(query={"theme": "`light` or `dark`"}, gives=("text/html",)),
    "media-shape": Operation(gives=(BYTES,)),
    "openapi": Operation(),
}
"""By the name of the registry."""
