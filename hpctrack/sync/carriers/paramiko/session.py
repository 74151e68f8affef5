"""An encrypted connection to one server, with as few round trips as the protocol allows."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import Any

from hpctrack.errors import ConnectError
from hpctrack.sync.carriers.certificate import SUFFIX
from hpctrack.sync.carriers.paramiko.library import LOST, paramiko, say
from hpctrack.sync.carriers.tcp import KEPT_HINT

HANDSHAKE_TIMEOUT_S = 30.0
"""For the key exchange and the server's look-up of the user; a hung sshd becomes an error."""

EARLY_TIMEOUT_S = 5.0
"""For a channel that was asked for before the login was done; then it is asked for again."""

FIRST_CHANNEL = 0
"""The number that OpenSSH gives to the first channel of a connection."""

WINDOW_BYTES = 16 * 1024 * 1024
"""How much the other side may send ahead; the default of 2 MiB stops it at a long round trip."""

PACKET_BYTES = 32 * 1024
"""The largest that every server must take (RFC 4253, 6.1); OpenSSH sends no larger ones."""

REKEY_BYTES = 2**34
"""16 GiB. paramiko exchanges new keys every 512 MiB, and sends nothing meanwhile; AES is good for
64 GiB (RFC 4344, 3.2), which is also when OpenSSH does it."""

CIPHERS = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
)
"""Measured: 0.79 of rsync's time with GCM, 1.15 with a counter mode and its MAC."""


class IncompatibleError(ConnectError):
    """The server and paramiko have no algorithm in common; the system's ssh may."""


class WrongGuessError(ConnectError):
    """What was sent early was for a channel that is not there: connect again, without haste."""


class Session(paramiko.Transport):  # type: ignore[misc]
    """A connection to an SSH server.

    Parameters
    ----------
    sock : socket or Channel
        To the server.
    shown : str
        What people call it.
    """

    def __init__(self, sock: Any, shown: str) -> None:
        super().__init__(
            sock, default_window_size=WINDOW_BYTES, default_max_packet_size=PACKET_BYTES
        )
        self.shown = shown
        self.packetizer.REKEY_BYTES = REKEY_BYTES
        self._preferred_ciphers = tuple(one for one in CIPHERS if one in self._cipher_info)
        # What OpenSSH says to a channel that was asked for too early.
        self._handler_table[paramiko.common.MSG_UNIMPLEMENTED] = lambda _message: None
        self._wanted_keys: tuple[str, ...] = super().preferred_keys

    @property
    def preferred_keys(self) -> tuple[str, ...]:
        """The algorithms of the server's key, the best first."""
        return self._wanted_keys

    def want_host_keys(self, known_types: Iterable[str], *, certificates: bool) -> None:
        """Ask for a key that can be checked.

        Parameters
        ----------
        known_types : iterable of str
            Types of the keys that the host is known by.
        certificates : bool
            Whether somebody is trusted to vouch for it.
        """
        plain = self._filter_algorithm("keys")
        known = [
            name
            for one in known_types
            for name in (("rsa-sha2-512", "rsa-sha2-256") if one == "ssh-rsa" else (one,))
            if name in plain
        ]
        vouched = [f"{one}{SUFFIX}" for one in plain] if certificates else []
        self._wanted_keys = tuple(dict.fromkeys([*vouched, *known, *plain]))

    def shake_hands(self, *, greeting_timeout_s: float) -> Any:
        """Exchange keys and return the server's.

        Raises
        ------
        ConnectError
            It says nothing, or does not speak SSH with us.
        """
        patience_s = time.monotonic() + greeting_timeout_s
        self.banner_timeout = greeting_timeout_s
        self.handshake_timeout = self.auth_timeout = HANDSHAKE_TIMEOUT_S
        try:
            self.start_client(timeout=greeting_timeout_s + HANDSHAKE_TIMEOUT_S)
            return self.get_remote_server_key()
        except paramiko.IncompatiblePeer as error:
            raise IncompatibleError(
                f"{self.shown} speaks no algorithm that paramiko does: {say(error)}",
                hint="the system's ssh may: --transport ssh",
            ) from None
        except LOST as error:
            if not self.remote_version and time.monotonic() >= patience_s:
                why = f"takes connections but says nothing for {greeting_timeout_s:g} s"
                hint = f"is its sshd alive? {KEPT_HINT}"
            else:
                why = f"does not speak SSH with us: {say(error)}"
                hint = "is that the port of sshd?"
            raise ConnectError(f"{self.shown} {why}", hint=hint) from None

    @property
    def is_openssh(self) -> bool:
        """Whether the server is OpenSSH, of which is known what it does with early messages."""
        return bool(self.remote_version.startswith("SSH-2.0-OpenSSH_"))

    def hurry_command(self, command: str) -> Any:
        """Ask for a channel and a command on it in one breath; wait for neither.

        The command is for the channel with the number that OpenSSH gives to the first one. Whether
        that was right is known as soon as the channel is open: see `run_command`.
        """
        with self.lock:
            number = self._next_channel()
            channel = paramiko.Channel(number)
            self._channels.put(number, channel)
            self.channel_events[number] = threading.Event()
            self.channels_seen[number] = True
            channel._set_transport(self)  # noqa: SLF001 - what open_channel does, less its wait
            channel._set_window(WINDOW_BYTES, PACKET_BYTES)  # noqa: SLF001
        message = _message(paramiko.common.MSG_CHANNEL_OPEN)
        message.add_string("session")
        message.add_int(number)
        message.add_int(WINDOW_BYTES)
        message.add_int(PACKET_BYTES)
        self._send_user_message(message)
        self._send_command(channel, FIRST_CHANNEL, command)
        return channel

    def forget_channel(self, channel: Any) -> None:
        """Forget a channel that was asked for too early."""
        self.channel_events.pop(channel.chanid, None)
        self._unlink_channel(channel.chanid)

    def run_command(self, command: str, early: Any = None) -> Any:
        """Start a command and return its channel; do not wait until it runs.

        Parameters
        ----------
        command : str
            For the user's shell there.
        early : Channel, optional
            From `hurry_command`.

        Raises
        ------
        WrongGuessError
            ``early`` has another number than was thought, or the server has hung up over it.
        ConnectError
            The server does not allow a channel.
        """
        try:
            if early is not None and self._is_open(early):
                if early.remote_chanid != FIRST_CHANNEL:
                    raise WrongGuessError(f"{self.shown} counts channels from another number")
                return early
            channel = self.open_session(timeout=HANDSHAKE_TIMEOUT_S)
            self._send_command(channel, channel.remote_chanid, command)
        except ConnectError:
            raise
        except LOST as error:
            raise ConnectError(
                f"{self.shown} does not start a command: {say(error)}",
                hint="are shell commands allowed for this user there?",
            ) from None
        return channel

    def _is_open(self, channel: Any) -> bool:
        """Wait for the answer to `hurry_command`; False is a refusal, or none in time."""
        event = self.channel_events.get(channel.chanid)
        deadline_s = time.monotonic() + EARLY_TIMEOUT_S
        while event is not None and not event.wait(0.1):
            if not self.active or time.monotonic() >= deadline_s:
                break
        if not channel.active and not self.active:
            raise WrongGuessError(f"{self.shown} has hung up on a channel that was asked for early")
        return bool(channel.active)

    def _send_command(self, channel: Any, number: int, command: str) -> None:
        """Ask for a command: exec_command, less its wait."""
        message = _message(paramiko.common.MSG_CHANNEL_REQUEST)
        message.add_int(number)
        message.add_string("exec")
        message.add_boolean(True)  # noqa: FBT003 - wants a reply: a refusal is worth knowing
        message.add_string(command)
        channel._event_pending()  # noqa: SLF001
        self._send_user_message(message)


def _message(number: int) -> Any:
    message = paramiko.Message()
    message.add_byte(bytes([number]))
    return message
