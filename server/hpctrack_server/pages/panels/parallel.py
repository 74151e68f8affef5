"""``/p/<project>/parallel``: parallel coordinates of a project's runs."""

from __future__ import annotations

import json
from dataclasses import asdict

from hpctrack_server.components.text import format_count
from hpctrack_server.pages.guarded import Guarded
from hpctrack_server.pages.modules import load_modules


class ParallelPage(Guarded):
    """The page; which runs, axes, brushes and colours is in the address, and for the browser."""

    async def get(self, project: str) -> None:
        """Answer with the page."""
        version = await self.read(self.services.index.version, project)
        columns = await self.read(self.services.index.columns, project)
        self.show(
            "panels/parallel.html",
            project=project,
            current="parallel",
            version=version,
            # ASCII: a key may hold half a surrogate pair, which no page can.
            has_columns=any(one.count for one in columns),
            modules=load_modules("panels/parallel/page.js"),
            narrowed=self._describe_selection(),
            columns=json.dumps([asdict(one) for one in columns]),
        )

    def _describe_selection(self) -> str:
        """Return which runs the address narrows the page to; empty for all."""
        runs = [one for one in self.query("runs").split(",") if one]
        parts = [format_count(len(runs), "run") + " of the address"] if runs else []
        parts += [self.query("filter"), self.query("search") and f"~ {self.query('search')}"]
        return " and ".join(one for one in parts if one)
