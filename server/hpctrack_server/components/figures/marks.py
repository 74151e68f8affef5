"""A figure for marks of all kinds: lines, bars, dots, crosses and rules."""

from __future__ import annotations

from typing import Any

from bokeh.models import ColumnDataSource, PrintfTickFormatter, Range1d
from bokeh.plotting import figure

from hpctrack_server import theme
from hpctrack_server.components.figures.plain import plain_axes

COLUMNS: dict[str, tuple[str, ...]] = {
    "areas": ("xs", "ys", "color"),
    "bars": ("left", "right", "y", "color"),
    "rules": ("x",),
    "lines": ("xs", "ys", "color", "width", "alpha"),
    "dots": ("x", "y", "color", "alpha"),
    "crosses": ("x", "y", "color"),
}
"""What the browser fills in; scripts of the sweep and the Statistics page have the same names."""

BAR_HEIGHT = 0.66


def make_marks_figure(*, is_log: bool = False) -> Any:
    """Return an empty figure; what a chart does not need stays empty.

    Parameters
    ----------
    is_log : bool, optional
        Of the horizontal axis.

    Returns
    -------
    bokeh.plotting.figure
        With a source for each key of `COLUMNS`; the browser sets the ranges.
    """
    plot = figure(
        height=theme.CHART_HEIGHT_PX,
        sizing_mode="stretch_width",
        toolbar_location=None,
        tools=[],
        x_axis_type="log" if is_log else "linear",
        x_range=Range1d(0.1, 1, name="x"),
        y_range=Range1d(0, 1, name="y"),
        min_border_left=theme.CHART_BORDER_LEFT_PX,
        min_border_right=theme.CHART_BORDER_RIGHT_PX,
        min_border_top=theme.CHART_BORDER_TOP_PX,
        min_border_bottom=0,
        lod_threshold=None,
        name="figure",
    )
    sources = {
        name: ColumnDataSource({column: [] for column in columns}, name=name)
        for name, columns in COLUMNS.items()
    }
    plot.vspan(x="x", line_color="grey", line_dash=[4, 4], line_alpha=0.7, source=sources["rules"])
    plot.patches(
        "xs", "ys", fill_color="color", fill_alpha=0.14, line_alpha=0, source=sources["areas"]
    )
    plot.hbar(
        left="left", right="right", y="y", height=BAR_HEIGHT, fill_color="color", line_alpha=0,
        source=sources["bars"],
    )  # fmt: skip
    plot.multi_line(
        "xs", "ys", line_color="color", line_width="width", line_alpha="alpha",
        source=sources["lines"],
    )  # fmt: skip
    plot.scatter(
        "x", "y", fill_color="color", fill_alpha="alpha", line_alpha=0,
        size=theme.DOT_SIZE_PX + 2, source=sources["dots"],
    )  # fmt: skip
    plot.scatter(
        "x", "y", marker="x", line_color="color", line_width=2, size=theme.DOT_SIZE_PX + 3,
        source=sources["crosses"],
    )  # fmt: skip
    plain_axes(plot)
    for axis in (plot.xaxis, plot.yaxis):
        axis.axis_label_text_font = theme.FONT_TEXT
        axis.axis_label_text_font_size = theme.TICK_FONT_SIZE
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_standoff = 4
    if is_log:
        plot.xaxis.formatter = PrintfTickFormatter(format="%g")
    return plot
