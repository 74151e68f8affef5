"""An SSH server that is not OpenSSH: the one in paramiko, with a real command behind it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paramiko


class _Rules(paramiko.ServerInterface):  # type: ignore[misc]
    """Lets one key in, and runs what it is told to."""

    def __init__(self, key: bytes, *, may_run: bool) -> None:
        self._key = key
        self._may_run = may_run
        self.tries = 0

    def get_allowed_auths(self, username: str) -> str:
        """Return what may be tried."""
        del username
        return "publickey"

    def check_auth_publickey(self, username: str, key: Any) -> int:
        """Compare the key."""
        del username
        self.tries += 1
        fits = key.asbytes() == self._key
        return int(paramiko.AUTH_SUCCESSFUL if fits else paramiko.AUTH_FAILED)

    def check_channel_request(self, kind: str, chanid: int) -> int:
        """Allow channels."""
        del kind, chanid
        return int(paramiko.OPEN_SUCCEEDED)

    def check_channel_exec_request(self, channel: Any, command: bytes) -> bool:
        """Run a command, if that is allowed."""
        if self._may_run:
            threading.Thread(target=_run, args=(channel, command.decode()), daemon=True).start()
        return self._may_run


def _run(channel: Any, command: str) -> None:
    """Connect a channel to a command."""
    child = subprocess.Popen(
        ["/bin/sh", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    assert child.stdin is not None
    assert child.stdout is not None
    feed = child.stdin

    def take() -> None:
        with contextlib.suppress(OSError, EOFError):
            while data := channel.recv(65536):
                feed.write(data)
        feed.close()

    threading.Thread(target=take, daemon=True).start()
    with contextlib.suppress(OSError, EOFError):
        while data := os.read(child.stdout.fileno(), 65536):
            channel.sendall(data)
        channel.send_exit_status(child.wait())
        channel.close()
    child.stdout.close()
    child.wait()


@contextmanager
def other_sshd(
    host_key: Path,
    user_key: Path,
    *,
    version: str = "",
    first_channel: int = 0,
    may_run: bool = True,
) -> Iterator[tuple[int, Callable[[], int]]]:
    """Run the server; yield its port, and a function that counts the connections so far.

    Parameters
    ----------
    host_key, user_key : Path
        Its private key; the public key that it lets in.
    version : str, optional
        What it says that it is.
    first_channel : int, optional
        The number of its first channel.
    may_run : bool, optional
        Whether it runs commands.
    """
    sessions: list[Any] = []
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    sock, _address = listener.accept()
                except OSError:
                    return
                session = paramiko.Transport(sock)
                if version:
                    session.local_version = f"SSH-2.0-{version}"
                session._channel_counter = first_channel
                session.add_server_key(paramiko.PKey.from_path(host_key))
                sessions.append(session)
                key = paramiko.PKey.from_path(user_key).asbytes()
                with contextlib.suppress(paramiko.SSHException, EOFError):
                    session.start_server(server=_Rules(key, may_run=may_run))

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield listener.getsockname()[1], lambda: len(sessions)
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for one in sessions:
                one.close()
