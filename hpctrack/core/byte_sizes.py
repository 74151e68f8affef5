"""Amounts of memory and disk as people read them. Pure."""

from __future__ import annotations

UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def show_bytes(size_bytes: float) -> str:
    """Return an amount of memory or disk, in powers of 1,024 as schedulers and ``df -h`` count.

    Everywhere the same, and the unit says which powers they are: a job that asked Slurm for
    ``--mem=64G`` has 64 GiB, which are 69 GB.

    Examples
    --------
    >>> show_bytes(1023), show_bytes(1536), show_bytes(64 * 2**30), show_bytes(1e15)
    ('1023 B', '1.5 KiB', '64 GiB', '909 TiB')
    """
    size = float(size_bytes)
    for unit in UNITS[:-1]:
        if size < 1023.5:  # noqa: PLR2004 - what would be shown as 1,024
            is_whole = unit == "B" or size >= 99.95  # noqa: PLR2004
            return f"{size:.0f} {unit}" if is_whole else f"{_shorten(size)} {unit}"
        size /= 1024
    return f"{size:,.1f} {UNITS[-1]}"


def _shorten(size: float) -> str:
    return f"{size:.1f}".removesuffix(".0")
