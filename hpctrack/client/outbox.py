"""What is on its way from a rank to its agent: what waits, and what the agent may lose yet."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Iterable
else:
    from _collections import deque

JOIN_BYTES = 256 * 1024


class Outbox:
    """Frames that wait to be sent, and frames that were sent and that no agent has in a file.

    Parameters
    ----------
    max_bytes : int
        What may be held. Frames beyond it are refused; those that are kept may use as much again.
    count_done : callable
        Returns how many frames of the present connection the agent has in its file.

    Notes
    -----
    Not safe for several threads: the channel's lock is held. Signal handlers of the program run,
    and may raise, between any two steps; the steps are in an order that bears it.
    """

    def __init__(self, max_bytes: int, count_done: Callable[[], int]) -> None:
        self._max_bytes = max_bytes
        self._count_done = count_done
        self._waiting: deque[tuple[bytes, bool]] = deque()
        self._waiting_bytes = 0
        self._unconfirmed: deque[tuple[int, bytes]] = deque()
        self._unconfirmed_bytes = 0
        self._sent_frames = 0
        self._head_sent = 0

    def __len__(self) -> int:
        """Return how many frames wait."""
        return len(self._waiting)

    def put(self, frame: bytes, *, is_kept: bool) -> None:
        """Have a frame wait, however large it is; `trim` must be called if it cannot be sent."""
        self._waiting_bytes += len(frame)
        self._waiting.append((frame, is_kept))

    def trim(self) -> bool:
        """Bring the last frame within the bounds; return False if it had to be taken back."""
        if self._head_sent and len(self._waiting) == 1:
            return True  # a part of it is gone
        frame, is_kept = self._waiting[-1]
        limit = 2 * self._max_bytes if is_kept else self._max_bytes
        # What was sent is only needed should the agent die; this frame is needed in any case.
        self._forget_confirmed(max(0, limit - self._waiting_bytes))
        if self._waiting_bytes + self._unconfirmed_bytes <= limit:
            return True
        self._waiting.pop()
        self._waiting_bytes -= len(frame)
        return False

    def gather(self) -> memoryview:
        """Return what is to be sent next: the rest of the first frame, and some that follow."""
        first = self._waiting[0][0]
        if len(first) >= JOIN_BYTES or len(self._waiting) == 1:
            return memoryview(first)[self._head_sent :]
        batch, size = [], 0
        for frame, _is_kept in self._waiting:
            batch.append(frame)
            size += len(frame)
            if size >= JOIN_BYTES:
                break
        return memoryview(b"".join(batch))[self._head_sent :]

    def note_sent(self, sent: int) -> None:
        """Take so many bytes for sent; what is not kept stays until it is in the agent's file."""
        self._head_sent += sent
        while self._waiting:
            frame, is_kept = self._waiting[0]
            rest = self._head_sent - len(frame)
            if rest < 0:
                return
            self._head_sent = rest  # no signal handler runs between this line and the next
            self._waiting.popleft()
            self._waiting_bytes -= len(frame)
            self._sent_frames += 1
            if not is_kept:
                self._unconfirmed.append((self._sent_frames, frame))
                self._unconfirmed_bytes += len(frame)
            self._forget_confirmed(self._max_bytes)
        self._waiting_bytes = 0

    def begin(self, greeting: bytes, sent: int, said: Iterable[bytes], question: bytes) -> None:
        """Begin a connection: put before what waits all that another agent must be told.

        Parameters
        ----------
        greeting : bytes
            Its first frame.
        sent : int
            How much of that has been sent.
        said : iterable of bytes
            What is kept, in order.
        question : bytes
            Asked after all others, if it is not empty and does not wait yet.
        """
        again = [(frame, True) for frame in said]
        again += [(frame, False) for _number, frame in self._unconfirmed]
        self.drop_unconfirmed()
        self._waiting.extendleft(reversed(again))
        if sent < len(greeting):
            self._waiting.appendleft((greeting, True))
            self._head_sent = sent
        if question and (question, True) not in self._waiting:
            self._waiting.append((question, True))
        self._waiting_bytes = sum(len(frame) for frame, _is_kept in self._waiting)
        self._sent_frames = int(sent == len(greeting))

    def end(self) -> None:
        """End a connection: the next agent counts from the start.

        A frame that went half is said again, whole.
        """
        self._forget_confirmed(self._max_bytes)
        self._head_sent = 0

    def drop_unconfirmed(self) -> int:
        """Forget what the agent has not confirmed; return how many frames that are."""
        count = len(self._unconfirmed)
        self._unconfirmed.clear()
        self._unconfirmed_bytes = 0
        return count

    def drop_all(self) -> int:
        """Forget everything; return how many frames that are."""
        count = len(self._waiting) + self.drop_unconfirmed()
        self._waiting.clear()
        self._waiting_bytes = self._head_sent = 0
        return count

    def _forget_confirmed(self, limit_bytes: int) -> None:
        """Forget what is in a file, and the oldest of the rest beyond a limit."""
        done = self._count_done() if self._unconfirmed else 0
        while self._unconfirmed and (
            self._unconfirmed[0][0] <= done or self._unconfirmed_bytes > limit_bytes
        ):
            self._unconfirmed_bytes -= len(self._unconfirmed.popleft()[1])
