"""What AMD's library is asked of a device. The library comes as a parameter.

It writes "N/A", or the highest number of the type, for what a GPU does not have.

References
----------
AMD, AMD SMI Python API reference, versions 6.1 to 7.0.
"""

from __future__ import annotations

from typing import Any, Final

from hpctrack.telemetry.asks import SLOW_S, Ask, Pairs, Verdict
from hpctrack.telemetry.gpu_source import Counter, GpuProcess

VERDICTS: Final = {
    2: Verdict.UNSUPPORTED,
    3: Verdict.UNSUPPORTED,  # not yet implemented
    5: Verdict.UNSUPPORTED,  # the library lacks the function
    8: Verdict.NOTHING,  # timeout
    9: Verdict.NOTHING,  # retry
    10: Verdict.FORBIDDEN,
    30: Verdict.NOTHING,  # busy
    32: Verdict.GONE,  # not initialised
    34: Verdict.GONE,  # driver not loaded
    40: Verdict.NOTHING,  # no data
}

MIB: Final = 1024 * 1024

_NONE: Final = frozenset({0xFFFF, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF})

_GENERATIONS: Final = {2500: 1, 5000: 2, 8000: 3, 16000: 4, 32000: 5, 64000: 6}
"""PCIe by megatransfers per second."""


def _is_number(value: Any) -> bool:
    is_real = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_real and value >= 0 and value not in _NONE


def _pair(name: str, value: Any, scale: float = 1.0) -> Pairs:
    return ((name, value * scale),) if _is_number(value) else ()


def _activity(api: Any, handle: Any) -> Pairs:
    found = api.amdsmi_get_gpu_activity(handle)
    pairs = (("util_frac", found["gfx_activity"]), ("memory_util_frac", found["umc_activity"]))
    return tuple(
        (name, percent / 100.0)
        for name, percent in pairs
        if _is_number(percent) and percent <= 100  # noqa: PLR2004
    )


def _memory(api: Any, handle: Any) -> Pairs:
    found = api.amdsmi_get_gpu_vram_usage(handle)
    used = _pair("memory_used_bytes", found["vram_used"], MIB)
    return used + _pair("memory_total_bytes", found["vram_total"], MIB)


def _power(api: Any, handle: Any) -> Pairs:
    found = api.amdsmi_get_power_info(handle)
    # GPUs have one or the other, and 0 for what they do not have; a board draws something always.
    average, current = found.get("average_socket_power"), found.get("current_socket_power")
    known = [power for power in (average, current) if _is_number(power) and power > 0]
    return _pair("power_w", known[0]) if known else ()


def _power_limit(api: Any, handle: Any) -> Pairs:
    limit = api.amdsmi_get_power_cap_info(handle)["power_cap"]
    # Microwatts by the manual, watts by some versions: no GPU is limited to 0.1 W or 100 kW.
    return _pair("power_limit_w", limit, 1e-6 if _is_number(limit) and limit > 1e5 else 1.0)  # noqa: PLR2004


def _energy(api: Any, handle: Any) -> Pairs:
    found = api.amdsmi_get_energy_count(handle)
    # Versions before 6.4 call the counter power; a step of it is some microjoules.
    raw = found.get("energy_accumulator", found.get("power"))
    step = found["counter_resolution"]
    if not _is_number(raw) or not _is_number(step):
        return ()
    return (("energy_j", Counter(int(raw), float(step) * 1e-6)),)


def _temperature(api: Any, handle: Any, name: str, sensor: str) -> Pairs:
    kind = getattr(api.AmdSmiTemperatureType, sensor)
    now = api.AmdSmiTemperatureMetric.CURRENT
    degrees = api.amdsmi_get_temp_metric(handle, kind, now)
    # Millidegrees by the manual of some versions, degrees by what they do.
    return _pair(name, degrees, 1e-3 if _is_number(degrees) and degrees >= 1000 else 1.0)  # noqa: PLR2004


def _edge(api: Any, handle: Any) -> Pairs:
    return _temperature(api, handle, "temp_c", "EDGE")


def _hotspot(api: Any, handle: Any) -> Pairs:
    return _temperature(api, handle, "hotspot_temp_c", "HOTSPOT")


def _memory_temperature(api: Any, handle: Any) -> Pairs:
    return _temperature(api, handle, "memory_temp_c", "VRAM")


def _sm_clock(api: Any, handle: Any) -> Pairs:
    clock = api.amdsmi_get_clock_info(handle, api.AmdSmiClkType.GFX)
    return _pair("sm_clock_mhz", clock["clk"]) + _pair("sm_clock_max_mhz", clock["max_clk"])


def _memory_clock(api: Any, handle: Any) -> Pairs:
    clock = api.amdsmi_get_clock_info(handle, api.AmdSmiClkType.MEM)
    return _pair("memory_clock_mhz", clock["clk"]) + _pair("memory_clock_max_mhz", clock["max_clk"])


def _fan(api: Any, handle: Any) -> Pairs:
    most = api.amdsmi_get_gpu_fan_speed_max(handle, 0)
    speed = api.amdsmi_get_gpu_fan_speed(handle, 0)
    return _pair("fan_frac", speed, 1.0 / most) if _is_number(most) and most > 0 else ()


def _pcie(api: Any, handle: Any) -> Pairs:
    found = api.amdsmi_get_pcie_info(handle)["pcie_metric"]
    return (
        _pair("pcie_link_width", found["pcie_width"])
        + _pair("pcie_link_generation", _GENERATIONS.get(found["pcie_speed"]))
        + _pair("pcie_replay_total", found.get("pcie_replay_count"))
    )


def _ecc(api: Any, handle: Any) -> Pairs:
    found = api.amdsmi_get_gpu_total_ecc_count(handle)
    corrected = _pair("ecc_corrected_volatile_total", found["correctable_count"])
    return corrected + _pair("ecc_uncorrected_volatile_total", found["uncorrectable_count"])


ASKS: Final = (
    Ask("util_frac", (_activity,)),
    Ask("memory_used_bytes", (_memory,)),
    Ask("power_w", (_power,)),
    Ask("energy_j", (_energy,)),
    Ask("temp_c", (_edge,)),
    Ask("hotspot_temp_c", (_hotspot,)),
    Ask("memory_temp_c", (_memory_temperature,)),
    Ask("sm_clock_mhz", (_sm_clock,)),
    Ask("memory_clock_mhz", (_memory_clock,)),
    Ask("power_limit_w", (_power_limit,), SLOW_S),
    Ask("fan_frac", (_fan,), SLOW_S),
    Ask("pcie_link_width", (_pcie,), SLOW_S),
    Ask("ecc_corrected_volatile_total", (_ecc,), SLOW_S),
)


def read_processes(api: Any, handle: Any) -> list[GpuProcess]:
    """Return the processes on a device with what they have of its memory.

    Raises
    ------
    Exception
        Of the library.
    """
    found = []
    for process in api.amdsmi_get_gpu_process_list(handle):
        memory = process.get("memory_usage", {}).get("vram_mem", process.get("mem"))
        if process["pid"] > 0:
            found.append(GpuProcess(process["pid"], int(memory) if _is_number(memory) else None))
    return found
