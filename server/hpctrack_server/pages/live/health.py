"""``/health``: how the store is."""

from __future__ import annotations

from hpctrack.core import __version__
from hpctrack_server.data.live.health import SYNCS_DAYS, read_health
from hpctrack_server.pages.guarded import Guarded


class HealthPage(Guarded):
    """Sizes, what cannot be read and why, and who has pushed lately."""

    async def get(self) -> None:
        """Answer with the page."""
        services = self.services
        store = services.provider.path
        health = await self.calculate(
            read_health, store, services.index, clock=services.clock
        )  # not on the thread of the pages: a large store takes two seconds
        self.show(
            "live/health.html",
            current="health",
            health=health,
            store_name=store.name,
            broken=sum(len(one.broken) + one.more_broken for one in health.projects),
            days=SYNCS_DAYS,
            version=__version__,
        )
