"""Whether ranks are where they should be: the rules."""

from __future__ import annotations

from hpctrack.telemetry.binding import (
    RankPlace,
    find_far,
    find_far_gpus,
    find_shared,
    find_squeezed,
)
from hpctrack.telemetry.numa import Topology

GIB = 2**30

FLAT = Topology({0: frozenset(range(8))}, {core: frozenset({core}) for core in range(8)})
SMT = Topology(
    {0: frozenset({0, 1, 4, 5}), 1: frozenset({2, 3, 6, 7})},
    {core: frozenset({core % 4, core % 4 + 4}) for core in range(8)},
)


def place(rank: int, *cores: int, used: float | None = 1.0, **more: object) -> RankPlace:
    return RankPlace(rank=rank, pid=100 + rank, cores=frozenset(cores), cores_used=used, **more)  # type: ignore[arg-type]


def test_two_busy_ranks_on_one_core_while_others_are_idle() -> None:
    places = [place(0, 3, used=0.5), place(1, 3, used=0.5), place(2, 4)]
    (event,) = find_shared(places, frozenset({5, 6, 7}), FLAT)
    assert event.code == "cores-shared"
    assert event.text.startswith("ranks 0-1 share core 3 while cores 5-7 of this job are idle")
    assert "--cpu-bind=cores" in event.text
    assert "--bind-to core" in event.text


def test_a_narrow_set_within_a_wide_one_is_seen() -> None:
    places = [place(0, 0), place(1, 0), place(2, 0, 1, 2, 3)]
    (event,) = find_shared(places, frozenset({2, 3}), FLAT)
    assert event.text.startswith("ranks 0-1 share core 0")


def test_ranks_of_several_runs_are_told_as_such() -> None:
    one, other = place(0, 3), RankPlace(rank=0, pid=7, cores=frozenset({3}), cores_used=1.0)
    (event,) = find_shared([one, other], frozenset({5}), FLAT)
    assert event.text.startswith("ranks 0 (2 processes, of several runs) share core 3")


def test_sharing_is_fine_where_it_hurts_nobody() -> None:
    idle = frozenset({6, 7})
    bound = [place(0, 0), place(1, 1)]
    anywhere = [place(rank, *range(8)) for rank in range(4)]
    sleeping = [place(0, 0, used=0.01), place(1, 0, used=0.02)]
    pairs = [place(0, 0, 1), place(1, 0, 1)]
    unknown = [place(0, 0, used=None), place(1, 0, used=None)]
    for places in (bound, anywhere, sleeping, pairs, unknown, []):
        assert find_shared(places, idle, FLAT) == []
    crowded = [place(0, 0), place(1, 0)]
    assert find_shared(crowded, frozenset(), FLAT) == []  # there is nowhere to go


def test_threads_of_one_core_are_one_core() -> None:
    places = [place(0, 0), place(1, 4)]
    assert find_shared(places, frozenset({1, 5}), SMT) == []  # each has a thread of its own
    both = [place(0, 0, 4), place(1, 0, 4)]
    assert find_shared(both, frozenset({1, 5}), SMT)[0].code == "cores-shared"
    one = [place(0, 0, used=0.5), place(1, 0, used=0.5)]
    assert find_shared(one, frozenset({4}), SMT) == []  # the idle one is a part of the same core


def test_threads_that_wait_for_too_few_cores() -> None:
    job = frozenset(range(8))
    squeezed = place(0, 0, threads=8, waiting_frac=0.8)
    (event,) = find_squeezed([squeezed, place(1, 1)], frozenset({2, 3}), job)
    assert event.code == "cores-too-few"
    assert event.text.startswith("rank 0: 8 threads on core 0 wait 80% of the time")
    assert find_squeezed([squeezed], frozenset({0}), job) == []
    for calm in (
        place(0, 0, threads=8, waiting_frac=0.1),
        place(0, 0, threads=8),
        place(0, 0, threads=8, used=0.2, waiting_frac=0.9),
        place(0, 0, threads=1, waiting_frac=0.9),
        place(0, *range(8), threads=80, used=8.0, waiting_frac=0.9),
    ):
        assert find_squeezed([calm], frozenset({2, 3}), job) == []


def test_memory_on_other_nodes_than_the_cores() -> None:
    far = place(0, 0, 1, memory_bytes={0: GIB, 1: 3 * GIB})
    near = place(1, 2, memory_bytes={1: GIB})
    small = place(2, 0, memory_bytes={1: 1000})
    spread = place(3, *range(8), memory_bytes={0: GIB, 1: GIB})
    assert far.local_frac(SMT) == 0.25
    assert spread.local_frac(SMT) == 1.0
    assert place(4, 0).local_frac(SMT) is None
    assert place(4, 0, memory_bytes={0: 1}).local_frac(Topology()) is None
    (event,) = find_far([far, near, small, spread], SMT)
    assert event.code == "memory-far"
    assert event.text.startswith("rank 0: 75% of the memory is on other NUMA nodes")
    assert find_far([near, small, spread], SMT) == []


def test_a_gpu_on_another_node_than_the_cores() -> None:
    places = [place(0, 0), place(1, 2), place(2, *range(8))]
    gpus = {100: {"GPU-a": 1}, 101: {"GPU-b": 1}, 102: {"GPU-c": 1}}
    (event,) = find_far_gpus(places, gpus, SMT)
    assert (event.code, event.device) == ("gpu-far", "GPU-a")
    assert event.text.startswith("rank 0: the GPU is attached to NUMA node 1, the rank's cores are")
    several = {100: {"GPU-a": 1, "GPU-d": 0}}
    assert find_far_gpus(places, several, SMT) == []  # one of them is near
    assert find_far_gpus(places, {}, SMT) == []
    assert find_far_gpus(places, gpus, Topology()) == []
