"""``/api/v1/runs/<project>/<id>/matrix|cell|spread|stragglers|nodes``: all ranks at once."""

from __future__ import annotations

from hpctrack.errors import UsageError
from hpctrack_server.data.matrix.cell import CellQuery
from hpctrack_server.data.matrix.numbers import Sort
from hpctrack_server.data.matrix.picture import Wanted
from hpctrack_server.data.matrix.plane import How
from hpctrack_server.pages.ranks.asking import Asked

PIXELS_MAX = 4096
RANK_MAX = 2**32
RANKS_MAX = 64


class Windowed(Asked):
    """A request for a window of a metric."""

    def wanted(self) -> Wanted:
        """Return the window that the address names."""
        last = self.number("r1")
        return Wanted(
            how=self.choice(How, "how", How.MAX),
            start=self.number("x0"),
            stop=self.number("x1"),
            first=self.whole("r0", 0, low=0, high=RANK_MAX),
            last=None if last is None else max(1, int(last)),
            width=self.whole("width", 1000, low=1, high=PIXELS_MAX),
            height=self.whole("height", 512, low=1, high=PIXELS_MAX),
            low=self.number("low"),
            high=self.number("high"),
        )


class MatrixApi(Windowed):
    """``matrix``: a window of ranks x steps, reduced to pixels."""

    async def get(self, project: str, run_id: str) -> None:
        """Answer with bytes: codes of colours, and what the browser needs to name them."""
        body = await self.calculate(
            self.services.ranks.picture,
            project,
            run_id,
            self.name("metric"),
            self.choice(Sort, "sort", Sort.RANK),
            self.wanted(),
        )
        self.send_arrays(body)


class SpreadApi(Windowed):
    """``spread``: bands over the ranks."""

    async def get(self, project: str, run_id: str) -> None:
        """Answer with bytes: lowest, 5 %, median, 95 % and highest of each pixel column."""
        body = await self.calculate(
            self.services.ranks.spread, project, run_id, self.name("metric"), self.wanted()
        )
        self.send_arrays(body)


class CellApi(Asked):
    """``cell``: what stands behind a pixel."""

    async def get(self, project: str, run_id: str) -> None:
        """Answer with the exact value, where it is, and percentiles of all ranks at its step."""
        texts = [one for one in self.name("ranks").split(",") if one][:RANKS_MAX]
        if not all(one.isdecimal() for one in texts):
            raise UsageError("the parameter 'ranks' is no list of numbers", hint="such as 4,5")
        start, stop = self.number("x0"), self.number("x1")
        if start is None:
            raise UsageError("the parameter 'x0' is missing", hint="a step")
        begin = int(start)
        end = begin + 1 if stop is None else max(begin + 1, int(stop))
        query = CellQuery(
            ranks=tuple(int(one) for one in texts),
            start=begin,
            stop=end,
            how=self.choice(How, "how", How.MAX),
        )
        found = await self.calculate(
            self.services.ranks.cell, project, run_id, self.name("metric"), query
        )
        self.answer(found)


class StragglersApi(Asked):
    """``stragglers``: the verdict, see `hpctrack.store.stragglers`."""

    async def get(self, project: str, run_id: str) -> None:
        """Answer with who is slow, where, since when, how sure that is and what it cost."""
        found = await self.calculate(
            self.services.ranks.stragglers,
            project,
            run_id,
            self.name("metric"),
            higher_is_better=self.query("better") == "higher",
        )
        self.answer(found)


class NodesApi(Asked):
    """``nodes``: all nodes with their ranks."""

    async def get(self, project: str, run_id: str) -> None:
        """Answer with hosts, ranks, states and, of a metric, each rank's mean."""
        metric = self.get_query_argument("metric", "", strip=False)
        found = await self.calculate(self.services.ranks.nodes, project, run_id, metric)
        self.answer(found)
