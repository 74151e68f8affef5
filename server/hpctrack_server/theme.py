"""Sizes and fonts of what is drawn on a canvas. Colours are in ``static/base/app.css``.

Bokeh reads the ``--bk-*`` variables of the style sheet whenever it paints, so one set of design
tokens restyles page and charts, and a change of theme is a repaint.
"""

from __future__ import annotations

CHART_HEIGHT_PX = 220
CHART_BORDER_LEFT_PX = 52
"""Fixed, so that the plots of a column are aligned whatever their tick labels are."""
CHART_BORDER_RIGHT_PX = 14
CHART_BORDER_TOP_PX = 6

PANEL_MIN_HEIGHT_PX = 60
"""Of what a panel draws; its card gives the height."""

FONT_TEXT = "Inter"
TICK_FONT_SIZE = "11px"
X_TICKS = 6
Y_TICKS = 5

BAND_ALPHA = 0.2
OTHERS_ALPHA = 0.25
"""Of the lines beside the one under the pointer."""
DOT_SIZE_PX = 5
BAR_SEAM_PX = 0.7
"""Covers what shows through between bars that touch."""
UNSELECTED_ALPHA = 0.08
AREA_EDGE_ALPHA = 0.5

LOD_TIMEOUT_MS = 80
"""Time from the last wheel tick to the end of a zoom: 91 ms measured, against 303 ms by default."""

HEATMAP_BORDER_LEFT_PX = 124
"""Room for the name of a host and a rank's number."""
HEATMAP_BORDER_BOTTOM_PX = 30
STRIP_GAP_PX = 6

SENSOR_HEIGHT_PX = 170
SENSOR_BORDER_LEFT_PX = 96
