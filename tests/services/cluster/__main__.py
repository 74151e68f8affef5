"""``scripts/cluster``: the test cluster, for people."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from . import Cluster, ClusterError, Options, list_interpreter_folders
from .layout import Layout

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_FOLDER: Final = Path("/opt/hpctrack-cluster")
"""One for everybody, so that `down` finds what `up` made."""

CHECKOUT: Final = Path(__file__).resolve().parents[3]

EXAMPLES: Final = """\
examples:
  scripts/cluster up                              three nodes; stays up until `down`
  scripts/cluster up --nodes 8 --keep ~/data
  scripts/cluster exec login -u alice             a shell; alice and bob may submit jobs
  scripts/cluster exec login -u alice sbatch -N3 --wrap 'srun hostname'
  scripts/cluster exec lab -u alice ssh login     the login node, seen from outside
  scripts/cluster kill-node n2; scripts/cluster boot n2
  scripts/cluster isolate n3; scripts/cluster rejoin n3
  scripts/cluster down

machines: ctl (controller), login (sshd), lab (a workstation outside), n1 to nN.
/home and /srv are shared by ctl, login and the nodes. On the host they are folders of the
same name below --dir, the logs are in `log`.
"""


def main() -> int:
    """Run one command and return the exit status."""
    parser = make_parser()
    arguments = parser.parse_args()
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        return command(arguments)
    except ClusterError as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/cluster",
        description="A real Slurm cluster on this machine, in namespaces below one folder.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    folder = argparse.ArgumentParser(add_help=False)
    folder.add_argument("--dir", type=Path, default=DEFAULT_FOLDER, metavar="D",
                        help="private folder of the cluster (default: %(default)s)")  # fmt: skip
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Callable[[argparse.Namespace], int], text: str) -> (
        argparse.ArgumentParser
    ):  # fmt: skip
        sub = commands.add_parser(name, help=text, description=text, parents=[folder])
        sub.set_defaults(command=command)
        return sub

    up = add("up", bring_up, "bring the cluster up; it stays until `down`")
    up.add_argument("--nodes", type=int, default=3, metavar="N", help="compute nodes (default: 3)")
    up.add_argument("--keep", action="append", default=[], metavar="FOLDER",
                    help="another folder that job users can read on every machine")  # fmt: skip
    up.add_argument("--accounting", action="store_true", help="run slurmdbd and MariaDB for sacct")
    up.add_argument("--cgroups", action="store_true", help="hold jobs in cgroups (version 1)")
    up.add_argument("--login-on-fabric", action="store_true", help="let srun work on login")
    add("down", take_down, "kill every process and remove the folder")
    add("status", show_status, "show machines and nodes")
    enter = add("exec", execute, "run a command (default: a shell) on a machine")
    enter.add_argument("machine", help="ctl, login, lab, n1, ...")
    enter.add_argument("words", nargs=argparse.REMAINDER, metavar="[-u USER] [CMD ...]",
                       help="as root unless -u names alice or bob")  # fmt: skip
    for name, text in (
        ("kill-node", "cut the power of a machine"),
        ("boot", "switch a killed machine on"),
        ("isolate", "pull a machine's network cables; its processes go on"),
        ("rejoin", "push the network cables in again"),
    ):
        add(name, change_power, text).add_argument("machine")
        commands.choices[name].set_defaults(action=name)
    return parser


def bring_up(arguments: argparse.Namespace) -> int:
    """Start a cluster that outlives this process."""
    options = Options(
        nodes=arguments.nodes,
        keep=(str(CHECKOUT), *list_interpreter_folders(), *arguments.keep),
        accounting=arguments.accounting,
        cgroups=arguments.cgroups,
        login_on_fabric=arguments.login_on_fabric,
    )
    cluster = Cluster(arguments.dir, options=options)
    took_s = cluster.up(outlive_owner=True)
    print(f"up in {took_s:.1f} s: {', '.join(options.machine_names)}")
    print(f"logs: {cluster.layout.log}   shared /srv: {cluster.scratch.host}")
    return 0


def take_down(arguments: argparse.Namespace) -> int:
    """Take the cluster down; none is as good as one that is gone."""
    if Layout(arguments.dir).read_options() is None:
        print(f"no cluster in {arguments.dir}")
    else:
        Cluster.attach(arguments.dir).down()
    return 0


def show_status(arguments: argparse.Namespace) -> int:
    """Print machines and nodes; the exit status is 1 if the controller is off."""
    cluster = Cluster.attach(arguments.dir)
    for name in cluster.options.machine_names:
        print(f"{name:8} {'on' if cluster.is_up(name) else 'off'}")
    if not cluster.is_up("ctl"):
        return 1
    print(cluster.run("ctl", "sinfo", "-N", "-l").stdout, end="")
    return 0


def execute(arguments: argparse.Namespace) -> int:
    """Become a command on a machine, with this terminal."""
    words, user = list(arguments.words), None
    # by hand: argparse gives everything after the machine to the command, options too
    if words[:1] in (["-u"], ["--user"]):
        if len(words) == 1:
            raise ClusterError("-u needs a user, alice or bob")
        user, words = words[1], words[2:]
    env = {"TERM": os.environ.get("TERM", "dumb")}
    command = Cluster.attach(arguments.dir).make_command(
        arguments.machine, *(words or ["bash", "-l"]), user=user, env=env
    )
    os.execvp(command[0], command)  # noqa: S606 - no shell is wanted


def change_power(arguments: argparse.Namespace) -> int:
    """Kill, boot, isolate or rejoin a machine."""
    cluster = Cluster.attach(arguments.dir)
    actions = {
        "kill-node": cluster.kill_node,
        "boot": cluster.boot,
        "isolate": cluster.isolate,
        "rejoin": cluster.rejoin,
    }
    actions[arguments.action](arguments.machine)
    return 0


if __name__ == "__main__":
    sys.exit(main())
