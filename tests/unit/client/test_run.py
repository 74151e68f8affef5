"""What a rank may do to a run, with a real agent behind it."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import NoReturn

import pytest

import hpctrack
from hpctrack.errors import HpctrackError
from tests.programs import list_agents, only_run, run_python, start_python, wait_for


def test_what_is_logged_is_in_the_store(tmp_path: Path) -> None:
    run = hpctrack.init(
        "digits",
        name="first",
        config={"lr": 0.1, "net": {"layers": 3}},
        tags=["a", "b"],
        notes="hello",
        group="g",
        job_type="train",
    )
    for step in range(100):
        run.log({"loss": 1 / (step + 1), "val": {"acc": step}})
    run.summary["best"] = 7
    assert run.finish()
    found = only_run(tmp_path / "store")
    assert found.state == "finished"
    assert found.name == "first"
    assert found.config == {"lr": 0.1, "net": {"layers": 3}}
    assert found.summary == {"loss": 0.01, "val/acc": 99.0, "best": 7}
    assert found.tags == ("a", "b")
    assert found.record.notes == "hello"
    assert (found.record.group, found.record.job_type) == ("g", "train")
    assert found.metric("loss").values.tolist() == [1 / (step + 1) for step in range(100)]
    assert found.metric("val/acc").steps.tolist() == list(range(100))


def test_steps_may_come_in_any_order_and_repeat(tmp_path: Path) -> None:
    with hpctrack.init("p") as run:
        run.log({"a": 1.0}, step=10)
        run.log({"a": 2.0}, step=5)
        run.log({"a": 3.0}, step=5)
        run.log({"a": 4.0})
        run.log({"b": 5.0}, commit=False)
        run.log({"c": 6.0})
    metric = only_run(tmp_path / "store").metric("a")
    assert metric.steps.tolist() == [10, 5, 5, 11]
    assert metric.values.tolist() == [1, 2, 3, 4]
    history = only_run(tmp_path / "store").history(["b", "c"])
    assert history["_step"].tolist() == [12]


def test_what_is_no_mapping_is_told_and_after_the_last_step_there_is_the_last(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with hpctrack.init("p") as run:
        run.log([("a", 1)])  # type: ignore[arg-type]
        run.log(0.5)  # type: ignore[arg-type]
        run.log({"a": 1.0}, step=2**63 - 1)
        run.log({"a": 2.0})
        run.log({"a": 3.0})
    assert "log() takes names with values, as {'loss': 0.5}, not a list" in capsys.readouterr().err
    found = only_run(tmp_path / "store")
    assert found.record.ledger["refused"] == {"log": 2}
    assert found.metric("a").values.tolist() == [1, 2, 3]
    assert set(found.metric("a").steps.tolist()) == {2**63 - 1}


def test_a_mistake_in_a_value_is_told_once_and_costs_only_that_value(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with hpctrack.init("p") as run:
        for step in range(3):
            run.log(
                {
                    "ok": step,
                    "text": "hello",
                    "x" * 10_000: 1,
                    "nan": math.nan,
                    "inf": math.inf,
                    "huge": 10**400,
                    "": 1,
                }
            )
            run.log({"ok": 1.0}, step="soon")  # type: ignore[arg-type]
    printed = capsys.readouterr().err
    assert printed.count("'text' at step 0 is not recorded: it is text, not a number") == 1
    assert printed.count("10000 bytes, at most 512") == 1
    assert printed.count("'nan' is nan at step 0") == 1
    assert printed.count("'soon' is not a whole number") == 1
    assert "Traceback" not in printed
    found = only_run(tmp_path / "store")
    assert found.metrics() == ["inf", "nan", "ok"]
    assert found.record.ledger["refused"] == {"value": 6, "name": 6, "step": 3}
    assert {one["code"] for one in found.record.warnings} >= {"refused-value", "not-finite"}
    assert math.isnan(found.metric("nan").values[0])


def test_rows_of_another_trackers_history_keep_their_numbers_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with hpctrack.init("p") as run:
        for step in range(3):
            row = {"loss": step, "_step": 70 + step, "_timestamp": 5.0, "_rank": 9, "_runtime": 1}
            run.log(row)
    assert capsys.readouterr().err.count("metric '_step' is not recorded") == 1
    found = only_run(tmp_path / "store")
    assert found.metrics() == ["loss"]
    assert found.record.ledger["refused"] == {"name": 12}
    assert found.history()["_step"].tolist() == [0, 1, 2]


def test_strict_raises_what_is_only_told_otherwise() -> None:
    run = hpctrack.init("p", strict=True)
    with pytest.raises(HpctrackError, match="not a number"):
        run.log({"a": "text"})
    run.finish()
    with pytest.raises(HpctrackError, match="not allowed"):
        hpctrack.init("p", id="../x", strict=True)
    with pytest.raises(HpctrackError, match="unknown setting"):
        hpctrack.init("p", settings={"flush": 1}, strict=True)


def test_wrong_arguments_of_init_are_told_and_worked_around(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with hpctrack.init("../../etc", id="../x", settings={"flush_intervall_s": 1}) as run:
        run.log({"a": 1})
    printed = capsys.readouterr().err
    assert "run id '../x' is not allowed" in printed
    assert "project '../../etc' is not allowed" in printed
    assert "did you mean 'flush_interval_s'?" in printed
    found = only_run(tmp_path / "store")
    assert found.folder.parent.parent == tmp_path / "store"
    assert found.metric("a").values.tolist() == [1.0]
    assert [path for path in tmp_path.iterdir() if path.name not in {"home", "store"}] == []


def test_disabled_is_a_no_op_that_touches_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPCTRACK_MODE", "disabled")
    before = set(tmp_path.rglob("*"))
    runtime = Path(os.environ["HPCTRACK_RUNTIME_DIR"])
    run = hpctrack.init("p", config={"a": 1})
    hpctrack.log({"a": 1, "b": "text"})
    hpctrack.config.update({"c": 2})
    hpctrack.summary["d"] = 3
    run.name, run.tags, run.notes = "n", ["t"], "x"
    assert run.flush(60)
    assert run.config.c == 2
    hpctrack.finish()
    assert set(tmp_path.rglob("*")) == before
    assert list(runtime.iterdir()) == []


def test_a_store_that_cannot_be_written_costs_nothing_but_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "store").write_text("a file, not a folder")
    with hpctrack.init("p", id="spilled") as run:
        run.log({"a": 1.0})
    printed = capsys.readouterr().err
    assert "cannot be written" in printed
    assert "the run goes on in" in printed
    spill = Path(os.environ["TMPDIR"]) / f"hpctrack-spill-{os.getuid()}"
    assert only_run(spill).metric("a").values.tolist() == [1.0]


LIMITED = """
import resource, sys
import hpctrack

kib = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (kib * 1024, kib * 1024))
with hpctrack.init("p", id="small") as run:
    run.log({"a": 1.0})
"""


def test_a_limit_on_the_size_of_files_makes_the_shared_memory_smaller(tmp_path: Path) -> None:
    found = run_python(LIMITED, "8000")
    assert found.returncode == 0, found.stderr
    assert "are held back while the agent is busy" in found.stderr
    assert "recording" in found.stderr
    assert only_run(tmp_path / "store").metric("a").values.tolist() == [1.0]


def test_a_run_that_cannot_be_recorded_does_not_say_that_it_is(tmp_path: Path) -> None:
    found = run_python(LIMITED, "400")
    assert found.returncode == 0, found.stderr
    assert "nothing is recorded" in found.stderr
    assert "recording" not in found.stderr


def test_config_keeps_its_values_unless_one_means_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with hpctrack.init("p", config={"lr": 0.1}) as run:
        run.config.lr = 0.2
        assert run.config["lr"] == 0.1
        run.config.update({"lr": 0.3, "b": 1}, allow_val_change=True)
        run.config.c = 2
        del run.config["b"]
        assert not hasattr(run.config, "nothing")
    assert "'lr' is set already" in capsys.readouterr().err
    assert only_run(tmp_path / "store").config == {"lr": 0.3, "c": 2}


def test_a_sweeps_values_win_over_the_programs_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPCTRACK_SWEEP_ID", "s1")
    monkeypatch.setenv("HPCTRACK_PROJECT", "swept")
    monkeypatch.setenv("HPCTRACK_RUN_ID", "s1-0003")
    monkeypatch.setenv("HPCTRACK_TRIAL", "3")
    monkeypatch.setenv("HPCTRACK_SWEEP_CONFIG", json.dumps({"lr": 9, "net": {"width": 8}}))
    config = {"lr": 1, "net": {"width": 4, "depth": 2}}
    hpctrack.init("mine", id="mine", config=config).finish()
    found = only_run(tmp_path / "store")
    assert (found.project, found.id) == ("swept", "s1-0003")
    assert (found.record.sweep, found.record.trial) == ("s1", 3)
    assert found.config == {"lr": 9, "net": {"width": 8, "depth": 2}}


@pytest.mark.parametrize("arguments", ["tags=5", "settings=5", "config=5", "notes=5", "name=5"])
def test_arguments_of_the_wrong_kind_cost_no_traceback(arguments: str) -> None:
    done = run_python(f"import hpctrack; hpctrack.init('p', {arguments}).log({{'a': 1}})")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def test_logging_from_sixteen_threads_loses_nothing(tmp_path: Path) -> None:
    run = hpctrack.init("p")

    def work(number: int) -> None:
        for step in range(500):
            run.log({f"m{number}": step}, step=step)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert run.finish()
    found = only_run(tmp_path / "store")
    for number in range(16):
        assert found.metric(f"m{number}").values.tolist() == list(range(500))


def test_a_forked_child_leaves_the_parents_run_alone(tmp_path: Path) -> None:
    done = run_python(
        """
        import os, hpctrack
        run = hpctrack.init("p")
        run.log({"a": 1})
        pid = os.fork()
        if pid == 0:
            run.log({"a": 99})
            run.finish()
            os._exit(0)
        os.waitpid(pid, 0)
        run.log({"a": 2})
        """
    )
    assert done.returncode == 0, done.stderr
    assert only_run(tmp_path / "store").metric("a").values.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("ending", "code", "state"),
    [
        ("", 0, "finished"),
        ("import sys; sys.exit(3)", 3, "failed"),
        ("raise RuntimeError('x')", 1, "failed"),
        ("raise SystemExit(0)", 0, "finished"),
    ],
)
def test_the_end_of_the_program_is_the_end_of_the_run(
    ending: str, code: int, state: str, tmp_path: Path
) -> None:
    done = run_python(f"import hpctrack\nhpctrack.init('p').log({{'a': 1}})\n{ending}")
    assert done.returncode == code
    found = only_run(tmp_path / "store")
    assert found.state == state
    assert found.ranks()[0].exit_code == code


def test_a_program_killed_in_mid_run_loses_nothing_that_log_returned_from(tmp_path: Path) -> None:
    child = start_python(
        """
        import os, hpctrack
        run = hpctrack.init("p", settings={"seal": "manual"})
        step = 0
        while True:
            run.log({"a": step}, step=step)
            step += 1
            os.write(1, b"%d\\n" % step)
        """
    )
    assert child.stdout
    for line in child.stdout:
        if int(line) >= 2000:
            break
    child.send_signal(signal.SIGKILL)
    logged = [int(line) for line in child.stdout.read().split()]
    child.communicate()
    last = max([2000, *logged])
    found = wait_for(lambda: _ended(tmp_path / "store"))
    assert found.state == "failed"
    assert found.ranks()[0].state == "lost"
    values = found.metric("a").values.tolist()
    assert values[:last] == list(range(last))


def _ended(store: Path) -> hpctrack.StoredRun | None:
    if not any(store.glob("*/*/node-*.h5")):
        return None
    found = only_run(store)
    return None if found.state == "running" else found


def test_a_killed_agent_is_replaced_and_the_run_goes_on(tmp_path: Path) -> None:
    run = hpctrack.init("p", config={"lr": 1}, settings={"seal": "manual"})
    run.log({"a": 1})
    assert run.flush(60)
    for pid in list_agents():
        os.kill(pid, signal.SIGKILL)
    channel = run._channel
    assert channel

    def has_noticed() -> bool:
        channel.poll()
        return channel.losses.agents == 1

    wait_for(has_noticed)  # what is sent to a dying agent is what is lost with it
    run.log({"a": 2})
    run.log({"b": 3})
    assert run.finish()
    found = only_run(tmp_path / "store")
    assert len(found.files()) == 2
    assert found.metric("a").values.tolist() == [1, 2]
    assert found.metric("b").values.tolist() == [3]
    assert found.state == "finished"
    assert found.config == {"lr": 1}
    assert found.record.ledger["agents_lost"] == 1


def test_agents_leave_when_there_is_nothing_to_do() -> None:
    with hpctrack.init("p") as run:
        run.log({"a": 1})
        assert len(list_agents()) == 1
    wait_for(lambda: not list_agents())


def test_many_short_runs_share_one_agent(tmp_path: Path) -> None:
    agents: set[int] = set()
    for number in range(10):
        with hpctrack.init("p", id=f"r{number}", settings={"linger_s": 120}) as run:
            run.log({"a": number})
            agents |= set(list_agents())
    assert len(agents) == 1
    assert len(hpctrack.Store(tmp_path / "store").runs()) == 10
    os.kill(agents.pop(), signal.SIGTERM)


def test_without_a_place_for_a_socket_the_rank_records_on_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("hpctrack.client.spawn.SOCKET_PATH_MAX_BYTES", 1)
    with hpctrack.init("p") as run:
        run.log({"a": 1})
        assert list_agents() == []
    assert "records on a thread of its own" in capsys.readouterr().err
    found = only_run(tmp_path / "store")
    assert found.metric("a").values.tolist() == [1.0]
    assert any("thread" in one["text"] for one in found.record.warnings)


@pytest.mark.slow
def test_a_stopped_agent_never_blocks_the_program(tmp_path: Path) -> None:
    run = hpctrack.init("p", settings={"finish_timeout_s": 0.5, "buffer_bytes": 100_000})
    run.log({"a": 0})
    assert run.flush(60)
    (agent,) = list_agents()
    os.kill(agent, signal.SIGSTOP)
    try:
        for step in range(200_000):
            run.log({"a": step})
        assert not run.finish()
    finally:
        os.kill(agent, signal.SIGCONT)
    wait_for(lambda: not list_agents())
    found = only_run(tmp_path / "store")
    assert 0 < len(found.metric("a")) < 200_000


def test_a_rank_loads_the_standard_library_only() -> None:
    done = run_python(
        """
        import sys
        before = set(sys.modules)
        import hpctrack
        run = hpctrack.init("p", config={"a": 1})
        run.log({"loss": 1.0, "bad": "text"})
        run.finish()
        import json
        print(json.dumps(sorted({name.split(".")[0] for name in set(sys.modules) - before})))
        """
    )
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert loaded - set(sys.stdlib_module_names) == {"hpctrack"}


def test_importing_hpctrack_loads_the_standard_library_only() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import hpctrack"],
        capture_output=True,
        text=True,
        check=True,
    )
    names = [line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if "|" in line]
    ours = names[next(at for at, name in enumerate(names) if name.startswith("hpctrack")) :]
    assert "hpctrack" in ours
    # The standard library's copy module tries Jython's org.python, which is nowhere.
    foreign = {name.split(".")[0] for name in ours} - set(sys.stdlib_module_names) - {"org"}
    assert foreign == {"hpctrack"}


class Odd:
    """An object of somebody's that raises whatever is asked of it."""

    def __getattr__(self, name: str) -> object:
        raise RuntimeError(f"no {name}")

    def __float__(self) -> float:
        raise RuntimeError("no number")


class OddMapping(dict[str, float]):
    """A mapping that cannot be walked through."""

    def items(self) -> NoReturn:
        raise RuntimeError("no items")


def test_one_odd_value_costs_only_itself(tmp_path: Path) -> None:
    with hpctrack.init("p") as run:
        run.log({"odd": Odd(), "after": 1})
        run.log({"odd": OddMapping(a=1), "after": 2})
        run.config.update({"odd": Odd(), "lr": 0.1})
        run.summary.update({"odd": Odd(), "best": 1})
        run.config.odder = [Odd()]
    found = only_run(tmp_path / "store")
    assert found.metric("after").values.tolist() == [1, 2]
    assert (found.config["lr"], found.summary["best"]) == (0.1, 1)
    assert found.record.ledger["refused"] == {"value": 2}
