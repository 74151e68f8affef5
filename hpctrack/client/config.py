"""``run.config`` and ``run.summary``: mappings that tell the agent when they change."""

from __future__ import annotations

from _collections_abc import Callable, Iterable, Mapping  # loaded; `collections.abc` is not

from hpctrack.client.values import MAX_DEPTH, leave_out_media
from hpctrack.core.wire import text_of
from hpctrack.errors import is_of_a_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self


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
    if isinstance(value, Mapping):
        return {text_of(key): item for key, item in value.items()}
    from hpctrack.client.config_source import read_other  # noqa: PLC0415 - most pass a dictionary

    return read_other(value)


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
    return {text_of(key): make_plain_value(item, depth + 1) for key, item in inner.items()}


def _mapping_of(value: Any) -> Mapping[Any, Any] | None:
    """Return what a value holds by key, or None if it is no mapping of any kind."""
    if isinstance(value, Mapping):
        return value
    if is_dataclass_instance(value):
        return list_fields(value)
    if type(value).__name__ == "Namespace" and hasattr(value, "__dict__"):
        return dict(vars(value))
    return None


def is_dataclass_instance(value: object) -> bool:
    """Tell it without loading `dataclasses`."""
    return hasattr(type(value), "__dataclass_fields__")


def list_fields(value: Any) -> dict[str, Any]:
    """Return a dataclass's fields, without the deep copy that some values do not survive."""
    import dataclasses  # noqa: PLC0415 - whoever has made the value has loaded it

    return {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}


def _plain_scalar(value: Any) -> Any:
    """Turn a number or an array of any library into Python's; leave everything else alone."""
    if type(value) in {str, bool, int, float, type(None)}:
        return value
    try:
        method = getattr(value, "tolist", None)
        if not callable(method):
            return value
        plain = method()
    except Exception as error:  # anybody's object may raise anything
        if is_of_a_signal(error):
            raise
        return value
    return plain if isinstance(plain, (bool, int, float, str, list)) else value


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with the values of ``over``, nested mappings merged key by key."""
    merged = dict(base)
    for key, value in over.items():
        inner = merged.get(key)
        both = isinstance(inner, Mapping) and isinstance(value, Mapping)
        merged[key] = merge(inner, value) if both else value  # type: ignore[arg-type]
    return merged


class Owner:
    """Who is told about changes, and whether a value that is set stays.

    Parameters
    ----------
    on_change : callable
        Told the section whose values have changed, and their keys.
    on_conflict : callable or None
        Told, joined by dots, the keys of a value that was to be set again; None lets it change.
    on_mistake : callable or None
        Given what is wrong with the argument of a call; None raises it.
    """

    __slots__ = ("on_change", "on_conflict", "on_mistake")

    def __init__(
        self,
        on_change: Callable[[Section, Iterable[str]], None],
        on_conflict: Callable[[str], None] | None = None,
        on_mistake: Callable[[Exception], None] | None = None,
    ) -> None:
        self.on_change = on_change
        self.on_conflict = on_conflict
        self.on_mistake = on_mistake


_NOBODY = Owner(lambda _section, _keys: None)


class Section(dict[str, "Any"]):
    """A mapping whose values are attributes too, at any depth.

    It is a dictionary, so that ``json.dumps``, ``**`` and ``isinstance`` work. A copy or a pickle
    of it belongs to nobody: changing it changes no run.
    """

    __slots__ = ("_owner", "_path")

    _owner: Owner
    _path: tuple[str, ...]

    def __init__(self, owner: Owner = _NOBODY, path: tuple[str, ...] = ()) -> None:
        super().__init__()
        object.__setattr__(self, "_owner", owner)
        object.__setattr__(self, "_path", path)

    def update(
        self,
        other: object = None,
        /,
        allow_val_change: bool | None = False,  # noqa: FBT001, FBT002 - W&B's signature
        **more: Any,
    ) -> None:
        """Set several keys. Any rank may; rank 0's config is recorded, each rank's summary.

        Parameters
        ----------
        other : mapping, dataclass instance, argparse.Namespace or path
            The keys and values; a path names a ``.json``, ``.toml``, ``.yaml`` or ``.yml`` file.
        allow_val_change : bool
            Also replace values that are set already. A nested mapping counts as one value.
        **more
            Further keys.

        Raises
        ------
        UsageError
            ``other`` is something else, or the file cannot be read. A run's own config and summary
            raise only if the run is ``strict``, else it is told and counted.
        """
        pairs = {**self._read(other), **more}
        allow_val_change = self._read_flag(allow_val_change)
        self._tell([key for key, value in pairs.items() if self._put(key, value, allow_val_change)])

    def setdefaults(self, other: object = None, /, **more: Any) -> None:
        """Set those keys that are not set yet; as `update`, without any conflict. Any rank may."""
        missing = {k: v for k, v in {**self._read(other), **more}.items() if k not in self}
        self.update(missing)

    def as_dict(self) -> dict[str, Any]:
        """Return a plain copy. Per-rank."""
        return {key: _unwrap(value) for key, value in self.items()}

    def setdefault(self, key: str, default: Any = None, /) -> Any:
        """Return a value, which is set first if it is not there. Any rank may."""
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, key: str, *default: Any) -> Any:
        """Remove a key; return its value, or the default if there is none. Any rank may."""
        if key not in self and default:
            return default[0]
        value = self[key]
        del self[key]
        return value

    def popitem(self) -> tuple[str, Any]:
        """Remove the last key and return it with its value. Any rank may."""
        found = super().popitem()
        self._tell([found[0]])
        return found

    def clear(self) -> None:
        """Remove all keys. Any rank may."""
        keys = list(self)
        super().clear()
        self._tell(keys)

    def __setitem__(self, key: str, value: Any) -> None:
        """Set a value."""
        key = text_of(key)
        if self._put(key, value, may_change=False):
            self._tell([key])

    def __delitem__(self, key: str) -> None:
        """Remove a key."""
        super().__delitem__(key)
        self._tell([key])

    def __ior__(self, other: object) -> Self:  # type: ignore[override,misc]
        """Set several keys, as `update`."""
        self.update(other)
        return self

    def __getattr__(self, name: str) -> Any:
        """Return a value by attribute."""
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"there is no key {'.'.join((*self._path, name))!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a value by attribute."""
        self[name] = value

    def __delattr__(self, name: str) -> None:
        """Remove a value by attribute."""
        try:
            del self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __repr__(self) -> str:
        """Return the values."""
        return f"{type(self).__name__}({dict(self)!r})" if not self._path else repr(dict(self))

    def __copy__(self) -> Section:
        """Return a copy that belongs to nobody."""
        return make_section(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Section:
        """Return a copy that belongs to nobody."""
        import copy  # noqa: PLC0415 - who copies has loaded it

        return make_section(copy.deepcopy(self.as_dict(), memo))

    def __reduce__(self) -> tuple[Callable[..., Section], tuple[dict[str, Any]]]:
        """Pickle as a mapping that belongs to nobody: worker processes get these."""
        return make_section, (self.as_dict(),)

    def _read(self, other: object) -> dict[str, Any]:
        """Return what a call was given, as a dictionary; of a run it must not raise."""
        try:
            return read_config(other)
        except Exception as error:  # anybody's mapping may raise anything when it is read
            if self._owner.on_mistake is None:
                raise
            self._owner.on_mistake(error)
            return {}

    def _read_flag(self, given: object) -> bool:
        try:
            return bool(given)
        except Exception as error:
            if self._owner.on_mistake is None:
                raise
            self._owner.on_mistake(error)
            return False

    def _put(self, key: str, value: Any, may_change: bool | None) -> bool:  # noqa: FBT001 - internal
        """Set a value without telling anybody; return whether it is set."""
        path = (*self._path, key)
        plain = make_plain_value(value)
        mistake = self._owner.on_mistake
        if mistake is not None:
            plain, is_left = leave_out_media(plain, path, mistake)
            if not is_left:
                return False
        refuse = self._owner.on_conflict
        if refuse is not None and key in self and not may_change and _differ(self[key], plain):
            refuse(".".join(path))
            return False
        super().__setitem__(key, _wrap(plain, self._owner, path))
        return True

    def _tell(self, keys: list[str]) -> None:
        if keys:
            self._owner.on_change(self, keys)


def make_section(values: Mapping[str, Any]) -> Section:
    """Return values as a `Section` that belongs to nobody."""
    section = Section()
    section.update(dict(values))
    return section


class Config(Section):
    """The run's configuration: items and attributes, nested as the user gave it.

    A value that is set stays, because a chart that groups by it must be able to trust it;
    ``update(..., allow_val_change=True)`` says that you mean it. Rank 0's is recorded.

    Parameters
    ----------
    on_change : callable
        Is given what has changed, as `hpctrack.core.wire.change_config` takes it.
    on_conflict : callable
        Is given the key of a value that was to be set again, such as ``model.lr``.
    on_mistake : callable, optional
        Is given what is wrong with an argument of `update`; without it, that raises.

    Examples
    --------
    >>> config = Config(print, print)
    >>> config.model = {"depth": 3}
    Config({'model': {'depth': 3}})
    >>> config.model.depth
    3
    """

    __slots__ = ()

    def __init__(
        self,
        on_change: Callable[[Mapping[str, Any]], None],
        on_conflict: Callable[[str], None],
        on_mistake: Callable[[Exception], None] | None = None,
    ) -> None:
        def tell(section: Section, keys: Iterable[str]) -> None:
            path = section._path  # noqa: SLF001 - of this module
            found: Any = self
            for key in path:
                found = found.get(key) if isinstance(found, Section) else None
            if found is section:  # else it was replaced by another one since
                there = {key: section[key] for key in keys if key in section}
                gone = [key for key in keys if key not in section]
                change = {"path": list(path), "set": there, "unset": gone}
                on_change({name: value for name, value in change.items() if value})

        super().__init__(Owner(tell, on_conflict, on_mistake))

    def restore(self, values: Mapping[str, Any]) -> None:
        """Take the values of an earlier attempt for keys that are not set; tells nobody."""
        _restore(self, values)


class Summary(Section):
    """What the run came to; set values win over the last logged ones.

    Nested values may be changed in place. Per-rank; readers take the lowest rank's. Here it holds
    what the program has set; the last logged values are added by readers, in `StoredRun.summary`.

    Parameters
    ----------
    on_change : callable
        Is given the values to set; None removes one.
    on_mistake : callable, optional
        Is given what is wrong with an argument of `update`; without it, that raises.
    """

    __slots__ = ()

    def __init__(
        self,
        on_change: Callable[[Mapping[str, Any]], None],
        on_mistake: Callable[[Exception], None] | None = None,
    ) -> None:
        def tell(section: Section, keys: Iterable[str]) -> None:
            outermost = section._path[:1] or keys  # noqa: SLF001 - of this module
            on_change({key: self.get(key) for key in outermost})

        super().__init__(Owner(tell, on_mistake=on_mistake))

    def restore(self, values: Mapping[str, Any]) -> None:
        """Take the values of an earlier attempt for keys that are not set; tells nobody."""
        _restore(self, values)


def _restore(section: Section, values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if key not in section:
            section._put(key, value, may_change=True)  # noqa: SLF001 - of this module


def _wrap(value: Any, owner: Owner, path: tuple[str, ...]) -> Any:
    if not isinstance(value, dict):
        return value
    section = Section(owner, path)
    for key, inner in value.items():
        dict.__setitem__(section, key, _wrap(inner, owner, (*path, key)))
    return section


def _unwrap(value: Any) -> Any:
    return value.as_dict() if isinstance(value, Section) else value


def _differ(one: object, other: object) -> bool:
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        one, other = list(one), list(other)  # a configuration that was read back holds lists
    try:
        return bool(one != other)
    except Exception as error:  # anybody's object may raise anything
        if is_of_a_signal(error):
            raise
        return one is not other
