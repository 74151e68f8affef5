"""What ranks have printed, on the page's side: laid out, paged, searched, coloured."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from hpctrack.errors import HpctrackError, UsageError
from hpctrack.store.console import ConsoleLine
from hpctrack.store.schema import EventKind, Place
from hpctrack.store.stored_run import StoredRun
from hpctrack_server.components.console.ansi import (
    PLAIN,
    change_style,
    cut_spans,
    find_nearest,
    indexed_colour,
    parse_spans,
)
from hpctrack_server.data.run.console_query import ConsoleQuery
from hpctrack_server.data.run.console_search import Pattern, Search
from hpctrack_server.data.run.console_spool import ConsoleSpool
from hpctrack_server.data.run.consoles import Consoles, pick_hit
from tests.programs import wait_for
from tests.stores import START_S, NodeWriter
from tests.unit.server.conftest import Live, serve


def spool_of(*lines: tuple[float, int, str, str]) -> ConsoleSpool:
    made = ConsoleSpool()
    for wall_s, rank, stream, text in lines:
        made.add(ConsoleLine(wall_s, rank, stream, text))
    return made


def texts(spool: ConsoleSpool, rank: int | None = None, stream: str = "") -> list[str]:
    return [one.text for one in spool.rows(spool.order(rank, stream), 0, 100)]


def test_spool_shows_each_view_in_the_order_of_time() -> None:
    spool = spool_of(
        (5.0, 0, "stdout", "c"), (6.0, 0, "stderr", "d"), (4.0, 1, "stdout", "b"),
        (4.0, 1, "stderr", "b again"), (1.0, 2, "stdout", "a"),
    )  # fmt: skip
    assert texts(spool) == ["a", "b", "b again", "c", "d"]
    assert texts(spool, 1) == ["b", "b again"]
    assert texts(spool, None, "stderr") == ["b again", "d"]
    assert texts(spool, 7) == []
    assert spool.find_time(spool.order(None, ""), 4.5) == 3
    assert spool.ranks() == [0, 1, 2]


def test_progress_bar_is_shown_as_it_was_at_its_end() -> None:
    spool = spool_of(
        (1.0, 0, "stderr", " 10%|#   |\r 50%|##  |\r100%|####|"), (2.0, 0, "stdout", "x\r")
    )
    bar, plain = spool.rows(None, 0, 2)
    assert (bar.text, bar.rewrites) == ("100%|####|", 2)
    assert (plain.text, plain.rewrites) == ("x", 0)


def test_colours_last_until_they_are_reset_as_in_a_terminal() -> None:
    spool = spool_of(
        (1.0, 0, "stdout", "\x1b[31mred"), (1.0, 1, "stdout", "other rank"),
        (2.0, 0, "stdout", "still red\x1b[0m"), (3.0, 0, "stdout", "plain"),
    )  # fmt: skip
    found = [parse_spans(one.styled or one.text) for one in spool.rows(None, 0, 4)]
    assert found == [
        [("red", "t-f1")], [("other rank", "")], [("still red", "t-f1")], [("plain", "")],
    ]  # fmt: skip


def test_missing_bytes_are_said_in_their_place() -> None:
    spool = ConsoleSpool()
    spool.add(ConsoleLine(1.0, 0, "stdout", "", 1234))
    (line,) = spool.rows(None, 0, 1)
    assert "1,234 bytes were not recorded" in line.text
    assert line.is_missing


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("plain", [("plain", "")]),
        ("\x1b[1;31mbad\x1b[0m news", [("bad", "t-bold t-f1"), (" news", "")]),
        ("\x1b[38;5;208mx", [("x", "t-f3")]),
        ("\x1b[48;2;20;40;160my", [("y", "t-b4")]),
        ("\x1b[38:2:255:0:0mz", [("z", "t-f9")]),
        ("\x1b[7mi\x1b[27mn", [("i", "t-inverse"), ("n", "")]),
        ("\x1b[91;44;7mv", [("v", "t-f4 t-b9")]),
        ("\x1b[38;5mcut", [("cut", "")]),
        ("\x1b[999999999mlarge", [("large", "")]),
        ("\x1b[31ma\x1b[39mb", [("a", "t-f1"), ("b", "")]),
        ("\x1b[31m\x1b[0m", []),
        ("<b>\x07\x1b]0;title\x07", [("<b>]0;title", "")]),
    ],
)
def test_colour_sequences_become_classes_and_nothing_else(
    text: str, spans: list[tuple[str, str]]
) -> None:
    assert parse_spans(text) == spans


def test_all_256_colours_have_a_nearest_of_the_sixteen() -> None:
    assert [find_nearest(*indexed_colour(number)) for number in range(16)] == [*range(16)]
    assert all(0 <= find_nearest(*indexed_colour(number)) < 16 for number in range(300))
    assert change_style(PLAIN, "").classes == ""
    assert cut_spans([("abc", "x"), ("def", "")], 4) == [("abc", "x"), ("d", "")]


def test_search_goes_on_where_it_stopped_and_when_lines_are_added() -> None:
    spool = spool_of(*((float(n), n % 3, "stdout", f"line {n}") for n in range(1000)))
    search = Search(Pattern("LINE 99"))
    assert search.advance(spool, budget_s=10)
    assert search.rows(None, len(spool)).tolist() == [99, *range(990, 1000)]
    order = spool.order(0, "")
    assert search.rows(order, len(spool)).tolist() == [33, 330, 331, 332, 333]
    spool.add(ConsoleLine(2000.0, 0, "stdout", "line 990 again"))
    assert search.advance(spool, budget_s=10)
    assert search.rows(None, len(spool))[-1] == 1000


@pytest.mark.parametrize(
    ("pattern", "line", "places"),
    [
        (Pattern("b"), "abAB", [(1, 2), (3, 4)]),
        (Pattern("b", has_case=True), "abAB", [(1, 2)]),
        (Pattern("a.c"), "abc a.c", [(4, 7)]),
        (Pattern("ä 🚀"), "x ä 🚀 Ä 🚀", [(2, 5), (6, 9)]),
        (Pattern(r"(\d+)-(\d+)", is_regex=True), "1-2 33-44", [(0, 3), (4, 9)]),
        (Pattern("^a", is_regex=True), "aaa", [(0, 1)]),
        (Pattern("x*", is_regex=True), "bbb", []),
        (Pattern("(a+)+$", is_regex=True), "a" * 5000 + "!", []),
    ],
)
def test_hits_are_marked_where_they_are(
    pattern: Pattern, line: str, places: list[tuple[int, int]]
) -> None:
    pattern.check()
    assert pattern.find_places(["", line])[1] == places


def test_pattern_that_is_none_says_why() -> None:
    with pytest.raises(UsageError, match="no regular expression"):
        Pattern("(", is_regex=True).check()
    Pattern("(").check()


def test_next_hit_goes_on_around_the_ends() -> None:

    rows = np.array([3, 7, 9])
    assert pick_hit(rows, "next", 3) == (7, 2)
    assert pick_hit(rows, "next", 9) == (3, 1)
    assert pick_hit(rows, "nearest", 7) == (7, 2)
    assert pick_hit(rows, "previous", 3) == (9, 3)
    assert pick_hit(rows, "last", 0) == (9, 3)
    assert pick_hit(rows[:0], "next", 0) == (None, None)


@pytest.fixture(scope="module")
def loud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[NodeWriter, Live]]:
    """Serve a run of two ranks that has printed, and still does."""
    writer = NodeWriter(tmp_path_factory.mktemp("printing"), run="loud")
    for rank in range(2):
        writer.start(rank, size=2, local_size=2)
    say(writer, 0, b"one\n\x1b[31mtwo <b>\x1b[0m\nhalf", 1.0)
    say(writer, 1, b"from rank 1\n", 2.0)
    say(writer, 1, b"warned \xff\n", 3.0, kind=EventKind.STDERR)
    writer.flush()
    live = serve(writer.store, stale_after_s=1e12)
    yield writer, live
    live.stop()
    writer.close()


def say(
    writer: NodeWriter, rank: int, body: bytes, at_s: float, *, kind: EventKind = EventKind.STDOUT
) -> None:
    place = Place.TEXT
    writer.file.add_event(kind, body, wall_s=START_S + at_s, rank=rank, session=rank, place=place)


def test_console_api_pages_filters_searches_and_follows(loud: tuple[NodeWriter, Live]) -> None:
    writer, dashboard = loud

    def ask(query: str = "") -> dict[str, Any]:
        found = dashboard.get(f"/api/v1/runs/p/loud/console?{query}")
        assert found.status == 200, found.text
        return dict(found.json())

    def shown(query: str = "") -> list[str]:
        lines = ask(query)["lines"]
        return [one.get("text") or "".join(text for text, _ in one["spans"]) for one in lines]

    assert shown() == ["one", "two <b>", "from rank 1", "warned \ufffd"]
    assert shown("rank=1") == ["from rank 1", "warned \ufffd"]
    assert shown("stream=stderr") == ["warned \ufffd"]
    assert shown("from=1&count=2") == ["two <b>", "from rank 1"]
    assert shown("from=-1") == ["warned \ufffd"]
    assert shown(f"time={START_S + 2}") == ["from rank 1", "warned \ufffd"]
    whole = ask()
    assert (whole["total"], whole["complete"], whole["ranks"]) == (4, True, [0, 1])
    assert whole["open"] == [{"rank": 0, "stream": "stdout", "spans": [["half", ""]]}]
    found = ask(f"search={quote('RANK')}&find=next&count=1")
    assert (found["hits"], found["hit"], found["ordinal"]) == (1, 2, 1)
    text = dashboard.get("/api/v1/runs/p/loud/console.txt")
    assert text.text == "[0] one\n[0] two <b>\n[1] from rank 1\n[1] warned \ufffd\n[0] half\n"
    assert text.headers["Content-Disposition"].startswith('attachment; filename="loud.txt"')
    assert "sandbox" in text.headers["Content-Security-Policy"]
    half = ask("search=(&regex=1")
    assert "no regular expression" in half["problem"]
    assert len(half["lines"]) == 4, "the lines stay while somebody types"
    one = dashboard.get("/api/v1/runs/p/loud/console.txt?rank=1&stream=stdout")
    assert one.text == "from rank 1\n"

    say(writer, 0, b" a line\n", 4.0)
    writer.flush()
    wait_for(lambda: ask()["total"] == 5)
    assert shown()[2] == "half a line", "it began then"
    assert ask()["open"] == []


@pytest.mark.parametrize(
    "query",
    ["rank=x", "from=1e3", "stream=both", "find=somewhere", "time=soon"],
)
def test_console_api_says_what_cannot_be_understood(dashboard: Live, query: str) -> None:
    answer = dashboard.get(f"/api/v1/runs/p/sealed/console?{query}")
    assert answer.status == 400, answer.text
    assert answer.json()["message"]


def test_console_of_a_broken_run_is_an_error_and_of_a_silent_one_empty(dashboard: Live) -> None:
    assert dashboard.get("/api/v1/runs/p/broken/console").status == 409
    silent = dashboard.get("/api/v1/runs/p/sealed/console").json()
    assert (silent["total"], silent["lines"], silent["complete"]) == (0, [], True)


def test_console_that_failed_half_way_is_read_anew(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path, run="loud")
    writer.start(0)
    say(writer, 0, b"one\ntwo\n", 1.0)
    folder = writer.close().parent
    consoles = Consoles(lambda project, run: StoredRun(tmp_path / project / run))
    query = ConsoleQuery()
    (path,) = folder.glob("node-*.h5")
    whole = path.read_bytes()
    path.write_bytes(whole[:200])
    with pytest.raises(HpctrackError):
        consoles.page("p", "loud", query)
    path.write_bytes(whole)
    again = consoles.page("p", "loud", query)
    assert (again.total, again.is_complete) == (2, True)
    consoles.close()
