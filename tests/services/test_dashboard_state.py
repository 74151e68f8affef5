"""The dashboard's database on PostgreSQL: the same as on SQLite."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from hpctrack.errors import BusyError, StoreError
from hpctrack_server.data.state.database import Database
from hpctrack_server.data.state.saved import State
from tests.services.postgres import PASSWORD, Postgres, postgres

__all__ = ["postgres"]

pytestmark = [pytest.mark.postgres]

BODY = {"filter": 'name == "\u202e<b>\0"', "half": "\ud83d", "n": [1, 2.5, None]}


def test_documents_in_postgresql_are_those_of_sqlite(postgres: Postgres) -> None:
    url = postgres.make_database()
    state = State(Database(url))
    kept = state.views.add("p", "first \0\ud83d", BODY, user="bob", is_default=True)
    assert State(Database(url)).views.list("p") == (kept,)
    changed = state.views.change("p", kept.id, {"title": "b"}, seen=kept.updated, user="amy")
    with pytest.raises(BusyError, match="amy"):
        state.views.change("p", kept.id, {"title": "c"}, seen=kept.updated, user="bob")
    other = state.views.add("p", "other", {}, user="", is_default=True)
    assert [one.is_default for one in state.views.list("p")] == [False, True]
    assert state.workspaces.list("p") == ()
    assert state.views.delete("p", changed.id).body == BODY
    assert [one.id for one in state.views.list("p")] == [other.id]
    state.close()


def test_processes_that_start_at_once_all_get_the_tables(postgres: Postgres) -> None:
    url = postgres.make_database()
    failed: list[Any] = []

    def work(number: int) -> None:
        try:
            State(Database(url)).views.add("p", str(number), {}, user="")
        except Exception as error:  # noqa: BLE001 - told below
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert not failed
    assert len(State(Database(url)).views.list("p")) == 6


def test_a_server_that_was_restarted_is_found_again(postgres: Postgres) -> None:
    state = State(Database(postgres.make_database()))
    state.views.add("p", "a", {}, user="")
    postgres.stop()
    with pytest.raises(StoreError, match="database") as caught:
        state.views.list("p")
    assert PASSWORD not in str(caught.value)
    postgres.start_again()
    assert [one.title for one in state.views.list("p")] == ["a"]
    state.close()
