"""Rules as users have them: real programs, the real agent, real signals."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from hpctrack import StoredRun
from hpctrack.cli import main as cli
from hpctrack.core.rule_reading import load_rules, read_rules
from hpctrack.core.settings import load_settings
from tests.programs import ROOT, only_run, rank_environment, run_python, start_python, wait_for

PAGE = ROOT / "docs" / "how-to" / "watch-a-run-with-rules.md"

QUICK = {"HPCTRACK_HEARTBEAT_S": "0.3"}

TRAINING = """
import os, signal, sys, time, hpctrack
rank, what = int(os.environ.get("RANK", 0)), sys.argv[1]
got = []
if what != "deaf":
    signal.signal(signal.SIGUSR1, lambda *_: got.append(1))
run = hpctrack.init("p")
deadline = time.monotonic() + float(sys.argv[2])
while not got and not run.should_stop() and time.monotonic() < deadline:
    if what != "silent":
        run.log({"loss": float("nan") if run.step >= 5 else 1.0})
    if what == "deaf" and os.path.exists(f"{run.path}/.rules"):
        time.sleep(1)
        break
    time.sleep(0.02)
if got:
    open(f"checkpoint-{rank}", "a").write(f"{run.step}\\n")
    # A command that is still running when the run ends is ended, too.
    has_command = os.path.exists("hpctrack.toml") and "command:" in open("hpctrack.toml").read()
    deadline = time.monotonic() + 60
    while has_command and not os.path.exists("told") and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(1.5)
print("got" if got else run.stop_reason or "nothing")
run.finish()
"""


def write_rules(*lines: str) -> None:
    Path("hpctrack.toml").write_text("[[rules]]\n" + "\n".join(lines))


def read_notes(run: StoredRun) -> list[str]:
    return [one["text"] for one in run.record.warnings if "rule" in one]


def run_ranks(size: int, *arguments: str, **environ: str) -> Sequence[str]:
    """Run a program as several ranks of one node; return what they printed."""
    programs = [
        start_python(TRAINING, *arguments, env={**rank_environment(rank, size), **QUICK, **environ})
        for rank in range(size)
    ]
    printed = []
    for program in programs:
        out, err = program.communicate(timeout=120)
        assert program.returncode == 0, err
        printed.append(out.strip())
    return printed


@pytest.mark.slow
def test_ranks_that_log_nan_are_told_to_save_and_a_command_runs_once(tmp_path: Path) -> None:
    write_rules(
        'name = "diverged"',
        'metric = "loss"',
        'is = "nan"',
        'do = ["mark", "signal", "command: echo $HPCTRACK_RULE >> told; pwd"]',
    )
    assert run_ranks(2, "train", "60") == ["got", "got"]
    assert (tmp_path / "told").read_text() == "diverged\n"
    saved = [int((tmp_path / f"checkpoint-{rank}").read_text()) for rank in range(2)]
    assert max(saved) > 5  # the other rank may be behind
    run = only_run(tmp_path / "store")
    assert run.tags == ("rule:diverged",)
    told = read_notes(run)
    assert sum("loss is NaN" in one for one in told) == 1
    assert not any("not sent" in one for one in told), told
    assert any(str(tmp_path.resolve()) in one for one in told), told


@pytest.mark.slow
def test_a_requeue_does_not_run_the_command_again(tmp_path: Path) -> None:
    write_rules('metric = "loss"', 'is = "nan"', 'do = ["command: echo >> told", "stop"]')
    for attempt in range(2):
        environ = {"HPCTRACK_RUN_ID": "job", "TORCHELASTIC_RESTART_COUNT": str(attempt)}
        (printed,) = run_ranks(1, "train", ("60", "2")[attempt], **environ)
        assert printed.startswith("rule loss-is-nan" if attempt == 0 else "nothing")
    assert (tmp_path / "told").read_text() == "\n"
    run = only_run(tmp_path / "store")
    assert run.record.attempts == 2
    assert any("it was executed in attempt 1" in one for one in read_notes(run))


def test_a_program_without_a_handler_lives_on_and_the_run_says_why(tmp_path: Path) -> None:
    write_rules('metric = "loss"', 'is = "nan"', 'do = "signal"')
    (printed,) = run_ranks(1, "deaf", "60")
    assert printed == "nothing"
    run = only_run(tmp_path / "store")
    assert run.state == "finished"
    assert any("SIGUSR1 not sent to rank 0: no handler" in one for one in read_notes(run))


@pytest.mark.slow
def test_the_program_can_be_told_shortly_before_its_time_is_up(tmp_path: Path) -> None:
    write_rules("time_left_min = 0.2", 'do = "signal"')
    end_wall_s = time.time() + 15
    assert run_ranks(2, "train", "60", HPCTRACK_JOB_END_WALL_S=f"{end_wall_s}") == ["got", "got"]
    assert time.time() < end_wall_s + 10
    (file,) = (tmp_path / "store").glob("*/*/.rules/*")
    assert file.name == "time-left-0.2-min.a1"


@pytest.mark.slow
def test_a_program_that_logs_nothing_is_noticed(tmp_path: Path) -> None:
    write_rules("silent_min = 0.02", 'do = ["mark", "signal"]')
    assert run_ranks(1, "silent", "60") == ["got"]
    run = only_run(tmp_path / "store")
    assert run.tags == ("rule:silent-0.02-min",)
    assert "has logged anything" in read_notes(run)[0]


def test_a_rule_is_told_to_the_user_by_one_rank_and_once(tmp_path: Path) -> None:
    write_rules('metric = "loss"', 'is = "nan"', 'do = "stop"')
    programs = [
        start_python(TRAINING, "train", "60", env={**rank_environment(rank, 2), **QUICK})
        for rank in range(2)
    ]
    told = [program.communicate(timeout=120)[1] for program in programs]
    assert told[0].count("warning: rule loss-is-nan: loss is NaN") == 1
    assert "rule loss-is-nan" not in told[1]


def test_a_wrong_rule_is_told_at_init_and_never_stops_the_program(tmp_path: Path) -> None:
    code = """
    import hpctrack
    run = hpctrack.init("p", rules=[{"metrik": "loss", "is": "nan"}, {"metric": "a", "above": 1}])
    run.log({"a": 2})
    run.finish()
    """
    done = run_python(code)
    assert done.returncode == 0
    assert "unknown key 'metrik' (argument); did you mean 'metric'?" in done.stderr
    assert only_run(tmp_path / "store").tags == ("rule:a-above-1",)
    strict = run_python(code, env={"HPCTRACK_STRICT": "1"})
    assert strict.returncode == 1
    assert "SettingsError" in strict.stderr
    more = run_python('import hpctrack; hpctrack.init("p", settings={"rules": [{"x": 1}]})')
    assert "unknown key 'x'" in more.stderr


def test_a_rank_without_rules_does_not_load_them() -> None:
    code = """
    import sys, hpctrack
    hpctrack.init("p").finish()
    assert not [name for name in sys.modules if "rule" in name and name.startswith("hpctrack")]
    """
    assert run_python(code).returncode == 0


def test_config_shows_the_rules_and_what_they_lack_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rules("time_left_min = 10", 'do = ["signal", "cancel"]')
    assert cli.run(["config"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "10 min to the time limit signal:USR1, cancel attempt" in shown
    assert "set job_end_wall_s" in shown
    assert "no command of its scheduler" in shown
    assert cli.run(["config", "--json"]) == 0
    (rule,) = json.loads(capsys.readouterr().out)["rules"]
    assert rule["once"] == "attempt"
    assert len(rule["obstacles"]) == 2


# -- the page that explains it -------------------------------------------------------------------


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.parametrize("number", range(len(blocks("toml"))))
def test_the_rules_of_the_page_are_understood(number: int, tmp_path: Path) -> None:
    (tmp_path / "hpctrack.toml").write_text(blocks("toml")[number])
    loaded = load_settings(environ={}, cwd=tmp_path)
    assert not loaded.problems
    assert list(load_rules(loaded.values.rules))


def test_every_key_and_action_is_on_the_page() -> None:
    from hpctrack.core.rule_reading import KEYS
    from hpctrack.core.rules import ACTIONS

    text = PAGE.read_text()
    for word in (*KEYS, *ACTIONS):
        assert re.search(rf"`[^`]*\b{word}\b[^`]*`|^{word} = ", text, re.MULTILINE), word


def test_the_conditions_in_the_pages_table_are_rules() -> None:
    text = PAGE.read_text()
    for said in ("memory_frac = 0.95", "gpu_idle_min = 10", "hang_min = 15", "silent_min = 60"):
        assert f"`{said}`" in text
        key, value = said.split(" = ")
        rules, problems = read_rules([{key: float(value)}], "page")
        assert rules
        assert not problems


def test_the_programs_of_the_page_run_and_save_when_told_to(tmp_path: Path) -> None:
    checkpoint, other = blocks("python")
    assert run_python(other, env={"HPCTRACK_DIR": str(tmp_path / "other")}).returncode == 0
    slow = checkpoint.replace("range(1000)", "range(100000)").replace(
        "    if run.should_stop():", "    __import__('time').sleep(0.01)\n    if run.should_stop():"
    )
    Path("hpctrack.toml").write_text(blocks("toml")[0])
    Path("train.py").write_text(slow)
    environ = {"HPCTRACK_JOB_END_WALL_S": f"{time.time() + 30}", **QUICK}
    program = subprocess.Popen(
        [sys.executable, "-u", "train.py"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environ},
    )
    try:
        assert program.stdout is not None
        assert program.stdout.readline().startswith("saving at step ")
        (folder,) = wait_for(lambda: list((tmp_path / "store").glob("digits/*/")))
        run = folder.name
        assert cli.run(["stop", run]) == 0
        assert program.wait(60) == 0
    finally:
        program.kill()
        program.communicate()
