"""A sweep's study in PostgreSQL, and behind Optuna's proxy: real servers on loopback."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from hpctrack.errors import MissingPackageError, StoreError, SweepError, UsageError
from hpctrack.sweeps.search import storage
from hpctrack.sweeps.search.point import PointState
from hpctrack.sweeps.search.search import Search
from hpctrack.sweeps.sweep import Sweep, create_sweep
from tests.services.postgres import PASSWORD, Postgres, find_free_port

PARAMETERS = {
    "lr": {"distribution": "log_uniform_values", "min": 1e-4, "max": 0.1},
    "optimizer": {"values": ["adam", "sgd", None, [0.9, 0.99]]},
}


def make(tmp_path: Path, url: str, **changes: Any) -> Sweep:
    config = {
        "method": "tpe",
        "command": ["true"],
        "metric": {"name": "loss"},
        "parameters": PARAMETERS,
        "seed": 7,
        **({"storage": url} if url else {}),
        **changes,
    }
    return create_sweep(tmp_path / "store", config)


def run_some(search: Search, count: int) -> list[dict[str, Any]]:
    points = []
    for configuration in range(count):
        point = search.ask(configuration)
        search.report(point.number, 1, point.parameters["lr"])
        search.tell(point.number, PointState.FINISHED, [point.parameters["lr"]])
        points.append(point.parameters)
    return points


@pytest.mark.postgres
def test_points_in_postgresql_are_those_of_the_journal(tmp_path: Path, postgres: Postgres) -> None:
    with Search.open(make(tmp_path / "a", "")) as search:
        expected = run_some(search, 13)
    sweep = make(tmp_path / "b", postgres.make_database())
    with Search.open(sweep) as search:
        assert run_some(search, 13) == expected
        assert not sweep.folder.journal.exists()
    with Search.open(sweep) as search:
        records = search.records()
        assert [one.parameters for one in records] == expected
        assert [one.curve for one in records] == [((1, one["lr"]),) for one in expected]
        point = search.ask(12)
        assert point.parameters == expected[12]
        search.tell(point.number, PointState.FAILED)
        assert search.records()[12].state == PointState.FINISHED


@pytest.mark.postgres
def test_trials_end_early_in_postgresql(tmp_path: Path, postgres: Postgres) -> None:
    rules = ({"type": "hyperband", "min_iter": 2}, {"type": "asha", "min_iter": 2})
    for early in rules:
        sweep = make(tmp_path, postgres.make_database(), early_terminate=early)
        with Search.open(sweep) as search:
            for configuration in range(5):
                point = search.ask(configuration)
                said = [
                    search.report(point.number, at, 1.0 + configuration, best=1.0 + configuration)
                    for at in (1, 2, 3)
                ]
                state = PointState.PRUNED if any(said) else PointState.FINISHED
                search.tell(point.number, state, [1.0] if state == PointState.FINISHED else [])
            assert [one.state for one in search.records()][-1] == PointState.PRUNED


@pytest.mark.postgres
def test_points_of_other_sweeps_are_taken_over_in_postgresql(
    tmp_path: Path, postgres: Postgres
) -> None:
    url = postgres.make_database()
    old = make(tmp_path, url)
    with Search.open(old) as search:
        run_some(search, 3)
    new = make(tmp_path, url, warm_start=[old.id])
    for _ in range(2):
        with Search.open(new) as search:
            assert len(search._study.trials()) == 3
            assert search.records() == []


WORKER = """
import json, sys
from pathlib import Path
from hpctrack.sweeps.search.point import PointState
from hpctrack.sweeps.search.search import Search
from hpctrack.sweeps.sweep import load_sweep
store, sweep_id, first = sys.argv[1:]
with Search.open(load_sweep(Path(store), sweep_id)) as search:
    for configuration in range(int(first), 30, 3):
        point = search.ask(configuration)
        search.tell(point.number, PointState.FINISHED, [float(configuration)])
        print(json.dumps([configuration, point.number, point.parameters]), flush=True)
"""


def check_processes(sweep: Sweep) -> None:
    """Let three processes open a study that is not there yet, and ask at once."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(sweep.store), sweep.id, str(at)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for at in range(3)
    ]
    try:
        said = [one.communicate(timeout=180)[0] for one in processes]
    finally:
        for one in processes:
            one.kill()
            one.wait()
    answers = [json.loads(line) for text in said for line in text.splitlines()]
    assert sorted(one[0] for one in answers) == list(range(30))
    assert len({one[1] for one in answers}) == 30
    assert len({one[2]["lr"] for one in answers}) == 30
    with Search.open(sweep) as search:
        assert {one.values for one in search.records()} == {(float(at),) for at in range(30)}


@pytest.mark.postgres
def test_processes_that_come_first_at_once_share_a_study(
    tmp_path: Path, postgres: Postgres
) -> None:
    check_processes(make(tmp_path, postgres.make_database()))


@pytest.mark.postgres
def test_a_server_that_goes_away_is_an_error_of_the_store_and_comes_back(tmp_path: Path) -> None:
    with Postgres() as server, Search.open(make(tmp_path, server.make_database())) as search:
        point = search.ask(0)
        server.stop()
        with pytest.raises(StoreError) as caught:
            search.tell(point.number, PointState.FINISHED, [1.0])
        assert PASSWORD not in str(caught.value)
        server.start_again()
        search.tell(point.number, PointState.FINISHED, [1.0])
        assert [one.values for one in search.records()] == [(1.0,)]


@pytest.mark.postgres
def test_a_wrong_password_is_said_without_it(
    tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = postgres.url().replace(quote(PASSWORD, safe=""), "pssst")
    with pytest.raises(StoreError, match="password authentication failed") as caught:
        Search.open(make(tmp_path, wrong))
    assert "pssst" not in str(caught.value)
    url = wrong.replace("pssst", "${envvar:STUDY_PASSWORD}")
    with pytest.raises(SweepError, match="STUDY_PASSWORD is not set"):
        Search.open(make(tmp_path, url))
    monkeypatch.setenv("STUDY_PASSWORD", PASSWORD)
    Search.open(make(tmp_path, url)).close()


def test_a_server_that_is_not_there_is_an_error_of_the_store(tmp_path: Path) -> None:
    url = f"postgresql://me:secret@127.0.0.1:{find_free_port()}/nothing"
    with pytest.raises(StoreError, match=r"cannot use postgresql://me:\*\*\*@127") as caught:
        Search.open(make(tmp_path, url))
    assert "secret" not in str(caught.value)


def test_a_proxy_that_is_not_there_is_an_error_of_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "READY_TIMEOUT_S", 1.0)
    with pytest.raises(StoreError, match="does not answer"):
        Search.open(make(tmp_path, f"grpc://127.0.0.1:{find_free_port()}"))


@pytest.mark.parametrize(
    ("url", "package", "extra"),
    [("postgresql://h/d", "psycopg2", "postgresql"), ("grpc://h:1", "grpc", "grpc")],
)
def test_a_package_that_is_missing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, package: str, extra: str
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == package else found(name)
    )
    with pytest.raises(MissingPackageError, match=rf"hpctrack\[{extra}\]"):
        Search.open(make(tmp_path, url))


def test_a_url_is_shown_without_its_password() -> None:
    shown = storage.show_url("postgresql://me:p@ss:w@host:5432/db")
    assert shown == "postgresql://me:***@host:5432/db"
    assert storage.show_url("postgresql://me@host/db") == "postgresql://me@host/db"
    assert storage.show_url("grpc://node:13000") == "grpc://node:13000"


def test_a_storage_of_no_kind_is_refused(tmp_path: Path) -> None:
    sweep = make(tmp_path, "")
    with pytest.raises(UsageError, match="of no known kind"):
        storage.open_url("ftp://host/x", sweep.folder.journal)


PROXY = """
import sys
import optuna
# SQLAlchemy 2.1 takes psycopg 3 for PostgreSQL if nothing is said.
address = sys.argv[1].replace("postgresql:", "postgresql+psycopg2:")
optuna.storages.run_grpc_proxy_server(
    optuna.storages.get_storage(address), host="127.0.0.1", port=int(sys.argv[2])
)
"""


@pytest.mark.postgres
def test_processes_share_a_study_behind_a_proxy(tmp_path: Path, postgres: Postgres) -> None:
    pytest.importorskip("grpc")
    port = find_free_port()
    proxy = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", PROXY, postgres.make_database(), str(port)],
        stderr=subprocess.DEVNULL,
    )
    try:
        sweep = make(tmp_path, f"grpc://127.0.0.1:{port}")
        check_processes(sweep)
    finally:
        proxy.kill()
        proxy.wait()
