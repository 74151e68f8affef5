"""What sweeps have to do with a push: say how they stand, and hear what was asked for there.

What it needs is loaded when the first sweep of this store comes by: most pushes have none, and a
fifth of a second is longer than many of them take.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.core.layout import REQUEST_NAME
from hpctrack.errors import HpctrackError
from hpctrack.sweeps.folder import SweepFolder, has_own_files, write_json
from hpctrack.sweeps.request import parse_request


class SweepDesk:
    """Speaks for the sweeps of a store; what it cannot do it leaves, for the push goes on.

    Parameters
    ----------
    stale_after_s : float, optional
        How long a live run may be silent before it counts as crashed, seconds.
    clock : Clock, optional
        For tests.
    """

    def __init__(self, *, stale_after_s: float = 60.0, clock: Clock = SYSTEM_CLOCK) -> None:
        self._stale_after_s = stale_after_s
        self._clock = clock

    def tell(self, store: Path, project: str, sweep_id: str) -> bool:
        """Bring a sweep's ``progress.json`` up to date; return whether it has changed."""
        with suppress(HpctrackError, OSError):
            folder = SweepFolder.of(store, project, sweep_id)
            # A sweep that has come from elsewhere is told of there.
            if has_own_files(folder):
                from hpctrack.sweeps.results import progress  # noqa: PLC0415 - see above

                return not progress.is_current(folder) and self._write(store, project, sweep_id)
        return False

    def take(self, store: Path, project: str, sweep_id: str, request: str) -> bool:
        """Do what the other side was asked for; return whether ``progress.json`` has changed."""
        with suppress(HpctrackError, OSError):
            asked = parse_request(request)
            folder = SweepFolder.of(store, project, sweep_id)
            if not has_own_files(folder):
                # It runs farther away still: whoever comes from there takes it along.
                write_json(folder.path / REQUEST_NAME, asked.to_json())
                return False
            from hpctrack.sweeps.submission.requests import take_request  # noqa: PLC0415 - as above
            from hpctrack.sweeps.sweep import load_sweep  # noqa: PLC0415 - as above

            sweep = load_sweep(store, sweep_id, project=project)
            if take_request(sweep, asked, clock=self._clock) is not None:
                return self._write(store, project, sweep_id)
        return False

    def _write(self, store: Path, project: str, sweep_id: str) -> bool:
        from hpctrack.sweeps.results.progress import write_progress  # noqa: PLC0415 - as above
        from hpctrack.sweeps.results.status import read_status  # noqa: PLC0415 - as above
        from hpctrack.sweeps.sweep import load_sweep  # noqa: PLC0415 - as above

        sweep = load_sweep(store, sweep_id, project=project)
        status = read_status(sweep, stale_after_s=self._stale_after_s, clock=self._clock)
        return write_progress(status)
