"""Calls with arguments that nobody means to pass: told and counted, and never raised."""

from __future__ import annotations

import datetime as dt
import decimal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hpctrack
from hpctrack.errors import HpctrackError, UsageError
from tests.programs import only_run, run_python


class Evil:
    """An object that raises whatever is asked of it."""

    def _refuse(self, *_arguments: object) -> Any:
        raise RuntimeError("asked too much")

    __getattr__ = __str__ = __repr__ = __len__ = __iter__ = __bool__ = __eq__ = _refuse
    __index__ = __float__ = __fspath__ = _refuse

    def __hash__(self) -> int:
        return 3


class EvilText(str):
    """A text that cannot be had as one."""

    __slots__ = ()

    def __str__(self) -> str:
        raise RuntimeError("no text")


FOR_EVER = float("inf")

LOOP: dict[str, Any] = {}
LOOP["again"] = LOOP

ODD = [
    None, True, 0, -1, 10**400, float("nan"), FOR_EVER, 1j, "", "x", "a/b", "\ud800", "\0",
    "x" * 100_000, b"x", [], [1], (), {}, {"a": 1}, {None: 3}, LOOP, {1}, object(), Evil(),
    EvilText("z"), int, print, decimal.Decimal("NaN"), dt.timedelta(1), Path("x"), np.float32(1),
    np.zeros(3), np.array(None), np.datetime64("NaT"), np.ma.masked, iter([1]), range(3), ...,
    memoryview(b"x"),
]  # fmt: skip

CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "log": lambda run, odd: run.log(odd),
    "log value": lambda run, odd: run.log({"v": odd, "n": {"m": odd}}),
    "log step": lambda run, odd: run.log({"s": 1.0}, odd),
    "log commit": lambda run, odd: run.log({"s": 1.0}, commit=odd, sync=odd),
    "config": lambda run, odd: run.config.__setitem__("c", odd),
    "config attribute": lambda run, odd: setattr(run.config, "d", odd),
    "config update": lambda run, odd: run.config.update(odd),
    "config may change": lambda run, odd: run.config.update({"c": 1}, allow_val_change=odd),
    "config defaults": lambda run, odd: run.config.setdefaults(odd),
    "summary": lambda run, odd: run.summary.__setitem__("c", odd),
    "summary update": lambda run, odd: run.summary.update(odd),
    "name": lambda run, odd: setattr(run, "name", odd),
    "tags": lambda run, odd: setattr(run, "tags", odd),
    "more tags": lambda run, odd: setattr(run, "tags", run.tags + odd),
    "notes": lambda run, odd: setattr(run, "notes", odd),
    "define": lambda run, odd: run.define_metric(odd),
    "define step": lambda run, odd: run.define_metric("m", odd, hidden=odd, overwrite=odd),
    "define summary": lambda run, odd: run.define_metric("m", summary=odd),
    "define goal": lambda run, odd: run.define_metric("m", goal=odd),
    "alert": lambda run, odd: run.alert(odd, odd),
    "alert level": lambda run, odd: run.alert("t", "x", odd),
    "alert wait": lambda run, odd: [run.alert("t", "x", "INFO", odd) for _ in range(2)],
    "save": lambda run, odd: run.save(odd),
    "save base": lambda run, odd: run.save("nothing", odd),
    "save policy": lambda run, odd: run.save("nothing", policy=odd),
    "log_code": lambda run, odd: run.log_code("home", odd, odd),
    "watch": lambda run, odd: run.watch(odd),
    "watch log": lambda run, odd: run.watch([], None, odd, idx=odd, log_graph=odd),
    "unwatch": lambda run, odd: run.unwatch(odd),
    "flush": lambda run, odd: run.flush(odd) if odd is not FOR_EVER else None,
    "module alert": lambda _run, odd: hpctrack.alert(odd),
    "module log": lambda _run, odd: hpctrack.log(odd),
    "module save": lambda _run, odd: hpctrack.save(odd),
    "module define": lambda _run, odd: hpctrack.define_metric(odd),
}


def make_key_calls() -> list[Callable[[Any], object]]:
    keys = [
        odd for odd in ODD if isinstance(odd, (str, int, float, bytes, tuple, Path, Evil, type))
    ]
    return [
        call
        for key in keys
        for call in (
            lambda run, key=key: run.log({key: 1.0}),
            lambda run, key=key: run.config.__setitem__(key, 1),
            lambda run, key=key: run.summary.__setitem__(key, 1),
        )
    ]


def call_all(run: hpctrack.Run, raised: list[str]) -> None:
    """Make all calls with all odd arguments; note what reaches the program."""
    for name, call in CALLS.items():
        for number, odd in enumerate(ODD):
            try:
                call(run, odd)
            except Exception as error:  # noqa: BLE001 - that is the question
                raised.append(f"{name} {number} {type(odd).__name__}: {type(error).__name__}")
    for call_with_key in make_key_calls():
        try:
            call_with_key(run)
        except Exception as error:  # noqa: BLE001 - as above
            raised.append(f"key: {type(error).__name__}: {error}")


@pytest.mark.slow
def test_no_argument_raises_into_the_program_before_or_after_the_end(tmp_path: Path) -> None:
    raised: list[str] = []
    run = hpctrack.init("p", settings={"seal": "manual"})
    call_all(run, raised)
    run.log({"last": 1.0})
    assert run.finish(Evil())  # type: ignore[arg-type]
    call_all(run, raised)
    assert raised == []
    found = only_run(tmp_path / "store")
    assert found.metric("last").values.tolist() == [1.0]
    assert found.record.ledger["refused"]["log"] > 10
    assert found.ranks()[0].exit_code == 1


def test_no_argument_raises_in_any_thread(tmp_path: Path) -> None:
    raised: list[str] = []
    with hpctrack.init("p", settings={"seal": "manual"}) as run:
        threads = [threading.Thread(target=call_all, args=(run, raised)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        run.log({"last": 1.0})
    assert raised == []
    assert only_run(tmp_path / "store").metric("last").values.tolist() == [1.0]


def test_strict_raises_what_a_call_is_misused_for() -> None:
    run = hpctrack.init("p", strict=True)
    misuses: list[Callable[[], object]] = [
        lambda: run.log(5),  # type: ignore[arg-type]
        lambda: run.log({"a": 1}, "soon"),  # type: ignore[arg-type]
        lambda: run.config.update(5),
        lambda: run.define_metric("a", goal="up"),
        lambda: run.alert("t", level="LOUD"),
        lambda: run.save(""),
        lambda: run.log_code(5),  # type: ignore[arg-type]
        lambda: run.watch(5),
    ]
    for misuse in misuses:
        with pytest.raises(HpctrackError):
            misuse()
    run.finish()
    late: list[Callable[[], object]] = [
        lambda: run.log({"a": 1}),
        lambda: run.config.update({"a": 1}),
        lambda: run.alert("t"),
        lambda: run.save("x"),
    ]
    for call in late:
        with pytest.raises(UsageError, match="after finish"):
            call()


def test_odd_arguments_of_init_cost_what_they_say_and_no_traceback() -> None:
    done = run_python(
        """
        import sys
        sys.path.insert(0, sys.argv[1])
        import hpctrack
        from tests.unit.client.test_odd_arguments import ODD, Evil
        names = ("project name id config group job_type tags notes dir mode resume settings strict "
                 "resume_from fork_from config_exclude_keys config_include_keys rules "
                 "sync_tensorboard entity").split()
        fast = {"seal": "manual", "quiet": True}
        for name in names:
            for number, odd in enumerate(ODD):
                if name == "strict" or isinstance(odd, str) and name in ("dir", "fork_from"):
                    continue
                try:
                    run = hpctrack.init(**{"mode": "disabled", "settings": fast, name: odd})
                    run.log({"a": 1.0})
                    run.finish()
                except Exception as error:
                    print(name, number, type(odd).__name__, type(error).__name__, str(error)[:80])
        """,
        str(Path(__file__).parents[3]),
        timeout_s=100,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
