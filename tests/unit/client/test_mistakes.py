"""What is told and counted when something is not recorded, with a real agent behind it."""

from __future__ import annotations

from pathlib import Path

import pytest

import hpctrack
from hpctrack.client.values import TOLD_MAX
from tests.modules import Module, Tensor
from tests.programs import only_run


def test_every_kind_of_warning_of_a_table_is_told_and_rows_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with hpctrack.init("p") as run:
        table = hpctrack.Table(columns=["a", "b"])
        table.add_data(1)
        table.add_data(hpctrack.Image("nosuch.png"), 1)
        table.add_data(1, 2)
        run.log({"t": table})
        growing = hpctrack.Table(columns=["a"], log_mode="INCREMENTAL")
        for number in range(5):
            growing.add_data(number)
            for _ in range(number):
                growing.add_data(number, number)
            run.log({"growing": growing})
    found = only_run(tmp_path / "store")
    told = capsys.readouterr().err
    for text in (told, *["\n".join(one["text"] for one in found.record.warnings)]):
        assert "a row of 1 cells does not fit 2 columns" in text
        assert "nosuch.png" in text
        assert text.count("a row of 2 cells does not fit 1 columns") == 1
    assert found.record.ledger["refused"] == {"table": 2 + 10}


def test_every_bad_name_is_told_up_to_a_bound(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with hpctrack.init("p") as run:
        for _ in range(2):
            run.log({"": 1, "x" * 600: 2})
        for number in range(TOLD_MAX + 10):
            run.log({"y" * (600 + number): 3})
    told = capsys.readouterr().err
    assert "metric '' is not recorded" in told
    assert "metric 'xxxx" in told
    assert told.count("is not recorded") == TOLD_MAX + 1
    assert "more of the kind are counted and not named" in told
    found = only_run(tmp_path / "store")
    assert found.record.ledger["refused"] == {"name": 4 + TOLD_MAX + 10}


def test_alerts_that_are_held_back_are_counted_at_the_end(tmp_path: Path) -> None:
    with hpctrack.init("p") as run:
        for number in range(4):
            run.alert("slow", f"the {number}th", level=None)
        run.alert("once", level="WARN")
    alerts = only_run(tmp_path / "store").record.alerts
    assert [(one["title"], one["text"], one.get("repeats")) for one in alerts] == [
        ("slow", "the 0th", None),
        ("once", "", None),
        ("slow", "the 3th", 2),
    ]
    assert {one["level"] for one in alerts} == {"info", "warning"}


def test_a_finished_run_watches_no_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Module(weight=Tensor([1.0], requires_grad=True))
    with hpctrack.init("p") as run:
        run.watch(model, log="all")
        model(1.0)
        model.backward(1.0)
        run.log({"a": 1})
    model(1.0)
    model.backward(1.0)
    assert "after finish" not in capsys.readouterr().err
    assert model.hooks == {}
    assert len(only_run(tmp_path / "store").media()) == 2


@pytest.mark.parametrize(
    ("size", "told"), [(3 * 1024**3, "more than a ring can have"), (-5, ""), (0, "")]
)
def test_a_buffer_that_cannot_be_so_large_says_why(
    size: int, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with hpctrack.init("p", settings={"buffer_bytes": size}) as run:
        run.log({"a": 1.0})
    printed = capsys.readouterr().err
    assert told in printed
    assert "ulimit" not in printed
    assert printed.count("warning") == bool(told)
    assert only_run(tmp_path / "store").metric("a").values.tolist() == [1.0]
