"""The agent against peers that behave badly. Real sockets, the real loop, on a thread."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from hpctrack import Store
from hpctrack.agents.points import _ROW
from hpctrack.agents.recorder import Recorder
from hpctrack.agents.server import Server
from hpctrack.core import wire
from hpctrack.core.clock import SYSTEM_CLOCK
from hpctrack.core.ring import RingWriter
from hpctrack.core.wire import Decoder, Kind
from hpctrack.store.node_table import NodeTable
from hpctrack.store.schema import POINT
from hpctrack.store.seal import seal_run
from tests.programs import wait_for
from tests.stores import FakeClock, hello


class Peer:
    """A rank that says what the test wants."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.socket.settimeout(10)
        self._decoder = Decoder()
        self.messages: list[tuple[int, dict[str, Any]]] = []

    def send(self, *frames: bytes) -> None:
        self.socket.sendall(b"".join(frames))

    def read_until(self, kind: int) -> dict[str, Any]:
        while True:
            for index, (found, value) in enumerate(self.messages):
                if found == kind:
                    del self.messages[index]
                    return value
            data = self.socket.recv(65536)
            assert data, f"the agent hung up before it sent {kind}"
            self.messages += [(one.kind, one.json()) for one in self._decoder.feed(data)]

    def is_closed(self) -> bool:
        while data := self.socket.recv(65536):
            self.messages += [(one.kind, one.json()) for one in self._decoder.feed(data)]
        return True


class Running:
    """A server on a thread with as many peers as asked for."""

    def __init__(self, peers: int) -> None:
        self._server = Server(None, clock=SYSTEM_CLOCK, linger_s=0.1)
        self.peers = []
        for _number in range(peers):
            ours, theirs = socket.socketpair()
            self._server.add_peer(ours)
            self.peers.append(Peer(theirs))
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()

    def join(self) -> None:
        for peer in self.peers:
            peer.socket.close()
        self._thread.join(180)
        assert not self._thread.is_alive()


def say_hello(store: Path, **more: Any) -> bytes:
    said = hello(0, store=str(store), project="p", run="r", settings={}, **more)
    return wire.pack_json(Kind.HELLO, said)


FINISH = wire.pack_json(Kind.FINISH, {"exit_code": 0})


def test_the_packed_row_is_the_schemas() -> None:
    assert _ROW.size == POINT.itemsize
    assert POINT.names == ("step", "wall_s", "value", "metric", "rank")


def test_a_rank_is_welcomed_recorded_and_confirmed(tmp_path: Path) -> None:
    running = Running(1)
    (peer,) = running.peers
    peer.send(say_hello(tmp_path), wire.pack_name(5, "loss"), wire.pack_points(1, 2.0, [5, 0.5]))
    peer.send(wire.pack(Kind.FLUSH))
    assert peer.read_until(Kind.WELCOME)["path"] == str(tmp_path / "p" / "r")
    assert peer.read_until(Kind.DONE) == {"ok": True}
    live = Store(tmp_path).run("r")
    assert live.metric("loss").values.tolist() == [0.5]
    live.close()
    peer.send(FINISH)
    peer.read_until(Kind.DONE)
    running.join()
    assert Store(tmp_path).run("r").state == "finished"


@pytest.mark.parametrize(
    "frames",
    [
        [wire.pack_points(1, 2.0, [0, 1.0])],
        [wire.pack(Kind.HELLO, b"{")],
        [wire.pack_json(Kind.HELLO, {"wire": 99})],
        [wire.pack_json(Kind.HELLO, {**hello(0), "store": "/x", "project": "p", "run": "../x"})],
        [wire.pack_json(Kind.HELLO, {**hello(0), "store": "x", "project": "p", "run": "r"})],
        [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 4],
        [wire.HEADER.pack(2**31, 1, 0, 0)],
    ],
    ids=["points first", "no json", "version", "traversal", "relative", "http", "huge"],
)
def test_a_peer_that_talks_nonsense_is_let_go_and_told_why(
    frames: list[bytes], tmp_path: Path
) -> None:
    running = Running(2)
    bad, good = running.peers
    bad.send(*frames)
    assert bad.is_closed()
    assert [value["code"] for kind, value in bad.messages if kind == Kind.NOTICE] == ["protocol"]
    good.send(say_hello(tmp_path), wire.pack_name(0, "a"), wire.pack_points(0, 9.0, [0, 1.0]))
    good.send(FINISH)
    good.read_until(Kind.DONE)
    running.join()
    assert Store(tmp_path).run("r").metric("a").values.tolist() == [1.0]


def test_what_is_printed_has_the_time_at_which_it_was_shown(tmp_path: Path) -> None:
    running = Running(1)
    (peer,) = running.peers
    peer.send(say_hello(tmp_path), wire.pack_console(1, 1000.5, b"printed\n"), FINISH)
    peer.read_until(Kind.DONE)
    running.join()
    (line,) = Store(tmp_path).run("r").console()
    assert (line.wall_s, line.text) == (1000.5, "printed")


def test_frames_of_unknown_kind_and_unknown_metrics_are_passed_over(tmp_path: Path) -> None:
    running = Running(1)
    (peer,) = running.peers
    peer.send(say_hello(tmp_path), wire.pack(200, b"from the future"))
    peer.send(wire.pack_points(0, 9.0, [7, 1.0]), wire.pack_name(0, "a"))
    peer.send(wire.pack_points(0, 9.0, [0, 2.0]), FINISH)
    peer.read_until(Kind.DONE)
    running.join()
    found = Store(tmp_path).run("r")
    assert found.metrics() == ["a"]
    assert found.metric("a").values.tolist() == [2.0]


def test_a_peer_that_leaves_in_mid_frame_is_a_lost_rank(tmp_path: Path) -> None:
    running = Running(1)
    (peer,) = running.peers
    peer.send(say_hello(tmp_path), wire.pack_name(0, "a"), wire.pack_points(0, 9.0, [0, 1.0]))
    peer.send(wire.pack_points(1, 9.0, [0, 2.0])[:-3])
    running.join()
    found = Store(tmp_path).run("r")
    assert found.ranks()[0].state == "lost"
    assert found.metric("a").values.tolist() == [1.0]


@pytest.mark.parametrize(("sent", "told"), [(1, 1), (1, 2), (0, 1)])
def test_a_rank_whose_files_did_not_all_arrive_is_refused(
    tmp_path: Path, sent: int, told: int
) -> None:
    running = Running(1)
    (peer,) = running.peers
    ring = RingWriter(0)
    files = [ring.fd] * sent
    socket.send_fds(peer.socket, [say_hello(tmp_path, files=told)], files)
    if sent < told:
        assert peer.is_closed()
        ((kind, notice),) = peer.messages
        assert kind == Kind.NOTICE
        assert "ulimit -n" in notice["text"]
    else:
        peer.read_until(Kind.WELCOME)
    running.join()


def test_two_runs_are_kept_apart(tmp_path: Path) -> None:
    running = Running(2)
    for number, peer in enumerate(running.peers):
        said = hello(0, store=str(tmp_path), project="p", run=f"r{number}", settings={})
        peer.send(wire.pack_json(Kind.HELLO, said), wire.pack_name(0, "a"))
        peer.send(wire.pack_points(0, 9.0, [0, float(number)]), FINISH)
    for peer in running.peers:
        peer.read_until(Kind.DONE)
    running.join()
    store = Store(tmp_path)
    assert [store.run(f"r{n}").metric("a").values.tolist() for n in range(2)] == [[0.0], [1.0]]


def test_a_run_whose_store_vanishes_goes_on_in_the_spill(tmp_path: Path) -> None:
    clock = SYSTEM_CLOCK
    said = hello(
        0,
        store=str(tmp_path / "store"),
        project="p",
        run="r",
        settings={"spill_dir": str(tmp_path / "spill")},
    )
    recorder = Recorder(said, clock=clock)
    session = recorder.begin(said)
    recorder.add_name(session, b"\0\0\0\0a")
    body = memoryview(wire.pack_points(0, 9.0, [0, 1.0]))[8:]
    recorder.add_points(session, body, 1)
    assert recorder.flush()
    assert recorder.path
    # As HDF5 does when the disk beneath it goes away: every later write fails.
    recorder._file.close(wall_s=0.0)  # type: ignore[union-attr]
    recorder.add_points(session, body, 1)
    assert recorder.flush()
    assert recorder.is_spilled
    recorder.end(session, {"exit_code": 0})
    recorder.close()
    spilled = Store(tmp_path / "spill").run("r")
    assert spilled.metric("a").values.tolist() == [1.0]
    assert spilled.state == "finished"
    assert {one["code"] for one in spilled.record.warnings} == {"store-failed", "spill"}
    assert json.dumps(recorder.notices)


def test_a_run_whose_file_was_sealed_under_it_stays_in_its_store(tmp_path: Path) -> None:
    spill = str(tmp_path / "spill")
    settings = {"spill_dir": spill}
    said = hello(0, store=str(tmp_path / "store"), project="p", run="r", settings=settings)
    recorder = Recorder(said, clock=SYSTEM_CLOCK)
    session = recorder.begin(said)
    recorder.add_name(session, b"\0\0\0\0a")
    for number in range(4):
        body = memoryview(wire.pack_points(number, 9.0 + number, [0, float(number)]))[8:]
        recorder.add_points(session, body, 1)
        assert recorder.flush()
        if number == 1:
            assert seal_run(recorder.folder, force=True).points == 2
    assert not recorder.is_spilled
    recorder.end(session, {"exit_code": 0})
    recorder.close()
    found = Store(tmp_path / "store").run("r")
    assert found.metric("a").values.tolist() == [0, 1, 2, 3]
    assert not Path(spill).exists()


def test_whoever_reads_that_a_run_has_ended_finds_all_its_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = hello(0, store=str(tmp_path), project="p", run="r", settings={})
    recorder = Recorder(said, clock=SYSTEM_CLOCK)
    session = recorder.begin(said)
    assert recorder.flush()
    flush = NodeTable.flush
    seen = []

    def flush_and_read(table: NodeTable) -> None:
        flush(table)
        found = Store(tmp_path).run("r")
        seen.append((str(found.state), len(found.metric("a")) if found.metrics() else 0))

    monkeypatch.setattr(NodeTable, "flush", flush_and_read)
    recorder.add_name(session, b"\0\0\0\0a")
    recorder.add_points(session, memoryview(wire.pack_points(0, 9.0, [0, 1.0]))[8:], 1)
    recorder.end(session, {"exit_code": 0})
    recorder.close()
    assert list(dict.fromkeys(seen)) == [("running", 0), ("running", 1), ("finished", 1)]


def test_a_clock_that_goes_back_does_not_change_the_order_of_files(tmp_path: Path) -> None:
    clock = FakeClock()
    said = hello(0, store=str(tmp_path), project="p", run="r", settings={"roll_over_bytes": 1})
    recorder = Recorder(said, clock=clock.clock())
    session = recorder.begin(said)
    recorder.add_name(session, b"\0\0\0\0a")
    for value in range(4):
        clock.now_s -= 100
        body = memoryview(wire.pack_points(0, clock.now_s, [0, float(value)]))[8:]
        recorder.add_points(session, body, 1)
        assert recorder.flush()
    recorder.end(session, {"exit_code": 0})
    recorder.close()
    run = Store(tmp_path).run("r")
    assert len(run.files()) > 3
    assert run.metric("a").values.tolist() == [0.0, 1.0, 2.0, 3.0]


def test_an_idle_server_on_a_thread_ends_when_its_peer_does(tmp_path: Path) -> None:
    running = Running(1)
    running.peers[0].send(say_hello(tmp_path))
    running.peers[0].read_until(Kind.WELCOME)
    running.join()
    assert wait_for(lambda: Store(tmp_path).run("r").state == "failed")
