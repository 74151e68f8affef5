"""``/api/v1/projects/<project>/saved/<kind>``: views, workspaces, selections of runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from hpctrack.errors import NotFoundError, UsageError
from hpctrack_server.data.state.saved import Saved, SavedDocuments, SavedKind
from hpctrack_server.pages.guarded import Guarded

CHANGEABLE = frozenset({"title", "body", "is_default"})


class SavedHandler(Guarded):
    """What the two addresses share."""

    async def find_documents(self, project: str, kind: str) -> SavedDocuments:
        """Return the documents of a kind.

        Raises
        ------
        NotFoundError
            There is no such project or kind.
        """
        if kind not in set(SavedKind):
            raise NotFoundError(f"nothing is saved as {kind[:40]!r}", hint=", ".join(SavedKind))
        if project not in await self.read(self.services.provider.project_names):
            raise NotFoundError(f"no project {project!r}")
        return self.services.state.of(SavedKind(kind))

    async def answer_saved(self, work: Callable[..., Saved], *given: Any, **named: Any) -> None:
        """Do something in the database, and answer with the document."""
        self.answer(dataclasses.asdict(await self.keep(work, *given, **named)))


class SavedListApi(SavedHandler):
    """All documents of a kind; ``POST`` adds one."""

    async def get(self, project: str, kind: str) -> None:
        """Answer with ``{"saved": [...]}``, by title."""
        documents = await self.find_documents(project, kind)
        found = await self.keep(documents.list, project)
        self.answer({"saved": [dataclasses.asdict(one) for one in found]})

    async def post(self, project: str, kind: str) -> None:
        """Save ``{"title", "body", "is_default"?}``."""
        documents = await self.find_documents(project, kind)
        sent = self.body()
        await self.answer_saved(
            documents.add, project, sent.get("title"), sent.get("body", {}), user=self.user,
            is_default=bool(sent.get("is_default")),
        )  # fmt: skip


class SavedApi(SavedHandler):
    """One document."""

    async def get(self, project: str, kind: str, saved_id: str) -> None:
        """Answer with it."""
        documents = await self.find_documents(project, kind)
        await self.answer_saved(documents.get, project, saved_id)

    async def put(self, project: str, kind: str, saved_id: str) -> None:
        """Change it: what is sent of ``title``, ``body`` and ``is_default``, and ``updated``."""
        documents = await self.find_documents(project, kind)
        sent = self.body()
        seen = sent.pop("updated", None)
        if not isinstance(seen, (int, float)):
            raise UsageError("`updated` is missing", hint="send back what you have read of it")
        changes = {key: value for key, value in sent.items() if key in CHANGEABLE}
        await self.answer_saved(
            documents.change, project, saved_id, changes, seen=float(seen), user=self.user
        )

    async def delete(self, project: str, kind: str, saved_id: str) -> None:
        """Delete it; the answer is what it was, for an undo."""
        documents = await self.find_documents(project, kind)
        await self.answer_saved(documents.delete, project, saved_id)
