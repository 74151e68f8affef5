"""How a measured program is told what to do, and how it answers."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def answer(main: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Call a program with what the command line tells it and write what it found."""
    told = json.loads(sys.argv[1])
    found = main(told)
    # Renamed into place: whoever waits for the file never reads half of it.
    scratch = Path(f"{told['out']}.part")
    scratch.write_text(json.dumps(found))
    scratch.rename(told["out"])
