"""Text, HTML and Markdown."""

from __future__ import annotations

import os
from typing import ClassVar

from hpctrack.client.media.source import Content, read_file, take_bytes
from hpctrack.client.media.value import Media, Piece, make_meta


class Text(Media):
    """Text to log, shown as it is. Per-rank.

    Parameters
    ----------
    data : str, path-like, bytes or open file
        The text; a ``Path`` is read.
    caption : str, optional
        Shown with it.
    **others
        Such as W&B's ``inject`` of `Html`: told, and left out.

    Notes
    -----
    Never raises: what is wrong is told by ``run.log``.
    """

    kind: ClassVar[str] = "text"
    _format: ClassVar[str] = "txt"

    def __init__(self, data: object, caption: object = None, **others: object) -> None:
        if isinstance(caption, bool):  # W&B's second argument of Html
            others["inject"], caption = caption, None

        def make() -> Piece:
            content = self._read(data)
            meta, warnings = make_meta(caption)
            facts = {"type": self.kind, "encode": "copy", "format": self._format, "meta": meta}
            if content.source:
                return Piece({**facts, "source": content.source}, (), warnings)
            return Piece(facts, (content.data,), warnings)

        self._keep(make, others)

    def _read(self, data: object) -> Content:
        if isinstance(data, os.PathLike):
            return read_file(data)
        if data == "":
            return Content("text", "", b"")
        return take_bytes(data, "", type(self).__name__)


class Html(Text):
    """HTML to log. Per-rank; viewers show it in a sandbox, without scripts from elsewhere.

    Parameters
    ----------
    data : str, path-like, bytes or open file
        Markup, or the path of a file (also as a string that ends in ``.html``).
    caption : str, optional
        Shown with it.
    """

    kind: ClassVar[str] = "html"
    _format: ClassVar[str] = "html"

    def _read(self, data: object) -> Content:
        if isinstance(data, str) and data.endswith((".html", ".htm")) and "<" not in data:
            return read_file(data)
        return super()._read(data)


class Markdown(Text):
    """Markdown to log. Per-rank.

    Parameters
    ----------
    data : str, path-like, bytes or open file
        Markup; a ``Path`` is read.
    caption : str, optional
        Shown with it.
    """

    kind: ClassVar[str] = "markdown"
    _format: ClassVar[str] = "md"
