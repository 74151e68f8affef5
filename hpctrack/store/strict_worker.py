"""The process that opens files which strangers have made; started by `strict_check`.

It answers each file that it is handed by one line of JSON. What is left of it after a file that
makes the library crash, or search for ever, is nothing.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import sys
from dataclasses import asdict

from hpctrack.store.strict_walk import ForeignFileError, forbid_plugins, walk_file

MEMORY_BYTES_MAX = 2 * 1024**3
"""Of addresses; what is used is some 60 MB."""

REQUEST_BYTES_MAX = 64


def main() -> None:
    """Answer until nobody asks any more."""
    forbid_plugins()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        while True:
            request, descriptors, _flags, _address = socket.recv_fds(
                connection, REQUEST_BYTES_MAX, 1
            )
            if not request or not descriptors:
                return
            # Whoever asked may be gone: then nobody else would end a search that never ends.
            signal.setitimer(signal.ITIMER_REAL, float(request))
            answer = _check(descriptors[0])
            signal.setitimer(signal.ITIMER_REAL, 0)
            os.close(descriptors[0])
            connection.sendall(json.dumps(answer).encode() + b"\n")


def _check(descriptor: int) -> dict[str, object]:
    try:
        return asdict(walk_file(descriptor))
    except ForeignFileError as error:
        return {"code": error.code, "where": error.where}


if __name__ == "__main__":
    main()
