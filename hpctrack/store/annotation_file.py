"""The files of annotations: one small file per run that somebody has edited.

They lie beside the runs' folders, not in them, so that a listing finds all of a project by one
look. A file is replaced as a whole, under a lock; links are never followed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.core.layout import (
    ANNOTATIONS_FOLDER,
    DAMAGED_SUFFIX,
    SERVER_FOLDER,
    FileStamp,
    annotations_name,
    read_annotations_name,
)
from hpctrack.core.names import check_id, is_id
from hpctrack.core.settings import environment
from hpctrack.errors import NotFoundError, StoreError, StoreFormatError, StoreFullError
from hpctrack.store.annotation_edit import edit, make_changes
from hpctrack.store.annotations import (
    MERGED_MAX_BYTES,
    NOTHING,
    Annotations,
    fold,
    is_too_new,
)
from hpctrack.store.folder_lock import hold_folder

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def is_server_store(store: Path) -> bool:
    """Tell whether a store receives runs: edits in it win over others that knew nothing of them."""
    return os.path.isdir(os.path.join(store, SERVER_FOLDER))  # noqa: PTH112, PTH118 - often asked


def find_user() -> str:
    """Return the user's name, as an edit tells it; empty if the environment does not say."""
    environ = environment()
    return environ.get("USER") or environ.get("LOGNAME", "")


def read_annotations(store: Path, project: str, run: str) -> Annotations:
    """Return what people have said of a run; nothing if nobody has, or if it cannot be read."""
    data = read_annotation_bytes(store, project, run)
    return NOTHING if data is None else Annotations.from_bytes(data) or NOTHING


def read_annotation_bytes(store: Path, project: str, run: str) -> bytes | None:
    """Return a run's file of annotations, or None if there is none."""
    if not (is_id(project) and is_id(run)):
        return None
    try:
        with _open_folder(store, project) as folder_fd:
            return _read_file(folder_fd, annotations_name(run))
    except OSError:
        return None


def iter_annotated(store: Path, project: str) -> Iterator[tuple[str, FileStamp]]:
    """Yield the runs of a project that have annotations, and what tells their files' versions.

    Notes
    -----
    One listing of one folder, and a look at each file in it.
    """
    if not is_id(project):
        return
    try:
        with _open_folder(store, project) as folder_fd, os.scandir(folder_fd) as entries:
            for entry in entries:
                run = read_annotations_name(entry.name)
                stamp = _stamp(folder_fd, entry.name) if run is not None else None
                if run is not None and stamp is not None:
                    yield run, stamp
    except OSError:
        return


def find_annotation_stamp(store: Path, project: str, run: str) -> FileStamp | None:
    """Return what tells one version of a run's file from another; None if there is none."""
    if not (is_id(project) and is_id(run)):
        return None
    try:
        with _open_folder(store, project) as folder_fd:
            return _stamp(folder_fd, annotations_name(run))
    except OSError:
        return None


def edit_annotations(
    store: Path,
    project: str,
    run: str,
    *,
    name: str | None = None,
    notes: str | None = None,
    add_tags: Sequence[str] = (),
    remove_tags: Sequence[str] = (),
    archived: bool | None = None,
    deleted: bool | None = None,
    by: str = "",
    clock: Clock = SYSTEM_CLOCK,
) -> Annotations:
    """Change a run's name, notes, tags or marks, and return its annotations.

    Parameters
    ----------
    store : Path
    project, run : str
    name, notes : str, optional
        None leaves them alone; an empty name gives back the job's.
    add_tags, remove_tags : sequence of str, optional
        A tag that was taken away stays away, whoever gave it, until it is added again.
    archived, deleted : bool, optional
        Whether listings leave it out; None leaves the mark alone. No file of the run is removed.
    by : str, optional
        Who does it.
    clock : Clock, optional

    Raises
    ------
    UsageError
        Something of it cannot be used, or is too long.
    NotFoundError
        There is no such run.
    BusyError
        Somebody else is writing there.
    StoreError
        The store cannot be written.
    """
    changes = make_changes(
        name=name,
        notes=notes,
        add_tags=add_tags,
        remove_tags=remove_tags,
        archived=archived,
        deleted=deleted,
    )
    folder = store / check_id(project, what="project") / check_id(run, what="run id")
    if not folder.is_dir():
        raise NotFoundError(f"no run {run!r} in project {project!r}")
    is_server, wall_s = is_server_store(store), clock.wall_s()
    return _change(
        store,
        project,
        run,
        lambda found: edit(found, changes, is_server=is_server, wall_s=wall_s, by=by),
    )


def merge_annotations(store: Path, project: str, run: str, other: Annotations) -> Annotations:
    """Add what another side really has to a run's annotations, and return what counts now.

    The server does this with what a client has sent, the client with what the server has then.
    The run's folder need not be there yet.

    Raises
    ------
    InvalidNameError
        A name is not allowed.
    BusyError
        Somebody else is writing there.
    StoreError
        The store cannot be written, or the two are too long together.
    """
    return _change(store, project, run, lambda found: fold(found, other))


def fold_annotations(store: Path, project: str, run: str, theirs: bytes) -> bytes:
    """Do the same as `merge_annotations` with bytes.

    Raises
    ------
    StoreFormatError
        These are no annotations.
    BusyError, StoreError
        As `merge_annotations`.
    """
    other = Annotations.from_bytes(theirs)
    if other is None:
        raise StoreFormatError(
            f"what came as the annotations of {project}/{run} are none",
            hint="update hpctrack on this side" if is_too_new(theirs) else None,
        )
    return merge_annotations(store, project, run, other).to_bytes()


def _change(
    store: Path, project: str, run: str, change: Callable[[Annotations], Annotations]
) -> Annotations:
    """Read a file, change what is in it, and write it if that differs, under the lock."""
    name = annotations_name(run)
    with (
        _telling(f"annotations of {project}/{run}"),
        _open_folder(store, project, create=True) as folder_fd,
        hold_folder(folder_fd, what=f"annotations in project {project!r}"),
    ):
        before = _read_file(folder_fd, name)
        found = _understand(folder_fd, name, before, run)
        changed = change(found)
        data = changed.to_bytes()
        if len(data) > MERGED_MAX_BYTES:
            raise StoreError(
                f"the annotations of {project}/{run} have become {len(data):,} bytes",
                hint=f"at most {MERGED_MAX_BYTES:,} are kept: remove tags",
            )
        if changed.entries and data != before:
            _write_file(folder_fd, name, data)
    return changed


def _understand(folder_fd: int, name: str, data: bytes | None, run: str) -> Annotations:
    """Return what a file says; a damaged one is set aside: another side may still know."""
    if data is None:
        return NOTHING
    found = Annotations.from_bytes(data)
    if found is not None:
        return found
    if is_too_new(data):
        raise StoreFormatError(
            f"the annotations of run {run} were written by a newer hpctrack", hint="update it here"
        )
    aside = f"{name}{DAMAGED_SUFFIX}"
    os.rename(name, aside, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
    return NOTHING


@contextmanager
def _open_folder(store: Path, project: str, *, create: bool = False) -> Iterator[int]:
    """Open a project's folder of annotations, name by name, so that no link leads elsewhere."""
    fd = os.open(store, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in (check_id(project, what="project"), ANNOTATIONS_FOLDER):
            if create:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, dir_fd=fd)
                    os.fsync(fd)
            below = os.open(name, _FOLDER_FLAGS, dir_fd=fd)
            os.close(fd)
            fd = below
        yield fd
    finally:
        os.close(fd)


def _stamp(folder_fd: int, name: str) -> FileStamp | None:
    try:
        found = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return FileStamp(found.st_size, found.st_mtime_ns, found.st_ino)


def _read_file(folder_fd: int, name: str) -> bytes | None:
    """Return what is in a regular file, or None if there is none."""
    try:
        fd = os.open(name, _FILE_FLAGS, dir_fd=folder_fd)
    except FileNotFoundError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        data = b""
        # One more than is taken, so that a longer one is known as such. No file object: a listing
        # of 10,000 annotated runs would make as many.
        while piece := os.read(fd, MERGED_MAX_BYTES + 1 - len(data)):
            data += piece
        return data
    finally:
        os.close(fd)


def _write_file(folder_fd: int, name: str, data: bytes) -> None:
    scratch = f".{secrets.token_hex(6)}.tmp"
    fd = os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666, dir_fd=folder_fd)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
        os.rename(scratch, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
        os.fsync(folder_fd)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(scratch, dir_fd=folder_fd)
        raise


@contextmanager
def _telling(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        kind = StoreFullError if error.errno in {errno.ENOSPC, errno.EDQUOT} else StoreError
        hint = None
        if error.errno in {errno.ELOOP, errno.ENOTDIR}:
            hint = "a link is in the way: none is followed here"
        raise kind(f"the {what} cannot be written: {error.strerror}", hint=hint) from None
