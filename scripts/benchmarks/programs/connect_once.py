"""Log in with our paramiko carrier, start a program that only ends, and hear that it has."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from hpctrack.sync.carriers.choice import open_transport
from hpctrack.sync.carriers.remote import parse_remote
from hpctrack.sync.carriers.transport import ConnectOptions

TIMEOUT_S = 60.0


def main(told: dict[str, Any]) -> None:
    """Do it."""
    options = ConnectOptions(
        transport="paramiko",
        remote_command="true",
        ssh_config=Path(told["ssh_config"]),
    )
    with closing(open_transport(parse_remote(told["url"]), options)) as transport:
        if transport.wait(TIMEOUT_S) != 0:
            raise ConnectionError(transport.read_stderr())


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
