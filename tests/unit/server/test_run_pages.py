"""The tabs of a run over HTTP: overview, configuration, files, code, differences."""

from __future__ import annotations

import hashlib
import html
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpctrack.core.layout import ACCOUNTING_NAME
from hpctrack.store.schema import EventKind, Place
from hpctrack.store.seal import seal_run
from tests.programs import wait_for
from tests.stores import START_S, NodeWriter
from tests.unit.server.conftest import Live, serve

HTML_FILE = b"<h1>x</h1><script>alert(1)</script>"
DIFF = """diff --git a/t.py b/t.py
--- a/t.py
+++ b/t.py
@@ -1,2 +1,2 @@
 import x
-lr = 1
+lr = "<b>2"
"""
PROVENANCE: dict[str, Any] = {
    "collected_wall_s": START_S,
    "program": {"argv": ["python", "t.py", "--name", "a b"], "cwd": "/home/a"},
    "git": {"commit": "c" * 40, "branch": "main", "diff": DIFF, "dirty": True, "changed": ["t.py"],
            "remotes": {"origin": "git@host:x.git"}, "untracked": ["<img>.txt"]},
    "python": {"version": "3.12.1", "packages": {"numpy": "2.0"}},
    "environment": {"OMP_NUM_THREADS": "4"},
}  # fmt: skip


def save_file(writer: NodeWriter, key: str, body: bytes, *, kind: str = "file") -> str:
    digest = hashlib.sha256(body).hexdigest()
    offset = writer.file.add_bytes(body, Place.BLOBS)
    where = {"digest": digest, "place": int(Place.BLOBS), "offset": offset, "size": len(body)}
    writer.event(EventKind.PAYLOAD, where)
    meta = {"path": f"/home/a/{key}", "policy": "now"}
    told = {"key": key, "step": -1, "type": kind, "format": "x", "digest": digest,
            "size": len(body), "meta": meta}  # fmt: skip
    writer.event(EventKind.MEDIA, told)
    return digest


def write_rich(store: Path, run: str, *, lr: float, code: int, numpy: str) -> None:
    """Write a run that has a bit of everything."""
    writer = NodeWriter(store, project="p", run=run)
    session = writer.start(0, name=f"name-of-{run}", job={"SLURM_JOB_ID": "4711"})
    writer.event(EventKind.CONFIG, {"lr": lr, "net": {"layers": 3}, "only": run})
    writer.event(EventKind.SUMMARY, {"acc": 0.5 + lr})
    writer.event(EventKind.META, {"fork": {"run": "first", "step": 7}} if run != "first" else {})
    writer.event(
        EventKind.NOTE,
        {"level": "error", "code": "alert", "title": "<b>flat", "text": "no progress"},
    )
    found = json.loads(json.dumps(PROVENANCE))
    found["python"]["packages"]["numpy"] = numpy
    body = json.dumps(found).encode()
    writer.file.add_event(
        EventKind.PROVENANCE, body, wall_s=START_S, rank=0, session=0, place=Place.TEXT
    )
    save_file(writer, "out/report.html", HTML_FILE)
    save_file(writer, "t.py", b"import x\nlr = 2\n", kind="code")
    writer.samples("gpu/util_frac", [0.5, 0.5, 0.5], device="")
    writer.samples("cgroup/memory_used_bytes", [2.0**30, 2.0**31])
    writer.points("loss", 0, range(5), [1.0, 0.5, 0.4, 0.3, 0.2])
    writer.end(0, session, code)
    seal_run(writer.close().parent)


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Serve two runs that have a bit of everything."""
    store = tmp_path_factory.mktemp("rich")
    write_rich(store, "first", lr=0.1, code=0, numpy="2.0")
    write_rich(store, "second", lr=0.2, code=1, numpy="2.1")
    accounting = {
        "kind": "hpctrack-accounting", "format": 1, "asked_wall_s": START_S,
        "attempts": [{
            "attempt": 1, "job": "4711", "state": "COMPLETED", "submit_wall_s": START_S - 100,
            "eligible_wall_s": START_S - 90, "start_wall_s": START_S - 5, "end_wall_s": START_S + 9,
            "efficiency": {"elapsed_s": 14, "limit_s": 3600, "cpu_frac": 0.1, "cpus": 8},
            "advice": "asked for 1 h, used 14 s; next time --time=0:05:00",
        }],
    }  # fmt: skip
    (store / "p" / "first" / ACCOUNTING_NAME).write_text(json.dumps(accounting))
    live = serve(store)
    yield live
    live.stop()


def read(rich: Live, path: str) -> str:
    answer = rich.get(path)
    assert answer.status == 200, answer.text[-500:]
    return html.unescape(answer.text)


def test_overview_tells_state_origin_efficiency_and_advice(rich: Live) -> None:
    page = read(rich, "/p/p/runs/first")
    assert "All ranks ended well." in page
    assert "waited 1m 25s" in page
    assert "limit 1h 00m" in page
    assert "python t.py --name 'a b'" in page
    assert "cccccccccccc on main with changes that were not committed" in page
    assert "hpctrack rerun p/first -o again" in page
    assert "next time --time=0:05:00" in page
    assert "10 % of 8 CPUs" in page
    assert "Nothing was lost." in page
    assert "no progress" in page
    wait_for(lambda: '<a href="/p/p/runs/second">' in read(rich, "/p/p/runs/first"))  # a fork
    other = read(rich, "/p/p/runs/second")
    assert "It ended with exit code 1 on n1." in other
    assert "up to step 7" in other


def test_what_was_measured_arrives_as_numbers_and_rows(rich: Live) -> None:
    found = rich.get("/api/v1/runs/p/first/usage").json()
    assert found["usage"]["memory_peak_bytes"] == 2.0**31
    assert found["usage"]["gpu_util_mean_frac"] == 0.5
    assert "2 GiB at the most on a node" in {one["text"] for one in found["meters"]}
    assert rich.get("/api/v1/runs/p/first/usage?carbon=Atlantis").status == 400


def test_old_addresses_of_the_charts_lead_to_them(rich: Live) -> None:
    answer = rich.get("/p/p/runs/first?view=all&x=time")
    assert answer.status == 302
    assert answer.headers["Location"] == "/p/p/runs/first/charts?view=all&x=time"


def test_configuration_is_shown_compared_and_copied(rich: Live) -> None:
    page = read(rich, "/p/p/runs/first/config?against=second")
    assert "2 values differ" in page
    assert 'data-path="net.layers"' in page
    assert (
        rich.get("/api/v1/runs/p/first/config").text == "lr: 0.1\nnet:\n  layers: 3\nonly: first\n"
    )
    assert "--net.layers=3" in rich.get("/api/v1/runs/p/first/config?format=args").text
    assert rich.get("/p/p/runs/first/config?against=nobody").status == 404


def test_saved_file_leaves_as_an_attachment_that_no_browser_runs(rich: Live) -> None:
    page = read(rich, "/p/p/runs/first/files")
    assert "2 files" in page
    digest = hashlib.sha256(HTML_FILE).hexdigest()
    path = f"/api/v1/runs/p/first/files/{digest}"
    answer = rich.get(path)
    assert answer.body == HTML_FILE
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"].startswith("sandbox;")
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="report.html"')
    part = rich.get(path, Range="bytes=4-4")
    assert (part.status, part.body) == (206, b"x")
    assert part.headers["Content-Range"] == f"bytes 4-4/{len(HTML_FILE)}"
    assert rich.get(path, Range="bytes=999-").status == 416
    assert rich.get(f"/api/v1/runs/p/first/files/{'0' * 64}").status == 404
    assert rich.get("/api/v1/runs/p/first/files/x").status == 400
    shown = rich.get(f"/p/p/runs/first/files?show={digest}").text
    assert "&lt;script&gt;alert(1)" in shown
    assert "<script>alert" not in shown


def test_code_shows_commit_patch_and_what_was_saved(rich: Live) -> None:
    page = rich.get("/p/p/runs/first/code").text
    assert "c" * 40 in page
    assert "<ins>lr = &quot;&lt;b&gt;2&quot;</ins>" in page
    assert "<del>lr = 1</del>" in page
    assert "&lt;img&gt;.txt" in page
    digest = hashlib.sha256(b"import x\nlr = 2\n").hexdigest()
    assert "import x\nlr = 2" in rich.get(f"/p/p/runs/first/code?show={digest}").text
    assert rich.get("/api/v1/runs/p/first/patch").text == DIFF


def test_runs_stand_side_by_side_with_what_differs(rich: Live) -> None:
    page = read(rich, "/p/p/diff?runs=first,second")
    assert "+0.1 (+100 %)" in page
    assert "2.1" in page
    found = rich.get("/api/v1/projects/p/diff?runs=first,second,nobody").json()
    assert [one["name"] for one in found["runs"]] == ["name-of-first", "name-of-second", "nobody"]
    assert "no run" in found["runs"][2]["problem"]
    sections = {one["name"]: one for one in found["sections"]}
    rows = {one["key"]: one for one in sections["packages"]["rows"]}
    assert [one["text"] for one in rows["numpy"]["cells"][:2]] == ["2.0", "2.1"]
    assert rows["numpy"]["cells"][1]["changed"]
    for few in ("", "?runs=first", "?runs=,,"):
        assert "another run" in read(rich, f"/p/p/diff{few}") or "Choose runs" in read(
            rich, f"/p/p/diff{few}"
        )


def test_broken_run_says_so_on_every_tab(dashboard: Live) -> None:
    for tab in ("", "/charts", "/config", "/files", "/code", "/console"):
        page = dashboard.get(f"/p/p/runs/broken{tab}").text
        assert "cannot be read" in page, tab
    compared = dashboard.get("/p/p/diff?runs=sealed,broken").text
    assert "cannot be read" in compared
    for name in ("usage", "patch", "config", "console", "console.txt"):
        answer = dashboard.get(f"/api/v1/runs/p/broken/{name}")
        assert answer.status == 409, name
        assert answer.json()["hint"] or answer.json()["message"]
