"""``/p/<project>/runs/<id>/media``: what a run has logged that is no number."""

from __future__ import annotations

from typing import Any

from hpctrack.errors import UsageError
from hpctrack_server.data.frames import RunFrame
from hpctrack_server.data.media.catalogue import describe_step, list_keys
from hpctrack_server.data.media.library import Shelf
from hpctrack_server.pages.guarded import Guarded
from hpctrack_server.pages.run.frame import RunTab


class MediaTab(RunTab):
    """Pictures, sounds, tables, histograms, shapes: by key, with a slider over the steps."""

    tab = "media"
    template = "media/media.html"

    async def collect(self, project: str, run: RunFrame) -> dict[str, Any]:
        """Return how many keys there are; the page fetches what is behind them."""
        library = self.services.media
        keys = await self.read(
            library.ask, lambda shelf: list_keys(shelf.items), project, run.record.id
        )
        return {"keys": keys, "types": sorted({one["type"] for one in keys})}


class MediaApi(Guarded):
    """What every answer about media needs."""

    async def ask(self, work: Any, project: str, run_id: str) -> Any:
        """Return what a function says of the run's media."""
        return await self.read(self.services.media.ask, work, project, run_id)

    def key(self) -> str:
        """Return the key that is asked for, with the blanks at its ends."""
        key = self.get_query_argument("key", "", strip=False)
        if not key:
            raise UsageError("the parameter 'key' is missing")
        return key

    def number(self, name: str, default: int | None = None) -> int | None:
        """Return a whole number of the address.

        Raises
        ------
        UsageError
            It is none.
        """
        text = self.query(name)
        if not text:
            return default
        try:
            return int(text)
        except ValueError:
            raise UsageError(f"the parameter {name!r} is {text[:40]!r}, not a number") from None


class KeysApi(MediaApi):
    """``/api/v1/runs/<project>/<id>/media``: the keys, with their types, steps and ranks."""

    async def get(self, project: str, run_id: str) -> None:
        """Answer with the keys."""
        keys = await self.ask(lambda shelf: list_keys(shelf.items), project, run_id)
        self.answer({"keys": keys})


class StepApi(MediaApi):
    """``.../media/at``: what was logged under a key at a step, or last before it."""

    async def get(self, project: str, run_id: str) -> None:
        """Answer with the items, without their bytes."""
        key, step, rank = self.key(), self.number("step", 0), self.number("rank")

        def work(shelf: Shelf) -> dict[str, Any]:
            return describe_step(shelf.of(key), step or 0, rank)

        self.answer(await self.ask(work, project, run_id))
