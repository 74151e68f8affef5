"""``hpctrack receive`` on another machine, through the system's ``ssh``.

Whatever ssh_config can say holds: shared connections, second factors, Kerberos, tokens, proxies.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from pathlib import Path

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.core.settings import copy_environment
from hpctrack.errors import ConnectError, SyncError
from hpctrack.sync.carriers.fd_stream import FdStream
from hpctrack.sync.carriers.host_config import HostConfig
from hpctrack.sync.carriers.openssh_errors import SSH_FAILED, explain_failure
from hpctrack.sync.carriers.ssh_target import KEEPALIVE_S, Hop, SshTarget
from hpctrack.sync.carriers.tcp import CONNECT_TIMEOUT_S, look_up
from hpctrack.sync.carriers.terminal import tell
from hpctrack.sync.carriers.transport import STDERR_KEPT_BYTES, ConnectOptions

CLOSE_TIMEOUT_S = 10.0
"""An ssh that is told to end and does not is killed; nothing is lost by it."""

END_TIMEOUT_S = 5.0
"""Between the end of its output and its exit; its last words come in between."""

TOLD_AFTER_S = 0.3
"""What ssh says and then goes on is for the person at the terminal; last words are for us."""

GCM_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
"""Put first where they are allowed: 0.73 of rsync's time."""


class OpensshTransport:
    """A command on another machine, and the streams to it.

    Returns at once, while ssh is still connecting: what is written meanwhile waits in its pipe.
    If it cannot connect, the next read, write or wait says why.

    Parameters
    ----------
    program : str
        The path of ``ssh``.
    hop : Hop
        The machine, as the user calls it.
    command : str
        For the user's shell there.
    target : SshTarget
        What is known of it, for messages.
    config : HostConfig
        What ssh_config says of it.
    options : ConnectOptions
    can_ask : bool
        Whether there is a person at the terminal; ssh asks there itself.
    reason : str, optional
        Why this carrier was chosen.
    clock : Clock, optional
        Tells which certificates have expired.

    Raises
    ------
    ConnectError
        The program cannot be started, or the host's name is not known.
    """

    carrier = "ssh"

    def __init__(
        self,
        program: str,
        hop: Hop,
        command: str,
        *,
        target: SshTarget,
        config: HostConfig,
        options: ConnectOptions,
        can_ask: bool,
        reason: str = "",
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._clock = clock
        self.peer = target.shown
        self.reason = reason
        self._target = target
        self._can_ask = can_ask
        self._has_heard = False
        self._kept = b""
        _check_name(target, config)
        words = [program, *make_arguments(hop, config, options, can_ask=can_ask), hop.host, command]
        try:
            self._child = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env={**copy_environment(), "LC_ALL": "C"},
                # Without a terminal of its own it could not ask; without a session of its own it
                # gets our Ctrl-C. So it has a session where it does not ask.
                start_new_session=not can_ask,
            )
        except OSError as error:
            raise ConnectError(f"{program} cannot be started: {error.strerror}") from None
        stdin, stdout = self._child.stdin, self._child.stdout
        assert stdin is not None  # noqa: S101 - asked for above
        assert stdout is not None  # noqa: S101 - asked for above
        self._pipes = (stdin, stdout)
        self._stream = FdStream(stdout.fileno(), stdin.fileno())
        self._listener = threading.Thread(target=self._keep_stderr, name="ssh", daemon=True)
        self._listener.start()

    def read(self, max_bytes: int, *, timeout_s: float) -> bytes:
        """Return at least one byte, or none at the end."""
        data = self._stream.read(max_bytes, timeout_s=timeout_s)
        if data:
            self._has_heard = True
        else:
            self._raise_if_failed()
        return data

    def poll(self, timeout_s: float) -> bool:
        """Tell whether a read would return at once."""
        return self._stream.poll(timeout_s)

    def write(self, data: bytes) -> None:
        """Send everything."""
        try:
            self._stream.write(data)
        except ConnectionError:
            self._raise_if_failed()
            raise

    def read_stderr(self) -> str:
        """Return the end of what ssh and the other side have printed."""
        return self._kept.decode("utf-8", "replace")

    def wait(self, timeout_s: float) -> int | None:
        """Return the exit status of the command; None also if there is none but ssh's own."""
        try:
            status = self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        self._listener.join(END_TIMEOUT_S)
        return None if status == SSH_FAILED or status < 0 else status

    def close(self) -> None:
        """End the connection."""
        for pipe in self._pipes:
            with contextlib.suppress(OSError):
                pipe.close()
        # Whoever closes has heard all that mattered. To wait for the end of the other side's
        # program would be two round trips more.
        if self._has_heard:
            self._child.kill()
        else:
            # It may be asking somebody, and sees no end of its input; told so, it leaves the
            # terminal as it was.
            self._child.terminate()
        try:
            self._child.wait(CLOSE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        # Not the listener: a shared connection keeps its end of the pipe for two round trips more.

    def _raise_if_failed(self) -> None:
        """Raise what has become of ssh, if its end is its own and not the command's."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(END_TIMEOUT_S)
        self._listener.join(END_TIMEOUT_S)
        if self._child.returncode != SSH_FAILED:
            return
        failure: SyncError | ConnectionError = explain_failure(
            self._target, self.read_stderr(), can_ask=self._can_ask, now_s=self._clock.wall_s()
        )
        if self._has_heard:
            failure = ConnectionError("the connection was lost")
        raise failure

    def _keep_stderr(self) -> None:
        """Keep the end of what is printed; show what ssh says to the person while it logs in."""
        assert self._child.stderr is not None  # noqa: S101 - asked for above
        with self._child.stderr as pipe:
            while True:
                try:
                    data = os.read(pipe.fileno(), 65536)
                except OSError:
                    return
                if not data:
                    return
                self._kept = (self._kept + data)[-STDERR_KEPT_BYTES:]
                if self._can_ask and not self._has_heard and self._goes_on():
                    tell(data.decode("utf-8", "replace").rstrip("\n"))

    def _goes_on(self) -> bool:
        try:
            self._child.wait(TOLD_AFTER_S)
        except subprocess.TimeoutExpired:
            return not self._has_heard
        return False


def make_arguments(
    hop: Hop, config: HostConfig, options: ConnectOptions, *, can_ask: bool
) -> list[str]:
    """Return the options of ``ssh`` before the host. Pure.

    What the user has configured stays, but for what would not carry a stream of bytes, and a
    check of the server's key that was switched off.
    """
    settings = {
        # A terminal, a command, a fork or a forwarding of the user's own would be in the way.
        "ClearAllForwardings": "yes",
        "ForkAfterAuthentication": "no",
        "ForwardX11": "no",
        "RemoteCommand": "none",
        "SessionType": "default",
        "StdinNull": "no",
        "LogLevel": "INFO" if can_ask else "ERROR",
    }
    if config.first("controlpersist", "no") == "no":
        # Others' sessions over our connection would end with the sync. Theirs are used all the
        # same.
        settings["ControlMaster"] = "no"
    if not can_ask:
        settings["BatchMode"] = "yes"
    if not config.first("connecttimeout"):
        settings["ConnectTimeout"] = str(int(CONNECT_TIMEOUT_S))
    if config.first("serveraliveinterval", "0") == "0":
        settings["ServerAliveInterval"] = str(KEEPALIVE_S)
    # "ask" where nobody can be asked is "yes", but does not say what it has not found.
    loose = {"no", "off", "false"} if can_ask else {"no", "off", "false", "ask", ""}
    if config.first("stricthostkeychecking").lower() in loose:
        settings["StrictHostKeyChecking"] = "yes"
    allowed = config.first("ciphers").split(",")
    fast = [one for one in GCM_CIPHERS if one in allowed]
    if fast:
        settings["Ciphers"] = ",".join([*fast, *(one for one in allowed if one not in fast)])
    if options.known_hosts is not None:
        settings["UserKnownHostsFile"] = _quote(options.known_hosts)
        settings["GlobalKnownHostsFile"] = "none"
    if options.identity is not None:
        settings["IdentitiesOnly"] = "yes"
    words = ["-T", "-e", "none"]
    words += ["-F", str(config.source)] if config.source else []
    words += ["-i", str(options.identity)] if options.identity else []
    words += ["-p", str(hop.port)] if hop.port else []
    words += ["-l", hop.user] if hop.user else []
    for name, value in settings.items():
        words += ["-o", f"{name}={value}"]
    return [*words, "--"]


def _quote(path: Path) -> str:
    """Write a path as ssh_config does; its value may be several, and has tokens."""
    return '"' + str(path).replace("%", "%%") + '"'


def _check_name(target: SshTarget, config: HostConfig) -> None:
    """Raise in time for a name server that is silent: ssh would wait for it as long as it takes."""
    others = ("proxycommand", "proxyjump", "controlpath")
    if not any(config.first(name) for name in others):
        look_up(target.host, target.port)
