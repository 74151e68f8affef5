"""``/p/<project>/runs/<id>/console``: what the ranks have printed, and its API."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from tornado.iostream import StreamClosedError

from hpctrack.errors import UsageError
from hpctrack.store.console import ConsoleLine, collapsed, show_line
from hpctrack.store.console_line import make_plain_line
from hpctrack_server.components.console.ansi import Span, cut_spans, parse_spans
from hpctrack_server.data.frames import RunFrame
from hpctrack_server.data.run.console_query import ConsolePage, ConsoleQuery
from hpctrack_server.data.run.console_search import Pattern
from hpctrack_server.data.run.console_spool import SpooledLine
from hpctrack_server.pages.guarded import Guarded
from hpctrack_server.pages.run.files import describe_download
from hpctrack_server.pages.run.frame import RunTab

STREAMS = ("", "stdout", "stderr")
FINDS = ("", "next", "previous", "nearest", "first", "last")
SELECT_MAX_RANKS = 256

TEXT_MAX_CHARS = 2000
"""Of one line so much is sent; the download has all of it."""

DOWNLOAD_BATCH = 5000
"""Lines between two looks of others at the thread that reads."""


class ConsoleTab(RunTab):
    """What the ranks have printed; the lines are fetched by the page's script."""

    tab = "console"
    template = "console/console.html"

    async def collect(self, project: str, run: RunFrame) -> dict[str, Any]:
        """Return what the controls need."""
        del project, run
        return {"select_max_ranks": SELECT_MAX_RANKS}


class ConsoleApi(Guarded):
    """``/api/v1/runs/<project>/<id>/console``: some lines of a console."""

    async def get(self, project: str, run_id: str) -> None:
        """Answer with lines, and with what was found."""
        query = self._parse()
        page = await self.calculate(self.services.consoles.page, project, run_id, query)
        # Of two thousand coloured lines: arithmetic has no place on the event loop.
        self.answer(await self.calculate(describe_page, page))

    def _parse(self) -> ConsoleQuery:
        text = self.get_query_argument("search", "", strip=False) or ""
        pattern = None
        if text:
            pattern = Pattern(
                text,
                is_regex=self.query("regex") == "1",
                has_case=self.query("case") == "1",
            )
        at = self.query("time")
        return ConsoleQuery(
            rank=read_rank(self.query("rank")),
            stream=_one_of(self.query("stream"), STREAMS, "stream"),
            start=_whole(self.query("from", "0"), "from"),
            count=_whole(self.query("count", "200"), "count"),
            wall_s=_moment(at) if at else None,
            pattern=pattern,
            find=_one_of(self.query("find"), FINDS, "find"),
        )


class ConsoleText(Guarded):
    """``/api/v1/runs/<project>/<id>/console.txt``: all of a console, as text."""

    async def get(self, project: str, run_id: str) -> None:
        """Answer with the lines, a batch at a time, however many there are."""
        rank = read_rank(self.query("rank"))
        stream = _one_of(self.query("stream"), STREAMS, "stream")
        is_labelled = rank is None
        size = (await self.read(self.services.provider.whole_run, project, run_id)).record.size
        lines = self.services.consoles.iter_text(project, run_id, rank, stream)
        name = f"{run_id}-rank-{rank}.txt" if rank is not None else f"{run_id}.txt"
        headers = {**describe_download(name), "Content-Type": "text/plain; charset=utf-8"}
        batch = await self.calculate(_take_text, lines, is_labelled=is_labelled, size=size)
        for key, value in headers.items():
            self.set_header(key, value)
        try:
            while batch:
                self.write(batch)
                await self.flush()
                if self.request.method == "HEAD":
                    return
                batch = await self.calculate(_take_text, lines, is_labelled=is_labelled, size=size)
        except StreamClosedError:
            return
        finally:
            await self.calculate(lines.close)  # type: ignore[attr-defined]


def _take_text(lines: Iterator[ConsoleLine], *, is_labelled: bool, size: int) -> bytes:
    """Return the next lines as text: without colours, of progress bars what was seen last."""
    width = len(str(max(size - 1, 0)))
    found = []
    for one in islice(lines, DOWNLOAD_BATCH):
        label = f"[{one.rank:>{width}}] " if is_labelled and size > 1 else ""
        text = show_line(one) if one.missing_bytes else make_plain_line(collapsed(one).text)
        found.append(f"{label}{text}\n")
    return "".join(found).encode("utf-8", "replace")


def describe_page(page: ConsolePage) -> dict[str, Any]:
    """Return a page as JSON."""
    places: Sequence[Any] = page.places or [()] * len(page.lines)
    return {
        "from": page.start,
        "total": page.total,
        "complete": page.is_complete,
        "lines": [describe_line(*one) for one in zip(page.lines, places, strict=True)],
        "open": [
            {"rank": one.rank, "stream": one.stream, "spans": _spans(one.text)}
            for one in page.open_lines
        ],
        "ranks": list(page.ranks),
        "hits": page.hits,
        "searched": page.is_searched,
        "hit": page.hit,
        "ordinal": page.ordinal,
        "began_wall_s": page.began_wall_s,
        "ended_wall_s": page.ended_wall_s,
        "problem": page.problem,
        "unreadable": page.unreadable,
    }


def describe_line(line: SpooledLine, places: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Return a line as JSON; what it does not have is left out."""
    found: dict[str, Any] = {"wall_s": line.wall_s, "rank": line.rank, "stream": line.stream}
    if line.styled:
        found["spans"] = _spans(line.styled)
    else:
        found["text"] = line.text[:TEXT_MAX_CHARS]
    hidden = len(line.text) - TEXT_MAX_CHARS
    more = {
        "rewrites": line.rewrites,
        "hidden": max(hidden, 0),
        "missing": line.is_missing,
        "damaged": line.is_damaged,
        "places": [one for one in places if one[0] < TEXT_MAX_CHARS],
    }
    return {**found, **{key: value for key, value in more.items() if value}}


def _spans(text: str) -> list[Span]:
    return cut_spans(parse_spans(text), TEXT_MAX_CHARS)


def read_rank(text: str) -> int | None:
    """Return a rank's number; None for ``all`` or nothing.

    Raises
    ------
    UsageError
        It is none.
    """
    return None if text in {"", "all"} else _whole(text, "rank")


def _whole(text: str, name: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,12}", text):
        raise UsageError(f"the parameter {name!r} is {text[:40]!r}, not a whole number")
    return int(text)


def _one_of(text: str, known: Sequence[str], name: str) -> str:
    if text not in known:
        raise UsageError(
            f"the parameter {name!r} is {text[:40]!r}", hint=f"use one of {', '.join(known[1:])}"
        )
    return text


def _moment(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        try:
            found = dt.datetime.fromisoformat(text).timestamp()
        except ValueError:
            found = math.nan
    if not math.isfinite(found):
        raise UsageError(
            f"the parameter 'time' is {text[:40]!r}",
            hint="give seconds since 1970, or a time such as 2026-05-02T11:51:00+00:00",
        )
    return found
