"""Small file systems of real kernels: on a loop device or in memory, and ways to break them."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MIB = 1024 * 1024

_EXT4_IOC_SHUTDOWN = 0x8004587D
_GOING_DOWN_SYNCED = 0
_GOING_DOWN_AT_ONCE = 2


@contextmanager
def mounted(kind: str, folder: Path, *, size_mib: int = 32) -> Iterator[Path]:
    """Mount a new file system: ``ext4``, ``ext2`` (knows no fallocate) or ``tmpfs``."""
    point = folder / "disk"
    point.mkdir()
    image = folder / "disk.img"
    if kind == "tmpfs":
        _run("mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "none", str(point))
    else:
        with image.open("wb") as file:
            file.truncate(size_mib * MIB)
        _run(f"mkfs.{kind}", "-q", "-F", str(image))
        _run("mount", "-o", "loop,errors=remount-ro", str(image), str(point))
    try:
        yield point
    finally:
        _run("umount", "--lazy", str(point))


def mount_again(folder: Path) -> None:
    """Unmount and mount the disk image: what a reboot would find."""
    _run("umount", str(folder / "disk"))
    _run("mount", "-o", "loop", str(folder / "disk.img"), str(folder / "disk"))


def fill(point: Path, *, leave_bytes: int = 0) -> None:
    """Use up what is free."""
    found = os.statvfs(point)
    size = found.f_bfree * found.f_frsize - leave_bytes
    with (point / "filler").open("wb") as file:
        try:
            while size > 0:
                size -= file.write(bytes(min(MIB, size)))
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            os.ftruncate(file.fileno(), file.tell())


def make_read_only(point: Path) -> None:
    """Let ext4 find an error: it goes read-only with files open, as it does on a bad disk."""
    device = Path(_source(point)).name
    Path(f"/sys/fs/ext4/{device}/trigger_fs_error").write_text("planted by a test\n")


def shut_down(point: Path, *, is_synced: bool = True) -> None:
    """Sync, or lose what was not written out; answer everything with EIO, as a lost device."""
    how = _GOING_DOWN_SYNCED if is_synced else _GOING_DOWN_AT_ONCE
    handle = os.open(point, os.O_RDONLY)
    try:
        fcntl.ioctl(handle, _EXT4_IOC_SHUTDOWN, struct.pack("I", how))
    finally:
        os.close(handle)


def _source(point: Path) -> str:
    for line in Path("/proc/self/mounts").read_text().splitlines():
        device, where, *_rest = line.split()
        if where == str(point):
            return device
    raise AssertionError(f"{point} is not mounted")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
