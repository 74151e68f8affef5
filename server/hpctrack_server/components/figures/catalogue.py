"""All figures by name; each is an asset ``figures/<name>.json`` that a script clones."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache, partial
from typing import Any

from bokeh.embed import json_item

from hpctrack_server.components.figures.heatmap import (
    make_bands_figure,
    make_bars_figure,
    make_heatmap_figure,
)
from hpctrack_server.components.figures.intervals import make_intervals_figure
from hpctrack_server.components.figures.line import LINE_FIGURES
from hpctrack_server.components.figures.marks import make_marks_figure
from hpctrack_server.components.figures.panel import make_layer_figure, make_panel_figure
from hpctrack_server.components.figures.sensor import make_sensor_figure

FIGURES: dict[str, Callable[[], Any]] = {
    "intervals": make_intervals_figure,
    "marks": make_marks_figure,
    "marks-log": partial(make_marks_figure, is_log=True),
    **LINE_FIGURES,
    "panel": make_panel_figure,
    "layer": make_layer_figure,
    "rank-bands": make_bands_figure,
    "rank-bars": make_bars_figure,
    "rank-heatmap": make_heatmap_figure,
    "sensor": make_sensor_figure,
}


@cache
def figure_json(name: str) -> bytes:
    """Return a figure for ``Bokeh.embed.embed_item``; 25 ms, once per process."""
    return json.dumps(json_item(FIGURES[name]())).encode()
