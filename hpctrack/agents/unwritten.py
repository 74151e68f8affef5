"""Which of a rank's frames are in a file, where some take longer than others."""

from __future__ import annotations

from collections import deque

from hpctrack.store.node_file import NewEvent


class Unwritten:
    """Frames of one session that were taken and are not in a file yet.

    Notes
    -----
    Frames are confirmed in their order: a rank says again what its agent had not confirmed when it
    died. So a frame whose picture is still being encoded holds up the confirmation of all later
    ones; and their events wait for it too, or they would be in the file twice after such a death.
    Events that may be said twice, such as a configuration, do not wait.
    """

    def __init__(self) -> None:
        self._works: deque[int] = deque()
        self._collected = 0
        self._held: deque[tuple[int, NewEvent]] = deque()

    def begin(self, frame: int) -> None:
        """Note that a frame means work that takes longer than a moment."""
        self._works.append(frame)

    def collect(self) -> None:
        """Note that the oldest work is done: it is written at the next flush."""
        self._collected += 1

    def end(self) -> None:
        """Note that the oldest work is in a file."""
        self._works.popleft()
        self._collected -= 1

    @property
    def must_hold(self) -> bool:
        """Whether an event that comes now has to wait for work, or behind other events."""
        return len(self._works) > self._collected or bool(self._held)

    def hold(self, frame: int, event: NewEvent) -> None:
        """Keep an event until `release`."""
        self._held.append((frame, event))

    def release(self) -> list[NewEvent]:
        """Return the events whose turn it is at the next flush."""
        if not self._held:
            return []
        is_free = len(self._works) <= self._collected
        oldest = 0 if is_free else self._works[self._collected]
        found = []
        while self._held and (is_free or self._held[0][0] <= oldest):
            found.append(self._held.popleft()[1])
        return found

    def count_written(self, frames: int) -> int:
        """Return up to which frame, of so many that were taken, everything is in a file."""
        first = frames + 1
        if self._works:
            first = self._works[0]
        if self._held:
            first = min(first, self._held[0][0])
        return first - 1
