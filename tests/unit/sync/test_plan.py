from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpctrack.sync.wire.messages import Item, ItemKind, Key, Outcome
from hpctrack.sync.wire.plan import Extent, choose_outcome, make_plan
from hpctrack.sync.wire.refusal import REASONS, ItemRefusal, describe

relaxed = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
"""On a machine that does other things too, the time of an example says nothing."""

keys = st.builds(
    Key, st.sampled_from(ItemKind), st.sampled_from("ab"), st.sampled_from(["r1", "r2", "r3"])
)
items = st.builds(Item, keys, st.sampled_from(["0" * 64, "1" * 64]), st.integers(0, 9))
extents = st.builds(Extent, points=st.integers(0, 4), attempts=st.integers(0, 3))


@relaxed
@given(st.lists(items), st.lists(items))
def test_every_local_item_is_either_sent_or_there(local: list[Item], remote: list[Item]) -> None:
    plan = make_plan(local, remote)
    mine = {one.key: one for one in local}
    assert sorted((*plan.send, *plan.present), key=lambda one: one.key) == sorted(
        mine.values(), key=lambda one: one.key
    )
    there = {one.key: one.sha256 for one in remote}
    assert all(there[one.key] == one.sha256 for one in plan.present)
    assert all(there.get(one.key) != one.sha256 for one in plan.send)
    assert plan.size_bytes == sum(one.size_bytes for one in plan.send)


@relaxed
@given(st.lists(items))
def test_a_second_push_sends_nothing(local: list[Item]) -> None:
    first = make_plan(local, [])
    assert make_plan(local, first.send).send == ()


@relaxed
@given(st.lists(items))
def test_sweeps_go_before_the_runs(local: list[Item]) -> None:
    kinds = [one.key.kind for one in make_plan(local, []).send]
    assert kinds == sorted(kinds, key=lambda kind: kind != ItemKind.SWEEP)


@relaxed
@given(extents, extents)
def test_a_file_is_replaced_only_by_one_that_holds_as_much(new: Extent, old: Extent) -> None:
    if new.points >= old.points and new.attempts >= old.attempts:
        assert choose_outcome(new, old) == Outcome.REPLACED
    else:
        with pytest.raises(ItemRefusal) as caught:
            choose_outcome(new, old)
        assert caught.value.code == "fewer-points"
        assert str(old.points) in describe(caught.value.code, caught.value.facts)


@relaxed
@given(extents)
def test_nothing_and_a_broken_file_are_always_replaced(new: Extent) -> None:
    assert choose_outcome(new, None) == Outcome.PUBLISHED


def test_a_code_of_a_newer_peer_is_shown_with_its_facts() -> None:
    assert describe("moon-phase", {"phase": "full"}) == "moon-phase (phase full)"


def test_a_peer_cannot_drive_the_terminal_through_a_fact() -> None:
    assert "\x1b" not in describe("other-run", {"project": "\x1b[2J", "run": "x"})
    assert "\x1b" not in describe("\x1b[2J", {})


def test_no_reason_tells_a_path() -> None:
    assert not [text for text in REASONS.values() if "/" in text.replace("$project/$run", "")]
