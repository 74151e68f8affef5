"""Find the node's agent, or start it, in a few milliseconds.

The first rank of the job on a node makes the listening socket itself and hands it to the new
process. So every rank can connect and send at once, while the agent is still importing h5py:
the kernel holds what they say.
"""

# ruff: noqa: PTH101, PTH102, PTH108, PTH120 - a rank does not load pathlib

from __future__ import annotations

import _socket  # what `socket` is made of, see hpctrack.client.channel
import _struct as struct  # as in hpctrack.core.wire
import fcntl
import os
import stat
import sys
import time

from hpctrack.core import Record, __version__, wire
from hpctrack.core.settings import find_cwd
from hpctrack.errors import BusyError, StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_RELEASE = f"{__version__}-{wire.WIRE_VERSION}"
"""Ranks and agents that do not understand each other do not meet, in checkouts neither."""

SOCKET_PATH_MAX_BYTES = 107
"""sun_path holds 108 bytes with the closing zero, see unix(7)."""

LOCK_WAIT_S = 5.0
"""Starting takes milliseconds; whoever holds the lock longer is stopped or on a dead disk."""

LISTEN_FD = 3
"""Where the agent finds its socket."""

IN_PROCESS_MODULE = "hpctrack.agents.in_process"
"""Loaded by name, in the fallback only: this layer must not know the agent's."""

_PACKAGE_ROOT = os.path.realpath(f"{__file__}/../../..")
# -P keeps the user's folder out of the agent's path: a numpy.py there would be taken for numpy.
_START = """
import sys
sys.path.append(sys.argv[1])
from hpctrack.agents.main import main
main(sys.argv[2:])
"""
# The shell leaves at once, so the agent is nobody's child: a program that waits for "all my
# children" must not wait for it.
_SHELL = '"$@" &'


class RuntimeFolder(Record):
    """A private folder with an agent's socket, lock and log."""

    path: str

    @property
    def socket(self) -> str:
        """Where the agent listens; another version of hpctrack has another agent."""
        return f"{self.path}/{_RELEASE}.sock"

    @property
    def lock(self) -> str:
        """Held while an agent is started or leaves."""
        return f"{self.path}/{_RELEASE}.lock"

    @property
    def log(self) -> str:
        """What the agent prints; for us, not for users."""
        return f"{self.path}/{_RELEASE}.log"

    def claim(self, run_id: str) -> str:
        """Return the id, with a number behind it if this job has used it on this node before.

        For programs that a batch script starts one after the other with the same command line:
        they are different runs, yet a requeue, which counts from the start, finds the same ids.
        """
        for number in range(1, 100_000):
            name = run_id if number == 1 else f"{run_id}-{number}"
            try:
                os.close(os.open(f"{self.path}/{name}.claim", os.O_CREAT | os.O_EXCL, 0o600))
            except FileExistsError:
                continue
            except OSError:
                break
            return name
        return run_id


def ensure_runtime_folder(
    environ: Mapping[str, str], job_key: str, *, asked: str = ""
) -> RuntimeFolder:
    """Make the folder, mode 0700 and ours, in the first place that can hold a socket.

    Parameters
    ----------
    environ : mapping
        The process's environment.
    job_key : str
        From `Identity`: who shares the agent.
    asked : str
        The setting ``runtime_dir``; tried first.

    Raises
    ------
    StoreError
        No place will do.
    """
    tried: list[str] = []
    for base in (asked, environ.get("SLURM_TMPDIR"), environ.get("TMPDIR"), "/tmp"):  # noqa: S108
        if not base:
            continue
        base = os.path.join(find_cwd(), base)  # noqa: PTH118, PLW2901 - programs change their folder
        folder = RuntimeFolder(f"{base.rstrip('/')}/hpctrack-{os.getuid()}/{job_key}")
        if len(os.fsencode(folder.socket)) > SOCKET_PATH_MAX_BYTES:
            tried.append(f"{base}: path too long for a socket")
            continue
        try:
            _ensure_private(os.path.dirname(folder.path))
            _ensure_private(folder.path)
        except OSError as error:
            tried.append(f"{base}: {error.strerror or error}")
            continue
        return folder
    raise StoreError(
        f"no node-local folder for the agent's socket ({'; '.join(tried)})",
        hint="set HPCTRACK_RUNTIME_DIR to a short path on a local disk",
    )


def _ensure_private(path: str) -> None:
    """Make a folder, or take one that is there only if nobody else could have made it."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(1, "belongs to somebody else", path)
    if found.st_mode & 0o077:
        os.chmod(path, 0o700)


def connect_agent(
    folder: RuntimeFolder, environ: Mapping[str, str], options: Mapping[str, object]
) -> _socket.socket:
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
    try:
        lock = take_lock(folder.lock)
    except OSError as error:
        raise StoreError(f"the agent cannot be started: {error}") from None
    try:
        found = _try_connect(folder)
        if found is not None:
            return found
        _start(folder, environ, options)
        return _connect(folder.socket)
    except (OSError, NotImplementedError) as error:
        raise StoreError(f"the agent cannot be started: {error}") from None
    finally:
        os.close(lock)


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
        try:
            connection.settimeout(timeout_s)
            connection.sendall(wire.pack(wire.Kind.SETTLE))
            return bool(connection.recv(1))
        finally:
            connection.close()
    except (OSError, StoreError):
        return False


def connect_in_process() -> _socket.socket:
    """Return a connection to a recorder on a thread of this process, the last resort.

    Raises
    ------
    StoreError
        h5py cannot be loaded here either.
    """
    try:
        import importlib  # noqa: PLC0415 - in the fallback only

        module = importlib.import_module(IN_PROCESS_MODULE)
        connection: _socket.socket = module.start()
    except Exception as error:  # noqa: BLE001 - whatever a broken HDF5 raises
        raise StoreError(f"no recorder on a thread either: {error}") from None
    return connection


def wait_in_process(timeout_s: float) -> bool:
    """Wait until recorders on threads of this process are done; say whether they are.

    Parameters
    ----------
    timeout_s : float
        Longest wait, seconds.
    """
    module = sys.modules.get(IN_PROCESS_MODULE)
    return module is None or bool(module.wait(timeout_s))


def take_lock(path: str, wait_s: float = LOCK_WAIT_S) -> int:
    """Take the folder's lock; the kernel gives it back whatever happens to us.

    Returns
    -------
    int
        A descriptor: to close it gives the lock back.

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
    except BaseException:  # a signal handler's, too
        os.close(handle)
        raise
    return handle


def peer_uid(connection: _socket.socket) -> int:
    """Return whose process is at the other end, as the kernel knows it."""
    return _peer(connection)[1]


def peer_pid(connection: _socket.socket) -> int:
    """Return the process at the other end, by its number here; 0 if it has none here."""
    return _peer(connection)[0]


def _peer(connection: _socket.socket) -> tuple[int, int]:
    size = struct.calcsize("3i")
    pid, uid, _gid = struct.unpack(
        "3i", connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, size)
    )
    return int(pid), int(uid)


def _try_connect(folder: RuntimeFolder) -> _socket.socket | None:
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


def _connect(path: str) -> _socket.socket:
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        # A Unix socket connects at once or not at all; the time-out is for a full backlog.
        connection.settimeout(LOCK_WAIT_S)
        connection.connect(path)
        connection.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF, 4 * 1024 * 1024)
        connection.setblocking(False)  # noqa: FBT003 - socket's signature
    except OSError:
        connection.close()
        raise
    return connection


def _start(
    folder: RuntimeFolder, environ: Mapping[str, str], options: Mapping[str, object]
) -> None:
    try:
        os.unlink(folder.socket)
    except FileNotFoundError:
        pass
    listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        listener.bind(folder.socket)
        os.chmod(folder.socket, 0o600)
        listener.listen(4096)
        told = wire.dump_json({**options, "folder": folder.path}).decode()
        command = [sys.executable, "-P", "-c", _START, _PACKAGE_ROOT, told]
        log_flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        pid = os.posix_spawn(
            "/bin/sh",
            ["sh", "-c", _SHELL, "sh", *command],
            _agent_environment(environ),
            file_actions=[
                (os.POSIX_SPAWN_DUP2, listener.fileno(), LISTEN_FD),
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, folder.log, log_flags, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            # Whatever this program holds back: the agent has to hear SIGTERM.
            setsigmask=(),
        )
    finally:
        listener.close()
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        pass  # a program that reaps all its children was quicker; the shell is gone either way


def _agent_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the rank's environment, less what would tie the agent to the rank's MPI."""
    kept = {
        k: v for k, v in environ.items() if not k.startswith(("PMI_", "PMIX_", "OMPI_", "HYDI_"))
    }
    one_thread = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return {**kept, **dict.fromkeys(one_thread, "1"), "HDF5_USE_FILE_LOCKING": "FALSE"}
