"""What Slurm counted travels with its run, also when the run is there already."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hpctrack import Store
from hpctrack.cli.main import run as run_cli
from hpctrack.core.clock import SYSTEM_CLOCK
from hpctrack.store.accounting_file import write_accounting
from hpctrack.store.seal import seal_run
from hpctrack.sync.sending.push import push
from hpctrack.sync.sending.push_result import PushResult, Status
from hpctrack.sync.wire.messages import ItemKind, Key, Outcome, Wish
from tests.stores import NodeWriter
from tests.unit.scheduler.slurm_double import SacctDouble, make_rows
from tests.unit.sync.conftest import Connect, Peer
from tests.unit.sync.made_stores import Item, hash_files, list_below, make_item


def account(store: Path, name: str, asked_wall_s: float, /, **more: object) -> Path:
    """Write a run's accounting and return the file."""
    project, run = name.split("/")
    facts = {"project": project, "run": run, "asked_wall_s": asked_wall_s, "is_final": False}
    write_accounting(store / name, {**facts, "attempts": [{"job": "7"}], **more})
    return store / name / "accounting.json"


def statuses(result: PushResult) -> dict[str, str]:
    return {str(one.key): one.status for one in result.accountings}


def asked(store: Path, run: str) -> float | None:
    found = Store(store).run(run).accounting
    return None if found is None else found["asked_wall_s"]


def test_it_goes_along_and_is_sent_again_when_it_is_newer(source: Path, target: Path) -> None:
    account(source, "digits/one", 100.0)
    first = push(source, str(target))
    assert (first.sent, statuses(first)) == (3, {"digits/one": Status.SENT})
    assert asked(target, "digits/one") == 100
    account(source, "digits/one", 200.0)
    account(source, "digits/two", 150.0)
    second = push(source, str(target))
    assert (second.sent, second.present) == (0, 3)
    assert statuses(second) == {"digits/one": Status.REPLACED, "digits/two": Status.SENT}
    assert asked(target, "digits/one") == 200
    assert hash_files(target) == hash_files(source)
    third = push(source, str(target))
    assert (third.size_bytes, set(statuses(third).values())) == (0, {Status.PRESENT})


def test_an_older_one_does_not_replace_a_newer_one(source: Path, target: Path) -> None:
    push(source, str(target))
    account(target, "digits/one", 300.0)
    account(source, "digits/one", 200.0)
    assert statuses(push(source, str(target))) == {"digits/one": Status.PRESENT}
    assert asked(target, "digits/one") == 300


def test_a_broken_one_there_is_replaced(source: Path, target: Path) -> None:
    push(source, str(target))
    (target / "digits/one/accounting.json").write_text("{")
    account(source, "digits/one", 200.0)
    assert statuses(push(source, str(target))) == {"digits/one": Status.SENT}
    assert asked(target, "digits/one") == 200


@pytest.mark.parametrize("text", ["{", "[]", '{"kind": "hpctrack-accounting"}', None])
def test_what_is_no_accounting_of_this_run_stays_here(
    source: Path, target: Path, text: str | None
) -> None:
    path = account(source, "digits/one", 1.0, run="two")
    if text is not None:
        path.write_text(text)
    result = push(source, str(target))
    assert (result.sent, result.accountings) == (3, ())


def test_an_offer_of_it_is_answered_by_its_own_hash(
    connect: Connect, source: Path, target: Path
) -> None:
    item = make_item(account(source, "digits/one", 1.0), kind="accounting")
    sealed = make_item(source / "digits/one/run.h5")
    peer = connect().greet()
    peer.give(sealed)
    assert peer.offer(sealed, item).wishes == bytes([Wish.PRESENT, Wish.WANTED])
    assert peer.give(item).outcome == Outcome.PUBLISHED
    assert peer.offer(sealed, item).wishes == bytes([Wish.PRESENT, Wish.PRESENT])
    peer.finish()


def test_without_its_run_it_is_refused_and_leaves_nothing(
    connect: Connect, source: Path, target: Path
) -> None:
    item = make_item(account(source, "digits/one", 1.0), kind="accounting")
    peer = connect().greet()
    for _again in range(2):
        answer = peer.give(item)
        assert (answer.outcome, answer.code) == (Outcome.REFUSED, "no-run")
        # The second time there is a folder, but no sealed run in it.
        (target / "digits" / "one").mkdir(parents=True, exist_ok=True)
    peer.finish()
    assert not list_below(target / "digits" / "one")


def offer(peer: Peer, source: Path, path: Path) -> str:
    sealed = make_item(source / "digits/one/run.h5")
    if peer.offer(sealed).wishes != bytes([Wish.PRESENT]):
        peer.give(sealed)
    answer = peer.give(Item(Key(ItemKind.ACCOUNTING, "digits", "one"), path.read_bytes()))
    peer.finish()
    return answer.code


def test_something_else_is_refused(connect: Connect, source: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"kind": "hpctrack-accounting", "attempts": []}')
    assert offer(connect().greet(), source, path) == "not-accounting"


def test_that_of_another_run_is_refused(connect: Connect, source: Path) -> None:
    assert offer(connect().greet(), source, account(source, "digits/two", 1.0)) == "other-run"


def test_a_link_in_its_place_is_not_followed(
    connect: Connect, source: Path, target: Path, tmp_path: Path
) -> None:
    push(source, str(target))
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (target / "digits/one/accounting.json").symlink_to(victim)
    assert offer(connect().greet(), source, account(source, "digits/one", 1.0)) == "link"
    assert victim.read_text() == "precious"


# -- the command asks sacct first ---------------------------------------------------------------

START_S = 1_764_290_000.0


@pytest.fixture
def sacct(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SacctDouble:
    """Put a ``sacct`` in front of the PATH that knows job 7."""
    double = SacctDouble(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{double.folder}:{os.environ['PATH']}")
    return double


def write_job(store: Path, sacct: SacctDouble, *, age_s: float = 0.0) -> None:
    """Write a run that ended ``age_s`` before now."""
    start_s = SYSTEM_CLOCK.wall_s() - 1000 - age_s
    writer = NodeWriter(store, run="r", wall_s=start_s)
    session = writer.start(0, job={"SLURM_JOB_ID": "7"}, wall_s=start_s)
    writer.wall_s = start_s + 900
    writer.end(0, session)
    seal_run(writer.close().parent)
    sacct.tell(make_rows("7", start=start_s - 5, end=start_s + 905))


def test_sync_asks_about_the_runs_that_it_pushes(
    tmp_path: Path, target: Path, sacct: SacctDouble, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    write_job(store, sacct)
    assert run_cli(["sync", str(target), "--store", str(store)]) == 0
    assert "sent 1 run and the accounting of 1 run (" in capsys.readouterr().out
    found = Store(target).run("r").accounting
    assert found is not None
    assert found["attempts"][0]["job"] == "7"
    assert run_cli(["sync", str(target), "--store", str(store), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["status"] for one in told["accounting"]] == ["present"]
    assert len(sacct.calls) == 1


def test_a_sacct_that_fails_is_told_and_fails_nothing(
    tmp_path: Path, target: Path, sacct: SacctDouble, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    write_job(store, sacct)
    sacct.fail("sacct: error: Problem talking to the database: Connection refused")
    assert run_cli(["sync", str(target), "--store", str(store)]) == 0
    told = capsys.readouterr()
    assert "accounting: sacct: Problem talking to the database" in told.err
    assert "sent 1 run (" in told.out
    (sacct.folder / "words").unlink()
    assert run_cli(["sync", str(target), "--store", str(store)]) == 0
    assert "sent the accounting of 1 run (" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["--no-accounting"], ["--dry-run"], []])
def test_sacct_is_left_alone_if_nobody_wants_it(
    tmp_path: Path,
    target: Path,
    sacct: SacctDouble,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
) -> None:
    store = tmp_path / "store"
    write_job(store, sacct)
    if not words:
        monkeypatch.setenv("HPCTRACK_SYNC_ACCOUNTING", "0")
    assert run_cli(["sync", str(target), "--store", str(store), *words]) == 0
    assert not sacct.calls


def test_runs_of_long_ago_are_left_to_the_command(
    tmp_path: Path, target: Path, sacct: SacctDouble
) -> None:
    store = tmp_path / "store"
    write_job(store, sacct, age_s=60 * 86_400)
    assert run_cli(["sync", str(target), "--store", str(store)]) == 0
    assert not sacct.calls
    assert run_cli(["sacct", "--store", str(store)]) == 0
    assert len(sacct.calls) == 1
