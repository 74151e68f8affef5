"""NVML's performance counters (GPM): how busy a GPU really is, on Hopper and newer.

``util_frac`` is 1 as soon as one kernel runs on one multiprocessor. These say how many
multiprocessors work, with what, and they are the only ones that a slice (MIG) has. A GPU instance's
counters are of all its compute instances together, so a slice that shares its instance has none.

The library comes as a parameter.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

MIB: Final = 1024.0 * 1024.0

INTERVAL_MIN_S: Final = 0.1
"""Samples that are closer to each other than this are not told apart by the hardware."""

PERCENT_MAX: Final = 100.5
"""Rounding gives a little more than 100; what is above this is wrong and not told."""


class Metric(NamedTuple):
    """A metric of GPM.

    Parameters
    ----------
    constant : str
        Its name in NVML, without ``NVML_GPM_METRIC_``.
    name : str
        Of `hpctrack.telemetry.gpu_source.VALUES`.
    scale : float
        To our unit; 0.01 for a percentage.
    on_slice : bool
        Whether it has a meaning for a slice: the links belong to the whole GPU.
    """

    constant: str
    name: str
    scale: float = 0.01
    on_slice: bool = True


METRICS: Final = (
    Metric("GRAPHICS_UTIL", "graphics_active_frac"),
    Metric("SM_UTIL", "sm_active_frac"),
    Metric("SM_OCCUPANCY", "sm_occupancy_frac"),
    Metric("ANY_TENSOR_UTIL", "tensor_active_frac"),
    Metric("DRAM_BW_UTIL", "dram_active_frac"),
    Metric("FP64_UTIL", "fp64_active_frac"),
    Metric("FP32_UTIL", "fp32_active_frac"),
    Metric("FP16_UTIL", "fp16_active_frac"),
    Metric("PCIE_TX_PER_SEC", "pcie_tx_bytes_per_s", MIB, on_slice=False),
    Metric("PCIE_RX_PER_SEC", "pcie_rx_bytes_per_s", MIB, on_slice=False),
    Metric("NVLINK_TOTAL_TX_PER_SEC", "nvlink_tx_bytes_per_s", MIB, on_slice=False),
    Metric("NVLINK_TOTAL_RX_PER_SEC", "nvlink_rx_bytes_per_s", MIB, on_slice=False),
)


def is_supported(api: Any, handle: Any) -> bool:
    """Say whether a GPU has these counters."""
    try:
        return bool(api.nvmlGpmQueryDeviceSupport(handle).isSupportedDevice)
    except (api.NVMLError, AttributeError):
        return False


class GpmReader:
    """Reads the counters of one GPU, or of one GPU instance, over the time between two calls.

    Parameters
    ----------
    api : module
        pynvml.
    handle : object
        The GPU's.
    instance : int or None
        Number of the GPU instance; None for a GPU that is not divided.
    """

    def __init__(self, api: Any, handle: Any, instance: int | None = None) -> None:
        self._api = api
        self._handle = handle
        self._instance = instance
        self._metrics = [one for one in METRICS if instance is None or one.on_slice]
        self._samples: list[Any] = []
        self._last_s: float | None = None
        # 19 KB, so it is made once.
        self._request = request = api.c_nvmlGpmMetricsGet_t()
        request.version = api.NVML_GPM_METRICS_GET_VERSION
        request.numMetrics = len(self._metrics)
        for place, metric in enumerate(self._metrics):
            number = getattr(api, f"NVML_GPM_METRIC_{metric.constant}")
            request.metrics[place].metricId = number

    def read(self, mono_s: float) -> dict[str, float]:
        """Take a sample and compare it with the last one.

        Returns
        -------
        dict
            Empty the first time, and where the last sample is too near.

        Raises
        ------
        Exception
            Of pynvml.
        """
        if self._last_s is not None and mono_s - self._last_s < INTERVAL_MIN_S:
            return {}
        if not self._samples:
            self._samples = [self._api.nvmlGpmSampleAlloc() for _ in range(2)]
        before, now = self._samples
        is_first, self._last_s = self._last_s is None, None
        if self._instance is None:
            self._api.nvmlGpmSampleGet(self._handle, now)
        else:
            self._api.nvmlGpmMigSampleGet(self._handle, self._instance, now)
        self._samples = [now, before]
        self._last_s = mono_s
        return {} if is_first else self._compare(before, now)

    def _compare(self, before: Any, now: Any) -> dict[str, float]:
        request = self._request
        request.sample1, request.sample2 = before, now
        self._api.nvmlGpmMetricsGet(request)
        found = {}
        for place, metric in enumerate(self._metrics):
            answer = request.metrics[place]
            value = _check(answer.value, metric.scale) if answer.nvmlReturn == 0 else None
            if value is not None:
                found[metric.name] = value
        return found

    def close(self) -> None:
        """Give the samples back; never raises."""
        for sample in self._samples:
            try:
                self._api.nvmlGpmSampleFree(sample)
            except self._api.NVMLError:
                return
        self._samples = []


def _check(value: float, scale: float) -> float | None:
    if not math.isfinite(value) or value < 0:
        return None
    if scale != 0.01:  # noqa: PLR2004 - not a percentage
        return value * scale
    return min(value * scale, 1.0) if value <= PERCENT_MAX else None
