"""What a run has used, as lines for people."""

from __future__ import annotations

from hpctrack.core.byte_sizes import show_bytes
from hpctrack.errors import NotFoundError
from hpctrack.store.carbon import find_intensity
from hpctrack.store.energy import Energy
from hpctrack.store.stored_run import StoredRun
from hpctrack.store.usage import Usage, measure_usage

GRAMS_PER_KG = 1000.0


def read_usage(run: StoredRun, carbon: str) -> tuple[Usage, Energy | None]:
    """Return what was measured of a run.

    Parameters
    ----------
    run : StoredRun
    carbon : str
        Country code, or grams of CO2 equivalent per kWh.

    Raises
    ------
    UsageError
        No such country is known.
    """
    find_intensity(carbon)
    if not run.sensors():
        return Usage(), None
    usage = measure_usage(run.sensor)
    try:
        return usage, run.energy(intensity=carbon)
    except NotFoundError:
        return usage, None


def describe_usage(usage: Usage, energy: Energy | None) -> dict[str, str]:
    """Return a line for each thing that was measured, by its title."""
    lines = {
        "GPU": _describe_gpu(usage),
        "GPU memory": _describe_gpu_memory(usage),
        "CPU": _describe_cpu(usage),
        "memory": _describe_memory(usage),
    }
    if energy is not None:
        lines |= _describe_energy(energy)
    return {title: text for title, text in lines.items() if text}


def _describe_gpu(usage: Usage) -> str:
    words = []
    if usage.gpu_util_mean_frac is not None and usage.gpu_util_max_frac is not None:
        words.append(
            f"{usage.gpu_util_mean_frac:.0%} busy, {usage.gpu_util_max_frac:.0%} at the most"
        )
    if usage.gpu_power_mean_w is not None:
        words.append(f"{usage.gpu_power_mean_w:,.0f} W together")
    if not words:
        return ""
    return f"{', '.join(words)} ({usage.gpus} GPU{'s' * (usage.gpus != 1)})"


def _describe_gpu_memory(usage: Usage) -> str:
    if usage.gpu_memory_mean_bytes is None or usage.gpu_memory_max_bytes is None:
        return ""
    text = (
        f"{show_bytes(usage.gpu_memory_mean_bytes)} a GPU, "
        f"{show_bytes(usage.gpu_memory_max_bytes)} at the most"
    )
    if usage.gpu_memory_max_frac is not None and usage.gpu_memory_total_bytes is not None:
        total = show_bytes(usage.gpu_memory_total_bytes)
        text += f" ({usage.gpu_memory_max_frac:.0%} of {total})"
    return text


def _describe_cpu(usage: Usage) -> str:
    words = []
    if usage.cores_used_mean is not None:
        words.append(f"{usage.cores_used_mean:.2g} cores used")
    if usage.cpu_util_mean_frac is not None:
        words.append(f"those it may use {usage.cpu_util_mean_frac:.0%} busy by whomever")
    return ", ".join(words)


def _describe_memory(usage: Usage) -> str:
    if usage.memory_peak_bytes is None:
        return ""
    text = f"{show_bytes(usage.memory_peak_bytes)} at the most"
    if usage.memory_limit_bytes is not None and usage.memory_peak_frac is not None:
        limit = show_bytes(usage.memory_limit_bytes)
        return f"{text}, {usage.memory_peak_frac:.0%} of the limit of {limit} on that node"
    return f"{text} on a node"


def _describe_energy(energy: Energy) -> dict[str, str]:
    text = f"{energy.kwh:.3g} kWh ({energy.joules:,.0f} J)"
    if energy.idle_frac is not None:
        text += f", {energy.idle_frac:.0%} of the GPUs' while they were idle"
    grams = energy.co2_g
    co2 = f"{grams / GRAMS_PER_KG:.3g} kg" if grams >= GRAMS_PER_KG else f"{grams:.3g} g"
    source = energy.intensity
    lines = {
        "energy": text,
        "CO2": f"{co2} by {source.g_per_kwh:g} g/kWh ({source.place}: {source.source})",
    }
    if energy.missing:
        more = f" and {len(energy.missing) - 1} more" if len(energy.missing) > 1 else ""
        lines["not in it"] = energy.missing[0] + more
    return lines
