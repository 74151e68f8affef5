"""``/p/<project>/runs/<id>/code``: the commit, what was not committed, and the code itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpctrack_server.components.run.patch import parse_patch
from hpctrack_server.data.frames import RunFrame
from hpctrack_server.data.run.details import read_provenance
from hpctrack_server.data.run.saved import list_saved, preview_text, read_beginning
from hpctrack_server.pages.guarded import Guarded
from hpctrack_server.pages.run.files import describe_download
from hpctrack_server.pages.run.frame import RunTab

SHOWN_UNTRACKED = 50
SCRIPT_MAX_CHARS = 200_000


class CodeTab(RunTab):
    """The commit, what was not committed, and the code itself."""

    tab = "code"
    template = "run/code.html"

    async def collect(self, project: str, run: RunFrame) -> dict[str, Any]:
        """Return the patch by files, the script, and the saved code."""
        provider, run_id = self.services.provider, run.record.id
        found = await self.read(read_provenance, provider, project, run_id)
        files = [
            one
            for one in await self.read(list_saved, provider, project, run_id)
            if one.kind == "code"
        ]
        shown = next((one for one in files if one.digest == self.query("show")), None)
        text = ""
        if shown is not None:
            body = await self.calculate(read_beginning, provider, project, run_id, shown.digest)
            text = preview_text(body) or ""
        git = _part(found, "git")
        return {
            "git": git,
            "remotes": _part(git, "remotes"),
            "patch": parse_patch(str(git.get("diff") or "")) if git.get("diff") else (),
            "untracked": [str(one) for one in git.get("untracked") or ()][:SHOWN_UNTRACKED],
            "source": str(_part(found, "source").get("text") or "")[:SCRIPT_MAX_CHARS],
            "source_name": str(_part(found, "source").get("path") or "the script"),
            "job_script": str(_part(found, "job_script").get("text") or "")[:SCRIPT_MAX_CHARS],
            "missing": {
                key: str(why)
                for key, why in _part(found, "missing").items()
                if key in {"git", "diff", "status", "source"}
            },
            "has_provenance": bool(found),
            "files": files,
            "shown": shown,
            "text_of_file": text,
        }


class PatchText(Guarded):
    """``/api/v1/runs/<project>/<id>/patch``: what was not committed, for ``git apply``."""

    async def get(self, project: str, run_id: str) -> None:
        """Answer with the patch as it was recorded."""
        await self.read(self.services.provider.whole_run, project, run_id)
        found = await self.read(read_provenance, self.services.provider, project, run_id)
        for key, value in describe_download(f"{run_id}.patch").items():
            self.set_header(key, value)
        self.finish(str(_part(found, "git").get("diff") or "").encode("utf-8", "replace"))


def _part(found: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = found.get(name)
    return value if isinstance(value, dict) else {}
