"""What all pages of a run share: its head, its tabs, and what happens if it cannot be read."""

from __future__ import annotations

from typing import Any, ClassVar

from hpctrack_server.data.frames import BrokenFrame, RunFrame
from hpctrack_server.data.run.damage import check_run, list_left
from hpctrack_server.pages.guarded import Guarded


class RunTab(Guarded):
    """A page of one run; subclasses have ``tab`` and ``collect``.

    ``templates/run/frame.html`` draws the head and the tabs; a subclass's template extends it.
    """

    tab: ClassVar[str]
    """The page's name in the registry."""
    template: ClassVar[str]

    async def get(self, project: str, run_id: str) -> None:
        """Answer with the page; what cannot be read is told in its place."""
        run = await self.read(self.services.provider.run, project, run_id)
        if isinstance(run, BrokenFrame):
            files = await self.read(list_left, self.services.provider, project, run_id)
            self.show(
                "run/broken.html",
                project=project,
                current="runs",
                run=run,
                files=files,
            )
            return
        record = run.record
        self.show(
            self.template,
            project=project,
            current="runs",
            tab=self.tab,
            run=run,
            record=record,
            name=record.name or record.id,
            **await self.collect(project, run),
        )

    async def collect(self, project: str, run: RunFrame) -> dict[str, Any]:
        """Return what the template shows beside the head."""
        del project, run
        return {}


class CheckApi(Guarded):
    """``/api/v1/runs/<project>/<id>/check``: what is whole and what is damaged."""

    async def get(self, project: str, run_id: str) -> None:
        """Answer with the findings; nothing is changed."""
        self.answer(await self.calculate(check_run, self.services.provider, project, run_id))
