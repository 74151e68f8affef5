"""A rank's wish that its run be pushed now, left in the store for who reaches the server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hpctrack.agents.recorder import Recorder
from hpctrack.agents.session import Session
from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.store.sync_requests import SyncRequest, request_sync

PAUSE_S = 1.0
"""A program that asks in every step costs the file system no more than a file a second."""


class SyncWish:
    """What one rank wishes; asked for again and again, it is left now and then.

    Parameters
    ----------
    tell : callable
        Sends a notice to the rank.
    clock : Clock, optional
        For tests.
    """

    def __init__(
        self, tell: Callable[[dict[str, Any]], None], *, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._tell = tell
        self._clock = clock
        self._asked: tuple[Recorder, Session] | None = None
        self._left_mono_s = -1e9

    def ask(self, recorder: Recorder, session: Session) -> None:
        """Take note of it."""
        self._asked = recorder, session

    def act(self, *, is_last: bool = False) -> None:
        """Leave the wish in the store, if there is one and it is time.

        Parameters
        ----------
        is_last : bool
            The rank waits for an answer, or has left.
        """
        if self._asked is None:
            return
        now_s = self._clock.mono_s()
        if now_s - self._left_mono_s < PAUSE_S and not is_last:
            return
        (recorder, session), self._asked = self._asked, None
        self._left_mono_s = now_s
        # Who finds the wish is to find what was logged before it.
        recorder.flush(asked_by=session)
        folder, hello = recorder.folder, session.hello
        request = SyncRequest(folder.parent.name, folder.name)
        try:
            request_sync(
                Path(folder.parent.parent),
                request,
                wall_s=self._clock.wall_s(),
                who=f"rank {session.rank} of {hello.get('user', '')}",
            )
        except OSError as error:
            text = f"the store cannot take the request to push this run: {error.strerror}"
            self._tell({"level": "warning", "code": "sync-request", "text": text})
