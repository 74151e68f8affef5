"""The figure of the line panel: runs over steps, cloned in the browser for every panel."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from bokeh.models import BoxZoomTool, ColumnDataSource, Range1d, WheelZoomTool
from bokeh.plotting import figure

from hpctrack_server import theme
from hpctrack_server.components.figures.plain import plain_axes

LINE_COLUMNS = ("xs", "ys", "color", "width", "alpha")
DOT_COLUMNS = ("x", "y", "color")
BAND_COLUMNS = ("xs", "ys", "color")
"""What the browser fills in; ``static/panels/line_columns.js`` has the same names."""


def make_line_figure(*, is_log_x: bool = False, is_log_y: bool = False) -> Any:
    """Return an empty figure for many runs: bands, lines and dots, three renderers in all.

    Crosshair, tooltip and legend are HTML of the page: they move with the pointer, and none of
    them may cost a repaint of lines. A scale cannot be changed once a figure is shown, so each
    pair of scales is a figure of its own.

    Parameters
    ----------
    is_log_x, is_log_y : bool
        Which axes are logarithmic.

    Returns
    -------
    bokeh.plotting.figure
        With the sources ``bands``, ``lines`` and ``dots`` named; the browser sets ranges, colours
        and what the ticks of the x axis are.
    """
    plot = figure(
        sizing_mode="stretch_both",
        min_height=theme.PANEL_MIN_HEIGHT_PX,
        toolbar_location=None,
        x_axis_type="log" if is_log_x else "linear",
        y_axis_type="log" if is_log_y else "linear",
        tools=[
            BoxZoomTool(dimensions="auto"),
            # Only with ctrl: a wheel that zooms hijacks the scrolling of the page.
            WheelZoomTool(dimensions="width", modifiers="ctrl"),
        ],
        x_range=Range1d(1, 2, name="x"),
        y_range=Range1d(1, 2, name="y"),
        min_border_left=theme.CHART_BORDER_LEFT_PX,
        min_border_right=theme.CHART_BORDER_RIGHT_PX,
        min_border_top=theme.CHART_BORDER_TOP_PX,
        min_border_bottom=0,
        lod_threshold=None,
        lod_timeout=theme.LOD_TIMEOUT_MS,
        name="figure",
    )
    bands = ColumnDataSource({name: [] for name in BAND_COLUMNS}, name="bands")
    lines = ColumnDataSource({name: [] for name in LINE_COLUMNS}, name="lines")
    dots = ColumnDataSource({name: [] for name in DOT_COLUMNS}, name="dots")
    plot.patches(
        "xs", "ys", fill_color="color", line_alpha=0, fill_alpha=theme.BAND_ALPHA, source=bands
    )
    # Without selection visuals: each further glyph of a renderer costs models and set-up.
    plot.multi_line(
        "xs", "ys", line_color="color", line_width="width", line_alpha="alpha", source=lines,
        name="multi-line",
    )  # fmt: skip
    # A line of one point cannot be seen, and one of a few is easier to read with marks.
    plot.scatter("x", "y", fill_color="color", line_alpha=0, size=theme.DOT_SIZE_PX, source=dots)
    plain_axes(plot, is_log_x=is_log_x, is_log_y=is_log_y)
    return plot


LINE_FIGURES: dict[str, Callable[[], Any]] = {
    "line": make_line_figure,
    "line-log-x": partial(make_line_figure, is_log_x=True),
    "line-log-y": partial(make_line_figure, is_log_y=True),
    "line-log-xy": partial(make_line_figure, is_log_x=True, is_log_y=True),
}
"""By name in the catalogue; ``static/panels/line.js`` puts the names together."""
