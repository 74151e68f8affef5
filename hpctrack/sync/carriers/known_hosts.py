"""Which server keys are trusted: the ``known_hosts`` files of OpenSSH. Pure.

paramiko compares with the first key of a type only, and a cluster whose login nodes share a name
has several; it also passes over ``@revoked`` and patterns. So the judgement is made here.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import hmac
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto


class Verdict(Enum):
    """What the files say about a server's key."""

    TRUSTED = auto()
    UNKNOWN = auto()
    CHANGED = auto()
    REVOKED = auto()


@dataclass(frozen=True, slots=True)
class KnownKey:
    """One line of a file.

    Parameters
    ----------
    names : tuple of str
        Names, patterns, or one hashed name.
    key_type : str
        Such as ``ssh-ed25519``.
    blob : bytes
        The public key.
    marker : str
        ``@revoked``, ``@cert-authority`` or empty.
    """

    names: tuple[str, ...]
    key_type: str
    blob: bytes
    marker: str = ""

    def is_about(self, name: str) -> bool:
        """Tell whether the line is about a host, by the rules of sshd(8)."""
        found = False
        for pattern in self.names:
            if pattern.startswith("!"):
                if fnmatch.fnmatchcase(name, _escape(pattern[1:])):
                    return False
            elif pattern.startswith("|1|"):
                found |= _matches_hash(pattern, name)
            else:
                found |= fnmatch.fnmatchcase(name, _escape(pattern))
        return found


def parse_known_hosts(text: str) -> Iterator[KnownKey]:
    """Yield the keys of a file; lines that are none are passed over, as by ssh."""
    for line in text.splitlines():
        words = line.split()
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        if len(words) < 3 or words[0].startswith("#"):  # noqa: PLR2004 - names, type, key
            continue
        try:
            blob = base64.b64decode(words[2], validate=True)
        except (binascii.Error, ValueError):
            continue
        yield KnownKey(
            tuple(words[0].lower().split(",")) if "|" not in words[0] else (words[0],),
            words[1],
            blob,
            marker,
        )


def host_name(host: str, port: int) -> str:
    """Return the name that the files use: ``host``, or ``[host]:port`` for an unusual port."""
    return host.lower() if port == 22 else f"[{host.lower()}]:{port}"  # noqa: PLR2004 - SSH's


def list_authorities(keys: Iterable[KnownKey], name: str) -> list[bytes]:
    """Return the public keys of those who may vouch for a host by certificates."""
    mine = [one for one in keys if one.is_about(name)]
    revoked = {one.blob for one in mine if one.marker == "@revoked"}
    return [one.blob for one in mine if one.marker == "@cert-authority" and one.blob not in revoked]


def list_key_types(keys: Iterable[KnownKey], name: str) -> list[str]:
    """Return the types of key that a host is known by: the ones to ask it for."""
    mine = (one for one in keys if not one.marker and one.is_about(name))
    return list(dict.fromkeys(one.key_type for one in mine))


def judge_key(keys: Iterable[KnownKey], name: str, blob: bytes) -> Verdict:
    """Decide whether a server's key can be trusted.

    Parameters
    ----------
    keys : iterable of KnownKey
        Of all files.
    name : str
        From `host_name`.
    blob : bytes
        The key that the server has proved to own.
    """
    mine = [one for one in keys if one.is_about(name)]
    if any(one.marker == "@revoked" and one.blob == blob for one in mine):
        return Verdict.REVOKED
    plain = [one for one in mine if not one.marker]
    if any(one.blob == blob for one in plain):
        return Verdict.TRUSTED
    return Verdict.CHANGED if plain else Verdict.UNKNOWN


def make_fingerprint(blob: bytes) -> str:
    """Return what ``ssh-keygen -l`` shows."""
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    return f"SHA256:{digest}"


def _matches_hash(pattern: str, name: str) -> bool:
    try:
        _empty, _one, salt, digest = pattern.split("|")
        made = hmac.digest(base64.b64decode(salt), name.encode(), "sha1")
        return hmac.compare_digest(made, base64.b64decode(digest))
    except (ValueError, binascii.Error):
        return False


def _escape(pattern: str) -> str:
    """Leave ``*`` and ``?`` their meaning and take it from ``[``, which ports are written with."""
    return pattern.replace("[", "[[]")
