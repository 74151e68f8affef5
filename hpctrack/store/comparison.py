"""What differs between runs, and in what they were made of. Pure."""

from __future__ import annotations

import difflib
import math
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hpctrack.core.fields import flatten
from hpctrack.store.record import RunRecord

ABSENT = "(none)"
"""What people read where one of two has no value."""

_CHANGING = re.compile(
    r"SLURM_(?:ARRAY_)?(?:JOB_?ID|STEP_?ID|TASK_?ID)|SLURM_JOB_(?:START|END)_TIME|SLURM_\w*NODELIST"
    r"|SLURM_JOB_(?:UID|GID|USER)|SLURMD_NODENAME|SLURM_NODENAME|SLURM_TOPOLOGY_ADDR"
    r"|SLURM_(?:TASK_PID|GTIDS|PROCID|LOCALID|NODEID|LAUNCH_NODE_IPADDR|SUBMIT_HOST)"
    r"|SLURM_STEP_\w+|SLURM_SRUN_\w+|SLURM_CPU_BIND\w*|SLURM_PRIO_PROCESS|SLURM_UMASK|SLURM_RLIMIT\w*"
    r"|SLURM_JOB_CPUS_PER_NODE_PACK_GROUP\w*|SLURM_WORKING_CLUSTER|SLURM_RESTART_COUNT"
    r"|PBS_JOBID|PBS_NODEFILE|LSB_JOBID|LSB_HOSTS"
    r"|RANK|LOCAL_RANK|GROUP_RANK|MASTER_ADDR|MASTER_PORT|TORCHELASTIC_RUN_ID|PMI_\w+"
    r"|HPCTRACK_(?:RUN_ID|LAUNCH|NAME|TRIAL|SWEEP_CONFIG|RUNTIME_DIR|AGENT|HELLO|CONSOLES)"
    r"|HOSTNAME|TMPDIR|_runtime|_timestamp|_wandb"
)
"""What two runs of the same thing never have in common."""

_JOB_VARIABLE = re.compile(r"(?:SLURM|SLURMD|SBATCH|PBS|LSB)_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of two runs.

    Parameters
    ----------
    config, summary : mapping
        With the keys of what was nested joined by dots.
    job : mapping
        What the scheduler said, and the run's size.
    provenance : mapping
        As `StoredRun.provenance`; may be empty.
    """

    config: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)
    job: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not the same.

    Parameters
    ----------
    section, key : str
    left, right : object
        JSON-able; `ABSENT` where there is none.
    lines : tuple of str
        Of texts: a unified diff, in place of the texts.
    """

    section: str
    key: str
    left: Any
    right: Any
    lines: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able form."""
        if self.lines:
            return {"key": self.key, "diff": list(self.lines)}
        return {"key": self.key, "left": self.left, "right": self.right}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One thing of several runs, side by side.

    Parameters
    ----------
    section, key : str
    values : tuple of object
        One for each run, JSON-able; `ABSENT` where it has none.
    is_same : bool
    is_text : bool
        The values are of many lines.
    """

    section: str
    key: str
    values: tuple[Any, ...]
    is_same: bool
    is_text: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """A value of several lines."""

    text: str


Facts = Mapping[str, Any]

_MISSING = object()


def _command(side: Side) -> Facts:
    program = side.provenance.get("program") or {}
    launchers = program.get("launchers") or []
    return {
        "argv": shlex.join(program.get("argv") or ()),
        "cwd": program.get("cwd"),
        "executable": program.get("executable"),
        **{f"launcher.{number}": shlex.join(one) for number, one in enumerate(launchers)},
    }


def _git(side: Side) -> Facts:
    git = side.provenance.get("git") or {}
    source = side.provenance.get("source") or {}
    return {
        "commit": git.get("commit"),
        "branch": git.get("branch"),
        **{f"remote.{name}": url for name, url in (git.get("remotes") or {}).items()},
        "untracked": " ".join(git.get("untracked") or ()),
        "diff": Text(str(git.get("diff", ""))),
        "source": Text(str(source.get("text", ""))),
    }


def _packages(side: Side) -> Facts:
    python = side.provenance.get("python") or {}
    conda = side.provenance.get("conda") or {}
    direct = python.get("direct") or {}
    return {
        "(python)": " ".join(filter(None, [python.get("implementation"), python.get("version")])),
        **(python.get("packages") or {}),
        **{f"{name} (commit)": one.get("commit") for name, one in direct.items()},
        **{f"conda/{name}": version for name, version in (conda.get("packages") or {}).items()},
    }


def _modules(side: Side) -> Facts:
    loaded = (side.provenance.get("modules") or {}).get("loaded") or ()
    parts = (one.partition("/") for one in loaded)
    return {name: version or "(loaded)" for name, _slash, version in parts}


def _environment(side: Side) -> Facts:
    values = side.provenance.get("environment") or {}
    return {name: one for name, one in values.items() if not _JOB_VARIABLE.match(name)}


def _job(side: Side) -> Facts:
    values = side.provenance.get("environment") or {}
    script = side.provenance.get("job_script") or {}
    return {
        **{name: one for name, one in values.items() if _JOB_VARIABLE.match(name)},
        **side.job,
        "script": Text(str(script.get("text", ""))),
    }


def _hardware(side: Side) -> Facts:
    machine = dict(side.provenance.get("machine") or {})
    machine.pop("host", None)
    return {**machine, "gpus": ", ".join(machine.get("gpus") or ())}


def _libraries(side: Side) -> Facts:
    found = side.provenance.get("libraries") or {}
    mpi = found.get("mpi") or {}
    return {
        "mpi": " ".join(filter(None, [mpi.get("name"), mpi.get("version")])),
        **(found.get("versions") or {}),
        **dict.fromkeys(found.get("loaded") or (), "loaded"),
    }


def _container(side: Side) -> Facts:
    found = side.provenance.get("container") or {}
    return {key: found.get(key) for key in ("kind", "image", "digest", "made_from")}


SECTIONS: Mapping[str, Callable[[Side], Facts]] = {
    "config": lambda side: side.config,
    "summary": lambda side: side.summary,
    "command": _command,
    "git": _git,
    "packages": _packages,
    "modules": _modules,
    "environment": _environment,
    "job": _job,
    "hardware": _hardware,
    "libraries": _libraries,
    "container": _container,
}
"""In the order in which they are shown."""

RECORDED = frozenset({"config", "summary", "job"})
"""Sections that every run has, also one without provenance."""


def compare(
    left: Side, right: Side, *, only: Iterable[str] = SECTIONS, is_complete: bool = False
) -> list[Difference]:
    """Return what differs, section by section, by key.

    Parameters
    ----------
    left, right : Side
    only : iterable of str
        Sections.
    is_complete : bool
        Also what always differs: ids, times, hosts.
    """
    wanted = set(only)
    has_both = bool(left.provenance) and bool(right.provenance)
    found: list[Difference] = []
    for name, read in SECTIONS.items():
        if name in wanted and (has_both or name in RECORDED):
            facts = [_drop_empty(name, read(one)) for one in (left, right)]
            found += _compare_facts(name, *facts, is_complete=is_complete)
    return found


def make_side(record: RunRecord, provenance: Mapping[str, Any]) -> Side:
    """Return a run as it is compared with others.

    Parameters
    ----------
    record : RunRecord
    provenance : mapping
        As `StoredRun.provenance`.
    """
    job = {
        **record.job,
        "ranks": record.size,
        "nodes": record.nodes,
        "launcher": record.launcher,
        "group": record.group,
        "job_type": record.job_type,
        "tags": ", ".join(record.tags),
        "state": str(record.state),
    }
    return Side(
        config=flatten(record.config),
        summary=flatten(record.summary),
        job=job,
        provenance=provenance,
    )


def compare_all(
    sides: Sequence[Side], *, only: Iterable[str] = SECTIONS, is_complete: bool = False
) -> list[Row]:
    """Return everything that any of several runs has, section by section, by key.

    Parameters
    ----------
    sides : sequence of Side
    only : iterable of str
        Sections.
    is_complete : bool
        Also what always differs: ids, times, hosts.
    """
    wanted = set(only)
    rows: list[Row] = []
    for name, read in SECTIONS.items():
        if name not in wanted:
            continue
        facts = [_drop_empty(name, read(one)) for one in sides]
        for key in sorted({key for one in facts for key in one}):
            if not is_complete and _CHANGING.fullmatch(key):
                continue
            rows.append(_make_row(name, key, [one.get(key, _MISSING) for one in facts]))
    return rows


def _make_row(section: str, key: str, values: Sequence[Any]) -> Row:
    return Row(
        section=section,
        key=key,
        values=tuple(_shown(one.text if isinstance(one, Text) else one) for one in values),
        is_same=all(_is_same(values[0], one) for one in values[1:]),
        is_text=any(isinstance(one, Text) for one in values),
    )


def _drop_empty(section: str, facts: Facts) -> Facts:
    """Leave out what was not recorded; in a configuration None is a value."""
    if section in {"config", "summary"}:
        return facts
    return {key: one for key, one in facts.items() if one not in (None, "", [], {}, Text(""))}


def _compare_facts(
    section: str, left: Facts, right: Facts, *, is_complete: bool
) -> Iterator[Difference]:
    for key in sorted({**left, **right}):
        if not is_complete and _CHANGING.fullmatch(key):
            continue
        one, other = left.get(key, _MISSING), right.get(key, _MISSING)
        if isinstance(one, Text) or isinstance(other, Text):
            lines = tuple(_diff_texts(one, other, key))
            if lines:
                yield Difference(section, key, None, None, lines)
        elif not _is_same(one, other):
            yield Difference(section, key, _shown(one), _shown(other))


def _is_same(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float) and math.isnan(left):
        return math.isnan(right)
    # 1 and 1.0 are the same number, 1 and True are not the same answer.
    return bool(left == right) and isinstance(left, bool) == isinstance(right, bool)


def _shown(value: Any) -> Any:
    return ABSENT if value is _MISSING else value


def _diff_texts(left: Any, right: Any, name: str) -> Sequence[str]:
    one, other = (side.text if isinstance(side, Text) else "" for side in (left, right))
    return diff_texts(one, other, name)


def diff_texts(left: str, right: str, name: str) -> list[str]:
    """Return a unified diff of two texts, as lines; empty if they are the same."""
    one, other = left.splitlines(), right.splitlines()
    return list(difflib.unified_diff(one, other, f"a/{name}", f"b/{name}", lineterm=""))
