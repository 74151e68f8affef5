"""A client of ssh-agent: which keys it holds, and signatures by them.

Its own, because a key on a token (``sk-``, PKCS#11) is a name and bytes here: any will do.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from hpctrack.sync.carriers.certificate import pack_string

ANSWER_TIMEOUT_S = 60.0
"""A key may want to be touched, or ask its owner."""

MAX_ANSWER_BYTES = 1 << 20

_LIST, _LISTED, _SIGN, _SIGNED = 11, 12, 13, 14
_FLAGS = {"rsa-sha2-256": 2, "rsa-sha2-512": 4}


@dataclass(frozen=True, slots=True)
class AgentKey:
    """A key, or a certificate for one.

    Parameters
    ----------
    blob : bytes
        The public key or certificate.
    comment : str
    """

    blob: bytes
    comment: str


class Agent:
    """A connection to ssh-agent; one that cannot be reached has no keys.

    Parameters
    ----------
    path : str or None
        Its socket.
    """

    def __init__(self, path: str | None) -> None:
        self._sock: socket.socket | None = None
        if path is None:
            return
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(ANSWER_TIMEOUT_S)
        try:
            sock.connect(path)
        except OSError:
            sock.close()
            return
        self._sock = sock

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        if self._sock is not None:
            self._sock.close()

    def list_keys(self) -> list[AgentKey]:
        """Return what it holds; nothing if it does not answer."""
        try:
            kind, body = self._ask(bytes([_LIST]))
            if kind != _LISTED:
                return []
            return _parse_keys(body)
        except (OSError, ValueError):
            return []

    def sign(self, blob: bytes, data: bytes, algorithm: str) -> bytes:
        """Return a signature, as SSH packs them.

        Raises
        ------
        OSError, ValueError
            It does not want to, or its owner did not.
        """
        flags = struct.pack(">I", _FLAGS.get(algorithm, 0))
        kind, body = self._ask(bytes([_SIGN]) + pack_string(blob) + pack_string(data) + flags)
        if kind != _SIGNED:
            raise ValueError("ssh-agent does not sign")
        return _take_string(body, 0)[0]

    def _ask(self, request: bytes) -> tuple[int, bytes]:
        if self._sock is None:
            raise ConnectionError("no ssh-agent")
        self._sock.sendall(pack_string(request))
        size_bytes = int.from_bytes(self._read(4))
        if not 0 < size_bytes <= MAX_ANSWER_BYTES:
            raise ValueError("ssh-agent answers something else")
        answer = self._read(size_bytes)
        return answer[0], answer[1:]

    def _read(self, size_bytes: int) -> bytes:
        assert self._sock is not None  # noqa: S101 - from _ask
        data = b""
        while len(data) < size_bytes:
            part = self._sock.recv(size_bytes - len(data))
            if not part:
                raise ConnectionError("ssh-agent has gone")
            data += part
        return data


def _parse_keys(body: bytes) -> list[AgentKey]:
    count, offset = int.from_bytes(body[:4]), 4
    keys = []
    for _number in range(count):
        blob, offset = _take_string(body, offset)
        comment, offset = _take_string(body, offset)
        keys.append(AgentKey(blob, comment.decode("utf-8", "replace")))
    return keys


def _take_string(data: bytes, offset: int) -> tuple[bytes, int]:
    start = offset + 4
    end = start + int.from_bytes(data[offset:start])
    if end > len(data):
        raise ValueError("ssh-agent's answer is cut off")
    return data[start:end], end
