"""Stores that earlier versions have written stay readable: what was logged is what is read."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpctrack import Store
from hpctrack.store.schema import FORMAT_VERSION
from hpctrack.store.seal import seal_run
from hpctrack.store.verify import verify_run

ASSETS = Path(__file__).parents[2] / "assets" / "format"
VERSIONS = sorted(one.name for one in ASSETS.iterdir() if one.name.isdecimal())
STATES = {"closed": "failed", "sealed": "failed", "killed": "crashed"}
LONG = 70_000


@pytest.fixture(params=VERSIONS)
def frozen(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of the store of one version."""
    with tarfile.open(ASSETS / request.param / "store.tar.gz") as archive:
        # The filter came with Python 3.11.4; the archive is ours.
        safe: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(tmp_path / "store", **safe)  # noqa: S202 - see above
    return tmp_path / "store"


@pytest.fixture
def expected(request: pytest.FixtureRequest) -> dict[str, Any]:
    version = request.node.callspec.params["frozen"]
    found: dict[str, Any] = json.loads((ASSETS / version / "expected.json").read_text())
    return found


def check(store: Path, name: str, expected: dict[str, Any]) -> None:
    run = Store(store).run(name)
    assert (run.name, run.config, list(run.tags)) == (
        expected["name"],
        expected["config"],
        expected["tags"],
    )
    assert run.record.notes == expected["notes"]
    assert run.summary["best"] == expected["best"]
    points = expected["metrics"]["val/acc"]["0"]
    assert run.summary["val/acc"] == max(value for _step, value in points)
    assert run.state == STATES[name]
    ranks = sorted(map(int, expected["metrics"]["loss"]))
    assert [one.rank for one in run.ranks()] == ranks
    assert {one.host for one in run.ranks()} == {"n1"}
    if name != "killed":
        assert [one.exit_code for one in run.ranks()] == ranks
    assert run.metrics() == sorted(expected["metrics"])
    for metric, by_rank in expected["metrics"].items():
        for rank, points in by_rank.items():
            found = run.metric(metric).rank(int(rank))
            assert found.step.tolist() == [step for step, _value in points]
            values = [float(value) for _step, value in points]
            assert np.array_equal(found.value, values, equal_nan=True)
    for rank, line in expected["console"].items():
        assert run.console(int(rank)).text().splitlines().count(line) == 1
    _check_media(run.media(), expected)
    run.close()


def _check_media(items: list[Any], expected: dict[str, Any]) -> None:
    from PIL import Image

    found = {one.key: one for one in items}
    assert {key: (one.step, one.rank) for key, one in found.items()} == {
        "picture": (7, 0), "table": (8, 0), "text": (9, 0)
    }  # fmt: skip
    assert found["picture"].caption == "four"
    pixels = np.asarray(Image.open(io.BytesIO(found["picture"].read())))
    assert pixels.tolist() == expected["pixels"]
    assert found["text"].read().decode() == expected["text"]
    table = json.loads(found["table"].read())
    assert {key: table[key] for key in expected["table"]} == expected["table"]


@pytest.mark.parametrize("name", ["closed", "sealed", "killed"])
def test_what_was_logged_is_read(frozen: Path, expected: dict[str, Any], name: str) -> None:
    assert verify_run(frozen / "p" / name).is_intact
    check(frozen, name, expected[name])


@pytest.mark.parametrize("name", ["closed", "killed"])
def test_it_can_be_sealed(frozen: Path, expected: dict[str, Any], name: str) -> None:
    seal_run(frozen / "p" / name, force=True)
    assert Store(frozen).run(name).is_sealed
    check(frozen, name, expected[name])


def test_a_later_attempt_supersedes_what_it_computed_again(frozen: Path) -> None:
    metric = Store(frozen).run("again").metric("loss")
    assert metric.rank(0).step.tolist() == list(range(16))
    assert metric.rank(0).value.tolist() == [*range(100, 106), *range(206, 216)]
    assert metric.attempt(1).rank(0).value.tolist() == list(range(100, 110))
    assert metric.recomputed_points == 4


def test_a_window_of_a_long_series_has_exact_extremes(frozen: Path) -> None:
    run = Store(frozen).run("long")
    steps = np.arange(LONG)
    first, second = steps % 97 / 8, -(steps % 89) / 4
    first[12_345], second[60_001] = 1000.0, np.nan
    assert np.array_equal(run.metric("long").matrix().values, [first, second], equal_nan=True)
    for rank, values in enumerate((first, second)):
        found = run.envelope("long", rank, window=(5_000, 65_000), width=100)
        assert 2 * len(found) <= 4 * 100
        assert found.points.sum() == 60_000 - np.isnan(values[5_000:65_000]).sum()
        assert found.high.max() == np.nanmax(values[5_000:65_000])
        assert found.low.min() == np.nanmin(values[5_000:65_000])


def test_the_present_version_is_frozen() -> None:
    assert str(FORMAT_VERSION) in VERSIONS, "run tests/assets/format/make.py"
