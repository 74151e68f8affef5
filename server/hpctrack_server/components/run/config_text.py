"""A configuration as YAML, JSON and arguments of a command line. Pure."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hpctrack_server.components.text import plain_json

NODES_MAX = 5000
"""Values that a page shows; a copy has all of them."""

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n", "none", "~"})


@dataclass(frozen=True, slots=True)
class Leaf:
    """A line of the tree: how deep it is, its key, its whole path, and its value."""

    depth: int
    key: str
    path: str
    value: Any
    is_branch: bool = False
    children: int = 0


def list_tree(config: Mapping[str, Any]) -> tuple[list[Leaf], int]:
    """Return the lines of the tree in order, and how many were left out."""
    found: list[Leaf] = []
    hidden = 0
    for leaf in _iter_tree(config, 0, ""):
        if len(found) < NODES_MAX:
            found.append(leaf)
        else:
            hidden += 1
    return found, hidden


def _iter_tree(values: Mapping[str, Any], depth: int, prefix: str) -> Iterable[Leaf]:
    for key, value in values.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            yield Leaf(depth, str(key), path, None, is_branch=True, children=len(value))
            yield from _iter_tree(value, depth + 1, f"{path}.")
        else:
            yield Leaf(depth, str(key), path, value)


def to_json(config: Mapping[str, Any]) -> str:
    """Return JSON; numbers that are not finite are null."""
    return json.dumps(plain_json(config), indent=2, ensure_ascii=False)


def to_yaml(config: Mapping[str, Any]) -> str:
    """Return YAML that every version of it reads as the same values."""
    return "\n".join(_yaml_lines(config, "")) or "{}"


def _yaml_lines(values: Mapping[str, Any], indent: str) -> Iterable[str]:
    for key, value in values.items():
        name = _yaml_text(str(key))
        if isinstance(value, dict) and value:
            yield f"{indent}{name}:"
            yield from _yaml_lines(value, f"{indent}  ")
        elif isinstance(value, (list, tuple)) and value:
            yield f"{indent}{name}:"
            yield from (f"{indent}  - {_yaml_value(one)}" for one in value)
        else:
            yield f"{indent}{name}: {_yaml_value(value)}"


def _yaml_value(value: Any) -> str:
    if isinstance(value, float) and value != value:  # noqa: PLR0124 - NaN
        return ".nan"
    if isinstance(value, float) and value in {float("inf"), float("-inf")}:
        return ".inf" if value > 0 else "-.inf"
    if isinstance(value, float) and "e" in repr(value) and "." not in repr(value):
        return repr(value).replace("e", ".0e")  # YAML 1.1 takes 1e-05 for a text
    if value is None or isinstance(value, (bool, int, float)):
        return json.dumps(value)
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(plain_json(value), ensure_ascii=False)
    return _yaml_text(str(value))


def _yaml_text(text: str) -> str:
    is_plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return text if is_plain else json.dumps(text, ensure_ascii=False)


def to_arguments(config: Mapping[str, Any]) -> str:
    """Return ``--key=value`` for each value, quoted for a shell, nested keys joined by dots."""
    leaves = [leaf for leaf in _iter_tree(config, 0, "") if not leaf.is_branch]
    return " ".join(shlex.quote(f"--{leaf.path}={_argument(leaf.value)}") for leaf in leaves)


def _argument(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(plain_json(value), ensure_ascii=False)
