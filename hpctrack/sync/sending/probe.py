"""Whether a remote can be pushed to, without pushing anything."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

from hpctrack.core import __version__
from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.errors import ProtocolError
from hpctrack.sync.carriers.choice import open_transport
from hpctrack.sync.carriers.remote import parse_remote
from hpctrack.sync.carriers.transport import ConnectOptions
from hpctrack.sync.sending.explain import ANSWER_TIMEOUT_S, GREETING_TIMEOUT_S, Explainer
from hpctrack.sync.wire.conversation import Conversation
from hpctrack.sync.wire.messages import (
    TOKEN_BYTES,
    Answer,
    Done,
    Error,
    Hello,
    ItemKind,
    Key,
    Offer,
    Offered,
    Wish,
)
from hpctrack.sync.wire.packing import ZSTD
from hpctrack.sync.wire.protocol import negotiate
from hpctrack.sync.wire.refusal import describe

RUN_ID = "remote-test"
"""Of a run that nobody has; it is offered, and never sent."""

ROUNDS = 3
"""Of so many round trips the shortest is told: the first one finds Python importing modules."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What was found at a remote.

    Parameters
    ----------
    peer, carrier, reason : str
        What was reached, by what, and why by that.
    software : str
        What the other side calls itself.
    version : int
        Of the protocol that both speak.
    unpacks : bool
        Whether it takes compressed data.
    skew_s : float
        By how much its clock is ahead of ours.
    round_trip_s, connect_s : float
        An offer and its answer; from the beginning to the other side's greeting.
    refusal : str
        Why runs of the project would be refused; empty if they would not.
    """

    peer: str
    carrier: str
    reason: str
    software: str
    version: int
    unpacks: bool
    skew_s: float
    round_trip_s: float
    connect_s: float
    refusal: str


def probe(
    remote: str,
    *,
    project: str,
    connect: ConnectOptions | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> Probe:
    """Connect, exchange greetings, and ask for a run that does not exist.

    Parameters
    ----------
    remote, connect, clock
        See `push`.
    project : str
        Of which runs would be pushed.

    Raises
    ------
    HpctrackError
        See `push`.
    """
    begun_s = clock.mono_s()
    with closing(open_transport(parse_remote(remote), connect or ConnectOptions())) as transport:
        talk = Conversation(transport, timeout_s=ANSWER_TIMEOUT_S)
        explainer = Explainer(transport, talk)
        ours = Hello(software=f"hpctrack {__version__}", now_wall_s=clock.wall_s())
        with explainer.translated(is_start=True):
            with suppress(ConnectionError):
                talk.greet()
                talk.send(ours)
                talk.flush()
            talk.expect_greeting(timeout_s=GREETING_TIMEOUT_S)
            theirs = talk.receive_hello()
        heard_wall_s, connect_s = clock.wall_s(), clock.mono_s() - begun_s
        version = negotiate(ours, theirs)
        with explainer.translated():
            rounds = [_ask(talk, explainer, project, clock) for _ in range(ROUNDS)]
            talk.send(Done())
            talk.flush()
        round_trip_s = min(took_s for took_s, _refusal in rounds)
        return Probe(
            peer=transport.peer,
            carrier=transport.carrier,
            reason=transport.reason,
            software=theirs.software,
            version=version,
            unpacks=ZSTD in theirs.unpacks,
            skew_s=theirs.now_wall_s - (heard_wall_s - round_trip_s / 2),
            round_trip_s=round_trip_s,
            connect_s=connect_s,
            refusal=rounds[-1][1],
        )


def _ask(talk: Conversation, explainer: Explainer, project: str, clock: Clock) -> tuple[float, str]:
    """Offer a run, and return how long the answer took and why it was refused, if it was."""
    begun_s = clock.mono_s()
    key = Key(ItemKind.RUN, project, RUN_ID)
    talk.send(Offer((Offered(key, bytes(TOKEN_BYTES)),)))
    message = talk.receive()
    if isinstance(message, Error):
        raise explainer.explain_error(message)
    if not isinstance(message, Answer) or len(message.wishes) != 1:
        raise ProtocolError(f"the other side says {message.kind.name}, not ANSWER")
    refusal = ""
    if message.wishes[0] == Wish.REFUSED:
        details: Mapping[str, Any] = message.details.get(0, {})
        facts = details.get("facts")
        refusal = describe(str(details.get("code", "")), facts if isinstance(facts, dict) else {})
    return clock.mono_s() - begun_s, refusal
