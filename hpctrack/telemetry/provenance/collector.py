"""Everything that is recorded of what a run was made of, in the order of what it costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpctrack.telemetry.provenance.child import Programs
from hpctrack.telemetry.provenance.container import read_container
from hpctrack.telemetry.provenance.environment import read_modules, select_environment
from hpctrack.telemetry.provenance.git import is_tracked, read_git
from hpctrack.telemetry.provenance.job_script import read_job_script, read_spooled
from hpctrack.telemetry.provenance.libraries import list_libraries, read_libraries
from hpctrack.telemetry.provenance.machine import read_machine
from hpctrack.telemetry.provenance.masking import Masker, count_masked
from hpctrack.telemetry.provenance.packages import read_conda, read_packages
from hpctrack.telemetry.provenance.process import Process, find_family
from hpctrack.telemetry.provenance.program import is_own_process, read_program, read_source

PARTS = (
    "program", "environment", "modules", "container", "machine", "libraries", "python", "conda",
    "job_script", "scheduler", "git", "diff", "source",
)  # fmt: skip
"""What can be left out by the setting ``provenance_skip``."""

OF_EACH_NODE = frozenset({"program", "container", "machine", "libraries"})
"""The rest is the same on all nodes: a thousand must not read the same file system at once."""

Part = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Whose provenance, and how much of it.

    Parameters
    ----------
    process : Process
        A rank's, as we see it.
    told : mapping
        What the rank says of its Python: ``argv``, ``script``, ``module``, ``executable``,
        ``prefix``, ``version``, ``implementation``, ``path``; may be empty.
    is_lead : bool
        The run's first node, which records what all nodes have in common.
    skip : set of str
        Names out of `PARTS`.
    extra : tuple of str
        More environment variables to record.
    """

    process: Process
    told: Mapping[str, Any] = field(default_factory=dict)
    is_lead: bool = True
    skip: frozenset[str] = frozenset()
    extra: tuple[str, ...] = ()


class Collector:
    """Reads a program's provenance, part by part.

    Parameters
    ----------
    wish : Wish
    programs : Programs
        Who starts git and scontrol.

    Notes
    -----
    Takes as long as its file systems do; nothing is written, nothing locked. Whatever a part meets
    costs that part, and is told under ``missing``.
    """

    def __init__(self, wish: Wish, programs: Programs) -> None:
        self._wish = wish
        self._programs = programs
        self._process = wish.process
        self._root = wish.process.root
        self._is_own = is_own_process(self._process, wish.told)
        self._environ = (self._process.environ if self._is_own else None) or {}
        self._masker = Masker(self._environ)
        self._missing: dict[str, str] = {}
        self._libraries: list[str] = []
        self._program: Part = {}
        self._python: Part = {}
        self._git: Part = {}
        self._script = self._cwd = ""
        self._spooled: str | None = None

    def iter_parts(self) -> Iterator[Part]:
        """Yield dictionaries that belong together: a later one replaces the keys that it has.

        What is at hand comes first, at once; then what needs other programs.
        """
        quick: Part = {}
        self._note_oddities()
        self._learn_from_script()
        self._look_at_program()
        self._libraries = list_libraries([self._process.maps]) if self._is_own else []
        # What the script and the environment call a secret is one in the command line, too.
        for name, read in (
            ("environment", self._read_environment), ("modules", self._read_modules),
            ("program", lambda: self._program), ("container", self._read_container),
            ("machine", self._read_machine),
        ):  # fmt: skip
            quick |= self._read(name, read)
        yield self._finish(quick)
        packages = self._read("python", self._read_python) | self._read("conda", self._read_conda)
        yield self._finish(packages | self._read("libraries", self._read_libraries))
        yield self._finish(self._read("job_script", self._read_script))
        yield self._finish(
            self._read("git", self._read_git) | self._read("source", self._read_source)
        )

    def look_again(self) -> Part:
        """Return the libraries if the program and its children have loaded more of them since."""
        if "libraries" in self._wish.skip or not self._is_own:
            return {}
        family = find_family(self._process.pid, self._root)
        found = list_libraries(one.read_maps() for one in family)
        if not set(found) - set(self._libraries):
            return {}
        self._libraries = sorted({*found, *self._libraries})
        return self._finish(self._read("libraries", self._read_libraries))

    def read_scheduler(self, ask: Callable[[], Part]) -> Part:
        """Return what the scheduler says of the job: its script's arguments are among it."""
        return self._finish(self._read("scheduler", lambda: self._masker.texts(ask())))

    def _read(self, name: str, read: Any) -> Part:
        """Read one part; what nobody has thought of costs this one."""
        is_wanted = self._wish.is_lead or name in OF_EACH_NODE
        if not is_wanted or name in self._wish.skip:
            return {}
        try:
            found = read()
        except Exception as error:  # noqa: BLE001 - any file system, any encoding
            self._missing[name] = f"{type(error).__name__}: {error}"
            return {}
        return {name: found} if found else {}

    def _finish(self, part: Part) -> Part:
        """Pass a part through the last net, and say what is missing so far."""
        part = self._masker.anything(part)
        hidden = count_masked(part)
        if self._missing:
            part["missing"] = self._masker.anything(dict(self._missing))
        return part | ({"masked": hidden} if hidden else {})

    def _note_oddities(self) -> None:
        unknown = sorted(self._wish.skip - set(PARTS))
        if unknown:
            self._missing["provenance_skip"] = f"there is no part {', '.join(unknown)}"
        if not self._is_own:
            pid = self._process.pid
            self._missing["process"] = (
                f"process {pid} is another one for the agent: the rank has numbers of its own"
                if self._process.is_there
                else f"process {pid} ended before it could be looked at"
            )
        elif self._process.environ is None:
            self._missing["environment"] = "the environment of the process cannot be read"

    def _learn_from_script(self) -> None:
        """Remember what the batch script calls a secret before the command line is written."""
        if not self._wish.is_lead:
            return
        try:
            self._spooled = read_spooled(self._root, self._environ)
        except OSError:
            return  # a process has ended meanwhile; scontrol is asked later
        if self._spooled:
            self._masker.text(self._spooled)

    def _look_at_program(self) -> None:
        """Find out where it is, also if that is not to be recorded: git begins there."""
        told = self._wish.told if isinstance(self._wish.told.get("argv", []), list) else {}
        if self._is_own:
            self._program = read_program(self._process, told, self._masker)
        else:
            argv = self._masker.arguments([str(one) for one in told.get("argv") or ()])
            keys = ("executable", "script", "module")
            self._program = {"argv": argv, **{key: str(told[key]) for key in keys if told.get(key)}}
        self._script = str(self._program.get("script", ""))
        self._cwd = str(self._program.get("cwd", ""))

    def _read_environment(self) -> Part:
        return select_environment(self._environ, self._masker, self._wish.extra)

    def _read_modules(self) -> Part:
        return read_modules(self._environ)

    def _read_container(self) -> Part:
        return read_container(self._process, self._environ)

    def _read_machine(self) -> Part:
        return read_machine(self._root, self._process.files)

    def _read_python(self) -> Part:
        told = self._wish.told
        if not told.get("version"):
            return {}
        keys = ("version", "implementation", "prefix", "base_prefix", "executable")
        path = [str(one) for one in told.get("path") or ()]
        facts = {key: str(told.get(key, "")) for key in keys}
        self._python = facts | read_packages(
            path, self._masker, cwd=self._cwd, root=self._process.files
        )
        return self._python

    def _read_conda(self) -> Part:
        prefix = str(self._wish.told.get("prefix", ""))
        return read_conda(self._environ, prefix, self._process.files)

    def _read_libraries(self) -> Part:
        if not self._libraries:
            return {}
        packages = self._python.get("packages") or {}
        return read_libraries(self._libraries, self._process, packages, self._environ)

    def _read_script(self) -> Part:
        facts, missing = read_job_script(self._spooled, self._environ, self._programs, self._masker)
        self._missing |= missing
        return facts

    def _read_git(self) -> Part:
        script = self._script
        start = str(Path(script).parent) if script and not self._is_installed(script) else self._cwd
        self._git, missing = read_git(
            start, self._programs, self._masker,
            wants_diff="diff" not in self._wish.skip, root=self._process.files,
        )  # fmt: skip
        self._missing |= missing
        return self._git

    def _read_source(self) -> Part:
        """Read the script itself if no commit has it: not in a repository, or not added yet."""
        top = self._git.get("top", "")
        if not self._script or self._is_installed(self._script):
            return {}
        if (
            top
            and self._script.startswith(f"{top}/")
            and is_tracked(top, self._script, self._programs)
        ):
            return {}
        return read_source(self._script, self._process, self._masker)

    def _is_installed(self, script: str) -> bool:
        """Tell whether a script belongs to an installation, as torchrun does."""
        prefixes = (str(self._wish.told.get(one) or "-") for one in ("prefix", "base_prefix"))
        is_inside = any(script.startswith(f"{one}/") for one in prefixes)
        return is_inside and ("/bin/" in script or "-packages/" in script)


def collect(wish: Wish, programs: Programs) -> dict[str, Any]:
    """Return a program's provenance as a whole, see `Collector`."""
    return join_parts(Collector(wish, programs).iter_parts())


def join_parts(parts: Iterator[Part]) -> dict[str, Any]:
    """Put parts together, in the order in which they were made."""
    whole: dict[str, Any] = {}
    masked = 0
    for one in parts:
        masked += int(one.get("masked", 0))
        whole |= one
    return whole | ({"masked": masked} if masked else {})
