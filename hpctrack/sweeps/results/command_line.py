"""The line that runs a trial's program once more, ready to paste into a shell."""

from __future__ import annotations

import json
import shlex
import sys

from hpctrack.core.settings import environment
from hpctrack.core.wire import make_plain
from hpctrack.errors import SweepError
from hpctrack.sweeps.results.trial_status import TrialStatus
from hpctrack.sweeps.schema.command import CommandFacts, make_command
from hpctrack.sweeps.sweep import Sweep


def make_command_line(sweep: Sweep, trial: TrialStatus) -> str:
    """Return what a trial started, quoted for a shell; empty if it cannot be worked out here.

    It starts in the folder of the sweep. Where the program had a run, its parameters also stand in
    a variable in front of it: nobody knows whether it reads its command line or ``run.config``.
    """
    words = list(trial.result.command) if trial.result else []
    if not words:
        if not sweep.file.command:
            return ""  # a function
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
    if trial.parameters and (trial.has_run or not trial.result):
        config = json.dumps(trial.parameters, default=make_plain, ensure_ascii=False)
        line = f"HPCTRACK_SWEEP_CONFIG={shlex.quote(config)} {line}"
    return f"cd {shlex.quote(str(sweep.directory))} && {line}"
