"""Annotations of any sides, edited and synced in any order, converge; the informed edit wins."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hpctrack.store.annotation_edit import edit
from hpctrack.store.annotation_entry import Entry
from hpctrack.store.annotations import (
    NOTHING,
    Annotations,
    fold,
    mark_synced,
    merge,
)

KEYS = st.sampled_from(["name", "notes", "tag:a", "tag:b", "stars"])


def values_of(key: str) -> st.SearchStrategy[Any]:
    if key.startswith("tag:"):
        return st.booleans()
    return st.sampled_from(["", "x", "y"]) if key != "stars" else st.sampled_from([1, [2], None])


@st.composite
def entries(draw: st.DrawFn, key: str) -> Entry:
    version = draw(st.integers(1, 3))
    return Entry(
        draw(values_of(key)),
        version,
        is_server=draw(st.booleans()),
        wall_s=draw(st.sampled_from([0.0, 1.0, 1.5])),
        by=draw(st.sampled_from(["", "ann", "bob"])),
        base=draw(st.integers(0, version)),
        more=draw(st.sampled_from([{}, {"why": "z"}])),
    )


@st.composite
def states(draw: st.DrawFn) -> Annotations:
    keys = draw(st.sets(KEYS))
    return Annotations({key: draw(entries(key)) for key in keys})


@given(states(), states(), states())
def test_a_merge_is_commutative_associative_and_idempotent(
    a: Annotations, b: Annotations, c: Annotations
) -> None:
    assert merge(a, b).to_bytes() == merge(b, a).to_bytes()
    assert merge(merge(a, b), c).to_bytes() == merge(a, merge(b, c)).to_bytes()
    assert merge(a, a) == a
    assert merge(merge(a, b), b) == merge(a, b)


@given(states())
def test_annotations_are_read_back_as_they_were_written(a: Annotations) -> None:
    again = Annotations.from_bytes(a.to_bytes())
    assert again == a
    assert again.to_bytes() == a.to_bytes()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)
ATTRIBUTES = st.sampled_from(["value", "version", "server", "wall_s", "by", "base", "more"])
LIKE_ENTRIES = st.dictionaries(ATTRIBUTES, JSON, max_size=7)


@given(
    st.dictionaries(KEYS | st.text(max_size=6), JSON | LIKE_ENTRIES, max_size=4),
    st.sampled_from([1, 2, "1", None]),
)
def test_whatever_another_program_writes_is_read_to_a_fixed_point(
    told: dict[str, Any], form: object
) -> None:
    data = json.dumps({"kind": "hpctrack-annotations", "format": form, "entries": told}).encode()
    found = Annotations.from_bytes(data)
    if form != 1:
        assert found is None
        return
    assert found is not None
    again = Annotations.from_bytes(found.to_bytes())
    assert again == found
    assert merge(found, found) == found


@given(st.binary(max_size=60))
def test_any_bytes_are_annotations_or_none(data: bytes) -> None:
    found = Annotations.from_bytes(data)
    assert found is None or Annotations.from_bytes(found.to_bytes()) == found


# -- several clients and one server ----------------------------------------------------------------


@dataclass
class Side:
    """A store, with every edit that it knows of, for each key; the model, made without merging."""

    is_server: bool
    skew_s: float = 0.0
    now: Annotations = NOTHING
    known: dict[str, frozenset[int]] = field(default_factory=dict)
    """By key the numbers of the edits whose effect has reached this side."""


@dataclass(frozen=True)
class Edit:
    """One edit of one key."""

    number: int
    key: str
    value: Any
    is_server: bool
    seen: frozenset[int]
    """The edits that whoever made it had seen."""


class Sides(RuleBasedStateMachine):
    """Three clients, whose clocks are wrong, and a server."""

    def __init__(self) -> None:
        super().__init__()
        self.server = Side(is_server=True)
        self.clients: list[Side] = []
        self.edits: list[Edit] = []
        self.under_way: list[tuple[Side, Annotations, dict[str, frozenset[int]]]] = []
        self.wall_s = 1000.0

    @initialize(skews=st.lists(st.sampled_from([-500.0, 0.0, 500.0]), min_size=3, max_size=3))
    def start(self, skews: list[float]) -> None:
        self.clients = [Side(is_server=False, skew_s=one) for one in skews]

    @rule(
        who=st.integers(0, 3),
        key=st.sampled_from(["name", "tag:a"]),
        tick_s=st.sampled_from([-3.0, 0.0, 1.0]),
    )
    def edit(self, who: int, key: str, tick_s: float) -> None:
        side = self.clients[who] if who < 3 else self.server
        self.wall_s += tick_s
        number = len(self.edits)
        # Each edit has a value of its own, so that the winner can be recognised.
        value: Any = f"{number}"
        if key.startswith("tag:"):
            known = side.now.entries.get(key)
            value = not (known and known.value)
        side.now = edit(
            side.now,
            {key: value},
            is_server=side.is_server,
            wall_s=max(0.0, self.wall_s + side.skew_s),
            by=str(number),
        )
        seen = side.known.get(key, frozenset())
        self.edits.append(Edit(number, key, value, side.is_server, seen))
        side.known[key] = seen | {number}

    @rule(who=st.integers(0, 2))
    def sync(self, who: int) -> None:
        """Send, merge there, and merge the answer here."""
        client = self.clients[who]
        self._receive(client.now, client.known)
        self._answer(client, self.server.now, dict(self.server.known))

    @rule(who=st.integers(0, 2))
    def sync_without_an_answer(self, who: int) -> None:
        """The connection is cut before the server's answer comes."""
        client = self.clients[who]
        self._receive(client.now, client.known)

    @rule(who=st.integers(0, 2))
    def begin_an_answer(self, who: int) -> None:
        """The answer is under way while both sides may edit."""
        client = self.clients[who]
        self._receive(client.now, client.known)
        self.under_way.append((client, self.server.now, dict(self.server.known)))

    @rule()
    def end_an_answer(self) -> None:
        if self.under_way:
            self._answer(*self.under_way.pop(0))

    def _receive(self, sent: Annotations, known: dict[str, frozenset[int]]) -> None:
        received = Annotations.from_bytes(sent.to_bytes())
        assert received is not None
        self.server.now = fold(self.server.now, received)
        self._learn(self.server, known)

    def _answer(self, client: Side, sent: Annotations, known: dict[str, frozenset[int]]) -> None:
        received = Annotations.from_bytes(sent.to_bytes())
        assert received is not None
        client.now = fold(client.now, received)
        self._learn(client, known)

    def _learn(self, side: Side, known: dict[str, frozenset[int]]) -> None:
        for key, numbers in known.items():
            side.known[key] = side.known.get(key, frozenset()) | numbers

    @invariant()
    def the_server_has_nothing_pending(self) -> None:
        assert mark_synced(self.server.now) == self.server.now

    @invariant()
    def what_counts_was_not_overruled(self) -> None:
        """Of the edits that a side knows, the one that counts must be allowed to win."""
        for side in [*self.clients, self.server]:
            for key, numbers in side.known.items():
                winner = self.edits[int(side.now.entries[key].by)]
                assert winner.number in numbers
                for number in numbers - {winner.number}:
                    other = self.edits[number]
                    # Nobody who had seen the winner has edited since.
                    assert winner.number not in other.seen, (winner, other)
                    if other.is_server and not winner.is_server:
                        # Then it was seen, or somebody overruled it who had seen it.
                        assert self._is_overruled(other, numbers), (winner, other)

    def _is_overruled(self, one: Edit, numbers: frozenset[int]) -> bool:
        return any(one.number in self.edits[number].seen for number in numbers)

    def teardown(self) -> None:
        for _round in range(2):
            for who in range(len(self.clients)):
                self.sync(who)
        found = {one.now.to_bytes() for one in [*self.clients, self.server]}
        assert len(found) == 1


TestSides = Sides.TestCase
TestSides.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
