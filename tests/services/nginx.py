"""A real nginx before a dashboard, as `docs/how-to/open-the-dashboard.md` has it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.services.sshd import find_free_port

CONFIG = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr error;
events {{ }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port};
    location /track/ {{
      proxy_pass http://127.0.0.1:{upstream};
      proxy_set_header Host $http_host;
      proxy_http_version 1.1;
      proxy_buffering off;
      {more}
    }}
  }}
}}
"""

UPGRADE = """
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection "upgrade";
"""
"""What lets sockets pass; without it nginx says nothing of the wish to become one."""


def is_open(port: int) -> bool:
    """Tell whether somebody listens on a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def running_nginx(program: str, upstream: int, *, more: str = UPGRADE) -> Iterator[int]:
    """Let nginx pass ``/track/`` on to a port; yield its own."""
    folder = Path(tempfile.mkdtemp(prefix="nginx-"))
    port = find_free_port()
    config = folder / "nginx.conf"
    config.write_text(CONFIG.format(folder=folder, port=port, upstream=upstream, more=more))
    process = subprocess.Popen([program, "-c", str(config), "-p", str(folder)])
    try:
        deadline = time.monotonic() + 20
        while not is_open(port):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(180)
        shutil.rmtree(folder)
