"""A dashboard on a port: ``hpctrack server``, or one of a saved table whose runs do not exist."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from hpctrack_server.app import make_dashboard
from hpctrack_server.auth import Gate, make_host_name, make_token
from hpctrack_server.listen import bind_loopback
from hpctrack_server.main import server
from hpctrack_server.settings import ServerSettings


async def serve_table(store: Path) -> None:
    """Serve a store as its saved tables say it is, until a signal comes."""
    sockets = bind_loopback(0)
    port, host, token = int(sockets[0].getsockname()[1]), make_host_name(), make_token()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    gate = Gate(host_name=host, port=port, token=token, uid=os.getuid())
    async with make_dashboard(ServerSettings(store=store, is_following=False), gate, sockets):
        sys.stdout.write(json.dumps({"url": f"http://{host}:{port}/?token={token}"}) + "\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    if sys.argv[2] == "saved":
        asyncio.run(serve_table(Path(sys.argv[1])))
    else:
        server(["--store", sys.argv[1], "--port", "0", "--json"])
