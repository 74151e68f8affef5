"""``/p/<project>/runs``: the table of a project's runs."""

from __future__ import annotations

from hpctrack_server.components.run_table import STATES, TableQuery, make_run_table
from hpctrack_server.pages.guarded import Guarded


class RunsPage(Guarded):
    """Runs, searched, filtered, sorted and paged by the address."""

    async def get(self, project: str) -> None:
        """Answer with the page."""
        provider = self.services.provider
        frame = await self.read(provider.runs, project)
        arguments = {name: self.query(name) for name in ("q", "state", "sort", "dir", "page")}
        query = TableQuery.parse(arguments)
        self.show(
            "runs/table.html",
            project=project,
            current="runs",
            query=query,
            states=STATES,
            table=make_run_table([one.row() for one in frame.runs], query),
            broken=frame.broken,
            running=sum(one.is_live for one in frame.runs),
            version=frame.version,
            store_name=provider.path.name,
        )
