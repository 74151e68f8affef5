"""A WebSocket client of few lines, which says exactly the headers that a test wants it to say."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import struct
from collections.abc import Mapping
from typing import Any, Self

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA


class RefusedError(Exception):
    """The server has not become a WebSocket."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the server answered {status}")
        self.status = status


class WebSocket:
    """One connection.

    Parameters
    ----------
    peer : socket.socket
        Connected; closed with this.
    path : str
    headers : mapping
        Those that are empty are left out.
    """

    def __init__(self, peer: socket.socket, path: str, headers: Mapping[str, str]) -> None:
        self.peer = peer
        self.got_bytes = 0
        self.close_code: int | None = None
        key = base64.b64encode(os.urandom(16)).decode()
        given = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": key,
            **headers,
        }
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {one}" for name, one in given.items() if one)]
        peer.sendall("\r\n".join([*lines, "", ""]).encode())
        self._stream = peer.makefile("rb")
        status = int(self._stream.readline().split()[1])
        while self._stream.readline().strip():
            pass
        if status != 101:
            self.close()
            raise RefusedError(status)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def say(self, value: Any) -> None:
        """Send JSON."""
        self.send(TEXT, json.dumps(value).encode())

    def send(self, code: int, body: bytes) -> None:
        """Send a frame; the mask is all zero, which is allowed."""
        size = len(body)
        length = struct.pack("!B", 0x80 | size) if size < 126 else struct.pack("!BQ", 0xFF, size)
        self.peer.sendall(bytes([0x80 | code]) + length + bytes(4) + body)

    def hear(self) -> Any:
        """Return the next message; None when the server has closed."""
        while True:
            code, body = self._read_frame()
            if code == CLOSE:
                self.close_code = struct.unpack("!H", body[:2])[0] if body else None
                with contextlib.suppress(OSError):  # it may not have waited
                    self.send(CLOSE, body[:2])
                return None
            if code == PING:
                self.send(PONG, body)
            elif code == TEXT:
                return json.loads(body)

    def hear_of(self, number: int) -> tuple[str, Any]:
        """Return event and data of the next message of a topic."""
        while True:
            said = self.hear()
            assert said is not None, f"the socket was closed: {self.close_code}"
            if said.get("id") == number:
                return said["event"], said["data"]

    def close(self) -> None:
        """Close the connection without a word."""
        self._stream.close()
        self.peer.close()

    def _read_frame(self) -> tuple[int, bytes]:
        first, size = self._read(2)
        if size == 126:
            (size,) = struct.unpack("!H", self._read(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self._read(8))
        return first & 0xF, self._read(size)

    def _read(self, count: int) -> bytes:
        body = self._stream.read(count)
        if len(body) < count:
            raise ConnectionError("the server hung up")
        self.got_bytes += count
        return body
