"""Where measurements are made: a fresh process, folder and environment for each of them."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from scripts.benchmarks.processes import TOKEN_NAME, end_processes
from scripts.benchmarks.rows import Samples

ROOT = Path(__file__).resolve().parents[2]
KEPT = ("PATH", "LANG", "LC_ALL", "USER", "TZ")
"""What a measured process inherits of our environment: no launcher, no settings, no home."""

OURS = "hpctrack"
FLOOR = "struct"


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to measure.

    Parameters
    ----------
    contestant : str
        ``hpctrack``, ``struct`` or a peer.
    program : str
        Module of `scripts.benchmarks.programs`.
    params : mapping
        What the program is told.
    """

    contestant: str
    program: str
    params: Mapping[str, Any]


@dataclass(slots=True)
class Place:
    """One measurement's folder, processes and environment."""

    folder: Path
    token: str
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def store(self) -> Path:
        """Where the tracker writes."""
        return self.folder / "data"


class Lab:
    """Runs measurements; used as a context manager, it leaves nothing behind.

    Parameters
    ----------
    rounds : int
        How often each contestant is measured.
    seed : int
        Of the order within a round.
    peers : mapping
        Peers and their Pythons.
    within : Path, optional
        Where temporary folders go; default the system's.
    say : callable
        Told what is being done.
    """

    def __init__(
        self,
        *,
        rounds: int = 5,
        seed: int = 1,
        peers: Mapping[str, Path] | None = None,
        within: Path | None = None,
        say: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self.rounds = rounds
        self.say = say
        self.peers = dict(peers or {})
        self._order = random.Random(seed)  # noqa: S311 - an order, no secret
        # A socket's path has at most 107 bytes: the name is short.
        self.folder = Path(tempfile.mkdtemp(prefix="hb-", dir=within))
        self._numbers = itertools.count()
        self._python = self._make_plain_python()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Remove every folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def python(self, contestant: str = OURS) -> str:
        """Return the Python that a contestant is measured with."""
        return str(self.peers.get(contestant, self._python))

    @contextlib.contextmanager
    def place(self) -> Iterator[Place]:
        """Give a fresh folder and environment; end what still runs in it, and remove it."""
        number = next(self._numbers)
        folder = self.folder / str(number)
        for name in ("data", "home", "r", "t"):
            (folder / name).mkdir(parents=True)
        token = f"{os.getpid()}-{self.folder.name}-{number}"
        environ = {key: os.environ[key] for key in KEPT if key in os.environ}
        environ |= {
            TOKEN_NAME: token,
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "t"),
            "HPCTRACK_RUNTIME_DIR": str(folder / "r"),
            "HPCTRACK_DIR": str(folder / "data"),
            "PYTHONPATH": str(ROOT),
        }
        try:
            yield Place(folder, token, environ)
        finally:
            end_processes(token)
            shutil.rmtree(folder, ignore_errors=True)

    def start(
        self,
        place: Place,
        command: Sequence[str],
        *,
        environ: Mapping[str, str] | None = None,
        log_name: str = "log",
    ) -> subprocess.Popen[bytes]:
        """Start a process of a measurement; what it prints goes to a file of the place."""
        with (place.folder / log_name).open("ab") as log:
            return subprocess.Popen(
                list(command),
                env={**place.environ, **(environ or {})},
                cwd=place.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def command(self, case: Case, place: Place, *, out: str = "out.json") -> list[str]:
        """Return the command line of a program."""
        told = {
            **case.params,
            "tool": case.contestant,
            "folder": str(place.store),
            "out": str(place.folder / out),
        }
        module = f"scripts.benchmarks.programs.{case.program}"
        return [self.python(case.contestant), "-P", "-m", module, json.dumps(told)]

    def run(self, case: Case, *, place: Place, timeout_s: float = 900.0) -> dict[str, Any]:
        """Run a program to its end and return what it measured, or ``{"error": ...}``."""
        process = self.start(place, self.command(case, place))
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            end_process(process)
        out = place.folder / "out.json"
        if code != 0 or not out.is_file():
            return {"error": self.last_words(place, code)}
        found: dict[str, Any] = json.loads(out.read_text())
        return found

    def measure(
        self,
        cases: Sequence[Case],
        *,
        look: Callable[[Case, Place, dict[str, Any]], None] | None = None,
    ) -> Samples:
        """Measure all cases in every round, in an order of its own.

        Parameters
        ----------
        cases : sequence of Case
            One for each contestant.
        look : callable, optional
            Called after each measurement while its files are still there; may add to the sample.
        """
        by_name = {case.contestant: case for case in cases}

        def measure(contestant: str) -> dict[str, Any]:
            case = by_name[contestant]
            with self.place() as place:
                sample = self.run(case, place=place)
                if look and "error" not in sample:
                    look(case, place, sample)
                return sample

        return self.interleave(tuple(by_name), measure)

    def interleave(
        self, contestants: Sequence[str], measure: Callable[[str], dict[str, Any]]
    ) -> Samples:
        """Call a function for every contestant in every round, in an order of the round's own."""
        samples: Samples = {one: [] for one in contestants}
        for number in range(self.rounds):
            order = list(contestants)
            self._order.shuffle(order)
            for contestant in order:
                self.say(f"{contestant}, round {number + 1} of {self.rounds}")
                samples[contestant].append(measure(contestant))
        return samples

    def last_words(self, place: Place, code: int | None) -> str:
        """Return what a program said last before it failed."""
        log = place.folder / "log"
        lines = log.read_text(errors="replace").strip().splitlines() if log.is_file() else []
        return f"exit {code}: {lines[-1][:300] if lines else 'said nothing'}"

    def draw(self, low: float, high: float) -> float:
        """Return a number between two, of the lab's own sequence."""
        return self._order.uniform(low, high)

    def _make_plain_python(self) -> Path:
        """Make a Python that finds the checkout as an installed package is found.

        An editable install looks through hooks that open 70 files at every start; a user's does
        not.
        """
        home = self.folder / "python"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
        (packages,) = home.glob("lib/python*/site-packages")
        (packages / "bench.pth").write_text(f"{ROOT}\n{sysconfig.get_path('purelib')}\n")
        return home / "bin" / "python"


def end_process(process: subprocess.Popen[bytes]) -> None:
    """Kill a child if it is still there, and wait for it."""
    if process.poll() is None:
        process.kill()
    process.wait()
