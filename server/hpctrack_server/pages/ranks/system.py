"""``/p/<project>/runs/<id>/system``: what the run's machines did, and the API behind it."""

from __future__ import annotations

from typing import Any

from hpctrack_server.data.frames import RunFrame
from hpctrack_server.data.matrix.plane import How
from hpctrack_server.data.matrix.telemetry import SensorQuery
from hpctrack_server.pages.ranks.asking import Asked
from hpctrack_server.pages.run.frame import RunTab

PIXELS_MAX = 4096


class SystemTab(RunTab):
    """Telemetry of nodes and devices."""

    tab = "system"
    template = "ranks/system.html"

    async def collect(self, project: str, run: RunFrame) -> dict[str, Any]:
        """Return nothing: the page asks for what it shows, which may take longer than a page."""
        del project, run
        return {}


class SystemApi(Asked):
    """``system``: groups of sensors, hosts, devices, marks."""

    async def get(self, project: str, run_id: str) -> None:
        """Answer with what was sampled."""
        self.answer(await self.calculate(self.services.ranks.system, project, run_id))


class SensorApi(Asked):
    """``system/sensor``: the samples of one sensor."""

    async def get(self, project: str, run_id: str) -> None:
        """Answer with bytes: lines of a few devices, or strips of many."""
        query = SensorQuery(
            name=self.name("name"),
            host=self.get_query_argument("host", "", strip=False),
            device=self.get_query_argument("device", "", strip=False),
            start_s=self.number("x0"),
            stop_s=self.number("x1"),
            width=self.whole("width", 800, low=1, high=PIXELS_MAX),
            height=self.whole("height", 160, low=1, high=PIXELS_MAX),
            how=self.choice(How, "how", How.MEAN),
        )
        body = await self.calculate(self.services.ranks.sensor, project, run_id, query)
        self.send_arrays(body)


class EnergyApi(Asked):
    """``system/energy``: what was used."""

    async def get(self, project: str, run_id: str) -> None:
        """Answer with joules by host, and what of them is not known."""
        self.answer(await self.calculate(self.services.ranks.energy, project, run_id))
