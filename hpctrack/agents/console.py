"""What a rank's thread cannot do for its console: outlive the rank, and move bytes without it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Self

from hpctrack.agents.console_line import Line, Outlet
from hpctrack.client.console_page import Page
from hpctrack.core.wire import STREAMS

Pieces = list[tuple[int, bytes]]
"""Stream (1 or 2) and bytes to record, in the order of writing."""

HELD_MAX_BYTES = 1024 * 1024
"""What is held for an original that takes nothing; beyond, whoever writes has to wait."""

LOOK_INTERVAL_S = 0.04
"""Looks that come sooner are passed over: a thread that stands still must have had its time."""

DEATH_WAIT_S = 0.05
"""A dying process closes its socket some moments before the kernel gives back its lock."""


class ConsoleDrain:
    """The agent's share in one rank's console.

    As long as the rank lives and its thread moves bytes, nothing is done here. A thread that stands
    still for two looks while its pipe is more than half full waits for an interpreter lock that is
    held by whoever waits for the pipe: then the bytes are moved here. When the rank is gone, what
    it left behind is moved here, and what its children go on to write.

    Parameters
    ----------
    read_fds, original_fds : sequence of int
        The rank's read ends and, in the same order, where their bytes are to go. Owned from now on.
    page_fd : int
        The rank's page. Owned.

    Attributes
    ----------
    is_done : bool
        Nobody can write any more and everything has been passed on; all is closed.
    """

    def __init__(self, read_fds: Sequence[int], original_fds: Sequence[int], page_fd: int) -> None:
        self._page = Page(page_fd)
        streams = self._page.lines
        self._lines = [
            Line(stream, read_fd, Outlet(original_fd))
            for stream, read_fd, original_fd in zip(streams, read_fds, original_fds, strict=False)
        ]
        self._turn = -1
        self._looked_s = 0.0
        self._is_finishing = False
        self._is_alone = False
        self._has_told_rest = False
        self.is_done = False

    @classmethod
    def from_fds(cls, fds: Sequence[int]) -> Self:
        """Take what `hpctrack.client.console.Console.fds` lists, in that order."""
        half = len(fds) // 2
        return cls(fds[:half], fds[half : 2 * half], fds[-1])

    def look(self) -> Pieces:
        """Help if help is needed; to be called every 50 ms, or more often.

        Returns
        -------
        list of (int, bytes)
            What was moved here and is to be recorded; nearly always empty.

        Notes
        -----
        Never waits, but for an original that is a file on a file system that hangs. One system
        call per pipe while nothing is printed.
        """
        if self.is_done:
            return []
        if self._is_finishing and self._see_death():
            return self._take_over()
        return self._watch()

    def finish(self) -> Pieces:
        """Take over when the rank has said good-bye, or its connection has ended.

        Returns
        -------
        list of (int, bytes)
            All that was left, and what the rank had passed on but not recorded. It is also passed
            on to the originals, as far as they take it without waiting.

        Notes
        -----
        Call `look` until `is_done` afterwards: children of the rank may go on writing, and find a
        reader as long as that is done. Waits at most `DEATH_WAIT_S`, for a rank that is just
        dying.
        """
        if self.is_done:
            return []
        self._is_finishing = True
        deadline = time.monotonic() + DEATH_WAIT_S
        while not self._see_death():
            self._drop_ended()
            if not self._lines or self._page.is_stopped or time.monotonic() > deadline:
                return []
            time.sleep(0.001)
        return self._take_over()

    def close(self) -> None:
        """Let go of everything: children that still write get SIGPIPE, as without us."""
        for line in self._lines:
            line.close()
        self._lines.clear()
        if not self.is_done:
            self.is_done = True
            self._page.close()

    # -- while the rank lives --------------------------------------------------------------------

    def _watch(self) -> Pieces:
        now_s = time.monotonic()
        if now_s - self._looked_s < LOOK_INTERVAL_S:
            return []
        self._looked_s = now_s
        page, turn = self._page, self._page.turn
        is_stuck = turn == self._turn and any(line.needs_help() for line in self._lines)
        self._turn = turn
        if is_stuck and page.claim:
            # It has stood still since the last look, when it was told to stay away.
            return self._count_piece() + self._move(hold_bytes=0)
        # What was taken from the pipe must be out before the thread goes on.
        pushed = [line.push() for line in self._lines]
        page.claim = is_stuck or not all(pushed)
        if self._is_finishing:
            self._drop_ended()
        return []

    def _drop_ended(self) -> None:
        for line in list(self._lines):
            if line.has_ended():
                line.close()
                self._lines.remove(line)
        if not self._lines:
            self.close()

    # -- when it does not ------------------------------------------------------------------------

    def _see_death(self) -> bool:
        self._is_alone = self._is_alone or not self._page.is_owner_alive()
        return self._is_alone

    def _take_over(self) -> Pieces:
        # What its thread had passed on when it was killed, before that was recorded.
        pieces = self._count_piece()
        if not self._page.is_full:
            pieces += self._take_rest()
        pieces += self._move(hold_bytes=HELD_MAX_BYTES)
        is_over = not any(line.is_open or line.held for line in self._lines)
        if is_over or (self._page.is_full and not self._has_told_rest):
            self._has_told_rest = True
            pieces += self._take_rest()
        if is_over:
            self.close()
        return pieces

    def _count_piece(self) -> Pieces:
        for line in self._lines:
            if line.stream == self._page.piece_stream:
                self._page.settle_piece(line.outlet.find_position())
        stream, data, rest = self._page.count_piece()
        for line in self._lines:
            if line.stream == stream:
                line.held += rest
        kept = self._page.admit(stream, data) if data else b""
        return [(stream, kept)] if kept else []

    def _take_rest(self) -> Pieces:
        return [(stream, one) for stream in STREAMS for one in self._page.take_rest(stream)]

    def _move(self, *, hold_bytes: int) -> Pieces:
        pieces: Pieces = []
        for line in self._lines:
            kept = []
            for data in line.move(hold_bytes):
                self._page.add(line.stream, data)
                kept.append(self._page.admit(line.stream, data))
            whole = b"".join(kept)
            if whole:
                pieces.append((line.stream, whole))
        return pieces
