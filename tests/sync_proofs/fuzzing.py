"""One receiver, one bent conversation, and what must be true afterwards. In memory, in a thread."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hpctrack.errors import HpctrackError, ProtocolError
from hpctrack.store.accounting_file import write_accounting
from hpctrack.store.annotation_file import edit_annotations
from hpctrack.store.store import Store
from hpctrack.sync.receiving.policy import Policy
from hpctrack.sync.receiving.receive import Receiver
from hpctrack.sync.receiving.verification import check_small
from hpctrack.sync.wire.messages import (
    Begin,
    Data,
    Done,
    End,
    File,
    Hello,
    ItemKind,
    Key,
    Message,
    Offer,
    Results,
    Rows,
)
from hpctrack.sync.wire.packing import Compress
from hpctrack.sync.wire.protocol import MAGIC, Decoder, decode, encode
from tests.links import push_in_process
from tests.stores import START_S, FakeClock, NodeWriter
from tests.sync_proofs.mutations import Frames, Mutator, split_stream
from tests.unit.sync.made_stores import make_blob, make_sweep, seal_made

HANG_S = 30.0
"""A conversation is over in milliseconds."""

MEMORY_KIB = 150 * 1024
"""By so much the process that tests may grow, whatever it is told."""

POLICIES = [
    Policy(projects=("digits",)),
    Policy(projects=("digits",), user="alice"),
    Policy(projects=("digits",), append_only=True),
    Policy(projects=("digits",), quota_bytes=30_000),
]


class Script:
    """A stream on which a peer says what was written down, reads nothing, and hangs up."""

    def __init__(self, said: bytes) -> None:
        self.heard = bytearray()
        self._said, self._at = said, 0

    def read(self, max_bytes: int, *, timeout_s: float) -> bytes:
        del timeout_s
        data = self._said[self._at : self._at + max_bytes]
        self._at += len(data)
        return data

    def poll(self, timeout_s: float) -> bool:
        del timeout_s
        return True

    def write(self, data: bytes) -> None:
        self.heard += data


class HangError(BaseException):
    """A receiver did not come to an end."""


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Raise where a case hangs."""

    def stop(*_signal: object) -> None:
        raise HangError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, HANG_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@dataclass
class Range:
    """A folder with a store, and things around it that nobody may touch.

    Parameters
    ----------
    folder : Path
        Made here.
    """

    folder: Path
    store: Path = field(init=False)
    mutator: Mutator = field(init=False)
    endings: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.store = self.folder / "store"
        seal_made(self.store, "r", project="secret")
        (self.store / "secret/.blobs").mkdir()
        (self.folder / "outside").mkdir()
        (self.folder / "outside/run.h5").write_bytes(b"precious")
        (self.folder / "tmp").mkdir()
        self.mutator = Mutator(make_talks(self.folder.with_name("talks")))
        # What a receiver makes once is there.
        self._serve(self.mutator.talks[0], POLICIES[0])
        self._around = self._look_around()

    def run(self, seed: int) -> None:
        """Serve a bent conversation, and look at what it did."""
        if seed % 4:
            self._forget()
        said = self.mutator.make(seed)
        error, heard = self._serve([said], POLICIES[seed // 4 % len(POLICIES)])
        name = type(error).__name__ if error else "peace"
        self.endings[name] = self.endings.get(name, 0) + 1
        assert self._look_around() == self._around, f"seed {seed} wrote outside its project"
        if error is None and (due := count_due(said)) is not None:
            assert count_results(heard) == due, f"seed {seed}: {due} answers are due"

    def check_published(self) -> None:
        """Nothing forbidden, and nothing under a wrong name, has become visible.

        A sealed file that was damaged before it was sent is not looked for; it may be unreadable,
        and must not keep anybody from reading the others.
        """
        for path in (self.store / "digits").rglob("*"):
            assert not path.is_symlink()
            if path.name == "run.h5" and path.is_file():
                key = Key(ItemKind.RUN, "digits", path.parent.name)
                assert check_small([(key, path.read_bytes())]) == [None]
        for run in Store(self.store).runs():
            run.close()

    def _serve(self, said: Frames, policy: Policy) -> tuple[HpctrackError | None, bytes]:
        stream = Script(b"".join(said))
        with bounded():
            try:
                Receiver(self.store, stream, policy=policy).serve()
            except HpctrackError as error:
                return error, bytes(stream.heard)
        return None, bytes(stream.heard)

    def _forget(self) -> None:
        """Make the store as it was at the beginning."""
        shutil.rmtree(self.store / "digits", ignore_errors=True)
        for name in (".hashes.json", ".server/audit.jsonl", ".server/usage.json"):
            (self.store / name).unlink(missing_ok=True)
        shutil.rmtree(self.store / ".incoming/partial", ignore_errors=True)

    def _look_around(self) -> list[tuple[str, int, int]]:
        """Return all that is not of the project, and what it looks like."""
        names = list_names(self.folder) | {f"store/{one}" for one in list_names(self.store)}
        found = [(name, 0, 0) for name in sorted(names - {"store/digits", "store/.hashes.json"})]
        for top in (self.folder / "outside", self.folder / "tmp", self.store / "secret"):
            for root, folders, files, fd in os.fwalk(top):
                for name in (*folders, *files):
                    status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                    found.append((f"{root}/{name}", status.st_mtime_ns, status.st_ino))
        return found


def list_names(folder: Path) -> set[str]:
    return {one.name for one in folder.iterdir()}


def count_due(said: bytes) -> int | None:
    """Return how many answers a conversation asks for that could be read to its end."""
    due, decoder = 0, Decoder()
    try:
        for one in decoder.feed(said[len(MAGIC) :]):
            for message in decode(one):
                due += isinstance(message, File | End | Rows)
                if isinstance(message, Done):
                    return due
    except ProtocolError:
        return None
    return None


def count_results(heard: bytes) -> int:
    messages = (one for frame in Decoder().feed(heard[len(MAGIC) :]) for one in decode(frame))
    return sum(len(one.results) for one in messages if isinstance(one, Results))


def make_talks(folder: Path) -> list[Frames]:
    """Let a real sender talk: first pushes, a second one, packed ones, a large file."""
    source, target = folder / "source", folder / "target"
    seal_made(source, "r0", steps=3)
    sweep = make_sweep()
    (source / "digits/.sweeps/abc").mkdir(parents=True)
    (source / "digits/.sweeps/abc/sweep.json").write_bytes(sweep.data)
    small = record(source, folder / "small")
    seal_made(source, "r1", steps=3)
    facts = {"project": "digits", "run": "r1", "asked_wall_s": 1.0, "is_final": True}
    write_accounting(source / "digits/r1", {**facts, "attempts": [{"job": "7"}]})
    edit_annotations(source, "digits", "r0", notes="the best one", add_tags=["paper"])
    sealed = record(source, target)
    live = NodeWriter(source, project="digits", run="live")
    live.start(0)
    live.points("loss", 0, range(20), [0.5] * 20)
    live.flush()
    growing = record(source, target)
    live.points("loss", 0, range(20, 40), [0.5] * 20)
    live.flush()
    grown, packed = record(source, target), record(source, folder / "packed", Compress.ON)
    live.close()
    shutil.rmtree(folder)
    return [small, small, sealed, growing, grown, packed, talk_large(), talk_many()]


def record(source: Path, target: Path, compress: Compress = Compress.OFF) -> Frames:
    clock = FakeClock(START_S + 5).clock()
    tap, results = push_in_process(source, target, clock=clock, compress=compress)
    assert results is not None
    return split_stream(bytes(tap.sent))


def talk_large() -> Frames:
    """Say what a sender says of a large file, a part of which is there."""
    blob = make_blob(bytes(range(256)) * 30)
    begin, half = Begin(0, len(blob.data)), len(blob.data) // 2
    data = [Data(blob.data[:half]), Data(blob.data[half:])]
    said: list[Message] = [Hello(), Offer((blob.offered(),)), begin, *data, End(0, blob.digest)]
    return [MAGIC, *(encode(one) for one in [*said, Done()])]


def talk_many() -> Frames:
    """Say what a sender says of many small things."""
    sweeps = [make_sweep(f"s{number}") for number in range(12)]
    said: list[Message] = [Hello(), Offer(tuple(one.offered() for one in sweeps))]
    said += [File(number, one.digest, one.data) for number, one in enumerate(sweeps)]
    return [MAGIC, *(encode(one) for one in [*said, Done()])]


LOOK_EVERY = 50


def fuzz(folder: Path, first_seed: int, count: int) -> dict[str, int]:
    """Serve so many bent conversations; return how many ended how.

    Raises
    ------
    AssertionError
        Something is not as it should be; the message names the seed.
    """
    place, before_kib = Range(folder / "range"), measure_memory_kib()
    for seed in range(first_seed, first_seed + count):
        try:
            place.run(seed)
            if seed % LOOK_EVERY == 0:
                place.check_published()
        except BaseException as error:
            raise AssertionError(f"seed {seed} led to {type(error).__name__}: {error}") from error
    assert measure_memory_kib() - before_kib < MEMORY_KIB, "too much memory"
    return place.endings


def measure_memory_kib() -> int:
    """Return the most memory that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
