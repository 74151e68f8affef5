"""A ``sacct`` that answers from a file, through the real one's command line and output."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from hpctrack.scheduler.sacct import FIELDS

_PROGRAM = """#!{python}
import sys
folder, known = {folder!r}, {known!r}
options = dict(word.lstrip("-").partition("=")[::2] for word in sys.argv[1:])
with open(folder + "/calls", "a") as file:
    file.write(chr(9).join(sys.argv[1:]) + chr(10))
try:
    print(open(folder + "/words").read(), file=sys.stderr)
    sys.exit(1)
except FileNotFoundError:
    pass
fields = options["format"].split(",")
for field in fields:
    if field not in known:
        print(f'sacct: error: Invalid field requested: "{{field}}"', file=sys.stderr)
        sys.exit(1)
wanted, cluster = options["jobs"].split(","), options.get("clusters", "here")
delimiter = options["delimiter"]
print(delimiter.join(fields))
for line in open(folder + "/rows").read().splitlines():
    row = dict(zip(known, line.split(chr(9))))
    numbers = row["JobIDRaw"].split(".")[0], row["JobID"].split(".")[0].split("+")[0]
    if row["Cluster"] == cluster and set(numbers) & set(wanted):
        print(delimiter.join(row[field] for field in fields))
"""


class SacctDouble:
    """The program, in a folder of its own for the ``PATH``.

    Parameters
    ----------
    folder : Path
        Made.
    known : iterable of str
        Fields of the version that it plays.
    """

    def __init__(self, folder: Path, known: Iterable[str] = FIELDS) -> None:
        self.folder = folder
        folder.mkdir()
        self._known = list(known)
        path = folder / "sacct"
        path.write_text(
            _PROGRAM.format(python=sys.executable, folder=str(folder), known=self._known)
        )
        path.chmod(0o755)
        self.tell([])

    @property
    def environ(self) -> dict[str, str]:
        return {"PATH": str(self.folder)}

    @property
    def calls(self) -> list[dict[str, str]]:
        """What it was asked, call by call."""
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [
            dict(word.lstrip("-").partition("=")[::2] for word in line.split("\t"))
            for line in lines
        ]

    def tell(self, rows: Iterable[Mapping[str, object]]) -> None:
        """Set what it answers; a row has the usual facts unless it says else."""
        lines = [
            "\t".join(str({**USUAL, **row}.get(name, "")) for name in self._known) for row in rows
        ]
        (self.folder / "rows").write_text("".join(f"{line}\n" for line in lines))

    def fail(self, words: str) -> None:
        """Let it fail with these words from now on."""
        (self.folder / "words").write_text(words)


USUAL = {
    "Cluster": "here",
    "User": "alice",
    "Partition": "debug",
    "State": "COMPLETED",
    "ExitCode": "0:0",
    "Timelimit": "12:00:00",
    "AllocCPUS": 4,
    "NNodes": 1,
    "JobName": "train",
}


def make_rows(
    job: str, *, start: float, end: float | None, raw: str = "", step: str = "batch", **more: object
) -> list[dict[str, object]]:
    """Return a job of 64 GB that used 3.1, and its step."""
    number = raw or job
    times = {
        "Submit": int(start) - 100,
        "Eligible": int(start) - 60,
        "Start": int(start),
        "End": "Unknown" if end is None else int(end),
        "ElapsedRaw": int((end or start) - start),
        **({"State": "RUNNING"} if end is None else {}),
    }
    whole: dict[str, object] = {
        "JobID": job,
        "JobIDRaw": number,
        "ReqMem": "65536M",
        "AllocTRES": "billing=4,cpu=4,mem=65536M,node=1",
        "TotalCPU": "01:22:00",
        **times,
        **more,
    }
    part: dict[str, object] = {
        "JobID": f"{job}.{step}",
        "JobIDRaw": f"{number}.{step}",
        "NTasks": 1,
        "MaxRSS": "3250585600",
        **times,
        **({"State": more["State"]} if "State" in more else {}),
        **({"Cluster": more["Cluster"]} if "Cluster" in more else {}),
    }
    return [whole, part]
