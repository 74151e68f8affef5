"""Agents that take over from dead ones, and clients that say little. Real rings and sockets."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from hpctrack import Store
from hpctrack.agents.session import Session, make_session
from hpctrack.agents.telemetry import _choose_processes
from hpctrack.core import wire
from hpctrack.core.ring import MIN_BYTES, SLOT, SLOTS, RingWriter
from hpctrack.core.wire import Kind
from tests.stores import hello
from tests.unit.agents.test_server import FINISH, Peer, Running


def say_hello(peer: Peer, ring: RingWriter, **more: Any) -> None:
    said = {**hello(0), "project": "p", "run": "r", "settings": {"seal": "manual"}, "files": 1}
    frame = wire.pack_json(Kind.HELLO, {**said, **more})
    socket.send_fds(peer.socket, [frame], [ring.fd])


def log(ring: RingWriter, first: int, count: int, *, is_mixed: bool = False) -> None:
    for step in range(first, first + count):
        pairs = [0, float(step), 1, -float(step)] if is_mixed and step % 3 else [0, float(step)]
        ring.put_points(step, 1000.0 + step, pairs)


def forget_confirmation(ring: RingWriter) -> None:
    """Have the ring as an agent leaves it that is killed before it has said what is in a file."""
    ring._words[SLOTS[ring._words[SLOT] & 1]] = 0
    ring._words[SLOTS[ring._words[SLOT] & 1] + 2] = 0


@pytest.mark.parametrize("written", [0, 1, 7, 300])
@pytest.mark.parametrize("is_mixed", [False, True])
def test_points_of_two_programs_of_one_rank_are_written_once(
    tmp_path: Path, written: int, *, is_mixed: bool
) -> None:
    rings = [RingWriter(MIN_BYTES) for _program in range(2)]
    names = [["a", "both"], ["b", "both"]]
    first = Running(2)
    for number, (peer, ring) in enumerate(zip(first.peers, rings, strict=True)):
        say_hello(peer, ring, store=str(tmp_path), pid=100 + number, names=names[number])
        log(ring, 0, written, is_mixed=is_mixed)
        peer.send(wire.pack(Kind.FLUSH))
        peer.read_until(Kind.DONE)
    first.join()

    second = Running(2)
    for number, (peer, ring) in enumerate(zip(second.peers, rings, strict=True)):
        forget_confirmation(ring)
        log(ring, written, 20, is_mixed=is_mixed)
        told = {"pid": 100 + number, "names": names[number], "agents_lost": 1}
        say_hello(peer, ring, store=str(tmp_path), **told)
    for peer in second.peers:
        peer.send(FINISH)
        peer.read_until(Kind.DONE)
    second.join()

    run = Store(tmp_path).run("r")
    steps = list(range(written + 20))
    assert run.columns(["a"])["a"].step.tolist() == steps
    assert run.columns(["b"])["b"].step.tolist() == steps
    if is_mixed:
        both = run.columns(["both"])["both"].step.tolist()
        assert sorted(both) == sorted([one for one in steps if one % 3] * 2)
    assert run.record.ledger["agents_lost"] == 2


def test_what_a_program_in_a_wrapper_uses_is_counted_once() -> None:
    def start(number: int, rank: int, pid: int, wall_s: float) -> Session:
        said = {**hello(rank), "pid": pid, "wall_s": wall_s}
        return make_session(number, said, lambda _name: 0)

    sessions = [
        start(0, 0, 11, 5.0),
        start(1, 0, 10, 4.0),
        start(2, 1, 20, 6.0),
        start(3, 1, 21, 7.0),
    ]
    assert [one.pid for one in _choose_processes(sessions)] == [10, 20]
    sessions[1].is_open = sessions[2].is_open = False
    assert [one.pid for one in _choose_processes(sessions)] == [11, 21]


def test_the_ring_is_read_when_the_names_have_come(tmp_path: Path) -> None:
    ring = RingWriter(MIN_BYTES)
    log(ring, 0, 5)
    running = Running(1)
    (peer,) = running.peers
    say_hello(peer, ring, store=str(tmp_path), names_follow=1)
    peer.send(wire.pack(Kind.FLUSH))
    peer.read_until(Kind.DONE)
    assert ring.unconfirmed_points == 5
    peer.send(wire.pack_name(0, "late"), FINISH)
    peer.read_until(Kind.DONE)
    running.join()
    run = Store(tmp_path).run("r")
    assert run.metric("late").values.tolist() == [0, 1, 2, 3, 4]
    assert not run.record.ledger


def test_points_whose_names_never_come_are_counted(tmp_path: Path) -> None:
    ring = RingWriter(MIN_BYTES)
    log(ring, 0, 5)
    running = Running(1)
    (peer,) = running.peers
    say_hello(peer, ring, store=str(tmp_path), names_follow=1)
    peer.read_until(Kind.WELCOME)
    running.join()
    assert Store(tmp_path).run("r").record.ledger == {"unnamed_points": 5}


def test_names_that_no_metric_may_have_are_refused_by_the_agent(tmp_path: Path) -> None:
    ring = RingWriter(MIN_BYTES)
    running = Running(1)
    (peer,) = running.peers
    say_hello(peer, ring, store=str(tmp_path), names=["good", "bad\n", "_step"])
    ring.put_points(0, 1.0, [0, 1.0, 1, 2.0, 2, 3.0])
    peer.send(FINISH)
    peer.read_until(Kind.DONE)
    running.join()
    run = Store(tmp_path).run("r")
    assert run.metrics() == ["good"]
    assert run.record.ledger == {"unnamed_points": 2}


def test_a_client_may_leave_it_to_the_agent_which_rank_it_is(tmp_path: Path) -> None:
    said = {key: value for key, value in hello(0).items() if key in {"wire", "attempt"}}
    said |= {"store": str(tmp_path), "project": "p", "run": "r", "pid": 7, "settings": {}}
    running = Running(2)
    step = {"SLURM_STEP_ID": "0", "SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "5"}
    told = {**said, "environ": {**step, "SLURM_LOCALID": "1", "SLURM_NODEID": "2"}}
    good, bad = running.peers
    good.send(wire.pack_json(Kind.HELLO, told), FINISH)
    good.read_until(Kind.DONE)
    bad.send(wire.pack_json(Kind.HELLO, said))
    assert bad.is_closed()
    assert [value["code"] for kind, value in bad.messages if kind == Kind.NOTICE] == ["protocol"]
    running.join()
    run = Store(tmp_path).run("r")
    (rank,) = run.ranks()
    assert (rank.rank, rank.local_rank, rank.node, run.record.size) == (3, 1, 2, 5)
    assert rank.host == socket.gethostname()
