"""A double of AMD's package ``amdsmi`` (7.0) with its interface: names, exceptions, dictionaries.

``$AMD_STUB_SCRIPT`` names a JSON file, read again at each call: ``{"init": 0, "gpus": [{...}]}``. A
GPU has one entry per function, its answer; a number stands for an error of that code, and what has
no entry is not supported. Every function checks its handle, as the real ones do.
"""

from __future__ import annotations

import json
import os
from enum import IntEnum
from pathlib import Path
from typing import Any


class AmdSmiException(Exception):  # noqa: N818 - their names
    pass


class AmdSmiLibraryException(AmdSmiException):
    def __init__(self, err_code: int) -> None:
        super().__init__(err_code)
        self.err_code = abs(err_code)


class AmdSmiParameterException(AmdSmiException):
    def __init__(self, value: object, expected: type) -> None:
        super().__init__(f"{value!r} is no {expected}")
        self.err_code = None


class AmdSmiTemperatureType(IntEnum):
    EDGE = 0
    HOTSPOT = 1
    JUNCTION = 1
    VRAM = 2


class AmdSmiTemperatureMetric(IntEnum):
    CURRENT = 0


class AmdSmiClkType(IntEnum):
    SYS = 0
    GFX = 0
    MEM = 4


class _Handle:
    def __init__(self, index: int) -> None:
        self.index = index


def _read() -> Any:
    script: Any = json.loads(Path(os.environ["AMD_STUB_SCRIPT"]).read_text())
    return script


def _find(handle: object, name: str) -> Any:
    if not isinstance(handle, _Handle):
        raise AmdSmiParameterException(handle, _Handle)
    script = _read()
    code = script.get("error", 0)
    if code:
        raise AmdSmiLibraryException(code)
    gpu = script["gpus"][handle.index]
    answer = gpu["error"] if "error" in gpu else gpu.get(name, 2)
    if isinstance(answer, int):
        raise AmdSmiLibraryException(answer)
    return answer


def amdsmi_init() -> None:
    code = _read().get("init", 0)
    if code:
        raise AmdSmiLibraryException(code)


def amdsmi_shut_down() -> None:
    pass


def amdsmi_get_processor_handles() -> list[_Handle]:
    return [_Handle(index) for index in range(len(_read()["gpus"]))]


def amdsmi_get_gpu_device_uuid(processor_handle: object) -> Any:
    return _find(processor_handle, "uuid")


def amdsmi_get_gpu_device_bdf(processor_handle: object) -> Any:
    return _find(processor_handle, "bdf")


def amdsmi_get_gpu_asic_info(processor_handle: object) -> Any:
    return _find(processor_handle, "asic")


def amdsmi_get_gpu_driver_info(processor_handle: object) -> Any:
    return _find(processor_handle, "driver")


def amdsmi_get_gpu_enumeration_info(processor_handle: object) -> Any:
    return _find(processor_handle, "enumeration")


def amdsmi_get_gpu_activity(processor_handle: object) -> Any:
    return _find(processor_handle, "activity")


def amdsmi_get_gpu_vram_usage(processor_handle: object) -> Any:
    return _find(processor_handle, "vram")


def amdsmi_get_power_info(processor_handle: object) -> Any:
    return _find(processor_handle, "power")


def amdsmi_get_power_cap_info(processor_handle: object) -> Any:
    return _find(processor_handle, "cap")


def amdsmi_get_energy_count(processor_handle: object) -> Any:
    return _find(processor_handle, "energy")


def amdsmi_get_temp_metric(processor_handle: object, sensor_type: object, metric: object) -> Any:
    if not isinstance(sensor_type, AmdSmiTemperatureType):
        raise AmdSmiParameterException(sensor_type, AmdSmiTemperatureType)
    if not isinstance(metric, AmdSmiTemperatureMetric):
        raise AmdSmiParameterException(metric, AmdSmiTemperatureMetric)
    return _find(processor_handle, f"temp {sensor_type.name}")["degrees"]


def amdsmi_get_clock_info(processor_handle: object, clock_type: object) -> Any:
    if not isinstance(clock_type, AmdSmiClkType):
        raise AmdSmiParameterException(clock_type, AmdSmiClkType)
    return _find(processor_handle, f"clock {int(clock_type)}")


def amdsmi_get_gpu_fan_speed(processor_handle: object, sensor_idx: int) -> Any:
    return _find(processor_handle, "fan")["speed"]


def amdsmi_get_gpu_fan_speed_max(processor_handle: object, sensor_idx: int) -> Any:
    return _find(processor_handle, "fan")["most"]


def amdsmi_get_pcie_info(processor_handle: object) -> Any:
    return _find(processor_handle, "pcie")


def amdsmi_get_gpu_total_ecc_count(processor_handle: object) -> Any:
    return _find(processor_handle, "ecc")


def amdsmi_get_gpu_process_list(processor_handle: object) -> Any:
    return _find(processor_handle, "processes")
