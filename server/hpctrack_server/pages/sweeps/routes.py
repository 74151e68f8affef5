"""Its addresses."""

from __future__ import annotations

from hpctrack_server.pages.page import Page

PAGES: dict[str, Page] = {}

API: dict[str, Page] = {}
