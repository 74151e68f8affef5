"""Who pushed what, and when: ``<store>/.server/audit.jsonl``, one JSON object per line.

The file only grows, by whole lines, each group of them in one write. A machine that dies in the
middle leaves a torn last line, which readers pass over and the next write ends. At a size bound
the file is renamed to ``audit.jsonl.1``, the next one to ``audit.jsonl.2``, and so on: none is
ever removed by us.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from enum import StrEnum
from io import BufferedReader
from json.encoder import encode_basestring_ascii as quote
from pathlib import Path
from typing import Any, NamedTuple, Self

from hpctrack.core.account import find_account
from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.sync.files.place import list_names, open_file_no_follow, stat_no_follow
from hpctrack.sync.upkeep.public_key import find_fingerprint
from hpctrack.sync.upkeep.server_folder import open_server_folder, try_lock

AUDIT_NAME = "audit.jsonl"

ROTATE_BYTES = 64 * 1024 * 1024
"""A third of a million events: an editor still opens it."""

TEXT_MAX_CHARS = 200
"""What a peer calls a thing is refused at 64 characters; a refusal is logged with its name cut."""

_ROTATED = re.compile(rf"{re.escape(AUDIT_NAME)}\.(\d+)\Z")

AuditLine = Mapping[str, Any]
"""An event as a reader gets it: the fields of the file."""


class Action(StrEnum):
    """What was done with an item."""

    PUBLISHED = "published"
    """It was not there before."""
    REPLACED = "replaced"
    """It took the place of one that held less, or was older."""
    MERGED = "merged"
    """What people said of a run here was joined with what they said elsewhere."""
    APPENDED = "appended"
    """Rows were added to the replica of a live run."""
    REFUSED = "refused"
    """It was not taken; ``code`` says why."""
    REMOVED = "removed"
    """It is there no more."""


class AuditEvent(NamedTuple):
    """What happened to one item.

    Parameters
    ----------
    action : Action
    project, kind, id : str
        Which item: kinds are those of the protocol, in lower case.
    size_bytes : int, optional
        How many bytes came.
    sha256 : str, optional
        Of the whole file, where it is known.
    code : str, optional
        Of a refusal.
    """

    action: Action
    project: str
    kind: str
    id: str
    size_bytes: int = 0
    sha256: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who is at the other end.

    Parameters
    ----------
    user : str
        Whom the forced command names.
    address : str
        Where the connection comes from, as sshd says.
    key : str
        Fingerprint of the key, if sshd is told to say it (``ExposeAuthInfo yes``).
    """

    user: str = ""
    address: str = ""
    key: str = ""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], *, user: str = "") -> Self:
        """Read what sshd says of a connection; whatever it does not say is empty.

        Parameters
        ----------
        environ : mapping
            Of the process that sshd has started.
        user : str, optional
            Of the forced command; without one, the account.
        """
        address, _, _ports = environ.get("SSH_CONNECTION", "").partition(" ")
        return cls(
            user or find_account(environ),
            address,
            _read_fingerprint(environ.get("SSH_USER_AUTH", "")),
        )


NOBODY = Actor()


def _read_fingerprint(path: str) -> str:
    """Return the fingerprint of the key in the file that sshd has written for this session."""
    if not path:
        return ""
    with suppress(OSError, ValueError):
        for line in Path(path).read_text(errors="replace").splitlines():
            method, _, rest = line.partition(" ")
            words = rest.split()
            if method == "publickey" and len(words) > 1:
                return find_fingerprint(words[1])
    return ""


class AuditLog:
    """Appends to the log of a store.

    Parameters
    ----------
    store : Path or int
        Its folder, or a descriptor of it.
    actor : Actor, optional
        Who causes the events.
    clock : Clock, optional
        For their time.
    rotate_bytes : int, optional
        From which size on the file is put aside.
    """

    def __init__(
        self,
        store: Path | int,
        actor: Actor = NOBODY,
        *,
        clock: Clock = SYSTEM_CLOCK,
        rotate_bytes: int = ROTATE_BYTES,
    ) -> None:
        self._store = store
        self._clock = clock
        self._rotate_bytes = rotate_bytes
        self._kept: list[AuditEvent] = []
        self._appended: dict[tuple[str, str, str], int] = {}
        who = {"user": actor.user, "from": actor.address, "key": actor.key}
        self._who = "".join(
            f'"{name}":{quote(text[:TEXT_MAX_CHARS])},' for name, text in who.items() if text
        )

    def check(self) -> None:
        """Make sure that the log can be written, before there is anything to write.

        Raises
        ------
        OSError
            It cannot, or there is a link or something else in its place.
        StoreError
            The folder cannot be made.
        """
        with open_server_folder(self._store, create=True) as folder_fd:
            os.close(_open_log(folder_fd))

    def add(self, event: AuditEvent) -> None:
        """Keep an event for the next `append` or `flush`.

        Rows that come for one node file again and again become one event, with the bytes of all:
        else runs that are followed every few seconds would fill the disk with their log.
        """
        key = (event.project, event.kind, event.id)
        at = self._appended.get(key) if event.action == Action.APPENDED else None
        if at is not None:
            before = self._kept[at]
            self._kept[at] = event._replace(size_bytes=before.size_bytes + event.size_bytes)
            return
        if event.action == Action.APPENDED:
            self._appended[key] = len(self._kept)
        self._kept.append(event)

    def flush(self) -> None:
        """Write what is kept; see `append`."""
        self.append(())

    def append(self, events: Iterable[AuditEvent]) -> None:
        """Write events, all with the time of now, and bring them to the disk.

        What was kept by `add` goes first.

        Raises
        ------
        OSError
            They cannot be written; a part of them may have been.
        StoreError
            The folder cannot be made.

        Notes
        -----
        One write and one fsync for all of them; 2 us for each event, on a busy machine.
        """
        head = f'{{"wall_s":{self._clock.wall_s():.6f},{self._who}"action":"'
        data = "".join([_encode(head, one) for one in (*self._kept, *events)]).encode("ascii")
        if not data:
            return
        self._write(data)
        self._kept.clear()
        self._appended.clear()

    def _write(self, data: bytes) -> None:
        with open_server_folder(self._store, create=True) as folder_fd:
            fd = _open_log(folder_fd)
            try:
                size_bytes = os.fstat(fd).st_size
                if size_bytes and os.pread(fd, 1, size_bytes - 1) != b"\n":
                    data = b"\n" + data  # ends a torn line; an empty one does no harm
                _write_all(fd, data)
                os.fsync(fd)
                if not size_bytes:
                    os.fsync(folder_fd)
                if size_bytes + len(data) >= self._rotate_bytes:
                    _rotate(folder_fd, fd)
            finally:
                os.close(fd)


def _open_log(folder_fd: int) -> int:
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(AUDIT_NAME, flags, 0o666, dir_fd=folder_fd)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "it is no file", AUDIT_NAME)
    return fd


def _encode(head: str, event: AuditEvent) -> str:
    action, project, kind, name, size_bytes, sha256, code = event
    text = (
        f'{head}{action}","project":{quote(project[:TEXT_MAX_CHARS])},"kind":{quote(kind)},'
        f'"id":{quote(name[:TEXT_MAX_CHARS])},"bytes":{size_bytes:d}'
    )
    if sha256:
        text += f',"sha256":{quote(sha256)}'
    if code:
        text += f',"code":{quote(code)}'
    return text + "}\n"


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _rotate(folder_fd: int, fd: int) -> None:
    """Put the file aside that ``fd`` is, unless somebody does so at this moment.

    Who holds the lock of the very file that has the name is the only one that may rename it.
    Writers that have it open write to it still, and readers find that too.
    """
    if not try_lock(fd):
        return
    there = stat_no_follow(folder_fd, AUDIT_NAME)
    if there is None or there.st_ino != os.fstat(fd).st_ino:
        return
    number = max((number for number, _name in _list_rotated(folder_fd)), default=0) + 1
    target = f"{AUDIT_NAME}.{number}"
    os.rename(AUDIT_NAME, target, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
    os.fsync(folder_fd)


def _list_rotated(folder_fd: int) -> list[tuple[int, str]]:
    """Return the numbers and names of files that were put aside, the oldest first."""
    found = [(_ROTATED.match(name), name) for name in list_names(folder_fd)]
    return sorted((int(match[1]), name) for match, name in found if match)


def iter_events(
    store: Path | int,
    *,
    since_wall_s: float | None = None,
    project: str | None = None,
    user: str | None = None,
) -> Iterator[AuditLine]:
    """Yield what was logged, the oldest first.

    Parameters
    ----------
    store : Path or int
        Its folder, or a descriptor of it.
    since_wall_s : float, optional
        Only events of then and later.
    project, user : str, optional
        Only theirs.

    Raises
    ------
    NotFoundError
        There is no such store.

    Notes
    -----
    A line that is none of ours is passed over: a torn one, say.
    """
    with ExitStack() as stack:
        try:
            folder_fd = stack.enter_context(open_server_folder(store))
        except FileNotFoundError:
            return
        for file in _open_all(folder_fd, since_wall_s, stack):
            for line in file:
                event = parse_line(line)
                if event and _is_wanted(event, since_wall_s, project, user):
                    yield event


def _open_all(
    folder_fd: int, since_wall_s: float | None, stack: ExitStack
) -> Iterator[BufferedReader]:
    """Open every file of the log, the oldest first.

    The newest one is opened before the others are listed, so that none is missed that is renamed
    meanwhile; it is then known by its inode.
    """
    newest_fd = open_file_no_follow(folder_fd, AUDIT_NAME)
    newest = stack.enter_context(os.fdopen(newest_fd, "rb")) if newest_fd is not None else None
    inode = os.fstat(newest.fileno()).st_ino if newest else None
    for _number, name in _list_rotated(folder_fd):
        status = stat_no_follow(folder_fd, name)
        if status is None or status.st_ino == inode:
            continue
        if since_wall_s is not None and status.st_mtime < since_wall_s:
            continue  # nothing was written to it since
        fd = open_file_no_follow(folder_fd, name)
        if fd is not None:
            with os.fdopen(fd, "rb") as file:
                yield file
    if newest:
        yield newest


def parse_line(line: bytes) -> AuditLine | None:
    """Return the event of a line, or None if it is none of ours."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not isinstance(found.get("wall_s"), (int, float)):
        return None
    return found


def _is_wanted(
    event: AuditLine, since_wall_s: float | None, project: str | None, user: str | None
) -> bool:
    return (
        (since_wall_s is None or event["wall_s"] >= since_wall_s)
        and (project is None or event.get("project") == project)
        and (user is None or event.get("user") == user)
    )


class AuditTail:
    """Follows a log, across the files that are put aside, from its end of now on.

    Parameters
    ----------
    store : Path
        The store's folder.
    project, user : str, optional
        Only their events.
    """

    def __init__(self, store: Path, *, project: str | None = None, user: str | None = None) -> None:
        self._store = store
        self._wanted = (project, user)
        self._file: BufferedReader | None = None
        self._rest = b""
        self._open(whence=os.SEEK_END)

    def read(self) -> list[AuditLine]:
        """Return what came since the last call."""
        found = self._read_open()
        # What was put aside is complete: writers that still had it open wrote before we look.
        if self._open():
            found += self._read_open()
        return found

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self, *, whence: int = os.SEEK_SET) -> bool:
        """Open the newest file, unless it is open; return whether there is another one now."""
        try:
            with open_server_folder(self._store) as folder_fd:
                fd = open_file_no_follow(folder_fd, AUDIT_NAME)
        except FileNotFoundError:
            return False
        if fd is None:
            return False
        if self._file and os.fstat(fd).st_ino == os.fstat(self._file.fileno()).st_ino:
            os.close(fd)
            return False
        self.close()
        self._file, self._rest = os.fdopen(fd, "rb"), b""
        self._file.seek(0, whence)
        return True

    def _read_open(self) -> list[AuditLine]:
        if self._file is None:
            return []
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        events = [event for event in map(parse_line, lines) if event]
        return [one for one in events if _is_wanted(one, None, *self._wanted)]
