"""What handlers work with: readers of the store and their threads, templates, menus."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from tornado.template import DictLoader

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack_server.auth import Gate
from hpctrack_server.components.text import encode
from hpctrack_server.data.index.run_index import RunIndex
from hpctrack_server.data.matrix.numbers import RankNumbers
from hpctrack_server.data.media.library import Library
from hpctrack_server.data.provider import DataProvider
from hpctrack_server.data.reader import Reader
from hpctrack_server.data.run.consoles import Consoles
from hpctrack_server.data.series.charts import ChartReader
from hpctrack_server.data.series.live_watch import PointWatcher
from hpctrack_server.data.series.metric_names import MetricNames
from hpctrack_server.data.sparklines import SparkReader
from hpctrack_server.data.state.saved import State
from hpctrack_server.data.statistics.curve_ends import CurveEnds
from hpctrack_server.data.sweeps import Sweeps
from hpctrack_server.data.watch import Watcher
from hpctrack_server.pages.open_sockets import OpenSockets


def load_templates() -> DictLoader:
    """Read the package's templates; whatever they insert is escaped."""
    found = dict(_iter_templates(files("hpctrack_server") / "templates", ""))
    # Templates encode what they insert before they escape it, and one name with half a surrogate
    # pair would be the end of the page: so they do it our way.
    ours = {"_tt_utf8": encode}
    return DictLoader(found, autoescape="escape_text", whitespace="all", namespace=ours)


def _iter_templates(folder: Traversable, prefix: str) -> Iterator[tuple[str, str]]:
    for one in folder.iterdir():
        if one.is_dir():
            yield from _iter_templates(one, f"{prefix}{one.name}/")
        else:
            yield f"{prefix}{one.name}", one.read_text("utf-8")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Services:
    """What handlers work with.

    Without a repr: Bokeh formats all routes with their arguments for its log, wanted or not, and
    all templates and menus once per route took seconds of the start.
    """

    gate: Gate
    provider: DataProvider
    index: RunIndex
    sparks: SparkReader
    reader: Reader
    """For what pages wait for: lists and records."""
    charts: ChartReader
    """For the thread of `numbers` alone."""
    ends: CurveEnds
    """For the thread of `numbers` alone."""
    names: MetricNames
    naming: Reader
    """The thread of `names`: the compare page begins with them, whatever others have drawn."""
    sweeps: Sweeps
    sweeping: Reader
    """The thread of `sweeps`: Optuna takes seconds to say what matters, and charts go on."""
    numbers: Reader
    """For what charts wait for, so that a heavy chart does not hold up everybody's pages."""
    ranks: RankNumbers
    """Numbers of all ranks at once, for the thread of numbers."""
    keeper: Reader
    """For the database: one that hangs must stall saving, and nothing else."""
    state: State
    consoles: Consoles
    media: Library
    """For the thread of `numbers` alone."""
    watcher: Watcher
    points: PointWatcher
    sockets: OpenSockets = field(default_factory=OpenSockets)
    asset_path: Callable[[str], str]
    clock: Clock = SYSTEM_CLOCK
    prefix: str = ""
    menus: Mapping[str, tuple[tuple[str, Any], ...]] = field(default_factory=dict)
    """Names and pages of each menu, see `pages.registry`."""
    pages: Mapping[str, Any] = field(default_factory=dict)
    """Pages by name."""
    api: Mapping[str, Any] = field(default_factory=dict)
    """Answers of the API by name, for its description."""
    templates: DictLoader = field(default_factory=load_templates)

    def close_pages(self) -> None:
        """Close what the thread of `reader` has open."""
        self.media.close()
        self.provider.close()

    def close_numbers(self) -> None:
        """Close what belongs to the thread of `numbers`."""
        self.charts.close()
        self.consoles.close()
