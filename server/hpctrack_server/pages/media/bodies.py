"""The bytes of media. They come from users: what a browser could run is never ours to run.

Only pictures, sounds and films of kinds that hold no program are shown as what they are. HTML
goes into a sandbox without an origin and without a network; everything else is a download.
"""

from __future__ import annotations

import html
from typing import ClassVar

from markdown_it import MarkdownIt

from hpctrack.errors import UsageError
from hpctrack_server.data.media.library import Payload, check_digest
from hpctrack_server.pages.media.media import MediaApi
from hpctrack_server.pages.run.files import describe_download, parse_range

SHOWN: dict[str, str] = {
    "png": "image/png", "apng": "image/apng", "jpg": "image/jpeg", "jpeg": "image/jpeg",
    "gif": "image/gif", "webp": "image/webp", "bmp": "image/bmp", "avif": "image/avif",
    "svg": "image/svg+xml", "wav": "audio/wav", "mp3": "audio/mpeg", "flac": "audio/flac",
    "ogg": "audio/ogg", "m4a": "audio/mp4", "aac": "audio/aac", "mp4": "video/mp4",
    "webm": "video/webm", "mov": "video/quicktime", "txt": "text/plain; charset=utf-8",
    "md": "text/plain; charset=utf-8", "json": "application/json",
    "plot.json": "application/json", "plotly.json": "application/json",
    "bokeh.json": "application/json", "pts.json": "application/json",
}  # fmt: skip
"""An SVG is a program when it is opened by itself: its policy forbids that."""

CACHE = "private, max-age=31536000, immutable"
"""The address is the hash of what it names."""

INERT = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
FRAMED = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:; media-src data: blob:; "
    "frame-ancestors 'self'"
)
"""Of HTML that a user has logged: its scripts run in an origin of their own, and can ask nobody."""

PROSE = (
    "sandbox allow-popups; default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'"
)

PROSE_MAX_BYTES = 2 * 1024 * 1024

PROSE_PAGE = """<!doctype html><html lang="en" data-theme="{theme}"><meta charset="utf-8">
<title>{title}</title><base target="_blank"><style>
:root {{ color-scheme: {theme}; }}
body {{ font: 14px/1.55 system-ui, sans-serif; margin: 14px 18px; overflow-wrap: anywhere; }}
pre, code {{ font-family: ui-monospace, monospace; font-size: 0.92em; }}
pre {{ overflow-x: auto; }} table {{ border-collapse: collapse; }}
td, th {{ border: 1px solid #8888; padding: 3px 9px; }} img {{ max-width: 100%; }}
</style><body>{body}</body></html>"""


class BodyApi(MediaApi):
    """``/api/v1/runs/<project>/<id>/media/<digest>``: the bytes, whole or a part of them."""

    async def get(self, project: str, run_id: str, digest: str) -> None:
        """Answer with them; ``?download=1`` keeps a browser from showing them."""
        check_digest(digest)
        form = self.query("as", "bin")
        body, payload = await self.ask(lambda shelf: shelf.read(digest, form), project, run_id)
        for name, value in describe_body(
            payload, is_download=self.query("download") == "1"
        ).items():
            self.set_header(name, value)
        self.set_header("Cache-Control", CACHE)
        self.set_header("Accept-Ranges", "bytes")
        self.set_header("Etag", f'"{digest}"')
        part = parse_range(self.request.headers.get("Range", ""), len(body))
        if part is not None:
            start, end = part
            if start >= end:
                self.set_status(416)
                self.set_header("Content-Range", f"bytes */{len(body)}")
                self.finish()
                return
            self.set_status(206)
            self.set_header("Content-Range", f"bytes {start}-{end - 1}/{len(body)}")
            body = body[start:end]
        self.finish(body)

    def compute_etag(self) -> None:
        """Return none: the digest is the tag."""


def describe_body(payload: Payload, *, is_download: bool) -> dict[str, str]:
    """Return the headers with which a user's bytes leave. Pure."""
    kind = SHOWN.get(payload.format)
    if kind is None or is_download:
        return describe_download(payload.name)
    return {
        "Content-Type": kind,
        "Content-Security-Policy": INERT,
        "X-Content-Type-Options": "nosniff",
    }


class FrameApi(MediaApi):
    """``.../media/<digest>/frame``: HTML or Markdown, for a frame that is a world of its own."""

    themes: ClassVar[frozenset[str]] = frozenset({"light", "dark"})

    async def get(self, project: str, run_id: str, digest: str) -> None:
        """Answer with a page."""
        check_digest(digest)
        body, payload = await self.ask(lambda shelf: shelf.read(digest), project, run_id)
        theme = self.query("theme")
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Cache-Control", CACHE)
        if payload.format == "html":
            self.set_header("Content-Security-Policy", FRAMED)
            self.finish(body)
        elif payload.format in {"md", "txt"}:
            self.set_header("Content-Security-Policy", PROSE)
            shown = theme if theme in self.themes else "light"
            self.finish(render_prose(body, payload, theme=shown))
        else:
            raise UsageError(f"{payload.format} is not shown in a frame", hint="download it")


def render_prose(body: bytes, payload: Payload, *, theme: str) -> str:
    """Return a page with Markdown rendered, in which HTML is text. Pure."""
    text = body[:PROSE_MAX_BYTES].decode("utf-8", "replace")
    if payload.format == "md":
        inside = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    else:
        inside = f"<pre>{html.escape(text)}</pre>"
    if len(body) > PROSE_MAX_BYTES:
        inside += "<p><em>The rest is left out; download it to see all.</em></p>"
    return PROSE_PAGE.format(theme=theme, title=html.escape(payload.name), body=inside)
