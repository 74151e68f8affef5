"""The figures of the Ranks tab: a picture of ranks x steps, bands above it, bars beside it."""

from __future__ import annotations

from typing import Any

from bokeh.models import (
    AdaptiveTicker,
    BasicTickFormatter,
    BoxZoomTool,
    ColumnDataSource,
    FixedTicker,
    LinearColorMapper,
    NumeralTickFormatter,
    Range1d,
    Span,
    WheelZoomTool,
)
from bokeh.plotting import figure

from hpctrack_server import theme
from hpctrack_server.components.figures.plain import plain_axes

PICTURE_COLUMNS = ("image", "x", "y", "dw", "dh")
BAND_COLUMNS = ("x", "low", "p5", "median", "p95", "high")
BAR_COLUMNS = ("top", "bottom", "right", "color")
"""What the browser fills in; ``static/ranks/heatmap.js`` has the same names."""

TOP_CODE = 253
"""Colours are 0 to this, and 255 is a pixel without a value; `data.matrix.picture` has the same."""


def make_heatmap_figure() -> Any:
    """Return an empty picture: the browser sets its data, ranges, colours and row labels.

    Returns
    -------
    bokeh.plotting.figure
        Named ``picture`` (source), ``colours`` (mapper), ``rows`` (ticker of the rows),
        ``column`` and ``row`` (cursor), and both ranges. The first row is at the top.
    """
    plot = _make_plot(is_reversed=True)
    plot.add_tools(
        # A box that is flat or thin zooms along one axis only.
        BoxZoomTool(dimensions="auto"),
        WheelZoomTool(dimensions="width", modifiers="ctrl"),
    )
    picture = ColumnDataSource({name: [] for name in PICTURE_COLUMNS}, name="picture")
    mapper = LinearColorMapper(
        palette=["#808080"] * (TOP_CODE + 1), low=0, high=TOP_CODE, name="colours"
    )
    plot.image(
        image="image", x="x", y="y", dw="dw", dh="dh", source=picture, color_mapper=mapper,
    )  # fmt: skip
    _add_cursor(plot, "height", "column")
    _add_cursor(plot, "width", "row")
    plot.grid.visible = False
    plot.yaxis.ticker = FixedTicker(ticks=[], name="rows")
    plot.xaxis.ticker = AdaptiveTicker(mantissas=[1, 2, 5], min_interval=1)  # steps are whole
    plot.xaxis.formatter = NumeralTickFormatter(format="0,0")
    plot.min_border_left = theme.HEATMAP_BORDER_LEFT_PX
    plot.min_border_bottom = theme.HEATMAP_BORDER_BOTTOM_PX
    return plot


def make_bands_figure() -> Any:
    """Return an empty chart of bands over the ranks, as wide as the picture below it."""
    plot = _make_plot()
    plot.add_tools(
        BoxZoomTool(dimensions="width"), WheelZoomTool(dimensions="width", modifiers="ctrl")
    )
    bands = ColumnDataSource({name: [] for name in BAND_COLUMNS}, name="bands")
    for low, high, alpha in (
        ("low", "high", theme.BAND_ALPHA / 2),
        ("p5", "p95", theme.BAND_ALPHA * 1.5),
    ):
        plot.varea(
            x="x", y1=low, y2=high, source=bands, fill_color="grey", fill_alpha=alpha,
            name=f"area-{low}",
        )  # fmt: skip
    lines = ColumnDataSource({"xs": [], "ys": [], "color": [], "alpha": []}, name="lines")
    plot.multi_line("xs", "ys", line_color="color", line_alpha="alpha", line_width=1, source=lines)
    _add_cursor(plot, "height", "column")
    plot.yaxis.ticker.desired_num_ticks = 3
    plot.xaxis.visible = False
    plot.min_border_left = theme.HEATMAP_BORDER_LEFT_PX
    plot.min_border_bottom = theme.STRIP_GAP_PX
    return plot


def make_bars_figure() -> Any:
    """Return an empty strip of bars, one per rank, as high as the picture beside it."""
    plot = _make_plot(is_reversed=True)
    bars = ColumnDataSource({name: [] for name in BAR_COLUMNS}, name="bars")
    plot.quad(
        left=0, right="right", top="top", bottom="bottom", fill_color="color",
        line_color="color", line_width=theme.BAR_SEAM_PX, source=bars,
    )  # fmt: skip
    _add_cursor(plot, "width", "row")
    plot.grid.visible = False
    plot.yaxis.visible = False
    plot.xaxis.ticker = FixedTicker(ticks=[], name="values")
    plot.min_border_left = plot.min_border_right = theme.STRIP_GAP_PX
    plot.min_border_bottom = theme.HEATMAP_BORDER_BOTTOM_PX
    return plot


def _make_plot(*, is_reversed: bool = False) -> Any:
    # As large as its box: the style sheet gives it more on a large screen.
    rows = Range1d(1, 0, name="y") if is_reversed else Range1d(0, 1, name="y")
    plot = figure(
        sizing_mode="stretch_both",
        toolbar_location=None,
        tools=[],
        x_range=Range1d(0, 1, name="x"),
        y_range=rows,
        min_border_right=theme.STRIP_GAP_PX,
        min_border_top=theme.CHART_BORDER_TOP_PX,
        lod_threshold=None,
        lod_timeout=theme.LOD_TIMEOUT_MS,
        name="figure",
    )
    plain_axes(plot)
    for axis in (plot.xaxis, plot.yaxis):
        axis.formatter = BasicTickFormatter(power_limit_high=6, power_limit_low=-4)
    return plot


def _add_cursor(plot: Any, dimension: str, name: str) -> None:
    plot.add_layout(
        Span(dimension=dimension, location=None, line_dash=[3, 3], line_width=1,
             line_color="grey", level="overlay", name=name)
    )  # fmt: skip
