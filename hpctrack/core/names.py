"""Which names are allowed, and why; and names that people can say aloud."""

from __future__ import annotations

import os

from hpctrack.errors import InvalidNameError

ID_MAX_CHARS = 64
"""Ids become folder names; 64 leaves room for the store's path below every file system's limit."""

METRIC_MAX_BYTES = 512
"""Longer names are nearly always a mistake (a formatted message used as a key)."""

_DIGITS_AND_LETTERS = frozenset("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_ID_INSIDE = _DIGITS_AND_LETTERS | frozenset("-_.")
_ID_END = _DIGITS_AND_LETTERS | frozenset("-_")
_RULE = "use letters, digits, '-', '_' and '.', starting with a letter or digit, at most 64"

_ADJECTIVES = """
amber bold brisk calm clear cosmic crisp deft early easy ember fair fleet fresh gentle grand
happy keen kind light lively lucid lunar merry mild misty neat noble polar proud quick quiet
rapid royal sage sharp silent smart solar solid spry stellar still sturdy sunny swift tidy
vivid warm wise
""".split()
_NOUNS = """
badger beacon birch brook canyon cedar cliff cloud comet coral crane creek delta dune falcon
fern field fjord forest fox garden glade grove harbor hawk heron hill island lake lark maple
meadow mesa moon oak ocean otter owl pine plain quartz raven reef ridge river robin sparrow
spruce stone stream summit tide tundra valley willow wren
""".split()


def digest_text(text: str, size_bytes: int) -> str:
    """Return a short digest of any text in hexadecimal, the same one on every rank.

    `hashlib` would load OpenSSL for it, which costs each rank 3 ms and five files.
    """
    try:
        from _blake2 import blake2b  # noqa: PLC0415 - where CPython keeps its own
    except ImportError:
        from hashlib import blake2b  # noqa: PLC0415
    return blake2b(text.encode("utf-8", "replace"), digest_size=size_bytes).hexdigest()


def check_id(value: str, *, what: str) -> str:
    """Return ``value`` if it can name a run, project or sweep.

    The rules have one reason each: it becomes a folder (no separators, no leading dot, no
    ``..``), it is typed in shells (no spaces or quotes), it is compared on file systems that
    fold case or forbid a trailing dot.

    Parameters
    ----------
    value : str
        The name.
    what : str
        What it names, for the message.

    Raises
    ------
    InvalidNameError
        It breaks a rule.
    """
    if not is_id(value):
        shown = value if len(value) <= ID_MAX_CHARS else value[:ID_MAX_CHARS] + "..."
        raise InvalidNameError(f"the {what} {shown!r} is not allowed", hint=_RULE)
    return value


def is_id(value: str) -> bool:
    """Tell whether a text can name a run, project or sweep, see `check_id`."""
    return (
        0 < len(value) <= ID_MAX_CHARS
        and ".." not in value
        and value[0] in _DIGITS_AND_LETTERS
        and value[-1] in _ID_END
        and _ID_INSIDE.issuperset(value)
    )


def join_run_path(store: str, project: str, run_id: str) -> str:
    """Return the path of a run's folder, names checked."""
    return os.path.join(  # noqa: PTH118 - a rank does not load pathlib
        store, check_id(project, what="project"), check_id(run_id, what="run id")
    )


def make_safe_id(value: str) -> str:
    """Turn any text into an allowed id, the same one on every rank.

    The readable part is kept, and a digest keeps different texts apart.
    """
    digest = digest_text(value, 4)
    words = "".join(one if one in _ID_END else " " for one in value).split()
    kept = "-".join(words).strip("-_")[:40].strip("-_")
    return f"{kept}-{digest}" if kept else f"id-{digest}"


OWN_COLUMNS = frozenset({"_rank", "_runtime", "_step", "_timestamp"})
"""What every history has, here or in W&B: rows of one that are logged again hold them."""


def metric_name_problem(name: str) -> str | None:
    """Say what is wrong with a metric's name, or None if it can be used."""
    if not name:
        return "the name is empty"
    size_bytes = len(name.encode("utf-8", "surrogatepass"))
    if size_bytes > METRIC_MAX_BYTES:
        return f"the name has {size_bytes} bytes, at most {METRIC_MAX_BYTES} are allowed"
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return "the name is not valid Unicode"
    if not name.isprintable() and any(map(_is_control, name)):
        return "the name has control characters"
    if name in OWN_COLUMNS:
        return "run.history() has a column of this name; log(..., step=) sets the step"
    return None


def clean(text: str) -> str:
    """Replace control characters, and what is no Unicode: a name must not command a terminal."""
    if text.isprintable():
        return text
    return "".join("\N{REPLACEMENT CHARACTER}" if _is_control(one) else one for one in text)


def _is_control(char: str) -> bool:
    """Tell control characters, and halves of what UTF-16 writes in two, from all others."""
    return char < " " or "\x7f" <= char <= "\x9f" or "\ud800" <= char <= "\udfff"


def make_readable_name(run_id: str) -> str:
    """Make a name such as ``lunar-harbor-998`` from a run id, the same one on every rank."""
    number = int.from_bytes(bytes.fromhex(digest_text(run_id, 8)), "little")
    number, adjective = divmod(number, len(_ADJECTIVES))
    number, noun = divmod(number, len(_NOUNS))
    return f"{_ADJECTIVES[adjective]}-{_NOUNS[noun]}-{number % 1000}"
