"""Several runs as they are compared with each other."""

from __future__ import annotations

from dataclasses import dataclass

from hpctrack.errors import HpctrackError
from hpctrack.store.comparison import Row, Side, compare_all, diff_texts, make_side
from hpctrack.store.record import RunRecord
from hpctrack_server.data.entries import make_plain_text
from hpctrack_server.data.provider import DataProvider

RUNS_MAX = 12
"""More columns than that nobody compares; the others are named."""

TEXT_MAX_CHARS = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedRun:
    """One of the runs.

    Parameters
    ----------
    id : str
    record : RunRecord or None
        None if it cannot be read.
    side : Side
    problem : str
        Why not.
    """

    id: str
    record: RunRecord | None
    side: Side
    problem: str = ""

    @property
    def name(self) -> str:
        """What people call it."""
        return (self.record.name if self.record else "") or self.id


def read_compared(provider: DataProvider, project: str, run_id: str) -> ComparedRun:
    """Return a run as it is compared; one that cannot be read says why."""
    try:
        with provider.open_run(project, run_id) as (run, frame):
            provenance = make_plain_text(run.provenance)
            side = make_side(frame.record, provenance)
            return ComparedRun(id=run_id, record=frame.record, side=side)
    except HpctrackError as error:
        message = error.message.replace(f"{provider.path}/", "")
        return ComparedRun(id=run_id, record=None, side=Side(), problem=message)


def compare_runs(
    runs: tuple[ComparedRun, ...], *, is_complete: bool = False
) -> tuple[list[Row], dict[tuple[str, str], list[tuple[int, str]]]]:
    """Return everything side by side, and of texts what differs from the first run's. Pure.

    Returns
    -------
    rows : list of Row
    patches : dict
        By section and key: the run's place and a unified diff.
    """
    rows = compare_all([one.side for one in runs], is_complete=is_complete)
    patches: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for row in rows:
        if not row.is_text or row.is_same:
            continue
        texts = ["" if one == "(none)" else str(one)[:TEXT_MAX_CHARS] for one in row.values]
        for place, text in enumerate(texts[1:], 1):
            lines = diff_texts(texts[0], text, row.key)
            if lines:
                patches.setdefault((row.section, row.key), []).append((place, "\n".join(lines)))
    return rows, patches
