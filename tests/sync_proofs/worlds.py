"""Several stores that push into one server, and everything that may happen between the pushes."""

from __future__ import annotations

import random
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hpctrack.core.layout import NodeFileName
from hpctrack.errors import HpctrackError
from hpctrack.store.annotation_file import edit_annotations, read_annotation_bytes
from hpctrack.store.replica import read_replicas
from hpctrack.store.store import Store
from hpctrack.sync.receiving.verification import read_extent
from hpctrack.sync.wire.plan import Extent
from tests.links import Cut, push_in_process
from tests.replicas import read_facts, read_rows
from tests.stores import START_S, FakeClock, NodeWriter

PROJECT = "digits"
FINISHED = "finished"


@dataclass
class Client:
    """A store where jobs run.

    Parameters
    ----------
    store : Path
    live : dict
        The writers of runs that go on, by the run's id.
    """

    store: Path
    live: dict[str, NodeWriter] = field(default_factory=dict)
    sessions: dict[str, int] = field(default_factory=dict)

    def folder(self, run: str) -> Path:
        return self.store / PROJECT / run

    def list_runs(self) -> list[str]:
        folder = self.store / PROJECT
        if not folder.is_dir():
            return []
        return sorted(one.name for one in folder.iterdir() if not one.name.startswith("."))


class World:
    """Three clients and a server; what happens is decided by a seed.

    Parameters
    ----------
    folder : Path
    seed : int
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.clock = FakeClock(START_S)
        self.server = folder / "server"
        self.clients = [Client(folder / f"client{number}") for number in range(3)]
        self.history: list[str] = []
        self._count = 0
        self._folder = folder

    def step(self) -> None:
        """Let something happen."""
        self.clock.now_s += 1.0
        happenings: list[Callable[[], None]] = [
            self.begin_run, self.begin_run, self.grow, self.grow, self.grow, self.end_run,
            self.requeue, self.copy_run, self.annotate, self.annotate, self.forget_hashes,
            self.push, self.push, self.push_and_lose, self.push_together, self.lose_replica_notes,
        ]  # fmt: skip
        happening = self.chance.choice(happenings)
        self.history.append(happening.__name__)
        happening()

    # -- what happens --------------------------------------------------------------------------

    def begin_run(self) -> None:
        client = self.chance.choice(self.clients)
        self._count += 1
        self._start(client, f"r{self._count}", attempt=1)

    def grow(self) -> None:
        for client in self.clients:
            for writer in client.live.values():
                if self.chance.random() < 0.7:
                    self._log(writer, self.chance.randrange(1, 40))

    def end_run(self) -> None:
        client = self.chance.choice(self.clients)
        if client.live:
            run = self.chance.choice(sorted(client.live))
            writer = client.live.pop(run)
            writer.wall_s = self.clock.now_s
            writer.end(0, client.sessions[run])
            writer.close()

    def requeue(self) -> None:
        """Let a job go on with a run that has ended."""
        client = self.chance.choice(self.clients)
        ended = [run for run in client.list_runs() if run not in client.live]
        if ended:
            run = self.chance.choice(ended)
            attempts = [
                found.attempt
                for one in client.folder(run).iterdir()
                if (found := NodeFileName.parse(one.name))
            ]
            sealed = client.folder(run) / "run.h5"
            if sealed.exists():
                attempts.append(read_extent(sealed).attempts)
            self._start(client, run, attempt=1 + max(attempts))

    def copy_run(self) -> None:
        """Copy what is sealed of a run to another client, as people do."""
        one, other = self.chance.sample(self.clients, 2)
        sealed = [run for run in one.list_runs() if (one.folder(run) / "run.h5").exists()]
        if sealed:
            run = self.chance.choice(sealed)
            if not other.folder(run).exists():
                other.folder(run).mkdir(parents=True)
                shutil.copy2(one.folder(run) / "run.h5", other.folder(run) / "run.h5")

    def annotate(self) -> None:
        store = self.chance.choice([self.server, *(one.store for one in self.clients)])
        folder = store / PROJECT
        runs = [one.name for one in folder.glob("r*")] if folder.is_dir() else []
        if runs:
            tag = self.chance.choice("ab")
            is_on = self.chance.random() < 0.6
            edit_annotations(
                store,
                PROJECT,
                self.chance.choice(sorted(runs)),
                notes=f"{len(self.history)}",
                add_tags=[tag] if is_on else [],
                remove_tags=[] if is_on else [tag],
                clock=self.clock.clock(),
            )

    def forget_hashes(self) -> None:
        store = self.chance.choice([self.server, *(one.store for one in self.clients)])
        (store / ".hashes.json").unlink(missing_ok=True)

    def lose_replica_notes(self) -> None:
        """Lose what the server knows of how far replicas are, as in a crash before the rename."""
        for one in self.server.glob(f"{PROJECT}/*/.replica.json"):
            if self.chance.random() < 0.3:
                one.write_text("{}")
                one.with_name(f"{one.name}.old").unlink(missing_ok=True)

    def push(self) -> None:
        self._push(self.chance.choice(self.clients))

    def push_and_lose(self) -> None:
        cut = Cut(sent_bytes=self.chance.randrange(60_000))
        if self.chance.random() < 0.3:
            cut = Cut(got_bytes=self.chance.randrange(600))
        self._push(self.chance.choice(self.clients), cut)

    def push_together(self) -> None:
        """Let two pushers meet, perhaps of the same store."""
        pair = [self.chance.choice(self.clients) for _pusher in range(2)]
        errors: list[BaseException] = []

        def work(client: Client) -> None:
            try:
                self._push(client)
            except BaseException as error:  # noqa: BLE001 - told by the thread that waits
                errors.append(error)

        threads = [threading.Thread(target=work, args=(one,)) for one in pair]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]

    def settle(self) -> None:
        """Let all push until everybody has heard of everything."""
        for _round in range(2):
            for client in self.clients:
                self._push(client)

    # -- helpers -------------------------------------------------------------------------------

    def _start(self, client: Client, run: str, *, attempt: int) -> None:
        now_s = self.clock.now_s
        writer = NodeWriter(client.store, PROJECT, run, attempt=attempt, wall_s=now_s)
        client.sessions[run] = writer.start(0)
        client.live[run] = writer
        self._log(writer, 3)

    def _log(self, writer: NodeWriter, count: int) -> None:
        writer.wall_s = self.clock.now_s
        first = 1000 * writer.attempt + int(self.clock.now_s - START_S) * 40
        writer.points("loss", 0, range(first, first + count), [1.0] * count)
        writer.flush()

    def _push(self, client: Client, cut: Cut | None = None) -> None:
        if not client.list_runs():
            return
        for writer in list(client.live.values()):
            writer.wall_s = self.clock.now_s
            writer.flush()
        push_in_process(client.store, self.server, cut=cut, clock=self.clock.clock())


# -- what must be true -----------------------------------------------------------------------------


def check_agreement(world: World) -> None:
    """Compare the server with all clients, by the rules."""
    for client in world.clients:
        for run in client.list_runs():
            there, here = world.server / PROJECT / run, client.folder(run)
            if (here / "run.h5").exists():
                check_sealed(world, there, run)
            for name in (one.name for one in here.iterdir() if NodeFileName.parse(one.name)):
                check_live(there, here / name)
            ours, theirs = (
                read_annotation_bytes(store, PROJECT, run) for store in (client.store, world.server)
            )
            assert ours == theirs, f"annotations of {run}"
    check_reading(world)


def check_sealed(world: World, there: Path, run: str) -> None:
    """Check that the server has one of the clients' files, and none of them has a better one."""
    files = [one.folder(run) / "run.h5" for one in world.clients]
    mine = {path.read_bytes(): read_extent(path) for path in files if path.exists()}
    data = (there / "run.h5").read_bytes()
    assert data in mine, f"{run} is nobody's"
    for other in mine.values():
        assert not is_better(other, mine[data]), f"a better {run} is on a client"


def is_better(one: Extent, other: Extent) -> bool:
    is_as_good = one.points >= other.points and one.attempts >= other.attempts
    return is_as_good and (one.points, one.attempts) != (other.points, other.attempts)


def check_live(there: Path, here: Path) -> None:
    """Check that a node file's rows are all in a replica, or its uuid in the sealed file."""
    if (there / here.name).exists():
        assert read_rows(there / here.name) == read_rows(here), here.name
        assert read_replicas(there)[here.name].uuid == read_facts(here)["uuid"]
    else:
        assert read_facts(here)["uuid"] in read_extent(there / "run.h5").nodes


def check_reading(world: World) -> None:
    """Check that runs of one client read alike on both sides, and whether they go on."""
    clock = world.clock.clock()
    for client in world.clients:
        others = [one for one in world.clients if one is not client]
        for run in client.list_runs():
            if any(one.folder(run).exists() for one in others):
                continue
            mine, theirs = (
                Store(store, clock=clock).run(run) for store in (client.store, world.server)
            )
            try:
                assert mine.state == theirs.state, run
                assert mine.metric("loss").values.tolist() == theirs.metric("loss").values.tolist()
                assert (mine.tags, mine.notes) == (theirs.tags, theirs.notes)
            except HpctrackError as error:
                raise AssertionError(f"{run} cannot be read") from error
            finally:
                mine.close()
                theirs.close()
