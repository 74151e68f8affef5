"""Find the node's agent, or start it, in a few milliseconds.

The first rank of the job on a node makes the listening socket itself and hands it to the new
process. So every rank can connect and send at once, while the agent is still importing h5py:
the kernel holds what they say.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import json
import os
import socket
import struct
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from hpctrack.client.runtime_folder import RuntimeFolder
from hpctrack.core import wire
from hpctrack.errors import BusyError, StoreError

LOCK_WAIT_S = 5.0
"""Starting takes milliseconds; whoever holds the lock longer is stopped or on a dead disk."""

LISTEN_FD = 3
"""Where the agent finds its socket."""

IN_PROCESS_MODULE = "hpctrack.agent.in_process"
"""Loaded by name, in the fallback only: this layer must not know the agent's."""

_PACKAGE_ROOT = Path(__file__).resolve().parents[2]
# -P keeps the user's folder out of the agent's path: a numpy.py there would be taken for numpy.
_START = """
import sys
sys.path.append(sys.argv[1])
from hpctrack.agent.main import main
main(sys.argv[2:])
"""
# The shell leaves at once, so the agent is nobody's child: a program that waits for "all my
# children" must not wait for it.
_SHELL = '"$@" &'


def connect_agent(
    folder: RuntimeFolder, environ: Mapping[str, str], options: Mapping[str, object]
) -> socket.socket:
    """Return a connection to the node's agent, starting it if there is none.

    Parameters
    ----------
    folder : RuntimeFolder
        Where to look.
    environ : mapping
        The environment to start it with.
    options : mapping
        JSON-able; what the agent is told at its start, such as ``linger_s``.

    Raises
    ------
    StoreError
        It cannot be started here.
    BusyError
        Somebody else has been starting it for `LOCK_WAIT_S`.
    """
    found = _try_connect(folder)
    if found is not None:
        return found
    with hold_lock(folder.lock):
        found = _try_connect(folder)
        if found is not None:
            return found
        try:
            _start(folder, environ, options)
            return _connect(folder.socket)
        except (OSError, NotImplementedError) as error:
            raise StoreError(f"the agent cannot be started: {error}") from None


def settle(folder: RuntimeFolder, timeout_s: float) -> bool:
    """Wait until the node's agent has sealed what is over; return whether it has said so.

    Parameters
    ----------
    folder : RuntimeFolder
        Where it is.
    timeout_s : float
        Longest wait, seconds.
    """
    try:
        connection = _try_connect(folder)
        if connection is None:
            return True
        with connection:
            connection.settimeout(timeout_s)
            connection.sendall(wire.pack(wire.Kind.SETTLE))
            return bool(connection.recv(1))
    except (OSError, StoreError):
        return False


def connect_in_process() -> socket.socket:
    """Return a connection to a recorder on a thread of this process, the last resort.

    Raises
    ------
    StoreError
        h5py cannot be loaded here either.
    """
    try:
        module = importlib.import_module(IN_PROCESS_MODULE)
        connection: socket.socket = module.start()
    except Exception as error:  # noqa: BLE001 - whatever a broken HDF5 raises
        raise StoreError(f"no recorder on a thread either: {error}") from None
    return connection


@contextlib.contextmanager
def hold_lock(path: Path, wait_s: float = LOCK_WAIT_S) -> Iterator[None]:
    """Hold the folder's lock, released by the kernel whatever happens to us.

    Raises
    ------
    BusyError
        It was not free within ``wait_s``.
    """
    handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise BusyError(f"{path} has been locked for {wait_s} s") from None
                time.sleep(0.002)
        yield
    finally:
        os.close(handle)


def peer_uid(connection: socket.socket) -> int:
    """Return whose process is at the other end, as the kernel knows it."""
    return _peer(connection)[1]


def peer_pid(connection: socket.socket) -> int:
    """Return the process at the other end, by its number here; 0 if it has none here."""
    return _peer(connection)[0]


def _peer(connection: socket.socket) -> tuple[int, int]:
    size = struct.calcsize("3i")
    pid, uid, _gid = struct.unpack(
        "3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    )
    return int(pid), int(uid)


def _try_connect(folder: RuntimeFolder) -> socket.socket | None:
    try:
        connection = _connect(folder.socket)
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    except OSError as error:
        raise StoreError(f"the agent's socket {folder.socket} cannot be used: {error}") from None
    if peer_uid(connection) != os.getuid():
        connection.close()
        raise StoreError(f"the agent's socket {folder.socket} belongs to somebody else")
    return connection


def _connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # A Unix socket connects at once or not at all; the time-out is for a full backlog.
        connection.settimeout(LOCK_WAIT_S)
        connection.connect(os.fspath(path))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * 1024 * 1024)
        connection.setblocking(False)  # noqa: FBT003 - socket's signature
    except OSError:
        connection.close()
        raise
    return connection


def _start(
    folder: RuntimeFolder, environ: Mapping[str, str], options: Mapping[str, object]
) -> None:
    folder.socket.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(os.fspath(folder.socket))
        folder.socket.chmod(0o600)
        listener.listen(4096)
        told = json.dumps({**options, "folder": str(folder.path)})
        command = [sys.executable, "-P", "-c", _START, str(_PACKAGE_ROOT), told]
        log_flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        pid = os.posix_spawn(
            "/bin/sh",
            ["sh", "-c", _SHELL, "sh", *command],
            _agent_environment(environ),
            file_actions=[
                (os.POSIX_SPAWN_DUP2, listener.fileno(), LISTEN_FD),
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.fspath(folder.log), log_flags, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
        # A program that reaps all its children may be quicker; the shell is gone either way.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


def _agent_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the rank's environment, less what would tie the agent to the rank's MPI."""
    kept = {
        k: v for k, v in environ.items() if not k.startswith(("PMI_", "PMIX_", "OMPI_", "HYDI_"))
    }
    one_thread = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return {**kept, **dict.fromkeys(one_thread, "1"), "HDF5_USE_FILE_LOCKING": "FALSE"}
