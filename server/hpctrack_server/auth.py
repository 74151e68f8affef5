"""Who may look. Pure: a visit's facts go in, a verdict comes out.

On TCP the port is open to every user of the machine, so a visitor needs the token of this
start; the cookie that replaces it is bound to a random ``*.localhost`` name, because cookies
ignore ports and a neighbour's server on ``localhost`` would receive it. On a Unix socket the
kernel says who is there, and nothing else is needed.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from enum import Enum

COOKIE_NAME = "hpctrack"
LOCAL_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})


class Verdict(Enum):
    """What becomes of a visit."""

    ALLOWED = "allowed"
    GRANTED = "granted"
    """The token in the address is right: the visitor gets the cookie and a clean address."""
    FORBIDDEN = "forbidden"
    MISDIRECTED = "misdirected"
    """The Host header is not ours: a page of another site points its own name at us."""


class Right(Enum):
    """What a request wants to do."""

    READ = "read"
    LISTEN = "listen"
    """Open a socket that lasts. Browsers let every site do that, and send our cookie along."""
    WRITE = "write"
    """Change what people have said of runs, or how the dashboard looks; never a run's numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """What a request says about who sent it; empty where it says nothing."""

    host: str
    url_token: str = ""
    bearer: str = ""
    cookie: str = ""
    peer_uid: int | None = None
    origin: str = ""
    """Of which page the request is; browsers always say it of a socket, programs need not."""
    fetch_site: str = ""
    is_navigation: bool = False
    is_marked: bool = False
    """It has a header of ours, which a form cannot send and another site's script may not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The one judge of who may look.

    Parameters
    ----------
    host_name : str
        The random ``*.localhost`` name of this start.
    port : int
        Our port; 0 behind a Unix socket, where the visitor's tunnel chooses it.
    token : str
        Empty behind a Unix socket.
    uid : int
        Who may connect to a Unix socket.
    hosts : frozenset of str
        Names of a proxy in front, in lower case, without a port; it chooses the port.
    """

    host_name: str
    port: int
    token: str
    uid: int
    hosts: frozenset[str] = frozenset()

    @property
    def cookie(self) -> str:
        """What the cookie holds: derived, so that it does not give the token away."""
        return hashlib.blake2b(
            b"hpctrack-cookie", key=hashlib.sha256(self.token.encode()).digest()
        ).hexdigest()[:64]

    def judge(self, visit: Visit, right: Right = Right.READ) -> Verdict:
        """Decide about one request: the one place that does."""
        if not self._is_our_host(visit.host):
            return Verdict.MISDIRECTED
        verdict = self._judge_reading(visit)
        if right == Right.READ or verdict == Verdict.FORBIDDEN:
            return verdict
        # Behind a Unix socket there is no cookie that a browser would withhold from other sites.
        is_ours = visit.fetch_site in {"", "none", "same-origin"} and (
            visit.is_marked if right == Right.WRITE else self._is_own_page(visit)
        )
        return Verdict.ALLOWED if is_ours and verdict == Verdict.ALLOWED else Verdict.FORBIDDEN

    def _is_own_page(self, visit: Visit) -> bool:
        """Tell whether a page of ours asks; a program that names none has to show the token."""
        if not visit.origin:
            return bool(self.token) and _equal(visit.bearer, self.token)
        scheme, _, place = visit.origin.lower().partition("://")
        # The port counts: on a login node other ports are other people.
        return scheme in {"http", "https"} and place == visit.host.lower()

    def _judge_reading(self, visit: Visit) -> Verdict:
        # A page of another site may send people here, but may not embed or fetch anything.
        if visit.fetch_site == "cross-site" and not visit.is_navigation:
            return Verdict.FORBIDDEN
        if not self.token:
            return Verdict.ALLOWED if visit.peer_uid == self.uid else Verdict.FORBIDDEN
        if visit.url_token:
            is_right = _equal(visit.url_token, self.token)
            return Verdict.GRANTED if is_right else Verdict.FORBIDDEN
        if _equal(visit.bearer, self.token) or _equal(visit.cookie, self.cookie):
            return Verdict.ALLOWED
        return Verdict.FORBIDDEN

    def _is_our_host(self, host: str) -> bool:
        name, colon, port = host.rpartition(":")
        if not colon or not port.isdigit():
            name, port = host, "80"
        if name.lower() in self.hosts:
            return True
        is_known = name.lower() in LOCAL_NAMES or name.lower() == self.host_name
        if not self.port:
            return is_known or name.lower().endswith(".localhost")
        return is_known and port == str(self.port)


def make_host_name() -> str:
    """Make a name that browsers resolve to this machine and that nobody can guess."""
    return f"hpctrack-{secrets.token_hex(4)}.localhost"


def make_token() -> str:
    """Make a token of 192 random bits."""
    return secrets.token_urlsafe(24)


def _equal(given: str, wanted: str) -> bool:
    """Compare in a time that does not depend on where two texts differ."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())
