"""What is to be typed to start a program again: its launcher's command line, or its own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_LAUNCHER = re.compile(
    r"(?:mpirun|mpiexec|orterun|prterun|prun|jsrun|aprun|srun|torchrun|accelerate|deepspeed|horovodrun)"
    r"[\w.-]*\Z"
)
_PYTHON = re.compile(r"(?:python|pypy)[\d.]*\Z")
_LAUNCH_MODULES = frozenset({
    "torch.distributed.run", "torch.distributed.launch", "accelerate.commands.launch",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Command:
    """What was typed.

    Parameters
    ----------
    words : tuple of str
        Empty if that is not known.
    cwd : str
        Where.
    is_python : bool
        The first word is a Python.
    is_launcher : bool
        It starts all ranks by itself.
    why_not : str
        Why it cannot be started again; empty if it can.
    """

    words: tuple[str, ...]
    cwd: str = ""
    is_python: bool = False
    is_launcher: bool = False
    why_not: str = ""


def choose_command(provenance: Mapping[str, Any], launcher: str, size: int) -> Command:
    """Return what starts a run again.

    Parameters
    ----------
    provenance : mapping
    launcher : str
        Who started the ranks; Slurm's srun is started by the job's script.
    size : int
        Ranks.
    """
    program = provenance.get("program") or {}
    own = [str(one) for one in program.get("argv") or ()]
    cwd = str(program.get("cwd", ""))
    above = [list(map(str, one)) for one in program.get("launchers") or ()]
    found = [one for one in above if _is_launcher(one)]
    # Nested ones, such as Hydra's proxies, were started by the outermost.
    is_launched = launcher not in {"none", "slurm"} or size > 1
    words = found[-1] if found and is_launched else own
    return Command(
        words=tuple(words),
        cwd=cwd,
        is_python=bool(words) and _PYTHON.match(_name(words[0])) is not None,
        is_launcher=bool(found) and words is found[-1],
        why_not=_find_obstacle(own),
    )


def _is_launcher(words: Sequence[str]) -> bool:
    if not words:
        return False
    if _LAUNCHER.match(_name(words[0])):
        return True
    if not _PYTHON.match(_name(words[0])) or len(words) < 2:  # noqa: PLR2004 - and what it runs
        return False
    if words[1] == "-m":
        return len(words) > 2 and words[2] in _LAUNCH_MODULES  # noqa: PLR2004 - the module's name
    return _LAUNCHER.match(_name(words[1])) is not None


def _find_obstacle(words: Sequence[str]) -> str:
    if not words:
        return "what was typed is not known"
    if any("ipykernel" in one for one in words):
        return "it was a notebook: which cells were run is not known"
    is_python = _PYTHON.match(_name(words[0])) is not None
    if is_python and all(one.startswith("-") and one not in {"-c", "-m"} for one in words[1:]):
        return "the program was typed into Python, or came from a pipe"
    return ""


def _name(word: str) -> str:
    return word.rpartition("/")[2]
