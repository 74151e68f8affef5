"""What a tree of processes has used in all, though its members come and go."""

from __future__ import annotations

from collections.abc import Mapping
from operator import add, sub
from typing import NamedTuple

Amounts = tuple[int, ...]
"""One number for each of `AMOUNTS`."""

AMOUNTS = ("ticks", "minor", "major", "read", "written", "disk_read", "disk_written")

NOTHING: Amounts = (0,) * len(AMOUNTS)


class ProcessUse(NamedTuple):
    """What one process has used up to now.

    Parameters
    ----------
    ppid, starttime : int
        As in ``stat``; the start tells processes apart that had the same number one after
        another.
    own : tuple of int
        Used by itself.
    inherited : tuple of int
        Used by its children that have ended and been waited for, and by theirs. The kernel adds
        a child's own and inherited amounts here. Where it does not tell the two apart (``io``),
        everything is here.
    """

    ppid: int
    starttime: int
    own: Amounts
    inherited: Amounts


class TreeMeter:
    """The use of one tree of processes; only grows.

    Notes
    -----
    What a process had used when it was last seen appears once more, as inherited, at its parent
    when it has ended and the parent has waited for it: that much is taken off there. It may
    appear one look late, because looks take time (parents must be looked at before their
    children for that). Of a process whose parent is outside of the tree, or does not wait,
    nothing appears again; what it used after the last look is lost.
    """

    def __init__(self) -> None:
        self._before: Mapping[int, ProcessUse] = {}
        self._owed = NOTHING
        self.total = NOTHING

    def add(self, now: Mapping[int, ProcessUse]) -> Amounts:
        """Take a look in; return what was used since the last one.

        Parameters
        ----------
        now : mapping
            All processes of the tree by their PIDs.

        Returns
        -------
        tuple of int
            Never negative. At the first look, what they have used since they began.
        """
        before, self._before = self._before, now
        fresh, inherited, ended = NOTHING, NOTHING, NOTHING
        for pid, new in now.items():
            old = before.get(pid)
            if old is not None and old.starttime == new.starttime:
                if new.own != old.own:
                    fresh = _plus(fresh, _less(new.own, old.own))
                if new.inherited != old.inherited:
                    inherited = _plus(inherited, _less(new.inherited, old.inherited))
            else:
                fresh = _plus(_plus(fresh, new.own), new.inherited)
        for pid, last in before.items():
            one = now.get(pid)
            is_gone = one is None or one.starttime != last.starttime
            if is_gone and last.ppid in before:
                ended = _plus(_plus(ended, last.own), last.inherited)
        left = _less(inherited, self._owed)
        self._owed = _less(ended, left)
        growth = _plus(fresh, _less(left, ended))
        self.total = _plus(self.total, growth)
        return growth

    def find(self, pid: int) -> ProcessUse | None:
        """Return what a process had used at the last look."""
        return self._before.get(pid)


def _plus(one: Amounts, other: Amounts) -> Amounts:
    if other is NOTHING or one is NOTHING:
        return one if other is NOTHING else other
    return tuple(map(add, one, other))


def _less(one: Amounts, other: Amounts) -> Amounts:
    """Return what is left, at least nothing."""
    if one is NOTHING or other is NOTHING:
        return one
    left = tuple(map(sub, one, other))
    return left if min(left) >= 0 else tuple([max(0, amount) for amount in left])
