"""Tests over HTTP that wait, or that write what they ask for: not for the suite's fast part."""

from __future__ import annotations

from tests.unit.server.conftest import (
    dashboard,
    growing,
    shared_dashboard,
    start_dashboard,
    zoo,
)

__all__ = ["dashboard", "growing", "shared_dashboard", "start_dashboard", "zoo"]
