"""What ``ssh`` says when it fails, as our errors. Pure: text in, error out.

Its messages are not translated into other languages, but for those of the system, which are kept
English by ``LC_ALL``.
"""

from __future__ import annotations

import re

from hpctrack.errors import AuthError, ConnectError, HostKeyError, SyncError
from hpctrack.sync.carriers.explain import explain_keys
from hpctrack.sync.carriers.known_hosts import Verdict
from hpctrack.sync.carriers.ssh_target import SshTarget, make_host_key_error
from hpctrack.sync.carriers.tcp import KEPT_HINT

SSH_FAILED = 255
"""The exit status of ssh's own failures; any other one is the command's."""

_NO_KEY = re.compile(r"No (?P<kind>\S+) host key is known for")
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_KIND = re.compile(
    r"(?P<kind>[A-Z0-9-]+) (?:host )?key (?:sent by|for|fingerprint|is not|has)", re.IGNORECASE
)
_DENIED = re.compile(r"Permission denied \((?P<methods>[^)]*)\)")
_CONNECT = re.compile(r"connect to host (?P<host>\S+) port (?P<port>\d+): (?P<why>.+)")
_CERTIFICATE = re.compile(r"Certificate invalid: (?P<why>.+)")
_EXPOSED = re.compile(r"Permissions \d+ for '(?P<file>[^']+)' are too open")


def explain_failure(target: SshTarget, said: str, *, can_ask: bool, now_s: float) -> SyncError:
    """Return the error that an ``ssh`` which ended with 255 stands for.

    Parameters
    ----------
    target : SshTarget
        Where it was to go.
    said : str
        What it printed.
    can_ask : bool
        Whether it could ask a person.
    now_s : float
        Wall time, to tell which certificates have expired.
    """
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return (
        _explain_host_key(target, said)
        or _explain_denial(target, said, can_ask=can_ask, now_s=now_s)
        or _explain_connection(target, said)
        or ConnectError(
            f"{target.shown} cannot be reached: {lines[-1] if lines else 'ssh does not say why'}",
            hint=f"does `ssh {target.host}` work? {KEPT_HINT}",
        )
    )


def _explain_host_key(target: SshTarget, said: str) -> HostKeyError | None:
    certificate = _CERTIFICATE.search(said)
    if certificate:
        return HostKeyError(
            f"the host certificate of {target.shown} is not valid: {certificate['why'].strip()}",
            hint="its administrator can renew it",
        )
    if "REVOKED HOST KEY" in said or "is marked as revoked" in said:
        return make_host_key_error(target, Verdict.REVOKED, _show_key(said))
    if "REMOTE HOST IDENTIFICATION HAS CHANGED" in said:
        return make_host_key_error(target, Verdict.CHANGED, _show_key(said))
    if _NO_KEY.search(said) or "Host key verification failed" in said:
        return make_host_key_error(target, Verdict.UNKNOWN, _show_key(said))
    return None


def _show_key(said: str) -> str:
    kind = _NO_KEY.search(said) or _KIND.search(said)
    fingerprint = _FINGERPRINT.search(said)
    shown = (kind["kind"] if kind else "", fingerprint[0] if fingerprint else "")
    return " ".join(filter(None, shown)) or "ssh does not show it"


def _explain_denial(
    target: SshTarget, said: str, *, can_ask: bool, now_s: float
) -> AuthError | None:
    many = "Too many authentication failures" in said
    denied = _DENIED.search(said)
    if not denied and not many:
        return None
    shown = ", ".join(path.name for path in target.identities) or "no key of a file"
    if many:
        return AuthError(
            f"{target.shown} ended the login of {target.user} after too many keys",
            hint="name one: --identity, or IdentityFile with IdentitiesOnly in ssh_config",
        )
    methods = denied["methods"] if denied else ""
    message = f"{target.shown} did not accept {target.user} with {shown}"
    if "keyboard-interactive" in methods and "publickey" not in methods and not can_ask:
        return AuthError(
            f"{message}: it asks for a second factor, and there is nobody to ask",
            hint=(
                "log in once by hand over a shared connection (ControlMaster, ControlPath):"
                f" ssh -fN {target.host}"
            ),
        )
    exposed = [found["file"].rpartition("/")[2] for found in _EXPOSED.finditer(said)]
    hint = explain_keys(target, exposed=exposed, now_s=now_s)
    return AuthError(f"{message} (it takes {methods})", hint=hint)


def _explain_connection(target: SshTarget, said: str) -> ConnectError | None:
    found = _CONNECT.search(said)
    if found:
        why = found["why"].strip()
        hint = "is the host up, and does a firewall or a VPN stand between?"
        if "refused" in why:
            hint = "is sshd running there, and is the port right?"
        elif "unreachable" in why or "No route" in why:
            hint = "this machine has no way there; a login node may have one."
        shown = f"{found['host']}:{found['port']}"
        return ConnectError(f"{shown} cannot be reached: {why}", hint=f"{hint} {KEPT_HINT}")
    if "Could not resolve hostname" in said:
        return ConnectError(
            f"{target.shown} cannot be reached: the host's name is not known",
            hint=f"is it spelt right? {KEPT_HINT}",
        )
    if "timed out during banner exchange" in said:
        return ConnectError(
            f"{target.shown} takes connections but says nothing",
            hint=f"is its sshd alive? {KEPT_HINT}",
        )
    if "exec request failed" in said:
        return ConnectError(
            f"{target.shown} does not allow to start a command",
            hint="are shell commands allowed for this user there? see sshd's log",
        )
    if "kex_exchange_identification" in said or "Bad remote protocol version" in said:
        last = said.strip().splitlines()[-1].strip()
        return ConnectError(
            f"{target.shown} does not speak SSH with us: {last}", hint="is that the port of sshd?"
        )
    return None
