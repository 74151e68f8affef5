"""The loop of ``hpctrack sync --watch``, with a clock of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from hpctrack.cli.sync.watch import BACK_OFF_MAX_S, Pace, keep_pushing
from hpctrack.core.clock import Clock
from hpctrack.errors import AuthError, ConnectError, HpctrackError, RefusedError, SyncError


class Scene:
    """Pushes that end as a list says: seconds that one takes, an error, or the last one."""

    def __init__(self, *script: float | HpctrackError | None) -> None:
        self.script = list(script)
        self.now_s = 0.0
        self.began_s: list[float] = []
        self.said: list[str] = []

    def push(self) -> bool:
        self.began_s.append(self.now_s)
        step = self.script.pop(0)
        if isinstance(step, HpctrackError):
            raise step
        self.now_s += step or 0.0
        return step is None

    def on_loss(self, error: SyncError, wait_s: float) -> None:
        self.said.append(f"lost: {error.message}, {wait_s:g}")

    def run(self, interval_s: float = 30.0) -> None:
        def sleep(seconds: float) -> None:
            self.now_s += seconds

        clock = Clock(wall_s=lambda: self.now_s, mono_s=lambda: self.now_s)
        keep_pushing(self.push, self.on_loss, Pace(interval_s=interval_s, clock=clock, sleep=sleep))


def test_pushes_begin_every_interval() -> None:
    scene = Scene(1.0, 5.0, 0.0, None)
    scene.run()
    assert scene.began_s == [0, 30, 60, 90]
    assert scene.said == []


def test_after_a_long_push_there_is_a_pause() -> None:
    scene = Scene(20.0, 100.0, None)
    scene.run()
    assert scene.began_s == [0, 40, 170]


def test_a_loss_is_told_once_and_tried_again_less_and_less_often() -> None:
    lost = ConnectError("nobody answers")
    scene = Scene(0.0, lost, SyncError("cut"), *[lost] * 6, 0.0, None)
    scene.run()
    assert scene.said == ["lost: nobody answers, 30"]
    pauses = [later - before for before, later in pairwise(scene.began_s)]
    assert pauses == [30, 30, 60, 120, 240, 300, 300, 300, 300, 30]
    assert max(pauses) == BACK_OFF_MAX_S


def test_another_loss_is_told_anew() -> None:
    lost = SyncError("cut")
    scene = Scene(0.0, lost, 0.0, lost, None)
    scene.run()
    assert scene.said == ["lost: cut, 30"] * 2


@pytest.mark.parametrize("make", [AuthError, RefusedError])
def test_an_answer_that_is_a_no_ends_it(make: Callable[[str], HpctrackError]) -> None:
    scene = Scene(0.0, make("no"))
    with pytest.raises(SyncError, match="no"):
        scene.run()


def test_the_first_push_has_to_work() -> None:
    with pytest.raises(ConnectError):
        Scene(ConnectError("no such host")).run()
