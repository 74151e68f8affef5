"""Figures of panels: built in Python once, cloned and filled in the browser.

Axes are linear here. What is logarithmic, categorical or a time is placed and labelled by
``static/panels/scale.js``: one figure serves all, and an axis changes its kind without another.
"""

from __future__ import annotations

from typing import Any

from bokeh.core.properties import value
from bokeh.models import (
    BoxSelectTool,
    ColumnDataSource,
    FixedTicker,
    LassoSelectTool,
    Range1d,
    WheelZoomTool,
)
from bokeh.plotting import figure

from hpctrack_server import theme
from hpctrack_server.components.figures.plain import plain_axes

CELL_COLUMNS = ("left", "right", "bottom", "top", "color", "alpha", "line")
AREA_COLUMNS = ("xs", "ys", "color", "alpha")
LINE_COLUMNS = ("xs", "ys", "color", "width", "alpha")
POINT_COLUMNS = ("x", "y", "color", "size", "alpha")
IMAGE_COLUMNS = ("image", "x", "y", "dw", "dh")
TEXT_COLUMNS = ("x", "y", "text", "color")
"""What the browser fills in; ``static/panels/plot.js`` has the same names."""


def make_panel_figure() -> Any:
    """Return an empty figure with one renderer of each sort, from back to front.

    Returns
    -------
    bokeh.plotting.figure
        With the sources ``image``, ``cells``, ``areas``, ``lines``, ``points`` and ``texts``, and
        the tools ``box`` and ``lasso``, named.
    """
    box, lasso = BoxSelectTool(name="box"), LassoSelectTool(name="lasso", continuous=False)
    plot = figure(
        sizing_mode="stretch_both", toolbar_location=None,
        # Only with keys: a wheel that zooms hijacks the scrolling of the page.
        tools=[box, lasso, WheelZoomTool(modifiers="ctrl")],
        active_drag=box,
        x_range=Range1d(0, 1), y_range=Range1d(0, 1),
        min_border_left=theme.CHART_BORDER_LEFT_PX, min_border_right=theme.CHART_BORDER_RIGHT_PX,
        min_border_top=theme.CHART_BORDER_TOP_PX, min_border_bottom=0,
        lod_threshold=None, lod_timeout=theme.LOD_TIMEOUT_MS, name="figure",
    )  # fmt: skip
    _add_areas(plot)
    lines = _source("lines", LINE_COLUMNS)
    plot.multi_line(
        "xs", "ys", line_color="color", line_width="width", line_alpha="alpha", source=lines
    )
    points = plot.scatter(
        "x", "y", fill_color="color", fill_alpha="alpha", line_color="color", line_alpha="alpha",
        size="size", nonselection_fill_alpha=theme.UNSELECTED_ALPHA,
        nonselection_line_alpha=theme.UNSELECTED_ALPHA, source=_source("points", POINT_COLUMNS),
    )  # fmt: skip
    box.renderers = lasso.renderers = [points]
    plot.text(
        "x", "y", "text", text_color="color", text_align="center", text_baseline="middle",
        text_font=value(theme.FONT_TEXT), text_font_size=value(theme.TICK_FONT_SIZE),
        source=_source("texts", TEXT_COLUMNS),
    )  # fmt: skip
    plain_axes(plot)
    for axis in (plot.xaxis, plot.yaxis):
        axis.ticker = FixedTicker(ticks=[])
    return plot


def _add_areas(plot: Any) -> None:
    plot.image_rgba("image", "x", "y", "dw", "dh", source=_source("image", IMAGE_COLUMNS))
    cells, areas = _source("cells", CELL_COLUMNS), _source("areas", AREA_COLUMNS)
    plot.quad(
        left="left", right="right", bottom="bottom", top="top", fill_color="color",
        fill_alpha="alpha", line_color="line", line_width=1, source=cells,
    )  # fmt: skip
    plot.patches("xs", "ys", fill_color="color", fill_alpha="alpha", line_color="color",
                 line_alpha=theme.AREA_EDGE_ALPHA, source=areas)  # fmt: skip


def make_layer_figure() -> Any:
    """Return a figure that is nothing but lines in pixels, to be laid over others.

    Parallel coordinates are three of them: the runs in grey, which are drawn once; those that
    are chosen; axes and the run under the pointer. A brush then repaints only the second.
    """
    plot = figure(
        sizing_mode="stretch_both", toolbar_location=None, tools=[],
        x_range=Range1d(0, 1), y_range=Range1d(0, 1), min_border=0,
        lod_threshold=None, name="figure",
    )  # fmt: skip
    plot.multi_line(
        "xs", "ys", line_color="color", line_width="width", line_alpha="alpha",
        source=_source("lines", LINE_COLUMNS),
    )  # fmt: skip
    plot.axis.visible = False
    plot.grid.visible = False
    plot.outline_line_alpha = 0
    plot.background_fill_alpha = plot.border_fill_alpha = 0
    return plot


def _source(name: str, columns: tuple[str, ...]) -> ColumnDataSource:
    return ColumnDataSource({one: [] for one in columns}, name=name)
