"""``/api/v1/projects/<project>/sweeps``: sweeps for programs, and what is asked of them."""

from __future__ import annotations

import dataclasses
from typing import Any

from hpctrack.errors import UsageError
from hpctrack_server.pages.guarded import Guarded

IN_COLUMNS = frozenset({"values", "parameters", "metrics", "importance"})
"""What ``parallel`` has as columns already; importance has an address of its own."""


class SweepsApi(Guarded):
    """``/api/v1/projects/<project>/sweeps``."""

    async def get(self, project: str) -> None:
        """Answer with the sweeps, newest first, and with those that cannot be read."""
        rows = await self.services.sweeping.call(self.services.sweeps.rows, project)
        self.answer({"sweeps": [dataclasses.asdict(one) for one in rows]})


class SweepApi(Guarded):
    """``/api/v1/projects/<project>/sweeps/<id>``."""

    async def get(self, project: str, sweep_id: str) -> None:
        """Answer with all that the page draws."""
        found = await self.services.sweeping.call(self.services.sweeps.details, project, sweep_id)
        told = {key: value for key, value in found.items() if key not in IN_COLUMNS}
        self.answer({**told, "asking": dataclasses.asdict(found["asking"])})


class SweepImportance(Guarded):
    """``/api/v1/projects/<project>/sweeps/<id>/importance``."""

    async def get(self, project: str, sweep_id: str) -> None:
        """Answer with which parameters matter, or why that cannot be said."""
        sweeps = self.services.sweeps
        self.answer(await self.services.sweeping.call(sweeps.importance, project, sweep_id))


class SweepAsk(Guarded):
    """``/api/v1/projects/<project>/sweeps/<id>/requests``: ``{"ask": "pause", "seen": "run"}``."""

    async def post(self, project: str, sweep_id: str) -> None:
        """Ask, and answer with how far that is."""
        body = self.body()
        word, seen = body.get("ask"), body.get("seen", "")
        if not isinstance(word, str) or not isinstance(seen, str):
            raise UsageError("nothing is asked for", hint='send {"ask": "pause"}')
        asked: Any = await self.services.sweeping.call(
            self.services.sweeps.ask, project, sweep_id, word, seen=seen, who=self.user
        )
        self.answer(dataclasses.asdict(asked))
