"""``/p/<project>/sweeps``: the sweeps of a project."""

from __future__ import annotations

from hpctrack_server.components.sweep_view import describe_state, make_segments
from hpctrack_server.pages.guarded import Guarded


class SweepsPage(Guarded):
    """A table; a sweep that cannot be read is told of in its row."""

    async def get(self, project: str) -> None:
        """Answer with the page."""
        rows = await self.services.sweeping.call(self.services.sweeps.rows, project)
        self.show(
            "sweeps/sweeps.html",
            project=project,
            current="sweeps",
            rows=rows,
            make_segments=make_segments,
            describe_state=describe_state,
        )
