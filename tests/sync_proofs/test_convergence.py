"""Any stores that push into one, in any order and however interrupted, agree by the rules.

The rules are on the page ``docs/reference/protocol.md``, under "What wins".
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpctrack.sync.wire.messages import Outcome
from hpctrack.sync.wire.plan import Extent, choose_newest, choose_outcome
from hpctrack.sync.wire.refusal import ItemRefusal
from tests.sync_proofs.worlds import World, check_agreement

WORLDS, STEPS = 24, 40


@pytest.mark.parametrize("seed", range(WORLDS))
def test_any_interleaving_of_pushes_converges(folder: Path, seed: int) -> None:
    world = World(folder, seed)
    try:
        for _step in range(STEPS):
            world.step()
        world.settle()
        check_agreement(world)
        # And once more: nothing changes when nothing is new.
        before = {one: one.stat().st_mtime_ns for one in world.server.rglob("run.h5")}
        world.settle()
        assert before == {one: one.stat().st_mtime_ns for one in world.server.rglob("run.h5")}
        check_agreement(world)
    except BaseException as error:
        error.add_note(f"seed {seed}: {', '.join(world.history)}")
        raise


# -- the rules alone, thousands of times ----------------------------------------------------------


def take(there: Extent | None, incoming: Extent) -> Extent:
    """Do what a receiver does with a sealed file."""
    try:
        choose_outcome(incoming, there)
    except ItemRefusal:
        assert there is not None
        return there
    return incoming


grown = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1)), min_size=1, max_size=6)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Extent], list[int]]:
    """Draw how a run grew, and which of its states were pushed, in any order."""
    points, attempts, states = 0, 1, []
    for more_points, more_attempts in draw(grown):
        points, attempts = points + more_points, attempts + more_attempts
        states.append(Extent(points=points, attempts=attempts))
    pushes = draw(st.lists(st.integers(0, len(states) - 1), max_size=12))
    return states, [*pushes, len(states) - 1]


@settings(deadline=None, max_examples=1000)
@given(histories(), st.randoms(use_true_random=False))
def test_the_last_state_of_a_run_is_kept_in_whatever_order_its_states_come(
    history: tuple[list[Extent], list[int]], chance: object
) -> None:
    states, pushes = history
    chance.shuffle(pushes)  # type: ignore[attr-defined] # hypothesis does not say what it is
    there: Extent | None = None
    for one in pushes:
        there = take(there, states[one])
    assert there == states[-1]


@settings(deadline=None, max_examples=1000)
@given(
    st.lists(st.builds(Extent, points=st.integers(0, 5), attempts=st.integers(1, 4)), min_size=1)
)
def test_what_has_arrived_is_never_given_up_for_less(pushes: list[Extent]) -> None:
    there: Extent | None = None
    for one in pushes:
        before, there = there, take(there, one)
        if before is not None:
            assert there.points >= before.points
            assert there.attempts >= before.attempts
        if there != one:
            assert one.points < there.points or one.attempts < there.attempts


@settings(deadline=None, max_examples=1000)
@given(st.lists(st.floats(0, 9), min_size=1), st.randoms(use_true_random=False))
def test_the_newest_accounting_is_kept_in_whatever_order_they_come(
    times: list[float], chance: object
) -> None:
    chance.shuffle(times)  # type: ignore[attr-defined] # as above
    there: Extent | None = None
    for one in times:
        incoming = Extent(asked_wall_s=one)
        if choose_newest(incoming, there) != Outcome.PRESENT:
            there = incoming
    assert there == Extent(asked_wall_s=max(times))
