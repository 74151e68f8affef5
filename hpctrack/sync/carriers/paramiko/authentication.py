"""The messages of the SSH login (RFC 4252, RFC 4256). Questions come to the caller's thread."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from hpctrack.sync.carriers.paramiko.library import paramiko
from hpctrack.sync.carriers.paramiko.session import HANDSHAKE_TIMEOUT_S, Session

_SERVICE = "ssh-userauth"
_NEXT_SERVICE = "ssh-connection"
_common = paramiko.common


class Said(Enum):
    """What a server says to an attempt."""

    WELCOME = auto()
    """The login is done."""
    MORE = auto()
    """This was right, and there must be another proof."""
    NO = auto()
    ACCEPTABLE = auto()
    """This key would be right, if its owner signed."""
    ASKS = auto()
    """It has questions."""
    LOST = auto()


@dataclass(frozen=True, slots=True)
class Answer:
    """A server's answer.

    Parameters
    ----------
    said : Said
    methods : tuple of str
        With what one may go on.
    title, text : str
        What stands above its questions.
    prompts : tuple of (str, bool)
        Its questions, and whether the answers may be seen.
    """

    said: Said
    methods: tuple[str, ...] = ()
    title: str = ""
    text: str = ""
    prompts: tuple[tuple[str, bool], ...] = ()


class Dialogue:
    """The login of one user at one server.

    Sends without waiting for what it can foresee: the service is asked for in one breath with the
    first attempt, and the signature is sent with the key.

    Parameters
    ----------
    session : Session
        With keys exchanged, and the server's key checked.
    user : str
    """

    def __init__(self, session: Session, user: str) -> None:
        self.banner = ""
        self._session = session
        self._user = user
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._method = ""
        self._is_in = False
        session.auth_handler = self
        service = _message(_common.MSG_SERVICE_REQUEST)
        service.add_string(_SERVICE)
        session._send_message(service)  # noqa: SLF001 - paramiko's own handlers do so

    def try_nothing(self) -> Answer:
        """Ask what could be tried."""
        self._send("none", lambda _message: None)
        return self.wait()

    def offer_key(self, algorithm: str, blob: bytes) -> Answer:
        """Ask whether a key would be accepted: before a person is troubled for its signature."""

        def fill(message: Any) -> None:
            message.add_boolean(False)  # noqa: FBT003 - no signature
            message.add_string(algorithm)
            message.add_string(blob)

        self._send("publickey", fill)
        return self.wait()

    def send_key(self, algorithm: str, blob: bytes, sign: Callable[[bytes], bytes]) -> None:
        """Send a key with its signature; the answer is to be waited for."""

        def fill(message: Any) -> None:
            message.add_boolean(True)  # noqa: FBT003 - with a signature
            message.add_string(algorithm)
            message.add_string(blob)
            about = paramiko.Message()
            about.add_string(self._session.session_id)
            message.add_string(sign(about.asbytes() + message.asbytes()))

        self._send("publickey", fill)

    def start_questions(self) -> Answer:
        """Have the server ask (keyboard-interactive)."""

        def fill(message: Any) -> None:
            message.add_string("")  # a language
            message.add_string("")  # devices

        self._send("keyboard-interactive", fill)
        return self.wait()

    def answer(self, words: list[str]) -> Answer:
        """Answer its questions."""
        message = _message(_common.MSG_USERAUTH_INFO_RESPONSE)
        message.add_int(len(words))
        for one in words:
            message.add_string(one)
        self._session._send_message(message)  # noqa: SLF001
        return self.wait()

    def wait(self) -> Answer:
        """Return the next answer; a connection that has ended is one too."""
        deadline_s = time.monotonic() + HANDSHAKE_TIMEOUT_S
        while time.monotonic() < deadline_s:
            try:
                return self._answers.get(timeout=0.2)
            except queue.Empty:
                if not self._session.is_active():
                    break
        return Answer(Said.LOST)

    # -- what paramiko asks of a handler, in its own thread ----------------------------------

    @property
    def _handler_table(self) -> dict[int, Callable[[Any], None]]:
        return {
            _common.MSG_SERVICE_ACCEPT: lambda _message: None,
            _common.MSG_USERAUTH_SUCCESS: self._on_success,
            _common.MSG_USERAUTH_FAILURE: self._on_failure,
            _common.MSG_USERAUTH_BANNER: self._on_banner,
            _common.MSG_USERAUTH_PK_OK: self._on_number_60,
        }

    def is_authenticated(self) -> bool:
        """Tell whether the login is done."""
        return self._is_in

    def get_username(self) -> str:
        """Return the user."""
        return self._user

    def abort(self) -> None:
        """Take note that the connection has ended."""
        self._answers.put(Answer(Said.LOST))

    def _on_success(self, message: Any) -> None:
        del message
        self._is_in = True
        self._session._auth_trigger()  # noqa: SLF001
        self._answers.put(Answer(Said.WELCOME))

    def _on_failure(self, message: Any) -> None:
        methods = tuple(message.get_list())
        said = Said.MORE if message.get_boolean() else Said.NO
        self._answers.put(Answer(said, methods))

    def _on_banner(self, message: Any) -> None:
        self.banner += message.get_string().decode("utf-8", "replace")

    def _on_number_60(self, message: Any) -> None:
        """Read the one number that means two things, by what was tried."""
        if self._method == "publickey":
            self._answers.put(Answer(Said.ACCEPTABLE))
            return
        title, text = message.get_text(), message.get_text()
        message.get_binary()  # a language
        count = message.get_int()
        prompts = tuple((message.get_text(), message.get_boolean()) for _one in range(count))
        self._answers.put(Answer(Said.ASKS, (), title, text, prompts))

    def _send(self, method: str, fill: Callable[[Any], None]) -> None:
        self._method = method
        message = _message(_common.MSG_USERAUTH_REQUEST)
        message.add_string(self._user)
        message.add_string(_NEXT_SERVICE)
        message.add_string(method)
        fill(message)
        self._session._send_message(message)  # noqa: SLF001


def _message(number: int) -> Any:
    message = paramiko.Message()
    message.add_byte(bytes([number]))
    return message
