"""What people save of the dashboard: kept, bounded, and never lost to somebody who saves too."""

from __future__ import annotations

import http.client
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpctrack.errors import BusyError, NotFoundError, StoreError, StoreFormatError, UsageError
from hpctrack_server.data.state.database import Database
from hpctrack_server.data.state.place import find_database, is_local_folder
from hpctrack_server.data.state.saved import (
    BODY_MAX_BYTES,
    PER_PROJECT_MAX,
    SavedDocuments,
    SavedKind,
    State,
)
from tests.unit.server.conftest import HOST_NAME, HOSTILE, TOKEN, Live

BODY = {"filter": 'config.lr > 1e-3 and name == "\u202e<b>\0"', "columns": ["name", "half \ud83d"]}


@pytest.fixture
def views(tmp_path: Path) -> SavedDocuments:
    """Views in a file that is not there yet."""
    return State(Database(str(tmp_path / "new" / "x.sqlite"))).views


def test_what_is_saved_is_there_in_another_process(views: SavedDocuments, tmp_path: Path) -> None:
    kept = views.add("p", "  best <b>runs</b> \0\ud83d", BODY, user="bob")
    other = State(Database(str(tmp_path / "new" / "x.sqlite"))).views
    assert other.list("p") == (kept,)
    assert other.get("p", kept.id).body == BODY
    assert kept.title == "best <b>runs</b> ??"
    assert other.list("q") == ()
    assert State(Database(str(tmp_path / "new" / "x.sqlite"))).workspaces.list("p") == ()


def test_file_and_its_folder_are_private(views: SavedDocuments, tmp_path: Path) -> None:
    views.add("p", "a", {}, user="")
    folder = tmp_path / "new"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(one.stat().st_mode) for one in folder.iterdir()} == {0o600}


def test_two_who_change_the_same_do_not_both_win(views: SavedDocuments) -> None:
    kept = views.add("p", "mine", {"a": 1}, user="bob")
    changed = views.change("p", kept.id, {"body": {"a": 2}}, seen=kept.updated, user="amy")
    assert changed.updated > kept.updated
    with pytest.raises(BusyError, match=r"amy has changed 'mine' meanwhile"):
        views.change("p", kept.id, {"title": "yours"}, seen=kept.updated, user="bob")
    assert views.get("p", kept.id) == changed


def test_of_too_many_selections_the_oldest_goes(tmp_path: Path) -> None:
    state = State(Database(str(tmp_path / "x.sqlite")))
    first = state.selections.add("p", "0", {"runs": []}, user="")
    with state.selections._database.begin() as connection:
        text = (
            "INSERT INTO hpctrack_saved SELECT :id, project, kind, title, body, user, is_default,"
            " created, updated + 1 FROM hpctrack_saved WHERE id = :from"
        )
        for number in range(PER_PROJECT_MAX - 1):
            connection.exec_driver_sql(text, {"id": str(number), "from": first.id})
    last = state.selections.add("p", "last", {"runs": ["a"]}, user="")
    assert len(state.selections.list("p")) == PER_PROJECT_MAX
    assert state.selections.get("p", last.id) == last
    with pytest.raises(NotFoundError):
        state.selections.get("p", first.id)


def test_one_document_of_a_kind_is_the_default(views: SavedDocuments) -> None:
    first = views.add("p", "a", {}, user="", is_default=True)
    other = views.add("q", "a", {}, user="", is_default=True)
    second = views.add("p", "b", {}, user="")
    views.change("p", second.id, {"is_default": True}, seen=second.updated, user="")
    assert [one.is_default for one in views.list("p")] == [False, True]
    assert views.get("q", other.id).is_default
    third = views.add("p", "c", {}, user="", is_default=True)
    assert [one.id for one in views.list("p") if one.is_default] == [third.id]
    assert views.get("p", first.id).updated == first.updated


def test_what_is_deleted_is_gone(views: SavedDocuments) -> None:
    kept = views.add("p", "a", {}, user="")
    with pytest.raises(NotFoundError):
        views.delete("q", kept.id)
    assert views.delete("p", kept.id) == kept
    for work in (views.delete, views.get):
        with pytest.raises(NotFoundError):
            work("p", kept.id)


@pytest.mark.parametrize(
    ("title", "body"),
    [
        ("", {}), (" ", {}), (None, {}), ("x" * 201, {}), ("a", [1]), ("a", {"n": float("nan")}),
        ("a", {"x": "y" * BODY_MAX_BYTES}),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_refused(views: SavedDocuments, title: Any, body: Any) -> None:
    with pytest.raises(UsageError):
        views.add("p", title, body, user="")
    assert views.list("p") == ()


def test_a_project_has_a_bounded_number_of_them(views: SavedDocuments) -> None:
    kept = views.add("p", "a", {}, user="")
    rows = [{"id": str(n)} for n in range(PER_PROJECT_MAX)]
    with views._database.begin() as connection:
        text = (
            "INSERT INTO hpctrack_saved SELECT :id, project, kind, title, body, user, 0, 0, 0"
            " FROM hpctrack_saved WHERE id = :from"
        )
        for row in rows:
            connection.exec_driver_sql(text, {**row, "from": kept.id})
    with pytest.raises(UsageError, match="already"):
        views.add("p", "b", {}, user="")


def test_a_database_of_a_newer_version_is_not_touched(
    views: SavedDocuments, tmp_path: Path
) -> None:
    views.add("p", "a", {}, user="")
    with views._database.begin() as connection:
        connection.exec_driver_sql("UPDATE hpctrack_schema SET version = 99")
    with pytest.raises(StoreFormatError, match="schema 99"):
        State(Database(str(tmp_path / "new" / "x.sqlite"))).views.list("p")


def test_broken_and_forbidden_files_say_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "broken").write_bytes(b"no database" * 100)
    (tmp_path / "file").write_text("")
    for place in ("broken", "file/x.sqlite"):
        with pytest.raises(StoreError) as caught:
            State(Database(str(tmp_path / place))).views.list("p")
        assert "--database" in (caught.value.hint or "")
        assert str(tmp_path) not in caught.value.message
    with pytest.raises(UsageError):
        State(Database("nonsense://x")).views.list("p")
    with pytest.raises(UsageError):
        State(Database("://")).views.list("p")


def test_place_is_the_servers_folder_or_the_users(tmp_path: Path) -> None:
    names = {"XDG_STATE_HOME": str(tmp_path / "state")}
    store = tmp_path / "store"
    place = Path(find_database("", store, names))
    assert place.parent == tmp_path / "state" / "hpctrack"
    assert place != Path(find_database("", tmp_path / "other", names))
    (store / ".server").mkdir(parents=True)
    assert find_database("", store, names) == str(store / ".server" / "dashboard.sqlite")
    assert find_database("sqlite:///x", store, names) == "sqlite:///x"


@pytest.mark.parametrize(
    ("folder", "is_local"),
    [("/home/a", False), ("/home/my files/a", True), ("/tmp/x", True), ("/homes", True)],
)
def test_shared_file_systems_are_told_from_local_ones(folder: str, is_local: bool) -> None:
    mounts = (
        "root / ext4 rw 0 0\nnas:/h /home nfs4 rw 0 0\nt /tmp tmpfs rw 0 0\n"
        "d /home/my\\040files xfs rw 0 0\nshort\n"
    )
    assert is_local_folder(Path(folder), mounts) == is_local
    assert not is_local_folder(Path(folder), "")


def send(dashboard: Live, method: str, path: str, body: Any, *, mark: str = "1") -> tuple[int, Any]:
    """Send JSON as a script of ours does."""
    connection = http.client.HTTPConnection("127.0.0.1", dashboard.port, timeout=180)
    headers = {"Host": f"{HOST_NAME}:{dashboard.port}", "Authorization": f"Bearer {TOKEN}"}
    if mark:
        headers["X-Hpctrack"] = mark
    connection.request(method, path, json.dumps(body), headers)
    answer = connection.getresponse()
    found = (answer.status, json.loads(answer.read()))
    connection.close()
    return found


def test_views_are_saved_changed_and_deleted_over_http(
    tmp_path: Path, start_dashboard: Callable[..., Live]
) -> None:
    (tmp_path / "store" / "p").mkdir(parents=True)
    dashboard = start_dashboard(tmp_path / "store", database=str(tmp_path / "x.sqlite"))
    path = "/api/v1/projects/p/saved/view"
    status, _ = send(dashboard, "POST", path, {"title": "a", "body": {}}, mark="")
    assert status == 403, "another site cannot make a browser send this"
    status, kept = send(dashboard, "POST", path, {"title": HOSTILE[0], "body": BODY})
    assert (status, kept["title"], kept["body"]["filter"]) == (200, HOSTILE[0], BODY["filter"])
    one = f"{path}/{kept['id']}"
    status, changed = send(dashboard, "PUT", one, {"title": "b", "updated": kept["updated"]})
    assert (status, changed["title"]) == (200, "b")
    status, told = send(dashboard, "PUT", one, {"title": "c", "updated": kept["updated"]})
    assert (status, told["error"]) == (409, "busy")
    assert send(dashboard, "PUT", one, {"title": "c"})[0] == 400
    assert dashboard.get(path).json()["saved"] == [changed]
    assert send(dashboard, "DELETE", one, {})[0] == 200
    assert dashboard.get(one).status == 404
    assert dashboard.get("/api/v1/projects/none/saved/view").status == 404
    assert dashboard.get("/api/v1/projects/p/saved/nonsense").status == 404


def test_a_database_that_fails_makes_only_saving_fail(
    tmp_path: Path, start_dashboard: Callable[..., Live]
) -> None:
    (tmp_path / "store" / "p").mkdir(parents=True)
    (tmp_path / "file").write_text("")
    dashboard = start_dashboard(tmp_path / "store", database=str(tmp_path / "file" / "x"))
    assert dashboard.get("/p/p/runs").status == 200
    path = f"/api/v1/projects/p/saved/{SavedKind.VIEW}"
    status, told = send(dashboard, "POST", path, {"title": "a", "body": {}})
    assert status == 503
    assert "cannot be opened" in told["message"]


@pytest.mark.parametrize("kind", [SavedKind.VIEW, SavedKind.WORKSPACE])
def test_two_of_a_project_cannot_have_the_same_title(tmp_path: Path, kind: SavedKind) -> None:
    documents = State(Database(str(tmp_path / "x.sqlite"))).of(kind)
    one = documents.add("p", "Mine", {}, user="bob")
    documents.add("other", "Mine", {}, user="bob")
    two = documents.add("p", "Yours", {}, user="bob")
    for title in ("Mine", " mine "):
        with pytest.raises(UsageError, match=f"a {kind} called .* already"):
            documents.add("p", title, {}, user="amy")
        with pytest.raises(UsageError, match=f"a {kind} called .* already"):
            documents.change("p", two.id, {"title": title}, seen=two.updated, user="amy")
    changed = documents.change("p", one.id, {"title": "MINE"}, seen=one.updated, user="bob")
    assert [one.title for one in documents.list("p")] == ["MINE", "Yours"]
    documents.delete("p", changed.id)
    documents.add("p", "Mine", {}, user="amy")


def test_selections_need_no_titles_of_their_own(tmp_path: Path) -> None:
    selections = State(Database(str(tmp_path / "x.sqlite"))).selections
    for _ in range(2):
        selections.add("p", "picked", {"runs": ["a"]}, user="")
    assert len(selections.list("p")) == 2
