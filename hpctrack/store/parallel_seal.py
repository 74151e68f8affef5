"""Sealing one huge run with several processes: ``mpirun hpctrack seal``.

The metrics are divided over the ranks. Each puts its own in order and writes them into a file of
its own; rank 0 joins these files, copying compressed chunks as they are. After each step all ranks
tell each other how it went, so that an error of one ends all of them and nobody waits for ever.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hpctrack.client.definitions import Definition
from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.core.layout import SEALED_NAME
from hpctrack.errors import BusyError
from hpctrack.store.placement import Plan, SourceGroups, make_plan
from hpctrack.store.scratch import Scratch
from hpctrack.store.seal import (
    DEFAULT_LIMITS,
    PASSES,
    OnProgress,
    Progress,
    Run,
    SealResult,
    check_content,
    find_run,
    finish,
    publish,
    remove_leftovers,
    root_facts,
    translating,
)
from hpctrack.store.seal_lock import SealLock
from hpctrack.store.seal_metrics import SealLimits
from hpctrack.store.seal_sources import NodeSource, Source
from hpctrack.store.seal_steps import (
    check_space,
    find_sources,
    place_points,
    sum_metrics,
    write_metrics,
    write_rest,
)
from hpctrack.store.sealed_writer import create_sealed, join_parts
from hpctrack.store.world import World


def seal_together(
    folder: Path,
    world: World,
    *,
    clock: Clock = SYSTEM_CLOCK,
    stale_after_s: float = 60.0,
    force: bool = False,
    on_progress: OnProgress | None = None,
    limits: SealLimits = DEFAULT_LIMITS,
) -> SealResult:
    """Seal a run with all processes of a world; collective.

    The other parameters are those of `seal_run`, and so is what it raises, on all processes;
    ``on_progress`` tells of this process's share.
    """
    lock = SealLock(folder, clock)
    held: list[Run] = []

    def begin() -> tuple[str, bool]:
        with translating(folder):
            lock.take()
            held.append(find_run(folder, clock, stale_after_s, force=force))
            remove_leftovers(folder)
        return f"{SEALED_NAME}.{secrets.token_hex(4)}", held[0].has_news

    try:
        stem, has_news = world.share(begin)
        if not has_news:
            return world.share(lambda: finish(held[0], 0))
        job = _Job(world, folder, stem, limits, held, lock)
        return _seal(job, clock, on_progress)
    finally:
        for one in held:
            one.close()
        if world.is_first:
            lock.drop()


@dataclass(frozen=True, slots=True)
class _Job:
    """What the steps need; ``held`` has the run, in the first process only."""

    world: World
    folder: Path
    stem: str
    limits: SealLimits
    held: list[Run]
    lock: SealLock

    @property
    def run(self) -> Run:
        return self.held[0]

    @property
    def whole(self) -> Path:
        return self.folder / f"{self.stem}.tmp"

    def part(self, rank: int) -> Path:
        return self.folder / f"{self.stem}.{rank}.tmp"


@dataclass(frozen=True, slots=True)
class _Share:
    """What one process has written."""

    entries: list[list[Any]]
    summary: dict[str, Any]
    checksum: int


def _seal(job: _Job, clock: Clock, on_progress: OnProgress | None) -> SealResult:
    world = job.world
    definitions = world.share(lambda: job.run.record.definitions)
    sources: list[Source] = []
    try:
        plan = _plan(job, sources)
        mine = plan.keep(divide(plan, world.size)[world.rank])
        lock = job.lock if world.is_first else None
        progress = Progress(PASSES * mine.points, lock, on_progress)
        shares = world.gather(lambda: _write_share(job, mine, sources, definitions, progress.add))
        world.share(lambda: _merge(job, shares, plan, root_facts(job.run, clock)))
        entries = shares[world.rank].entries
        found = world.gather(lambda: sum_metrics(job.whole, entries, progress.add))
        read = (sum(one[0] for one in found), sum(one[1] for one in found) % 2**64)
        checksum = sum(share.checksum for share in shares) % 2**64
        return world.share(lambda: _end(job, read, (plan.points, checksum)))
    finally:
        for source in sources:
            source.close()
        job.part(world.rank).unlink(missing_ok=True)
        if world.is_first:
            job.whole.unlink(missing_ok=True)


def _plan(job: _Job, sources: list[Source]) -> Plan:
    """Count all points, each process those of some sources, and find their places."""
    world = job.world

    def look() -> list[Any]:
        sources.extend(job.run.sources if world.is_first else find_sources(job.folder)[0])
        nodes = [one for source in sources for one in source.nodes]
        return [(one.facts["uuid"], one.facts["points"]) for one in nodes]

    views = world.gather(look)

    def count() -> dict[int, SourceGroups]:
        if views[world.rank] != views[0]:
            raise BusyError(f"the files of {job.folder.name} are changing")
        mine = range(world.rank, len(sources), world.size)
        return {number: sources[number].count() for number in mine}

    counted = {number: groups for part in world.gather(count) for number, groups in part.items()}
    parts = [counted[number] for number in range(len(sources))]
    for source, groups in zip(sources, parts, strict=True):
        source.adopt(groups)
    plan = make_plan(parts)
    world.share(lambda: check_space(job.folder, sources, plan.points, job.limits))
    return plan


def divide(plan: Plan, ranks: int) -> list[list[int]]:
    """Give each rank metrics with about as many points: the largest first, to who has least."""
    shares: list[list[int]] = [[] for _rank in range(ranks)]
    loads = [0] * ranks
    sizes = plan.sizes()
    for metric in np.argsort(-sizes, kind="stable").tolist():
        least = loads.index(min(loads))
        shares[least].append(metric)
        loads[least] += int(sizes[metric])
    return shares


def _write_share(
    job: _Job,
    mine: Plan,
    sources: Sequence[Source],
    definitions: Sequence[Definition],
    on_points: Callable[[int], None],
) -> _Share:
    with (
        translating(job.folder),
        create_sealed(job.part(job.world.rank), {}) as file,
        Scratch(job.folder, mine.points, memory_rows=job.limits.memory_rows) as scratch,
    ):
        edges, checksum = place_points(sources, mine, scratch, on_points)
        entries, summary = write_metrics(
            file,
            mine,
            job.limits,
            definitions=definitions,
            scratch=scratch,
            edges=edges,
            on_points=on_points,
        )
    return _Share(entries, summary, checksum)


def _merge(job: _Job, shares: Sequence[_Share], plan: Plan, facts: Mapping[str, Any]) -> None:
    run = job.run
    entries = sorted((entry for share in shares for entry in share.entries), key=lambda one: one[0])
    said = {key: value for share in shares for key, value in share.summary.items()}
    record = replace(
        run.record, summary={**{key: said[key] for key in sorted(said)}, **run.record.summary}
    )
    with translating(job.folder):
        with create_sealed(job.whole, facts) as file:
            join_parts(file, [job.part(rank) for rank in range(len(shares))])
            events = write_rest(
                file, record, run.sources, entries, plan.streams, on_piece=job.lock.touch
            )
        events.check(job.whole)


def _end(job: _Job, found: tuple[int, int], expected: tuple[int, int]) -> SealResult:
    check_content(job.run, found, expected)
    publish(job.run, job.whole, job.lock)
    return finish(job.run, sum(isinstance(one, NodeSource) for one in job.run.sources))
