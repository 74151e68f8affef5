"""A sweep as a table: one row for each trial, or for each point of the curves."""

from __future__ import annotations

import csv
import io
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hpctrack.core.wire import make_plain
from hpctrack.errors import UsageError
from hpctrack.store.history import load_package
from hpctrack.sweeps.results.trial_status import SweepStatus, TrialStatus
from hpctrack.sweeps.schema.command import iter_flat, show

FORMATS = ("csv", "json", "parquet")
SUFFIXES = {".csv": "csv", ".json": "json", ".parquet": "parquet", ".pq": "parquet"}

Row = dict[str, Any]


def make_rows(status: SweepStatus) -> list[Row]:
    """Return a row for each trial; every row has all columns, None where there is nothing.

    Parameters are named ``params.NAME`` and metrics ``metrics.NAME``, so that a parameter may be
    called ``state`` too.
    """
    metrics = [one.name for one in status.sweep.file.metrics]
    flat = [dict(iter_flat(one.parameters)) for one in status.trials]
    names = list(dict.fromkeys(name for one in flat for name in one))
    return [
        _make_row(one, {name: parameters.get(name) for name in names}, metrics)
        for one, parameters in zip(status.trials, flat, strict=True)
    ]


def _make_row(one: TrialStatus, parameters: Mapping[str, Any], metrics: Sequence[str]) -> Row:
    result = one.result
    return {
        "trial": one.number,
        "configuration": one.configuration,
        "repeat": one.repeat,
        "state": one.state.value,
        "run": one.run_id if one.has_run else None,
        "project": one.run_project or None,
        **{f"params.{name}": value for name, value in parameters.items()},
        **{f"metrics.{name}": one.values.get(name) for name in metrics},
        "iterations": result.iterations if result else None,
        "duration_s": result.duration_s if result else None,
        "earlier_s": result.earlier_s if result else None,
        "started_wall_s": (result.started_wall_s or None) if result else None,
        "ended_wall_s": result.ended_wall_s if result else None,
        "exit_code": one.exit_code,
        "signal": (result.signal or None) if result else None,
        "message": (result.message or None) if result else None,
        "why": (result.why or None) if result else None,
        "attempt": result.attempt if result else None,
        "failures": result.failures if result else None,
        "worker": (result.worker or None) if result else None,
        "job": (result.job or None) if result else None,
        "host": (result.host or None) if result else None,
        "cpus": result.cpus if result else None,
        "gpus": result.gpus if result else None,
        "log": one.log or None,
    }


def make_columns(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """Return rows as columns of one type each, which data frames need.

    A column that mixes types, or holds lists, becomes text; numbers stay numbers.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {name: _even_out([row.get(name) for row in rows]) for name in names}


def _even_out(values: list[Any]) -> list[Any]:
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int} or kinds <= {bool} or kinds <= {str}:
        return values
    if kinds <= {int, float}:
        return [None if value is None else float(value) for value in values]
    return [None if value is None else show(value) for value in values]


def write_csv(rows: Sequence[Row]) -> str:
    """Return rows as CSV (RFC 4180, but with line feeds); nothing is an empty cell."""
    out = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        cells = (row.get(name) for name in names)
        writer.writerow(["" if one is None else show(one) for one in cells])
    return out.getvalue()


def write_json(rows: Sequence[Row], **about: Any) -> str:
    """Return rows as one JSON object; what is no number there is null."""
    plain = [{name: _finite(value) for name, value in row.items()} for row in rows]
    return json.dumps({**about, "rows": plain}, default=make_plain, indent=1) + "\n"


def write_parquet(rows: Sequence[Row]) -> bytes:
    """Return rows as a Parquet file.

    Raises
    ------
    MissingPackageError
        pyarrow is not installed.
    """
    arrow = load_package("pyarrow")
    parquet = load_package("pyarrow.parquet")
    out = io.BytesIO()
    parquet.write_table(arrow.table(make_columns(rows)), out)
    return out.getvalue()


def choose_format(given: str | None, output: Path | None) -> str:
    """Return the format that was asked for: by name, else by the file's suffix, else CSV.

    Raises
    ------
    UsageError
        The suffix says nothing, or a Parquet file was to go to the terminal.
    """
    chosen = given
    if chosen is None:
        suffix = output.suffix.lower() if output else ".csv"
        if suffix not in SUFFIXES:
            raise UsageError(
                f"{output} does not say what format it is to have",
                hint=f"--format {'|'.join(FORMATS)}, or a name that ends in .csv",
            )
        chosen = SUFFIXES[suffix]
    if chosen == "parquet" and output is None:
        raise UsageError("a Parquet file cannot go to the terminal", hint="name it: -o FILE")
    return chosen


def encode_rows(rows: Sequence[Row], form: str, **about: Any) -> bytes:
    """Return rows in one of `FORMATS`; ``about`` goes in front of JSON's.

    Raises
    ------
    MissingPackageError
        Parquet needs pyarrow.
    """
    if form == "parquet":
        return write_parquet(rows)
    text = write_json(rows, **about) if form == "json" else write_csv(rows)
    return text.encode()


def save_file(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees all of it or the one before.

    Raises
    ------
    UsageError
        It cannot be written there.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None
    finally:
        with suppress(OSError):
            beside.unlink()


def make_frame(rows: Iterable[Row]) -> Any:
    """Return rows as a pandas DataFrame.

    Raises
    ------
    MissingPackageError
        pandas is not installed.
    """
    return load_package("pandas").DataFrame(make_columns(list(rows)))


def _finite(value: Any) -> Any:
    if isinstance(value, float) and value - value != 0:
        return None
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return value
