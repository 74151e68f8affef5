"""A reader without a mouse: what Tab reaches, and what has the focus."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import expect

STOPS_MAX = 150
HAS_FOCUS = "one => one === document.activeElement"
IS_INSIDE = """one =>
  one.contains(document.activeElement) || document.activeElement === document.body"""


def has_focus(goal: Any) -> bool:
    """Say whether an element is there and has the focus."""
    return bool(goal.count() and goal.first.evaluate(HAS_FOCUS))


def tab_to(page: Any, goal: Any, key: str = "Tab") -> None:
    """Press Tab until an element has the focus; fails if it is not among the stops."""
    expect(goal.first).to_be_attached()
    for _ in range(STOPS_MAX):
        if has_focus(goal):
            return
        page.keyboard.press(key)
    raise AssertionError(f"Tab does not reach {goal}")


def use(page: Any, goal: Any, key: str = "Enter") -> None:
    """Go to an element by Tab and press a key on it."""
    tab_to(page, goal)
    page.keyboard.press(key)


def assert_trapped(page: Any, dialog: Any, stops: int = 25) -> None:
    """Tab stays in a dialog, both ways; the browser's own frame counts as inside."""
    expect(dialog).to_be_visible()
    for key in ("Tab", "Shift+Tab"):
        for _ in range(stops):
            page.keyboard.press(key)
            assert dialog.evaluate(IS_INSIDE), f"{key} left the dialog"
