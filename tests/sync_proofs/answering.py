"""One sender, one bent receiver: what the other machine says must not harm this one either."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hpctrack.core.layout import NodeFileName
from hpctrack.errors import HpctrackError
from hpctrack.store.accounting_file import write_accounting
from hpctrack.store.annotation_file import edit_annotations
from hpctrack.sync.wire.protocol import HEADER, MAGIC
from tests.links import push_in_process, push_over
from tests.stores import START_S, FakeClock, NodeWriter
from tests.sync_proofs.fuzzing import Script, bounded
from tests.sync_proofs.mutations import Frames, Mutator, split_stream
from tests.unit.sync.made_stores import hash_files, make_blob, seal_made


class Answers(Script):
    """A transport on which the other side says what was written down, when it is listened to."""

    peer, carrier, reason = "the other side", "script", ""

    def __init__(self, said: bytes) -> None:
        super().__init__(said)
        # One frame for each read: what is an answer must not come before it was asked for.
        ends = [len(MAGIC)]
        while ends[-1] + HEADER.size <= len(said):
            ends.append(ends[-1] + HEADER.size + HEADER.unpack_from(said, ends[-1])[0])
        self._ends = iter(ends)

    def read(self, max_bytes: int, *, timeout_s: float) -> bytes:
        end = next(self._ends, None)
        if end is not None:
            max_bytes = min(max_bytes, end - self._at)
        return super().read(max_bytes, timeout_s=timeout_s)

    def poll(self, timeout_s: float) -> bool:
        del timeout_s
        return False

    def read_stderr(self) -> str:
        return ""

    def wait(self, timeout_s: float) -> int | None:
        del timeout_s
        return 1

    def close(self) -> None:
        pass


@dataclass
class Desk:
    """A store that is pushed to receivers that say anything.

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
        self.store = self.folder / "store"
        seal_made(self.store, "r0", steps=3)
        seal_made(self.store, "r1", steps=3)
        facts = {"project": "digits", "run": "r1", "asked_wall_s": 1.0, "is_final": True}
        write_accounting(self.store / "digits/r1", {**facts, "attempts": [{"job": "7"}]})
        edit_annotations(self.store, "digits", "r0", notes="mine", add_tags=["paper"])
        blob = make_blob(bytes(1_100_000))
        path = self.store / "digits/.blobs" / blob.key.id[:2] / blob.key.id
        path.parent.mkdir(parents=True)
        path.write_bytes(blob.data)
        self._live = NodeWriter(self.store, project="digits", run="live")
        self._live.start(0)
        self._live.points("loss", 0, range(20), [0.5] * 20)
        self._live.flush()
        self._notes = self.store / "digits/.annotations/r0.json"
        self._said = self._notes.read_bytes()
        self.mutator = Mutator(self._make_talks())
        self._before = self._look()

    def run(self, seed: int) -> None:
        """Push to a receiver that answers as a seed says."""
        self._forget()
        transport = Answers(self.mutator.make(seed))
        name = "peace"
        with bounded():
            try:
                push_over(self.store, transport, clock=FakeClock(START_S + 5).clock())
            except HpctrackError as error:
                name = type(error).__name__
        self.endings[name] = self.endings.get(name, 0) + 1
        assert self._look() == self._before, f"seed {seed} changed what the job has written"

    def close(self) -> None:
        self._live.close()

    def _make_talks(self) -> list[Frames]:
        """Let real receivers answer: one that has nothing, one that has some, one that has all."""
        clock, target = FakeClock(START_S + 5).clock(), self.folder / "target"
        seal_made(target, "r1", steps=9)
        edit_annotations(target, "digits", "r1", notes="theirs")
        (target / ".incoming/partial").mkdir(parents=True)
        talks = []
        for where in (self.folder / "empty", target, target):
            self._forget()
            tap, results = push_in_process(self.store, where, clock=clock)
            assert results is not None
            talks.append(split_stream(bytes(tap.got)))
        return talks

    def _forget(self) -> None:
        """Make the store as it was at the beginning."""
        (self.store / ".hashes.json").unlink(missing_ok=True)
        for path in self._notes.parent.glob("*.json*"):
            path.unlink()
        self._notes.write_bytes(self._said)

    def _look(self) -> dict[str, str]:
        """Return what the job has written."""
        found = hash_files(self.store)
        return {
            name: digest
            for name, digest in found.items()
            if Path(name).name == "run.h5" or NodeFileName.parse(Path(name).name)
        }


def answer_badly(folder: Path, first_seed: int, count: int) -> dict[str, int]:
    """Push to so many bent receivers; return how many pushes ended how.

    Raises
    ------
    AssertionError
        Something is not as it should be; the message names the seed.
    """
    desk = Desk(folder / "desk")
    try:
        for seed in range(first_seed, first_seed + count):
            try:
                desk.run(seed)
            except BaseException as error:
                raise AssertionError(f"seed {seed} led to {type(error).__name__}") from error
    finally:
        desk.close()
    return desk.endings
