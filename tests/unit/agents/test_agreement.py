"""What agents tell each other about the end of a run, without ranks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpctrack.agents.agreement import RECORD_BYTES, Agreement
from hpctrack.agents.session import Session, make_session
from hpctrack.core.clock import Clock
from hpctrack.core.layout import agreement_path, read_agreement_name
from hpctrack.core.lease import LOOK_S
from hpctrack.store.seal import seal_run
from hpctrack.store.verify import verify_run
from tests.stores import NodeWriter

HELLO = {"attempt": 2, "launch": "aa", "size": 4, "local_size": 2}


class Time:
    """Monotonic time that a test sets."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.clock = Clock(wall_s=lambda: 0.0, mono_s=lambda: self.now_s)


@pytest.fixture
def time() -> Time:
    return Time()


def rank(number: int) -> Session:
    return make_session(number, {"rank": number}, lambda _name: 0)


def make(folder: Path, time: Time, **hello: Any) -> Agreement:
    sessions = [rank(number) for number in range(hello.pop("here", 2))]
    return Agreement(folder, {**HELLO, **hello}, sessions, clock=time.clock)


def look(one: Agreement, time: Time) -> dict[str, Any]:
    time.now_s += LOOK_S + 0.001
    one.look()
    return one.state


@pytest.fixture
def pair(tmp_path: Path, time: Time) -> tuple[Agreement, Agreement]:
    """The agents of rank 0 and of another node, where rank 2 listens."""
    here, there = make(tmp_path, time), make(tmp_path, time)
    there.take(rank(2), {"listen": True})
    return here, there


def test_the_other_nodes_hear_of_it(pair: tuple[Agreement, Agreement], time: Time) -> None:
    here, there = pair
    assert look(there, time) == {}
    here.take(rank(0), {"track": "call", "until": 7})
    here.take(rank(0), {"track": "step", "until": 100})
    assert look(there, time) == {"call": {"until": 7}, "step": {"until": 100}, "gone": False}
    version = there.version
    look(there, time)
    assert there.version == version
    here.take(rank(0), {"track": "call", "after": 9, "who": "w" * 9999, "why": "x"})
    said = look(there, time)["call"]
    assert (said["until"], said["after"], said["why"], len(said["who"])) == (7, 9, "x", 500)


def test_rank_0_that_leaves_is_gone_until_it_speaks_again(
    pair: tuple[Agreement, Agreement], time: Time
) -> None:
    here, there = pair
    giver = rank(0)
    here.take(giver, {"track": "call", "until": 7})
    here.leave(rank(0))  # a wrapper around the program, say
    assert look(there, time)["gone"] is False
    here.leave(giver)
    assert look(there, time) == {"call": {"until": 7}, "gone": True}
    here.take(rank(0), {"track": "call", "until": 8})
    assert look(there, time)["gone"] is False


def test_who_listens_to_nobody_looks_at_nothing(tmp_path: Path, time: Time) -> None:
    alone = make(tmp_path, time)
    assert alone.next_due_s() == float("inf")
    listener = rank(3)
    alone.take(listener, {"listen": True})
    assert alone.next_due_s() < float("inf")
    alone.leave(listener)
    assert alone.next_due_s() == float("inf")
    alone.take(rank(1), {"track": "call", "until": 3})  # not for rank 1 to say
    alone.take(rank(0), {"track": "nonsense", "until": 3})
    assert alone.version == 0
    assert not list(tmp_path.glob("agreement*"))


def test_ranks_that_are_all_here_need_no_file(tmp_path: Path, time: Time) -> None:
    make(tmp_path, time, here=4).take(rank(0), {"track": "call", "until": 7})
    assert not list(tmp_path.glob("agreement*"))


@pytest.mark.parametrize("other", [{"attempt": 1}, {"launch": "bb"}])
def test_another_attempt_or_launch_is_not_heard(
    tmp_path: Path, time: Time, pair: tuple[Agreement, Agreement], other: dict[str, Any]
) -> None:
    make(tmp_path, time, **other).take(rank(0), {"track": "call", "after": 1})
    assert look(pair[1], time) == {}


def test_a_torn_file_is_read_at_the_next_look(
    tmp_path: Path, time: Time, pair: tuple[Agreement, Agreement]
) -> None:
    here, there = pair
    path = Path(agreement_path(tmp_path, 2))
    here.take(rank(0), {"track": "call", "until": 7})
    inode, whole = path.stat().st_ino, path.read_bytes()
    assert len(whole) == RECORD_BYTES
    for torn in (whole[:30], whole.replace(b"7", b"8"), b"\0" * RECORD_BYTES, b"00000000 {}"):
        path.write_bytes(torn)
        assert look(there, time) == {}
    path.write_bytes(whole)
    assert look(there, time)["call"] == {"until": 7}
    here.take(rank(0), {"track": "call", "until": 8})
    assert path.stat().st_ino == inode


def test_a_folder_that_is_gone_harms_nobody(tmp_path: Path, time: Time) -> None:
    folder = tmp_path / "gone"
    here, there = make(folder, time), make(folder, time)
    there.take(rank(2), {"listen": True})
    here.take(rank(0), {"track": "call", "until": 7})
    assert look(there, time) == {}


def test_sealing_removes_what_was_agreed_upon_and_verify_knows_it(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path, run="r")
    session = writer.start(0)
    writer.points("loss", 0, [0, 1], [0.5, 0.25])
    writer.end(0, session)
    folder = writer.close().parent
    for attempt in (1, 2):
        Path(agreement_path(folder, attempt)).touch()
    assert verify_run(folder).findings == []
    seal_run(folder)
    left = [read_agreement_name(path.name) for path in folder.iterdir()]
    assert [one for one in left if one is not None] == [2], "of an attempt that begins just now"
