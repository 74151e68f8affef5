"""What users have at hand as a configuration, turned into plain dictionaries."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from hpctrack.errors import HpctrackError, MissingPackageError, UsageError

MAX_DEPTH = 16
"""Deeper nesting is a structure that contains itself."""

_EXPONENT = r"^[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+$"
"""``1e-3`` is a text in YAML 1.1, and never meant so."""


def read_config(value: object) -> dict[str, Any]:
    """Turn what users have at hand into a plain dictionary.

    Parameters
    ----------
    value : mapping, dataclass instance, argparse.Namespace, path or None
        A path names a ``.json``, ``.toml``, ``.yaml`` or ``.yml`` file, also in W&B's form, where
        each key has a ``value`` and a ``desc``.

    Raises
    ------
    UsageError
        It is something else, or the file cannot be read.
    MissingPackageError
        It is a YAML file, and PyYAML is not installed. Nothing else needs it.
    """
    if value is None:
        return {}
    if isinstance(value, (str, os.PathLike)):
        return read_config_file(Path(value))
    if isinstance(value, Mapping):
        return {str(key): item for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _fields(value)
    if hasattr(value, "__dict__") and not isinstance(value, type) and not callable(value):
        return dict(vars(value))
    raise UsageError(
        f"config is a {type(value).__name__}",
        hint="pass a dict, a dataclass, a Namespace or the path of a YAML or JSON file",
    )


def read_config_file(path: Path) -> dict[str, Any]:
    """Read a configuration file.

    Raises
    ------
    UsageError, MissingPackageError
        As `read_config`.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise UsageError(
            f"config is the text {str(path)!r:.80}",
            hint="a path of a configuration ends with .json, .toml, .yaml or .yml",
        )
    try:
        values = reader(path.read_text(encoding="utf-8"))
    except HpctrackError:
        raise
    except Exception as error:  # noqa: BLE001 - each format has errors of its own
        reason = getattr(error, "strerror", None) or str(error).replace("\n", " ")
        raise UsageError(f"the configuration {path} cannot be read: {reason}") from None
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise UsageError(f"the configuration {path} holds no keys")
    return {
        str(key): item["value"] if _is_described(item) else item
        for key, item in values.items()
        if key != "wandb_version"
    }


def choose_keys(
    values: Mapping[str, Any],
    *,
    include: Iterable[str] | None = None,
    exclude: Iterable[str] | None = None,
) -> dict[str, Any]:
    """Return the part of a configuration that is to be recorded.

    Parameters
    ----------
    values : mapping
        All of it.
    include, exclude : iterable of str, optional
        The only keys to take, or the keys to leave out; ``a.b`` leaves out a nested one.

    Raises
    ------
    UsageError
        Both are given.
    """
    if include and exclude:
        raise UsageError(
            "config_include_keys and config_exclude_keys are both given", hint="use one of them"
        )
    if include:
        wanted = set(include)
        return {key: item for key, item in values.items() if key in wanted}
    kept = dict(values)
    for path in exclude or ():
        _remove(kept, path)
    return kept


def make_plain_value(value: Any, depth: int = 0) -> Any:
    """Return a value with mappings copied, numbers of any library as Python's, arrays as lists.

    Objects that mean something only to the program stay what they are; they become text when they
    are written.
    """
    if type(value) in {list, tuple} and depth <= MAX_DEPTH:
        return type(value)(make_plain_value(item, depth + 1) for item in value)
    inner = _mapping_of(value)
    if inner is None:
        return _plain_scalar(value)
    if depth > MAX_DEPTH:
        return f"({type(value).__name__}, nested too deeply)"
    return {str(key): make_plain_value(item, depth + 1) for key, item in inner.items()}


def _mapping_of(value: Any) -> Mapping[Any, Any] | None:
    """Return what a value holds by key, or None if it is no mapping of any kind."""
    if isinstance(value, Mapping):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _fields(value)
    if type(value).__name__ == "Namespace" and hasattr(value, "__dict__"):
        return dict(vars(value))
    return None


def _plain_scalar(value: Any) -> Any:
    """Turn a number or an array of any library into Python's; leave everything else alone."""
    if type(value) in {str, bool, int, float, type(None)}:
        return value
    try:
        method = getattr(value, "tolist", None)
        if not callable(method):
            return value
        plain = method()
    except Exception:  # noqa: BLE001 - anybody's object may raise anything
        return value
    return plain if isinstance(plain, (bool, int, float, str, list)) else value


def _fields(value: Any) -> dict[str, Any]:
    """Return a dataclass's fields, without the deep copy that some values do not survive."""
    return {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}


def _is_described(item: object) -> bool:
    return isinstance(item, Mapping) and "value" in item and set(item) <= {"value", "desc"}


def _remove(values: dict[str, Any], path: str) -> None:
    if path in values:
        del values[path]
        return
    head, dot, rest = path.partition(".")
    inner = values.get(head)
    if dot and isinstance(inner, Mapping):
        values[head] = dict(inner)
        _remove(values[head], rest)


def _parse_toml(text: str) -> Any:
    return importlib.import_module("tomllib").loads(text)


def _parse_yaml(text: str) -> Any:
    try:
        # By name: what runs in a rank needs nothing but the standard library, unless it is asked.
        yaml = importlib.import_module("yaml")
    except ImportError:
        raise MissingPackageError("PyYAML", extra="sweep") from None

    class Loader(yaml.SafeLoader):  # type: ignore[misc,name-defined]
        """Reads ``1e-3`` as the number that it is."""

    Loader.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(_EXPONENT), list("-+0123456789.")
    )
    return yaml.load(text, Loader=Loader)


_READERS: dict[str, Callable[[str], Any]] = {
    ".json": json.loads,
    ".toml": _parse_toml,
    ".yaml": _parse_yaml,
    ".yml": _parse_yaml,
}
