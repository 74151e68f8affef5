"""Names of what drivers say in numbers: why a clock is held down, and what an error means. Pure.

References
----------
NVIDIA, NVML API reference: nvmlClocksEventReasons. NVIDIA, GPU deployment and management: Xid
errors.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from hpctrack.telemetry.gpu_source import Level


class Reason(NamedTuple):
    """Why a GPU does not run at a higher clock.

    Parameters
    ----------
    bit : int
    name : str
    is_harmful : bool
        Something is wrong, and the program runs slower than this GPU could. A power limit is not:
        a busy GPU is always at it.
    """

    bit: int
    name: str
    is_harmful: bool = False


REASONS: Final = (
    Reason(0x1, "idle"),
    Reason(0x2, "clocks set by the user"),
    Reason(0x4, "power limit"),
    Reason(0x8, "hardware slowdown", is_harmful=True),
    Reason(0x10, "sync boost"),
    Reason(0x20, "too hot (software)", is_harmful=True),
    Reason(0x40, "too hot (hardware)", is_harmful=True),
    Reason(0x80, "external power brake", is_harmful=True),
    Reason(0x100, "display clocks"),
    Reason(0x200, "board limit"),
    Reason(0x400, "reliability limit"),
)

HARMFUL_BITS: Final = sum(reason.bit for reason in REASONS if reason.is_harmful)


def name_reasons(bits: int) -> list[str]:
    """Return the names of all reasons in a bit mask; one that we do not know by its number."""
    names = [reason.name for reason in REASONS if bits & reason.bit]
    unknown = bits & ~sum(reason.bit for reason in REASONS)
    return names + ([f"reason {unknown:#x}"] if unknown else [])


_PROGRAM: Final = {
    13: "the program did something that the GPU cannot (often an index out of range)",
    31: "the program used memory that is not its own",
    43: "the program's context was stopped",
    45: "the program's work was removed, as it ended or after another error",
    68: "the video decoder failed on the program's data",
}
"""Errors that are the program's as a rule."""

_HARDWARE: Final = {
    48: "uncorrected memory error",
    61: "the GPU's own processor failed",
    62: "the GPU's own processor halted",
    63: "a memory page or row is to be replaced",
    64: "a bad memory page or row could not be noted",
    74: "NVLink error",
    79: "the GPU has fallen off the bus",
    92: "many corrected memory errors",
    94: "uncorrected memory error, contained: it ends the program that met it",
    95: "uncorrected memory error, not contained: the GPU needs a reset",
    119: "the GPU's system processor does not answer",
    120: "the GPU's system processor failed",
    140: "uncorrected memory error, not recovered",
}


def explain_xid(number: int) -> tuple[Level, str]:
    """Return how bad an Xid error is, and what it means."""
    if number in _PROGRAM:
        return "warning", _PROGRAM[number]
    return "error", _HARDWARE.get(number, "see NVIDIA's list of Xid errors")
