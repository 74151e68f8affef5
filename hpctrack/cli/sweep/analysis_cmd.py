"""``hpctrack sweep importance``, ``curves``, ``early-stop-cost`` and ``export``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from hpctrack.cli.options import json_option, print_json, project_option, store_option
from hpctrack.cli.sweep.analysis_view import print_curves, print_early_stop, print_importance
from hpctrack.cli.sweep.load import load_status
from hpctrack.errors import NotFoundError
from hpctrack.sweeps.results.curves import Curve, read_curves
from hpctrack.sweeps.results.early_stop_report import parse_rule, report_early_stop
from hpctrack.sweeps.results.export import (
    FORMATS,
    choose_format,
    encode_rows,
    make_rows,
    save_file,
)
from hpctrack.sweeps.results.importance import choose_metric, measure_importance
from hpctrack.sweeps.results.records import read_records
from hpctrack.sweeps.results.trial_status import SweepStatus
from hpctrack.sweeps.search.importance import EVALUATORS

SHOWN_CURVES = 20

metric_option = click.option("--metric", default="", help="Which metric. [default: the first]")


@click.command()
@click.argument("sweep_id", metavar="ID")
@store_option
@project_option
@metric_option
@click.option(
    "--method",
    type=click.Choice(["both", *EVALUATORS]),
    default="both",
    show_default=True,
    help="How it is worked out.",
)
@json_option
def importance(
    *,
    sweep_id: str,
    store: Path | None,
    project: str | None,
    metric: str,
    method: str,
    as_json: bool,
) -> None:
    """Show which parameters decide how good a trial is.

    fANOVA: the share of the metric's variance, over all that was tried, that a parameter explains
    alone; needs scikit-learn. PED-ANOVA: how much the values in the best tenth of the trials differ
    from those in all; also for conditional parameters. The correlation is Spearman's, above 0 if
    the metric grows with the parameter. Only finished trials count.

    \b
    Examples:
      hpctrack sweep importance k3x9a0bq
      hpctrack sweep importance k3x9a0bq --method ped-anova --metric val/loss
      hpctrack sweep importance k3x9a0bq --json | jq '.parameters[0].name'
    """
    current = load_status(sweep_id, store, project)
    evaluators = EVALUATORS if method == "both" else (method,)
    found = measure_importance(current, metric=metric, evaluators=evaluators)
    if as_json:
        print_json(found.to_json())
    else:
        print_importance(found)


@click.command()
@click.argument("sweep_id", metavar="ID")
@store_option
@project_option
@metric_option
@click.option("--all", "shows_all", is_flag=True, help=f"Not only the best {SHOWN_CURVES} trials.")
@click.option("--fast", is_flag=True, help="Only what the study has; open no run.")
@json_option
def curves(
    *,
    sweep_id: str,
    store: Path | None,
    project: str | None,
    metric: str,
    shows_all: bool,
    fast: bool,
    as_json: bool,
) -> None:
    """Show how the metric went in each trial, and where pruned ones were stopped.

    The study keeps the iterations that the early-stopping rule looks at; the others are read from
    the trials' runs, which takes some milliseconds each.

    \b
    Examples:
      hpctrack sweep curves k3x9a0bq
      hpctrack sweep curves k3x9a0bq --all --fast
      hpctrack sweep curves k3x9a0bq --json | jq '.curves[0].values'
      hpctrack sweep export k3x9a0bq --curves -o curves.csv
    """
    current = load_status(sweep_id, store, project)
    chosen = choose_metric(current, metric)
    found = _read_curves(current, chosen.name, reads_runs=not fast)
    if as_json:
        print_json({
            "metric": chosen.name, "goal": chosen.goal, "curves": [one.to_json() for one in found]
        })  # fmt: skip
    else:
        print_curves(found, chosen, shown=None if shows_all else SHOWN_CURVES)


@click.command("early-stop-cost")
@click.argument("sweep_id", metavar="ID")
@store_option
@project_option
@click.option(
    "--rule",
    "rules",
    multiple=True,
    metavar="KIND,KEY=VALUE,...",
    help="By the sweep file's names; may be given several times."
    " [default: the sweep's own, and hyperband with eta 2, 3 and 4]",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Trials that run at a time. [default: as many as there were]",
)
@json_option
def early_stop_cost(
    *,
    sweep_id: str,
    store: Path | None,
    project: str | None,
    rules: tuple[str, ...],
    workers: int | None,
    as_json: bool,
) -> None:
    """Show what early stopping would have saved and missed, by trials that ran to their end.

    First how well the ranking after some iterations agrees with the final one: Spearman's and
    Kendall's coefficient are 1 for the same order and 0 for none. Then the sweep is played again
    under each rule: how many iterations it saves, and how much worse the best trial is that it
    leaves (the regret, in the metric's unit).

    \b
    Examples:
      hpctrack sweep early-stop-cost k3x9a0bq
      hpctrack sweep early-stop-cost k3x9a0bq --workers 8 --rule hyperband,min_iter=3,eta=3
      hpctrack sweep early-stop-cost k3x9a0bq --rule median --rule percentile,percentile=25
      hpctrack sweep early-stop-cost k3x9a0bq --json | jq .replays
    """
    chosen = [parse_rule(one) for one in rules]
    current = load_status(sweep_id, store, project)
    metric = choose_metric(current)
    found = _read_curves(current, metric.name, reads_runs=True)
    report = report_early_stop(current, found, chosen, workers=workers)
    if as_json:
        print_json(report.to_json())
    else:
        print_early_stop(report)


@click.command()
@click.argument("sweep_id", metavar="ID")
@store_option
@project_option
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="[default: by the name of the file, else csv]",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="A file to write."
)
@click.option("--curves", "has_curves", is_flag=True, help="A row for each point of each curve.")
@json_option
def export(
    *,
    sweep_id: str,
    store: Path | None,
    project: str | None,
    form: str | None,
    output: Path | None,
    has_curves: bool,
    as_json: bool,
) -> None:
    """Write a sweep as a table: one row for each trial.

    Parameters are columns named params.NAME, metrics metrics.NAME. Parquet needs pyarrow. In
    Python, hpctrack.sweep_results(ID).to_pandas() is the same table.

    \b
    Examples:
      hpctrack sweep export k3x9a0bq > trials.csv
      hpctrack sweep export k3x9a0bq -o trials.parquet
      hpctrack sweep export k3x9a0bq --curves --json | jq '.rows[0]'
    """
    chosen = choose_format("json" if as_json and form is None else form, output)
    current = load_status(sweep_id, store, project)
    if has_curves:
        metric = choose_metric(current)
        found = _read_curves(current, metric.name, reads_runs=True, needs_steps=True)
        rows = [{**row, "metric": metric.name} for one in found for row in one.iter_rows()]
    else:
        rows = make_rows(current)
    sweep = current.sweep
    data = encode_rows(rows, chosen, id=sweep.id, name=sweep.name, project=sweep.project)
    if output is None:
        sys.stdout.write(data.decode())
        return
    save_file(output, data)
    click.echo(f"wrote {len(rows)} rows to {output}", err=True)


def _read_curves(
    status: SweepStatus, metric: str, *, reads_runs: bool, needs_steps: bool = False
) -> list[Curve]:
    """Return the curves of a metric.

    Raises
    ------
    NotFoundError
        No trial has one.
    """
    records = read_records(status.sweep)
    found = read_curves(
        status, records, metric=metric, reads_runs=reads_runs, needs_steps=needs_steps
    )
    if not found:
        raise NotFoundError(
            f"no trial of sweep {status.sweep.id} has a curve of {metric!r}",
            hint=f"`hpctrack sweep status {status.sweep.id}` shows how they stand",
        )
    return found
