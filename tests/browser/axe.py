"""What axe-core finds on a page."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
AXE = ROOT / "tests" / "web" / "node_modules" / "axe-core" / "axe.min.js"
SERIOUS = frozenset({"serious", "critical"})


@cache
def load_axe() -> str:
    """Return the script, which is fetched once."""
    subprocess.run([str(ROOT / "scripts" / "web"), "--install"], check=True, timeout=300)
    return AXE.read_text()


def list_barriers(page: Any) -> list[str]:
    """Return the serious findings, each with the first element that it is about."""
    page.evaluate(load_axe())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {one['nodes'][0]['target']} {one['nodes'][0]['failureSummary']}"
        for one in found["violations"]
        if one["impact"] in SERIOUS
    ]
