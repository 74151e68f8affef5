from __future__ import annotations

import datetime as dt
import enum

import pytest

from hpctrack.client.alerts import Alerts
from hpctrack.errors import UsageError
from tests.stores import FakeClock


class AlertLevel(enum.Enum):
    """As W&B's."""

    WARN = "WARN"


def test_the_same_title_is_held_back_and_counted() -> None:
    clock = FakeClock()
    alerts = Alerts(clock.clock().mono_s)
    assert alerts.make("loss", "is NaN", level="ERROR") == {
        "level": "error",
        "code": "alert",
        "title": "loss",
        "text": "is NaN",
    }
    assert alerts.make("loss") is None
    assert alerts.make("other") is not None
    clock.now_s += 61
    said = alerts.make("loss")
    assert said is not None
    assert said["repeats"] == 1
    assert alerts.make("loss", wait_duration=0) is not None
    assert alerts.make("loss", wait_duration=dt.timedelta(minutes=2)) is None


@pytest.mark.parametrize(
    ("level", "word"),
    [("INFO", "info"), ("Warn", "warning"), (AlertLevel.WARN, "warning"), ("error", "error")],
)
def test_levels_are_wandbs(level: object, word: str) -> None:
    said = Alerts(FakeClock().clock().mono_s).make("t", level=level)
    assert said is not None
    assert said["level"] == word


def test_mistakes_are_named() -> None:
    alerts = Alerts(FakeClock().clock().mono_s)
    with pytest.raises(UsageError, match="level"):
        alerts.make("t", level="loud")
    alerts.make("t")
    with pytest.raises(UsageError, match="wait_duration"):
        alerts.make("t", wait_duration="soon")  # type: ignore[arg-type]
