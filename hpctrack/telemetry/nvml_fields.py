"""NVML's field values: many questions in one call. The library comes as a parameter.

Fields that a device does not know are struck out after the first answer, so that the list that is
asked for each second is as short as the device allows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from hpctrack.telemetry.asks import SLOW_S
from hpctrack.telemetry.gpu_source import Absence, Counter, GpuReading
from hpctrack.telemetry.nvml_status import make_patience

ALL_LINKS: Final = 0xFFFFFFFF
"""The scope that means the sum over all NVLinks."""


class Field(NamedTuple):
    """A field value of NVML.

    Parameters
    ----------
    constant : str
        Its name in NVML, without ``NVML_FI_DEV_``; a library that does not have it is older.
    name : str
        Of `VALUES`, or of `COUNTERS`.
    scale : float
    scope : int
    is_counter : bool
    """

    constant: str
    name: str
    scale: float = 1.0
    scope: int = 0
    is_counter: bool = False


FAST: Final = (
    Field("MEMORY_TEMP", "memory_temp_c"),
    Field("POWER_INSTANT", "power_instant_w", 1e-3),
    Field("TOTAL_ENERGY_CONSUMPTION", "energy_j", 1e-3, is_counter=True),
    Field("NVLINK_THROUGHPUT_DATA_TX", "nvlink_tx_bytes", 1024, ALL_LINKS, is_counter=True),
    Field("NVLINK_THROUGHPUT_DATA_RX", "nvlink_rx_bytes", 1024, ALL_LINKS, is_counter=True),
)

SLOW: Final = (
    Field("ECC_SBE_VOL_TOTAL", "ecc_corrected_volatile_total"),
    Field("ECC_DBE_VOL_TOTAL", "ecc_uncorrected_volatile_total"),
    Field("ECC_SBE_AGG_TOTAL", "ecc_corrected_aggregate_total"),
    Field("ECC_DBE_AGG_TOTAL", "ecc_uncorrected_aggregate_total"),
    Field("RETIRED_SBE", "retired_pages_single_bit"),
    Field("RETIRED_DBE", "retired_pages_double_bit"),
    Field("RETIRED_PENDING", "retired_pages_pending"),
    Field("REMAPPED_COR", "remapped_rows_corrected"),
    Field("REMAPPED_UNC", "remapped_rows_uncorrected"),
    Field("REMAPPED_PENDING", "remapped_rows_pending"),
    Field("REMAPPED_FAILURE", "remapped_rows_failed"),
)

_MEMBERS: Final = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")
"""Members of the value's union, by NVML's number of its type."""


class FieldReader:
    """Reads the fields that one device knows.

    Parameters
    ----------
    api : module
        pynvml.
    handle : object
        The device's.
    """

    def __init__(self, api: Any, handle: Any) -> None:
        self._api = api
        self._handle = handle
        self.absences: dict[str, Absence] = {}
        self._patience = make_patience()
        self._fast = self._select(FAST)
        self._slow = self._select(SLOW)
        self._slow_due_s = -math.inf
        # Where the hardware has no average, power_w is the draw of this moment already.
        if not self._has_average():
            self._strike("power_instant_w", Absence.NOT_SUPPORTED)

    def read_into(self, reading: GpuReading, mono_s: float) -> None:
        """Ask for what is due.

        Raises
        ------
        GpuLostError, DriverAbsentError
            The device or the driver is gone.
        Exception
            Of pynvml, if the call as a whole fails.
        """
        fields = list(self._fast)
        if mono_s >= self._slow_due_s:
            self._slow_due_s = mono_s + SLOW_S
            fields += self._slow
        for field, code, number in list(self._ask(fields)):
            if code == 0:
                self._patience.forget(field.name)
                self._put(reading, field, number)
                continue
            text = f"field {field.constant} fails with {code}"
            absence = self._patience.judge(field.name, code, text)
            if absence is not None:
                self._strike(field.name, absence)

    def strike_all(self, absence: Absence) -> None:
        """Never ask again, as the device knows no fields at all."""
        for _, field in (*self._fast, *self._slow):
            self._strike(field.name, absence)

    def _select(self, fields: Iterable[Field]) -> list[tuple[int, Field]]:
        found = []
        for field in fields:
            number = getattr(self._api, f"NVML_FI_DEV_{field.constant}", None)
            if number is None:
                self.absences[field.name] = Absence.NOT_SUPPORTED
            else:
                found.append((int(number), field))
        return found

    def _has_average(self) -> bool:
        ask = [(int(self._api.NVML_FI_DEV_POWER_AVERAGE), Field("POWER_AVERAGE", "power_w"))]
        try:
            return all(code == 0 for _, code, _ in self._ask(ask))
        except (self._api.NVMLError, AttributeError):
            return False

    def _ask(self, fields: list[tuple[int, Field]]) -> Iterable[tuple[Field, int, float]]:
        if not fields:
            return
        wanted = [(number, field.scope) for number, field in fields]
        answers = self._api.nvmlDeviceGetFieldValues(self._handle, wanted)
        for (_, field), answer in zip(fields, answers, strict=True):
            kind = answer.valueType
            member = _MEMBERS[kind] if kind < len(_MEMBERS) else ""
            code = answer.nvmlReturn if member or answer.nvmlReturn else 3
            yield field, code, getattr(answer.value, member) if code == 0 else 0

    def _put(self, reading: GpuReading, field: Field, number: float) -> None:
        if field.is_counter:
            reading.counters[field.name] = Counter(int(number), field.scale)
        else:
            reading.values[field.name] = number * field.scale

    def _strike(self, name: str, absence: Absence) -> None:
        self.absences[name] = absence
        self._fast = [one for one in self._fast if one[1].name != name]
        self._slow = [one for one in self._slow if one[1].name != name]
