"""The API of tables: columns, filters, groups, completion, export, edits, small pictures."""

from __future__ import annotations

import http.client
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hpctrack.store.annotation_file import read_annotations
from hpctrack.store.schema import EventKind
from hpctrack.store.seal import seal_run
from tests.programs import wait_for
from tests.stores import NodeWriter, write_run
from tests.unit.server.chart_client import ask_chart
from tests.unit.server.conftest import HOST_NAME, HOSTILE, TOKEN, Answer, Live
from tests.unit.server.test_api import series


def post(dashboard: Live, path: str, body: object, **headers: str) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", dashboard.port, timeout=180)
    given = {"Host": f"{HOST_NAME}:{dashboard.port}", "Authorization": f"Bearer {TOKEN}"}
    given.update({"X-Hpctrack": "1", **headers})
    try:
        connection.request("POST", f"/api/v1/projects{path}", json.dumps(body), given)
        response = connection.getresponse()
        return Answer(response.status, dict(response.getheaders()), response.read())
    finally:
        connection.close()


def table(dashboard: Live, project: str = "p", **body: Any) -> Any:
    answer = post(dashboard, f"/{project}/table", {"keys": ["name", "state"], **body})
    assert answer.status == 200, answer.text
    return answer.json()


def test_a_table_has_columns_kinds_and_counts(dashboard: Live) -> None:
    found = table(dashboard, keys=["state", "config.lr", "slurm.partition"], sort="-created")
    assert found["ids"][0] == "live"
    assert (found["matches"], found["total"], found["pending"]) == (3, 3, 0)
    assert found["columns"]["state"] == ["running", "finished", "finished"]
    assert found["columns"]["slurm.partition"] == [None, None, None]
    assert found["kinds"] == {"state": "text", "config.lr": "number"}


def test_filters_choose_and_their_errors_point(dashboard: Live) -> None:
    found = table(dashboard, filter='config.lr > 1e-3 and state == "finished"')
    assert sorted(found["ids"]) == ["sealed", "unsealed"]
    wrong = post(dashboard, "/p/table", {"filter": "state == finished"})
    assert (wrong.status, wrong.json()["error"]) == (400, "query")
    assert (wrong.json()["at"], wrong.json()["end"]) == (9, 17)
    assert '"finished"' in wrong.json()["hint"]


def test_ids_keep_their_order_and_unknown_ones_are_left_out(dashboard: Live) -> None:
    found = table(dashboard, ids=["unsealed", "no such", "live", "live"], scope="all")
    assert found["ids"] == ["unsealed", "live"]


def test_a_table_also_comes_as_arrow(dashboard: Live) -> None:
    answer = post(
        dashboard, "/p/table", {"keys": ["state"]}, Accept="application/vnd.apache.arrow.stream"
    )
    found = pa.ipc.open_stream(answer.body).read_all()
    assert found.column_names == ["id", "state"]
    assert found.num_rows == 3


@pytest.mark.parametrize(
    "body",
    [
        {"keys": "state"},
        {"scope": "some"},
        {"start": -1},
        {"count": 1e9},
        {"count": 2**31 - 1, "keys": ["a", "b"]},
        {"search": "("},
        {"filter": 3},
        {"filter": 'name ~ "("'},
    ],
)
def test_odd_questions_are_answered_by_400(dashboard: Live, body: dict[str, Any]) -> None:
    answer = post(dashboard, "/p/table", body)
    assert answer.status == 400
    assert answer.json()["message"]


def test_hostile_runs_are_in_the_table(dashboard: Live) -> None:
    found = table(dashboard, "hostile", keys=["name", "tags", "config.nan"])
    assert found["matches"] == len(HOSTILE)
    assert "<script>alert(1)</script>" in found["columns"]["name"]
    assert found["columns"]["config.nan"] == [None] * len(HOSTILE)
    assert table(dashboard, "hostile", filter="config.nan is nan")["matches"] == len(HOSTILE)
    assert table(dashboard, "hostile", search="\U0001f680")["matches"] == 1


def test_columns_are_told_with_their_kinds(dashboard: Live) -> None:
    found = dashboard.get("/api/v1/projects/p/columns").json()
    by_key = {one["key"]: one for one in found["columns"]}
    assert by_key["config.lr"]["kind"] == "number"
    assert by_key["created"]["kind"] == "time"
    assert by_key["config.lr"]["count"] == 2


def test_groups_have_their_runs_and_numbers(dashboard: Live) -> None:
    answer = post(dashboard, "/p/groups", {"keys": ["state"], "columns": ["config.lr"]}).json()
    assert [one["key"] for one in answer["groups"]] == [["finished"], ["running"]]
    assert answer["groups"][0]["values"]["config.lr"]["n"] == 2
    assert post(dashboard, "/p/groups", {"keys": []}).status == 400


def test_completion_proposes_and_says_what_is_wrong(dashboard: Live) -> None:
    def ask(text: str) -> Any:
        asked = urlencode({"text": text, "at": len(text)})
        return dashboard.get(f"/api/v1/projects/p/complete?{asked}").json()

    assert "config.lr" in [one["text"] for one in ask("lr")["options"]]
    assert '"finished"' in [one["text"] for one in ask("state == ")["options"]]
    assert ask("state == ")["error"]["at"] == 9
    assert ask('state == "finished"')["error"] is None


def test_runs_leave_as_csv_json_and_parquet(dashboard: Live) -> None:
    def export(kind: str, **more: str) -> Answer:
        return dashboard.get(f"/api/v1/projects/p/export?{urlencode({'format': kind, **more})}")

    answer = export("csv", keys="state,tags,created", sort="name")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="p-runs.csv"'
    assert answer.text.splitlines()[0] == "id,state,tags,created"
    assert len(answer.text.splitlines()) == 4
    assert {one["id"] for one in export("json").json()["runs"]} == {"live", "sealed", "unsealed"}
    found = pq.read_table(io.BytesIO(export("parquet").body))
    assert found.num_rows == 3
    assert str(found.schema.field("created").type) == "timestamp[ms, tz=UTC]"
    assert export("xls").status == 400


def test_runs_of_the_api_come_in_parts(dashboard: Live) -> None:
    found = dashboard.get("/api/v1/projects/p/runs?count=1&start=1&sort=-created").json()
    assert (found["matches"], found["start"], len(found["runs"])) == (3, 1, 1)
    assert found["runs"][0]["config"] == {"lr": 0.1, "net": {"layers": 3}}
    answer = dashboard.get("/api/v1/projects/p/runs?filter=state+%3D%3D+%22running%22")
    assert [one["id"] for one in answer.json()["runs"]] == ["live"]


def test_small_pictures_have_the_extremes(dashboard: Live) -> None:
    body = {"metric": "loss", "ids": ["sealed", "live", "broken", "none"], "width": 40}
    found = post(dashboard, "/p/sparklines", body).json()
    assert set(found["lines"]) == {"sealed", "live"}
    assert min(found["lines"]["sealed"]) == 1.5, "the mean of ranks 0 to 3"
    assert len(found["lines"]["sealed"]) <= 80
    assert post(dashboard, "/p/sparklines", {**body, "metric": "none"}).json()["lines"] == {
        "sealed": [],
        "live": [],
    }


def test_small_pictures_are_of_the_mean_of_the_ranks_whoever_has_logged(
    tmp_path: Path, start_dashboard: Callable[..., Live]
) -> None:
    writer = NodeWriter(tmp_path, run="piped")
    for rank in range(2):
        writer.start(rank, size=2, local_size=2)
    writer.points("only1", 1, range(8), [float(one) for one in range(8)])
    for rank in range(2):
        writer.points("both", rank, range(8), [float(one + 10 * rank) for one in range(8)])
    writer.flush()
    writer.close()
    dashboard = start_dashboard(tmp_path)
    for metric, first in (("only1", 0.0), ("both", 5.0)):
        body = {"metric": metric, "ids": ["piped"], "width": 60}
        line = post(dashboard, "/p/sparklines", body).json()["lines"]["piped"]
        assert line == [first + one for one in range(8)]


def test_columns_are_counted_as_they_are_now(
    tmp_path: Path, start_dashboard: Callable[..., Live]
) -> None:
    for number in range(3):
        writer = NodeWriter(tmp_path, run=f"run-{number}")
        session = writer.start(0)
        writer.event(EventKind.CONFIG, {"lr": number})
        writer.end(0, session)
        writer.close()
    dashboard = start_dashboard(tmp_path)
    assert table(dashboard)["matches"] == 3
    post(dashboard, "/p/edit", {"ids": ["run-0", "run-1"], "add_tags": ["paper"]})
    columns = {
        one["key"]: one for one in dashboard.get("/api/v1/projects/p/columns").json()["columns"]
    }
    for key, distinct in (("id", 3), ("config.lr", 3), ("state", 1)):
        assert (columns[key]["count"], columns[key]["distinct"]) == (3, distinct)
    assert columns["tags"]["count"] == 2


def test_notes_that_somebody_else_has_changed_are_not_written_over(
    tmp_path: Path, start_dashboard: Callable[..., Live]
) -> None:
    for run in ("one", "two"):
        seal_run(write_run(tmp_path, run=run))
    dashboard = start_dashboard(tmp_path)
    body = {"ids": ["one"], "was": {"notes": ""}}
    assert post(dashboard, "/p/edit", {**body, "notes": "first"}).status == 200
    late = post(dashboard, "/p/edit", {**body, "notes": "second"})
    assert (late.status, late.json()["error"]) == (409, "busy")
    assert "notes" in late.json()["message"]
    both = post(dashboard, "/p/edit", {**body, "ids": ["one", "two"], "notes": "second"}).json()
    assert (both["failed"], "error" in both["runs"][0]) == (1, True)
    found = table(dashboard, keys=["notes"], sort="id")
    assert dict(zip(found["ids"], found["columns"]["notes"], strict=True)) == {
        "one": "first",
        "two": "second",
    }
    wrong = post(dashboard, "/p/edit", {"ids": ["one"], "notes": "x", "was": {"tags": "x"}})
    assert wrong.status == 400


def test_edits_show_at_once_and_can_be_undone(
    tmp_path: Path, start_dashboard: Callable[..., Live]
) -> None:
    store = tmp_path / "store"
    for run in ("one", "two"):
        seal_run(write_run(store, run=run))
    dashboard = start_dashboard(store)
    assert table(dashboard)["matches"] == 2
    body = {"ids": ["one", "two", "none"], "add_tags": ["paper"], "notes": "why"}
    answer = post(dashboard, "/p/edit", body).json()
    assert answer["failed"] == 1
    assert "no run" in answer["runs"][2]["error"]
    assert answer["runs"][0]["before"]["tags"] == []
    found = table(dashboard, filter='"paper" in tags', keys=["notes"])
    assert sorted(found["ids"]) == ["one", "two"]
    assert found["columns"]["notes"] == ["why", "why"]
    assert read_annotations(store, "p", "one").added_tags() == ["paper"]
    _delete_and_archive(store, dashboard)
    _add_and_remove(store, dashboard)


def _delete_and_archive(store: Path, dashboard: Live) -> None:
    post(dashboard, "/p/edit", {"ids": ["one"], "deleted": True})
    post(dashboard, "/p/edit", {"ids": ["two"], "archived": True})
    assert table(dashboard)["ids"] == []
    assert table(dashboard, scope="deleted")["ids"] == ["one"]
    assert table(dashboard, scope="archived")["ids"] == ["two"]
    assert (store / "p" / "one" / "run.h5").exists(), "deleting is a mark"
    post(dashboard, "/p/edit", {"ids": ["one"], "deleted": False})
    assert table(dashboard)["ids"] == ["one"]


def _add_and_remove(store: Path, dashboard: Live) -> None:
    seal_run(write_run(store, run="three"))
    wait_for(lambda: table(dashboard)["matches"] == 2)
    (store / "p" / "one" / "run.h5").unlink()
    wait_for(lambda: table(dashboard)["ids"] == ["three"])


@pytest.mark.parametrize(
    "body",
    [
        {"ids": ["one"]},
        {"ids": [], "name": "x"},
        {"ids": ["one"], "state": "finished"},
        {"ids": ["one"], "deleted": "yes"},
        {"ids": ["one"], "name": "x" * 300},
        {"ids": ["one"], "add_tags": [""]},
        {"ids": ["../one"], "name": "x"},
        {"ids": ["one"] * 1001, "name": "x"},
    ],
)
def test_edits_that_cannot_be_change_nothing(dashboard: Live, body: dict[str, Any]) -> None:
    assert post(dashboard, "/p/edit", body).status in {400, 404}


def test_edits_need_the_mark_of_a_script_of_ours(dashboard: Live) -> None:
    body = {"ids": ["sealed"], "name": "x"}
    assert post(dashboard, "/p/edit", body, **{"X-Hpctrack": ""}).status == 403


def write_values(store: Path, first: float, count: int = 10) -> Path:
    """Write and seal a run of two ranks."""
    writer = NodeWriter(store, run="again")
    for rank in range(2):
        session = writer.start(rank, size=2, local_size=2)
        values = [first + one for one in range(count)]
        writer.points("loss", rank, range(count), values)
        writer.end(rank, session)
    writer.close()
    folder = store / "p" / "again"
    seal_run(folder)
    return folder


def test_a_run_whose_file_is_another_now_is_drawn_anew_everywhere(
    tmp_path: Path, start_dashboard: Callable[..., Live]
) -> None:
    folder = write_values(tmp_path / "store", 0.0)
    other = write_values(tmp_path / "other", 1000.0)
    dashboard = start_dashboard(tmp_path / "store")

    def find_highest() -> list[float]:
        body = {"metric": "loss", "ids": ["again"], "width": 40}
        spark = post(dashboard, "/p/sparklines", body).json()["lines"].get("again")
        _head, lines = ask_chart(dashboard, y="loss", runs=["again"])
        if not spark or not lines:
            return []  # a run that has just come back is not in all lists at the same time
        own, _arrays = series(dashboard, "again", metric="loss")
        return [float(lines[0].y.max()), max(spark), own["total"]]

    assert find_highest() == [9.0, 9.0, 10]
    (other / "run.h5").replace(folder / "run.h5")  # as sync does: the same size, other points
    wait_for(lambda: find_highest()[:2] == [1009.0, 1009.0])
    shutil.move(folder, tmp_path / "away")
    wait_for(lambda: dashboard.get("/api/v1/runs/p/again/series?metric=loss").status == 404)
    shutil.move(write_values(tmp_path / "third", 5.0, 25), folder)
    wait_for(lambda: find_highest() == [29.0, 29.0, 25])
