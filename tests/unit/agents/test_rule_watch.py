"""Rules in the recorder: what is told, who does it, and that it is done once."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hpctrack import Store
from hpctrack.agents.recorder import Recorder
from hpctrack.agents.stop import read_stop
from hpctrack.core import wire
from hpctrack.core.rule_reading import add_rules
from hpctrack.core.wire import NAME_HEAD
from hpctrack.store.repair import repair_run
from hpctrack.store.seal import seal_run
from hpctrack.store.verify import verify_run
from hpctrack.telemetry.reading import Reading, Sample
from tests.programs import wait_for
from tests.stores import START_S, FakeClock, hello

NAN = float("nan")
GOT: list[int] = []


@pytest.fixture
def handler() -> Iterator[list[int]]:
    """This process stands for the ranks: it counts what it gets."""
    before = signal.signal(signal.SIGUSR1, lambda number, _frame: GOT.append(number))
    GOT.clear()
    yield GOT
    signal.signal(signal.SIGUSR1, before)


class Node:
    """One node's recorder, with one rank."""

    def __init__(
        self,
        store: Path,
        rules: list[dict[str, Any]],
        *,
        node: int = 0,
        size: int = 1,
        clock: FakeClock | None = None,
        **more: Any,
    ) -> None:
        text, problems = add_rules("", rules, "test")
        assert not problems
        settings = {"rules": text, "cwd": str(store), "heartbeat_s": 5.0, "telemetry": "auto"}
        settings |= more.pop("settings", {})
        self.clock = clock or FakeClock()
        self.said = hello(
            node,
            store=str(store),
            project="p",
            run="r",
            node=node,
            size=size,
            local_rank=0,
            host=f"n{node + 1}",
            pid=os.getpid(),
            settings=settings,
            **more,
        )
        self.recorder = Recorder(self.said, clock=self.clock.clock())
        self.session = self.recorder.begin(self.said)
        self.step = 0

    def log(self, value: float, name: str = "loss") -> None:
        self.recorder.add_name(self.session, NAME_HEAD.pack(0) + name.encode())
        frame = wire.pack_points(self.step, self.clock.now_s, [0, value])
        self.recorder.add_points(self.session, memoryview(frame)[8:], 1)
        self.step += 1
        self.tick()

    def tick(self, after_s: float = 1.0) -> None:
        self.clock.now_s += after_s
        self.recorder.tick(self.clock.now_s)

    def tick_until(self, what: Callable[[], object]) -> None:
        """Go on until something is true that a command or thread brings about."""

        def look() -> object:
            self.tick(0.0)
            return what()

        wait_for(look)

    def pass_time(self, seconds: float, *samples: Sample) -> None:
        """Let time pass, with a reading of these samples every ten seconds."""
        for _number in range(round(seconds / 10)):
            if samples:
                self.recorder.take_reading(Reading(samples=list(samples)), self.clock.now_s)
            self.tick(10.0)

    def end(self) -> None:
        self.recorder.end(self.session, {"exit_code": 0})
        self.recorder.close()


def renew_inode(store: Path) -> None:
    """Make the node file another one: HDF5 shares one that this process still has open.

    The agent that takes over is another process, and reads what is on the disk.
    """
    (path,) = store.rglob("node-*.h5")
    copy = path.with_suffix(".copy")
    shutil.copy(path, copy)
    copy.replace(path)


def read_notes(store: Path, code: str = "") -> list[dict[str, Any]]:
    warnings = Store(store).run("r").record.warnings
    return [one for one in warnings if str(one["code"]).startswith(code or "rule")]


def texts(store: Path) -> list[str]:
    return [one["text"] for one in read_notes(store)]


def test_a_rule_is_told_marks_the_run_and_survives_sealing(tmp_path: Path) -> None:
    rules = [{"metric": "loss", "is": "nan", "name": "diverged"}]
    node = Node(tmp_path, rules)
    for value in (1.0, NAN, NAN, 0.5):
        node.log(value)
    (note,) = read_notes(tmp_path)
    assert note["text"] == "rule diverged: loss is NaN at step 1"
    assert (note["rank"], note["step"], note["metric"], note["value"]) == (0, 1, "loss", "nan")
    assert (note["level"], note["rule"], note["do"]) == ("error", "diverged", ["mark"])
    assert [one["code"] for one in node.recorder.notices] == ["rule diverged"]
    assert Store(tmp_path).run("r").tags == ("rule:diverged",)
    node.end()
    folder = tmp_path / "p" / "r"
    assert verify_run(folder).findings == []
    repair_run(folder)
    seal_run(folder)
    assert verify_run(folder).findings == []
    assert (folder / ".rules" / "diverged").exists()
    (run,) = Store(tmp_path).runs()
    assert run.tags == ("rule:diverged",)
    (again,) = Store(tmp_path).runs({"tags": "rule:diverged"})
    assert again.id == "r"
    assert json.loads(json.dumps(run.record.to_json(), allow_nan=False))


def test_two_nodes_do_it_once_and_all_ranks_get_the_signal(
    tmp_path: Path, handler: list[int]
) -> None:
    do = ["signal", "command: echo $HPCTRACK_RULE $HPCTRACK_RUN_ID $HPCTRACK_PROJECT >> told"]
    rules = [{"metric": "loss", "is": "nan", "name": "diverged", "do": do}]
    clock = FakeClock()
    nodes = [Node(tmp_path, rules, node=number, size=3, clock=clock) for number in range(3)]
    nodes[1].log(NAN)
    nodes[0].log(NAN)
    nodes[2].log(1.0)
    nodes[1].tick_until((tmp_path / "told").exists)
    for _time in range(2):
        for node in nodes:
            node.tick(6.0)
    nodes[1].tick_until(lambda: any("command" in one for one in texts(tmp_path)))
    assert (tmp_path / "told").read_text() == "diverged r p\n"
    assert len(handler) == 3
    assert not any(node.recorder._rules.is_busy for node in nodes)
    told = texts(tmp_path)
    assert told.count("rule diverged: loss is NaN at step 0") == 1
    assert [one for one in told if "SIGUSR1" in one] == [
        f"rule diverged: SIGUSR1 sent to rank {rank}" for rank in (1, 0, 2)
    ]
    for node in nodes:
        node.end()


def test_a_requeue_does_not_do_it_again_and_says_so(tmp_path: Path, handler: list[int]) -> None:
    rules = [{"metric": "loss", "is": "nan", "do": ["signal", "command: echo >> told"]}]
    first = Node(tmp_path, rules)
    first.log(NAN)
    first.end()
    again = Node(tmp_path, rules, attempt=2, clock=FakeClock(START_S + 1000))
    again.log(NAN)
    again.log(NAN)
    again.tick(6.0)
    again.end()
    assert (tmp_path / "told").read_text() == "\n"
    assert len(handler) == 1
    assert texts(tmp_path)[-1] == (
        "rule loss-is-nan: loss is NaN at step 0; it was executed in attempt 1, once for the run"
    )


def test_an_agent_that_takes_over_does_not_do_it_again(tmp_path: Path, handler: list[int]) -> None:
    rules = [{"metric": "loss", "is": "nan", "do": "signal", "once": "attempt"}]
    node = Node(tmp_path, rules, size=2)
    node.log(NAN)
    node.tick()
    assert len(handler) == 1
    node.recorder._file.abandon()  # type: ignore[union-attr]
    renew_inode(tmp_path)
    heir = Node(tmp_path, rules, size=2, agents_lost=1, clock=node.clock)
    heir.log(NAN)
    heir.tick(6.0)
    heir.tick(6.0)
    assert len(handler) == 1
    heir.end()


def test_a_rank_that_comes_later_does_not_bring_a_rule_back(
    tmp_path: Path, handler: list[int]
) -> None:
    node = Node(tmp_path, [{"metric": "loss", "is": "nan", "do": "signal"}], size=2)
    node.log(NAN)
    node.recorder.begin({**node.said, "rank": 1})
    node.log(NAN)
    node.tick(6.0)
    assert len(handler) == 1
    node.end()


def test_the_time_limit_is_for_every_attempt(tmp_path: Path, handler: list[int]) -> None:
    rules = [{"time_left_min": 10, "do": "signal"}]
    for attempt in (1, 2):
        clock = FakeClock(START_S + 10_000 * attempt)
        settings = {"job_end_wall_s": clock.now_s + 3600}
        node = Node(tmp_path, rules, attempt=attempt, clock=clock, settings=settings)
        node.pass_time(2990)
        assert len(handler) == attempt - 1
        node.pass_time(60)
        assert len(handler) == attempt
        node.end()
    found = read_notes(tmp_path)[0]
    assert found["text"] == "rule time-left-10-min: n1: 10 min left to the job's time limit"
    assert found["rank"] == -1


def test_an_end_that_is_not_known_is_told_once(tmp_path: Path) -> None:
    node = Node(tmp_path, [{"time_left_min": 10}])
    node.pass_time(100)
    node.end()
    (text,) = texts(tmp_path)
    assert "does not tell when the job ends" in text


def test_a_hang_is_told_and_the_run_is_asked_to_stop(tmp_path: Path) -> None:
    node = Node(tmp_path, [{"hang_min": 15, "do": ["mark", "stop"]}])
    busy = Sample("process/cores_used", 1.0, pid=os.getpid())
    idle = busy._replace(value=0.01)
    node.log(1.0)
    node.pass_time(1800, busy)
    assert texts(tmp_path) == []
    node.pass_time(880, idle)
    assert texts(tmp_path) == []
    node.pass_time(60, idle)
    said = texts(tmp_path)
    assert said[0].startswith("rule hang-15-min: n1: no rank of this node has logged anything for ")
    assert said[0].endswith(" min while its processes are idle")
    assert said[1] == "rule hang-15-min: the run is asked to stop"
    found = read_stop(tmp_path / "p" / "r")
    assert found is not None
    assert found["who"] == "rule hang-15-min"
    assert node.recorder.stop_request == found
    node.end()


def test_a_run_that_logs_does_not_hang(tmp_path: Path) -> None:
    node = Node(tmp_path, [{"hang_min": 1}, {"silent_min": 1}])
    idle = Sample("process/cores_used", 0.0, pid=os.getpid())
    for _time in range(10):
        node.log(1.0)
        node.pass_time(40, idle)
    assert texts(tmp_path) == []
    node.end()


@pytest.mark.parametrize("rule", [{"hang_min": 15}, {"silent_min": 15}])
def test_a_node_whose_ranks_never_log_is_not_silent_while_another_one_logs(
    tmp_path: Path, rule: dict[str, Any]
) -> None:
    clock = FakeClock()
    nodes = [Node(tmp_path, [rule], node=node, size=2, clock=clock) for node in range(2)]
    idle = Sample("process/cores_used", 0.0, pid=os.getpid())

    def pass_time(seconds: float, *, logs: bool) -> None:
        for number in range(round(seconds / 10)):
            if logs and number % 6 == 0:
                nodes[0].log(1.0)
            for node in nodes:
                node.recorder.take_reading(Reading(samples=[idle]), clock.now_s)
                node.recorder.tick(clock.now_s)
            clock.now_s += 10

    pass_time(3600, logs=True)
    assert texts(tmp_path) == []
    pass_time(840, logs=False)
    assert texts(tmp_path) == []
    pass_time(240, logs=False)
    (said,) = texts(tmp_path)
    assert "has logged anything for" in said
    for node in nodes:
        node.end()


def test_where_nodes_can_give_no_sign_each_judges_for_itself(tmp_path: Path) -> None:
    clock = FakeClock()
    nodes = [Node(tmp_path, [{"silent_min": 5}], node=node, size=2, clock=clock) for node in (0, 1)]
    (tmp_path / "p" / "r" / ".rules").write_text("in the way")
    for _minute in range(8):
        nodes[0].log(1.0)
        for node in nodes:
            node.recorder.tick(clock.now_s)
        clock.now_s += 60
    assert any(one.startswith("rule silent-5-min: n2: no rank of") for one in texts(tmp_path))
    for node in nodes:
        node.end()


def test_gpus_that_were_never_used_make_no_hang(tmp_path: Path) -> None:
    node = Node(tmp_path, [{"hang_min": 1}])
    busy = Sample("process/cores_used", 1.0, pid=os.getpid())
    node.pass_time(200, busy, Sample("gpu/util_frac", 0.0, "GPU-1"))
    assert texts(tmp_path) == []
    node.pass_time(10, busy, Sample("gpu/util_frac", 0.9, "GPU-1"))
    node.pass_time(80, busy, Sample("gpu/util_frac", 0.0, "GPU-1"))
    assert "its GPUs are idle" in texts(tmp_path)[0]
    node.end()


def test_idleness_that_cannot_be_seen_is_told_once_and_is_no_hang(tmp_path: Path) -> None:
    node = Node(tmp_path, [{"hang_min": 1}])
    node.pass_time(300)
    node.end()
    (text,) = texts(tmp_path)
    assert "cannot be seen here" in text


def test_sensors_that_are_not_here_are_told_once(tmp_path: Path) -> None:
    rules: list[dict[str, Any]] = [
        {"memory_frac": 0.9},
        {"gpu_idle_min": 3},
        {"sensor": "host/*", "above": 99},
        {"sensor": "hots/load", "above": 99},
    ]
    node = Node(tmp_path, rules)
    node.pass_time(400, Sample("host/load_avg_1m", 1.0))
    node.end()
    assert texts(tmp_path) == [
        "rule memory-0.9: the job has no memory limit on this node, or it cannot be read",
        "rule gpu-idle-3-min: no GPU can be read on this node",
        "rule hots-load-above-99: nothing is read on this node that is called 'hots/load'",
    ]


def test_samples_of_other_runs_are_not_looked_at(tmp_path: Path) -> None:
    node = Node(tmp_path, [{"sensor": "process/*", "above": 5}])
    node.pass_time(10, Sample("process/rss_bytes", 9.0, pid=1))
    assert texts(tmp_path) == []
    node.pass_time(10, Sample("process/rss_bytes", 9.0, pid=os.getpid()))
    (note,) = read_notes(tmp_path)
    assert (note["rank"], note["sensor"], note["value"]) == (0, "process/rss_bytes", 9.0)
    node.end()


def test_a_metric_that_nobody_logs_is_named_at_the_end(tmp_path: Path) -> None:
    node = Node(tmp_path, [{"metric": "los", "is": "nan"}, {"metric": "loss", "above": 9}])
    node.log(1.0)
    node.end()
    assert texts(tmp_path) == ["rule los-is-nan: no metric 'los' was logged; did you mean 'loss'?"]


def test_without_a_folder_only_what_cannot_be_done_twice_is_done(
    tmp_path: Path, handler: list[int]
) -> None:
    do = ["mark", "signal", "stop", "command: echo >> told"]
    node = Node(tmp_path, [{"metric": "loss", "is": "nan", "do": do}])
    (tmp_path / "p" / "r" / ".rules").write_text("in the way")
    node.log(NAN)
    node.tick()
    node.end()
    assert len(handler) == 1
    assert not (tmp_path / "told").exists()
    told = texts(tmp_path)
    assert "stop, command:echo >> told not done, another node may" in told[1]
    assert Store(tmp_path).run("r").tags == ("rule:loss-is-nan",)


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A job whose scancel writes down what it is told."""
    program = tmp_path / "bin" / "scancel"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/cancelled\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    return tmp_path / "cancelled"


def test_the_job_is_cancelled_last_and_after_the_program_had_time_to_save(
    tmp_path: Path, job: Path, handler: list[int]
) -> None:
    do = ["cancel", "signal", "command: exit 3"]
    node = Node(tmp_path / "store", [{"metric": "loss", "is": "nan", "do": do}])
    node.log(NAN)
    node.tick_until(lambda: any("exit code 3" in one for one in texts(tmp_path / "store")))
    assert len(handler) == 1
    assert not job.exists()
    node.tick(61.0)
    node.tick_until(lambda: "scancel 4711: exit code 0" in texts(tmp_path / "store")[-1])
    assert job.read_text() == "4711\n"
    node.end()


def test_a_job_is_cancelled_at_once_if_nobody_was_asked_to_save(tmp_path: Path, job: Path) -> None:
    node = Node(tmp_path / "store", [{"metric": "loss", "is": "nan", "do": "cancel"}])
    node.log(NAN)
    assert texts(tmp_path / "store") == ["rule loss-is-nan: loss is NaN at step 0"]
    node.tick_until(job.exists)
    node.end()


def test_what_is_left_to_do_is_done_when_the_run_ends(tmp_path: Path, job: Path) -> None:
    do = ["stop", "command: sleep 0.5; echo late", "cancel"]
    node = Node(tmp_path / "store", [{"metric": "loss", "is": "nan", "do": do}])
    node.recorder.add_name(node.session, NAME_HEAD.pack(0) + b"loss")
    frame = wire.pack_points(0, node.clock.now_s, [0, NAN])
    node.recorder.add_points(node.session, memoryview(frame)[8:], 1)
    node.end()
    told = texts(tmp_path / "store")
    assert "exit code 0: late" in told[2]
    assert told[3] == "rule loss-is-nan: scancel 4711: exit code 0"
    assert job.exists()


def test_a_job_that_is_none_cannot_be_cancelled(tmp_path: Path) -> None:
    node = Node(tmp_path, [{"metric": "loss", "is": "nan", "do": "cancel"}])
    node.log(NAN)
    node.end()
    assert "cannot be cancelled" in texts(tmp_path)[-1]


def test_a_mistake_of_ours_costs_the_rules_and_not_the_recorder(tmp_path: Path) -> None:
    node = Node(tmp_path, [{"metric": "loss", "is": "nan"}])
    node.log(1.0)
    node.recorder._rules._metrics = None  # type: ignore[assignment]
    node.log(NAN)
    node.log(1.0)
    node.end()
    run = Store(tmp_path).run("r")
    assert len(run.metric("loss")) == 3
    (text,) = texts(tmp_path)
    assert text.startswith("the rules are not watched any more: AttributeError")


def test_rules_that_no_version_of_ours_has_written_are_told(tmp_path: Path) -> None:
    node = Node(tmp_path, [], settings={"rules": '[{"moon": "full"}, {"silent_min": 1}]'})
    node.pass_time(70)
    node.end()
    told = texts(tmp_path)
    assert "moon" in told[0]
    assert "nothing" in told[1] or "logged" in told[1]


def test_secrets_in_a_rules_command_are_used_and_never_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAT_TOKEN", "planted34")
    command = "echo API_KEY=planted12 $CHAT_TOKEN; echo planted12 > used"
    rule = {"name": "x", "metric": "loss", "is": "nan", "do": [f"command: {command}"]}
    node = Node(tmp_path, [rule])
    node.log(NAN)
    node.tick_until(lambda: "exit code 0" in "".join(texts(tmp_path)))
    node.end()
    assert (tmp_path / "used").read_text() == "planted12\n"
    assert "API_KEY=***" in texts(tmp_path)[-1]
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.name != "used":
            assert b"planted" not in path.read_bytes()


def test_a_metric_that_was_misspelt_is_told_with_the_nearest_name(tmp_path: Path) -> None:
    node = Node(tmp_path, [{"metric": "train/los", "is": "nan"}])
    node.log(1.0, "train/loss")
    node.end()
    (text,) = texts(tmp_path)
    assert text.endswith("no metric 'train/los' was logged; did you mean 'train/loss'?")
