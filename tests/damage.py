"""Files of a run, damaged anywhere, and read. A program of its own: ``python -m tests.damage``.

HDF5 may crash or hang on a broken file, and a hang in C cannot be interrupted by Python: so the
cases run in a child process, each under an alarm whose default action ends it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hpctrack.errors import HpctrackError
from hpctrack.store.node_tail import NodeTail
from hpctrack.store.repair import repair_run
from hpctrack.store.schema import EventKind, Place
from hpctrack.store.seal import seal_run
from hpctrack.store.stored_run import StoredRun
from hpctrack.store.verify import verify_run
from tests.stores import NodeWriter

STEPS = 9000
PICTURE = bytes(range(256)) * 400
FACTORS = {"acc": 0.5, "loss": 1.0}

CASE_TIMEOUT_S = 60
"""A case takes some 50 ms; a reader that has lost itself takes hours."""

Damage = Callable[[random.Random, bytearray], bytearray]


def make_run(store: Path, *, close: bool = True) -> Path:
    """Write a run with two metrics over several chunks, a picture, and some text."""
    writer = NodeWriter(store)
    session = writer.start(0)
    writer.event(EventKind.CONFIG, {"lr": 0.1})
    for start in range(0, STEPS, 3000):
        steps = range(start, start + 3000)
        for name, factor in reversed(FACTORS.items()):
            writer.points(name, 0, steps, [one * factor for one in steps])
        writer.flush()
    digest = hashlib.sha256(PICTURE).hexdigest()
    offset = writer.file.add_bytes(PICTURE, Place.BLOBS)
    where = {
        "digest": digest, "place": int(Place.BLOBS), "offset": offset, "size": len(PICTURE),
    }  # fmt: skip
    writer.event(EventKind.PAYLOAD, where)
    writer.event(EventKind.MEDIA, {"key": "a", "step": 1, "digest": digest, "size": len(PICTURE)})
    writer.file.add_event(
        EventKind.STDOUT, b"hello\n", wall_s=writer.wall_s, rank=0, session=0, place=Place.TEXT
    )
    writer.end(0, session)
    writer.flush()
    return writer.close().parent if close else writer.file.path.parent


def make_old(folder: Path) -> None:
    """Make files look as if nobody had written them for a while."""
    for path in folder.iterdir():
        os.utime(path, (time.time() - 1000, time.time() - 1000))


def assert_prefix(folder: Path) -> dict[str, int]:
    """What is read must be what was written, up to some point."""
    run = StoredRun(folder)
    found = run.columns()
    for name, factor in FACTORS.items():
        if name in found:
            assert (found[name].value == found[name].step * factor).all()
            assert (found[name].rank == 0).all()
    run.close()
    return {name: len(one) for name, one in found.items()}


# -- ways to damage a file -----------------------------------------------------------------------


def cut(chance: random.Random, data: bytearray) -> bytearray:
    """Lose the end."""
    return data[: chance.randrange(len(data))]


def flip(chance: random.Random, data: bytearray) -> bytearray:
    """Change one to three bytes."""
    for _number in range(chance.randint(1, 3)):
        data[chance.randrange(len(data))] ^= chance.randint(1, 255)
    return data


def blank(chance: random.Random, data: bytearray) -> bytearray:
    """Lose a block, as a disk or a parallel file system does."""
    at, size = chance.randrange(len(data)), chance.choice((16, 512, 4096, 65536))
    lost = data[at : at + size]
    data[at : at + size] = chance.choice((bytes(len(lost)), chance.randbytes(len(lost))))
    return data


def lose(chance: random.Random, data: bytearray) -> bytearray:
    """Lose sectors, pages or stripes, for which a file system answers zeros."""
    for _number in range(chance.randint(1, 3)):
        size = chance.choice((512, 4096, 65536))
        at = chance.randrange(-(-len(data) // size)) * size
        data[at : at + size] = bytes(len(data[at : at + size]))
    return data


def swap(chance: random.Random, data: bytearray) -> bytearray:
    """Exchange two blocks of 4 KiB."""
    one, other = (chance.randrange(len(data) // 4096) * 4096 for _number in range(2))
    size = 4096
    first = data[one : one + size]
    data[one : one + size] = data[other : other + size]
    data[other : other + size] = first
    return data


def flip_metadata(path: Path) -> Damage:
    """Return what changes bytes that are no rows: of rows, a live file has no checksum."""
    rows = find_rows(path)

    def change(chance: random.Random, data: bytearray) -> bytearray:
        known = np.flatnonzero(np.frombuffer(data, np.uint8))
        places = [one for one in known[: 1 << 20].tolist() if not _is_in(one, rows)]
        for _number in range(chance.randint(1, 3)):
            data[chance.choice(places)] ^= chance.randint(1, 255)
        return cut(chance, data) if chance.random() < 0.3 else data

    return change


def find_rows(path: Path) -> list[tuple[int, int]]:
    """Return from where to where the rows of tables are in a file."""
    import h5py

    found = []
    with h5py.File(path, "r", swmr=True, locking=False) as file:
        for table in file.values():
            if table.chunks is None:
                found.append((table.id.get_offset() or 0, table.nbytes))
                continue
            infos = map(table.id.get_chunk_info, range(table.id.get_num_chunks()))
            found += [(one.byte_offset, one.size) for one in infos]
    return [(start, start + size) for start, size in found]


def _is_in(place: int, ranges: list[tuple[int, int]]) -> bool:
    return any(start <= place < stop for start, stop in ranges)


# -- what a reader may find ----------------------------------------------------------------------


def _metric(name: str) -> Callable[[StoredRun], Any]:
    def read(run: StoredRun) -> Any:
        found = run.metric(name).rank(0)
        return [one.tobytes() for one in (found.step, found.value, found.wall_s)]

    return read


def _envelope(run: StoredRun) -> Any:
    found = run.envelope("loss", window=(1000, 8000), width=50)
    return [one.tobytes() for one in (found.step, found.low, found.high, found.points)]


READS: dict[str, Callable[[StoredRun], Any]] = {
    "state": lambda run: str(run.state),
    "config": lambda run: run.config,
    "ranks": lambda run: [(one.rank, str(one.state), one.exit_code) for one in run.ranks()],
    "summary": lambda run: run.summary,
    "metrics": lambda run: run.metrics(),
    **{name: _metric(name) for name in FACTORS},
    "envelope": _envelope,
    "console": lambda run: run.console().text(),
    "media": lambda run: [(one.key, one.step, one.read()) for one in run.media()],
}


def read_all(folder: Path) -> dict[str, Any]:
    """Return what every question is answered with: a value, or the error that a user sees."""
    answers: dict[str, Any] = {}
    for name, read in READS.items():
        run = StoredRun(folder)
        try:
            answers[name] = read(run)
        except HpctrackError as error:
            answers[name] = error
        finally:
            run.close()
    return answers


def check_sealed(folder: Path, expected: dict[str, Any]) -> None:
    """Everything in a sealed file has a checksum: an answer is an error, or right."""
    is_intact = verify_run(folder).is_intact
    for name, answer in read_all(folder).items():
        if isinstance(answer, HpctrackError):
            assert not is_intact, f"{name}: {answer}, but verify finds nothing"
        elif not (name == "console" and "cannot be read" in answer):
            assert answer == expected[name], f"{name} is silently wrong: {str(answer)[:200]}"
    repair_run(folder, force=True)
    _check_seal(folder)


def check_live(folder: Path, _expected: dict[str, Any]) -> None:
    """Rows that are read are those that were written, and what is repaired is intact."""
    before = next(folder.glob("node-*.h5")).stat().st_size
    report = verify_run(folder)
    try:
        found = assert_prefix(folder)
        assert not report.is_intact or set(found.values()) == {STEPS}, before
    except HpctrackError:
        assert not report.is_intact
    _check_repair(folder)
    if any(folder.glob("node-*.h5")):
        assert_prefix(folder)


def check_rows(folder: Path, _expected: dict[str, Any]) -> None:
    """Whatever the bytes of a live file are: answers or errors, no crash, and a repair."""
    verify_run(folder)
    read_all(folder)
    _check_repair(folder)
    read_all(folder)


def check_holes(folder: Path, _expected: dict[str, Any]) -> None:
    """Whatever was lost of a live file: no reader tells a number that was not logged."""
    (path,) = folder.glob("node-*.h5")
    report = verify_run(folder)
    with contextlib.suppress(HpctrackError):
        found = assert_prefix(folder)
        assert not report.is_intact or set(found.values()) == {STEPS}
    with contextlib.suppress(HpctrackError):
        tail = NodeTail(path)
        tail.go_back(STEPS * len(FACTORS))
        for one in tail.iter_new_points(since_wall_s=0.0, limit=STEPS * len(FACTORS)):
            assert (one.rank, one.value) == (0, one.step * FACTORS[one.metric])
        tail.close()
    _check_repair(folder)
    _check_seal(folder)


def _check_seal(folder: Path) -> None:
    """What was repaired can be sealed, and is what was logged, live and sealed."""
    if any(folder.glob("node-*.h5")):
        found = assert_prefix(folder)
        seal_run(folder, force=True)
        assert assert_prefix(folder) == found
        assert verify_run(folder).is_intact


def _check_repair(folder: Path) -> None:
    assert repair_run(folder, force=True).is_intact
    if any(folder.glob("node-*.h5")):
        assert verify_run(folder).is_intact
    assert repair_run(folder).actions == []


def main(kind: str, seed: int, cases: int) -> None:
    """Try so many cases; the first that is wrong ends the program."""
    with tempfile.TemporaryDirectory() as place:
        whole = make_run(Path(place) / "whole")
        if kind == "sealed":
            seal_run(whole)
        expected = read_all(whole)
        assert not any(isinstance(one, HpctrackError) for one in expected.values()), expected
        (path,) = whole.glob("*.h5")
        data = path.read_bytes()
        anything: tuple[Damage, ...] = (cut, flip, blank, swap)
        damages: tuple[Damage, ...]
        check, damages = {
            "sealed": (check_sealed, (*anything, lose)),
            "live": (check_live, (cut,)),
            "rows": (check_rows, anything),
            "holes": (check_holes, (lose,)),
        }[kind]
        if kind == "live":
            damages = (cut, flip_metadata(path))
        for number in range(seed, seed + cases):
            chance = random.Random(number)
            damage = chance.choice(damages)
            print(f"case {number}: {damage.__name__}", flush=True)
            folder = Path(place) / "case" / "p" / "r"
            folder.mkdir(parents=True)
            (folder / path.name).write_bytes(damage(chance, bytearray(data)))
            make_old(folder)
            signal.alarm(CASE_TIMEOUT_S)
            check(folder, expected)
            signal.alarm(0)
            shutil.rmtree(folder)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
