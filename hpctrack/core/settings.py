"""Settings: one frozen record, read once, with the origin of every value.

Precedence: argument, environment, ``hpctrack.toml`` in the working folder or above it, the
user's ``~/.config/hpctrack/hpctrack.toml``, the site's ``/etc/hpctrack.toml``, default. The name in
the environment is the field's name in capitals after ``HPCTRACK_``.
"""

# ruff: noqa: PTH113, PTH118, PTH120, PTH123 - a rank does not load pathlib

from __future__ import annotations

import os

from hpctrack.core import Record
from hpctrack.errors import SettingsError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

ENV_PREFIX = "HPCTRACK_"
FILE_NAME = "hpctrack.toml"
SITE_FILE = "/etc/hpctrack.toml"

RULES = "rules"
"""The setting that all sources add to."""

NOT_SETTINGS = frozenset({
    "LAUNCH", "TEST_REQUIRE", "SCREENSHOTS", "SWEEP_CONFIG", "TOKEN", "RULE", "RULE_TEXT", "AGENT",
    "HELLO", "CONSOLES", "RUN_NAME", "SWEEP_SOCKET", "SWEEP_METRICS", "TRIAL_DIR", "ATTEMPT",
})  # fmt: skip
"""``HPCTRACK_...`` variables with another owner (the test suite, a sweep's trial, the server, a
rule's command, what `hpctrack run` tells the program in it)."""


class Setting:
    """The default of one of the `Settings`, and what people are told of it.

    Parameters
    ----------
    default : str, int, float or bool
        Its type is the setting's.
    text : str
        What it is.
    choices : tuple of str
        All that it can be; empty if that cannot be listed.
    """

    __slots__ = ("choices", "default", "help")

    def __init__(self, default: Any, text: str, choices: tuple[str, ...] = ()) -> None:
        self.default = default
        self.help = text
        self.choices = choices

    def __get__(self, settings: Settings | None, kind: type[Settings]) -> Any:
        """Return the default of settings that have no value of their own; itself of the class."""
        return self if settings is None else self.default


def _setting(default: Any, text: str, choices: tuple[str, ...] = ()) -> Any:
    return Setting(default, text, choices)


class Settings(Record):
    """Everything that can be set, with defaults."""

    dir: str = _setting("./hpctrack-store", "the store's folder")
    project: str = _setting("uncategorized", "project of new runs")
    mode: str = _setting(
        "offline",
        "offline records, disabled makes every call a no-op; online is taken for offline",
        choices=("offline", "online", "disabled"),
    )
    run_id: str = _setting("", "id of the run; empty derives it from the launcher")
    name: str = _setting("", "display name of the run; empty makes one up")
    group: str = _setting("", "group of the run")
    job_type: str = _setting("", "what the run does, such as train or eval")
    tags: str = _setting("", "comma-separated tags")
    sweep_id: str = _setting("", "sweep that the run is a trial of; set by the sweep")
    trial: int = _setting(-1, "number of the trial in its sweep; set by the sweep")
    resume: str = _setting(
        "",
        "what `init(resume=...)` says, for programs that say nothing: allow, never, must or auto",
        choices=("", "allow", "never", "must", "auto"),
    )
    raise_pruned: bool = _setting(
        False, "have log() raise hpctrack.Pruned when the run is to end; see stop-trials-early"
    )
    stop_answer_timeout_s: float = _setting(
        2.0, "longest wait of rank 0 of a trial for its sweep's answer, seconds"
    )
    stop_agreement_timeout_s: float = _setting(
        30.0, "longest wait of another rank for rank 0, where all have to stop together, seconds"
    )
    strict: bool = _setting(False, "raise into the program instead of warning once")
    quiet: bool = _setting(False, "print nothing but warnings")
    seal: str = _setting(
        "auto",
        "auto seals a run when its last rank has finished, manual waits for `hpctrack seal`",
        choices=("auto", "manual"),
    )
    finish_timeout_s: float = _setting(30.0, "longest wait of finish() for the agent, seconds")
    buffer_bytes: int = _setting(
        16 * 1024 * 1024, "what a rank may hold back while its agent is busy; more is dropped"
    )
    flush_interval_s: float = _setting(0.05, "longest time a point stays in the agent, seconds")
    linger_s: float = _setting(3.0, "how long an idle agent waits for the job's next run, seconds")
    roll_over_bytes: int = _setting(
        4 * 1024**3, "a live file larger than this is closed and followed by another; 0: never"
    )
    roll_over_s: float = _setting(
        3600.0,
        "the same by age, seconds: only what is closed is sure to survive the loss of the node",
    )
    heartbeat_s: float = _setting(5.0, "time between two signs of life in a live file, seconds")
    stale_after_s: float = _setting(
        60.0, "a live file without a sign of life for this long has lost its agent, seconds"
    )
    console: str = _setting(
        "auto",
        "what is recorded of a rank's output: redirect takes file descriptors 1 and 2, so C code "
        "and child processes too, wrap only what Python prints; auto wraps in notebooks",
        choices=("auto", "redirect", "wrap", "off"),
    )
    console_max_bytes: int = _setting(
        8 * 1024 * 1024,
        "how much of it is recorded per rank; then only the last 64 KiB of each stream are",
    )
    telemetry: str = _setting(
        "auto",
        "auto samples the node's GPUs, processor, memory, network and power while the run lasts, "
        "once per node",
        choices=("auto", "off"),
    )
    telemetry_interval_s: float = _setting(
        10.0, "time between two samples; the first ones come quicker, seconds"
    )
    sync_accounting: bool = _setting(
        True, "whether sync asks Slurm's accounting (sacct) about the runs that it pushes"
    )
    provenance: str = _setting(
        "auto",
        "auto records what the run was made of: command, code, packages, machine; off does not",
        choices=("auto", "off"),
    )
    provenance_skip: str = _setting(
        "",
        "comma-separated parts to leave out: program, environment, modules, container, machine, "
        "libraries, python, conda, job_script, scheduler, git, diff, source",
    )
    provenance_env: str = _setting(
        "", "comma-separated environment variables to record besides; NAME* for all that begin so"
    )
    rules: str = _setting(
        "",
        "what the agents watch for, and do then: [[rules]] in hpctrack.toml, a list, or JSON; all "
        "sources add to it, and `off` forgets what weaker ones have said",
    )
    job_end_wall_s: float = _setting(
        0.0,
        "when the job's time is up, seconds since 1970, for rules with time_left_min where the "
        "scheduler does not tell; 0: ask it",
    )
    runtime_dir: str = _setting(
        "", "node-local folder for the agent's socket; empty: $SLURM_TMPDIR, $TMPDIR or /tmp"
    )
    spill_dir: str = _setting(
        "",
        "where runs go when the store cannot be written; empty: below the node's $TMPDIR or /tmp",
    )


def list_settings() -> dict[str, Setting]:
    """Return what can be set, by name."""
    return {name: getattr(Settings, name) for name in Settings.field_names}


class LoadedSettings(Record):
    """Settings, where each value came from, and what was wrong."""

    values: Settings
    origins: Mapping[str, str]
    problems: tuple[SettingsError, ...]


def environment() -> Mapping[str, str]:
    """Return the process's environment: the only place that reads it."""
    return os.environ


def copy_environment() -> dict[str, str]:
    """Return a copy of the process's environment, for a child that is started beside other threads.

    A child without one of its own reads the array that the C library keeps, and who sets a variable
    meanwhile moves it: numpy does while it is imported, and ``execve`` failed with EFAULT (seen).
    """
    found = ((name, os.environ.get(name)) for name in list(os.environ))
    return {name: value for name, value in found if value is not None}


class replaced_environment:  # noqa: N801 - reads as a word of the language in `with`
    """Gives the process another environment for a while; what was there comes back.

    For a sweep that calls a function as its trial: `hpctrack.init` in it, and what it starts, are
    to find what a program would. Not for several threads at once.

    Parameters
    ----------
    environ : mapping
        The whole environment meanwhile.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = dict(environ)
        self._before: dict[str, str] = {}

    def __enter__(self) -> None:
        """Replace it."""
        self._before = dict(os.environ)
        _set_environment(self._environ)

    def __exit__(self, *exc: object) -> None:
        """Put it back."""
        _set_environment(self._before)


def _set_environment(environ: Mapping[str, str]) -> None:
    for name in set(os.environ) - set(environ):
        del os.environ[name]
    os.environ.update(environ)


def find_cwd() -> str:
    """Return the working folder; an empty text if it is gone, or nobody may say where it is."""
    try:
        return os.getcwd()  # noqa: PTH109 - a plain text
    except OSError:
        return ""


def load_settings(
    arguments: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    read_toml: Callable[[str], Mapping[str, Any]] | None = None,
) -> LoadedSettings:
    """Gather settings from all their sources; never raises for a wrong value.

    Parameters
    ----------
    arguments : mapping, optional
        Highest precedence; entries that are None are ignored.
    environ : mapping, optional
        Default: the process's own.
    cwd : path, optional
        Where the search for ``hpctrack.toml`` starts.
    read_toml : callable, optional
        For tests.

    Returns
    -------
    LoadedSettings
        ``problems`` holds one `SettingsError` for each value that was ignored; a rank prints
        them, the command line raises the first.
    """
    environ = environment() if environ is None else environ
    read_toml = read_toml or _read_toml
    values: dict[str, Any] = {}
    origins = dict.fromkeys(Settings.field_names, "default")
    problems: list[SettingsError] = []

    def take(source: Mapping[str, Any], origin: str, *, is_file: bool = False) -> None:
        def place(key: str, number: int = 1, message: str = "") -> str:
            return _find_place(origin, key, number, message) if is_file else origin

        for key, raw in source.items():
            try:
                if key == RULES:
                    values[key], wrong = _add_rules(values.get(key, ""), raw, origin, place)
                    problems.extend(wrong)
                else:
                    values[key] = _parse(key, raw, origin)
                origins[key] = origin
            except SettingsError as error:
                told = error.message.replace(f"({origin})", f"({place(key)})")
                problems.append(SettingsError(told, hint=error.hint))

    for path in reversed(list(_iter_files(environ, cwd))):
        try:
            take(read_toml(path), path, is_file=True)
        except SettingsError as error:
            problems.append(error)
    take(_from_environment(environ), "environment")
    given = {key: raw for key, raw in (arguments or {}).items() if raw is not None}
    take(given, "argument")
    settings = Settings(**values)
    if settings.rules:
        from hpctrack.core.rule_reading import find_blind_rules  # noqa: PLC0415 - as below

        problems += filter(None, [find_blind_rules(settings.rules, settings.telemetry)])
    return LoadedSettings(settings, origins, tuple(problems))


def _find_place(path: str, key: str, number: int, message: str) -> str:
    """Return a file, and the line of a mistake in it, for people."""
    from hpctrack.core.toml_lines import find_line  # noqa: PLC0415 - for mistakes only

    try:
        with open(path, encoding="utf-8") as file:
            line = find_line(file.read(), key, message, number)
    except (OSError, ValueError):
        line = 0
    return f"{path}, line {line}" if line else path


def _add_rules(
    known: str, raw: object, origin: str, place: Callable[[str, int, str], str]
) -> tuple[str, list[SettingsError]]:
    if isinstance(raw, (str, list, tuple)) and not raw:
        return known, []
    # Most ranks are given no rules, and should not pay for them.
    from hpctrack.core.rule_reading import add_rules  # noqa: PLC0415 - see above

    return add_rules(known, raw, origin, lambda number, text: place(RULES, number, text))


def _from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    cut = len(ENV_PREFIX)
    names = (key for key in environ if key.startswith(ENV_PREFIX))
    return {
        key[cut:].lower(): environ[key]
        for key in sorted(names)
        if key[cut:] not in NOT_SETTINGS and environ[key]
    }


def _iter_files(environ: Mapping[str, str], cwd: str | os.PathLike[str] | None) -> Iterator[str]:
    """Yield the files that exist, the strongest first."""
    here = find_cwd()
    folder = os.path.normpath(os.path.join(here, cwd or "."))
    while here or cwd:
        path = os.path.join(folder, FILE_NAME)
        if os.path.isfile(path):
            yield path
            break
        if folder == os.path.dirname(folder):
            break
        folder = os.path.dirname(folder)
    home = environ.get("XDG_CONFIG_HOME") or os.path.join(environ.get("HOME", "/"), ".config")
    for path in (os.path.join(home, "hpctrack", FILE_NAME), SITE_FILE):
        if os.path.isfile(path):
            yield path


def _read_toml(path: str) -> Mapping[str, Any]:
    import tomllib  # noqa: PLC0415 - 10 ms that a rank without a file should not pay

    try:
        with open(path, encoding="utf-8") as file:
            return tomllib.loads(file.read())
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from None


def _parse(key: str, raw: Any, origin: str) -> Any:
    if key not in Settings.field_names:
        import difflib  # noqa: PLC0415 - for mistakes only, and it opens three files

        near = difflib.get_close_matches(key, Settings.field_names, n=1)
        shown = f"{ENV_PREFIX}{key.upper()}" if origin == "environment" else key
        raise SettingsError(
            f"unknown setting {shown!r} ({origin})",
            hint=f"did you mean {near[0]!r}?" if near else "`hpctrack config` lists all settings",
        )
    known: Setting = getattr(Settings, key)
    try:
        value = _convert(raw, type(known.default))
    except ValueError:
        kind = type(known.default).__name__
        raise SettingsError(f"setting {key!r} is {raw!r}, not a {kind} ({origin})") from None
    if known.choices and value not in known.choices:
        raise SettingsError(
            f"setting {key!r} is {value!r} ({origin})",
            hint=f"use one of {', '.join(known.choices)}",
        )
    return value


def _convert(raw: Any, kind: type) -> Any:
    if kind is bool:
        text = str(raw).lower()
        if text in {"1", "true", "yes", "on"}:
            return True
        if text in {"0", "false", "no", "off"}:
            return False
        raise ValueError(raw)
    if kind is str:
        if isinstance(raw, (list, tuple)):
            return ",".join(str(one) for one in raw)
        return os.fspath(raw) if isinstance(raw, os.PathLike) else str(raw)
    if isinstance(raw, bool):
        raise ValueError(raw)  # noqa: TRY004 - the caller turns it into the message
    return kind(raw)
