"""What NVML is asked of a device, one call at a time. The library comes as a parameter.

Each function returns pairs of a name in `hpctrack.telemetry.gpu_source.VALUES` and a number; a
number that cannot be is left out.
"""

from __future__ import annotations

from typing import Any, Final

from hpctrack.telemetry.asks import SLOW_S, Ask, Pairs

WINDOW_S: Final = 5.0
"""The driver measures PCIe traffic over a window of 20 ms, in which the call does not return. It is
asked for where performance counters (GPM) are missing. The byte counters that newer drivers have
are not used: they may have 32 bits only, of which a PCIe 4 link fills several a second."""

PERCENT_MAX: Final = 100


def _frac(name: str, percent: float) -> Pairs:
    return ((name, percent / 100.0),) if 0 <= percent <= PERCENT_MAX else ()


def _utilisation(api: Any, handle: Any) -> Pairs:
    rates = api.nvmlDeviceGetUtilizationRates(handle)
    return _frac("util_frac", rates.gpu) + _frac("memory_util_frac", rates.memory)


def _encoder(api: Any, handle: Any) -> Pairs:
    return _frac("encoder_util_frac", api.nvmlDeviceGetEncoderUtilization(handle)[0])


def _decoder(api: Any, handle: Any) -> Pairs:
    return _frac("decoder_util_frac", api.nvmlDeviceGetDecoderUtilization(handle)[0])


def _memory(api: Any, handle: Any) -> Pairs:
    found = api.nvmlDeviceGetMemoryInfo(handle, api.nvmlMemory_v2)
    return (
        ("memory_used_bytes", found.used),
        ("memory_reserved_bytes", found.reserved),
        ("memory_total_bytes", found.total),
    )


def _memory_of_old_drivers(api: Any, handle: Any) -> Pairs:
    found = api.nvmlDeviceGetMemoryInfo(handle)
    return (("memory_used_bytes", found.used), ("memory_total_bytes", found.total))


def _power(api: Any, handle: Any) -> Pairs:
    return (("power_w", api.nvmlDeviceGetPowerUsage(handle) / 1000.0),)


def _power_limit(api: Any, handle: Any) -> Pairs:
    return (("power_limit_w", api.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000.0),)


def _temperature(api: Any, handle: Any) -> Pairs:
    return (("temp_c", api.nvmlDeviceGetTemperatureV(handle, api.NVML_TEMPERATURE_GPU)),)


def _temperature_of_old_drivers(api: Any, handle: Any) -> Pairs:
    return (("temp_c", api.nvmlDeviceGetTemperature(handle, api.NVML_TEMPERATURE_GPU)),)


def _sm_clock(api: Any, handle: Any) -> Pairs:
    return (("sm_clock_mhz", api.nvmlDeviceGetClockInfo(handle, api.NVML_CLOCK_SM)),)


def _memory_clock(api: Any, handle: Any) -> Pairs:
    return (("memory_clock_mhz", api.nvmlDeviceGetClockInfo(handle, api.NVML_CLOCK_MEM)),)


def _sm_clock_max(api: Any, handle: Any) -> Pairs:
    return (("sm_clock_max_mhz", api.nvmlDeviceGetMaxClockInfo(handle, api.NVML_CLOCK_SM)),)


def _memory_clock_max(api: Any, handle: Any) -> Pairs:
    return (("memory_clock_max_mhz", api.nvmlDeviceGetMaxClockInfo(handle, api.NVML_CLOCK_MEM)),)


def _reasons(api: Any, handle: Any) -> Pairs:
    return (("clock_event_reasons", api.nvmlDeviceGetCurrentClocksEventReasons(handle)),)


def _reasons_of_old_drivers(api: Any, handle: Any) -> Pairs:
    return (("clock_event_reasons", api.nvmlDeviceGetCurrentClocksThrottleReasons(handle)),)


def _fan(api: Any, handle: Any) -> Pairs:
    # A fan may be told to run faster than its nominal highest speed.
    return (("fan_frac", api.nvmlDeviceGetFanSpeed(handle) / 100.0),)


def _pcie_generation(api: Any, handle: Any) -> Pairs:
    return (("pcie_link_generation", api.nvmlDeviceGetCurrPcieLinkGeneration(handle)),)


def _pcie_width(api: Any, handle: Any) -> Pairs:
    return (("pcie_link_width", api.nvmlDeviceGetCurrPcieLinkWidth(handle)),)


def _pcie_replays(api: Any, handle: Any) -> Pairs:
    return (("pcie_replay_total", api.nvmlDeviceGetPcieReplayCounter(handle)),)


def _pcie_window(api: Any, handle: Any) -> Pairs:
    # NVML says KB and does not say whether these are 1000 bytes; elsewhere it counts in 1024.
    sent = api.nvmlDeviceGetPcieThroughput(handle, api.NVML_PCIE_UTIL_TX_BYTES)
    received = api.nvmlDeviceGetPcieThroughput(handle, api.NVML_PCIE_UTIL_RX_BYTES)
    return (("pcie_tx_bytes_per_s", sent * 1024.0), ("pcie_rx_bytes_per_s", received * 1024.0))


PCIE_WINDOW: Final = Ask("pcie_tx_bytes_per_s", (_pcie_window,), WINDOW_S)

ASKS: Final = (
    Ask("util_frac", (_utilisation,), on_sliced=False),
    Ask("encoder_util_frac", (_encoder,), on_sliced=False),
    Ask("decoder_util_frac", (_decoder,), on_sliced=False),
    Ask("memory_used_bytes", (_memory, _memory_of_old_drivers), on_slice=True, on_sliced=False),
    Ask("power_w", (_power,)),
    Ask("temp_c", (_temperature, _temperature_of_old_drivers)),
    Ask("sm_clock_mhz", (_sm_clock,)),
    Ask("memory_clock_mhz", (_memory_clock,)),
    Ask("clock_event_reasons", (_reasons, _reasons_of_old_drivers)),
    Ask("power_limit_w", (_power_limit,), SLOW_S),
    Ask("sm_clock_max_mhz", (_sm_clock_max,), SLOW_S),
    Ask("memory_clock_max_mhz", (_memory_clock_max,), SLOW_S),
    Ask("fan_frac", (_fan,), SLOW_S),
    Ask("pcie_link_generation", (_pcie_generation,), SLOW_S),
    Ask("pcie_link_width", (_pcie_width,), SLOW_S),
    Ask("pcie_replay_total", (_pcie_replays,), SLOW_S),
)
