"""Make hyperband.json: what the engine of W&B decides about random histories.

Run it with a Python that has the packages ``sweeps==0.3.0`` and what that imports (numpy, scipy,
scikit-learn, pydantic, jsonschema, jsonref, PyYAML)::

    python tests/assets/sweeps/make_hyperband.py > tests/assets/sweeps/hyperband.json

The tests compare our rule with these decisions, and need none of those packages.
"""

from __future__ import annotations

import json
import random
import sys
from typing import Any

CASES = 150


def make_case(lot: random.Random) -> dict[str, Any]:
    """Draw a rule and the histories of some runs."""
    rule: dict[str, Any] = {"type": "hyperband", "eta": lot.choice([2, 3, 4, 1.5, 2.5])}
    if lot.random() < 0.5:
        rule["min_iter"] = lot.randint(1, 5)
    else:
        rule["max_iter"] = lot.choice([9, 27, 50, 81])
        rule["s"] = lot.randint(1, 4)
    rule["strict"] = lot.random() < 0.5
    runs: list[dict[str, Any]] = []
    for _ in range(lot.randint(1, 12)):
        level = lot.uniform(0, 4)
        runs.append(
            {
                "is_running": not runs or lot.random() < 0.7,
                # Rounded, so that values tie.
                "history": [
                    round(level + lot.gauss(0, 1) - 0.02 * at, 1)
                    for at in range(lot.randint(0, 40))
                ],
            }
        )
    return {"rule": rule, "goal": lot.choice(["minimize", "maximize"]), "runs": runs}


def decide(case: dict[str, Any]) -> tuple[list[int], list[int]]:
    """Return the bands, and the numbers of the runs that the engine stops."""
    from sweeps import RunState, SweepRun
    from sweeps.hyperband_stopping import hyperband_stop_runs

    runs = [
        SweepRun(
            name=str(number),
            state=RunState.running if one["is_running"] else RunState.finished,
            history=[{"loss": value} for value in one["history"]],
        )
        for number, one in enumerate(case["runs"])
    ]
    config = {
        "method": "random",
        "metric": {"name": "loss", "goal": case["goal"]},
        "early_terminate": case["rule"],
        "parameters": {"a": {"values": [1, 2]}},
    }
    stopped = sorted(int(one.name) for one in hyperband_stop_runs(runs, config))
    return runs[0].early_terminate_info["bands"], stopped


def main() -> None:
    """Write the cases."""
    lot = random.Random(20)
    cases: list[dict[str, Any]] = []
    while len(cases) < CASES:
        case = make_case(lot)
        bands, case["stopped"] = decide(case)
        case["bands"] = [one for one in bands if one <= 100]
        cases.append(case)
    json.dump({"engine": "sweeps 0.3.0", "cases": cases}, sys.stdout, separators=(",", ":"))
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
