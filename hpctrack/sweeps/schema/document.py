"""A parsed file that still knows its lines, so that every complaint can point at one.

The YAML is what PyYAML's safe loader reads, with three differences: ``1e-3`` is a number (YAML 1.1
takes it for text, which nobody who writes a learning rate means), a repeated key is an error
instead of a silent loss, and tags that build objects do not exist.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from hpctrack.errors import MissingPackageError, SweepFileError

if TYPE_CHECKING:
    import yaml

MAX_DEPTH = 32
"""Deeper nesting is an accident, or an anchor that contains itself."""

MAX_NODES = 100_000
"""A few lines of anchors can stand for billions of values; this many is a file gone wrong."""

GENERAL_HINT = "`hpctrack sweep schema` prints what a sweep file may have"
SYNTAX_HINT = "look at the indentation, the brackets and the quotes of this line and the one above"

_FLOAT_TAG = "tag:yaml.org,2002:float"
_EXPONENT = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+\Z")
_MERGE_TAG = "tag:yaml.org,2002:merge"
_PLAIN_TAGS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "bool", "null"))
_TEXT_TAGS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("str", "value"))


@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it stands.

    Parameters
    ----------
    value : None, bool, int, float, str, list of Node or dict of str to Node
        What it is.
    where : str
        For messages: ``sweep.yaml, line 7``. In a mapping, the line of the key.
    """

    value: Any
    where: str

    def fail(self, message: str, *, hint: str | None = None) -> NoReturn:
        """Raise what is wrong here.

        Raises
        ------
        SweepFileError
            Always.
        """
        raise SweepFileError(f"{self.where}: {message}", hint=hint or GENERAL_HINT)

    def mapping(self, what: str) -> dict[str, Node]:
        """Return the keys and values of a mapping, or complain that it is none."""
        if not isinstance(self.value, dict):
            self.fail(f"{what} is {describe(self.value)}, not a mapping of names to values")
        return self.value

    def items(self, what: str) -> list[Node]:
        """Return the elements of a list, or complain that it is none."""
        if not isinstance(self.value, list):
            self.fail(f"{what} is {describe(self.value)}, not a list")
        return self.value

    def text(self, what: str) -> str:
        """Return a text; numbers are taken for what is written."""
        if not isinstance(self.value, (str, int, float)) or isinstance(self.value, bool):
            self.fail(f"{what} is {describe(self.value)}, not a text")
        return str(self.value)

    def number(self, what: str) -> int | float:
        """Return a finite number."""
        if isinstance(self.value, bool) or not isinstance(self.value, (int, float)):
            self.fail(f"{what} is {describe(self.value)}, not a number")
        if not math.isfinite(_as_float(self.value)):
            self.fail(f"{what} is {describe(self.value)}, not a finite number")
        return self.value

    def whole(self, what: str, *, at_least: int) -> int:
        """Return a whole number."""
        value = self.value
        if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
            self.fail(f"{what} is {describe(value)}, not a whole number of at least {at_least}")
        if value >= 1 << 63:
            self.fail(f"{what} does not fit in 64 bits")
        return value

    def plain(self) -> Any:
        """Return the value without its lines."""
        if isinstance(self.value, dict):
            return {key: one.plain() for key, one in self.value.items()}
        if isinstance(self.value, list):
            return [one.plain() for one in self.value]
        return self.value


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def describe(value: Any) -> str:
    """Say what a wrong value is, in a few words."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "empty"
    shown = repr(value)
    return shown if len(shown) <= 40 else f"{shown[:37]}..."  # noqa: PLR2004 - a line's worth


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint for a name that is not known."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names)}"


def parse_document(text: str, source: str) -> Node:
    """Read YAML.

    Parameters
    ----------
    text : str
        The file's content.
    source : str
        The file's name, for messages.

    Raises
    ------
    SweepFileError
        It is not YAML, is empty, or uses what configuration has no use for.
    MissingPackageError
        PyYAML is not installed.
    """
    yaml = _import_yaml()
    reader = _Reader(source, yaml)
    try:
        loader = yaml.SafeLoader(text)
        try:
            root = loader.get_single_node()
            if root is None:
                raise SweepFileError(f"{source} is empty", hint="a sweep has at least a method")
            return reader.read(loader, root, root, 0)
        finally:
            loader.dispose()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SweepFileError(
            f"{source}, line {line}: a character that YAML forbids", hint="leave it out"
        ) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        words = [one for one in (error.context, error.problem) if one]
        said = ": ".join(words) or "this is not YAML"
        raise SweepFileError(f"{source}, line {line}: {said}", hint=SYNTAX_HINT) from None
    except yaml.YAMLError as error:
        raise SweepFileError(f"{source} is not YAML: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise SweepFileError(f"{source} is nested too deeply") from None


def wrap_plain(value: Any, source: str, depth: int = 0) -> Node:
    """Give values that came from a program, or from JSON, the form that a file has.

    Raises
    ------
    SweepFileError
        Something is in it that a file could not hold.
    """
    if depth > MAX_DEPTH:
        raise SweepFileError(f"{source} is nested too deeply")
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise SweepFileError(f"{source}: the key {key!r} is not a text")
        inner: Any = {key: wrap_plain(item, source, depth + 1) for key, item in value.items()}
    elif isinstance(value, (list, tuple)):
        inner = [wrap_plain(item, source, depth + 1) for item in value]
    elif value is None or isinstance(value, (bool, int, float, str)):
        inner = value
    else:
        kind = type(value).__name__
        raise SweepFileError(
            f"{source}: a value of type {kind}", hint="use numbers, texts, lists and mappings"
        )
    return Node(inner, source)


def _import_yaml() -> Any:
    try:
        import yaml  # noqa: PLC0415 - an extra; nodes that run trials need none
    except ImportError:
        raise MissingPackageError("PyYAML", extra="sweep") from None
    return yaml


class _Reader:
    """Turns PyYAML's nodes into ours."""

    def __init__(self, source: str, yaml_module: Any) -> None:
        self._source = source
        self._yaml = yaml_module
        self._count = 0

    def read(self, loader: yaml.SafeLoader, node: Any, place: Any, depth: int) -> Node:
        where = f"{self._source}, line {place.start_mark.line + 1}"
        self._count += 1
        if depth > MAX_DEPTH or self._count > MAX_NODES:
            raise SweepFileError(f"{where}: nested too deeply, or too many values")
        if isinstance(node, self._yaml.MappingNode):
            self._merge(loader, node)
            return Node(self._read_mapping(loader, node, depth), where)
        if isinstance(node, self._yaml.SequenceNode):
            inner = [self.read(loader, one, one, depth + 1) for one in node.value]
            return Node(inner, where)
        return Node(self._read_scalar(loader, node, where), where)

    def _merge(self, loader: yaml.SafeLoader, node: Any) -> None:
        """Put in what ``<<`` stands for; the mapping's own keys win."""
        own: dict[str, Any] = {}
        for key, _ in node.value:
            if not isinstance(key, self._yaml.ScalarNode):
                where = f"{self._source}, line {key.start_mark.line + 1}"
                raise SweepFileError(f"{where}: a key is not a text", hint="put it into quotes")
            if key.value in own and key.tag != _MERGE_TAG:
                where = f"{self._source}, line {key.start_mark.line + 1}"
                raise SweepFileError(
                    f"{where}: {key.value!r} is given twice", hint="leave one of them out"
                )
            own[key.value] = key
        loader.flatten_mapping(node)
        # A node with an anchor is read again for each alias: nothing may be in it twice then.
        node.value = list({key.value: (key, value) for key, value in node.value}.values())

    def _read_mapping(self, loader: yaml.SafeLoader, node: Any, depth: int) -> dict[str, Node]:
        return {
            str(key.value): self.read(loader, value, key, depth + 1) for key, value in node.value
        }

    def _read_scalar(self, loader: yaml.SafeLoader, node: Any, where: str) -> Any:
        if node.tag in _TEXT_TAGS:
            if node.style is None and _EXPONENT.match(node.value):
                return float(node.value)
            return str(node.value)
        if node.tag not in _PLAIN_TAGS:
            shown = node.tag.rpartition(":")[2]
            raise SweepFileError(
                f"{where}: {node.value!r} is read as {shown}", hint="put it into quotes"
            )
        try:
            return loader.construct_object(node)
        except (ValueError, KeyError, IndexError, OverflowError):
            raise SweepFileError(
                f"{where}: {describe(node.value)} is not a value", hint="put it into quotes"
            ) from None
