"""Code of the program that runs in the middle of our calls: signal handlers, values, objects."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import hpctrack
from tests.programs import only_run, run_python

TIME_OUTS = """
import signal, hpctrack

class Late(TimeoutError):
    pass

raised = 0

def on_alarm(number, frame):
    global raised
    raised += 1
    raise Late("the program's own")

run = hpctrack.init("p", settings={"finish_timeout_s": 120})
signal.signal(signal.SIGALRM, on_alarm)
caught = number = 0
values = {"a": 1.0, "b": 2.0}
CALL  # what it imports is not imported in the middle of an alarm
for _ in range(200):
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0003 + number % 97 * 1e-6)
        for _ in range(50_000):
            number += 1
            CALL
            if raised > caught:
                break
    except Late:
        caught += 1
signal.setitimer(signal.ITIMER_REAL, 0)
assert caught == raised > 100, (caught, raised)
run.log({"last": 1.0})
run.summary["done"] = 1
assert run.finish()
"""

CALLS = {
    "numbers": "run.log(values)",
    "new names": "run.log({f'n{number % 500}': 1.0, 'a': 2.0})",
    "words": "run.summary[f's{number % 50}'] = number; run.notes = str(number)",
    "configuration": "run.config.update({f'c{number % 50}': number}, allow_val_change=True)",
    "pictures": "run.log({'t': hpctrack.Text('x' * 100)})",
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_what_a_signal_handler_raises_passes_through_and_nothing_breaks(
    call: str, tmp_path: Path
) -> None:
    done = run_python(TIME_OUTS.replace("CALL", call), timeout_s=180)
    assert done.returncode == 0, done.stderr
    assert "the program's own" not in done.stderr
    found = only_run(tmp_path / "store")
    assert found.state == "finished"
    assert found.metric("last").values.tolist() == [1.0]
    assert found.summary["done"] == 1
    assert found.record.ledger.get("refused", {}) == {}
    assert found.record.ledger.get("dropped_frames", 0) == 0


def test_ctrl_c_in_the_middle_of_the_end_leaves_an_ended_run(tmp_path: Path) -> None:
    done = run_python(
        """
        import os, signal, hpctrack
        from tests.programs import list_agents
        run = hpctrack.init("p", settings={"finish_timeout_s": 60})
        run.log({"a": 1})
        assert run.flush(60)
        (agent,) = list_agents()
        os.kill(agent, signal.SIGSTOP)
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.5)
            run.finish()
        except KeyboardInterrupt:
            print("interrupted")
        os.kill(agent, signal.SIGCONT)
        run.log({"a": 2})
        print(run.finish(), run.is_finished)
        """,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["interrupted", "True", "True"]
    assert "Traceback" not in done.stderr


class Gate:
    """A number that is there when somebody opens the gate, as one on a busy GPU."""

    def __init__(self) -> None:
        self.is_asked = threading.Event()
        self.is_open = threading.Event()

    def item(self) -> float:
        self.is_asked.set()
        assert self.is_open.wait(180)
        return 0.5


def test_a_value_that_must_be_waited_for_holds_up_its_own_call_only(tmp_path: Path) -> None:
    run, gate = hpctrack.init("p"), Gate()
    waiting = threading.Thread(target=run.log, args=({"slow": gate},))
    waiting.start()
    assert gate.is_asked.wait(180)

    def work(number: int) -> None:
        for _ in range(100):
            run.log({f"m{number}": number, "new" + str(number): Number(number)})
        run.config[f"c{number}"] = number

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(180)
        assert not thread.is_alive(), "waits for another thread's value"
    gate.is_open.set()
    waiting.join(180)
    assert run.finish()
    found = only_run(tmp_path / "store")
    assert found.metric("slow").values.tolist() == [0.5]
    assert found.metric("slow").steps.tolist() == [0]
    steps = [step for number in range(16) for step in found.metric(f"m{number}").steps]
    assert sorted(steps) == list(range(1, 1601))
    for number in range(16):
        assert found.metric(f"new{number}").values.tolist() == [number] * 100
    assert len(found.config) == 16


class Number:
    """A number of another library."""

    def __init__(self, value: float) -> None:
        self._value = value

    def __float__(self) -> float:
        time.sleep(0)
        return float(self._value)


class Chatty:
    """A value that logs when it is asked for its number."""

    def __init__(self, run: hpctrack.Run) -> None:
        self._run = run

    def item(self) -> float:
        self._run.log({"inner": 1.0, "new": Number(2.0)})
        self._run.config["asked"] = True
        return 3.0


class Endless(Chatty):
    """A value that logs itself."""

    def item(self) -> float:
        self._run.log({"endless": self})
        return 4.0


def call_below(depth: int, function: Callable[[], object]) -> None:
    """Call a function from so many more calls."""
    if depth:
        call_below(depth - 1, function)
    else:
        function()


def test_a_value_that_logs_is_logged_and_one_that_logs_itself_is_refused(tmp_path: Path) -> None:
    with hpctrack.init("p") as run:
        run.log({"outer": Chatty(run)})
        for depth in range(8):  # the stack may end at any place of ours
            call_below(depth, lambda: run.log({"endless": Endless(run)}))
        run.log({"after": 5.0})
    found = only_run(tmp_path / "store")
    assert found.metric("outer").values.tolist() == [3.0]
    assert found.metric("outer").steps.tolist() == [0]
    assert found.metric("inner").values.tolist() == [1.0]
    assert found.metric("new").values.tolist() == [2.0]
    assert found.metric("after").values.tolist() == [5.0]
    assert found.config == {"asked": True}


class Nameless:
    """A key whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no name")

    __repr__ = __str__


def test_keys_and_steps_that_raise_cost_only_themselves(tmp_path: Path) -> None:
    with hpctrack.init("p") as run:
        run.log({Nameless(): 1.0, "a": 1.0})  # type: ignore[dict-item]
        run.log({"a": 2.0}, step=Nameless())  # type: ignore[arg-type]
    found = only_run(tmp_path / "store")
    assert found.metric("a").values.tolist() == [1.0, 2.0]
    assert found.record.ledger["refused"] == {"value": 1, "step": 1}
