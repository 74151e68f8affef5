"""Messages between a trial and its worker."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpctrack.core.trial_wire import (
    MESSAGE_MAX_BYTES,
    METRICS_MAX,
    WHY_MAX_CHARS,
    Answer,
    Ask,
    Hello,
    Message,
    Report,
    Stop,
    pack_message,
    read_message,
    read_metrics,
)
from hpctrack.errors import ProtocolError

MESSAGES: list[Message] = [
    Hello("r", 2, 4711, raises=True),
    Report(-3, {"loss": 0.25, "a/b": math.inf, "c": -math.inf}),
    Ask(7),
    Answer(7, stop=True, why="worse"),
    Answer(8, stop=False),
    Stop("enough"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=repr)
def test_a_message_is_read_as_it_was_written(message: Message) -> None:
    assert read_message(pack_message(message)) == message


def test_nan_has_a_form_in_plain_json() -> None:
    data = pack_message(Report(0, {"loss": math.nan}))
    assert json.loads(data)["values"] == {"loss": "nan"}
    found = read_message(data)
    assert isinstance(found, Report)
    assert math.isnan(found.values["loss"])
    assert read_message(b'{"step": 1, "values": {"a": null}}').step == 1  # type: ignore[union-attr]


@given(st.binary(max_size=200) | st.from_type(dict).map(lambda one: str(one).encode()))
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        read_message(data)


@pytest.mark.parametrize(
    "text",
    [
        "[]", "{}", '{"hello": 3}', '{"hello": {"run": "r"}}', '{"step": 1, "values": 3}',
        '{"values": {}}', '{"step": 1, "values": {"a": "text"}}', '{"ask": null}',
        '{"answer": "x"}', '{"stop": false}', '{"step": Infinity, "values": {}}', "[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_nearly_a_message_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError):
        read_message(text.encode())


def test_messages_are_bounded() -> None:
    with pytest.raises(ProtocolError, match="longer"):
        pack_message(Report(0, {"x" * 600 + str(one): 0.5 for one in range(METRICS_MAX + 20)}))
    with pytest.raises(ProtocolError, match="longer"):
        read_message(b" " * (MESSAGE_MAX_BYTES + 1))
    found = read_message(pack_message(Stop("x" * 10**6)))
    assert found == Stop("x" * WHY_MAX_CHARS)
    largest = Report(2**63 - 1, {f"{one:0512}": -1 / 3 for one in range(METRICS_MAX)})
    assert read_message(pack_message(largest)) == largest


@pytest.mark.parametrize(
    ("text", "names"),
    [("", []), ("{", []), ('"a"', []), ('["a", 3, "", "b/c"]', ["a", "b/c"])],
)
def test_wanted_metrics_are_read_from_the_environment(text: str, names: list[str]) -> None:
    assert list(read_metrics(text)) == names
