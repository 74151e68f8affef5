"""What is started on the other side."""

from __future__ import annotations

import shlex

from hpctrack.sync.carriers.remote import SshRemote
from hpctrack.sync.carriers.transport import ConnectOptions


def make_command(remote: SshRemote, options: ConnectOptions) -> str:
    """Return the words that start the receiver, for the shell of the user there.

    The command itself is not quoted, so that it may be several; ``~`` is expanded by the receiver.
    """
    return f"{options.remote_command or 'hpctrack'} receive --store {shlex.quote(remote.path)}"
