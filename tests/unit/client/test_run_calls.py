"""What a run offers besides ``log``, with a real agent behind it."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import hpctrack
from hpctrack.agents.stop import write_stop
from hpctrack.cli import main as cli
from hpctrack.client.saved_files import READ_NOW_MAX_BYTES
from hpctrack.errors import HpctrackError
from hpctrack.store.stored_run import StoredRun
from tests.modules import Module, Tensor
from tests.programs import only_run, rank_environment, run_python, start_python, wait_for


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The store that runs of this process are recorded in."""
    return tmp_path / "store"


def find(store: Path, run: str) -> StoredRun:
    return hpctrack.Store(store).run(run)


def test_a_definition_decides_what_the_summary_is(store: Path) -> None:
    with hpctrack.init("p") as run:
        epoch = run.define_metric("epoch", hidden=True)
        run.define_metric("val/*", epoch, summary="max")
        run.define_metric("loss", summary="min,last", goal="minimize")
        run.define_metric("noise", summary="none")
        for step in range(3):
            run.log({"val/acc": [1.0, 5.0, 2.0][step], "loss": -step, "noise": 1, "epoch": step})
    found = only_run(store)
    assert found.summary == {"val/acc": 5.0, "loss": {"min": -2.0, "last": -2.0}, "epoch": 2.0}
    assert [one.name for one in found.record.definitions] == ["epoch", "val/*", "loss", "noise"]
    assert hpctrack.Store(store).runs({"summary.val/acc.max": {"$gt": 4}})
    assert hpctrack.Store(store).runs({"summary.loss.min": -2})


def test_alerts_are_shown_and_tags_can_be_added(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with hpctrack.init("p", id="r", tags=["a"]) as run:
        for _ in range(3):
            run.alert("slow", "node n7 lags", level="ERROR")
        run.tags += ("b",)
        run.tags += ["a", "c"]
        run.tags += "d"
    alert, rest = find(store, "r").record.alerts
    assert rest["repeats"] == 1
    assert (alert["title"], alert["level"], alert["rank"]) == ("slow", "error", 0)
    assert find(store, "r").tags == ("a", "b", "c", "d")
    assert cli.run(["show", "r"]) == 0
    assert "alert (error): rank 0: slow: node n7 lags" in capsys.readouterr().out


def test_mistakes_cost_only_the_call(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with hpctrack.init("p", resume="perhaps") as run:
        run.define_metric("a*b")
        run.define_metric(3)  # type: ignore[arg-type]
        run.alert("t", level="loud")
        run.watch(object())
        run.unwatch()
        run.save("x", policy="never")
        run.log_code(3)  # type: ignore[arg-type]
        run.config.update("nowhere.yaml", lr=1)
        run.summary.update([("acc", 1)])
        run.log({"ok": 1})
    told = capsys.readouterr().err
    for part in (
        "resume is 'perhaps'",
        "not at its end",
        "'loud'",
        "cannot be watched",
        "policy",
        "summary.update()",
    ):
        assert part in told
    assert "Traceback" not in told
    assert only_run(store).config == {"lr": 1}
    refused = only_run(store).record.ledger["refused"]
    once = ("alert", "watch", "save", "log_code", "config.update", "summary.update")
    assert refused == {"define_metric": 2, **dict.fromkeys(once, 1)}
    strict = hpctrack.init("p", strict=True)
    with pytest.raises(HpctrackError, match="loud"):
        strict.alert("t", level="loud")
    with pytest.raises(HpctrackError, match="config is a int"):
        strict.config.update(3)
    strict.finish()
    with pytest.raises(HpctrackError, match="perhaps"):
        hpctrack.init("p", resume="perhaps", strict=True)


def test_names_tags_and_codes_of_any_kind_are_taken(store: Path) -> None:
    run = hpctrack.init("p", id="r", tags=3, notes="n")  # type: ignore[arg-type]
    run.tags += 4
    run.tags += None
    run.name, run.notes = 5, None  # type: ignore[assignment]
    run.finish(exit_code=None, quiet=True)
    found = find(store, "r")
    assert (found.name, found.notes, found.tags, found.state) == ("5", "", ["3", "4"], "finished")
    with hpctrack.init("p", id="s") as run:
        made_up = run.name
        run.name = "mine"
        run.name = run.tags = None
    assert (find(store, "s").name, find(store, "s").tags) == (made_up, [])
    for code, state in ((np.int64(0), "finished"), (np.int64(3), "failed"), ("bad", "failed")):
        hpctrack.init("p", id=f"t{code}").finish(code)  # type: ignore[arg-type]
        assert find(store, f"t{code}").state == state


def test_names_that_programs_for_another_tracker_use_are_there(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before_s = time.time()
    run = hpctrack.init(
        "p",
        id="r",
        entity="me",
        reinit=True,
        save_code=True,
        group="g",
        job_type="eval",
        settings=hpctrack.Settings(quiet=True, colour="red"),
    )
    assert (run.group, run.job_type, run.sweep_id, run.entity) == ("g", "eval", "", "")
    assert (run.url, run.offline, run.disabled, run.settings.quiet) == (None, True, False, True)
    assert before_s <= run.start_time <= time.time()
    run.alert("t", level=hpctrack.AlertLevel.WARN)
    run.finish()
    found = find(store, "r")
    assert (found.group, found.job_type) == ("g", "eval")
    assert found.record.alerts[0]["level"] == "warning"
    told = capsys.readouterr().err.splitlines()
    assert any("'save_code'; call run.log_code()" in one for one in told)
    assert any("'colour' (argument); `hpctrack config`" in one for one in told), "hints in the line"
    with pytest.raises(HpctrackError, match="projct"):
        hpctrack.init(projct="p", strict=True)


def test_gradients_of_a_watched_model_are_histograms_of_the_run(store: Path) -> None:
    module = Module(weight=Tensor([1.0, 2.0], requires_grad=True))
    with hpctrack.init("p") as run:
        run.watch(module, log="all", log_freq=2, log_graph=True)
        for step in range(4):
            module.backward(1.0)
            run.log({"loss": step})
    items = only_run(store).media()
    assert {item.key for item in items} == {"gradients/weight", "parameters/weight", "graph/0"}
    steps = [item.step for item in items if item.key == "gradients/weight"]
    assert steps == [0, 2]


def test_saved_files_and_code_are_in_the_run(store: Path, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("print(1)")
    (tmp_path / "conf.yaml").write_text("lr: 1")
    with hpctrack.init("p", settings={"seal": "manual"}) as run:
        run.save("conf.yaml", policy="now")
        run.save("*.ckpt", policy="end")
        run.save("nothing", policy="now")
        run.log_code(tmp_path, "src")
        (tmp_path / "last.ckpt").write_bytes(b"\x00" * 10)
    found = only_run(store)
    names = {(item.type, item.key) for item in found.media()}
    assert names == {("file", "conf.yaml"), ("file", "last.ckpt"), ("code", "src/train.py")}
    (code,) = found.media(type="code")
    assert code.read() == b"print(1)"
    assert any("no file matches" in str(one["text"]) for one in found.record.warnings)
    assert found.record.ledger["refused"] == {"save": 1}


def test_small_files_are_saved_as_they_were_and_named(store: Path, tmp_path: Path) -> None:
    for name in ("now.txt", "live.txt", "gone.txt", "late.txt"):
        (tmp_path / name).write_text("v1")
    with (tmp_path / "large.bin").open("wb") as file:
        file.truncate(READ_NOW_MAX_BYTES + 1)
    with hpctrack.init("p", settings={"seal": "manual"}) as run:
        assert run.save("now.txt", policy="now") == [str(tmp_path / "now.txt")]
        assert run.save("now.txt", policy="now") == [str(tmp_path / "now.txt")]
        assert len(run.save("l*", policy="live")) == 3
        run.save("gone.txt")
        run.save("late.txt", policy="end")
        assert run.save("nothing", policy="live") == []
        for name in ("now.txt", "live.txt", "late.txt"):
            (tmp_path / name).write_text("second")
        (tmp_path / "gone.txt").unlink()
    found = only_run(store)
    kept = [(item.key, item.read()) for item in found.media() if item.key != "large.bin"]
    assert sorted(kept) == [
        ("gone.txt", b"v1"),
        ("late.txt", b"second"), ("late.txt", b"v1"),
        ("live.txt", b"second"), ("live.txt", b"v1"),
        ("now.txt", b"v1"),
    ]  # fmt: skip
    (large,) = found.media("large.bin")
    assert large.size == READ_NOW_MAX_BYTES + 1
    (told,) = [one["text"] for one in found.record.warnings]
    assert told == f"no file matches {tmp_path / 'nothing'}"
    assert found.record.ledger["refused"] == {"save": 1}


def test_a_disabled_run_looks_for_no_files(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with hpctrack.init("p", mode="disabled") as run:
        assert run.save("a") == []


def test_a_run_that_was_asked_to_stop_knows_it(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HPCTRACK_HEARTBEAT_S", "0.05")
    with hpctrack.init("p", id="r") as run:
        assert not run.should_stop()
        run.flush()
        assert cli.run(["stop", "r", "--why", "enough", "--json"]) == 0

        def works() -> bool:
            run.log({"a": 1})
            return run.should_stop()

        wait_for(works)
        assert run.stop_reason.endswith("enough")
    assert cli.run(["stop", "r"]) == 2
    assert "is finished" in capsys.readouterr().err
    assert cli.run(["stop", "r", "--undo"]) == 0
    with hpctrack.init("p", id="r") as again:
        write_stop(store / "p" / "r", who="", why="", attempt=1, wall_s=0.0)
        again.log({"a": 1})
        again.flush()
        assert not again.should_stop()


def test_a_preempted_run_is_neither_failed_nor_crashed(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = """
    import os, hpctrack
    run = hpctrack.init("p", id="r")
    run.log({"a": 1})
    run.mark_preempting()
    run.flush()
    os.kill(os.getpid(), 9)
    """
    died = run_python(code)
    assert died.returncode == -9, died.stderr
    wait_for(lambda: find(store, "r").state == "preempted")
    assert cli.run(["ls", "-s", "preempted"]) == 0
    assert "preempted" in capsys.readouterr().out
    hpctrack.init("p", id="r", resume="allow").finish()
    assert find(store, "r").state == "finished"


def test_an_id_that_is_used_again_is_the_next_attempt(store: Path) -> None:
    for value in (1.0, 2.0):
        with hpctrack.init("p", id="r") as run:
            run.log({"a": value})
            run.log({"a": value})
        assert not run.resumed
    found = find(store, "r")
    assert found.record.attempts == 2
    assert found.metric("a").values.tolist() == [2.0, 2.0]
    assert found.metric("a").recomputed_points == 2


def test_resuming_goes_on_where_the_run_was(store: Path) -> None:
    with hpctrack.init("p", id="r", config={"lr": 1, "net": {"depth": 3}}) as run:
        for step in range(5):
            run.log({"a": step})
        run.summary["best"] = {"step": 3}
    with hpctrack.init("p", id="r", resume="must", config={"lr": 2}) as run:
        assert (run.resumed, run.step) == (True, 5)
        assert run.config == {"lr": 2, "net": {"depth": 3}}
        assert run.summary.best.step == 3
        run.log({"a": 5.0})
    found = find(store, "r")
    assert found.metric("a").values.tolist() == [0, 1, 2, 3, 4, 5]
    assert found.config == {"lr": 2, "net": {"depth": 3}}
    with hpctrack.init("p", resume_from="r?_step=2") as run:
        assert (run.id, run.step) == ("r", 3)
        run.log({"a": 30.0})
    assert find(store, "r").metric("a").values.tolist() == [0, 1, 2, 30]


def test_never_and_must_say_what_they_found(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with hpctrack.init("p", id="r", resume="must") as run:
        assert not run.resumed
    assert "no run r to resume" in capsys.readouterr().err
    with hpctrack.init("p", id="r", resume="never") as run:
        run.log({"a": 1})
        assert run.id.startswith("r-")
        assert run.path.endswith(run.id)
    assert "recorded as r-" in capsys.readouterr().err
    assert {one.id for one in hpctrack.Store(store).runs()} == {"r", run.id}
    assert find(store, run.id).name == run.name


def test_a_fork_begins_with_its_parents_points(store: Path) -> None:
    with hpctrack.init("p", id="parent", config={"lr": 1}) as run:
        for step in range(5):
            run.log({"a": step})
    with hpctrack.init("p", fork_from="parent?_step=2", config={"lr": 9}) as run:
        assert (run.resumed, run.step, run.config) == (True, 3, {"lr": 9})
        run.log({"a": 33.0})
        fork = run.id
    found = find(store, fork)
    assert found.metric("a").values.tolist() == [0, 1, 2, 33]
    assert found.record.fork == {"run": "parent", "step": 2}
    assert find(store, "parent").metric("a").values.tolist() == [0, 1, 2, 3, 4]


def test_auto_finds_the_run_that_the_same_program_left(store: Path, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(
        "import sys, hpctrack\n"
        "run = hpctrack.init('p', resume='auto')\n"
        "print(run.id, run.step, run.resumed)\n"
        "run.log({'a': 1})\n"
        "run.flush()\n"
        "run.finish(0 if run.step > 2 else 1)\n"
    )
    code = "import runpy, sys; sys.argv = ['train.py']; runpy.run_path('train.py')"
    told = [run_python(code, env={"HPCTRACK_SEAL": seal}).stdout.split() for seal in ("auto",) * 4]
    ids = [one[0] for one in told]
    assert ids[0] == ids[1] == ids[2] != ids[3]
    assert [one[1:] for one in told] == [
        ["0", "False"],
        ["1", "True"],
        ["2", "True"],
        ["0", "False"],
    ]


def test_ranks_that_start_together_are_one_attempt_and_the_next_start_another(
    store: Path,
) -> None:
    code = """
    import hpctrack
    run = hpctrack.init("p")
    run.log({"a": run.rank})
    run.finish()
    """
    for _start in range(2):
        # Each start of torchrun has its own port: here the parent process is the same.
        env: dict[str, str] = {"MASTER_PORT": str(29500 + _start)}
        ranks = [
            start_python(
                code, env={**rank_environment(rank, 3), **env, "CUDA_VISIBLE_DEVICES": "1"}
            )
            for rank in range(3)
        ]
        for one in ranks:
            _out, err = one.communicate(timeout=60)
            assert one.returncode == 0, err
    found = only_run(store)
    assert found.record.attempts == 2
    assert found.metric("a").values.tolist() == [0, 1, 2]
    assert {(one.attempt, one.gpu, one.state) for one in found.ranks()} == {(2, "1", "finished")}


def test_a_rank_tells_all_lists_of_gpus_that_are_set(store: Path) -> None:
    env = {"CUDA_VISIBLE_DEVICES": "0", "ROCR_VISIBLE_DEVICES": "4", "HIP_VISIBLE_DEVICES": ""}
    code = "import hpctrack; hpctrack.init('p').log({'a': 1})"
    with start_python(code, env=env) as program:
        _out, err = program.communicate(timeout=60)
    assert program.returncode == 0, err
    (rank,) = only_run(store).ranks()
    assert rank.gpu == "CUDA 0, ROCR 4"


def test_a_wrapper_and_the_program_in_it_are_one_attempt(store: Path) -> None:
    code = "import hpctrack; hpctrack.init('p').log({'a': 1})"
    done = run_python(
        "import sys; from hpctrack.cli import main; main.main(sys.argv[1:])",
        *("run", "-p", "p", "--id", "r", "--", sys.executable, "-c", code),
    )
    assert done.returncode == 0, done.stderr
    assert find(store, "r").record.attempts == 1
    assert find(store, "r").metric("a").values.tolist() == [1.0]


def test_a_configuration_is_a_namespace_or_a_file_and_keys_can_be_left_out(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.yaml").write_text("model: {lr: 1e-3, path: /x}\nseed: 1")
    with hpctrack.init("p", id="a", config="c.yaml", config_exclude_keys=["model.path"]) as run:
        assert run.config.model.lr == 0.001
        run.config.model.depth = 3
    assert find(store, "a").config == {"model": {"lr": 0.001, "depth": 3}, "seed": 1}
    given = argparse.Namespace(lr=1, other="x")
    hpctrack.init("p", id="b", config=given, config_include_keys=["lr"]).finish()
    assert find(store, "b").config == {"lr": 1}
    hpctrack.init("p", id="c", config="nowhere.json").finish()
    assert "nowhere.json cannot be read: No such file" in capsys.readouterr().err


def test_everything_is_a_no_op_when_disabled() -> None:
    run = hpctrack.init("p", mode="disabled", resume="must")
    assert run.define_metric("a").name == "a"
    run.alert("t")
    run.save("x")
    run.log_code()
    run.mark_preempting()
    run.watch(Module())
    run.unwatch()
    assert not run.should_stop()
    assert run.stop_reason == ""
    assert run.finish()


def test_a_resumed_run_knows_its_name_tags_and_notes(store: Path) -> None:
    with hpctrack.init("p", id="r", name="nice", tags=["keep"], notes="N") as run:
        run.log({"a": 1.0})
    with hpctrack.init("p", id="r", resume="must") as run:
        assert (run.name, run.tags, run.notes) == ("nice", ("keep",), "N")
        run.tags += ("new",)
        run.notes += " more"
    found = find(store, "r")
    assert (found.name, found.tags, found.notes) == ("nice", ["keep", "new"], "N more")
    with hpctrack.init("p", id="r", resume="must", name="other", tags=["mine"]) as run:
        assert (run.name, run.tags, run.notes) == ("other", ("mine",), "N more")
    found = find(store, "r")
    assert (found.name, found.tags, found.notes) == ("other", ["mine"], "N more")


def test_a_picture_at_the_last_step_counts_when_the_run_goes_on(store: Path) -> None:
    with hpctrack.init("p", id="r") as run:
        run.log({"a": 1.0})
        run.log({"picture": hpctrack.Image([[0.0, 1.0]])})
    with hpctrack.init("p", id="r", resume="must") as run:
        assert run.step == 2
        run.log({"picture": hpctrack.Image([[1.0, 0.0]])})
    assert [one.step for one in find(store, "r").media("picture")] == [1, 2]


@pytest.mark.parametrize(
    ("moment", "part"), [("100", "ends with step 1"), ("-1", "nothing of it is kept")]
)
def test_a_fork_or_rewind_to_a_step_that_was_never_reached_is_told(
    moment: str, part: str, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with hpctrack.init("p", id="parent") as run:
        run.log({"a": 1.0})
        run.log({"a": 2.0})
    hpctrack.init("p", id="fork", fork_from=f"parent?_step={moment}").finish()
    assert part in capsys.readouterr().err
    assert part in find(store, "fork").record.warnings[0]["text"]
    hpctrack.init("p", resume_from=f"parent?_step={moment}").finish()
    assert part in capsys.readouterr().err


def test_an_answer_that_is_longer_than_a_socket_takes_at_once_arrives_whole(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = hpctrack.init("p", settings={"finish_timeout_s": 20})
    for _ in range(3):
        run.save("x" * 600_000)
    assert run.finish()
    assert "no file matches" in capsys.readouterr().err
