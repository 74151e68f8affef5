"""The pages of sweeps, their API, and what can be asked: over sweeps that have run."""

from __future__ import annotations

import http.client
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpctrack.core.layout import PROGRESS_NAME, SERVER_FOLDER
from hpctrack.sweeps.control import Wish, read_control
from hpctrack.sweeps.folder import SweepFolder, write_json
from hpctrack.sweeps.request import Taken, Taking, read_request, write_taken
from hpctrack.sweeps.results.progress import write_progress
from hpctrack.sweeps.results.status import read_status
from hpctrack.sweeps.sweep import load_sweep
from hpctrack.sweeps.worker.result import TrialState, read_result, write_result
from hpctrack_server.components.sweep_view import (
    describe_request,
    describe_state,
    find_parameter,
    list_asks,
    make_segments,
)
from hpctrack_server.data.sweep_curves import CURVES_MAX, choose_trials, thin_line
from tests.sweep_stores import write_sweep
from tests.unit.server.conftest import HOST_NAME, TOKEN, Live, serve

NAME = "<script>alert(1)</script>"
RUNNING = {6: TrialState.RUNNING, 7: TrialState.RUNNING}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which sweeps run, one of which came from elsewhere."""
    path = tmp_path_factory.mktemp("sweeps")
    (path / SERVER_FOLDER).mkdir()
    write_sweep(path, sweep_id="over", name=NAME)
    write_sweep(path, sweep_id="going", trials=8, states=RUNNING, has_runs=False)
    two = [{"name": "val/loss", "goal": "minimize"}, {"name": "speed", "goal": "maximize"}]
    write_sweep(path, sweep_id="two", trials=3, metric=two, early_terminate=None, has_runs=False)
    far = write_sweep(path, sweep_id="far", trials=7, states=RUNNING, has_runs=False)
    write_progress(read_status(far))
    for name in ("trials", "submissions"):
        shutil.rmtree(far.folder.path / name)
    broken = write_sweep(path, sweep_id="broken", trials=1, has_runs=False)
    broken.folder.record.write_text("{")
    bare = write_sweep(path, sweep_id="bare", trials=0, has_runs=False)
    shutil.rmtree(bare.folder.path / "submissions")
    return path


@pytest.fixture(scope="module")
def live(store: Path) -> Iterator[Live]:
    served = serve(store)
    yield served
    served.stop()


def ask(live: Live, sweep: str, word: Any, *, marked: bool = True, **more: Any) -> tuple[int, Any]:
    """Ask something of a sweep as the page does."""
    connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=180)
    headers = {"Host": f"{HOST_NAME}:{live.port}", "Authorization": f"Bearer {TOKEN}"}
    if marked:
        headers["X-Hpctrack"] = "1"
    path = f"/api/v1/projects/digits/sweeps/{sweep}/requests"
    connection.request("POST", path, json.dumps({"ask": word, **more}), headers)
    answer = connection.getresponse()
    found = json.loads(answer.read())
    connection.close()
    return answer.status, found


def folder(store: Path, sweep: str) -> SweepFolder:
    return SweepFolder.of(store, "digits", sweep)


def test_the_list_has_every_sweep_and_says_which_is_broken(live: Live) -> None:
    answer = live.get("/p/digits/sweeps")
    assert answer.status == 200
    for sweep in ("over", "going", "two", "far", "broken", "bare"):
        assert f'data-sweep="{sweep}"' in answer.text
    assert NAME not in answer.text
    assert "unreadable" in answer.text
    assert "12 of 12" in answer.text
    rows = {one["id"]: one for one in live.get("/api/v1/projects/digits/sweeps").json()["sweeps"]}
    assert rows["over"]["counts"]["pruned"] == 3
    assert rows["over"]["best"] == pytest.approx(0.366667)
    assert rows["far"]["is_elsewhere"]
    assert rows["broken"]["error"].startswith("digits/.sweeps/broken")
    assert live.get("/p/none/sweeps").status == 404


def test_the_page_shows_how_a_sweep_stands(live: Live) -> None:
    answer = live.get("/p/digits/sweeps/over")
    assert answer.status == 200
    assert NAME not in answer.text
    assert "Best trials" in answer.text
    assert "python train.py --lr=0" in answer.text
    assert "Traceback: &lt;b&gt;boom" in answer.text
    assert "/p/digits/runs/over-0000" in answer.text
    assert "Pareto" not in answer.text
    assert "data-ask" not in answer.text, "nothing can be asked of what is over"
    assert "Pareto front" in live.get("/p/digits/sweeps/two").text
    assert "No trial yet" in live.get("/p/digits/sweeps/bare").text
    assert "Resume" not in live.get("/p/digits/sweeps/going").text


def test_the_api_has_what_the_charts_draw(live: Live) -> None:
    found = live.get("/api/v1/projects/digits/sweeps/over").json()
    assert len(found["curves"]) == 12
    assert found["rungs"] == [3, 9]
    assert {one["stopped_at"] for one in found["curves"]} == {None, 3}
    assert [one["worker"] for one in found["timeline"]] == ["w0"] * 6 + ["w1"] * 6
    assert found["ranking"][0] == 0
    assert found["ranking"][-1] == 5, "what failed comes last"
    assert [one["name"] for one in found["parallel"]] == ["lr", "optimizer", "val/loss"]
    importance = live.get("/api/v1/projects/digits/sweeps/over/importance").json()
    assert "too few" in importance["error"]
    assert live.get("/api/v1/projects/digits/sweeps/none").status == 404
    assert live.get("/p/digits/sweeps/none").status == 404
    assert live.get("/p/digits/sweeps/..%2Fover").status == 404


def test_a_trial_that_runs_has_as_many_iterations_as_its_curve_or_a_dash(tmp_path: Path) -> None:
    for sweep_id, has_runs in (("seen", True), ("unseen", False)):
        sweep = write_sweep(
            tmp_path, sweep_id=sweep_id, trials=8, states=RUNNING, has_runs=has_runs
        )
        said = read_result(sweep.folder, 6)
        assert said is not None
        write_result(sweep.folder, replace(said, iterations=0))  # told when it ends
    served = serve(tmp_path)
    try:
        for sweep_id, counted in (("seen", 3), ("unseen", 0)):
            found = served.get(f"/api/v1/projects/digits/sweeps/{sweep_id}").json()
            assert found["trials"]["iterations"][6] == counted
            page = served.get(f"/p/digits/sweeps/{sweep_id}").text
            row = page.partition('<tr data-trial="6">')[2].partition("</tr>")[0]
            assert '<span class="pill running">' in row
            assert ('<td class="number">3</td>' in row) == bool(counted)
            assert '<td class="number">0</td>' not in row
    finally:
        served.stop()


def test_a_broken_sweep_tells_why_in_its_place(live: Live, store: Path) -> None:
    answer = live.get("/p/digits/sweeps/broken")
    assert answer.status == 200
    assert "cannot be read" in answer.text
    assert str(store) not in answer.text
    assert live.get("/api/v1/projects/digits/sweeps/broken").status == 409


def test_a_sweep_that_runs_here_is_told_at_once(live: Live, store: Path) -> None:
    status, found = ask(live, "going", "pause")
    assert status == 200
    assert not found["is_elsewhere"]
    assert read_control(folder(store, "going")).wish == Wish.PAUSE
    assert read_request(folder(store, "going")) is None
    page = live.get("/p/digits/sweeps/going").text
    assert "pausing" in page
    assert "Resume" in page
    assert ask(live, "going", "resume")[1]["wish"] == "run"
    assert read_control(folder(store, "going")).wish == Wish.RUN


def test_a_sweep_that_runs_elsewhere_is_asked_at_the_next_push(live: Live, store: Path) -> None:
    status, found = ask(live, "far", "pause", seen="run")
    assert status == 200
    assert found["is_elsewhere"]
    request = read_request(folder(store, "far"))
    assert request is not None
    assert (request.wish, request.seen) == (Wish.PAUSE, Wish.RUN)
    assert not folder(store, "far").control.exists()
    page = live.get("/p/digits/sweeps/far").text
    assert "was asked for" in page
    assert "takes it along" in page
    told = json.loads((folder(store, "far").path / PROGRESS_NAME).read_text())
    taken = Taken(id=request.id, taking=Taking.DONE, wall_s=1_700_001_000.0, host="login1")
    told |= {"taken": {**{name: getattr(taken, name) for name in Taken.__slots__}}, "wish": "pause"}
    write_json(folder(store, "far").path / PROGRESS_NAME, told)
    page = live.get("/p/digits/sweeps/far").text
    assert "picked up on <bdi>login1</bdi>" in page
    assert "go on to their end" in page


@pytest.mark.parametrize("word", ["cancel", "run", "", "x" * 9999, 7, None])
def test_what_cannot_be_asked_is_refused(live: Live, word: Any) -> None:
    assert ask(live, "going", word)[0] == 400


def test_only_our_own_pages_may_ask(live: Live, store: Path) -> None:
    before = read_control(folder(store, "going"))
    assert ask(live, "going", "stop", marked=False)[0] == 403
    assert read_control(folder(store, "going")) == before
    assert ask(live, "none", "stop")[0] == 404


def test_a_damaged_progress_breaks_its_own_page_only(live: Live, store: Path) -> None:
    path = folder(store, "far").path / PROGRESS_NAME
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    try:
        assert "cannot be read" in live.get("/p/digits/sweeps/far").text
        assert live.get("/p/digits/sweeps").status == 200
    finally:
        path.write_bytes(whole)


def test_bars_states_and_words() -> None:
    segments = make_segments({"finished": 3, "failed": 1, "waiting": 0}, 8)
    assert [(one.state, one.share) for one in segments] == [("finished", 0.375), ("failed", 0.125)]
    assert make_segments({}, None) == []
    running, none = {"running": 2}, {"running": 0}
    assert describe_state(none, "run", over=8, total=8) == "finished"
    assert describe_state(running, "pause", over=1, total=8) == "pausing"
    assert describe_state(none, "stop", over=1, total=8) == "stopped"
    assert describe_state(running, "run", over=0, total=None) == "running"
    assert list_asks("pause", "paused") == [("resume", "Resume"), ("stop", "Stop")]
    assert list_asks("run", "finished") == []
    request = {"wish": "stop"}
    overtaken = {"taking": "overtaken", "note": "stop was wished here meanwhile"}
    assert "not done" in describe_request(request, overtaken, none)[1]
    assert describe_request(None, None, none) == ("", "")
    assert find_parameter({"a": {"b.c": 1}}, "a.b.c") == 1
    assert find_parameter({"a": 1}, "a.b") is None


def test_a_taken_request_is_written_where_the_sweep_runs(store: Path) -> None:
    write_taken(folder(store, "going"), Taken(id="x", taking=Taking.DONE))
    assert (folder(store, "going").path / "taken.json").is_file()


def test_of_several_metrics_the_front_comes_first_and_is_marked(live: Live) -> None:
    page = live.get("/p/digits/sweeps/two").text
    found = live.get("/api/v1/projects/digits/sweeps/two").json()
    front = {number for one in found["best"] for number in one["finished"]}
    rows = [int(one) for one in re.findall(r'data-trial="(\d+)"', page)]
    assert set(rows[: len(front)]) == front
    assert page.count('class="pill front"') == len(front)
    assert "pill front" not in live.get("/p/digits/sweeps/over").text


def test_runs_that_are_not_here_are_said_and_not_linked(live: Live, store: Path) -> None:
    write_sweep(store, sweep_id="cut", trials=4)
    for number in (1, 2):
        shutil.rmtree(store / "digits" / f"cut-{number:04d}")
    path = folder(store, "cut").path
    write_progress(read_status(load_sweep(store, "cut", project="digits")))
    told = json.loads((path / PROGRESS_NAME).read_text())
    for trial in told["trials"]:
        trial["run_project"] = "digits"
    write_json(path / PROGRESS_NAME, told)
    for name in ("trials", "submissions"):
        shutil.rmtree(path / name)
    page = live.get("/p/digits/sweeps/cut").text
    assert "2 runs of 4 trials are not in this store" in page
    assert "/runs/cut-0000" in page
    assert "/runs/cut-0001" not in page
    found = live.get("/api/v1/projects/digits/sweeps/cut").json()
    assert found["absent_runs"] == 2
    assert [one["trial"] for one in found["curves"]] == [0, 3]


def test_a_sweep_of_a_bundle_stands_as_its_runs_say(live: Live, store: Path) -> None:
    write_sweep(store, sweep_id="bundled", trials=7)
    for name in ("trials", "submissions"):
        shutil.rmtree(folder(store, "bundled").path / name)
    page = live.get("/p/digits/sweeps/bundled").text
    assert "as in a bundle" in page
    assert "what those of its runs say" in page
    found = live.get("/api/v1/projects/digits/sweeps/bundled").json()
    assert found["trials"]["number"] == list(range(7))
    assert found["counts"]["failed"] == 1
    assert len(found["curves"]) == 7


def test_of_thousands_of_trials_the_best_and_an_even_choice_are_drawn() -> None:
    ranking = [*range(5000, 10_000), *range(5000)]
    chosen = choose_trials(range(10_000), ranking)
    assert len(chosen) == CURVES_MAX
    assert {*ranking[: CURVES_MAX // 2]} <= chosen
    assert {0, 9999} <= chosen
    assert choose_trials([3, 4], [4]) == {3, 4}


def test_long_curves_are_thinned_and_keep_their_extremes() -> None:
    values: list[float | None] = [float(at % 7) for at in range(100_000)]
    values[50_001], values[70_003], values[5] = 99.0, -99.0, None
    line = {"iterations": list(range(1, 100_001)), "values": values, "steps": [1], "trial": 1}
    thinned = thin_line(line)
    assert thinned["is_thinned"]
    assert len(thinned["values"]) < 1000
    assert {99.0, -99.0} <= set(thinned["values"])
    assert thinned["iterations"][-1] == 100_000
    short = {"iterations": [1, 2], "values": [None, 1.0], "steps": [0, 1]}
    assert thin_line(short) == {**short, "is_thinned": False}
