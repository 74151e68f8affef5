"""What each kind of panel draws, from a table and its settings, as JSON. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np

from hpctrack_server.components.panels.binning import (
    BINS_MAX,
    CATEGORY_BINS_MAX,
    Aggregate,
    Axis,
    aggregate_cells,
    make_axis,
)
from hpctrack_server.components.panels.column import Column, IntArray, Kind, categorise
from hpctrack_server.components.panels.correlation import correlate, correlate_pair
from hpctrack_server.components.panels.forest import measure_importance
from hpctrack_server.components.panels.statistics import (
    GROUPS_MAX,
    Spread,
    iter_groups,
    make_box,
    summarise,
)
from hpctrack_server.components.panels.surface import fit_surface
from hpctrack_server.components.panels.table import (
    PanelError,
    Table,
    find_known,
    pick,
    pick_choice,
    pick_key,
    pick_keys,
    pick_log,
    pick_number,
    scale_to_unit,
)

Settings: TypeAlias = Mapping[str, Any]

RUN_BARS_MAX = 200
FEW_VALUES = 12
MATRIX_MAX = 40
PARAMETERS_MAX = 60
IMPORTANCE_RUNS_MIN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelKind:
    """How a kind of panel is answered.

    Parameters
    ----------
    keys : callable
        Settings to the keys of the columns that it needs.
    make : callable
        Table and settings to JSON.
    """

    keys: Callable[[Settings], list[str]]
    make: Callable[[Table, Settings], dict[str, Any]]


def make_bars(table: Table, settings: Settings) -> dict[str, Any]:
    """Return one bar per group, or per run without a group; the highest first unless by label."""
    y = table.numbers(pick_key(settings, "y"))
    spread = pick_choice(settings, "spread", Spread.STD)
    known = find_known(y)
    side = "median" if pick(settings, "center", "mean") == "median" else "mean"
    is_by_value = pick(settings, "order", "value") == "value"
    key = pick(settings, "group")
    if not key:
        rows = sorted(known.tolist(), key=lambda row: table.names[row])
        if is_by_value:
            rows = known[np.argsort(-y.numbers[known], kind="stable")].tolist()
        hidden = max(0, len(rows) - RUN_BARS_MAX)
        bars = [_make_run_bar(table, y, row) for row in rows[:RUN_BARS_MAX]]
        return _answer(table, known, y, bars=bars, hidden=hidden)
    groups = iter_groups(categorise(table.column(key), most=GROUPS_MAX), known)
    bars = [
        {**asdict(summarise(y.numbers[rows], spread=spread, label=label)), "rows": rows}
        for label, rows in groups
    ]
    if is_by_value:
        bars.sort(key=lambda one: -one[side])
    return _answer(table, known, y, bars=bars, hidden=0)


def _make_run_bar(table: Table, y: Column, row: int) -> dict[str, Any]:
    bar = summarise(y.numbers[[row]], spread=Spread.NONE, label=table.names[row])
    return {**asdict(bar), "rows": [row]}


def make_boxes(table: Table, settings: Settings) -> dict[str, Any]:
    """Return one box per group."""
    y = table.numbers(pick_key(settings, "y"))
    is_log = pick_log(settings, "y_scale", y)
    key = pick(settings, "group")
    group = categorise(table.column(key), most=GROUPS_MAX) if key else None
    known = find_known(y, is_log=is_log)
    boxes = []
    for label, rows in iter_groups(group, known):
        box = asdict(make_box(y.numbers[rows], rows, label=label, is_log=is_log))
        beyond = box.pop("rows")
        boxes.append({**box, "rows": rows, "outliers": beyond,
                      "values": y.numbers[beyond] if beyond else []})  # fmt: skip
    return _answer(table, known, y, boxes=boxes, is_log=is_log)


def make_histogram(table: Table, settings: Settings) -> dict[str, Any]:
    """Return counts per bin, one row of them per group."""
    x = table.column(pick_key(settings, "x"))
    is_log = pick_log(settings, "x_scale", x)
    if x.kind == Kind.CATEGORY:
        x = categorise(x, most=CATEGORY_BINS_MAX)
    axis = make_axis(x, bins=pick_number(settings, "bins", most=BINS_MAX), is_log=is_log)
    key = pick(settings, "group")
    group = categorise(table.column(key), most=10) if key else None
    known = find_known(x, is_log=is_log)
    places = axis.place(x.numbers)
    rows = [
        {"label": label, "counts": np.bincount(places[part], minlength=axis.bins)}
        for label, part in iter_groups(group, known)
    ]
    bins = [np.flatnonzero(places == one) for one in range(axis.bins)]
    return _answer(table, known, x, axis=_describe_axis(axis, x), series=rows, rows=bins)


def make_heatmap(table: Table, settings: Settings) -> dict[str, Any]:
    """Return one number per cell of two binned columns."""
    x, y = (_part_values(table.column(pick_key(settings, name))) for name in ("x", "y"))
    how = pick_choice(settings, "aggregate", Aggregate.COUNT)
    colour = None if how == Aggregate.COUNT else table.numbers(pick_key(settings, "color"))
    axes = []
    for name, one in (("x_scale", x), ("y_scale", y)):
        axes.append(make_axis(one, is_log=pick_log(settings, name, one), most=40))
    values, counts = aggregate_cells(x, y, colour, (axes[0], axes[1]), how)
    return _answer(
        table, find_known(x, y, colour), x,
        x_axis=_describe_axis(axes[0], x), y_axis=_describe_axis(axes[1], y),
        values=values, counts=counts, in_cells=int(counts.sum()),
    )  # fmt: skip


def _part_values(column: Column) -> Column:
    """Return a column of a few values, such as batch sizes, as categories: bins would be empty."""
    is_few = len(np.unique(column.numbers[column.is_known])) <= FEW_VALUES
    if column.kind == Kind.CATEGORY or (column.kind == Kind.NUMBER and is_few):
        return categorise(column, most=CATEGORY_BINS_MAX)
    return column


def make_contour(table: Table, settings: Settings) -> dict[str, Any]:
    """Return a surface of one column over two others, with the runs on it."""
    x, y, z = (table.numbers(pick_key(settings, name)) for name in ("x", "y", "color"))
    logs = [pick_log(settings, name, one) for name, one in (("x_scale", x), ("y_scale", y))]
    is_known = x.is_known & y.is_known & z.is_known
    for one, is_log in zip((x, y), logs, strict=True):
        if is_log:
            is_known &= np.nan_to_num(one.numbers) > 0
    known = np.flatnonzero(is_known)
    if len(known) < 3:  # noqa: PLR2004 - a plane has three points
        raise PanelError(
            f"{len(known)} runs have all three columns; a surface needs 3",
            "choose columns that more runs have",
        )
    places, ends = [], []
    for one, is_log in zip((x, y), logs, strict=True):
        unit, low, high = scale_to_unit(one.numbers[known], is_log=is_log)
        places.append(unit)
        ends.append({"low": low, "high": high, "is_log": is_log, "key": one.key})
    surface = fit_surface(places[0], places[1], z.numbers[known])
    lines = surface.lines if surface else []
    return _answer(
        table, known, z, x_axis=ends[0], y_axis=ends[1],
        heights=surface.heights if surface else None,
        lines=[{"level": level, "points": points} for level, points in lines],
        points={"x": places[0], "y": places[1], "z": z.numbers[known], "rows": known},
    )  # fmt: skip


def make_correlation(table: Table, settings: Settings) -> dict[str, Any]:
    """Return the matrix of correlations."""
    keys = pick_keys(settings, "columns", most=MATRIX_MAX)
    columns = [table.column(key) for key in keys]
    texts = [one.key for one in columns if one.kind == Kind.CATEGORY and len(one.labels) > 2]  # noqa: PLR2004
    columns = [one for one in columns if one.key not in texts]
    flat = [one.key for one in columns if len(np.unique(one.numbers[one.is_known])) < 2]  # noqa: PLR2004
    columns = [one for one in columns if one.key not in flat]
    if len(columns) < 2:  # noqa: PLR2004
        raise PanelError("fewer than two of the columns are numbers that vary", "choose others")
    method = pick(settings, "method", "pearson")
    values, counts = correlate(columns, is_spearman=method == "spearman")
    return {
        "keys": [one.key for one in columns], "values": values, "counts": counts,
        "left_out": {"texts": texts, "constant": flat}, "runs": len(table.ids),
    }  # fmt: skip


def make_importance(table: Table, settings: Settings) -> dict[str, Any]:
    """Return what each parameter is worth for a metric, with the plain correlation beside it."""
    target = table.numbers(pick_key(settings, "y"))
    known = find_known(target)
    keys = pick_keys(settings, "columns", most=PARAMETERS_MAX)
    columns: list[Column] = []
    constant: list[Column] = []
    for key in keys:
        one = _take_rows(table.column(key), known)
        varies = len(np.unique(one.numbers[one.is_known])) + (not one.is_known.all()) > 1
        (columns if varies else constant).append(one)
    if len(known) < IMPORTANCE_RUNS_MIN:
        raise PanelError(
            f"{len(known)} runs have {target.key}; importance needs {IMPORTANCE_RUNS_MIN}"
        )
    if not columns:
        raise PanelError("no parameter differs between these runs", "choose more runs or columns")
    wanted = target.numbers[known]
    found = measure_importance(columns, wanted)
    parameters = [
        {"key": one.key, "share": share, "correlation": _correlate(one, wanted),
         "runs": int(one.is_known.sum())}
        for one, share in zip(columns, found.shares.tolist(), strict=True)
    ]  # fmt: skip
    parameters.sort(key=lambda one: -one["share"])
    return {
        "parameters": parameters, "constant": [one.key for one in constant],
        "explained_frac": found.explained_frac, "seen": found.rows,
        "known": len(known), "runs": len(table.ids),
        "method": "permutation importance of 60 extremely randomised trees, on runs not seen",
    }  # fmt: skip


def make_scalar(table: Table, settings: Settings) -> dict[str, Any]:
    """Return one number of a column, and whose it is."""
    y = table.numbers(pick_key(settings, "y"))
    known = find_known(y)
    if not len(known):
        return _answer(table, known, y, value=None, row=None)
    values, how = y.numbers[known], pick(settings, "aggregate", "max")
    if how in {"min", "max"}:
        at = int(known[values.argmin() if how == "min" else values.argmax()])
        return _answer(table, known, y, value=y.numbers[at], row=at)
    if how == "newest":
        return _answer(table, known, y, value=values[0], row=int(known[0]))
    sums: dict[str, Callable[[], Any]] = {
        "mean": values.mean, "sum": values.sum, "count": lambda: len(values),
    }  # fmt: skip
    if how == "median":
        return _answer(table, known, y, value=float(np.median(values)), row=None)
    if how not in sums:
        raise PanelError(f"the setting 'aggregate' is {how[:40]!r}")
    return _answer(table, known, y, value=float(sums[how]()), row=None)


def _answer(table: Table, known: IntArray, main: Column, **more: Any) -> dict[str, Any]:
    """Return what all answers have: which runs, how many count, and what was left out."""
    return {
        "ids": table.ids, "names": table.names, "runs": len(table.ids), "known": len(known),
        "kind": str(main.kind), "infinite": main.infinite, **more,
    }  # fmt: skip


def _describe_axis(axis: Axis, column: Column) -> dict[str, Any]:
    return {"edges": axis.edges, "labels": axis.labels, "is_log": axis.is_log,
            "kind": str(column.kind), "key": column.key}  # fmt: skip


def _take_rows(column: Column, rows: IntArray) -> Column:
    return Column(
        key=column.key, kind=column.kind, numbers=column.numbers[rows], labels=column.labels
    )


def _correlate(column: Column, wanted: Any) -> float | None:
    if column.kind == Kind.CATEGORY and len(column.labels) > 2:  # noqa: PLR2004
        return None
    found, _count = correlate_pair(column.numbers, wanted, is_spearman=False)
    return found


def _keys(*names: str) -> Callable[[Settings], list[str]]:
    """Return a function that lists the columns that settings name."""

    def find(settings: Settings) -> list[str]:
        found: list[Any] = []
        for name in names:
            value = settings.get(name)
            found += value if isinstance(value, list) else [value or ""]
        return list(dict.fromkeys(one for one in found if one and isinstance(one, str)))

    return find


KINDS: dict[str, PanelKind] = {
    "bar": PanelKind(keys=_keys("y", "group"), make=make_bars),
    "box": PanelKind(keys=_keys("y", "group"), make=make_boxes),
    "histogram": PanelKind(keys=_keys("x", "group"), make=make_histogram),
    "heatmap": PanelKind(keys=_keys("x", "y", "color"), make=make_heatmap),
    "contour": PanelKind(keys=_keys("x", "y", "color"), make=make_contour),
    "correlation": PanelKind(keys=_keys("columns"), make=make_correlation),
    "importance": PanelKind(keys=_keys("y", "columns"), make=make_importance),
    "scalar": PanelKind(keys=_keys("y"), make=make_scalar),
}
"""All that need arithmetic; scatter and parallel coordinates draw the columns themselves."""
