"""``/``: the projects of the store."""

from __future__ import annotations

from hpctrack_server.pages.guarded import Guarded


class ProjectsPage(Guarded):
    """All projects, the most recently active first."""

    async def get(self) -> None:
        """Answer with the page."""
        provider = self.services.provider
        self.show(
            "home/projects.html",
            projects=await self.read(provider.projects),
            store_name=provider.path.name,
            current="projects",
        )
