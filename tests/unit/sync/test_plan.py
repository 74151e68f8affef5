from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpctrack.sync.wire.messages import Outcome
from hpctrack.sync.wire.plan import Extent, choose_newest, choose_outcome
from hpctrack.sync.wire.refusal import REASONS, ItemRefusal, describe

relaxed = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
"""On a machine that does other things too, the time of an example says nothing."""

node_sets = st.frozensets(st.sampled_from("abc"))
extents = st.builds(
    Extent,
    points=st.integers(0, 4),
    attempts=st.integers(0, 3),
    asked_wall_s=st.floats(0, 3),
    nodes=node_sets,
)


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


@relaxed
@given(extents, extents)
def test_who_may_only_add_takes_nothing_away(new: Extent, old: Extent) -> None:
    if new.points >= old.points and new.attempts >= old.attempts and new.nodes >= old.nodes:
        assert choose_outcome(new, old, append_only=True) == Outcome.REPLACED
    else:
        with pytest.raises(ItemRefusal):
            choose_outcome(new, old, append_only=True)


@relaxed
@given(extents, extents | st.none())
def test_of_two_accountings_the_newer_one_stays_whoever_comes_first(
    new: Extent, old: Extent | None
) -> None:
    outcome = choose_newest(new, old)
    if old is None:
        assert outcome == Outcome.PUBLISHED
    elif new.asked_wall_s > old.asked_wall_s:
        assert (outcome, choose_newest(old, new)) == (Outcome.REPLACED, Outcome.PRESENT)
    else:
        assert outcome == Outcome.PRESENT


def test_a_code_of_a_newer_peer_is_shown_with_its_facts() -> None:
    assert describe("moon-phase", {"phase": "full"}) == "moon-phase (phase full)"


def test_a_peer_cannot_drive_the_terminal_through_a_fact() -> None:
    assert "\x1b" not in describe("other-run", {"project": "\x1b[2J", "run": "x"})
    assert "\x1b" not in describe("\x1b[2J", {})


def test_no_reason_tells_a_path() -> None:
    assert not [text for text in REASONS.values() if "/" in text.replace("$project/$run", "")]
