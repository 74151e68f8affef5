"""Packages that are not there are named before anything is started."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hpctrack.errors import MissingPackageError
from hpctrack.sweeps.search.packages import demand_packages
from hpctrack.sweeps.submission.executor import submit_sweep
from hpctrack.sweeps.submission_record import read_submissions
from tests.unit.sweeps.results.made_sweeps import make_sweep


@pytest.mark.parametrize(
    ("method", "package"),
    [("", "optuna"), ("tpe", "scipy"), ("gp", "torch"), ("cmaes", "cmaes")],
)
def test_a_package_that_is_not_here_is_named_with_what_installs_it(
    method: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackageError, match=f"'{package}'") as caught:
        demand_packages(method)
    assert "pip install" in (caught.value.hint or "")


def test_workers_that_could_not_search_are_not_submitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    sweep = make_sweep(tmp_path, method="gp")
    with pytest.raises(MissingPackageError, match="'torch'"):
        submit_sweep(sweep.store, sweep, executor="local")
    assert list(read_submissions(sweep)) == []
