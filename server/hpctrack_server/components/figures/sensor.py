"""The figure of one sensor: lines of a few devices, or strips of many, over time."""

from __future__ import annotations

from typing import Any

from bokeh.models import (
    BoxZoomTool,
    ColumnDataSource,
    DatetimeTicker,
    DatetimeTickFormatter,
    FixedTicker,
    LinearAxis,
    LinearColorMapper,
    Range1d,
    Span,
    WheelZoomTool,
)
from bokeh.plotting import figure

from hpctrack_server import theme
from hpctrack_server.components.figures.heatmap import PICTURE_COLUMNS, TOP_CODE
from hpctrack_server.components.figures.plain import plain_axes

HOUR_MS = 3_600_000

CLOCK = DatetimeTickFormatter(
    milliseconds="%M:%S.%3N", seconds="%H:%M:%S", minsec="%H:%M:%S", minutes="%H:%M",
    hourmin="%H:%M", hours="%H:%M", days="day %-d", months="day %j", years="day %j",
    boundary_scaling=False,
)  # fmt: skip
"""Times since a run's begin are drawn as if it had begun with 1970; days are told by number."""


def make_sensor_figure() -> Any:
    """Return an empty chart with everything that either view needs.

    Returns
    -------
    bokeh.plotting.figure
        With the sources ``lines``, ``dots``, ``picture``, ``marks`` (vertical) and ``limits``
        (horizontal), ``colours``, ``rows``, ``column`` and both ranges named; x is milliseconds.
    """
    plot = figure(
        height=theme.SENSOR_HEIGHT_PX,
        sizing_mode="stretch_width",
        toolbar_location=None,
        tools=[
            BoxZoomTool(dimensions="width"),
            WheelZoomTool(dimensions="width", modifiers="ctrl"),
        ],
        x_range=Range1d(0, HOUR_MS, name="x"),
        y_range=Range1d(0, 1, name="y"),
        min_border_left=theme.SENSOR_BORDER_LEFT_PX,
        min_border_right=theme.CHART_BORDER_RIGHT_PX,
        min_border_top=theme.CHART_BORDER_TOP_PX,
        lod_threshold=None,
        lod_timeout=theme.LOD_TIMEOUT_MS,
        name="figure",
    )
    plain_axes(plot)
    picture = ColumnDataSource({name: [] for name in PICTURE_COLUMNS}, name="picture")
    mapper = LinearColorMapper(
        palette=["#808080"] * (TOP_CODE + 1), low=0, high=TOP_CODE, name="colours"
    )
    plot.image(
        image="image", x="x", y="y", dw="dw", dh="dh", source=picture, color_mapper=mapper,
    )  # fmt: skip
    lines = ColumnDataSource({"xs": [], "ys": [], "color": []}, name="lines")
    plot.multi_line("xs", "ys", line_color="color", line_width=1, source=lines)
    # A sample without neighbours is no line: without a mark nobody would see it.
    dots = ColumnDataSource({"x": [], "y": [], "color": []}, name="dots")
    plot.scatter("x", "y", color="color", size=theme.DOT_SIZE_PX, source=dots)
    limits = ColumnDataSource({"y": [], "color": []}, name="limits")
    plot.hspan(y="y", line_color="color", line_dash=[6, 4], line_width=1.5, source=limits)
    marks = ColumnDataSource({"x": [], "color": []}, name="marks")
    plot.vspan(x="x", line_color="color", line_width=1.5, line_alpha=0.8, source=marks)
    plot.add_layout(
        Span(dimension="height", location=None, line_dash=[3, 3], line_width=1, line_color="grey",
             level="overlay", name="column")
    )  # fmt: skip
    plot.xaxis.ticker = DatetimeTicker(desired_num_ticks=theme.Y_TICKS)
    plot.xaxis.formatter = CLOCK
    # Both are there; the browser takes the one that its view needs.
    plot.yaxis.ticker = FixedTicker(ticks=[], name="values")
    plot.ygrid[0].name = "values-grid"
    plot.add_layout(_make_rows_axis(plot), "left")
    return plot


def _make_rows_axis(plot: Any) -> Any:
    axis = LinearAxis(
        ticker=FixedTicker(ticks=[], name="rows"), visible=False, name="rows-axis",
        axis_line_alpha=0, major_tick_line_alpha=0, minor_tick_line_alpha=0,
        major_label_text_font=theme.FONT_TEXT, major_label_text_font_size=theme.TICK_FONT_SIZE,
    )  # fmt: skip
    plot.yaxis[0].name = "values-axis"
    return axis
