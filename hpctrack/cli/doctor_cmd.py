"""``hpctrack doctor``: is everything in place here, and what to do if not."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from rich.markup import escape

from hpctrack.cli.doctor_node import check_gpus, check_host, check_scheduler
from hpctrack.cli.format import make_console
from hpctrack.cli.options import json_option, print_json, store_option
from hpctrack.client import session
from hpctrack.client.identity import make_identity
from hpctrack.client.ranks import detect_rank
from hpctrack.client.spawn import ensure_runtime_folder
from hpctrack.core import __version__
from hpctrack.core.settings import Settings, environment, load_settings
from hpctrack.errors import HpctrackError
from hpctrack.store.store import Store

EXTRAS = {
    "paramiko": "sync",
    "submitit": "sweep",
    "bokeh": "server",
    "mpi4py": "mpi",
    "pynvml": "gpu",
}

_MARKS = {"ok": "[green]ok  [/]", "note": "[blue]note[/]", "bad": "[red]bad [/]"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Parameters
    ----------
    level : str
        ok, note (works without it) or bad.
    what, text : str
        What was looked at, and what was seen.
    """

    level: str
    what: str
    text: str


@click.command()
@store_option
@json_option
def doctor(*, store: Path | None, as_json: bool) -> None:
    """Check this machine: settings, store, agent, packages, GPUs, sensors, job, and a whole run.

    Exits with 1 if something is bad.

    \b
    Examples:
      hpctrack doctor
      srun -N2 --ntasks-per-node=1 hpctrack doctor --json
    """
    loaded = load_settings({"dir": store})
    findings = [Finding("bad", "settings", one.message) for one in loaded.problems]
    for check in (
        _check_python,
        _check_rank,
        _check_store,
        _check_runtime,
        _check_extras,
        _check_gpus,
        _check_host,
        _check_scheduler,
        _check_run,
    ):
        findings += _guard(check, loaded.values)
    if as_json:
        print_json({"findings": [asdict(one) for one in findings]})
    else:
        console = make_console()
        for one in findings:
            console.print(f"{_MARKS[one.level]} [bold]{one.what:<10}[/] {escape(one.text)}")
    if any(one.level == "bad" for one in findings):
        sys.exit(1)


def _guard(check: Callable[[Settings], Iterator[Finding]], settings: Settings) -> list[Finding]:
    try:
        return list(check(settings))
    except HpctrackError as error:
        name = check.__name__.removeprefix("_check_")
        return [
            Finding("bad", name, f"{error.message} ({error.hint})" if error.hint else error.message)
        ]


def _check_python(_settings: Settings) -> Iterator[Finding]:
    version = ".".join(str(one) for one in sys.version_info[:3])
    yield Finding("ok", "python", f"hpctrack {__version__}, Python {version} ({sys.executable})")


def _check_rank(_settings: Settings) -> Iterator[Finding]:
    environ = environment()
    rank = detect_rank(environ)
    identity = make_identity(environ, rank)
    place = f"rank {rank.rank} of {rank.size}, node {rank.node}, launcher {rank.launcher}"
    job = environ.get("SLURM_JOB_ID")
    told = f"; run id here would be {identity.run_id}" if job or rank.size > 1 else ""
    yield Finding("ok", "rank", f"{place}{f', Slurm job {job}' if job else ''}{told}")


def _check_store(settings: Settings) -> Iterator[Finding]:
    path = Path(settings.dir).expanduser().absolute()
    folder = path
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not os.access(folder, os.W_OK):
        yield Finding(
            "bad", "store", f"{path} cannot be written; set HPCTRACK_DIR to a folder of yours"
        )
        return
    free_gb = shutil.disk_usage(folder).free / 1e9
    level = "ok" if free_gb > 1 else "bad"
    if not path.exists():
        yield Finding(level, "store", f"{path} will be made; {free_gb:.0f} GB free")
        return
    store = Store(path)
    runs, broken = len(store.runs()), store.broken()
    yield Finding(level, "store", f"{path}: {runs} runs, {free_gb:.0f} GB free")
    for run, error in broken:
        yield Finding("bad", "store", f"{run.project}/{run.id}: {error.message}")


def _check_runtime(settings: Settings) -> Iterator[Finding]:
    environ = environment()
    key = make_identity(environ, detect_rank(environ)).job_key
    folder = ensure_runtime_folder(environ, key, asked=settings.runtime_dir)
    yield Finding("ok", "agent", f"its socket lies in {folder.path}")


def _check_extras(_settings: Settings) -> Iterator[Finding]:
    for package, extra in EXTRAS.items():
        if importlib.util.find_spec(package):
            yield Finding("ok", "package", package)
        else:
            hint = f"pip install 'hpctrack[{extra}]' if you need it"
            yield Finding("note", "package", f"{package} is not installed; {hint}")


def _check_gpus(_settings: Settings) -> Iterator[Finding]:
    yield from (Finding(*one) for one in check_gpus())


def _check_host(_settings: Settings) -> Iterator[Finding]:
    yield from (Finding(*one) for one in check_host())


def _check_scheduler(_settings: Settings) -> Iterator[Finding]:
    yield from (Finding(*one) for one in check_scheduler(environment()))


def _check_run(settings: Settings) -> Iterator[Finding]:
    """Log a real run into a folder of its own and read it back."""
    with tempfile.TemporaryDirectory() as folder:
        told = {"runtime_dir": settings.runtime_dir, "quiet": True, "seal": "manual"}
        run = session.init("doctor", id="check", dir=folder, mode="offline", settings=told)
        run.log({"value": 1.0}, step=1)
        is_safe = run.finish()
        found = Store(folder).run("check", project="doctor")
        value = found.metric("value").values.tolist() if is_safe else []
        found.close()
    if value == [1.0]:
        yield Finding("ok", "run", "a run was recorded, confirmed and read back")
    else:
        yield Finding(
            "bad", "run", "a test run was not confirmed; see the agent's log beside its socket"
        )
