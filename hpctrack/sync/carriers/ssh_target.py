"""Where to connect over SSH and as whom, and what is said about a server that is not trusted."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpctrack.errors import HostKeyError, UsageError
from hpctrack.sync.carriers.known_hosts import Verdict, host_name
from hpctrack.sync.carriers.remote import SSH_PORT, SshRemote
from hpctrack.sync.carriers.transport import ConnectOptions

SYSTEM_KNOWN_HOSTS = Path("/etc/ssh/ssh_known_hosts")
DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")
UNSUPPORTED = ("proxyjump", "proxycommand")


@dataclass(frozen=True, slots=True, kw_only=True)
class SshTarget:
    """Where to connect and as whom.

    Parameters
    ----------
    host, user : str
    port : int
    known_name : str
        What the server is called in ``known_hosts``.
    known_files : tuple of Path
        These files; they need not exist.
    identities : tuple of Path
        Private keys to try, in order.
    uses_agent : bool
        Whether to try ssh-agent's keys too.
    """

    host: str
    port: int
    user: str
    known_name: str
    known_files: tuple[Path, ...]
    identities: tuple[Path, ...]
    uses_agent: bool

    @property
    def shown(self) -> str:
        """What people call it."""
        return f"{self.host}:{self.port}"


def make_target(remote: SshRemote, options: ConnectOptions, config: Mapping[str, Any]) -> SshTarget:
    """Put together what the URL, the options and ``ssh_config`` say; the first one wins.

    Parameters
    ----------
    remote : SshRemote
        The URL.
    options : ConnectOptions
        From the command line.
    config : mapping
        What ``ssh_config`` says about the host, keys in lower case.

    Raises
    ------
    UsageError
        The key is not there, or ``ssh_config`` asks for what is not supported.
    """
    for name in UNSUPPORTED:
        if str(config.get(name, "none")).lower() != "none":
            raise UsageError(
                f"ssh_config reaches {remote.host} through {name}: not supported yet",
                hint="forward a port with `ssh -L` and push to ssh://localhost:port/path",
            )
    host = str(config.get("hostname", remote.host))
    port = remote.port or int(config.get("port", SSH_PORT))
    return SshTarget(
        host=host,
        port=port,
        user=remote.user or str(config.get("user", "")) or getpass.getuser(),
        # An alias is how a site says that all its login nodes have one key.
        known_name=str(config.get("hostkeyalias", "")) or host_name(host, port),
        known_files=_list_known_files(options, config),
        identities=_list_identities(options, config),
        uses_agent=options.identity is None,
    )


def _list_identities(options: ConnectOptions, config: Mapping[str, Any]) -> tuple[Path, ...]:
    if options.identity is not None:
        if not options.identity.is_file():
            raise UsageError(f"there is no key {options.identity}")
        return (options.identity,)
    named = [Path(one).expanduser() for one in config.get("identityfile", ())]
    usual = [Path("~/.ssh").expanduser() / name for name in DEFAULT_KEYS]
    return tuple(one for one in dict.fromkeys(named or usual) if one.is_file())


def _list_known_files(options: ConnectOptions, config: Mapping[str, Any]) -> tuple[Path, ...]:
    if options.known_hosts is not None:
        return (options.known_hosts,)
    named = str(config.get("userknownhostsfile", "~/.ssh/known_hosts")).split()
    return (*(Path(one).expanduser() for one in named), SYSTEM_KNOWN_HOSTS)


def make_host_key_error(target: SshTarget, verdict: Verdict, shown_key: str) -> HostKeyError:
    """Say what is wrong with a server's key, and what the user can do.

    Parameters
    ----------
    target : SshTarget
        The server.
    verdict : Verdict
        Not `Verdict.TRUSTED`.
    shown_key : str
        Type and fingerprint.
    """
    name, file = target.known_name, target.known_files[0]
    port = f"-p {target.port} " if target.port != SSH_PORT else ""
    if verdict == Verdict.REVOKED:
        return HostKeyError(f"the host key of {name} is REVOKED: {shown_key}")
    if verdict == Verdict.CHANGED:
        return HostKeyError(
            f"the host key of {name} has CHANGED: it is now {shown_key}",
            hint=(
                "somebody may stand between you and the server; only if its administrator confirms"
                f" the new key: ssh-keygen -R '{name}' -f {file}, and add the new one"
            ),
        )
    return HostKeyError(
        f"the host key of {name} is not known: {shown_key}",
        hint=(
            "compare this fingerprint with the one that the machine's administrator tells;"
            f" then run `ssh-keyscan {port}{target.host} >> {file}`,"
            f" or connect once with `ssh {port}{target.host}` and answer yes"
        ),
    )
