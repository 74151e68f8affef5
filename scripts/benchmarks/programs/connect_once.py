"""Log in with our paramiko carrier, start a program that only ends, and hear that it has."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from hpctrack.sync.carriers.paramiko_transport import ParamikoTransport

from hpctrack.sync.carriers.remote import SshRemote, parse_remote
from hpctrack.sync.carriers.transport import ConnectOptions

TIMEOUT_S = 60.0


def main(told: dict[str, Any]) -> None:
    """Do it."""
    remote = parse_remote(told["url"])
    if not isinstance(remote, SshRemote):
        raise TypeError(told["url"])
    options = ConnectOptions(
        remote_command="true",
        identity=Path(told["identity"]),
        known_hosts=Path(told["known_hosts"]),
    )
    with closing(ParamikoTransport(remote, options)) as transport:
        if transport.wait(TIMEOUT_S) != 0:
            raise ConnectionError(transport.read_stderr())


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
