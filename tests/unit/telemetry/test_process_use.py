"""A tree of processes that come and go never uses less than before, nor more than it did."""

from __future__ import annotations

import random
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from hpctrack.telemetry.process_use import AMOUNTS, NOTHING, ProcessUse, TreeMeter

IO_AT = AMOUNTS.index("read")


def use(ppid: int, own: int, inherited: int = 0, *, start: int = 1) -> ProcessUse:
    """Return a process that has used some ticks, and as many bytes."""
    mine = (own, 0, 0, 0, 0, 0, 0)
    theirs = (inherited, 0, 0, own + inherited, 0, 0, 0)
    return ProcessUse(ppid, start, mine, theirs)


def ticks(meter: TreeMeter, tree: dict[int, ProcessUse]) -> int:
    return meter.add(tree)[0]


def test_what_was_used_before_the_first_look_counts() -> None:
    meter = TreeMeter()
    assert ticks(meter, {10: use(1, 100, 20), 11: use(10, 5)}) == 125
    assert ticks(meter, {10: use(1, 130, 20), 11: use(10, 5)}) == 30
    assert meter.total[0] == 155


def test_a_child_that_was_waited_for_is_not_counted_twice() -> None:
    meter = TreeMeter()
    ticks(meter, {10: use(1, 0), 11: use(10, 50)})
    assert ticks(meter, {10: use(1, 1, 60)}) == 11  # its last ten ticks, and one of the parent
    assert meter.total[0] == 61
    assert meter.total[IO_AT] == 61


def test_a_child_that_nobody_saw_counts_when_it_has_been_waited_for() -> None:
    meter = TreeMeter()
    ticks(meter, {10: use(1, 0)})
    assert ticks(meter, {10: use(1, 0, 40)}) == 40


def test_a_child_whose_time_appears_one_look_late_is_not_counted_twice() -> None:
    meter = TreeMeter()
    ticks(meter, {10: use(1, 0), 11: use(10, 50)})
    assert ticks(meter, {10: use(1, 3)}) == 3  # the parent was looked at before it waited
    assert ticks(meter, {10: use(1, 3, 52)}) == 2
    assert ticks(meter, {10: use(1, 3, 62)}) == 10
    assert meter.total[0] == 65


def test_a_child_that_is_not_waited_for_takes_nothing_off_for_long() -> None:
    meter = TreeMeter()
    ticks(meter, {10: use(1, 0), 11: use(10, 50)})
    ticks(meter, {10: use(1, 0)})
    ticks(meter, {10: use(1, 0)})
    assert ticks(meter, {10: use(1, 0, 30)}) == 30


def test_a_daemon_whose_parent_is_elsewhere_takes_nothing_off() -> None:
    meter = TreeMeter()
    ticks(meter, {10: use(1, 0), 11: use(1, 50)})
    assert ticks(meter, {10: use(1, 7, 9)}) == 16


def test_a_number_that_another_process_got_is_a_new_process() -> None:
    meter = TreeMeter()
    ticks(meter, {10: use(1, 0), 11: use(10, 50)})
    assert ticks(meter, {10: use(1, 0, 50), 11: use(10, 4, start=9)}) == 4


def test_an_empty_look_changes_nothing() -> None:
    meter = TreeMeter()
    assert meter.add({}) == NOTHING
    ticks(meter, {10: use(1, 5)})
    assert meter.add({10: use(1, 5)}) == NOTHING


@dataclass
class Program:
    ppid: int
    start: int
    own: int = 0
    inherited: int = 0


class Machine:
    """A little kernel: processes work, fork, end and are waited for."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.alive = {10: Program(1, 0)}
        self.next_pid = 11
        self.used = 0

    def work(self) -> None:
        for _ in range(self.random.randrange(6)):
            pid = self.random.choice(list(self.alive))
            match self.random.randrange(4):
                case 0:
                    self.alive[self.next_pid] = Program(pid, self.next_pid)
                    self.next_pid += 1
                case 1 if pid != 10:
                    self.end(pid)
                case _:
                    amount = self.random.randrange(100)
                    self.alive[pid].own += amount
                    self.used += amount

    def end(self, pid: int) -> None:
        """End a process; its parent waits for it, and gets its children's too."""
        gone = self.alive.pop(pid)
        parent = self.alive[gone.ppid]
        parent.inherited += gone.own + gone.inherited
        for other in self.alive.values():
            if other.ppid == pid:
                other.ppid = 10  # a subreaper, inside of the tree

    def look(self) -> dict[int, ProcessUse]:
        return {
            pid: use(one.ppid, one.own, one.inherited, start=one.start)
            for pid, one in self.alive.items()
        }


@settings(max_examples=200)
@given(st.integers(0, 2**32), st.integers(1, 30))
def test_where_all_are_waited_for_in_the_tree_the_total_is_exact(seed: int, looks: int) -> None:
    machine, meter = Machine(seed), TreeMeter()
    for _ in range(looks):
        machine.work()
        growth = meter.add(machine.look())
        assert min(growth) >= 0
        assert meter.total[0] == machine.used
        assert meter.total[IO_AT] == machine.used
