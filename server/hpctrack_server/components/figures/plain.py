"""Axes of all figures, without what dates a chart."""

from __future__ import annotations

from typing import Any

from bokeh.models import BasicTickFormatter

from hpctrack_server import theme


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
