"""Tables of options: what each is, for the parser and for the JSON Schema alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hpctrack.sweeps.schema.document import Node, nearest

Kind = Literal["whole", "number", "flag", "text"]

_JSON_TYPES = {"whole": "integer", "number": "number", "flag": "boolean", "text": "string"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One key and the values that it may have.

    Parameters
    ----------
    kind : {"whole", "number", "flag", "text"}
        Its type.
    least, most : float or None
        Bounds that are allowed themselves.
    above, below : float or None
        Bounds that are not.
    choices : tuple of str
        All texts that are allowed; empty: any.
    about : str
        What it does, for the JSON Schema.
    """

    kind: Kind
    about: str
    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None
    choices: tuple[str, ...] = ()

    def read(self, node: Node, what: str) -> Any:
        """Return the value, or complain about it.

        Raises
        ------
        SweepFileError
            It is of another type, or out of bounds; the message has the line.
        """
        if self.kind == "flag":
            if not isinstance(node.value, bool):
                node.fail(f"{what} is neither true nor false")
            return node.value
        if self.kind == "text":
            text = node.text(what)
            if self.choices and text not in self.choices:
                node.fail(f"{what} cannot be {text!r:.40}", hint=nearest(text, self.choices))
            return text
        if self.kind == "whole":
            least = -(1 << 62) if self.least is None else int(self.least)
            return self._bounded(node, node.whole(what, at_least=least), what)
        return self._bounded(node, node.number(what), what)

    def to_json(self) -> dict[str, Any]:
        """Return its JSON Schema."""
        schema: dict[str, Any] = {"type": _JSON_TYPES[self.kind], "description": self.about}
        bounds = {
            "minimum": self.least,
            "maximum": self.most,
            "exclusiveMinimum": self.above,
            "exclusiveMaximum": self.below,
        }
        schema.update({key: bound for key, bound in bounds.items() if bound is not None})
        if self.choices:
            schema["enum"] = list(self.choices)
        return schema

    def _bounded(self, node: Node, value: float, what: str) -> int | float:
        if self.least is not None and value < self.least:
            node.fail(f"{what} is below {self.least:g}")
        if self.above is not None and value <= self.above:
            node.fail(f"{what} is not above {self.above:g}")
        if self.most is not None and value > self.most:
            node.fail(f"{what} is above {self.most:g}")
        if self.below is not None and value >= self.below:
            node.fail(f"{what} is not below {self.below:g}")
        return value


def read_options(
    keys: Mapping[str, Node], table: Mapping[str, Option], owner: str
) -> dict[str, Any]:
    """Return the options of a mapping that are there and not empty.

    Parameters
    ----------
    keys : mapping
        The mapping.
    table : mapping
        What it may have.
    owner : str
        Whose they are, for messages.

    Raises
    ------
    SweepFileError
        A key is unknown, or a value wrong; the message has the line.
    """
    options: dict[str, Any] = {}
    for key, node in keys.items():
        if key not in table:
            hint = nearest(key, table) if table else "there are none"
            node.fail(f"unknown key {key!r:.60} of {owner}", hint=hint)
        if node.value is not None:
            options[key] = table[key].read(node, f"`{key}` of {owner}")
    return options
