"""What a trial of a sweep and its worker say to each other. Pure: bytes in, records out.

The worker listens on a Unix socket of the kind ``SOCK_SEQPACKET`` and gives the program its path in
``HPCTRACK_SWEEP_SOCKET``, and in ``HPCTRACK_SWEEP_METRICS`` a JSON list of the metrics it wants to
hear of. Rank 0 connects. Each message is one packet, a JSON object of at most `MESSAGE_MAX_BYTES`::

    trial:   {"hello": {"run": "r", "attempt": 1, "pid": 4711, "raises": false}}
             {"step": 12, "values": {"loss": 0.25, "acc": "nan"}}
             {"ask": 3}
    worker:  {"answer": 3, "stop": false, "why": ""}
             {"stop": true, "why": "worse than the median at step 12"}

HELLO is the first message, when there is something to report or to ask; it may come again, should
the run have another id or attempt than was thought: the last one counts. Values that are not finite
are the texts ``nan``, ``inf`` and ``-inf``, because JSON has no form for them. A report is of the
step at which the program logged the metric; a step may be reported more than once, and the last
value counts. Questions are numbered from 1, and an answer names the question; it says nothing of
reports that came after that. The worker may say ``stop`` unasked, and what was said once holds; a
program that has heard it asks once more, without waiting, so that its worker knows. Keys that a
reader does not know are passed over.

Neither side waits for the other but rank 0 for an answer, for a bounded time. What finds no room in
the socket is dropped by the trial, and counted in its run. A worker answers every question: a trial
has one open at most, so there is room. One whose answer is late is not waited for again until it
says something.
"""

from __future__ import annotations

import json
import math

from hpctrack.core import Record
from hpctrack.errors import ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

SOCKET_VARIABLE = "HPCTRACK_SWEEP_SOCKET"
METRICS_VARIABLE = "HPCTRACK_SWEEP_METRICS"
FOLDER_VARIABLE = "HPCTRACK_TRIAL_DIR"
"""Of the trial's own folder for checkpoints, the same for all its attempts."""

MESSAGE_MAX_BYTES = 64 * 1024
"""Less than a socket takes at once on any system; receive with room for one byte more."""

WHY_MAX_CHARS = 500
METRICS_MAX = 100
"""More metrics, of names of 512 bytes, might not fit into one message."""

_WORDS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class Hello(Record):
    """Who the trial is.

    Parameters
    ----------
    run : str
        The run's id.
    attempt : int
        1-based.
    pid : int
        Of rank 0.
    raises : bool
        Whether the program wants `hpctrack.Pruned` to be raised: it need not call ``should_stop``.
    """

    run: str
    attempt: int
    pid: int
    raises: bool


class Report(Record):
    """Values of metrics at a step; the names are the sweep's, not the run's."""

    step: int
    values: Mapping[str, float]


class Ask(Record):
    """Whether to stop, asked by rank 0; numbered from 1."""

    number: int


class Answer(Record):
    """What the worker says to a question."""

    number: int
    stop: bool
    why: str = ""


class Stop(Record):
    """What the worker says unasked: the trial is to end."""

    why: str = ""


Message = Hello | Report | Ask | Answer | Stop


def pack_message(message: Message) -> bytes:
    """Return a message as the bytes of its packet.

    Parameters
    ----------
    message : Hello, Report, Ask, Answer or Stop

    Raises
    ------
    ProtocolError
        It is too long; only a report can be.

    Examples
    --------
    >>> pack_message(Report(3, {"loss": float("nan")}))
    b'{"step":3,"values":{"loss":"nan"}}'
    """
    data = json.dumps(_describe(message), separators=(",", ":")).encode()
    if len(data) > MESSAGE_MAX_BYTES:
        raise ProtocolError(f"a message of {len(data)} bytes is longer than {MESSAGE_MAX_BYTES}")
    return data


def _describe(message: Message) -> dict[str, Any]:
    if isinstance(message, Hello):
        told = {name: getattr(message, name) for name in Hello.field_names}
        return {"hello": told}
    if isinstance(message, Report):
        return {
            "step": message.step,
            "values": {name: _write_number(one) for name, one in message.values.items()},
        }
    if isinstance(message, Ask):
        return {"ask": message.number}
    if isinstance(message, Answer):
        why = message.why[:WHY_MAX_CHARS]
        return {"answer": message.number, "stop": message.stop, "why": why}
    return {"stop": True, "why": message.why[:WHY_MAX_CHARS]}


def read_message(data: bytes) -> Message:
    """Return what a packet says.

    Parameters
    ----------
    data : bytes
        The whole packet.

    Raises
    ------
    ProtocolError
        It is not a message of this protocol, or too long.

    Examples
    --------
    >>> read_message(b'{"step": 3, "values": {"loss": "inf"}}')
    Report(step=3, values={'loss': inf})
    """
    if len(data) > MESSAGE_MAX_BYTES:
        raise ProtocolError(f"a message is longer than {MESSAGE_MAX_BYTES} bytes")
    try:
        told = json.loads(data)
        if isinstance(told, dict):
            found = _understand(told)
            if found is not None:
                return found
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        raise ProtocolError(f"{data[:80]!r} is no message of a trial: {error}") from None
    raise ProtocolError(f"{data[:80]!r} is no message of a trial")


def _understand(told: dict[str, Any]) -> Message | None:
    if "hello" in told:
        said = told["hello"]
        return Hello(
            str(said["run"]), int(said["attempt"]), int(said["pid"]), bool(said.get("raises"))
        )
    if "values" in told:
        values = {str(name): _read_number(one) for name, one in told["values"].items()}
        return Report(int(told["step"]), values)
    if "ask" in told:
        return Ask(int(told["ask"]))
    why = str(told.get("why", ""))
    if "answer" in told:
        return Answer(int(told["answer"]), bool(told.get("stop")), why)
    return Stop(why) if told.get("stop") is True else None


def read_metrics(text: str) -> Sequence[str]:
    """Return the metrics that a worker wants to hear of, from what it has put into the environment.

    Parameters
    ----------
    text : str
        A JSON list of names; anything else stands for none.
    """
    try:
        names = json.loads(text or "[]")
    except ValueError:
        return ()
    if not isinstance(names, list):
        return ()
    return [one for one in names if isinstance(one, str) and one][:METRICS_MAX]


def _write_number(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"


def _read_number(value: object) -> float:
    if value is None:
        return math.nan
    if isinstance(value, str):
        return _WORDS[value.lower()]
    return float(value)  # type: ignore[arg-type]
