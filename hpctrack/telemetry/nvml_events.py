"""What NVML reports by itself: Xid errors. The library comes as a parameter."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any, Final

from hpctrack.telemetry.asks import Verdict
from hpctrack.telemetry.gpu_source import GpuEvent
from hpctrack.telemetry.nvml_status import VERDICTS

WAIT_MS: Final = 1
"""Zero should return at once, too, but a driver that took it for "for ever" would never let go."""

EVENTS_MAX: Final = 100
"""In one reading: a GPU that fails thousands of times a second must not hold up all others."""


class EventReader:
    """Listens to some GPUs.

    Parameters
    ----------
    api : module
        pynvml.

    Notes
    -----
    What happened before a GPU was first listened to is not told. A driver that knows no events
    (none does inside most virtual machines) leaves the reader silent.
    """

    def __init__(self, api: Any) -> None:
        self._api = api
        self._set: Any = None
        self._listening: dict[str, int] = {}
        self._is_deaf = False

    def read(self, handles: Mapping[str, Any]) -> list[GpuEvent]:
        """Return what was reported since the last call.

        Parameters
        ----------
        handles : mapping
            UUIDs and handles of the GPUs to listen to from now on.
        """
        if self._is_deaf:
            return []
        for uuid, handle in handles.items():
            if uuid not in self._listening:
                self._listen(uuid, handle)
        if self._set is None or not any(self._listening.values()):
            return []
        found: list[GpuEvent] = []
        while len(found) < EVENTS_MAX:
            event = self._wait()
            if event is None:
                break
            found.append(event)
        return found

    def close(self) -> None:
        """Stop to listen; never raises."""
        event_set, self._set = self._set, None
        if event_set is not None:
            try:
                self._api.nvmlEventSetFree(event_set)
            except self._api.NVMLError:
                return

    def _listen(self, uuid: str, handle: Any) -> None:
        api = self._api
        self._listening[uuid] = 0
        try:
            supported = api.nvmlDeviceGetSupportedEventTypes(handle)
            wanted = supported & api.nvmlEventTypeXidCriticalError
            if wanted:
                self._set = self._set or api.nvmlEventSetCreate()
                api.nvmlDeviceRegisterEvents(handle, wanted, self._set)
                self._listening[uuid] = _number(handle)
        except (api.NVMLError, AttributeError):
            return

    def _wait(self) -> GpuEvent | None:
        try:
            data = self._api.nvmlEventSetWait(self._set, WAIT_MS)
        except self._api.NVMLError as error:
            # A lost GPU among those listened to makes every call fail; who it is, its readings say.
            if VERDICTS.get(error.value) is not Verdict.NOTHING:
                self._is_deaf = True
                self.close()
            return None
        numbers = {number: uuid for uuid, number in self._listening.items()}
        return GpuEvent(numbers.get(_number(data.device), ""), int(data.eventData))


def _number(handle: Any) -> int:
    return int(ctypes.cast(handle, ctypes.c_void_p).value or 0)
