"""Our keys and certificates: from files and from ssh-agent, in the order they are tried."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpctrack.errors import UsageError
from hpctrack.sync.carriers.agent import Agent
from hpctrack.sync.carriers.certificate import (
    SUFFIX,
    is_certificate_type,
    parse_certificate,
    parse_public_file,
    read_key_type,
)
from hpctrack.sync.carriers.paramiko.library import LOST, paramiko, say
from hpctrack.sync.carriers.ssh_target import SshTarget

RSA_ALGORITHM = "rsa-sha2-512"
"""Every server of the last ten years takes it; the old one, with SHA-1, is refused by today's."""

MAX_PASSPHRASES = 3

Sign = Callable[[bytes, str], bytes]
AskPassphrase = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Credential:
    """A key or a certificate, and how to sign with it.

    Parameters
    ----------
    name : str
        What people call it.
    blob : bytes
        The public key, or the certificate.
    sign_as : callable
        Signs bytes by an algorithm; may ask a person.
    is_quick : bool
        Whether signing troubles nobody: then the signature is sent at once.
    """

    name: str
    blob: bytes
    sign_as: Sign
    is_quick: bool = True

    @property
    def algorithm(self) -> str:
        """The algorithm as the server is told it."""
        found = read_key_type(self.blob)
        if found.removesuffix(SUFFIX) != "ssh-rsa":
            return found
        return f"{RSA_ALGORITHM}{SUFFIX}" if is_certificate_type(found) else RSA_ALGORITHM

    def sign(self, data: bytes) -> bytes:
        """Return a signature, as SSH packs them.

        Raises
        ------
        OSError, ValueError
            Its owner, or ssh-agent, does not want to.
        """
        return self.sign_as(data, self.algorithm.removesuffix(SUFFIX))


@dataclass(slots=True)
class Findings:
    """What has been seen of our keys that may explain a refusal.

    Attributes
    ----------
    locked, exposed : list of str
        Files with a passphrase that nobody has told; files that others may read.
    """

    locked: list[str] = field(default_factory=list)
    exposed: list[str] = field(default_factory=list)


def list_credentials(
    target: SshTarget, agent: Agent, ask: AskPassphrase | None, findings: Findings
) -> list[Credential]:
    """Return what could be tried at a server, the best first.

    What troubles nobody comes first: keys without a passphrase and those of ssh-agent, the ones
    that were named before the others. A certificate comes before its plain key.

    Parameters
    ----------
    target : SshTarget
        Names the files.
    agent : Agent
    ask : callable or None
        Asks for a passphrase; None if nobody is to be asked.
    findings : Findings
        Takes what cannot be used.

    Raises
    ------
    UsageError
        The key that the user has named is none.
    """
    return _Keyring(target, agent, ask, findings).list()


class _Keyring:
    def __init__(
        self, target: SshTarget, agent: Agent, ask: AskPassphrase | None, findings: Findings
    ) -> None:
        self._target = target
        self._agent = agent
        self._in_agent = {one.blob: one.comment for one in agent.list_keys()}
        self._ask = ask
        self._findings = findings

    def list(self) -> list[Credential]:
        quick: list[Credential] = []
        slow: list[Credential] = []
        for path in self._target.identities:
            found = list(self._load(path))
            (quick if all(one.is_quick for one in found) else slow).extend(found)
        seen = {one.blob for one in (*quick, *slow)}
        if not self._target.identities_only:
            quick += [
                Credential(
                    f"agent:{comment or read_key_type(blob)}",
                    blob,
                    self._sign_by_agent(blob),
                    is_quick=False,
                )
                for blob, comment in self._in_agent.items()
                if blob not in seen
            ]
        return [*quick, *slow]

    def _load(self, path: Path) -> Iterator[Credential]:
        """Yield a file's certificates, then its key."""
        public = _read_public(path)
        if public is not None and public in self._in_agent:
            yield from self._with_certificates(path, public, self._sign_by_agent(public))
            return
        if _is_exposed(path):
            self._findings.exposed.append(path.name)
            return
        try:
            key = paramiko.PKey.from_path(path)
        except (paramiko.PasswordRequiredException, TypeError):
            # cryptography says TypeError for a passphrase that was not given
            yield from self._load_locked(path, public)
        except (*LOST, ValueError) as error:
            if self._target.is_named:
                raise UsageError(f"{path} is no key: {say(error)}") from None
        else:
            yield from self._with_certificates(path, key.asbytes(), _by_key(key))

    def _load_locked(self, path: Path, public: bytes | None) -> Iterator[Credential]:
        if self._ask is None:
            self._findings.locked.append(path.name)
        elif public is not None:
            sign = _by_locked(path, self._ask)
            yield from self._with_certificates(path, public, sign, is_quick=False)
        else:
            try:
                key = _unlock(path, self._ask)
            except (EOFError, ValueError):
                self._findings.locked.append(path.name)
            else:
                yield from self._with_certificates(path, key.asbytes(), _by_key(key))

    def _with_certificates(
        self, path: Path, public: bytes, sign: Sign, *, is_quick: bool = True
    ) -> Iterator[Credential]:
        for file in dict.fromkeys((Path(f"{path}-cert.pub"), *self._target.certificates)):
            try:
                _kind, blob, _comment = parse_public_file(file.read_text(errors="replace"))
                is_ours = parse_certificate(blob).key_blob == public
            except (OSError, ValueError):
                continue
            if is_ours:
                yield Credential(file.name, blob, sign, is_quick)
        yield Credential(path.name, public, sign, is_quick)

    def _sign_by_agent(self, blob: bytes) -> Sign:
        return lambda data, algorithm: self._agent.sign(blob, data, algorithm)


def _read_public(path: Path) -> bytes | None:
    try:
        _kind, blob, _comment = parse_public_file(Path(f"{path}.pub").read_text(errors="replace"))
    except (OSError, ValueError):
        return None
    return blob


def _is_exposed(path: Path) -> bool:
    """Tell whether others may read a file, by the rule of ssh."""
    try:
        found = path.stat()
    except OSError:
        return False
    return found.st_uid == os.getuid() and bool(found.st_mode & 0o077)


def _by_key(key: Any) -> Sign:
    def sign(data: bytes, algorithm: str) -> bytes:
        return bytes(key.sign_ssh_data(data, algorithm).asbytes())

    return sign


def _by_locked(path: Path, ask: AskPassphrase) -> Sign:
    """Return a way to sign that asks for the passphrase, once."""
    unlocked: list[Any] = []

    def sign(data: bytes, algorithm: str) -> bytes:
        if not unlocked:
            unlocked.append(_unlock(path, ask))
        return _by_key(unlocked[0])(data, algorithm)

    return sign


def _unlock(path: Path, ask: AskPassphrase) -> Any:
    for _attempt in range(MAX_PASSPHRASES):
        words = ask(f"Passphrase of {path}: ")
        if not words:
            break
        try:
            # Bytes: one of the two libraries below wants them, the other does not mind.
            return paramiko.PKey.from_path(path, words.encode())
        except (*LOST, ValueError):
            continue
    raise ValueError(f"{path.name} stays locked")
