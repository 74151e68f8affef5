"""The log of a store: whole lines, kept for ever, read whatever happened to it."""

from __future__ import annotations

import getpass
import json
import threading
import time
from pathlib import Path

import pytest

from hpctrack.errors import StoreError
from hpctrack.sync.upkeep.audit import (
    AUDIT_NAME,
    Action,
    Actor,
    AuditEvent,
    AuditLog,
    AuditTail,
    iter_events,
)
from tests.stores import FakeClock

KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIA6ceQIdZJv6dcNuNzAXJIUPgGSVuyUWhvLLwsDk9Fw3"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "store"
    path.mkdir()
    return path


def event(number: int = 0, **more: object) -> AuditEvent:
    facts = {"action": Action.PUBLISHED, "project": "digits", "kind": "run", "id": f"r{number}"}
    return AuditEvent(**{**facts, **more})  # type: ignore[arg-type]


def test_an_event_is_a_line_that_says_who_what_and_when(store: Path) -> None:
    clock = FakeClock()
    actor = Actor("ana", "10.0.0.7", "SHA256:abc")
    AuditLog(store, actor, clock=clock.clock()).append(
        [event(size_bytes=12, sha256="ab" * 32), event(1, action=Action.REFUSED, code="live")]
    )
    first, second = (store / ".server" / AUDIT_NAME).read_text().splitlines()
    assert json.loads(first) == {
        "wall_s": clock.now_s,
        "user": "ana",
        "from": "10.0.0.7",
        "key": "SHA256:abc",
        "action": "published",
        "project": "digits",
        "kind": "run",
        "id": "r0",
        "bytes": 12,
        "sha256": "ab" * 32,
    }
    assert json.loads(second)["code"] == "live"


def test_what_a_peer_calls_things_cannot_make_lines_of_its_own(store: Path) -> None:
    bad = 'x","user":"root"}\n{"wall_s":1,"id":"\udcff\u2028' + "y" * 1000
    AuditLog(store).append([event(id=bad, project=bad)])
    (found,) = iter_events(store)
    assert found["id"] == bad[:200]
    assert "user" not in found
    assert len((store / ".server" / AUDIT_NAME).read_bytes().splitlines()) == 1


def test_a_torn_line_is_passed_over_and_ended_by_the_next_one(store: Path) -> None:
    log = AuditLog(store)
    log.append([event(1)])
    path = store / ".server" / AUDIT_NAME
    for torn in (b'{"wall_s":17958, "us', b"\0" * 40, b"[1, 2]", b'{"wall_s":"x"}'):
        with path.open("ab") as file:
            file.write(torn)
        assert [one["id"] for one in iter_events(store)][-1].startswith("r")
        log.append([event(2)])
    assert [one["id"] for one in iter_events(store)] == ["r1", "r2", "r2", "r2", "r2"]


def test_readers_choose_by_time_project_and_user(store: Path) -> None:
    clock = FakeClock()
    for user in ("ana", "ben"):
        AuditLog(store, Actor(user), clock=clock.clock()).append(
            [event(project="digits"), event(project="other")]
        )
        clock.now_s += 100
    assert len(list(iter_events(store))) == 4
    assert [one["user"] for one in iter_events(store, project="other")] == ["ana", "ben"]
    assert len(list(iter_events(store, user="ben"))) == 2
    assert len(list(iter_events(store, since_wall_s=clock.now_s - 100))) == 2
    assert not list(iter_events(store, since_wall_s=clock.now_s))


def test_rows_that_come_again_and_again_are_one_event(store: Path) -> None:
    log = AuditLog(store)
    for _round in range(3):
        for number in (1, 2):
            log.add(event(number, action=Action.APPENDED, kind="live", size_bytes=10))
    log.add(event(3))
    assert not (store / ".server").exists()
    log.append([event(4)])
    log.flush()
    found = [(one["id"], one["bytes"]) for one in iter_events(store)]
    assert found == [("r1", 30), ("r2", 30), ("r3", 0), ("r4", 0)]
    log.add(event(1, action=Action.APPENDED, kind="live", size_bytes=5))
    log.flush()
    assert [one["bytes"] for one in iter_events(store)][-1] == 5


def test_a_store_that_never_received_has_no_events(store: Path) -> None:
    assert list(iter_events(store)) == []
    AuditLog(store).append([])
    assert not (store / ".server").exists()


def test_full_files_are_put_aside_and_none_is_lost(store: Path) -> None:
    log = AuditLog(store, rotate_bytes=500)
    for number in range(40):
        log.append([event(number)])
    names = sorted(one.name for one in (store / ".server").iterdir())
    assert {f"{AUDIT_NAME}.1", f"{AUDIT_NAME}.2"} <= set(names)
    assert [one["id"] for one in iter_events(store)] == [f"r{one}" for one in range(40)]


def test_two_writers_that_rotate_lose_nothing(store: Path) -> None:
    def write(name: str) -> None:
        log = AuditLog(store, Actor(name), rotate_bytes=2000)
        for number in range(60):
            log.append([event(number), event(number)])

    threads = [threading.Thread(target=write, args=(name,)) for name in ("a", "b", "c")]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    found = list(iter_events(store))
    assert len(found) == 360
    for name in ("a", "b", "c"):
        mine = [one["id"] for one in found if one["user"] == name]
        assert sorted(mine) == sorted(f"r{number}" for number in range(60) for _ in "12")


def test_a_tail_follows_across_files(store: Path) -> None:
    log = AuditLog(store, rotate_bytes=400)
    tail = AuditTail(store)
    assert tail.read() == []
    seen = []
    for number in range(12):
        log.append([event(number)])
        seen += [one["id"] for one in tail.read()]
    assert seen == [f"r{one}" for one in range(12)]
    tail.close()
    later = AuditTail(store, project="other")
    log.append([event(12), event(13, project="other")])
    assert [one["id"] for one in later.read()] == ["r13"]
    later.close()


def test_half_a_line_waits_for_its_other_half(store: Path) -> None:
    log = AuditLog(store)
    log.append([event(0)])
    tail = AuditTail(store)
    path = store / ".server" / AUDIT_NAME
    line = path.read_bytes()
    with path.open("ab") as file:
        file.write(line[:30])
        file.flush()
        assert tail.read() == []
        file.write(line[30:])
    assert [one["id"] for one in tail.read()] == ["r0"]
    tail.close()


@pytest.mark.parametrize("name", [".server", f".server/{AUDIT_NAME}"])
def test_a_link_in_its_place_is_not_followed(store: Path, tmp_path: Path, name: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    (store / name).parent.mkdir(exist_ok=True)
    (store / name).symlink_to(elsewhere)
    with pytest.raises((StoreError, OSError)):
        AuditLog(store).append([event()])
    assert not elsewhere.exists()


def test_sshd_says_who_is_there(tmp_path: Path) -> None:
    told = tmp_path / "auth"
    told.write_text(f"publickey ssh-ed25519 {KEY}\n")
    environ = {
        "SSH_CONNECTION": "10.9.8.7 50312 10.0.0.1 22",
        "SSH_USER_AUTH": str(told),
        "USER": "shared",
    }
    actor = Actor.from_environment(environ, user="ana")
    assert (actor.user, actor.address) == ("ana", "10.9.8.7")
    assert actor.key == "SHA256:MzAnWGV6HYZ1oNljc0tMW/adBpZlGcfeGaMPpLFEKos"
    assert Actor.from_environment(environ).user == "shared"
    told.write_text("password\npublickey\npublickey ssh-ed25519 ???\n")
    assert Actor.from_environment(environ).key == ""
    assert Actor.from_environment({}) == Actor(getpass.getuser())


def test_thousands_of_events_are_cheap(store: Path) -> None:
    log = AuditLog(store, Actor("ana", "10.0.0.7", "SHA256:" + "a" * 43))
    events = [event(number, size_bytes=12345, sha256="ab" * 32) for number in range(5000)]
    took = []
    for _round in range(5):
        began_s = time.thread_time()
        log.append(events)
        took.append((time.thread_time() - began_s) / len(events))
    assert min(took) < 10e-6  # 2 us on an idle machine
    assert (store / ".server" / AUDIT_NAME).stat().st_size > 5 * 5000 * 150
