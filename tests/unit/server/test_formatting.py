"""Numbers read the same in tables, which the server writes, and in charts, which a script does."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hpctrack.core.byte_sizes import show_bytes
from hpctrack_server.components.text import format_bytes, format_count, format_number

ROOT = Path(__file__).parents[3]
TABLE: dict[str, list[Any]] = json.loads((ROOT / "tests/web/numbers.json").read_text())
STATIC = ROOT / "server/hpctrack_server/static"

SCRIPT = """
globalThis.document = { documentElement: { dataset: {} } };
const { formatCount, formatNumber } = await import("./base/format.js");
const { formatReading } = await import("./ranks/units.js");
const { numberOfRun } = await import("./base/tokens.js");
const table = JSON.parse(process.argv[1]);
console.log(JSON.stringify({
  numbers: table.numbers.map(([value]) => formatNumber(Number(value))),
  counts: table.counts.map(([value]) => formatCount(value, "run")),
  readings: table.readings.map(([value]) => formatReading(...value)),
  runs: ["4711.0", "a", "", "\\ud83d"].map(numberOfRun),
}));
"""


def test_the_server_formats_numbers_as_the_table_says() -> None:
    for value, shown in TABLE["numbers"]:
        assert format_number(float(value)) == shown, value
    for count, shown in TABLE["counts"]:
        assert format_count(count, "run") == shown


def test_scripts_format_numbers_as_the_table_says(program: Callable[[str], str]) -> None:
    said = subprocess.run(
        [program("node"), "--input-type=module", "-e", SCRIPT, json.dumps(TABLE)],
        cwd=STATIC,
        capture_output=True,
        check=True,
        text=True,
    )
    found = json.loads(said.stdout)
    for name in ("numbers", "counts", "readings"):
        assert found[name] == [shown for _value, shown in TABLE[name]]
    assert all(0 <= one < 10 for one in found["runs"])


def test_sizes_have_the_units_of_their_powers_on_pages_and_in_the_terminal() -> None:
    sizes = [0, 1023, 1023.5, 1024, 1536, 102400, 2**20, 10 * 2**30, 64 * 2**30, 2**50, 2**60]
    assert [show_bytes(one) for one in sizes] == [
        "0 B", "1023 B", "1 KiB", "1 KiB", "1.5 KiB", "100 KiB", "1 MiB", "10 GiB", "64 GiB",
        "1.0 PiB", "1,024.0 PiB",
    ]  # fmt: skip
    assert format_bytes is show_bytes
