"""The line to a trial: what it says, what it is told, and how it is ended."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpctrack.agents.stop import read_stop
from hpctrack.core import trial_wire
from hpctrack.core.clock import SYSTEM_CLOCK
from hpctrack.core.layout import run_folder
from hpctrack.core.trial_wire import Answer, Ask, Hello, Report, Stop
from hpctrack.sweeps.control import Wish, read_control, write_control
from hpctrack.sweeps.search.search import Search
from hpctrack.sweeps.sweep import Sweep
from hpctrack.sweeps.worker.child import ChildEnd, run_child
from hpctrack.sweeps.worker.chosen import choose_point
from hpctrack.sweeps.worker.claims import Claim, make_claim
from hpctrack.sweeps.worker.iterations import IterationCounter
from hpctrack.sweeps.worker.link import TrialLink
from hpctrack.sweeps.worker.printed import OutputPump, PrintedValues
from hpctrack.sweeps.worker.signals import SignalRelay
from hpctrack.sweeps.worker.watch import CANCELLED, LEAVING, LOST, Patience, TrialWatch
from tests.leaks import count_files
from tests.programs import wait_for
from tests.stores import FakeClock
from tests.trials import LOSS, make_sweep, python_command

QUICK = Patience(look_s=0.05, silent_s=0.1, obey_s=0.5, notice_s=0.3, file_obey_s=0.3)
THRESHOLD = {"type": "threshold", "upper": 5.0}

CLIENT = """
import json, os, signal, socket, sys, time
line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
line.connect(os.environ["HPCTRACK_SWEEP_SOCKET"])
line.settimeout(180)
def say(**told): line.send(json.dumps(told).encode())
def hear(): return json.loads(line.recv(70000))
say(hello={"run": "r", "attempt": 1, "pid": os.getpid(), "raises": False})
def ask(number):
    say(ask=number)
    while True:
        heard = hear()
        if heard.get("answer") == number: return heard["stop"]
"""


class Rank:
    """Rank 0 of a trial, in this process."""

    def __init__(self, path: str) -> None:
        self.line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.line.connect(path)
        self.line.settimeout(180)

    def say(self, *messages: trial_wire.Message) -> None:
        for one in messages:
            self.line.send(trial_wire.pack_message(one))

    def hear(self) -> trial_wire.Message:
        return trial_wire.read_message(self.line.recv(70_000))


@contextmanager
def connected(link: TrialLink) -> Iterator[Rank]:
    rank = Rank(link.path)
    try:
        yield rank
    finally:
        rank.line.close()


def judged_sweep(tmp_path: Path, **more: Any) -> Sweep:
    metric = {"name": "loss", "goal": "minimize"}
    return make_sweep(tmp_path, **{"metric": metric, "early_terminate": THRESHOLD, **more})


@contextmanager
def watching(sweep: Sweep, **more: Any) -> Iterator[TrialWatch]:
    search = Search.open(sweep)
    point = choose_point(sweep, search, 0)
    watch = TrialWatch(
        sweep,
        0,
        point=point.number,
        **{
            "search": search,
            "counter": IterationCounter(),
            "attempt": 1,
            "clock": SYSTEM_CLOCK,
            "patience": QUICK,
            **more,
        },
    )
    try:
        yield watch
    finally:
        watch.finish()
        search.close()


def run(watch: TrialWatch, command: list[str], tmp_path: Path, **more: Any) -> ChildEnd:
    environ = {**os.environ, "HPCTRACK_SWEEP_SOCKET": watch.link.path}
    return run_child(command, environ=environ, directory=tmp_path, watch=watch, **more)


def test_a_link_is_private_short_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    before = count_files()
    link = TrialLink()
    folder = Path(link.path).parent
    assert len(link.path) < 100
    assert folder.stat().st_mode & 0o777 == 0o700
    with connected(link):
        link.listen(1.0)
    link.close()
    assert not folder.exists()
    assert list(deep.iterdir()) == []
    wait_for(lambda: count_files() <= before)


def test_a_link_hears_reports_answers_questions_and_passes_over_noise() -> None:
    link = TrialLink()
    with connected(link) as rank:
        rank.say(Hello("r", 1, 7, True), Report(3, {"loss": 0.5}), Ask(1))
        rank.line.send(b"noise")
        rank.line.send(b"\xff" * 1000)
        rank.say(Report(4, {"loss": float("nan")}))
        heard = link.listen(1.0)
        while not heard.has_begun:
            heard = link.listen(1.0)
        assert heard.raises
        assert heard.asks == 1
        assert [step for step, _ in heard.reports] == [3, 4]
        link.answer("")
        assert rank.hear() == Answer(1, False, "")
        rank.say(Ask(2))
        link.listen(1.0)
        link.answer("worse")
        assert rank.hear() == Answer(2, True, "worse")
        link.tell("now")
        assert rank.hear() == Stop("now")
    link.close()


def test_a_rank_that_does_not_read_or_has_gone_does_not_hold_up_its_worker() -> None:
    link = TrialLink()
    with connected(link) as rank:
        rank.say(Hello("r", 1, 7, False), Ask(1))
        while not link.listen(1.0).asks:
            pass
        for _ in range(10_000):
            link.tell("y" * 400)
        assert rank.hear() == Stop("y" * 400), "what there was room for has come"
        rank.line.close()
        link.answer("x")
        heard = link.listen(0.1)
        assert (heard.reports, heard.asks) == ([], 0)
        link.tell("z")
    link.close()


def test_a_rank_that_talks_without_end_is_heard_a_part_at_a_time() -> None:
    link = TrialLink()
    with connected(link) as rank:
        rank.line.settimeout(0)
        link.listen(0.5)
        said = 0
        with suppress(BlockingIOError):
            while True:
                rank.say(Report(said, {"loss": 1.0}))
                said += 1
        assert said > 10
        heard = [step for one in link.listen_to_rest() for step, _ in one.reports]
        assert heard == list(range(said))
    link.close()


def test_what_a_trial_said_last_is_heard_though_it_did_not_listen() -> None:
    link = TrialLink()
    with connected(link) as rank:
        link.listen(1.0)
        link.tell("it is never read")
        rank.say(Report(1, {"loss": 1.0}), Report(2, {"loss": 2.0}))
    heard = [step for one in link.listen_to_rest() for step, _ in one.reports]
    assert heard == [1, 2]
    link.close()


def test_what_a_short_trial_says_is_heard_though_nobody_had_accepted_it(tmp_path: Path) -> None:
    with watching(judged_sweep(tmp_path)) as watch, connected(watch.link) as rank:
        rank.say(Hello("r", 1, 7, False), Report(0, {"loss": 9.0, "other": 1.0}))
    assert watch.values == {"loss": 9.0, "other": 1.0}
    assert watch.iterations == 1
    assert watch.why


def test_the_pace_of_a_trial_is_that_of_its_reports_and_not_of_its_start(tmp_path: Path) -> None:
    time = FakeClock()
    with (
        watching(judged_sweep(tmp_path), clock=time.clock(), search=None) as watch,
        connected(watch.link) as rank,
    ):
        time.now_s += 100.0
        for count in (1, 2, 3):
            rank.say(Report(count, {"loss": 1.0}))
            wait_for(lambda count=count: watch.turn(0.05) or watch.iterations == count)  # type: ignore[misc]
            assert watch.pace_s == (None if count == 1 else 3.0)
            time.now_s += 3.0


def test_a_program_that_asks_is_told_when_it_does_badly(tmp_path: Path) -> None:
    code = CLIENT + (
        "for step in range(1000):\n"
        "    say(step=step, values={'loss': 2.0 * step})\n"
        "    if ask(step + 1): sys.exit(0)\n"
    )
    with watching(judged_sweep(tmp_path)) as watch:
        end = run(watch, python_command(code), tmp_path)
    assert (end.exit_code, end.signal) == (0, "")
    assert watch.why
    assert watch.values == {"loss": 6.0}
    assert watch.iterations == 4


def test_a_program_that_asks_and_goes_on_is_ended_at_last(tmp_path: Path) -> None:
    code = CLIENT + "say(step=0, values={'loss': 9})\nask(1)\ntime.sleep(60)\n"
    with watching(judged_sweep(tmp_path)) as watch:
        end = run(watch, python_command(code), tmp_path)
    assert end.signal == "SIGTERM"
    assert end.message == watch.why != ""


def test_a_program_that_never_asks_is_told_and_then_ended(tmp_path: Path) -> None:
    code = CLIENT + (
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(5 if told else 6))\n"
        "told = False\n"
        "say(step=0, values={'loss': 9})\n"
        "told = hear()['stop']\n"
        "time.sleep(60)\n"
    )
    # It has to have heard before it is ended: a busy machine may let it wait for its turn.
    with watching(judged_sweep(tmp_path), patience=replace(QUICK, obey_s=4.0)) as watch:
        end = run(watch, python_command(code), tmp_path)
    assert end.exit_code == 5
    assert watch.why


def test_a_program_that_ignores_everything_is_killed(tmp_path: Path) -> None:
    code = CLIENT + (
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "say(step=0, values={'loss': 9})\n"
        "time.sleep(60)\n"
    )
    with watching(judged_sweep(tmp_path)) as watch:
        end = run(watch, python_command(code), tmp_path, kill_after_s=0.2)
    assert end.signal == "SIGKILL"
    assert watch.why


def test_a_program_that_only_prints_is_ended_at_once(tmp_path: Path) -> None:
    sweep = judged_sweep(tmp_path, metric=LOSS)
    pump = OutputPump(sweep.folder.log(0), PrintedValues(sweep.file.metrics))
    text = "echo loss=1; echo loss=0.5D+01; echo loss=7; exec sleep 60"
    with watching(sweep, pump=pump) as watch:
        end = run(watch, ["sh", "-c", text], tmp_path, output=watch.writer)
    assert end.signal == "SIGTERM"
    assert watch.values == {"loss": 7.0}
    assert watch.iterations == 3
    assert sweep.folder.log(0).read_text().splitlines()[-1] == "loss=7"


@pytest.mark.parametrize("is_pumped", [False, True])
def test_a_program_out_of_reach_is_watched_by_its_files_and_told_by_one(
    tmp_path: Path, is_pumped: bool
) -> None:
    sweep = judged_sweep(tmp_path)
    # Its output may be copied for its last words' sake, and no values be looked for in it.
    pump = OutputPump(tmp_path / "log", PrintedValues(sweep.file.metrics)) if is_pumped else None
    code = (
        "import time, hpctrack\n"
        "run = hpctrack.init(id='s-0000', project='p')\n"
        "run.log({'loss': 9.0}, step=0)\n"
        "open('up', 'w').close()\n"
        "time.sleep(60)\n"
    )
    with watching(sweep, pump=pump) as watch:
        environ = {one: os.environ[one] for one in os.environ if "SWEEP" not in one}
        end = run_child(
            [sys.executable, "-c", code],
            environ=environ,
            directory=tmp_path,
            output=watch.writer,
            watch=watch,
        )
    assert end.signal == "SIGTERM"
    assert watch.why
    stop = read_stop(run_folder(sweep.store, "p", "s-0000"), 1)
    assert stop == {"who": "sweep", "why": watch.why}


def test_a_trial_that_is_not_judged_is_still_watched(tmp_path: Path) -> None:
    with watching(judged_sweep(tmp_path), search=None) as watch:
        with connected(watch.link) as rank:
            rank.say(Hello("r", 1, 7, False), Report(0, {"loss": 99.0}))
            wait_for(lambda: watch.turn(0.1) or watch.values)
        assert watch.why == ""
        assert watch.values == {"loss": 99.0}


def test_a_cancelled_sweep_ends_its_trials_and_an_unreadable_wish_does_not_undo_it(
    tmp_path: Path,
) -> None:
    sweep = judged_sweep(tmp_path)
    with watching(sweep) as watch:
        assert watch.turn(0.0) == ""
        with connected(watch.link) as rank:
            rank.say(Hello("r", 1, 7, False))
            wait_for(lambda: watch.turn(0.05) == "" and watch._has_begun)
            write_control(sweep.folder, Wish.CANCEL)
            assert wait_for(lambda: watch.turn(0.05)) == CANCELLED
            assert rank.hear() == Stop(CANCELLED)
            sweep.folder.control.unlink()
            assert not any(watch.turn(0.03) != CANCELLED for _ in range(4))
            rank.say(Ask(1))
            wait_for(lambda: watch.turn(0.05))
            assert rank.hear() == Answer(1, True, CANCELLED)
        assert watch.is_cancelled


def test_a_trial_that_somebody_else_has_meanwhile_is_ended(tmp_path: Path) -> None:
    sweep = judged_sweep(tmp_path)
    with watching(sweep) as watch:
        assert watch.turn(0.0) == ""
        make_claim(sweep.folder, Claim(trial=0, attempt=2, worker="other"))
        assert wait_for(lambda: watch.turn(0.05)) == LOST


def test_a_program_hears_that_its_time_is_up_and_whether_it_could_is_known(
    tmp_path: Path,
) -> None:
    with (
        SignalRelay() as relay,
        watching(judged_sweep(tmp_path), relay=relay) as watch,
        connected(watch.link) as rank,
    ):
        rank.say(Hello("r", 1, 7, False))
        wait_for(lambda: watch.turn(0.05) or watch._has_begun)
        os.kill(os.getpid(), signal.SIGUSR2)
        assert watch.turn(0.0) == ""
        assert rank.hear() == Stop(LEAVING)
        assert not watch.may_have_obeyed, "it never asks"
        rank.say(Ask(1))
        wait_for(lambda: watch.turn(0.05) or watch.may_have_obeyed)
        assert rank.hear() == Answer(1, True, LEAVING)


@pytest.mark.parametrize(
    ("goal", "values", "reached"),
    [("minimize", [0.2, 0.1], True), ("minimize", [0.2], False), ("maximize", [0.05], False)],
)
def test_a_target_that_is_reached_stops_the_sweep_unless_somebody_wants_something_else(
    tmp_path: Path, goal: str, values: list[float], reached: bool
) -> None:
    metric = {"name": "loss", "goal": goal, "target": 0.1}
    sweep = judged_sweep(tmp_path, metric=metric)
    with watching(sweep) as watch, connected(watch.link) as rank:
        rank.say(Hello("r", 1, 7, False), *(Report(at, {"loss": v}) for at, v in enumerate(values)))
        wait_for(lambda: watch.turn(0.05) or watch.iterations == len(values))
        assert (read_control(sweep.folder).wish == Wish.STOP) == reached
        write_control(sweep.folder, Wish.PAUSE)
        rank.say(Report(9, {"loss": 0.0}))
        wait_for(lambda: watch.turn(0.05) or watch.iterations == len(values) + 1)
        assert read_control(sweep.folder).wish == Wish.PAUSE


def test_a_search_that_cannot_judge_leaves_the_trial_alone_and_complains_once(
    tmp_path: Path,
) -> None:
    sweep = judged_sweep(tmp_path)
    said: list[str] = []
    with watching(sweep, say=said.append) as watch, connected(watch.link) as rank:
        watch._point = 4711
        rank.say(Hello("r", 1, 7, False), *(Report(at, {"loss": 9.0}) for at in range(3)))
        wait_for(lambda: watch.turn(0.05) or watch.iterations == 3)
        assert watch.why == ""
    assert len(said) == 1
    assert "unjudged" in said[0]


def test_a_run_goes_on_with_the_numbers_of_its_earlier_attempt(tmp_path: Path) -> None:
    with (
        watching(judged_sweep(tmp_path), counter=IterationCounter([0, 10, 20])) as watch,
        connected(watch.link) as rank,
    ):
        rank.say(Hello("r", 2, 7, False), Report(10, {"loss": 1.0}), Report(30, {"loss": 1.0}))
        wait_for(lambda: watch.turn(0.05) or watch.values)
        assert watch.iterations == 4


def test_a_program_of_our_own_reports_to_its_worker(tmp_path: Path) -> None:
    sweep = judged_sweep(tmp_path)
    code = (
        "import sys, hpctrack\n"
        "with hpctrack.init(id='s-0000', project='p') as run:\n"
        "    for step in range(1000):\n"
        "        run.log({'loss': 2.0 * step}, step=step)\n"
        "        if run.should_stop(): sys.exit(0)\n"
        "sys.exit(3)\n"
    )
    with watching(sweep, patience=Patience()) as watch:
        environ = {
            **os.environ,
            "HPCTRACK_SWEEP_SOCKET": watch.link.path,
            "HPCTRACK_SWEEP_METRICS": '["loss"]',
        }
        end = run_child(
            [sys.executable, "-c", code], environ=environ, directory=tmp_path, watch=watch
        )
    assert end.exit_code == 0
    assert watch.why
    assert watch.iterations == 4
