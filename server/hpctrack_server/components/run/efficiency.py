"""What a run used of what it was given, as rows with a bar each. Pure.

Accounting may have come from another machine: nothing in it is taken for what it should be.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hpctrack_server.components.text import (
    format_bytes,
    format_count,
    format_duration,
    format_number,
)

KWH_J = 3.6e6
LOW_FRAC = 0.3
TIGHT_FRAC = 0.9


@dataclass(frozen=True, slots=True)
class Meter:
    """One row.

    Parameters
    ----------
    label, text, source : str
        ``source`` says who measured it.
    frac : float or None
        The bar, 0 to 1; None is none.
    level : {"ok", "low", "tight", ""}
        What the bar's colour says.
    """

    label: str
    text: str
    source: str = ""
    frac: float | None = None
    level: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able form."""
        return {name: getattr(self, name) for name in self.__slots__}


def make_job_meters(entry: Mapping[str, Any], *, attempts: int = 1) -> tuple[Meter, ...]:
    """Return the rows of one attempt's accounting, as the scheduler counted it.

    Parameters
    ----------
    entry : mapping
    attempts : int, optional
        How many the run has had: of several it is said which this is, for what was sampled on the
        nodes is of all of them.
    """
    found = entry.get("efficiency")
    used: Mapping[str, Any] = found if isinstance(found, dict) else {}
    rows = [
        _time(used),
        _share("CPU", used, "cpu_frac", _of(used, "cpus", "CPU")),
        _gpu(used),
        _memory(used),
        _plain("Queue wait", used, "wait_s", format_duration),
        _plain("Energy of the nodes", used, "energy_j", _energy),
    ]
    attempt = _number(entry, "attempt")
    which = f", attempt {attempt:.0f}" if attempts > 1 and attempt else ""
    return tuple(replace(one, source=one.source + which) for one in rows if one is not None)


def _of(used: Mapping[str, Any], key: str, noun: str) -> str:
    """Return of how many; nothing if nobody has counted them."""
    count = _number(used, key)
    return f" of {format_count(int(count), noun)}" if count else ""


def _time(used: Mapping[str, Any]) -> Meter | None:
    elapsed, limit = _number(used, "elapsed_s"), _number(used, "limit_s")
    if elapsed is None:
        return None
    text = format_duration(elapsed)
    if used.get("limit_s") == "UNLIMITED":
        text += ", no limit"
    if not limit:
        return Meter("Time", text, "scheduler")
    text += f" of {format_duration(limit)}"
    return Meter("Time", text, "scheduler", _bounded(elapsed / limit), _level(elapsed / limit))


def _share(label: str, used: Mapping[str, Any], key: str, of: str) -> Meter | None:
    frac = _number(used, key)
    if frac is None:
        return None
    return Meter(label, f"{_percent(frac)}{of}", "scheduler", _bounded(frac), _low(frac))


def _gpu(used: Mapping[str, Any]) -> Meter | None:
    frac = _number(used, "gpu_frac")
    if frac is None or _number(used, "gpus") == 0:
        return None
    text = f"{_percent(frac)}{_of(used, 'gpus', 'GPU')}"
    unused = _number(used, "gpus_unused")
    text += f", {int(unused):,} never used" if unused else ""
    source = "scheduler" if used.get("gpu_source") == "sacct" else "own samples"
    return Meter("GPU", text, source, _bounded(frac), _low(frac))


def _memory(used: Mapping[str, Any]) -> Meter | None:
    had, asked = _number(used, "memory_bytes"), _number(used, "memory_asked_bytes")
    if had is None:
        return None
    if not asked:
        return Meter("Memory", format_bytes(had), "scheduler")
    frac = had / asked
    text = f"{format_bytes(had)} of {format_bytes(asked)} ({_percent(frac)})"
    return Meter("Memory", text, "scheduler", _bounded(frac), _level(frac))


def _plain(label: str, used: Mapping[str, Any], key: str, show: Any) -> Meter | None:
    value = _number(used, key)
    return None if value is None else Meter(label, show(value), "scheduler")


def make_usage_meters(usage: Mapping[str, Any]) -> tuple[Meter, ...]:
    """Return the rows of what was sampled on the nodes.

    Parameters
    ----------
    usage : mapping
        As `Usage.to_json` returns it, with ``energy`` perhaps.
    """
    rows = [
        *_sampled_gpus(usage),
        *_sampled_cores(usage),
        *_sampled_memory(usage),
        *_sampled_power(usage),
        *_energy_rows(usage.get("energy")),
    ]
    return tuple(rows)


def _sampled_gpus(usage: Mapping[str, Any]) -> Iterable[Meter]:
    count = _of(usage, "gpus", "GPU").removeprefix(" of ")
    mean, most = _number(usage, "gpu_util_mean_frac"), _number(usage, "gpu_util_max_frac")
    if mean is not None:
        text = f"{_percent(mean)} busy on average" + (f" ({count})" if count else "")
        text += f", {_percent(most)} at the most" if most is not None else ""
        yield Meter("GPU busy", text, "gpu/util_frac", _bounded(mean), _low(mean))
    peak, frac = _number(usage, "gpu_memory_max_bytes"), _number(usage, "gpu_memory_max_frac")
    if peak is not None:
        total = _number(usage, "gpu_memory_total_bytes")
        text = f"{format_bytes(peak)} at the most"
        text += f" of {format_bytes(total)}" if total else ""
        yield Meter("GPU memory", text, "gpu/memory_used_bytes", _bounded(frac), _level(frac))


def _sampled_cores(usage: Mapping[str, Any]) -> Iterable[Meter]:
    # Apart: on a node that is shared others keep the same cores busy, and both are true.
    cores, frac = _number(usage, "cores_used_mean"), _number(usage, "cpu_util_mean_frac")
    if cores is not None:
        shown = format_number(round(cores, 2))
        noun = "core" if shown == "1" else "cores"
        text = f"{shown} {noun} kept busy by the run on average"
        yield Meter("CPU used", text, str(usage.get("cores_source", "")))
    if frac is not None:
        # Without a cpuset these are all cores of the node: neither praise nor blame of the run.
        text = f"{_percent(frac)} busy on average, whoever's work it is"
        yield Meter("Cores it may use", text, "host/cpu_util_frac", _bounded(frac))


def _sampled_memory(usage: Mapping[str, Any]) -> Iterable[Meter]:
    peak, frac = _number(usage, "memory_peak_bytes"), _number(usage, "memory_peak_frac")
    if peak is None:
        return
    limit = _number(usage, "memory_limit_bytes")
    text = f"{format_bytes(peak)} at the most on a node"
    text += f", {_percent(frac)} of its limit of {format_bytes(limit)}" if limit and frac else ""
    yield Meter("Memory", text, str(usage.get("memory_source", "")), _bounded(frac), _level(frac))


def _sampled_power(usage: Mapping[str, Any]) -> Iterable[Meter]:
    for key, label, source in (
        ("gpu_power_mean_w", "GPU power", "gpu/power_w"),
        ("node_power_mean_w", "Node power", "power/node_w"),
    ):
        watts = _number(usage, key)
        if watts is not None:
            yield Meter(label, f"{watts:,.0f} W on average, added up", source)


def _energy_rows(energy: Any) -> Iterable[Meter]:
    if not isinstance(energy, dict):
        return
    joules, idle = _number(energy, "joules"), _number(energy, "idle_frac")
    if joules is not None:
        text = _energy(joules)
        per_step = _number(energy, "j_per_step")
        text += f", {format_number(round(per_step, 3))} J a step" if per_step is not None else ""
        yield Meter("Energy", text, "own samples")
    if idle is not None:
        yield Meter("Idle GPUs", f"{_percent(idle)} of the GPUs' energy", "", _bounded(idle))
    grams = _number(energy, "co2_g")
    if grams is not None:
        mass = f"{grams / 1000:.3g} kg" if grams >= 1000 else f"{grams:.3g} g"  # noqa: PLR2004
        rate = _number(energy, "intensity_g_per_kwh") or 0.0
        source = str(energy.get("intensity_source", ""))
        yield Meter("CO2", f"{mass} by {rate:g} g/kWh", source)
    missing = energy.get("missing")
    if isinstance(missing, (list, tuple)) and missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        yield Meter("Not in it", f"{missing[0]}{more}")


def pick_advice(entries: Sequence[Mapping[str, Any]]) -> str:
    """Return what the latest attempt that has ended says of the next one; mostly nothing.

    What an earlier one says has been overtaken: it was killed for memory, this one had enough.
    """
    ended: Mapping[str, Any] = next(
        (one for one in reversed(entries) if one.get("is_final", True)), {}
    )
    return str(ended.get("advice") or "")


def _energy(joules: float) -> str:
    if joules < 1000:  # noqa: PLR2004 - a kilojoule
        return f"{joules:,.0f} J"
    if joules < KWH_J / 10:
        return f"{joules / 1000:,.1f} kJ"
    return f"{joules / KWH_J:,.2f} kWh"


def _percent(frac: float) -> str:
    return f"{100 * frac:.0f} %"


def _number(values: Mapping[str, Any], key: str) -> float | None:
    value = values.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) and value >= 0 else None


def _bounded(frac: float | None) -> float | None:
    return None if frac is None else min(max(frac, 0.0), 1.0)


def _low(frac: float | None) -> str:
    return "" if frac is None else "low" if frac < LOW_FRAC else "ok"


def _level(frac: float | None) -> str:
    return "" if frac is None else "tight" if frac > TIGHT_FRAC else "ok"
