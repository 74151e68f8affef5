"""What may be called as ``hpctrack.alert(...)``, before, in and after a run."""

from __future__ import annotations

import textwrap
from pathlib import Path

import hpctrack
from tests.programs import only_run, run_python


def test_module_level_calls_need_a_run_unless_all_is_disabled() -> None:
    code = """
    import hpctrack
    for call in (lambda: hpctrack.log({"a": 1}), lambda: hpctrack.config):
        try:
            call()
        except hpctrack.errors.NotInitialisedError as error:
            print(error.message)
    print(hpctrack.run)
    """
    told = run_python("import hpctrack.errors\n" + textwrap.dedent(code))
    assert told.stdout.splitlines() == [
        "hpctrack.log needs a run",
        "hpctrack.config needs a run",
        "None",
    ]
    calls = "import hpctrack; hpctrack.log({'a': 1}); hpctrack.config.update({'b': 2})"
    assert run_python(calls, env={"HPCTRACK_MODE": "disabled"}).returncode == 0


def test_module_level_calls_after_the_end_do_nothing(tmp_path: Path) -> None:
    done = run_python(
        """
        import os, hpctrack
        hpctrack.init("p")
        hpctrack.log({"a": 1})
        pid = os.fork()
        if pid == 0:
            hpctrack.log({"a": 99})
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        hpctrack.finish()
        hpctrack.log({"a": 2})
        """
    )
    assert done.returncode == 0, done.stderr
    assert "log() after finish()" in done.stderr
    assert only_run(tmp_path / "store").metric("a").values.tolist() == [1]


def test_there_is_no_current_run_when_it_has_finished(tmp_path: Path) -> None:
    with hpctrack.init("p", id="one") as run:
        assert hpctrack.run is run
    current: object = getattr(hpctrack, "run")  # noqa: B009 - the type checker remembers the run
    assert current is None
    hpctrack.init("p", id="two")
    hpctrack.log({"a": 2})
    hpctrack.finish()
    assert hpctrack.Store(tmp_path / "store").run("two").metric("a").values.tolist() == [2]


def test_calls_of_the_module_can_be_imported_before_there_is_a_run() -> None:
    code = """
    import inspect, pydoc
    import hpctrack
    from hpctrack import alert, define_metric, log_code, mark_preempting, save, should_stop
    from hpctrack import unwatch, watch
    for call in (lambda: alert("t"), should_stop, mark_preempting, unwatch, lambda: watch(None)):
        try:
            call()
        except hpctrack.errors.NotInitialisedError as error:
            print(error.message)
    names = [name for name, _thing in inspect.getmembers(hpctrack)]
    print("alert" in names, "config" in names, len(pydoc.render_doc(alert)) > 100)
    run = hpctrack.init("p", "first")
    alert("t")
    print(run.name, should_stop(), define_metric("a", summary="max").summary)
    save("nothing")
    log_code()
    """
    done = run_python("import hpctrack.errors\n" + textwrap.dedent(code))
    assert done.stdout.splitlines() == [
        "hpctrack.alert needs a run",
        "hpctrack.should_stop needs a run",
        "hpctrack.mark_preempting needs a run",
        "hpctrack.unwatch needs a run",
        "hpctrack.watch needs a run",
        "True False True",
        "first False ('max',)",
    ], done.stderr
