"""Several processes that ask one study at the same time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hpctrack.sweeps.search.search import Search
from tests.sweeps.test_search import make, run_some

WORKER = """
import json, sys
from pathlib import Path
from hpctrack.sweeps.search.point import PointState
from hpctrack.sweeps.search.search import Search
from hpctrack.sweeps.sweep import load_sweep
store, sweep_id, first, count, workers = sys.argv[1:]
sys.stdin.readline()
with Search.open(load_sweep(Path(store), sweep_id)) as search:
    for configuration in range(int(first), int(count), int(workers)):
        point = search.ask(configuration)
        search.report(point.number, 1, 1.0 + configuration)
        search.tell(point.number, PointState.FINISHED, [float(configuration)])
        print(json.dumps([configuration, point.number, point.parameters]), flush=True)
"""


@pytest.mark.parametrize("method", ["tpe", "random"])
def test_processes_that_ask_at_once_get_different_points(tmp_path: Path, method: str) -> None:
    old = make(tmp_path)
    with Search.open(old) as search:
        run_some(search, 4)
    sweep = make(tmp_path, method=method, warm_start=[old.id])
    workers, count = 4, 40
    commands = [
        [sys.executable, "-c", WORKER, str(sweep.store), sweep.id, str(at), str(count), "4"]
        for at in range(workers)
    ]
    processes = [
        subprocess.Popen(one, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for one in commands
    ]
    said = []
    try:
        for one in processes:
            assert one.stdin is not None
            one.stdin.write("go\n")
            one.stdin.flush()
        said = [one.communicate(timeout=180)[0] for one in processes]
    finally:
        for one in processes:
            one.kill()
            one.wait()
    answers = [json.loads(line) for text in said for line in text.splitlines()]
    assert sorted(one[0] for one in answers) == list(range(count))
    assert len({one[1] for one in answers}) == count
    assert len({one[2]["lr"] for one in answers}) == count
    with Search.open(sweep) as search:
        records = {one.configuration: one for one in search.records()}
        assert len(search._study.trials()) == count + 4  # the old ones once
    for configuration, number, parameters in answers:
        record = records[configuration]
        assert (record.number, record.parameters) == (number, parameters)
        assert record.values == (float(configuration),)
