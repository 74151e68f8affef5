"""The line that runs a trial's program once more, ready to paste into a shell."""

from __future__ import annotations

import json
import shlex
import sys

from hpctrack.core.settings import environment
from hpctrack.core.wire import make_plain
from hpctrack.errors import SweepError
from hpctrack.sweeps.results.trial_status import TrialStatus
from hpctrack.sweeps.schema.command import CommandFacts, make_command, uses_macro
from hpctrack.sweeps.sweep import Sweep

_GIVES_PARAMETERS = (
    "args", "args_no_hyphens", "args_no_boolean_flags", "args_json", "args_json_file",
)  # fmt: skip


def make_command_line(sweep: Sweep, trial: TrialStatus) -> str:
    """Return what a trial started, quoted for a shell; empty if it cannot be worked out here.

    It starts in the folder of the sweep. A program that gets its parameters from hpctrack only,
    not on its command line, gets them from a variable in front of it.
    """
    words = list(trial.result.command) if trial.result else []
    if not words:
        facts = CommandFacts(
            program=sweep.file.program,
            interpreter=sys.executable,
            parameters=trial.parameters,
            environ=environment(),
            json_file=str(sweep.folder.parameters(trial.number)),
        )
        try:
            words = make_command(sweep.file.command, facts)
        except SweepError:
            return ""  # a variable of the node
    line = shlex.join(words)
    if not any(uses_macro(sweep.file.command, name) for name in _GIVES_PARAMETERS):
        config = json.dumps(trial.parameters, default=make_plain)
        line = f"HPCTRACK_SWEEP_CONFIG={shlex.quote(config)} {line}"
    return f"cd {shlex.quote(str(sweep.directory))} && {line}"
