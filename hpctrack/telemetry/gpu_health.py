"""What in a GPU's readings a user should be told: throttling and failing memory. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hpctrack.telemetry.gpu_reasons import HARMFUL_BITS, explain_xid, name_reasons
from hpctrack.telemetry.gpu_source import Gpu, Level
from hpctrack.telemetry.reading import Happening

QUIET_S: Final = 30.0
"""A GPU at its limit of heat is throttled and released several times a second: the end is told when
it has been well for so long."""

REPEAT_S: Final = 60.0
"""How often the same Xid error of a GPU is told, with how often it came meanwhile."""

FLAGS: Final[Mapping[str, tuple[Level, str]]] = {
    "remapped_rows_failed": ("error", "a memory row could not be replaced: have the GPU exchanged"),
    "remapped_rows_pending": ("warning", "bad memory rows wait for a reset of the GPU"),
    "retired_pages_pending": ("warning", "bad memory pages wait for a reset of the GPU"),
}


class GpuHealth:
    """Watches one GPU.

    Parameters
    ----------
    gpu : Gpu
    """

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self._bits = 0
        self._last_harm_s = 0.0
        self._uncorrected: float | None = None
        self._flags: dict[str, float] = {}
        self._xids: dict[int, tuple[float, int]] = {}

    def note(self, values: Mapping[str, float], mono_s: float) -> list[Happening]:
        """Take a reading.

        Parameters
        ----------
        values : mapping
            Of `hpctrack.telemetry.gpu_source.VALUES`.
        mono_s : float

        Returns
        -------
        list of Happening
            What is new.
        """
        told = []
        if "clock_event_reasons" in values:
            told += self._note_reasons(int(values["clock_event_reasons"]), mono_s)
        if "ecc_uncorrected_volatile_total" in values:
            told += self._note_errors(values["ecc_uncorrected_volatile_total"])
        for name, (level, text) in FLAGS.items():
            if values.get(name, 0.0) > self._flags.get(name, 0.0):
                told.append(self._tell(level, "gpu-memory-failing", text))
            if name in values:
                self._flags[name] = values[name]
        return told

    def note_xid(self, number: int, mono_s: float) -> list[Happening]:
        """Take an Xid error that the driver reported."""
        last_s, count = self._xids.get(number, (-REPEAT_S, 0))
        if mono_s - last_s < REPEAT_S:
            self._xids[number] = (last_s, count + 1)
            return []
        self._xids[number] = (mono_s, 0)
        level, meaning = explain_xid(number)
        again = f" ({count} times more since it was last told)" if count else ""
        return [self._tell(level, "gpu-xid", f"Xid {number}: {meaning}{again}")]

    def _note_reasons(self, reasons: int, mono_s: float) -> list[Happening]:
        bits = reasons & HARMFUL_BITS
        told = []
        if bits & ~self._bits:
            names = ", ".join(name_reasons(bits))
            told = [self._tell("warning", "gpu-throttled", f"it is slowed down: {names}")]
        if bits:
            self._last_harm_s = mono_s
            self._bits |= bits
        elif self._bits and mono_s - self._last_harm_s >= QUIET_S:
            told = [self._tell("info", "gpu-throttle-over", "it is not slowed down any more")]
            self._bits = 0
        return told

    def _note_errors(self, count: float) -> list[Happening]:
        before, self._uncorrected = self._uncorrected, count
        if before is None or count <= before:
            return []
        text = f"{count - before:.0f} uncorrected memory errors: results may be wrong"
        return [self._tell("error", "gpu-ecc", text)]

    def _tell(self, level: Level, code: str, text: str) -> Happening:
        place = f"GPU {self._gpu.name} at {self._gpu.pci_bus_id}"
        return Happening(level, code, f"{place}: {text}", self._gpu.uuid)
