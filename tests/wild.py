"""A store with what no demonstration has: huge, half-written, broken, empty and hostile runs."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

import hpctrack
from hpctrack.store.schema import EventKind, Place
from hpctrack.store.seal import seal_run
from tests.media_writing import write_media
from tests.stores import NodeWriter, write_run
from tests.sweep_stores import write_sweep

PROJECT = "wild"
POINTS = 1_000_000
HOSTILE = (
    "<script>alert(1)</script>",
    "\"quotes\" & 'more' <b>bold</b> {{ 1 + 1 }} ${1}",
    "../../../etc/passwd",
    "\u202eright to left\u202c \u05e9\u05dc\u05d5\u05dd",
    "emoji \U0001f680\U0001f469\u200d\U0001f52c and %2F and a\tb",
    "x" * 10_000,
    "half a pair \ud83d",
)
LONG_ID = "a" * 64
UNREADABLE = ("cut", "noise", "nothing")
RUNS = ("huge", "torn", "silent", "deep", LONG_ID, *(f"hostile-{n}" for n in range(len(HOSTILE))))
"""Those that can be read, if only a part of them."""
SWEEP = "wild-sweep"

Names = dict[str, Any]


def write_wild(store: Path) -> None:
    """Write all of them."""
    write_huge(store)
    write_torn(store)
    for run in UNREADABLE:
        seal_run(write_run(store, project=PROJECT, run=run, ranks=2, steps=500))
    cut, noise, nothing = (store / PROJECT / run / "run.h5" for run in UNREADABLE)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 3])
    noise.write_bytes(b"\x00\xffnot what it was" * 1000)
    nothing.write_bytes(b"")
    silent = NodeWriter(store, project=PROJECT, run="silent")
    silent.start(0)
    silent.close()
    write_run(store, project=PROJECT, run=LONG_ID)
    write_deep(store)
    for number, text in enumerate(HOSTILE):
        write_hostile(store, f"hostile-{number}", text)
    text = HOSTILE[0]
    write_sweep(
        store, project=PROJECT, sweep_id=SWEEP, trials=6, name=text,
        metric={"name": text, "goal": "minimize"},
        parameters={text: {"values": [*HOSTILE[1:4]]}, "lr": {"values": [1, 2]}},
    )  # fmt: skip


def write_huge(store: Path) -> None:
    """Write a million points, with one that must be seen."""
    writer = NodeWriter(store, project=PROJECT, run="huge")
    sessions = [writer.start(rank, size=2, local_size=2) for rank in range(2)]
    steps = POINTS // 2
    values = np.sin(np.arange(steps) / 5000)[np.newaxis].repeat(2, 0)
    values[1, steps // 3] = 1e6
    writer.table("loss", [0, 1], values, writer.wall_s + np.arange(steps) / 100)
    for rank, session in enumerate(sessions):
        writer.end(rank, session)
    seal_run(writer.close().parent)


def write_torn(store: Path) -> None:
    """Write a run whose writer was killed, and whose last page never reached the disk."""
    writer = NodeWriter(store, project=PROJECT, run="torn")
    writer.start(0)
    writer.points("loss", 0, range(5000), [float(one) for one in range(5000)])
    writer.flush()
    kept = writer.file.path.read_bytes()
    writer.close().write_bytes(kept[:-1000])


def write_deep(store: Path) -> None:
    """Write a run with a configuration that no table has room for."""
    writer = NodeWriter(store, project=PROJECT, run="deep")
    session = writer.start(0)
    nested: Names = {"end": 1}
    for _level in range(60):
        nested = {"more": nested}
    writer.event(EventKind.CONFIG, {"nested": nested, **{f"key{n}": n for n in range(3000)}})
    writer.event(EventKind.SUMMARY, {f"number{n}": n / 7 for n in range(500)})
    for number in range(300):
        writer.points(f"group{number % 20}/metric{number}", 0, range(3), [1.0, 2.0, 3.0])
    writer.end(0, session)
    writer.close()


def write_hostile(store: Path, run: str, text: str) -> None:
    """Write a run that has a text wherever a user can put one."""
    writer = NodeWriter(store, project=PROJECT, run=run)
    job = {"cwd": text, "SLURM_JOB_NAME": text, "SLURM_JOB_ID": text}
    session = writer.start(0, name=text, user=text, group=text, host=text, job=job)
    writer.event(EventKind.CONFIG, {text: text, "plain": text, "deep": {"<i>": [text, {text: 1}]}})
    writer.event(EventKind.SUMMARY, {text: float("inf"), "x": float("nan"), "word": text})
    writer.event(EventKind.META, {"name": text, "tags": [text, "<u>"], "notes": text})
    for code in ("alert", "other"):
        writer.event(EventKind.NOTE, {"level": text, "code": code, "title": text, "text": text})
    writer.event(EventKind.LEDGER, {"dropped_points": 3, "refused": {text: 2}})
    for metric in ("loss", f"{text[:120]}/a", text[:200]):
        name = metric.encode("utf-8", "replace").decode()  # a metric's name is Unicode
        writer.points(name, 0, range(4), [1.0, float("nan"), float("inf"), -1e300])
    unicode = text.encode("utf-8", "replace").decode()
    writer.device(text, name=text, facts={text: text})
    writer.samples(unicode[:100], [0.1, 0.2], device=text)
    writer.samples("gpu/util_frac", [0.5, float("nan")], device=text)
    _say(writer, unicode)
    _keep(writer, unicode)
    told = json.dumps({
        "program": {"argv": [text, text], "cwd": text},
        "git": {"commit": text, "branch": text, "diff": text, "remotes": {text: text}},
        "python": {"version": text, "packages": {text: text}}, "environment": {text: text},
    })  # fmt: skip
    writer.file.add_event(
        EventKind.PROVENANCE, told.encode(), wall_s=writer.wall_s, rank=0, session=session,
        place=Place.TEXT,
    )  # fmt: skip
    writer.end(0, session, exit_code=137)
    writer.close()


def _say(writer: NodeWriter, text: str) -> None:
    lines = f"{text}\n\x1b[31m{text}\x1b[0m\n\x1b]8;;javascript:alert(1)\x07{text}\r\x00\xff\n"
    for kind in (EventKind.STDOUT, EventKind.STDERR):
        writer.file.add_event(
            kind, lines.encode(), wall_s=writer.wall_s, rank=0, session=0, place=Place.TEXT
        )


def _keep(writer: NodeWriter, text: str) -> None:
    pixels = np.zeros((4, 4, 3), np.uint8)
    write_media(writer, hpctrack.Image(pixels, caption=text), key=text[:200].replace("\t", " "))
    write_media(writer, hpctrack.Html(text, caption=text), key="page")
    write_media(writer, hpctrack.Table(columns=[text, "b"], data=[[text, text]]), key="rows")
    body = text.encode()
    digest = hashlib.sha256(b"file" + body).hexdigest()
    offset = writer.file.add_bytes(body, Place.BLOBS)
    where = {"digest": digest, "place": int(Place.BLOBS), "offset": offset, "size": len(body)}
    writer.event(EventKind.PAYLOAD, where)
    for kind in ("file", "code"):
        writer.event(EventKind.MEDIA, {
            "key": text, "step": -1, "type": kind, "format": "x", "digest": digest,
            "size": len(body), "meta": {"path": text, "policy": "now"},
        })  # fmt: skip
