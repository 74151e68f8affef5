"""Write a part of a store that is to be sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scripts.benchmarks.programs.entry import answer
from scripts.benchmarks.sync_stores import KINDS


def main(told: dict[str, Any]) -> dict[str, Any]:
    """Write it."""
    KINDS[told["kind"]](
        Path(told["store"]), part=told["part"], parts=told["parts"], **told["sizes"]
    )
    return {}


if __name__ == "__main__":
    answer(main)
