"""Certificates of OpenSSH, of users and of hosts: read, and judged by name and date. Pure.

The signature is checked elsewhere: this module knows no cryptography.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum

SUFFIX = "-cert-v01@openssh.com"
FOREVER = 2**64 - 1

_KEY_FIELDS = {
    "ssh-rsa": 2,
    "ssh-dss": 4,
    "ssh-ed25519": 1,
    "ecdsa-sha2-nistp256": 2,
    "ecdsa-sha2-nistp384": 2,
    "ecdsa-sha2-nistp521": 2,
    "sk-ssh-ed25519": 2,
    "sk-ecdsa-sha2-nistp256": 3,
}
"""How many strings the public key of a type has."""


class CertificateKind(IntEnum):
    """Whom a certificate is about."""

    USER = 1
    HOST = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate, as PROTOCOL.certkeys of OpenSSH describes it.

    Parameters
    ----------
    key_type : str
        Such as ``ssh-ed25519``, without the suffix.
    key_blob : bytes
        The public key that it is about, as a plain key.
    kind : int
        See `CertificateKind`.
    key_id : str
        What the authority calls it.
    principals : tuple of str
        Users or hosts; empty means all.
    valid_from_s, valid_until_s : int
        Seconds since 1970.
    critical : tuple of str
        Names of options that must be understood.
    authority : bytes
        The public key that has signed.
    signed, signature : bytes
        What was signed, and the signature.
    """

    key_type: str
    key_blob: bytes
    kind: int
    key_id: str
    principals: tuple[str, ...]
    valid_from_s: int
    valid_until_s: int
    critical: tuple[str, ...]
    authority: bytes
    signed: bytes
    signature: bytes

    def find_fault(self, kind: CertificateKind, now_s: float, name: str | None = None) -> str:
        """Say why it cannot be used now, or return nothing.

        Parameters
        ----------
        kind : CertificateKind
            What it must be.
        now_s : float
            Wall time.
        name : str, optional
            The host or user that it must be about.
        """
        if self.kind != kind:
            return "is not one of a " + kind.name.lower()
        if now_s < self.valid_from_s:
            return f"is valid only from {_show(self.valid_from_s)} on"
        if self.valid_until_s != FOREVER and now_s >= self.valid_until_s:
            return f"has expired: it was valid until {_show(self.valid_until_s)}"
        is_named = any(fnmatch.fnmatchcase(name or "", one) for one in self.principals)
        if name is not None and self.principals and not is_named:
            return f"is about {', '.join(self.principals)}, not {name}"
        if kind is CertificateKind.HOST and self.critical:
            return f"has conditions that are not understood: {', '.join(self.critical)}"
        return ""


def is_certificate_type(key_type: str) -> bool:
    """Tell whether a type of key is one of certificates."""
    return key_type.endswith(SUFFIX)


def parse_public_file(text: str) -> tuple[str, bytes, str]:
    """Return type, blob and comment of a ``.pub`` file.

    Raises
    ------
    ValueError
        It is none.
    """
    words = text.split(None, 2)
    if len(words) < 2:  # noqa: PLR2004 - type and key
        raise ValueError("no public key")
    try:
        blob = base64.b64decode(words[1], validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
    comment = words[2].splitlines()[0].strip() if len(words) > 2 else ""  # noqa: PLR2004
    return words[0], blob, comment


def parse_certificate(blob: bytes) -> Certificate:
    """Read a certificate.

    Raises
    ------
    ValueError
        It is none, or a kind that nobody knows.
    """
    reader = _Reader(blob)
    full_type = reader.text()
    key_type = full_type.removesuffix(SUFFIX)
    if full_type == key_type or key_type not in _KEY_FIELDS:
        raise ValueError(f"no certificate: {full_type}")
    reader.string()  # a nonce
    fields = [reader.string() for _number in range(_KEY_FIELDS[key_type])]
    reader.take(8)  # the serial number
    kind = int.from_bytes(reader.take(4))
    key_id = reader.text()
    principals = tuple(_list_strings(reader.string()))
    valid_from_s, valid_until_s = struct.unpack(">QQ", reader.take(16))
    critical = tuple(_list_strings(reader.string())[::2])
    reader.string()  # extensions
    reader.string()  # reserved
    authority = reader.string()
    signed = blob[: reader.offset]
    return Certificate(
        key_type=key_type,
        key_blob=b"".join(pack_string(one) for one in (key_type.encode(), *fields)),
        kind=kind,
        key_id=key_id,
        principals=principals,
        valid_from_s=valid_from_s,
        valid_until_s=valid_until_s,
        critical=critical,
        authority=authority,
        signed=signed,
        signature=reader.string(),
    )


def read_key_type(blob: bytes) -> str:
    """Return the type that a public key or certificate begins with.

    Raises
    ------
    ValueError
        It begins with something else.
    """
    return _Reader(blob).text()


def pack_string(data: bytes) -> bytes:
    """Return bytes with their length before them, as SSH writes them."""
    return struct.pack(">I", len(data)) + data


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.offset = 0

    def take(self, size_bytes: int) -> bytes:
        if self.offset + size_bytes > len(self._data):
            raise ValueError("it is cut off")
        self.offset += size_bytes
        return self._data[self.offset - size_bytes : self.offset]

    def string(self) -> bytes:
        return self.take(int.from_bytes(self.take(4)))

    def text(self) -> str:
        return self.string().decode("utf-8", "replace")

    def is_at_end(self) -> bool:
        return self.offset == len(self._data)


def _list_strings(data: bytes) -> list[str]:
    reader, found = _Reader(data), []
    while not reader.is_at_end():
        found.append(reader.text())
    return found


def _show(wall_s: int) -> str:
    try:
        return datetime.fromtimestamp(wall_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, OSError, ValueError):
        return "the end of time"
