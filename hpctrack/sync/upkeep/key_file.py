"""Changing authorized_keys: one line at a time, all others kept byte for byte."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hpctrack.errors import NotFoundError, StoreError, UsageError
from hpctrack.sync.upkeep.key_lines import KeyLine, parse_key_line, split_line
from hpctrack.sync.upkeep.public_key import PublicKey
from hpctrack.sync.upkeep.server_folder import NO_LOCKS

_KEYGEN_TIMEOUT_S = 10.0
"""It computes a hash."""


def ask_ssh_keygen(key: PublicKey) -> None:
    """Have OpenSSH look at a key too, where it is installed.

    Raises
    ------
    UsageError
        It says that this is no key.
    """
    program = shutil.which("ssh-keygen")
    if program is None:
        return
    line = f"{key.kind} {key.blob}\n"
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            [program, "-l", "-f", "/dev/stdin"],
            input=line, capture_output=True, text=True, check=False, timeout=_KEYGEN_TIMEOUT_S,
        )  # fmt: skip
        if done.returncode:
            raise UsageError("ssh-keygen does not take that for a public key")


def list_keys(path: Path) -> list[KeyLine]:
    """Return our lines in a file; none if there is no file.

    Raises
    ------
    StoreError
        It cannot be read.
    """
    return [line for line in map(parse_key_line, _read_lines(path)) if line]


def add_key(path: Path, line: KeyLine, *, is_private: bool) -> bool:
    """Add a line, or replace the one that this key of this user has.

    Parameters
    ----------
    path : Path
        The file; made with its folder if it is not there.
    line : KeyLine
        To be written.
    is_private : bool
        Nobody else is to read the file: it is in the user's own folder. Elsewhere sshd may read
        it as another user, so what its mode allows is kept, but for writing.

    Returns
    -------
    bool
        Whether there was one that has been replaced.

    Raises
    ------
    UsageError
        The key stands there already, but not as this user's.
    StoreError
        The file cannot be written.
    """
    new = line.to_bytes()
    with _edit(path, is_private=is_private) as lines:
        for number, old in enumerate(lines):
            found = split_line(old)
            if found is None or found[2] != line.key.blob:
                continue
            _check_owner(path, number, old, line)
            lines[number] = new
            return True
        if lines and not lines[-1].endswith(b"\n"):
            lines[-1] += b"\n"
        lines.append(new)
        return False


def _check_owner(path: Path, number: int, old: bytes, line: KeyLine) -> None:
    """Refuse a key that has another line: sshd obeys the first one, so a second has no effect."""
    ours = parse_key_line(old)
    where = f"line {number + 1} of {path}"
    if ours is None:
        raise UsageError(
            f"that key may do something else: {where}",
            hint="remove that line, or have them make another key: ssh-keygen -t ed25519",
        )
    if ours.grant.user != line.grant.user:
        raise UsageError(
            f"that key is {ours.grant.user}'s: {where}",
            hint=f"hpctrack server keys revoke {line.key.fingerprint}",
        )


def revoke_keys(path: Path, who: str) -> list[KeyLine]:
    """Remove our lines of a user, or of a fingerprint, and return them.

    Raises
    ------
    NotFoundError
        There is none.
    StoreError
        The file cannot be written.
    """
    gone = []
    with _edit(path, is_private=False) as lines:
        for at in reversed(range(len(lines))):
            ours = parse_key_line(lines[at])
            if ours and who in {ours.grant.user, ours.key.fingerprint}:
                gone.append(ours)
                del lines[at]
        if not gone:
            raise NotFoundError(
                f"no key of {who!r} in {path}", hint="hpctrack server keys list shows them"
            )
    return gone[::-1]


def _read_lines(path: Path) -> list[bytes]:
    try:
        with path.open("rb") as file:
            return file.readlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from None


@contextmanager
def _edit(path: Path, *, is_private: bool) -> Iterator[list[bytes]]:
    """Give the lines of a file to be changed, then put it back in one step."""
    path = Path(os.path.realpath(path))  # a link stays one
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _hold_folder(path.parent) as folder_fd:
            lines = _read_lines(path)
            before = list(lines)
            yield lines
            if lines != before:
                _replace(path, b"".join(lines), is_private=is_private)
                os.fsync(folder_fd)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from None


@contextmanager
def _hold_folder(folder: Path) -> Iterator[int]:
    """Lock the folder itself: no other file is left in it."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
        yield fd
    finally:
        os.close(fd)


def _replace(path: Path, data: bytes, *, is_private: bool) -> None:
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        old: os.stat_result | None = path.stat()
    except FileNotFoundError:
        old = None
    is_kept = old is not None and not is_private
    mode = stat.S_IMODE(old.st_mode) & ~0o022 if old is not None and is_kept else 0o600
    try:
        fd = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            if old is not None and (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
                with contextlib.suppress(PermissionError):
                    os.fchown(fd, old.st_uid, old.st_gid)
            os.fchmod(fd, mode)
            os.fsync(fd)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
