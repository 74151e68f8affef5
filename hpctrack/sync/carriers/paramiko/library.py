"""paramiko itself, without what it imports for the odd ``Match exec``: 45 of 97 ms."""

from __future__ import annotations

import importlib
import logging
import sys
from types import ModuleType
from typing import Any


class _Later:
    """Stands for a module until something of it is asked for."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)


def _import_paramiko() -> Any:
    modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]
    is_spared = "paramiko" not in modules and "invoke" not in modules
    if is_spared:
        modules["invoke"] = None  # how Python is told that there is none
    try:
        import paramiko  # noqa: PLC0415 - between the two
    finally:
        if is_spared:
            del modules["invoke"]
            importlib.import_module("paramiko.config").__dict__["invoke"] = _Later("invoke")
    return paramiko


paramiko: Any = _import_paramiko()
"""The library."""

# Without a handler Python prints what a library warns of; our errors say it all.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

LOST = (paramiko.SSHException, EOFError, OSError)
"""How it says that a connection is no more; anything else is a mistake of ours."""


def say(error: BaseException) -> str:
    """Return an error's words on one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())
