"""The figure of one metric: built in Python once, cloned in the browser for every chart."""

from __future__ import annotations

from typing import Any

from bokeh.models import (
    BasicTickFormatter,
    BoxZoomTool,
    ColumnDataSource,
    Range1d,
    Span,
    WheelZoomTool,
)
from bokeh.plotting import figure

from hpctrack_server import theme

LINE_COLUMNS = ("xs", "ys", "color", "width", "alpha")
DOT_COLUMNS = ("x", "y", "color")
BAND_COLUMNS = ("x", "low", "high")
"""What the browser fills in; ``static/run/chart.js`` has the same names."""


def make_metric_figure() -> Any:
    """Return an empty figure: one band and one set of lines, however many ranks there are.

    One `MultiLine` for all lines, because each renderer costs models and a repaint of its own:
    measured for 600 lines, 222 models and 0.3 s against 5,568 and 4 to 5 s.

    Returns
    -------
    bokeh.plotting.figure
        With the sources ``band``, ``lines`` and ``dots``, the ``crosshair`` and both ranges
        named. The browser sets the ranges: what is on the screen is refetched with more detail,
        so the data never tell how wide the whole is.
    """
    plot = figure(
        height=theme.CHART_HEIGHT_PX,
        sizing_mode="stretch_width",
        toolbar_location=None,
        tools=[
            BoxZoomTool(dimensions="width"),
            # Only with ctrl: a wheel that zooms hijacks the scrolling of the page.
            WheelZoomTool(dimensions="width", modifiers="ctrl"),
        ],
        x_range=Range1d(0, 1, name="x"),
        y_range=Range1d(0, 1, name="y"),
        min_border_left=theme.CHART_BORDER_LEFT_PX,
        min_border_right=theme.CHART_BORDER_RIGHT_PX,
        min_border_top=theme.CHART_BORDER_TOP_PX,
        min_border_bottom=0,
        lod_threshold=None,
        lod_timeout=theme.LOD_TIMEOUT_MS,
        name="figure",
    )
    band = ColumnDataSource({name: [] for name in BAND_COLUMNS}, name="band")
    lines = ColumnDataSource({name: [] for name in LINE_COLUMNS}, name="lines")
    dots = ColumnDataSource({name: [] for name in DOT_COLUMNS}, name="dots")
    # Grey here, coloured by the browser from the style sheet's tokens, which know the theme.
    plot.varea(
        x="x", y1="low", y2="high", source=band,
        fill_color="grey", fill_alpha=theme.BAND_ALPHA, name="area",
    )  # fmt: skip
    plot.multi_line(
        "xs", "ys", line_color="color", line_width="width", line_alpha="alpha", source=lines,
        nonselection_line_alpha=theme.OTHERS_ALPHA,
    )  # fmt: skip
    # A line of one point cannot be seen, and one of a few is easier to read with marks.
    plot.scatter("x", "y", fill_color="color", line_alpha=0, size=theme.DOT_SIZE_PX, source=dots)
    plot.add_layout(
        Span(dimension="height", location=None, line_dash=[3, 3], line_width=1, line_color="grey",
             level="overlay", name="crosshair")
    )  # fmt: skip
    plain_axes(plot)
    return plot


def plain_axes(plot: Any, *, is_log_x: bool = False, is_log_y: bool = False) -> None:
    """Take away what dates a chart: outline, ticks, vertical grid lines, a heavy axis.

    A logarithmic axis keeps its own tick labels, powers of ten.
    """
    # A style variable wins over a colour that is None: what must go needs alpha or visible.
    plot.outline_line_alpha = 0
    plot.xgrid.visible = False
    plot.yaxis.axis_line_alpha = 0
    for axis in (plot.xaxis, plot.yaxis):
        axis.minor_tick_line_alpha = 0
        axis.major_tick_line_alpha = 0
        axis.major_label_text_font = theme.FONT_TEXT
        axis.major_label_text_font_size = theme.TICK_FONT_SIZE
    plot.xaxis.ticker.desired_num_ticks = theme.X_TICKS
    plot.yaxis.ticker.desired_num_ticks = theme.Y_TICKS
    for axis, is_log in ((plot.xaxis, is_log_x), (plot.yaxis, is_log_y)):
        if not is_log:
            axis.formatter = BasicTickFormatter(
                use_scientific=True, power_limit_high=6, power_limit_low=-5, precision="auto"
            )
