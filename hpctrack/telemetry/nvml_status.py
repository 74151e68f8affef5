"""What a return code of NVML means for what we do next. Pure: codes come as numbers.

References
----------
NVIDIA, NVML API reference, nvmlReturn_t.
"""

from __future__ import annotations

from typing import Final

from hpctrack.telemetry.asks import Patience, Verdict
from hpctrack.telemetry.gpu_source import DriverAbsentError, Level

VERDICTS: Final = {
    0: Verdict.NOTHING,  # pynvml raises success where it expected a size
    1: Verdict.GONE,  # uninitialised
    3: Verdict.UNSUPPORTED,
    4: Verdict.FORBIDDEN,
    6: Verdict.NOTHING,  # not found
    9: Verdict.GONE,  # driver not loaded
    10: Verdict.NOTHING,  # timeout
    13: Verdict.UNSUPPORTED,  # the library is older than the function
    15: Verdict.LOST,
    16: Verdict.LOST,  # reset required
    18: Verdict.GONE,  # library and kernel module are of different versions
    21: Verdict.NOTHING,  # no data
    25: Verdict.UNSUPPORTED,  # the structure is newer than the library
    26: Verdict.UNSUPPORTED,  # deprecated
    28: Verdict.LOST,  # GPU not found
}

_OPENING: Final[dict[int, tuple[str, str, Level]]] = {
    4: ("gpu-no-permission", "the NVIDIA driver may not be used", "warning"),
    9: ("gpu-no-driver", "no NVIDIA driver is loaded", "info"),
    12: ("gpu-no-library", "there is no NVIDIA library (libnvidia-ml.so.1)", "info"),
    18: (
        "gpu-driver-mismatch",
        "the NVIDIA library and the loaded driver differ in version (the node needs a restart)",
        "warning",
    ),
}


def make_patience() -> Patience:
    """Return what knows NVML's codes."""
    return Patience(VERDICTS, "NVIDIA")


def explain_opening(code: int, text: str) -> DriverAbsentError:
    """Turn an error of ``nvmlInit`` into ours.

    Parameters
    ----------
    code : int
    text : str
        NVML's own words, for codes that we know nothing of.
    """
    unknown: tuple[str, str, Level] = ("gpu-no-driver", f"the NVIDIA driver: {text}", "warning")
    name, ours, level = _OPENING.get(code, unknown)
    text = f"{ours}: no NVIDIA GPU is recorded on this node"
    return DriverAbsentError(name, text, level=level)
