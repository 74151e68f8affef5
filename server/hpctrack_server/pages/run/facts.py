"""What a run is, as labelled lines."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from hpctrack.store.ledger import list_incidents
from hpctrack_server.data.frames import RunFrame

SHOWN_HOSTS = 4
SHOWN_NAMES = 6
COMMIT_CHARS = 12

SHOWN_JOB_FACTS = frozenset(
    {
        "SLURM_JOB_ID", "SLURM_JOB_NAME", "SLURM_JOB_PARTITION", "SLURM_JOB_ACCOUNT",
        "SLURM_JOB_QOS", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_STEP_ID",
        "SLURM_JOB_NODELIST", "SLURM_CLUSTER_NAME", "SLURM_RESTART_COUNT", "SLURM_JOB_USER",
        "SLURM_SUBMIT_DIR", "PBS_JOBID", "PBS_ARRAY_INDEX", "PBS_JOBNAME", "PBS_QUEUE",
        "LSB_JOBID", "LSB_JOBINDEX", "LSB_JOBNAME", "LSB_QUEUE", "JOB_ID", "SGE_TASK_ID", "QUEUE",
        "COBALT_JOBID", "FLUX_JOB_ID",
    }
)  # fmt: skip
"""Of the environment of a job, what is worth a line; a run's record has some 30 more."""

JOB_LABELS = {"cwd": "Folder", "command": "Command", "SLURM_JOB_ID": "Slurm job"}


def list_facts(run: RunFrame) -> list[tuple[str, str]]:
    """Return what the run is, by label, without what is empty."""
    record = run.record
    hosts = sorted({one.host for one in record.ranks if one.host})
    sweep = f"{record.sweep}, trial {record.trial}" if record.trial >= 0 else record.sweep
    facts = [
        ("Run id", record.id),
        ("User", record.user),
        ("Group", record.group),
        ("Job type", record.job_type),
        ("Sweep", sweep),
        ("Nodes", f"{record.nodes:,}"),
        ("Hosts", shorten(hosts, SHOWN_HOSTS)),
        ("Ranks", f"{record.size:,}"),
        ("Launcher", "" if record.launcher == "none" else record.launcher),
        ("Attempts", f"{record.attempts:,}"),
        ("Incidents", ", ".join(list_incidents(record.ledger))),
    ]
    facts += [
        (label_job(key), str(value))
        for key, value in record.job.items()
        if key in SHOWN_JOB_FACTS or not key.isupper()
    ]
    return [(label, value) for label, value in facts if value]


def label_job(key: str) -> str:
    """Return the label of a fact about the job: ``job_id`` becomes ``Job id``."""
    if key in JOB_LABELS:
        return JOB_LABELS[key]
    words = key.removeprefix("SLURM_").removeprefix("JOB_").replace("_", " ").strip().lower()
    return f"Slurm {words}" if key.startswith("SLURM_") else f"{words[:1].upper()}{words[1:]}"


def list_provenance(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return where a run came from, by label, without what was not recorded."""

    def part(name: str) -> Mapping[str, Any]:
        value = found.get(name)
        return value if isinstance(value, dict) else {}

    program, git, python = part("program"), part("git"), part("python")
    machine, libraries, container = part("machine"), part("libraries"), part("container")
    mpi = libraries.get("mpi")
    facts = [
        ("Command", _join_words(program.get("argv"))),
        ("Folder", program.get("cwd")),
        ("Commit", _describe_commit(git)),
        ("Remote", next(iter((git.get("remotes") or {}).values()), "")),
        ("Python", " ".join(_texts([python.get("implementation"), python.get("version")]))),
        ("Packages", _count(python.get("packages"), "package")),
        ("Conda", part("conda").get("name") or part("conda").get("prefix")),
        ("Modules", shorten(_texts(part("modules").get("loaded")), SHOWN_NAMES)),
        ("Container", " ".join(_texts([container.get("kind"), container.get("image")]))),
        (
            "MPI",
            " ".join(_texts([mpi.get("name"), mpi.get("version")]))
            if isinstance(mpi, dict)
            else "",
        ),
        ("Machine", _describe_machine(machine)),
        ("GPUs", shorten(_count_same(machine.get("gpus")), SHOWN_NAMES)),
        ("Seeds", ", ".join(f"{key} = {value}" for key, value in part("seeds").items())),
        ("Hidden as secret", f"{found.get('masked'):,} values" if found.get("masked") else ""),
    ]
    facts += [
        (f"Without {what.replace('_', ' ')}", str(why)) for what, why in part("missing").items()
    ]
    return [(label, str(value)) for label, value in facts if value]


def _describe_commit(git: Mapping[str, Any]) -> str:
    commit = str(git.get("commit") or "")
    if not commit:
        return ""
    words = [commit[:COMMIT_CHARS]]
    words += [f"on {git['branch']}"] * bool(git.get("branch"))
    changed = git.get("changed") or git.get("diff")
    words += ["with changes that were not committed"] * bool(changed)
    ahead = git.get("ahead")
    words += [f"({ahead} commits not pushed)"] * bool(ahead)
    return " ".join(words)


def _describe_machine(machine: Mapping[str, Any]) -> str:
    words = [machine.get("cpu_model"), machine.get("os"), machine.get("kernel")]
    return ", ".join(_texts(words))


def _join_words(argv: Any) -> str:
    return shlex.join(_texts(argv)) if isinstance(argv, (list, tuple)) else ""


def _count(values: Any, noun: str) -> str:
    return f"{len(values):,} {noun}s" if isinstance(values, dict) and values else ""


def _count_same(values: Any) -> list[str]:
    names = _texts(values)
    return [f"{names.count(one)} x {one}" for one in dict.fromkeys(names)]


def _texts(values: Any) -> list[str]:
    return [str(one) for one in values if one] if isinstance(values, (list, tuple)) else []


def shorten(names: Iterable[str], limit: int) -> str:
    """Return names with commas, and how many more there are."""
    known = list(names)
    more = f" and {len(known) - limit:,} more" if len(known) > limit else ""
    return ", ".join(known[:limit]) + more
