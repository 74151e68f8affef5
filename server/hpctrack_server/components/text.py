"""Values as people read them, and as HTML may hold them. Pure."""

from __future__ import annotations

import datetime as dt
import html
import json
import math
import re
from decimal import Decimal
from typing import Any

from hpctrack.core.byte_sizes import show_bytes

WHOLE_MAX = 2**64
"""Seeds and ids are not larger."""

SIGNIFICANT_DIGITS = 4
LARGE = 1e6
SMALL = 1e-3
TEXT_MAX_CHARS = 300
"""Longer values are cut in tables; the API has them in full."""

format_bytes = show_bytes
CODE = re.compile(r"`([^`\n]+)`")
DASH = "\N{EN DASH}"


def printable(text: object) -> str:
    """Return text that can be encoded: half a surrogate pair, which JSON may hold, cannot."""
    return encode(str(text)).decode()


def encode(text: str | bytes) -> bytes:
    """Return text as bytes, with question marks for halves of surrogate pairs."""
    return text.encode("utf-8", "replace") if isinstance(text, str) else text


def escape_text(text: object) -> str:
    """Return text for any place in HTML; templates apply it to everything they insert."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    return html.escape(printable(text), quote=True)


def mark_code(text: str) -> str:
    """Return HTML of a text of ours in which what stands between backticks is code."""
    return CODE.sub(r"<code>\1</code>", escape_text(text))


def format_value(value: Any) -> str:
    """Return any logged or configured value, shortened."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: DASH}[value]
    if isinstance(value, (int, float)):
        return format_number(value)
    if isinstance(value, (list, tuple, dict)):
        return _cut(json.dumps(value, default=str, ensure_ascii=False))
    return _cut(str(value))


def format_number(value: int | float) -> str:  # noqa: PYI041 - the two are told apart
    """Return a number with at most four significant decimals, thousands parted by commas.

    Whole numbers have all their digits, up to `WHOLE_MAX`.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return {"nan": "NaN", "inf": "\N{INFINITY}", "-inf": "-\N{INFINITY}"}[str(value)]
    # A float is exact up to there; a whole number is a seed or an id, of which each digit counts.
    if value == int(value) and abs(value) < (WHOLE_MAX if isinstance(value, int) else 1e15):
        return f"{int(value):,}"
    if isinstance(value, int) or abs(value) >= LARGE or abs(value) < SMALL:
        # Decimal: a whole number can be too large for a float.
        short = f"{Decimal(value):.{SIGNIFICANT_DIGITS - 1}e}"
        mantissa, _, power = short.partition("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(power)}"
    digits = SIGNIFICANT_DIGITS - 1 - math.floor(math.log10(abs(value)))
    return f"{value:,.{max(digits, 1)}f}".rstrip("0").rstrip(".")


def format_duration(duration_s: float) -> str:
    """Return a duration with its two largest units."""
    if duration_s < 60:  # noqa: PLR2004 - seconds of a minute
        return f"{duration_s:.1f}s" if duration_s < 10 else f"{duration_s:.0f}s"  # noqa: PLR2004
    minutes, seconds = divmod(int(duration_s), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours:02d}h"
    return f"{hours}h {minutes:02d}m" if hours else f"{minutes}m {seconds:02d}s"


def format_when(wall_s: float) -> str:
    """Return a time in UTC to the minute; the page turns it into local time."""
    moment = _moment(wall_s)
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment else DASH


def format_iso(wall_s: float) -> str:
    """Return a time as ``<time datetime>`` wants it."""
    moment = _moment(wall_s)
    return moment.isoformat(timespec="seconds") if moment else ""


def format_count(count: int, noun: str) -> str:
    """Return ``1 run`` or ``2,000 runs``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def is_number(value: Any) -> bool:
    """Tell whether a table should align a value to the right."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def plain_json(value: Any) -> Any:
    """Return a value that JSON has a form for: numbers that are not finite become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): plain_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_json(item) for item in value]
    if value is None or isinstance(value, (str, int, bool)):
        return value
    return str(value)


def json_text(value: Any) -> str:
    """Return JSON for an attribute of a page."""
    return json.dumps(plain_json(value))


def _moment(wall_s: float) -> dt.datetime | None:
    try:
        return dt.datetime.fromtimestamp(wall_s, dt.UTC) if wall_s > 0 else None
    except (OverflowError, ValueError, OSError):
        return None


def _cut(text: str) -> str:
    return (
        text if len(text) <= TEXT_MAX_CHARS else f"{text[:TEXT_MAX_CHARS]}\N{HORIZONTAL ELLIPSIS}"
    )
