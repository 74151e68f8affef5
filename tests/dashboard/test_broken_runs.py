"""Every operation of the API, asked about runs that cannot be read, or that are not there."""

from __future__ import annotations

import dataclasses
import http.client
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode

import pytest

from hpctrack.store.seal import seal_run
from hpctrack.sweeps.sweep import create_sweep
from hpctrack_server.pages.core.openapi import describe_api
from hpctrack_server.pages.registry import API
from tests.stores import NodeWriter, write_run
from tests.sweep_stores import CONFIG as SWEEP
from tests.unit.server.conftest import HOST_NAME, TOKEN, Live, serve

GIVEN = {
    "metric": "loss", "ranks": "0", "x0": "0", "name": "gpu/util_frac", "key": "picture",
    "runs": "RUN", "text": "state",
}  # fmt: skip
"""Of parameters that must be given."""

DIGEST = "0" * 64

UNREADABLE = ("cut", "noise", "nothing")
READABLE = ("torn", "silent", "whole")
MISSING = ("folder", "none")


@dataclass(frozen=True)
class Asked:
    """One operation: what to send, and how a test calls it."""

    method: str
    path: str
    parameters: tuple[str, ...]
    optional: tuple[str, ...]
    body: Any

    @property
    def is_of_a_run(self) -> bool:
        return "{run}" in self.path

    def fill(self, project: str, run: str, more: Mapping[str, str]) -> str:
        values = {"project": project, "run": run, "digest": DIGEST, "sweep": run, "id": "1"}
        values["kind"] = "workspaces" if "/saved/" in self.path else "scatter"
        given = {name: GIVEN[name].replace("RUN", run) for name in self.parameters}
        given |= more
        path = self.path.format(**values)
        return f"{path}?{urlencode(given)}" if given else path


def names(operation: Mapping[str, Any], *, needed: bool) -> tuple[str, ...]:
    query = (one for one in operation["parameters"] if one["in"] == "query")
    return tuple(one["name"] for one in query if one["required"] == needed)


def list_operations() -> list[Asked]:
    """Return all of them, as the document describes them."""
    found = []
    for path, operations in describe_api(API)["paths"].items():
        for method, one in operations.items():
            if method == "parameters" or path == "/healthz":
                continue
            content = one.get("requestBody", {}).get("content", {}).get("application/json", {})
            queried = names(one, needed=True), names(one, needed=False)
            found.append(Asked(method.upper(), path, *queried, content.get("example")))
    return found


def make_broken(store: Path) -> None:
    """Write runs of every kind of broken, and some that only look so."""
    for run in ("cut", "noise", "nothing", "whole"):
        seal_run(write_run(store, run=run, ranks=2, steps=500))
    cut, noise, nothing = (store / "p" / run / "run.h5" for run in ("cut", "noise", "nothing"))
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 3])
    noise.write_bytes(b"\x00\xffnot what it was" * 1000)
    nothing.write_bytes(b"")
    writer = NodeWriter(store, run="torn")
    writer.start(0)
    writer.points("loss", 0, range(5000), [float(one) for one in range(5000)])
    writer.flush()
    live = writer.file.path
    kept = live.read_bytes()
    writer.close()
    live.write_bytes(kept[: len(kept) - 1000])  # the writer was killed, and its last page is gone
    silent = NodeWriter(store, run="silent")
    silent.start(0)
    silent.close()
    (store / "p" / "folder").mkdir()
    for sweep in ("whole", "cut"):
        create_sweep(store, SWEEP, project="p", sweep_id=sweep)
    (store / "p" / ".sweeps" / "cut" / "sweep.json").write_text('{"id": "cu')
    shutil.copy(cut, store / "p" / "folder" / "run.h5.partial")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store of such runs."""
    path = tmp_path_factory.mktemp("broken")
    make_broken(path)
    return path


@pytest.fixture(scope="module")
def broken(store: Path) -> Iterator[Live]:
    """Serve it."""
    live = serve(store)
    yield live
    live.stop()


def ask(
    live: Live, asked: Asked, project: str, run: str, more: Mapping[str, str] = MappingProxyType({})
) -> tuple[int, str, bytes]:
    """Return status, type and the body, of a stream of events only its beginning."""
    connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=180)
    try:
        connection.request(
            asked.method,
            asked.fill(project, run, more),
            body=None if asked.body is None else json.dumps(asked.body),
            headers={
                "Host": f"{HOST_NAME}:{live.port}",
                "Authorization": f"Bearer {TOKEN}",
                "X-Hpctrack": "1",
            },
        )
        response = connection.getresponse()
        kind = response.getheader("Content-Type") or ""
        return response.status, kind, b"" if kind == "text/event-stream" else response.read()
    finally:
        connection.close()


def check_problem(asked: Asked, status: int, kind: str, body: bytes, store: Path) -> None:
    """Assert that an error says what helps, and nothing from inside."""
    assert kind == "application/json", asked
    told = json.loads(body)
    assert told["error"], (asked, told)
    assert len(told["message"]) > 5, (asked, told)
    assert set(told) <= {"error", "message", "hint", "at", "end", "file"}
    assert b"Traceback" not in body
    assert str(store).encode() not in body, (asked, told)
    if status == 409 and "file" in told:
        assert (store / told["file"]).exists(), told


@pytest.mark.parametrize("asked", list_operations(), ids=lambda one: f"{one.method} {one.path}")
def test_whatever_is_asked_of_whatever_run_no_answer_is_a_fault_of_the_server(
    broken: Live, store: Path, asked: Asked, caplog: pytest.LogCaptureFixture
) -> None:
    runs = (*UNREADABLE, *READABLE, *MISSING) if asked.is_of_a_run else ("cut",)
    for run in runs:
        status, kind, body = ask(broken, asked, "p", run)
        assert status < 500, (run, body)
        if status >= 400:
            check_problem(asked, status, kind, body, store)
        if asked.is_of_a_run and run in MISSING:
            assert status == 404, (run, body)
        if asked.is_of_a_run and run in UNREADABLE:
            is_check = asked.path.endswith("/check")
            assert status == (200 if is_check else 409), (run, body)
            assert is_check or json.loads(body)["file"] == f"p/{run}/run.h5"
    if "{project}" in asked.path:
        for project in ("no-such", "no such", "..", "%00", "x" * 300):
            status, kind, body = ask(broken, asked, project.replace(" ", "%20"), "none")
            assert status < 500, (project, body)
            if "/saved/" not in asked.path:
                assert status == 404, (project, body)
            if status >= 400:
                check_problem(asked, status, kind, body, store)
    assert [one.getMessage() for one in caplog.records if one.levelname == "ERROR"] == []


@pytest.mark.parametrize("asked", list_operations(), ids=lambda one: f"{one.method} {one.path}")
def test_what_is_missing_in_a_question_or_makes_no_sense_is_told(
    broken: Live, store: Path, asked: Asked, caplog: pytest.LogCaptureFixture
) -> None:
    without = dataclasses.replace(asked, parameters=())
    if asked.parameters:
        status, kind, body = ask(broken, without, "p", "whole")
        assert status == 400, body
        check_problem(asked, status, kind, body, store)
    for value in ("nonsense", "-1", "1e999", "9" * 5000, "\N{SUPERSCRIPT TWO}", "\0", "<b>", "{"):
        for name in asked.optional:
            status, kind, body = ask(broken, asked, "p", "whole", {name: value})
            assert status in {200, 400, 404}, (name, value, body)
            if status >= 400:
                check_problem(asked, status, kind, body, store)
    assert [one.getMessage() for one in caplog.records if one.levelname == "ERROR"] == []


@pytest.mark.parametrize("what", ["", "/importance", "/requests"])
def test_a_sweep_that_cannot_be_read_is_told_like_a_run(broken: Live, what: str) -> None:
    path = "/api/v1/projects/{project}/sweeps/{sweep}" + what
    asked = next(one for one in list_operations() if one.path == path)
    status, _kind, body = ask(broken, asked, "p", "cut")
    assert (status, json.loads(body)["file"]) == (409, "p/.sweeps/cut/sweep.json")
