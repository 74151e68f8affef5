"""What running something again cannot bring back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hpctrack.telemetry.provenance.rerun_command import Command
from hpctrack.telemetry.provenance.secret_values import MASK

SHOWN_FILES = 8


def list_gaps(
    provenance: Mapping[str, Any], command: Command, hidden: Mapping[str, str], *, launcher: str
) -> list[str]:
    """Return a line for each thing that is not rebuilt.

    Parameters
    ----------
    provenance : mapping
    command : Command
    hidden : mapping
        What the script asks its user for.
    launcher : str
        Who started the ranks.
    """
    return [
        *_of_command(command, launcher),
        *[f"{what} had a value that is not recorded: set {name}" for name, what in hidden.items()],
        *_of_secrets(provenance),
        *_of_code(provenance),
        *_of_packages(provenance.get("python") or {}),
        *_of_place(provenance),
        "data, checkpoints and whatever else the program read",
    ]


def _of_command(command: Command, launcher: str) -> Iterator[str]:
    if command.why_not:
        yield command.why_not
    elif not command.is_launcher and launcher not in {"none", "slurm"}:
        yield f"the command line of {launcher}: only the ranks' own is recorded"


def _of_secrets(provenance: Mapping[str, Any]) -> Iterator[str]:
    environ = provenance.get("environment") or {}
    names = [name for name, value in environ.items() if MASK in str(value)]
    if names:
        yield f"the values of {_list(names)}: set them yourself if they are needed"
    hidden = str((provenance.get("job_script") or {}).get("text", "")).count(MASK)
    if hidden:
        yield f"{hidden} value(s) in the batch script that look like secrets"


def _of_code(provenance: Mapping[str, Any]) -> Iterator[str]:
    git, source = provenance.get("git") or {}, provenance.get("source") or {}
    missing = provenance.get("missing") or {}
    if not git.get("commit"):
        what = "but for the script itself" if source.get("text") else "nor its script"
        yield f"the code: no commit is known ({missing.get('git', 'not recorded')}), {what}"
        return
    ahead = int(git.get("ahead") or 0)
    if not git.get("remotes"):
        yield "the repository has no remote: it is where it was, or nowhere"
    elif ahead:
        yield f"{ahead} commit(s) were not pushed to {git.get('upstream')}"
    if git.get("dirty") and not git.get("diff"):
        yield f"uncommitted changes in {_list(git.get('changed') or ())}"
    for key, what in (
        ("diff_left_out", "uncommitted changes, too large to record, in"),
        ("diff_binary", "uncommitted changes of binary files:"),
        ("untracked", "untracked files:"),
    ):
        names = [one for one in git.get(key) or () if not _is_source(one, git, source)]
        if names:
            yield f"{what} {_list(names)}"
    if git.get("diff_masked"):
        yield f"{git['diff_masked']} value(s) in the uncommitted changes that look like secrets"
    if MASK in str(source.get("text", "")):
        yield "values in the script that look like secrets"


def _of_packages(python: Mapping[str, Any]) -> Iterator[str]:
    for name, origin in (python.get("direct") or {}).items():
        url, commit = str(origin.get("url", "")), str(origin.get("commit", ""))
        if url.startswith("file://"):
            at = f" at commit {commit}" if commit else ""
            how = "editable from" if origin.get("editable") else "from"
            yield f"package {name}, installed {how} {url.removeprefix('file://')}{at}"


def _of_place(provenance: Mapping[str, Any]) -> Iterator[str]:
    container = provenance.get("container") or {}
    if container.get("image") or container.get("digest"):
        names = [container.get("image"), container.get("digest"), container.get("made_from")]
        image = " ".join(filter(None, names))
        yield f"the {container['kind']} image {image}: start this script in it"
    elif container:
        yield f"the {container['kind']} container: its image is not seen from inside"
    machine = provenance.get("machine") or {}
    gpus = machine.get("gpus") or []
    parts = [
        machine.get("cpu_model"),
        f"{len(gpus)} x {gpus[0]}" if gpus else "",
        machine.get("os"),
    ]
    if machine:
        yield f"the machine: {', '.join(filter(None, parts))}"
    libraries = provenance.get("libraries") or {}
    mpi = libraries.get("mpi") or {}
    versions = dict(libraries.get("versions") or {})
    known = [f"{mpi['name']} {mpi.get('version', '')}".strip()] if mpi else []
    known += [f"{name} {version}" for name, version in versions.items()]
    if known:
        yield f"libraries of the system: {', '.join(known)}"


def _is_source(name: str, git: Mapping[str, Any], source: Mapping[str, Any]) -> bool:
    return f"{git.get('top')}/{name}" == source.get("path")


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN_FILES])
    return shown + (f" and {len(names) - SHOWN_FILES} more" if len(names) > SHOWN_FILES else "")
