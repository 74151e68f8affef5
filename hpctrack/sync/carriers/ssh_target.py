"""Where to connect over SSH and as whom, and what is said about a server that is not trusted."""

from __future__ import annotations

import getpass
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hpctrack.core.settings import environment
from hpctrack.errors import HostKeyError, UsageError
from hpctrack.sync.carriers.host_config import HostConfig, expand, make_facts, move_home
from hpctrack.sync.carriers.known_hosts import Verdict, host_name
from hpctrack.sync.carriers.remote import SSH_PORT
from hpctrack.sync.carriers.tcp import CONNECT_TIMEOUT_S
from hpctrack.sync.carriers.transport import ConnectOptions

SYSTEM_KNOWN_HOSTS = "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2"
USER_KNOWN_HOSTS = "~/.ssh/known_hosts ~/.ssh/known_hosts2"
DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")
MAX_HOPS = 8
"""Machines on the way. More is a ring: a host that is reached through itself."""

KEEPALIVE_S = 15
"""Routers forget connections that are silent for minutes, as ours is while runs are sealed."""

_HOP = re.compile(
    r"(?:ssh://)?(?:(?P<user>[^@]+)@)?(?P<host>\[[^\]]+\]|[^:@]+)(?::(?P<port>\d+))?/?"
)


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
        These files; they need not exist. The first is the user's own.
    identities, certificates : tuple of Path
        Private keys to try, in order; certificates for them.
    agent : str or None
        The socket of ssh-agent, if it may be asked.
    identities_only : bool
        Whether the agent's keys are tried only if they are among ``identities``.
    is_named : bool
        Whether the user has named the key: then it must be there.
    connect_timeout_s, keepalive_s : float
        Until the server has greeted; between two signs of life.
    jumps : tuple of str
        The machines on the way, ``user@host:port`` each.
    """

    host: str
    port: int
    user: str
    known_name: str
    known_files: tuple[Path, ...]
    identities: tuple[Path, ...]
    certificates: tuple[Path, ...] = ()
    agent: str | None = None
    identities_only: bool = False
    is_named: bool = False
    connect_timeout_s: float = CONNECT_TIMEOUT_S
    keepalive_s: float = KEEPALIVE_S
    jumps: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """What people call it."""
        return f"{self.host}:{self.port}"

    @property
    def certificate_name(self) -> str:
        """What the server is called in a certificate: the alias or the host, without a port."""
        is_plain = self.known_name == host_name(self.host, self.port)
        return self.host if is_plain else self.known_name


@dataclass(frozen=True, slots=True)
class Hop:
    """A machine by which another one is reached.

    Parameters
    ----------
    host : str
    user : str or None
    port : int or None
    """

    host: str
    user: str | None = None
    port: int | None = None


def make_target(hop: Hop, options: ConnectOptions, config: HostConfig) -> SshTarget:
    """Put together what the URL, the options and ``ssh_config`` say; the first one wins.

    Parameters
    ----------
    hop : Hop
        From the URL.
    options : ConnectOptions
        From the command line.
    config : HostConfig
        What ``ssh_config`` says about the host.

    Raises
    ------
    UsageError
        The key is not there.
    """
    host = config.first("hostname", hop.host)
    port = hop.port or int(config.first("port", str(SSH_PORT)))
    user = hop.user or config.first("user") or getpass.getuser()
    alias = config.first("hostkeyalias")
    facts = make_facts(hop.host, host, port, user, alias)
    keepalive_s = float(config.first("serveraliveinterval", "0")) or KEEPALIVE_S
    return SshTarget(
        host=host,
        port=port,
        user=user,
        # An alias is how a site says that all its login nodes have one key.
        known_name=alias or host_name(host, port),
        known_files=_list_known_files(options, config, facts),
        identities=_list_identities(options, config, facts),
        certificates=tuple(expand(one, facts) for one in config.all("certificatefile")),
        agent=_find_agent(config, facts),
        identities_only=options.identity is not None or config.is_on("identitiesonly"),
        is_named=options.identity is not None,
        connect_timeout_s=float(config.first("connecttimeout", "0")) or CONNECT_TIMEOUT_S,
        keepalive_s=keepalive_s,
        jumps=tuple(filter(None, (one.strip() for one in config.first("proxyjump").split(",")))),
    )


def parse_hop(text: str) -> Hop:
    """Read a machine of ``ProxyJump``: ``[user@]host[:port]`` or an ``ssh://`` URL.

    Raises
    ------
    UsageError
        It is neither.
    """
    found = _HOP.fullmatch(text)
    if found is None or found["host"].startswith("-"):
        raise UsageError(f"ssh_config has a ProxyJump that cannot be understood: {text!r}")
    port = int(found["port"]) if found["port"] else None
    return Hop(found["host"].strip("[]"), found["user"], port)


def plan_way(
    hop: Hop, options: ConnectOptions, read: Callable[[Hop], HostConfig]
) -> tuple[SshTarget, ...]:
    """Return the machines to go through, the one to reach last.

    Parameters
    ----------
    hop : Hop
        The one to reach.
    options : ConnectOptions
        Identity and known hosts are for that one only, as they are for ``ssh``.
    read : callable
        Returns what ``ssh_config`` says of a host.

    Raises
    ------
    UsageError
        They go round in a ring, or cannot be understood.
    """
    target = make_target(hop, options, read(hop))
    way = [target]
    plain = ConnectOptions(batch=options.batch)
    jumps = [parse_hop(one) for one in target.jumps]
    while jumps:
        if len(way) > MAX_HOPS:
            raise UsageError(f"{target.shown} is reached through more than {MAX_HOPS} machines")
        nearer = make_target(jumps[-1], plain, read(jumps[-1]))
        way.insert(0, nearer)
        # The first of a list is reached by what its own configuration says; the others by it.
        jumps = jumps[:-1] or [parse_hop(one) for one in nearer.jumps]
    return tuple(way)


def _list_identities(
    options: ConnectOptions, config: HostConfig, facts: dict[str, str]
) -> tuple[Path, ...]:
    if options.identity is not None:
        if not options.identity.is_file():
            raise UsageError(f"there is no key {options.identity}")
        return (options.identity,)
    named = [move_home(expand(one, facts)) for one in config.all("identityfile")]
    usual = [Path("~/.ssh").expanduser() / name for name in DEFAULT_KEYS]
    return tuple(one for one in dict.fromkeys(named or usual) if one.is_file())


def _list_known_files(
    options: ConnectOptions, config: HostConfig, facts: dict[str, str]
) -> tuple[Path, ...]:
    if options.known_hosts is not None:
        return (options.known_hosts,)
    own = config.first("userknownhostsfile", USER_KNOWN_HOSTS)
    of_all = config.first("globalknownhostsfile", SYSTEM_KNOWN_HOSTS)
    return tuple(move_home(expand(one, facts)) for one in (*_split(own), *_split(of_all)))


def _split(text: str) -> Iterator[str]:
    try:
        yield from shlex.split(text)
    except ValueError:
        yield from text.split()


def _find_agent(config: HostConfig, facts: dict[str, str]) -> str | None:
    named = (config.values.get("identityagent") or ("SSH_AUTH_SOCK",))[0]
    if named.lower() == "none":
        return None
    if named == "SSH_AUTH_SOCK":
        return environment().get("SSH_AUTH_SOCK") or None
    if named.startswith("$"):
        return environment().get(named.strip("${}")) or None
    return str(expand(named, facts))


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
        return HostKeyError(
            f"the host key of {name} is REVOKED: {shown_key}",
            hint="its administrator has withdrawn it: do not connect, and ask",
        )
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
