"""The user's ``remotes.toml``.

It is a file of its own, and of the user only. A name stands for a command that is run and a
machine that is trusted, so a folder that somebody has cloned must not be able to bring one along,
as it may bring an ``hpctrack.toml``. The file is edited as text, by whole tables: comments and
whatever else the user has written stay as they are.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hpctrack.core.names import check_id
from hpctrack.errors import BusyError, SettingsError, StoreError, UsageError
from hpctrack.sync.carriers.named_remotes import NamedRemote, Remotes, parse_remotes

FILE_NAME = "remotes.toml"

LOCK_TIMEOUT_S = 5.0
"""An edit takes a millisecond; a lock that is held for longer is that of a hung file system."""

_TABLE = re.compile(r"\s*\[\[?\s*([^\]]+?)\s*\]")
_DEFAULT = re.compile(r"(\s*default\s*=\s*)(\"[^\"]*\"|'[^']*')(.*)\Z", re.DOTALL)


def find_remotes_file(environ: Mapping[str, str]) -> Path:
    """Return where the user's remotes are, or would be."""
    home = environ.get("XDG_CONFIG_HOME")
    folder = Path(home) if home else Path(environ.get("HOME", "/")) / ".config"
    return folder / "hpctrack" / FILE_NAME


def read_remotes(path: Path) -> Remotes:
    """Read the file; one that is not there has no remotes.

    Raises
    ------
    SettingsError
        It cannot be read, or says something that cannot be.
    """
    return parse_remotes(_read_text(path), path)


def add_remote(
    path: Path, name: str, remote: NamedRemote, *, is_default: bool, replace: bool = False
) -> None:
    """Write a remote into the file.

    Parameters
    ----------
    path : Path
        Made if it is not there.
    name : str
        Checked as ids are: it must not look like a path or a URL.
    remote : NamedRemote
    is_default : bool
        Make it the one that is meant if none is named.
    replace : bool
        Whether the name may be there already.

    Raises
    ------
    UsageError
        The name cannot be used, or there is one already.
    SettingsError, StoreError, BusyError
        The file cannot be edited.
    """
    check_id(name, what="remote")

    def edit(text: str, before: Remotes) -> tuple[str, Remotes]:
        if name in before.known and not replace:
            raise UsageError(
                f"there is a remote {name!r} already: {before.known[name].url}",
                hint="another name, or --replace",
            )
        table = "".join(f"{key} = {_quote(value)}\n" for key, value in remote.to_json().items())
        text = _remove_table(text, name) if name in before.known else text
        gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
        text = f"{text}{gap}[remotes.{_quote_key(name)}]\n{table}"
        default = name if is_default else before.default
        if is_default:
            text = _set_default(text, name)
        return text, Remotes({**before.known, name: remote}, default)

    _edit(path, edit)


def remove_remote(path: Path, name: str) -> NamedRemote:
    """Remove a remote from the file, and return what it was.

    Raises
    ------
    NotFoundError
        There is no such remote.
    SettingsError, StoreError, BusyError
        The file cannot be edited.
    """
    removed: list[NamedRemote] = []

    def edit(text: str, before: Remotes) -> tuple[str, Remotes]:
        removed.append(before.find(name))
        text = _remove_table(text, name)
        is_default = before.default == name
        if is_default:
            text = _set_default(text, None)
        left = {key: one for key, one in before.known.items() if key != name}
        return text, Remotes(left, None if is_default else before.default)

    _edit(path, edit)
    return removed[-1]


def set_default(path: Path, name: str) -> None:
    """Make a remote the one that is meant if none is named.

    Raises
    ------
    NotFoundError
        There is no such remote.
    SettingsError, StoreError, BusyError
        The file cannot be edited.
    """

    def edit(text: str, before: Remotes) -> tuple[str, Remotes]:
        before.find(name)
        return _set_default(text, name), Remotes(before.known, name)

    _edit(path, edit)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from None


def _edit(path: Path, edit: Callable[[str, Remotes], tuple[str, Remotes]]) -> None:
    """Change the file, or leave it as it is: the new text is read before it takes its place."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A file that is a link into a folder of settings stays one.
        path = path.resolve()
        with _locked(path.parent):
            text = _read_text(path)
            changed, wanted = edit(text, parse_remotes(text, path))
            try:
                is_right = parse_remotes(changed, path) == wanted
            except SettingsError:
                is_right = False
            if not is_right:
                raise SettingsError(
                    f"{path} is not written in a way that can be changed here",
                    hint="change it by hand",
                )
            _write(path, changed)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from None


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep others of this user from editing; file systems without locks go without."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline_s = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline_s:
                    raise BusyError(f"somebody is changing {folder}") from None
                time.sleep(0.02)
                continue
            except OSError:
                pass
            yield
            return
    finally:
        os.close(fd)


def _write(path: Path, text: str) -> None:
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with scratch.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileNotFoundError):
            scratch.chmod(path.stat().st_mode & 0o777)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


# -- its text ----------------------------------------------------------------------------------


def _quote(value: str) -> str:
    """Return a basic string of TOML; JSON's escapes are among TOML's."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _quote_key(name: str) -> str:
    return _quote(name) if "." in name else name


def _remove_table(text: str, name: str) -> str:
    """Cut out one table; what is written above the next one belongs to that."""
    lines = text.splitlines(keepends=True)
    titles = {f"remotes.{name}", f"remotes.{_quote(name)}", f"remotes.'{name}'"}
    heads = [at for at, line in enumerate(lines) if _TABLE.match(line)]
    for number, start in enumerate(heads):
        found = _TABLE.match(lines[start])
        if found is None or found[1] not in titles:
            continue
        end = heads[number + 1] if number + 1 < len(heads) else len(lines)
        while end - 1 > start and not lines[end - 1].partition("#")[0].strip():
            end -= 1
        after = "".join(lines[end:]).lstrip("\n")
        before = "".join(lines[:start]).rstrip("\n")
        return before + ("\n\n" if before and after else "\n" if before else "") + after
    return text


def _set_default(text: str, name: str | None) -> str:
    """Change, add or remove the line that names the default."""
    lines = text.splitlines(keepends=True)
    for at, line in enumerate(lines):
        if _TABLE.match(line):
            break
        found = _DEFAULT.match(line)
        if found:
            lines[at] = "" if name is None else f"{found[1]}{_quote(name)}{found[3]}"
            return "".join(lines).lstrip("\n")
    if name is None:
        return text
    return f"default = {_quote(name)}\n" + (f"\n{text}" if text else "")
