"""Dataclasses read back from JSON that another version may have written; nested keys joined."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


def pick_fields(kind: type, value: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a dataclass has fields for; the rest comes from a newer writer.

    Parameters
    ----------
    kind : type
        A dataclass.
    value : mapping
        What was read.
    """
    known = {one.name for one in dataclasses.fields(kind)}
    return {key: item for key, item in value.items() if key in known}


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Join the keys of nested mappings with dots."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
