"""Public keys of OpenSSH: whether a text is one, and its fingerprint. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from dataclasses import dataclass

from hpctrack.errors import UsageError

RSA_MIN_BITS = 2048
"""What OpenSSH calls too short from version 9.1 on."""

ED25519_BYTES = 32
LINE_MAX_CHARS = 8000
"""sshd reads no line of authorized_keys that is longer than 8 KiB, in versions of today."""

_CURVE_BYTES = {"nistp256": 65, "nistp384": 97, "nistp521": 133}
"""Of an uncompressed point."""

_ECDSA = "ecdsa-sha2-"
_KINDS = {
    "ssh-ed25519",
    "ssh-rsa",
    *(f"{_ECDSA}{curve}" for curve in _CURVE_BYTES),
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
}

_HINT = "give the line of a .pub file: ssh-ed25519 AAAA... somebody@somewhere"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that was looked at.

    Parameters
    ----------
    kind : str
        ``ssh-ed25519``, say.
    blob : str
        In base64, as it stands in a line.
    comment : str
        What its owner wrote behind it.
    """

    kind: str
    blob: str
    comment: str = ""

    @property
    def fingerprint(self) -> str:
        """``SHA256:...``, as ssh-keygen and sshd's log show it."""
        return find_fingerprint(self.blob)


def find_fingerprint(blob: str) -> str:
    """Return the fingerprint of a key in base64.

    Raises
    ------
    ValueError
        It is not base64.
    """
    digest = hashlib.sha256(base64.b64decode(blob, validate=True)).digest()
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


def parse_public_key(text: str) -> PublicKey:
    """Return the key of the one line that a .pub file has.

    Raises
    ------
    UsageError
        It is no public key, one that cannot be used, or more than one.
    """
    if "PRIVATE KEY" in text:
        raise UsageError(
            "that is a private key", hint="give the file beside it that ends with .pub"
        )
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if len(lines) != 1:
        raise UsageError(f"expected one public key, found {len(lines)} lines", hint=_HINT)
    kind, _, rest = lines[0].partition(" ")
    blob, _, comment = rest.strip().partition(" ")
    if "-cert-v0" in kind:
        raise UsageError(
            "that is a certificate, not a key", hint="give the .pub file that was signed"
        )
    if kind not in _KINDS:
        raise UsageError(f"{kind[:40]!r} is no kind of key that can be used here", hint=_HINT)
    _check_blob(kind, blob)
    comment = " ".join(comment.split())
    if not comment.isprintable() or len(lines[0]) > LINE_MAX_CHARS:
        raise UsageError("the comment of the key is not allowed", hint=_HINT)
    return PublicKey(kind, blob, comment)


def _check_blob(kind: str, blob: str) -> None:
    try:
        data = base64.b64decode(blob, validate=True)
        fields = _split_fields(data)
    except (binascii.Error, ValueError, struct.error):
        raise UsageError("the key is cut or damaged", hint=_HINT) from None
    problem = _find_problem(kind, fields)
    if problem:
        raise UsageError(problem, hint=_HINT)


def _split_fields(data: bytes) -> list[bytes]:
    """Split the binary form, where each field has its length in front."""
    fields, at = [], 0
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        at += 4 + size
        if at > len(data):
            raise ValueError("cut")
        fields.append(data[at - size : at])
    return fields


def _find_problem(kind: str, fields: list[bytes]) -> str | None:
    count = {"ssh-ed25519": 2, "ssh-rsa": 3}.get(kind, 4 if kind.startswith("sk-ecdsa") else 3)
    if not fields or fields[0] != kind.encode():
        return "the key is not of the kind that stands before it"
    if len(fields) != count:
        return "the key is cut or damaged"
    if kind == "ssh-rsa":
        bits = int.from_bytes(fields[2]).bit_length()
        if bits < RSA_MIN_BITS:
            return f"an RSA key of {bits} bits is too short: sshd wants {RSA_MIN_BITS}"
        return None
    if "ed25519" in kind:
        return None if len(fields[1]) == ED25519_BYTES else "the key is cut or damaged"
    curve = fields[1].decode("ascii", "replace")
    is_right = curve in kind and len(fields[2]) == _CURVE_BYTES.get(curve)
    return None if is_right else "the key is cut or damaged"
