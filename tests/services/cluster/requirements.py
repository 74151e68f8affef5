"""What the host must offer before a cluster can come up."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

SYSTEM_PATH: Final = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
"""Also root's: a shell that was not a login shell often lacks the sbin folders."""

PACKAGES: Final = {
    "slurmctld": "slurm-wlm",
    "slurmd": "slurm-wlm",
    "srun": "slurm-wlm",
    "munged": "munge",
    "sshd": "openssh-server",
    "ssh-keygen": "openssh-client",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "unshare": "util-linux",
}
"""Program and the Debian package that has it."""

ACCOUNTING_PACKAGES: Final = {
    "slurmdbd": "slurmdbd",
    "mariadbd": "mariadb-server",
    "mariadb-admin": "mariadb-client",
}
"""What ``accounting=True`` needs in addition."""

NAMESPACES: Final = ("--mount", "--net", "--uts", "--ipc", "--pid")
"""What a machine has of its own, as options of ``unshare``."""

CGROUP_ROOT: Final = Path("/sys/fs/cgroup")
"""Where the host mounts its cgroup hierarchies."""


def list_missing(*, accounting: bool = False, cgroups: bool = False) -> list[str]:
    """List what keeps a cluster from coming up here.

    Parameters
    ----------
    accounting, cgroups : bool
        The options of the same name.

    Returns
    -------
    list of str
        One sentence per obstacle with what to do about it; empty if there is none.
    """
    obstacles = []
    wanted = PACKAGES | (ACCOUNTING_PACKAGES if accounting else {})
    lacking = [name for name in wanted if shutil.which(name, path=SYSTEM_PATH) is None]
    if lacking:
        packages = " ".join(sorted({wanted[name] for name in lacking}))
        obstacles.append(
            f"programs are missing: {' '.join(lacking)}"
            f" (apt-get install -y --no-install-recommends {packages})"
        )
    if cgroups and not list_hierarchies():
        obstacles.append("the cgroups option needs cgroup version 1 in /sys/fs/cgroup")
    if os.geteuid() != 0:
        obstacles.append("machines are namespaces, which takes root (sudo)")
    elif not lacking and not _can_unshare():
        obstacles.append("the kernel refuses namespaces here (a container without --privileged?)")
    return obstacles


def list_hierarchies() -> list[Path]:
    """List the host's cgroup version 1 hierarchies; links to joint ones are left out."""
    return sorted(
        folder
        for folder in CGROUP_ROOT.glob("*")
        if not folder.is_symlink() and (folder / "cgroup.clone_children").is_file()
    )


def _can_unshare() -> bool:
    """Try the very namespaces a machine needs; a container often has root but not this."""
    trial = subprocess.run(
        ["unshare", *NAMESPACES, "--fork", "true"],
        env={"PATH": SYSTEM_PATH},
        capture_output=True,
        check=False,
    )
    return trial.returncode == 0
