"""Ready-made plots to log, with the names and arguments of W&B's ``wandb.plot``.

Everything is worked out in the rank with the standard library and travels as a few thousand
numbers; viewers draw it. Nothing raises: what is wrong is told by ``run.log``, arguments that are
not known too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from hpctrack.client.curves import POINTS_MAX, Line, count_bins, envelope, thin
from hpctrack.client.media.cells import Cell
from hpctrack.client.media.recognition import to_media
from hpctrack.client.media.table import Table
from hpctrack.client.media.value import Media, Piece
from hpctrack.client.scores import count_confusion, make_curves
from hpctrack.errors import UsageError

__all__ = [
    "Plot",
    "bar",
    "confusion_matrix",
    "histogram",
    "line",
    "line_series",
    "plot_table",
    "pr_curve",
    "roc_curve",
    "scatter",
]

BARS_MAX = 1000
"""More bars than columns of a screen."""

SERIES_MAX = 200

_BINS = 64


class Plot(Media):
    """A plot to log, made by the functions of `hpctrack.plot`. Per-rank.

    Parameters
    ----------
    make : callable
        Returns ``kind, title, labels`` and the data.
    others : mapping, optional
        Further arguments, such as W&B's ``split_table``: told by ``run.log``, and left out.
    """

    kind: ClassVar[str] = "plot"

    def __init__(
        self, make: Callable[[], dict[str, Any]], others: Mapping[str, object] | None = None
    ) -> None:
        def make_piece() -> Piece:
            told = make()
            body = json.dumps(told, separators=(",", ":"), allow_nan=False).encode()
            meta = {key: told[key] for key in ("kind", "title", "points", "kept") if told.get(key)}
            facts = {"type": "plot", "encode": "copy", "format": "plot.json", "meta": meta}
            return Piece(facts, (body,))

        self._keep(make_piece, others)


def line(
    table: object,
    x: str,
    y: str,
    stroke: str | None = None,
    title: str | None = None,
    **others: object,
) -> Plot:
    """Return a line plot of two columns. Per-rank.

    Parameters
    ----------
    table : Table or dataframe
    x, y : str
        Columns with numbers.
    stroke : str, optional
        A column whose values part the rows into lines.
    title : str, optional

    Notes
    -----
    Of more than 10,000 points the extremes of every stretch are kept, and how many there were.
    """
    return Plot(lambda: _make_lines("line", _take(table), (x, y, stroke), title), others)


def scatter(table: object, x: str, y: str, title: str | None = None, **others: object) -> Plot:
    """Return a plot of points. Per-rank.

    Parameters
    ----------
    table : Table or dataframe
    x, y : str
        Columns with numbers.
    title : str, optional

    Notes
    -----
    Of more than 10,000 points every n-th is kept, and how many there were.
    """
    return Plot(lambda: _make_lines("scatter", _take(table), (x, y, None), title), others)


def bar(table: object, label: str, value: str, title: str | None = None, **others: object) -> Plot:
    """Return a bar plot, at most 1,000 bars. Per-rank.

    Parameters
    ----------
    table : Table or dataframe
    label : str
        The column that names the bars.
    value : str
        A column with numbers.
    title : str, optional
    """

    def make() -> dict[str, Any]:
        taken = _take(table)
        pairs = list(zip(_column(taken, label), _column(taken, value), strict=True))
        rows = [(str(name), one) for name, one in pairs if _is_number(one)]
        if len(rows) > BARS_MAX:
            raise UsageError(f"a bar plot has {len(rows):,} bars, at most {BARS_MAX:,}")
        return {
            **_head("bar", title, label, value),
            "names": [name for name, _one in rows],
            "values": [one for _name, one in rows],
        }

    return Plot(make, others)


def histogram(table: object, value: str, title: str | None = None, **others: object) -> Plot:
    """Return a histogram of a column, 64 bins. Per-rank.

    Parameters
    ----------
    table : Table or dataframe
    value : str
        A column with numbers; what is none, or not finite, is left out.
    title : str, optional
    """

    def make() -> dict[str, Any]:
        cells: list[Any] = list(_column(_take(table), value))
        values: list[float] = [one for one in cells if _is_number(one)]
        if not values:
            raise UsageError(f"the column {value!r} has no numbers")
        counts, edges = count_bins(values, _BINS)
        head = _head("histogram", title, value, "count")
        return {**head, "counts": counts, "edges": edges, "points": len(values)}

    return Plot(make, others)


def line_series(
    xs: object,
    ys: object,
    keys: Sequence[str] | None = None,
    title: str | None = None,
    xname: str = "x",
    **others: object,
) -> Plot:
    """Return a plot of several lines. Per-rank.

    Parameters
    ----------
    xs : sequence of numbers, or one sequence per line
    ys : sequence of sequences of numbers
    keys : sequence of str, optional
        The lines' names.
    title, xname : str, optional
    """

    def make() -> dict[str, Any]:
        rows = [_numbers(one, "ys") for one in _plain(ys)]
        given = _plain(xs)
        is_shared = not given or not isinstance(given[0], (list, tuple))
        columns = [given] * len(rows) if is_shared else given
        if len(columns) != len(rows):
            raise UsageError(f"{len(columns)} sequences of x for {len(rows)} lines")
        names = [str(one) for one in keys] if keys else [f"line {n}" for n in range(len(rows))]
        lines = {}
        for name, some, row in zip(names, columns, rows, strict=True):
            if len(some) != len(row):
                raise UsageError(f"{name!r} has {len(some)} x and {len(row)} y")
            pairs = zip(some, row, strict=True)
            lines[name] = [(x, y) for x, y in pairs if _is_number(x) and _is_number(y)]
        return _with_lines(_head("line", title, xname, "y"), lines)

    return Plot(make, others)


def plot_table(
    vega_spec_name: str,
    data_table: object,
    fields: Mapping[str, str],
    string_fields: Mapping[str, str] | None = None,
    **others: object,
) -> Media:
    """Return the plot that a chart of W&B shows of a table. Per-rank.

    Parameters
    ----------
    vega_spec_name : str
        W&B's own lines, scatters, bars and histograms are known, such as ``wandb/line/v0``. Of
        any other chart the table is recorded, and this told: its drawing is in W&B's servers.
    data_table : Table or dataframe
    fields : mapping
        From the chart's fields to the table's columns.
    string_fields : mapping, optional
        ``title`` is taken.
    """
    title = (string_fields or {}).get("title")
    family = next((one for one in _CHARTS if str(vega_spec_name).startswith(f"wandb/{one}/")), None)
    if family is None:
        found = to_media(data_table)
        if not isinstance(found, Table):
            return Plot(lambda: {"table": _take(data_table)}, others)
        text = f"the chart {vega_spec_name!r:.80} is not known here: its table is recorded"
        found._warn(text)  # noqa: SLF001 - a table tells everything when it is logged
        return found
    kind, names = _CHARTS[family]
    columns = {mine: dict(fields).get(theirs) for mine, theirs in names.items()}
    return _KINDS[kind](data_table, **columns, title=title, **others)


def confusion_matrix(
    probs: object = None,
    y_true: object = None,
    preds: object = None,
    class_names: Sequence[str] | None = None,
    title: str | None = None,
    **others: object,
) -> Plot:
    """Return how often each class was taken for which. Per-rank.

    Parameters
    ----------
    probs : array, shape (n, classes), optional
        Scores; the highest is the prediction. Either this or ``preds``.
    y_true : sequence, length n
        True classes: whole numbers, or names. Numbers below 0, or from 1000 on, are classes in
        their order; others count from 0.
    preds : sequence, length n, optional
        Predicted classes.
    class_names : sequence of str, optional
        In the order of the numbers.
    title : str, optional
    """

    def make() -> dict[str, Any]:
        scores = _plain(probs) if probs is not None else None
        guesses = _plain(preds) if preds is not None else None
        classes, counts = count_confusion(_plain(y_true), scores, guesses, class_names)
        head = _head("confusion_matrix", title, "predicted", "actual")
        return {**head, "classes": classes, "counts": counts}

    return Plot(make, others)


def roc_curve(
    y_true: object = None,
    y_probas: object = None,
    labels: Sequence[str] | None = None,
    classes_to_plot: Sequence[Any] | None = None,
    title: str | None = None,
    **others: object,
) -> Plot:
    """Return receiver operating characteristics, one line per class, with their areas. Per-rank.

    Parameters
    ----------
    y_true : sequence, length n
        True classes: numbers from 0, or names in the order of sorting.
    y_probas : array, shape (n, classes) or (n,)
        Scores; one column is that of class 1 of two.
    labels : sequence of str, optional
        Names in the order of the columns.
    classes_to_plot : sequence, optional
        Only these of ``y_true``'s values.
    title : str, optional

    Notes
    -----
    Exact: points are kept where a line bends, and only of more than 10,000 bends every n-th. Sorts
    the scores: about a second for a million, which is the most that is taken.
    """
    return Plot(
        lambda: _make_curves("roc", (y_true, y_probas), labels, classes_to_plot, title), others
    )


def pr_curve(
    y_true: object = None,
    y_probas: object = None,
    labels: Sequence[str] | None = None,
    classes_to_plot: Sequence[Any] | None = None,
    title: str | None = None,
    **others: object,
) -> Plot:
    """Return precision over recall, one line per class, with average precisions. Per-rank.

    Parameters and notes are those of `roc_curve`.
    """
    return Plot(
        lambda: _make_curves("pr", (y_true, y_probas), labels, classes_to_plot, title), others
    )


def _make_curves(
    kind: str, given: tuple[object, object], labels: Any, chosen: Any, title: str | None
) -> dict[str, Any]:
    if given[0] is None or given[1] is None:
        raise UsageError("a curve needs y_true= and y_probas=")
    y_true, scores = _plain(given[0]), _plain(given[1])
    curves, skipped = make_curves(kind, y_true, scores, labels, chosen)
    limit = max(3, POINTS_MAX // len(curves))
    told = {
        "roc": _head(kind, title, "false positive rate", "true positive rate"),
        "pr": _head(kind, title, "recall", "precision"),
    }[kind]
    name = {"roc": "auc", "pr": "average_precision"}[kind]
    series, points, kept = [], 0, 0
    for curve in curves:
        xs, ys = thin(curve.line, limit)
        points += curve.thresholds
        kept += len(xs)
        series.append({"name": curve.name, "x": xs, "y": ys, name: curve.score})
    told |= {"series": series, "points": points, "kept": kept}
    return {**told, "skipped": skipped} if skipped else told


def _make_lines(
    kind: str, table: Table, names: tuple[str, str, str | None], title: str | None
) -> dict[str, Any]:
    x, y, stroke = names
    xs, ys = _column(table, x), _column(table, y)
    groups = _column(table, stroke) if stroke else [""] * len(xs)
    lines: dict[str, list[tuple[Any, Any]]] = {}
    for a, b, group in zip(xs, ys, groups, strict=True):
        if _is_number(a) and _is_number(b):
            lines.setdefault(str(group), []).append((a, b))
    if not lines:
        raise UsageError(f"the columns {x!r} and {y!r} have no row with two numbers")
    return _with_lines(_head(kind, title, x, y), lines)


def _with_lines(head: dict[str, Any], lines: dict[str, list[tuple[Any, Any]]]) -> dict[str, Any]:
    if not 0 < len(lines) <= SERIES_MAX:
        raise UsageError(f"a plot has {len(lines)} lines, at least 1 and at most {SERIES_MAX}")
    limit = POINTS_MAX // len(lines)
    shrink = thin if head["kind"] == "scatter" else envelope
    points = sum(map(len, lines.values()))
    series = []
    for name, pairs in lines.items():
        whole: Line = ([a for a, _b in pairs], [b for _a, b in pairs])
        xs, ys = shrink(whole, limit)
        series.append({"name": name, "x": xs, "y": ys})
    kept = sum(len(one["x"]) for one in series)
    return {**head, "series": series, "points": points, "kept": kept}


def _head(kind: str, title: str | None, x: str, y: str) -> dict[str, Any]:
    name = str(title)[:200] if title is not None else ""
    return {"kind": kind, "title": name, "labels": {"x": str(x), "y": str(y)}}


def _take(table: object) -> Table:
    found = to_media(table)
    if not isinstance(found, Table):
        raise UsageError(
            f"a plot cannot be made of a value of type {type(table).__name__}",
            hint="give a Table or dataframe",
        )
    if found.problem is not None:
        raise found.problem
    return found


def _column(table: Table, name: str) -> list[Cell]:
    found: list[Cell] = table.get_column(name)
    return found


def _is_number(value: object) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and abs(value) < float("inf")  # type: ignore[arg-type]  # NaN is below nothing


def _numbers(value: Any, what: str) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        raise UsageError(f"{what} is not a sequence of sequences")
    return list(value)


def _plain(value: Any) -> list[Any]:
    """Return a sequence or an array of any library as a list."""
    if value is None:
        raise UsageError("a sequence is missing")
    for name in ("tolist", "to_list", "to_pylist"):
        method = getattr(value, name, None)
        if callable(method):
            return list(method())
    return [one.tolist() if hasattr(one, "tolist") else one for one in value]


_KINDS: dict[str, Callable[..., Plot]] = {
    "line": line, "scatter": scatter, "bar": bar, "histogram": histogram,
}  # fmt: skip

_CHARTS: dict[str, tuple[str, dict[str, str]]] = {
    "line": ("line", {"x": "x", "y": "y", "stroke": "stroke"}),
    "lineseries": ("line", {"x": "step", "y": "lineVal", "stroke": "lineKey"}),
    "area-under-curve": ("line", {"x": "x", "y": "y", "stroke": "class"}),
    "scatter": ("scatter", {"x": "x", "y": "y"}),
    "bar": ("bar", {"label": "label", "value": "value"}),
    "histogram": ("histogram", {"value": "value"}),
}
"""W&B's own charts: what draws them here, and what its arguments are called there."""
