"""How a sweep stands goes to the server, and what is asked there comes back: two real processes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from hpctrack.core.clock import SYSTEM_CLOCK
from hpctrack.core.layout import PROGRESS_NAME, REPLACED_FOLDER, REQUEST_NAME, SERVER_FOLDER
from hpctrack.errors import StoreFormatError, UsageError
from hpctrack.sweeps.control import Wish, read_control, write_control
from hpctrack.sweeps.folder import SweepFolder, write_json
from hpctrack.sweeps.request import (
    REQUEST_MAX_BYTES,
    Request,
    Taking,
    parse_request,
    read_request,
    write_request,
)
from hpctrack.sweeps.results.progress import read_progress
from hpctrack.sweeps.results.status import read_status
from hpctrack.sweeps.results.sweep_results import SweepResults
from hpctrack.sweeps.submission.requests import take_request
from hpctrack.sweeps.sweep import Sweep, load_sweep
from hpctrack.sweeps.sync_desk import SweepDesk
from hpctrack.sweeps.worker.result import TrialState
from hpctrack.sync.bundles.recording import Recording
from hpctrack.sync.carriers.transport import ConnectOptions
from hpctrack.sync.files.inventory import HashCache
from hpctrack.sync.sending.push import push
from hpctrack.sync.sending.push_result import PushResult, Status
from hpctrack.sync.sending.sender import Sender
from hpctrack.sync.sending.survey import Choice, Survey, Wanted
from hpctrack.sync.wire.messages import ItemKind
from tests.sweep_stores import write_sweep, write_trial


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    """A sweep on a cluster."""
    return write_sweep(tmp_path / "cluster", trials=8, has_runs=False)


@pytest.fixture
def server(tmp_path: Path) -> Path:
    return tmp_path / "server"


def sync(sweep: Sweep, server: Path) -> PushResult:
    return push(sweep.store, str(server), sweeps=SweepDesk())


def there(server: Path) -> Sweep:
    return load_sweep(server, "digits/s1")


def ask(server: Path, wish: Wish, seen: Wish = Wish.RUN) -> Request:
    return write_request(there(server).folder, wish, seen=seen, who="bob")


def test_a_server_knows_how_a_sweep_stands(sweep: Sweep, server: Path) -> None:
    sync(sweep, server)
    here, far = read_status(sweep), read_status(there(server))
    assert far.counts() == here.counts()
    assert [one.values for one in far.trials] == [one.values for one in here.trials]
    assert [one.parameters for one in far.trials] == [one.parameters for one in here.trials]
    assert far.cost() == here.cost()
    assert not (there(server).folder.path / "trials").exists()
    found = read_progress(there(server))
    assert found is not None
    assert found.submissions[0]["tasks"] == 2
    dashboard = SweepResults(there(server)).to_dashboard()
    assert (
        dashboard["best"][0]["finished"]
        == SweepResults(sweep).to_dashboard()["best"][0]["finished"]
    )
    assert len(dashboard["timeline"]) == 8


def test_only_news_travels(sweep: Sweep, server: Path) -> None:
    sync(sweep, server)
    assert sync(sweep, server).size_bytes == 0
    write_trial(sweep, 8, TrialState.FINISHED, has_run=False)
    result = sync(sweep, server)
    (progress,) = result.of_kind(ItemKind.PROGRESS)
    assert progress.status == Status.REPLACED
    assert len(read_status(there(server)).trials) == 9


def test_a_request_is_done_at_the_next_push_and_the_server_hears_of_it(
    sweep: Sweep, server: Path
) -> None:
    sync(sweep, server)
    asked = ask(server, Wish.PAUSE)
    assert read_control(sweep.folder).wish == Wish.RUN
    sync(sweep, server)
    control = read_control(sweep.folder)
    assert (control.wish, control.who) == (Wish.PAUSE, "bob")
    found = read_progress(there(server))
    assert found is not None
    assert found.taken is not None
    assert (found.taken.id, found.taken.taking) == (asked.id, Taking.DONE)
    assert found.wish == Wish.PAUSE


def test_a_request_is_done_once(sweep: Sweep, server: Path) -> None:
    sync(sweep, server)
    ask(server, Wish.PAUSE)
    sync(sweep, server)
    write_control(sweep.folder, Wish.RUN, who="alice")
    sync(sweep, server)
    assert read_control(sweep.folder).wish == Wish.RUN, "who goes on here means it"


def test_who_stopped_meanwhile_is_not_overruled_by_who_did_not_know(
    sweep: Sweep, server: Path
) -> None:
    write_control(sweep.folder, Wish.PAUSE, who="alice")
    sync(sweep, server)
    ask(server, Wish.RUN, seen=Wish.PAUSE)
    write_control(sweep.folder, Wish.STOP, who="alice")
    sync(sweep, server)
    assert read_control(sweep.folder).wish == Wish.STOP
    found = read_progress(there(server))
    assert found is not None
    assert found.taken is not None
    assert found.taken.taking == Taking.OVERTAKEN
    assert "stop was wished here" in found.taken.note
    ask(server, Wish.RUN, seen=Wish.STOP)
    sync(sweep, server)
    assert read_control(sweep.folder).wish == Wish.RUN, "now the asker knew"


def test_stopping_wins_over_what_the_asker_did_not_know(sweep: Sweep, server: Path) -> None:
    sync(sweep, server)
    write_control(sweep.folder, Wish.PAUSE, who="alice")
    ask(server, Wish.STOP)
    sync(sweep, server)
    assert read_control(sweep.folder).wish == Wish.STOP


def test_a_request_travels_over_a_server_between(
    sweep: Sweep, server: Path, tmp_path: Path
) -> None:
    last = tmp_path / "last"
    sync(sweep, server)
    push(server, str(last), sweeps=SweepDesk())
    assert len(read_status(there(last)).trials) == 8
    write_request(there(last).folder, Wish.PAUSE, seen=Wish.RUN, who="carol")
    push(server, str(last), sweeps=SweepDesk())
    assert read_control(sweep.folder).wish == Wish.RUN
    sync(sweep, server)
    assert read_control(sweep.folder).who == "carol"


def test_a_dry_run_asks_for_nothing_and_writes_nothing(sweep: Sweep, server: Path) -> None:
    sync(sweep, server)
    ask(server, Wish.PAUSE)
    push(sweep.store, str(server), sweeps=SweepDesk(), dry_run=True)
    assert read_control(sweep.folder).wish == Wish.RUN


def test_an_old_sender_takes_nothing_and_is_told_nothing(sweep: Sweep, server: Path) -> None:
    sync(sweep, server)
    ask(server, Wish.PAUSE)
    result = push(sweep.store, str(server))
    assert not result.of_kind(ItemKind.PROGRESS)
    assert read_control(sweep.folder).wish == Wish.RUN


def test_an_old_receiver_is_offered_nothing_that_it_does_not_know(sweep: Sweep) -> None:
    class Written:
        def __getattr__(self, _name: str) -> Any:
            return lambda *_given, **_named: None

    peer = Recording(Written(), "old")  # type: ignore[arg-type] # its HELLO says no "takes"
    cache = HashCache(sweep.store)
    sender = Sender(peer, cache, SYSTEM_CLOCK, on_progress=lambda _progress: None)
    wanted = Wanted(
        seal=False, live=False, dry_run=False, stale_after_s=60, clock=SYSTEM_CLOCK,
        on_run=lambda _run: None, sweeps=SweepDesk(),
    )  # fmt: skip
    choice = Choice(runs=(), projects=("digits",), is_everything=True)
    sender.transfer(Survey(sweep.store, choice, wanted, cache).iter_chunks())
    assert {one.key.kind for one in peer.items} == {ItemKind.SWEEP}


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{", '{"wish": "cancel", "id": "x", "seen": "run"}', '{"wish": "run"}',
        '{"wish": "run", "id": "", "seen": "run"}', '{"wish": "rm -rf", "id": "x", "seen": "run"}',
        "[" * 3000,
    ],
)  # fmt: skip
def test_what_is_no_request_is_not_done(sweep: Sweep, server: Path, text: str) -> None:
    with pytest.raises(StoreFormatError):
        parse_request(text)
    sync(sweep, server)
    (there(server).folder.path / REQUEST_NAME).write_text(text)
    sync(sweep, server)
    assert read_control(sweep.folder).wish == Wish.RUN


def test_a_request_that_is_too_long_stays_where_it_is(sweep: Sweep, server: Path) -> None:
    sync(sweep, server)
    asked = ask(server, Wish.PAUSE)
    long = {**asked.to_json(), "who": "x" * REQUEST_MAX_BYTES}
    write_json(there(server).folder.path / REQUEST_NAME, long)
    sync(sweep, server)
    assert read_control(sweep.folder).wish == Wish.RUN


def test_cancelling_cannot_be_asked_for_from_elsewhere(sweep: Sweep) -> None:
    with pytest.raises(UsageError):
        write_request(sweep.folder, Wish.CANCEL, seen=Wish.RUN)


def test_a_key_that_may_only_append_keeps_no_old_progress(sweep: Sweep, server: Path) -> None:
    command = f"sh -c '{sys.executable} -m hpctrack \"$@\" --append-only' sh"
    connect = ConnectOptions(remote_command=command)
    push(sweep.store, str(server), sweeps=SweepDesk(), connect=connect)
    write_trial(sweep, 8, TrialState.FINISHED, has_run=False)
    result = push(sweep.store, str(server), sweeps=SweepDesk(), connect=connect)
    (progress,) = result.of_kind(ItemKind.PROGRESS)
    assert progress.status == Status.REPLACED
    assert not (server / SERVER_FOLDER / REPLACED_FOLDER).exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 99}', '{"format": 1, "trials": [7]}'])
def test_a_damaged_progress_is_an_error_and_not_a_crash(
    sweep: Sweep, server: Path, text: str
) -> None:
    sync(sweep, server)
    (there(server).folder.path / PROGRESS_NAME).write_text(text)
    with pytest.raises(StoreFormatError):
        read_status(there(server))


def test_a_sweep_that_searches_tells_its_points(tmp_path: Path) -> None:
    sweep = write_sweep(
        tmp_path / "cluster", trials=0, has_runs=False, method="bayes",
        parameters={"lr": {"min": 0.1, "max": 1.0}}, run_cap=5,
    )  # fmt: skip
    write_json(sweep.folder.point(0), {"parameters": {"lr": 0.25}})
    write_trial(sweep, 0, TrialState.FINISHED, has_run=False)
    sync(sweep, tmp_path / "server")
    (one,) = read_status(there(tmp_path / "server")).trials
    assert one.parameters == {"lr": 0.25}


def test_taking_notes_what_became_of_it(sweep: Sweep) -> None:
    request = Request(id="x", wish=Wish.PAUSE, seen=Wish.RUN, who="bob")
    taken = take_request(sweep, request)
    assert taken is not None
    assert taken.taking == Taking.DONE
    assert take_request(sweep, request) is None
    assert read_request(SweepFolder(sweep.folder.path)) is None
    assert json.loads((sweep.folder.path / "taken.json").read_text())["id"] == "x"
