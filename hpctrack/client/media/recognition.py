"""Plain values that are media although nobody said so."""

from __future__ import annotations

from typing import Any

from hpctrack.client.media.figure import Figure, is_figure
from hpctrack.client.media.image import Image, is_pil_image
from hpctrack.client.media.value import Media

_FRAMES = {"pandas", "polars", "pyarrow"}


def to_media(value: Any) -> Media | None:
    """Return a plain value as media, or None if it is nothing that we know.

    PIL images, figures of matplotlib, plotly and bokeh, and dataframes are recognised by the
    module of their class: no library is imported.
    """
    if isinstance(value, Media):
        return value
    if is_pil_image(value):
        return Image(value)
    if is_figure(value):
        return Figure(value)
    if is_dataframe(value):
        from hpctrack.client.media.table import Table  # noqa: PLC0415 - a table's cells come here too

        return Table(dataframe=value)
    return None


def is_dataframe(value: object) -> bool:
    """Tell whether a value is a table of pandas, polars or pyarrow."""
    return any(
        one.__name__ in {"DataFrame", "Table"} and one.__module__.partition(".")[0] in _FRAMES
        for one in type(value).__mro__
    )
