"""The figure of intervals: one line of the page for each group, all of its runs as dots."""

from __future__ import annotations

from typing import Any

from bokeh.models import ColumnDataSource, Range1d, Span
from bokeh.plotting import figure

from hpctrack_server import theme
from hpctrack_server.components.figures.plain import plain_axes

POINT_COLUMNS = ("x", "y", "color")
BAR_COLUMNS = ("xs", "ys", "color")
CENTER_COLUMNS = ("x", "y", "color")
"""What the browser fills in; ``static/statistics/statistics.js`` has the same names."""


def make_intervals_figure() -> Any:
    """Return an empty figure; row i of the page is at y = i, from above.

    Returns
    -------
    bokeh.plotting.figure
        With the sources ``points``, ``bars`` and ``centers``, and a ``baseline``.
    """
    plot = figure(
        height=theme.CHART_HEIGHT_PX,
        sizing_mode="stretch_width",
        toolbar_location=None,
        tools=[],
        x_range=Range1d(0, 1, name="x"),
        y_range=Range1d(0, 1, name="y"),
        min_border_left=theme.CHART_BORDER_RIGHT_PX,
        min_border_right=theme.CHART_BORDER_RIGHT_PX,
        min_border_top=0,
        min_border_bottom=0,
        lod_threshold=None,
        name="figure",
    )
    points = ColumnDataSource({name: [] for name in POINT_COLUMNS}, name="points")
    bars = ColumnDataSource({name: [] for name in BAR_COLUMNS}, name="bars")
    centers = ColumnDataSource({name: [] for name in CENTER_COLUMNS}, name="centers")
    plot.scatter(
        "x", "y", fill_color="color", fill_alpha=theme.OTHERS_ALPHA, line_alpha=0,
        size=theme.DOT_SIZE_PX + 1, source=points,
    )  # fmt: skip
    plot.multi_line("xs", "ys", line_color="color", line_width=3, source=bars)
    plot.scatter(
        "x", "y", fill_color="color", line_alpha=0, size=2 * theme.DOT_SIZE_PX, source=centers
    )
    plot.add_layout(
        Span(dimension="height", location=None, line_dash=[3, 3], line_width=1, line_color="grey",
             name="baseline")
    )  # fmt: skip
    plain_axes(plot)
    plot.xgrid.visible = True
    plot.ygrid.visible = False
    plot.yaxis.visible = False
    return plot
