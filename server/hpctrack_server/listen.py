"""Where the dashboard listens: a Unix socket that only its owner can reach, or a loopback port.

A port of a login node can be reached by all of its users; a socket in a folder of mode 0700 only by
its owner, and ``ssh -L`` leads there as well.
"""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import stat
from collections.abc import Mapping
from pathlib import Path

from tornado.netutil import bind_unix_socket

from hpctrack.errors import UsageError

PORT_TRIES = 20

BACKLOG = 128

ANSWER_TIMEOUT_S = 2.0
"""A process that has bound a socket answers a connection at once: the kernel does it."""


def bind_loopback(port: int) -> list[socket.socket]:
    """Listen on a port of this machine's own addresses, IPv4 and IPv6.

    Both, because a browser tries both for a ``localhost`` name: on a login node somebody else
    could listen on the one we left free, and be sent the token.

    Raises
    ------
    UsageError
        The port is in use.
    """
    for _ in range(1 if port else PORT_TRIES):
        first = _bind(socket.AF_INET, "127.0.0.1", port)
        if first is None:
            break
        sockets = [first]
        if not _has_ipv6_loopback():
            return sockets
        second = _bind(socket.AF_INET6, "::1", first.getsockname()[1])
        if second is not None:
            return [*sockets, second]
        first.close()
    raise UsageError(f"port {port} is in use", hint="--port 0 takes any that is free")


def _bind(family: socket.AddressFamily, address: str, port: int) -> socket.socket | None:
    one = socket.socket(family, socket.SOCK_STREAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        one.bind((address, port))
        one.listen(BACKLOG)
    except OSError as error:
        one.close()
        if error.errno in {errno.EADDRINUSE, errno.EACCES}:
            return None
        raise
    one.setblocking(False)  # noqa: FBT003 - the socket module's signature
    return one


def _has_ipv6_loopback() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def choose_socket(store: Path, environ: Mapping[str, str], *, asked: str = "") -> Path:
    """Return where a store's dashboard of this user listens: the same place every day.

    The user's ssh configuration can then name it once. It lies on the node's own disk, because a
    socket on a shared file system leads nowhere from another node; not in ``$XDG_RUNTIME_DIR``,
    which goes away with the user's last session while a dashboard in tmux goes on.

    Parameters
    ----------
    store : Path
        Each store has a socket of its own.
    environ : mapping
    asked : str
        The setting ``runtime_dir``.
    """
    base = asked or environ.get("TMPDIR") or "/tmp"  # noqa: S108 - the folder below is private
    key = hashlib.sha256(os.fsencode(os.path.realpath(store))).hexdigest()[:8]
    return Path(base).absolute() / f"hpctrack-{os.getuid()}" / "web" / f"{key}.sock"


def bind_private(path: Path) -> list[socket.socket]:
    """Listen on a Unix socket in a folder that nobody else can enter.

    Raises
    ------
    UsageError
        The folder is not ours alone, the path is too long for a socket, or somebody listens there.
    """
    path = path.absolute()
    _ensure_private(path.parent)
    if is_answered(path):
        raise UsageError(
            f"a dashboard listens on {path} already",
            hint="use it, or end it first, or say --unix with another path",
        )
    try:
        return [bind_unix_socket(str(path), mode=0o600, backlog=BACKLOG)]
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot listen on {path}: {error}") from None


def is_answered(path: Path) -> bool:
    """Tell whether a process listens on a Unix socket; one that is left over leads nowhere."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(ANSWER_TIMEOUT_S)
        try:
            probe.connect(str(path))
        except BlockingIOError:
            return True  # its queue is full
        except OSError:
            return False
    return True


def _ensure_private(folder: Path) -> None:
    """Make a folder, or take one that is there only if nobody else can put anything into it."""
    missing = [folder, *folder.parents]
    for one in reversed(missing[: next(i for i, part in enumerate(missing) if part.exists())]):
        one.mkdir(mode=0o700, exist_ok=True)
    facts = folder.lstat()
    is_ours = stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid()
    if not is_ours or stat.S_IMODE(facts.st_mode) & 0o077:
        raise UsageError(
            f"others can enter {folder}", hint=f"choose another folder, or: chmod 700 {folder}"
        )
