"""The tables, in words that SQLite and PostgreSQL share."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Double, Index, Integer, MetaData, String, Table, Text

SCHEMA_VERSION = 1
"""Counted up with each change; a database of a newer hpctrack is not touched."""

METADATA = MetaData()

SCHEMA = Table(
    "hpctrack_schema", METADATA, Column("version", Integer, primary_key=True, autoincrement=False)
)

SAVED = Table(
    "hpctrack_saved",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("project", Text, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("is_default", Boolean, nullable=False),
    Column("created", Double, nullable=False),
    Column("updated", Double, nullable=False),
    Index("hpctrack_saved_place", "project", "kind"),
)
"""``body`` is JSON as text: PostgreSQL's own type refuses ``\\u0000`` in it."""
