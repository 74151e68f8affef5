"""What was started: the command, who started it, and the script's own text if git has none."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from hpctrack.telemetry.provenance.files import below, read_text
from hpctrack.telemetry.provenance.masking import Masker
from hpctrack.telemetry.provenance.process import Process

ARGUMENTS_MAX = 2000
ARGUMENTS_MAX_CHARS = 64 * 1024
SOURCE_MAX_BYTES = 256 * 1024

_STARTERS = re.compile(
    r"(?:mpirun|mpiexec|orterun|prterun|prun|srun|jsrun|aprun|flux|hydra|torchrun|accelerate|deepspeed"
    r"|horovodrun|ray|dask|parallel|snakemake|nextflow|hpctrack|wandb|optuna|make|time|nsys|ncu|rocprof"
    r"|apptainer|singularity|enroot|python|pypy|julia|Rscript|perl)[\w.-]*\Z"
)
_STRANGERS = re.compile(
    r"(?:sshd|slurmstepd|slurmd|tmux|screen|login|systemd|init|containerd-shim|conmon|cron|crond|atd"
    r"|pbs_mom|res|sge_shepherd|jupyter|code|node|su|sudo)\b"
)
"""Above these it is not about the program any more."""

_SHELLS = re.compile(r"-?(?:ba|da|z|k|c|tc|fi)?sh\Z")


def read_program(process: Process, told: Mapping[str, Any], masker: Masker) -> dict[str, Any]:
    """Return how a program was started.

    Parameters
    ----------
    process : Process
    told : mapping
        What the rank says of its Python: ``argv``, ``script``, ``module``; may be empty.
    masker : Masker

    Returns
    -------
    dict
        ``argv``, ``cwd``, ``executable``, ``script``, ``module``, ``launchers``: the command lines
        above it, the nearest first.
    """
    # What a program makes of its title is not what was typed.
    argv = _words(told.get("argv")) or process.arguments
    facts = {
        "argv": masker.arguments(_bound(argv)),
        "cwd": _find_start(argv, told) or process.cwd,
        "executable": process.executable or str(told.get("executable", "")),
        "script": masker.anything(str(told.get("script") or _find_script(process, argv))),
        "module": str(told.get("module") or ""),
        "launchers": [
            masker.arguments(_bound(one)) for one, _next in groupby(_iter_launchers(process))
        ],
    }
    return {key: value for key, value in facts.items() if value}


def read_source(path: str, process: Process, masker: Masker) -> dict[str, Any]:
    """Return the text of a script, secrets hidden; empty if it is no text, or too long."""
    text = read_text(below(process.files, path), SOURCE_MAX_BYTES + 1) if path else None
    if not text or "\0" in text or len(text) > SOURCE_MAX_BYTES:
        return {}
    return {"path": path, "text": masker.text(text, is_code=True)}


def is_own_process(process: Process, told: Mapping[str, Any]) -> bool:
    """Tell whether the process with this number is the rank's: in a container it may have another.

    Without a word from the rank there is nothing to compare.
    """
    argv = _words(told.get("argv"))
    if not argv or process.arguments == argv:
        return True
    executable = str(told.get("executable", ""))
    return bool(executable) and str(Path(executable).resolve()) == process.executable


def _iter_launchers(process: Process) -> Iterator[list[str]]:
    """Yield the commands above a program that say how it was started; no one's login."""
    for one in process.ancestors:
        words = one.arguments
        name = words[0].rsplit("/", 1)[-1] if words else ""
        if _STARTERS.match(name) or (_SHELLS.match(name) and _is_script(words)):
            yield words
        elif _STRANGERS.match(name) or one.environ is None:
            return


def _find_start(argv: Sequence[str], told: Mapping[str, Any]) -> str:
    """Return the folder that the program was started in: it may have gone elsewhere since.

    Python makes the path of its script absolute when it starts; what was typed is the end of it.
    """
    script = str(told.get("script") or "")
    for word in argv[1:]:
        path = os.path.normpath(word)
        if script and not path.startswith(("/", "..")) and script.endswith(f"/{path}"):
            return script.removesuffix(f"/{path}") or "/"
    return ""


def _is_script(words: list[str]) -> bool:
    """Tell whether a shell runs something, or somebody types into it."""
    return any(not one.startswith("-") for one in words[1:])


def _find_script(process: Process, argv: list[str]) -> str:
    """Return the first argument that is a file, of a program that did not say which it runs."""
    for word in argv[1:3]:
        if word.startswith("-"):
            continue
        path = word if word.startswith("/") else f"{process.cwd}/{word}"
        try:
            is_file = below(process.files, path).is_file()
        except (OSError, ValueError):
            is_file = False
        return path if is_file else ""
    return ""


def _words(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else []


def _bound(words: list[str]) -> list[str]:
    room = ARGUMENTS_MAX_CHARS
    for number, one in enumerate(words[:ARGUMENTS_MAX]):
        room -= len(one)
        if room < 0:
            return [*words[:number], f"({len(words) - number} more)"]
    left = len(words) - ARGUMENTS_MAX
    return [*words[:ARGUMENTS_MAX], f"({left} more)"] if left > 0 else words
