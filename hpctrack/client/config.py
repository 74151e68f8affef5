"""``run.config`` and ``run.summary``: mappings that tell the agent when they change."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

from hpctrack.errors import UsageError


def read_config(value: object) -> dict[str, Any]:
    """Turn what users have at hand into a plain dictionary.

    Parameters
    ----------
    value : mapping, dataclass instance, argparse.Namespace or None

    Raises
    ------
    UsageError
        It is something else.
    """
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return {str(key): item for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if hasattr(value, "__dict__"):
        return dict(vars(value))
    raise UsageError(
        f"config is a {type(value).__name__}", hint="pass a dict, a dataclass or a Namespace"
    )


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with the values of ``over``, nested mappings merged key by key."""
    merged = dict(base)
    for key, value in over.items():
        inner = merged.get(key)
        both = isinstance(inner, Mapping) and isinstance(value, Mapping)
        merged[key] = merge(inner, value) if both else value  # type: ignore[arg-type]
    return merged


class Config(MutableMapping[str, Any]):
    """The run's configuration: items and attributes, nested as the user gave it.

    A value that is set stays, because a chart that groups by it must be able to trust it;
    ``update(..., allow_val_change=True)`` says that you mean it.
    """

    def __init__(
        self, on_change: Callable[[Mapping[str, Any]], None], on_conflict: Callable[[str], None]
    ) -> None:
        object.__setattr__(self, "_values", {})
        object.__setattr__(self, "_on_change", on_change)
        object.__setattr__(self, "_on_conflict", on_conflict)

    def update(
        self, other: object = None, /, *, allow_val_change: bool = False, **more: Any
    ) -> None:
        """Set several keys.

        Parameters
        ----------
        other : mapping, dataclass instance or argparse.Namespace
            The keys and values.
        allow_val_change : bool
            Also replace values that are set already.
        **more
            Further keys.
        """
        values: dict[str, Any] = self._values
        for key, value in {**read_config(other), **more}.items():
            if key in values and not allow_val_change and _differ(values[key], value):
                self._on_conflict(key)
                continue
            values[key] = value
        self._on_change(values)

    def as_dict(self) -> dict[str, Any]:
        """Return a copy."""
        return dict(self._values)

    def __getitem__(self, key: str) -> Any:
        """Return a value."""
        return self._values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        """Set a value that is not set yet."""
        self.update({key: value})

    def __delitem__(self, key: str) -> None:
        """Remove a key."""
        del self._values[key]
        self._on_change(self._values)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys."""
        return iter(self._values)

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self._values)

    def __getattr__(self, name: str) -> Any:
        """Return a value by attribute."""
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(f"config has no key {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a value by attribute."""
        self[name] = value

    def __repr__(self) -> str:
        """Return the values."""
        return f"Config({self._values!r})"


def _differ(one: object, other: object) -> bool:
    try:
        return bool(one != other)
    except Exception:  # noqa: BLE001 - arrays compare to arrays, and anything may raise
        return one is not other


class Summary(MutableMapping[str, Any]):
    """What the run came to; set values win over the last logged ones."""

    def __init__(self, on_change: Callable[[Mapping[str, Any]], None]) -> None:
        self._values: dict[str, Any] = {}
        self._on_change = on_change

    def __getitem__(self, key: str) -> Any:
        """Return a value that was set or last logged by this rank."""
        return self._values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        """Set a value for good."""
        self._values[key] = value
        self._on_change({key: value})

    def __delitem__(self, key: str) -> None:
        """Remove a value here; the last logged one comes back in the store."""
        del self._values[key]
        self._on_change({key: None})

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys."""
        return iter(self._values)

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self._values)

    def __repr__(self) -> str:
        """Return the values."""
        return f"Summary({self._values!r})"
