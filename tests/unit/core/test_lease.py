"""Promises of rank 0: whatever the order of events, all ranks stop at the same position."""

from __future__ import annotations

import random
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpctrack.core.lease import (
    AHEAD_MAX,
    LOCAL_SPREAD_S,
    LOOK_S,
    Giver,
    Taker,
    choose_look_s,
    choose_spread_s,
)


def ask_in_a_row(giver: Giver, count: int, *, pace_s: float, stride: int = 1) -> list[int]:
    """Return where rank 0 has renewed its promise."""
    renewed = []
    for number in range(count):
        position = 1 + number * stride
        _, news = giver.ask(position, number * pace_s, wants_stop=False)
        if news:
            renewed.append(position)
    return renewed


class Ranks:
    """Ranks that pass positions in any order, and news that are late by chance."""

    def __init__(self, size: int, strides: list[int], wish_at: int, chance: random.Random) -> None:
        self.giver = Giver(0.1)
        self.takers = [Taker() for _ in range(size - 1)]
        self.letters: list[deque[dict[str, int]]] = [deque() for _ in self.takers]
        self.path = [sum(strides[: one + 1]) for one in range(len(strides))]
        self.wish_at = wish_at
        self.chance = chance
        self.now_s = 0.0
        self.at = [0] * size
        self.ended: list[int | None] = [None] * size

    def step(self) -> None:
        """Let something happen."""
        rank = self.chance.randrange(len(self.at))
        if rank and self.chance.random() < 0.5 and self.letters[rank - 1]:
            self.takers[rank - 1].take(self.letters[rank - 1].popleft())
        elif self.ended[rank] is None and self.at[rank] < len(self.path):
            self._ask(rank, self.path[self.at[rank]])

    def _ask(self, rank: int, position: int) -> None:
        self.now_s += self.chance.choice([1e-5, 0.01, 0.3])
        if rank == 0:
            is_over, news = self.giver.ask(
                position, self.now_s, wants_stop=self.at[0] >= self.wish_at
            )
            if news:
                for one in self.letters:
                    one.append(news)
            answer: bool | None = is_over
        else:
            answer = self.takers[rank - 1].ask(position)
        if answer:
            self.ended[rank] = position
        elif answer is False:
            self.at[rank] += 1

    @property
    def is_done(self) -> bool:
        return all(
            end is not None or at == len(self.path)
            for end, at in zip(self.ended, self.at, strict=True)
        )


@given(
    size=st.integers(2, 5),
    strides=st.lists(st.integers(1, 50), min_size=1, max_size=60),
    wish_at=st.integers(0, 40),
    seed=st.integers(0, 2**32),
)
def test_all_ranks_end_at_the_same_position(
    size: int, strides: list[int], wish_at: int, seed: int
) -> None:
    ranks = Ranks(size, strides, wish_at, random.Random(seed))
    for _ in range(20_000):
        if ranks.is_done:
            break
        ranks.step()
    assert ranks.is_done, "somebody waits for ever"
    assert len(set(ranks.ended)) == 1


def test_quick_calls_are_promised_many_at_a_time_and_slow_ones_singly() -> None:
    assert len(ask_in_a_row(Giver(0.1), 1000, pace_s=0.001)) < 60
    assert ask_in_a_row(Giver(0.1), 20, pace_s=2.0) == list(range(1, 21))


def test_ranks_that_work_in_step_never_have_to_wait() -> None:
    giver, taker = Giver(0.1), Taker()
    for call in range(1, 50):
        assert taker.ask(call) is False  # before rank 0 has come to it
        _, news = giver.ask(call, call * 5.0, wants_stop=False)
        taker.take(news)


def test_no_promise_is_longer_than_the_past_or_the_bound() -> None:
    giver = Giver(0.1)
    for call in range(1, 2000):
        giver.ask(call, call * 1e-6, wants_stop=False)
        assert giver.until is not None
        assert giver.until <= call + 2 * min(call, AHEAD_MAX)


def test_old_and_foreign_news_do_no_harm() -> None:
    taker = Taker()
    for news in ({"until": 9}, {"until": 4}, None, "x", {"until": "20"}, {"after": None}, {}):
        taker.take(news)
    assert (taker.until, taker.after) == (9, None)
    taker.take({"after": 9})
    taker.take({"after": 30, "until": 50})
    assert [taker.ask(position) for position in (1, 9, 10)] == [False, False, True]


@pytest.mark.parametrize(("size", "local", "look_s"), [(4, 2, LOOK_S), (12_800, 100, 2 * LOOK_S)])
def test_many_nodes_look_less_often(size: int, local: int, look_s: float) -> None:
    assert choose_look_s(size, local) == pytest.approx(look_s)
    assert choose_spread_s(size, local) > 2 * look_s
    assert choose_spread_s(local, local) == LOCAL_SPREAD_S
