"""One line for the next submission: what was not needed, and what to ask for instead. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from hpctrack.core.byte_sizes import show_bytes
from hpctrack.scheduler.durations import show_slurm_time
from hpctrack.scheduler.efficiency import TELEMETRY, Efficiency
from hpctrack.scheduler.sizes import GIB, MIB, show_slurm_size

SHORT_S = 60.0
"""Slurm looks at memory every 30 s by default: of a short job it may have seen next to nothing."""

HEADROOM = 1.25
"""On top of what was used: the next run is a little different, and peaks fall between two looks."""

MORE = 1.5
"""For a job that was killed for memory: how much it needs, nobody has seen."""

WASTE_FRAC = 0.5
"""Below this share of what was asked for it is worth a word."""

TIGHT_FRAC = 0.9

MIN_MEMORY_BYTES = 256 * MIB
WORTH_BYTES = GIB
"""Less is not worth a change of the script; nor is less time than `WORTH_S`."""

WORTH_S = 15 * 60.0

GPU_IDLE_FRAC = 0.3

GPU_MEASURED_FRAC = 0.8
"""Of the time of all GPUs this much must have been sampled: of the rest nobody knows."""

_TIME_STEPS_S = (
    (600.0, 60.0), (1800.0, 300.0), (3 * 3600.0, 900.0), (12 * 3600.0, 1800.0),
    (48 * 3600.0, 3600.0), (math.inf, 6 * 3600.0),
)  # fmt: skip
"""Up to the first, a time is rounded up to a multiple of the second."""

_MEMORY_STEPS_BYTES = (
    (GIB, 128 * MIB),
    (16 * GIB, GIB),
    (128 * GIB, 4 * GIB),
    (math.inf, 16 * GIB),
)


@dataclass(frozen=True, slots=True)
class Advice:
    """What to change, and why.

    Parameters
    ----------
    text : str
        One line: "asked for 64 GiB, used 3.1 GiB; 12 h, used 41 min". Empty if all is well.
    options : tuple of str
        For the next ``sbatch``: ``--mem=4G``, ``--time=1:00:00``.
    """

    text: str = ""
    options: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the line with its options."""
        return f"{self.text}; next time {' '.join(self.options)}" if self.options else self.text


def advise(used: Efficiency) -> Advice:
    """Return what the numbers suggest.

    Only a job that ran to its end tells what it needs; one that failed, was cancelled or is
    running tells nothing, one that was killed for time or memory that it needs more.
    """
    if used.state == "OUT_OF_MEMORY":
        return _advise_more_memory(used)
    if used.state == "TIMEOUT":
        return _advise_more_time(used)
    if used.state != "COMPLETED":
        return Advice()
    found = [
        *_look_at_memory(used),
        *_look_at_time(used),
        *_look_at_processors(used),
        *_look_at_gpus(used),
    ]
    texts = [one.text for one in found]
    if texts:
        texts[0] = f"asked for {texts[0]}"
    return Advice("; ".join(texts), tuple(word for one in found for word in one.options))


def _advise_more_memory(used: Efficiency) -> Advice:
    if used.memory_asked_bytes is None:
        return Advice("was killed for memory")
    asked = show_bytes(used.memory_asked_bytes)
    share_bytes = used.memory_asked_bytes / _shares(used)
    return Advice(
        f"was killed for memory: {asked} were not enough",
        (_memory_option(used, share_bytes * MORE),),
    )


def _advise_more_time(used: Efficiency) -> Advice:
    limit = (
        show_span(used.limit_s) if used.limit_s and not math.isinf(used.limit_s) else "its limit"
    )
    return Advice(f"ran out of time after {limit}: ask for more, or checkpoint and requeue")


def _look_at_memory(used: Efficiency) -> Iterator[Advice]:
    asked_bytes, used_bytes = used.memory_asked_bytes, used.memory_bytes
    if not asked_bytes or not used_bytes or (used.elapsed_s or 0) < SHORT_S:
        return
    text = f"{show_bytes(asked_bytes)}, used {show_bytes(used_bytes)}"
    share_bytes = _used_share(used)
    if used_bytes > TIGHT_FRAC * asked_bytes:
        yield Advice(f"{text}, which is tight")
    elif used_bytes < WASTE_FRAC * asked_bytes and asked_bytes - used_bytes >= WORTH_BYTES:
        wanted_bytes = _round_memory(share_bytes * HEADROOM)
        if wanted_bytes * _shares(used) < asked_bytes:
            yield Advice(text, (_memory_option(used, wanted_bytes),))


def _used_share(used: Efficiency) -> float:
    """Return what was used of what one unit of the request covers: a node, or a processor."""
    if used.memory_per == "cpu":
        return (used.memory_bytes or 0.0) / max(used.cpus, 1)
    return used.node_memory_bytes or used.memory_bytes or 0.0


def _shares(used: Efficiency) -> int:
    return max(used.cpus if used.memory_per == "cpu" else used.nodes, 1)


def _memory_option(used: Efficiency, share_bytes: float) -> str:
    name = "--mem-per-cpu" if used.memory_per == "cpu" else "--mem"
    return f"{name}={show_slurm_size(_round_memory(share_bytes))}"


def _look_at_time(used: Efficiency) -> Iterator[Advice]:
    limit_s, elapsed_s = used.limit_s, used.elapsed_s
    if limit_s is None or elapsed_s is None or math.isinf(limit_s):
        return
    wanted_s = _round_up(max(elapsed_s * HEADROOM, 300.0), _TIME_STEPS_S)
    if elapsed_s < WASTE_FRAC * limit_s and limit_s - wanted_s >= WORTH_S:
        text = f"{show_span(limit_s)}, used {show_span(elapsed_s)}"
        yield Advice(text, (f"--time={show_slurm_time(wanted_s)}",))


def _look_at_processors(used: Efficiency) -> Iterator[Advice]:
    if (used.elapsed_s or 0) < SHORT_S:
        return
    if used.cpus > 1 and used.cpu_frac is not None and used.cpu_frac < WASTE_FRAC:
        busy = used.cpu_frac * used.cpus
        yield Advice(f"{used.cpus} CPUs, kept {busy:.2g} busy")


def _look_at_gpus(used: Efficiency) -> Iterator[Advice]:
    """Look at what we have sampled ourselves: what Slurm saw when it looked last is no mean."""
    if used.gpu_source != TELEMETRY or used.gpu_frac is None or (used.elapsed_s or 0) < SHORT_S:
        return
    if (used.gpu_measured_frac or 0.0) < GPU_MEASURED_FRAC or used.gpus_measured != used.gpus:
        return
    if used.gpu_frac >= GPU_IDLE_FRAC and not used.gpus_unused:
        return
    if used.gpus == 1:
        yield Advice(f"1 GPU, kept it busy {100 * used.gpu_frac:.0f} % of the time")
        return
    text = f"{used.gpus} GPUs, kept {used.gpu_frac * used.gpus:.2g} of them busy on average"
    if used.gpus_unused:
        text += f", {used.gpus_unused} of them never"
    yield Advice(text)


def _round_memory(size_bytes: float) -> float:
    return _round_up(max(size_bytes, MIN_MEMORY_BYTES), _MEMORY_STEPS_BYTES)


def _round_up(value: float, steps: tuple[tuple[float, float], ...]) -> float:
    step = next(one for most, one in steps if value <= most)
    return math.ceil(value / step) * step


def show_span(seconds: float) -> str:
    """Return a time for people: ``12 h``, ``41 min``, ``2 d 3 h``, ``35 s``."""
    if seconds < 60:  # noqa: PLR2004
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    days, minutes = divmod(minutes, 24 * 60)
    hours, minutes = divmod(minutes, 60)
    words = [f"{days} d"] * (days > 0) + [f"{hours} h"] * (hours > 0)
    if minutes and not days:
        words.append(f"{minutes} min")
    return " ".join(words)
