"""``/p/<project>/runs/<id>/files``: what a run has kept of its files."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from tornado.iostream import StreamClosedError

from hpctrack.errors import UsageError
from hpctrack_server.components.text import printable
from hpctrack_server.data.frames import RunFrame
from hpctrack_server.data.run.saved import (
    PREVIEW_MAX_BYTES,
    SavedBody,
    list_saved,
    open_saved,
    preview_text,
    read_beginning,
)
from hpctrack_server.pages.guarded import Guarded
from hpctrack_server.pages.run.frame import RunTab

SANDBOX = "sandbox; default-src 'none'; style-src 'unsafe-inline'"
"""What a user has saved must never run as a page of ours, also if a browser opens it."""

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class FilesTab(RunTab):
    """What a run has kept of its files."""

    tab = "files"
    template = "run/files.html"

    async def collect(self, project: str, run: RunFrame) -> dict[str, Any]:
        """Return the files, and the beginning of the one that is looked at."""
        record = run.record
        files = await self.read(list_saved, self.services.provider, project, record.id)
        shown = next((one for one in files if one.digest == self.query("show")), None)
        preview, is_cut = None, False
        if shown is not None:
            body = await self.calculate(
                read_beginning, self.services.provider, project, record.id, shown.digest
            )
            preview, is_cut = preview_text(body), len(body) > PREVIEW_MAX_BYTES
        return {
            "files": files,
            "shown": shown,
            "preview": preview,
            "is_cut": is_cut,
            "total_bytes": sum(one.size_bytes for one in files),
        }


class FileBody(Guarded):
    """``/api/v1/runs/<project>/<id>/files/<digest>``: a file to keep, whole or a part of it."""

    async def get(self, project: str, run_id: str, digest: str) -> None:
        """Answer with the bytes, as an attachment that no browser runs."""
        if not _DIGEST.fullmatch(digest):
            raise UsageError("that is no digest")
        provider = self.services.provider
        body = await self.calculate(open_saved, provider, project, run_id, digest)
        try:
            await self._send(body, digest)
        except StreamClosedError:
            return
        finally:
            await self.calculate(body.close)

    async def _send(self, body: SavedBody, digest: str) -> None:
        size = body.size_bytes
        start, end = 0, size
        part = parse_range(self.request.headers.get("Range", ""), size)
        if part is not None:
            start, end = part
            if start >= end:
                self.set_status(416)
                self.set_header("Content-Range", f"bytes */{size}")
                return
            self.set_status(206)
            self.set_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        piece = await self.calculate(body.take)  # what is damaged is told before anything is sent
        for key, value in describe_download(body.name).items():
            self.set_header(key, value)
        self.set_header("Accept-Ranges", "bytes")
        self.set_header("Etag", f'"{digest}"')
        self.set_header("Content-Length", str(end - start))
        if self.request.method == "HEAD":
            return
        at = 0
        while piece and at < end:
            wanted = piece[max(0, start - at) : max(0, end - at)]
            at += len(piece)
            if wanted:
                self.write(wanted)
                await self.flush()
            piece = await self.calculate(body.take) if at < end else b""

    def compute_etag(self) -> None:
        """Return none: the digest is the tag, hashing the body again would be a waste."""


def describe_download(name: str) -> dict[str, str]:
    """Return the headers with which a user's bytes leave: kept, never shown, never run. Pure."""
    last = printable(name).replace("\\", "/").rpartition("/")[2] or "file"
    plain = re.sub(r"[^A-Za-z0-9._ -]", "_", last)[:150]
    whole = quote(last[:150], safe="")
    return {
        "Content-Type": "application/octet-stream",
        "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{whole}",
        "Content-Security-Policy": SANDBOX,
        "X-Content-Type-Options": "nosniff",
    }


def parse_range(header: str, size: int) -> tuple[int, int] | None:
    """Return start and end of the part that is asked for, or None for all of it. Pure.

    Examples
    --------
    >>> parse_range("bytes=2-3", 10), parse_range("bytes=-4", 10), parse_range("", 10)
    ((2, 4), (6, 10), None)
    """
    found = _RANGE.fullmatch(header.strip())
    if not found or not (found[1] or found[2]):
        return None
    if not found[1]:
        return max(0, size - int(found[2])), size
    start = int(found[1])
    end = int(found[2]) + 1 if found[2] else size
    return start, min(end, size)
