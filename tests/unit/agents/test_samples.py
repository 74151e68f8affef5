"""What sources say becomes a run's rows: numbered, without repeats, without other runs' devices."""

from __future__ import annotations

import os
import socket
import struct
import threading
from pathlib import Path

import pytest

from hpctrack import Store, StoredRun
from hpctrack.agents.sampler import Sampler, _Asker
from hpctrack.agents.samples import REPEAT_S, SampleBook
from hpctrack.agents.server import Server
from hpctrack.agents.telemetry import Telemetry
from hpctrack.core import wire
from hpctrack.core.clock import SYSTEM_CLOCK
from hpctrack.core.wire import Kind
from hpctrack.store.schema import EventKind
from hpctrack.telemetry.reading import Device, Happening, Reading, Sample, Watch, WatchedRank
from tests.programs import wait_for
from tests.stores import FakeClock, hello

ROW = struct.Struct("<ddIii")
RANKS = {100: 0, 101: 1}


Row = tuple[float, float, int, int, int]


def take(book: SampleBook, wall_s: float, *samples: Sample, **more: object) -> list[Row]:
    reading = Reading(samples=list(samples))
    for key, value in more.items():
        setattr(reading, key, value)
    rows, _told = book.take(reading, wall_s, RANKS)
    return list(ROW.iter_unpack(rows))


def test_sensors_and_devices_are_numbered_and_told_once() -> None:
    book = SampleBook()
    first = Reading(
        devices=[Device(kind="gpu", key="GPU-a", name="H100")],
        samples=[Sample("gpu/power_w", 90.0, "GPU-a"), Sample("host/load", 1.0)],
    )
    rows, told = book.take(first, 5.0, RANKS)
    assert [kind for kind, _ in told] == [EventKind.DEVICE, EventKind.SENSOR, EventKind.SENSOR]
    assert told[0][1]["name"] == "H100"
    assert list(ROW.iter_unpack(rows)) == [(5.0, 90.0, 0, 0, -1), (5.0, 1.0, 1, -1, -1)]
    rows, told = book.take(Reading(samples=[Sample("host/load", 2.0)]), 6.0, RANKS)
    assert (told, len(rows)) == ([], ROW.size)


def test_a_value_that_does_not_change_is_written_once_a_minute_and_at_the_end() -> None:
    book = SampleBook()
    still = Sample("host/memory_total_bytes", 64.0)
    assert len(take(book, 0.0, still)) == 1
    assert take(book, 10.0, still) == []
    assert len(take(book, REPEAT_S, still)) == 1
    assert take(book, REPEAT_S + 10, still) == []
    # It held until then: a reader must not draw a ramp.
    changed = take(book, REPEAT_S + 20, Sample("host/memory_total_bytes", 32.0))
    assert [(row[0], row[1]) for row in changed] == [(REPEAT_S + 10, 64.0), (REPEAT_S + 20, 32.0)]
    take(book, REPEAT_S + 30, Sample("host/memory_total_bytes", 32.0))
    assert [row[0] for row in ROW.iter_unpack(book.close())] == [REPEAT_S + 30]
    assert book.close() == b""


def test_processes_count_for_the_rank_that_they_descend_from_and_strangers_not_at_all() -> None:
    book = SampleBook()
    found = take(
        book,
        1.0,
        Sample("process/rss_bytes", 5.0, pid=101),
        Sample("gpu/process_memory_bytes", 6.0, pid=777),
        Sample("gpu/process_memory_bytes", 7.0, pid=888),
        parents={777: 100, 888: 4},
    )
    assert [(row[1], row[4]) for row in found] == [(5.0, 1), (6.0, 0)]


def test_devices_of_other_runs_are_left_out_and_those_of_some_ranks_say_so() -> None:
    book = SampleBook()
    uses = {100: ("GPU-a",), 101: ("GPU-a", "GPU-b"), 999: ("GPU-c",)}
    samples = [Sample("gpu/util_frac", 1.0, f"GPU-{one}") for one in "abc"]
    _rows, told = book.take(Reading(samples=samples, uses=uses), 1.0, RANKS)
    devices = {value["key"]: value["ranks"] for kind, value in told if kind == EventKind.DEVICE}
    assert devices == {"GPU-a": [0, 1], "GPU-b": [1]}


class Scripted:
    """A source that answers what the test wants."""

    name = "scripted"

    def __init__(self) -> None:
        self.watches: list[Watch] = []
        self.gate = threading.Event()
        self.gate.set()
        self.is_asked = threading.Event()
        self.error: Exception | None = None
        self.is_closed = False

    def read(self, watch: Watch) -> Reading:
        self.is_asked.set()
        self.gate.wait(60)
        self.watches.append(watch)
        if self.error:
            raise self.error
        number = float(len(self.watches))
        return Reading(samples=[Sample("scripted/number", number)])

    def close(self) -> None:
        self.is_closed = True


def collect(sampler: Sampler) -> list[Reading]:
    return [one.reading for one in sampler.collect()]


def test_the_moments_of_the_readings_do_not_drift() -> None:
    asker = _Asker(Scripted(), 0.0, 10.0, threading.Event(), FakeClock(0.0).clock())
    moments = [asker.moment_s(number) for number in range(8)]
    assert moments == [0.0, 1.0, 2.0, 4.0, 10.0, 20.0, 30.0, 40.0]
    quick = _Asker(Scripted(), 0.0, 0.5, threading.Event(), FakeClock(0.0).clock())
    assert [quick.moment_s(number) for number in range(4)] == [0.0, 0.5, 1.0, 1.5]


def test_a_source_that_raises_is_told_once_and_asked_again() -> None:
    source = Scripted()
    source.error = RuntimeError("no such driver")
    sampler = Sampler([source], interval_s=0.05, clock=SYSTEM_CLOCK, watch=tuple)
    found: list[Reading] = []

    def is_asked_again() -> bool:
        found.extend(collect(sampler))
        return len(source.watches) >= 3

    wait_for(is_asked_again)
    told = [one for reading in found for one in reading.happenings]
    assert [one.code for one in told] == ["scripted-failed"]
    assert "no such driver" in told[0].text
    source.error = None
    wait_for(lambda: any(reading.samples for reading in collect(sampler)))
    sampler.close()
    wait_for(lambda: source.is_closed)


def test_a_source_that_hangs_delays_nobody_and_is_told() -> None:
    hung, healthy = Scripted(), Scripted()
    hung.gate.clear()
    clock = FakeClock(0.0)
    sampler = Sampler([hung], interval_s=0.05, clock=clock.clock(), watch=tuple)
    other = Sampler([healthy], interval_s=0.05, clock=SYSTEM_CLOCK, watch=tuple)
    wait_for(lambda: len(healthy.watches) >= 2)
    clock.now_s = 31.0

    def look() -> list[Happening]:
        return [one for reading in collect(sampler) for one in reading.happenings]

    (happening,) = wait_for(look)
    assert (happening.code, happening.level) == ("scripted-hung", "warning")
    assert look() == []
    hung.gate.set()
    (happening,) = wait_for(look)
    assert happening.code == "scripted-back"
    sampler.close()
    other.close()


def test_a_run_that_ends_on_a_source_that_hangs_says_so(tmp_path: Path) -> None:
    hung = Scripted()
    hung.gate.clear()
    clock = FakeClock(1000.0)
    telemetry = Telemetry(lambda: [hung], clock=clock.clock())
    server = Server(None, clock=SYSTEM_CLOCK, linger_s=0.1, telemetry=telemetry)
    ours, theirs = socket.socketpair()
    server.add_peer(ours)
    settings = {"telemetry": "auto", "telemetry_interval_s": 0.05, "seal": "off"}
    said = hello(0, store=str(tmp_path), project="p", run="short", settings=settings)
    theirs.sendall(wire.pack_json(Kind.HELLO, said))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert hung.is_asked.wait(60)
    clock.now_s += 14.0
    theirs.sendall(wire.pack_json(Kind.FINISH, {"exit_code": 0}))
    theirs.close()
    thread.join(180)
    hung.gate.set()
    run = StoredRun(tmp_path / "p" / "short")
    (told,) = [one for one in run.record.warnings if one["code"] == "telemetry-unanswered"]
    run.close()
    assert "no answer at the end of the run: scripted for 14 s" in told["text"]


def test_a_runs_samples_reach_its_file_and_readers(tmp_path: Path) -> None:
    source = Scripted()
    telemetry = Telemetry(lambda: [source], clock=SYSTEM_CLOCK)
    server = Server(None, clock=SYSTEM_CLOCK, linger_s=0.1, telemetry=telemetry)
    peers = []
    for run, wanted in (("measured", "auto"), ("plain", "off")):
        ours, theirs = socket.socketpair()
        server.add_peer(ours)
        settings = {"telemetry": wanted, "telemetry_interval_s": 0.05, "seal": "auto"}
        said = hello(
            3,
            store=str(tmp_path),
            project="p",
            run=run,
            settings=settings,
            visible_gpus={"CUDA_VISIBLE_DEVICES": "0,1", "ROCR_VISIBLE_DEVICES": "4"},
        )
        theirs.sendall(wire.pack_json(Kind.HELLO, said))
        peers.append(theirs)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_for(lambda: len(source.watches) >= 5, timeout_s=60)

    def read() -> list[float]:
        run = StoredRun(tmp_path / "p" / "measured")
        try:
            if run.sensors() != ["scripted/number"]:
                return []
            values: list[float] = run.sensor("scripted/number").of().value.tolist()
            return values
        finally:
            run.close()

    live = wait_for(read, timeout_s=60)
    assert live == [float(one + 1) for one in range(len(live))]
    assert WatchedRank(os.getpid(), 3, "0,1", "4", None) in source.watches[-1].ranks
    for peer in peers:
        peer.sendall(wire.pack_json(Kind.FINISH, {"exit_code": 0}))
        peer.close()
    thread.join(180)
    assert not thread.is_alive()
    wait_for(lambda: source.is_closed)
    sealed = Store(tmp_path).run("measured", project="p")
    assert sealed.is_sealed
    values = sealed.sensor("scripted/number").of().value.tolist()
    assert values[: len(live)] == live
    assert Store(tmp_path).run("plain", project="p").sensors() == []


def serve(tmp_path: Path, sources: list[Scripted], **more: object) -> tuple[socket.socket, Server]:
    """Serve a rank whose sensors are read at once and then not for an hour."""
    telemetry = Telemetry(lambda: sources, clock=SYSTEM_CLOCK)
    server = Server(None, clock=SYSTEM_CLOCK, linger_s=0.1, telemetry=telemetry)
    ours, theirs = socket.socketpair()
    server.add_peer(ours)
    settings = {"telemetry": "auto", "telemetry_interval_s": 3600.0, "seal": "auto"}
    said = hello(3, store=str(tmp_path), project="p", run="r", settings=settings, **more)
    theirs.sendall(wire.pack_json(Kind.HELLO, said))
    return theirs, server


def run(server: Server) -> threading.Thread:
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    return thread


class Meter(Scripted):
    """A GPU that is known to sources only by the ranks that may use it."""

    def read(self, watch: Watch) -> Reading:
        number = super().read(watch).samples[0].value
        samples = [Sample("gpu/energy_j_total", number, "GPU-a")] if watch.ranks else []
        return Reading(samples=samples, uses={one.pid: ("GPU-a",) for one in watch.ranks})


def test_the_first_reading_knows_the_ranks(tmp_path: Path) -> None:
    source = Meter()
    peer, server = serve(tmp_path, [source])
    thread = run(server)
    wait_for(lambda: source.watches, timeout_s=60)
    peer.close()
    thread.join(180)
    assert [one.rank for one in source.watches[0].ranks] == [3]


@pytest.mark.parametrize("job", [{}, {"SLURM_JOB_ID": "7"}])
def test_the_last_reading_is_made_when_the_last_rank_leaves(
    tmp_path: Path, job: dict[str, str]
) -> None:
    source, hung = Meter(), Scripted()
    hung.gate.clear()
    peer, server = serve(tmp_path, [source, hung], job=job)
    thread = run(server)
    wait_for(lambda: source.watches, timeout_s=60)  # the next one is due in a second
    left_wall_s = SYSTEM_CLOCK.wall_s()
    peer.sendall(wire.pack_json(Kind.FINISH, {"exit_code": 0}))
    peer.close()
    thread.join(180)
    assert not thread.is_alive()
    stored = Store(tmp_path).run("r", project="p")
    series = stored.sensor("gpu/energy_j_total").of()
    # A machine that is slow to end asks once more, when nobody is left to ask for.
    asked = [number for number, watch in enumerate(source.watches, 1) if watch.ranks]
    assert series.value.tolist() == [float(number) for number in asked]
    assert series.wall_s[-1] >= left_wall_s
    hung.gate.set()
