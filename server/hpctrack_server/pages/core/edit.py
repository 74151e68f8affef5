"""``/api/v1/projects/<project>/edit``: names, notes, tags, archiving and deleting."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from hpctrack.errors import UsageError
from hpctrack_server.data.edits import EDIT_MAX_RUNS, Change, Edited, edit_runs
from hpctrack_server.pages.guarded import Guarded

KNOWN = frozenset({"ids", *Change.__dataclass_fields__})


class EditApi(Guarded):
    """``POST .../edit``: changes what people say of runs, never a run's own files."""

    async def post(self, project: str) -> None:
        """Answer with each run as it was before, or why it could not be changed."""
        body = self.body()
        change, ids = parse_change(body), body.get("ids")
        if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids) or not ids:
            raise UsageError("'ids' is no list of runs", hint='{"ids": ["..."], "name": "..."}')
        if len(ids) > EDIT_MAX_RUNS:
            raise UsageError(
                f"{len(ids):,} runs at once are too many", hint=f"send {EDIT_MAX_RUNS:,} at a time"
            )
        services = self.services
        # Each run is a file that is synced to the disk: pages need not wait for that.
        found = await asyncio.to_thread(
            edit_runs, services.provider.path, services.index, project, ids, change, by=self.user
        )
        failed = [one for one in found if one.error is not None]
        if len(failed) == len(found) and failed[0].error is not None:
            raise failed[0].error
        self.answer({"runs": [_describe(one) for one in found], "failed": len(failed)})


def parse_change(body: Mapping[str, Any]) -> Change:
    """Read what is to be said.

    Raises
    ------
    UsageError
        It is not what it should be.
    """
    unknown = sorted(body.keys() - KNOWN)
    if unknown:
        raise UsageError(
            f"{unknown[0]!r} cannot be changed", hint=f"one of {', '.join(sorted(KNOWN))}"
        )
    given: dict[str, Any] = {}
    for key, kind in (("name", str), ("notes", str), ("archived", bool), ("deleted", bool)):
        value = body.get(key)
        if value is not None and not isinstance(value, kind):
            raise UsageError(f"{key!r} is {str(value)[:40]!r}, not {kind.__name__}")
        given[key] = value
    for key in ("add_tags", "remove_tags"):
        tags = body.get(key) or []
        if not isinstance(tags, list) or not all(isinstance(one, str) for one in tags):
            raise UsageError(f"{key!r} is no list of texts")
        given[key] = tuple(tags)
    was = body.get("was") or {}
    if not isinstance(was, dict) or not all(
        key in {"name", "notes"} and isinstance(value, str) for key, value in was.items()
    ):
        raise UsageError("'was' is no name or notes", hint='{"was": {"notes": "as you read them"}}')
    return Change(**given, was=was)


def _describe(edited: Edited) -> dict[str, Any]:
    told: dict[str, Any] = {"id": edited.id, "before": edited.before}
    if edited.error is not None:
        told.update(error=edited.error.message, hint=edited.error.hint or "")
    return told
