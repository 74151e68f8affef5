"""What every layer shares: names, settings, the wire, the clock. Standard library only.

The version and `Record` have no modules of their own: each rank would open two files more.
"""

from __future__ import annotations

__version__ = "0.1.0"  # read by the build, too

TYPE_CHECKING = False
"""Type checkers take it for True; importing it from `typing` would load `re` and ten others."""

if TYPE_CHECKING:
    from typing import Any, ClassVar, NoReturn, dataclass_transform
else:

    def dataclass_transform(**_said):  # noqa: ANN003, ANN201, D103 - says something to checkers only
        return lambda kind: kind


@dataclass_transform(frozen_default=True)
class Record:
    """Base of records: annotated names are fields, in order, with their defaults.

    Never changed after it was made; equal to another one of its class with equal fields.
    `dataclasses`, which type checkers take it for, would double what a rank's start costs.

    Examples
    --------
    >>> class Point(Record):
    ...     x: int
    ...     y: int = 0
    >>> Point(3)
    Point(x=3, y=0)
    """

    field_names: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        """Note the fields."""
        cls.field_names = tuple(cls.__annotations__)

    def __init__(self, *values: Any, **named: Any) -> None:
        names = self.field_names
        given = dict(zip(names, values, strict=False))
        wrong = given.keys() & named.keys() or named.keys() - set(names)
        if wrong or len(values) > len(names):
            raise TypeError(f"{type(self).__name__}() cannot take {sorted(wrong) or values}")
        given |= named
        missing = [name for name in names if name not in given and not hasattr(type(self), name)]
        if missing:
            raise TypeError(f"{type(self).__name__}() lacks {', '.join(missing)}")
        self.__dict__.update(given)

    def __eq__(self, other: object) -> bool:
        """Compare the fields."""
        if type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        """Return a hash of the fields."""
        return hash(self._values())

    def __repr__(self) -> str:
        """Return the call that makes an equal one."""
        pairs = zip(self.field_names, self._values(), strict=True)
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in pairs)})"

    def __setattr__(self, name: str, value: object) -> NoReturn:
        """Refuse."""
        raise AttributeError(f"a {type(self).__name__} cannot be changed")

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.field_names)
