"""``/p/<project>/runs/<id>/config``: what a run was configured with."""

from __future__ import annotations

from typing import Any

from hpctrack_server.components.run.config_text import list_tree, to_arguments, to_json, to_yaml
from hpctrack_server.data.frames import BrokenFrame, RunFrame, iter_flat
from hpctrack_server.data.index.query import RunQuery
from hpctrack_server.data.index.run_index import RunIndex
from hpctrack_server.pages.guarded import Guarded
from hpctrack_server.pages.run.frame import RunTab

OTHERS_MAX = 200
"""Runs that can be picked from a list; any other by its id in the address."""

FORMS = {
    "yaml": (to_yaml, "text/plain"),
    "json": (to_json, "text/plain"),
    "args": (to_arguments, "text/plain"),
}


class ConfigTab(RunTab):
    """What a run was configured with, and how another one differs."""

    tab = "config"
    template = "run/config.html"

    async def collect(self, project: str, run: RunFrame) -> dict[str, Any]:
        """Return the tree, and the other run's values where they differ."""
        leaves, hidden = list_tree(run.record.config)
        other, problem = await self._find_other(project, self.query("against"))
        others = await self.read(list_others, self.services.index, project, run.record.id)
        return {
            "leaves": leaves,
            "hidden_leaves": hidden,
            "other": other,
            "problem": problem,
            "differences": list_differences(run.record.config, other.record.config)
            if other
            else {},
            "others": others,
        }

    async def _find_other(self, project: str, run_id: str) -> tuple[RunFrame | None, str]:
        if not run_id:
            return None, ""
        found = await self.read(self.services.provider.run, project, run_id)
        return (None, found.message) if isinstance(found, BrokenFrame) else (found, "")


def list_others(index: RunIndex, project: str, run_id: str) -> list[tuple[str, str]]:
    """Return ids and names of the newest runs of a project but for one."""
    rows = index.page(project, RunQuery(count=OTHERS_MAX + 1)).rows
    found = [(str(one["id"]), str(one.get("name") or one["id"])) for one in rows]
    return [one for one in found if one[0] != run_id][:OTHERS_MAX]


class ConfigText(Guarded):
    """``/api/v1/runs/<project>/<id>/config``: the configuration as text, whole."""

    async def get(self, project: str, run_id: str) -> None:
        """Answer with YAML, JSON, or arguments of a command line."""
        run = await self.read(self.services.provider.whole_run, project, run_id)
        form = self.query("format", "yaml")
        write, kind = FORMS.get(form, FORMS["yaml"])
        self.set_header("Content-Type", f"{kind}; charset=utf-8")
        self.finish(write(run.record.config) + "\n")


def list_differences(mine: dict[str, Any], other: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return what differs by path: both values; `ABSENT` where one has none."""
    left, right = dict(iter_flat(mine)), dict(iter_flat(other))
    keys = [*left, *(key for key in right if key not in left)]
    pairs = {key: (left.get(key, ABSENT), right.get(key, ABSENT)) for key in keys}
    return {key: pair for key, pair in pairs.items() if repr(pair[0]) != repr(pair[1])}


ABSENT = "(none)"
"""Shown where one of two runs has no value."""
