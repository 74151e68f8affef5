"""The configuration files of a cluster, written into its private folder."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .layout import JOB_USERS
from .machines import ADDRESSES, node_address
from .requirements import SYSTEM_PATH
from .slurm_conf import CGROUP_CONF, make_slurm_conf, make_slurmdbd_conf

if TYPE_CHECKING:
    from .layout import Layout, Options

ETC_COPIES: Final = (
    "alternatives",
    "bash.bashrc",
    "debian_version",
    "fonts",
    "inputrc",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "libibverbs.d",
    "localtime",
    "login.defs",
    "magic",
    "mime.types",
    "openmpi",
    "os-release",
    "perl",
    "pmix",
    "profile",
    "protocols",
    "python3",
    "python3.11",
    "rpc",
    "services",
    "ssl/openssl.cnf",
    "terminfo",
    "timezone",
)
"""What programs look up in /etc. A list of the wanted, so that no secret of the host gets in."""

LAST_SYSTEM_UID: Final = 999
"""Above it are people (Debian policy 9.2.2); the machines know only their own."""

GPU_MAJOR: Final = 240
"""A number for local use. Not that of /dev/null: a cgroup that forbids a job the GPU it has not
been given would then forbid it /dev/null."""


def write_files(layout: Layout, options: Options) -> None:
    """Write all that the machines read, into an empty folder."""
    for name in ("etc/slurm", "etc/ssh/authorized_keys", "run", "log", "state", "spool",
                 "stash", "dev", "home", "srv", "lab/home", "lab/srv"):  # fmt: skip
        (layout.folder / name).mkdir(parents=True)
    for shared in (layout.scratch, layout.lab_scratch):
        shared.chmod(0o1777)
    shutil.copyfile(Path(__file__).with_name("machine.sh"), layout.folder / "machine.sh")
    _copy_etc(layout.etc)
    _write_accounts(layout)
    _write_names(layout, options)
    _write_slurm(layout, options)
    _write_sshd(layout)


def _copy_etc(etc: Path) -> None:
    """Copy the harmless part of the host's /etc.

    /etc is mounted as a whole and not file by file: when anybody on the host replaces /etc/passwd
    (useradd, apt), the kernel silently detaches a mount on that file in every namespace, and the
    job users vanish in mid-test.
    """
    for name in ETC_COPIES:
        source, target = Path("/etc", name), etc / name
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True)
        elif source.is_symlink() or source.exists():
            target.parent.mkdir(exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)


def _write_accounts(layout: Layout) -> None:
    """Write the system's accounts and the job users, all without passwords."""
    system = [
        entry
        for entry in pwd.getpwall()
        if entry.pw_uid <= LAST_SYSTEM_UID and entry.pw_name not in JOB_USERS
    ]
    people = [f"{name}:x:{uid}:{uid}::/home/{name}:/bin/bash" for name, uid in JOB_USERS.items()]
    lines = [f"{e.pw_name}:x:{e.pw_uid}:{e.pw_gid}::{e.pw_dir}:{e.pw_shell}" for e in system]
    _write(layout.etc / "passwd", [*lines, "nobody:x:65534:65534::/:/usr/sbin/nologin", *people])
    names = [entry.pw_name for entry in system] + ["nobody", *JOB_USERS]
    # "*" and not "!": sshd takes the latter for a locked account
    _write(layout.etc / "shadow", [f"{name}:*:19000:0:99999:7:::" for name in names], mode=0o600)
    groups = [
        line
        for line in Path("/etc/group").read_text().splitlines()
        if line.split(":")[0] not in JOB_USERS
    ]
    _write(layout.etc / "group", [*groups, *(f"{n}:x:{uid}:" for n, uid in JOB_USERS.items())])
    for home in (layout.home, layout.lab_home):
        for name, uid in JOB_USERS.items():
            (home / name).mkdir()
            os.chown(home / name, uid, uid)


def _write_names(layout: Layout, options: Options) -> None:
    """Write the host table; there is no name server and no way to one."""
    hosts = ["127.0.0.1 localhost"]
    hosts += [f"{address} {name}" for name, address in ADDRESSES.items()]
    hosts += [f"{node_address(name)} {name}" for name in options.node_names]
    _write(layout.etc / "hosts", hosts)
    _write(layout.etc / "resolv.conf", [])
    databases = ("passwd", "group", "shadow", "hosts", "services", "protocols")
    _write(layout.etc / "nsswitch.conf", [f"{name}: files" for name in databases])


def _write_slurm(layout: Layout, options: Options) -> None:
    """Write Slurm's files to /etc/slurm, where every tool finds them without SLURM_CONF."""
    slurm = layout.etc / "slurm"
    (slurm / "munge.key").touch(mode=0o600)
    (slurm / "munge.key").write_bytes(secrets.token_bytes(128))
    for number in (0, 1):
        device = layout.folder / "dev" / f"fakegpu{number}"
        os.mknod(device, 0o020666, os.makedev(GPU_MAJOR, number))
        device.chmod(0o666)
    gpus = f"NodeName=n[1-2] Name=gpu Type=fake File={layout.folder}/dev/fakegpu[0-1]"
    _write(slurm / "gres.conf", [gpus])
    _write(slurm / "cgroup.conf", CGROUP_CONF.splitlines())
    _write(slurm / "slurm.conf", make_slurm_conf(layout, options).splitlines())
    # slurmdbd refuses a file that others can read
    _write(slurm / "slurmdbd.conf", make_slurmdbd_conf(layout).splitlines(), mode=0o600)


def _write_sshd(layout: Layout) -> None:
    """Write the login node's sshd and, on the lab machine, one key for each user."""
    ssh = layout.etc / "ssh"
    _make_key(ssh / "host_ed25519", comment="login")
    host_key = " ".join((ssh / "host_ed25519.pub").read_text().split()[:2])
    address = ADDRESSES["login"]
    for name, uid in JOB_USERS.items():
        folder = layout.lab_home / name / ".ssh"
        folder.mkdir(mode=0o700)
        _make_key(folder / "id_ed25519", comment=f"{name}@lab")
        _write(folder / "known_hosts", [f"login,{address} {host_key}"])
        shutil.copyfile(folder / "id_ed25519.pub", ssh / "authorized_keys" / name)
        for path in (folder, *folder.iterdir()):
            os.chown(path, uid, uid)
    _write(
        ssh / "sshd_config",
        [
            "Port 22",
            f"ListenAddress {address}",
            "HostKey /etc/ssh/host_ed25519",
            "PidFile /run/sshd.pid",
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin no",
            "AuthorizedKeysFile /etc/ssh/authorized_keys/%u",
            "StrictModes yes",
            f"AllowUsers {' '.join(JOB_USERS)}",
            "UseDNS no",
            "PrintMotd no",
            "LogLevel VERBOSE",
            # tests open many connections at once; the default begins to drop them at ten
            "MaxStartups 100:30:200",
            "Subsystem sftp internal-sftp",
        ],
    )


def _make_key(path: Path, *, comment: str) -> None:
    """Make a key pair without passphrase."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)],
        env={"PATH": SYSTEM_PATH},
        check=True,
    )


def _write(path: Path, lines: list[str], *, mode: int = 0o644) -> None:
    """Write lines to a new file that has its mode from the first byte on."""
    path.touch(mode=mode)
    path.chmod(mode)
    path.write_text("".join(f"{line}\n" for line in lines))
