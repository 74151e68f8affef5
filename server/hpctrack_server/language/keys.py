"""Lists of keys in addresses: commas part them, and a key may hold one itself. Pure."""

from __future__ import annotations

from collections.abc import Iterable


def split_keys(text: str) -> tuple[str, ...]:
    """Return keys that a comma parts; in a key it is ``%2C``. Each key comes once."""
    parts = (one.replace("%2C", ",").replace("%25", "%") for one in text.split(","))
    return tuple(dict.fromkeys(one for one in parts if one))


def join_keys(keys: Iterable[str]) -> str:
    """Put keys together, so that `split_keys` finds them again."""
    return ",".join(one.replace("%", "%25").replace(",", "%2C") for one in keys)


def split_order(text: str) -> tuple[tuple[str, bool], ...]:
    """Read ``-created,name``: keys, each with whether it descends, which is a minus in front."""
    parts = [one for one in split_keys(text) if one.lstrip("+-")]
    return tuple((one.lstrip("+-"), one[0] == "-") for one in parts)
