"""Formats of files: how they are recognised, and which of them are text."""

from __future__ import annotations

from hpctrack.errors import UsageError

IMAGES = frozenset({"png", "jpg", "gif", "webp", "bmp", "tiff", "avif", "svg"})
SOUNDS = frozenset({"wav", "mp3", "flac", "ogg", "m4a", "aac"})
VIDEOS = frozenset({"mp4", "webm", "gif", "png", "webp", "ogg", "mov", "mkv", "avi"})
SHAPES = frozenset({"obj", "glb", "gltf", "stl", "babylon", "pts.json"})
MOLECULES = frozenset(
    {"pdb", "pqr", "mmcif", "mcif", "cif", "sdf", "sd", "gro", "mol2", "mmtf", "mol", "xyz"}
)
TEXTS = frozenset(
    {"txt", "html", "md", "json", "svg", "obj", "gltf", "babylon"}
    | {"pts.json", "plot.json", "plotly.json", "bokeh.json"}
    | (MOLECULES - {"mmtf"})
)
"""What compresses well; the rest is compressed already, or noise."""

ALL = IMAGES | SOUNDS | VIDEOS | SHAPES | MOLECULES | TEXTS | {"apng", "points"}

HEAD_BYTES = 512
"""How much of a file is looked at to recognise it."""

_ALIASES = {"jpeg": "jpg", "tif": "tiff", "oga": "ogg", "ogv": "ogg", "apng": "png", "htm": "html"}

_MAGIC = (
    ("png", 0, b"\x89PNG\r\n\x1a\n"),
    ("jpg", 0, b"\xff\xd8\xff"),
    ("gif", 0, b"GIF8"),
    ("webp", 8, b"WEBP"),
    ("wav", 8, b"WAVE"),
    ("avi", 8, b"AVI "),
    ("bmp", 0, b"BM"),
    ("tiff", 0, b"II*\x00"),
    ("tiff", 0, b"MM\x00*"),
    ("flac", 0, b"fLaC"),
    ("ogg", 0, b"OggS"),
    ("mp3", 0, b"ID3"),
    ("avif", 4, b"ftypavif"),
    ("m4a", 4, b"ftypM4A"),
    ("mov", 4, b"ftypqt"),
    ("mp4", 4, b"ftyp"),
    ("webm", 0, b"\x1aE\xdf\xa3"),
    ("glb", 0, b"glTF"),
)
_NO_MAGIC = frozenset({"mp3", "aac", "mov", *SHAPES, *MOLECULES} - {"glb"})
"""Formats whose files may begin with anything: their extension is believed."""


def recognise(head: bytes, extension: str, allowed: frozenset[str], what: str) -> str:
    """Return the format of a file.

    Parameters
    ----------
    head : bytes
        Its first `HEAD_BYTES`.
    extension : str
        Of its name, or as the user says; may be empty.
    allowed : frozenset of str
        What it may be.
    what : str
        Names it in messages.

    Raises
    ------
    UsageError
        It is none of these.
    """
    word = extension.lower().lstrip(".")
    named = _ALIASES.get(word, word)
    for form, offset, magic in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            # Matroska is WebM with more codecs: only the name tells.
            found = named if form == "webm" and named == "mkv" else form
            if found in allowed:
                return found
    if "svg" in allowed and b"<svg" in head.lower():
        return "svg"
    if named in allowed & _NO_MAGIC:
        return named
    raise UsageError(
        f"{what} is not a file of a known format" + (f" (it is named .{word})" if word else ""),
        hint=f"use one of {', '.join(sorted(allowed))}",
    )
