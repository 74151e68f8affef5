"""``hpctrack doctor``: is everything in place here, and what to do if not."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from rich.markup import escape

from hpctrack.cli.doctor_node import check_gpus, check_host, check_scheduler
from hpctrack.cli.doctor_store import check_run, check_store
from hpctrack.cli.format import make_console
from hpctrack.cli.options import json_option, print_json, store_option
from hpctrack.client.identity import make_identity
from hpctrack.client.ranks import detect_rank
from hpctrack.client.spawn import ensure_runtime_folder
from hpctrack.core import __version__
from hpctrack.core.settings import Settings, environment, load_settings
from hpctrack.errors import HpctrackError

EXTRAS = {
    "paramiko": "sync",
    "submitit": "sweep",
    "bokeh": "server",
    "mpi4py": "mpi",
    "pynvml": "gpu",
    "textual": "top",
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
    findings = [Finding("bad", "settings", _describe(one)) for one in loaded.problems]
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
    """Run one check; whatever it meets costs this one, and is told."""
    name = check.__name__.removeprefix("_check_")
    try:
        return list(check(settings))
    except HpctrackError as error:
        return [Finding("bad", name, _describe(error))]
    except Exception as error:  # noqa: BLE001 - any machine, any file system
        text = f"could not be checked: {type(error).__name__}: {error}"
        return [Finding("bad", name, text)]


def _describe(error: HpctrackError) -> str:
    return f"{error.message} ({error.hint})" if error.hint else error.message


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
    yield from (Finding(*one) for one in check_store(settings))


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
    yield from (Finding(*one) for one in check_gpus(environment()))


def _check_host(_settings: Settings) -> Iterator[Finding]:
    yield from (Finding(*one) for one in check_host())


def _check_scheduler(_settings: Settings) -> Iterator[Finding]:
    yield from (Finding(*one) for one in check_scheduler(environment()))


def _check_run(settings: Settings) -> Iterator[Finding]:
    yield from (Finding(*one) for one in check_run(settings))
