from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpctrack.errors import ProtocolError
from hpctrack.sync.wire.messages import (
    Begin,
    Data,
    Done,
    End,
    Error,
    Hello,
    Inventory,
    Item,
    ItemKind,
    Key,
    Message,
    Outcome,
    Result,
)
from hpctrack.sync.wire.protocol import (
    HEADER,
    INVENTORY_ITEMS,
    MAX_BODY_BYTES,
    Decoder,
    Frame,
    decode,
    encode,
    negotiate,
    split_inventory,
)

relaxed = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
"""On a machine that does other things too, the time of an example says nothing."""

texts = st.text(max_size=40)
numbers = st.integers(0, 2**62)
hashes = st.binary(min_size=32, max_size=32).map(bytes.hex)
keys = st.builds(Key, st.sampled_from(ItemKind), texts, texts)
items = st.builds(Item, keys, hashes, numbers)
facts = st.dictionaries(texts, texts | numbers, max_size=4)
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(Hello, numbers, numbers, texts),
    st.builds(Inventory, st.lists(items, max_size=4).map(tuple), st.booleans()),
    st.builds(Begin, numbers, items),
    st.builds(Data, st.binary(max_size=300)),
    st.builds(End, numbers),
    st.builds(Result, numbers, st.sampled_from(Outcome), texts, facts),
    st.just(Done()),
    st.builds(Error, texts, facts),
)


def read_all(decoder: Decoder, data: bytes) -> list[Message | None]:
    found = [decode(frame) for frame in decoder.feed(data)]
    return [Data(bytes(one.body)) if isinstance(one, Data) else one for one in found]


@relaxed
@given(messages)
def test_a_message_survives_the_way_through_bytes(message: Message) -> None:
    assert read_all(Decoder(), encode(message)) == [message]


@relaxed
@given(st.lists(messages, max_size=5), st.integers(1, 64))
def test_the_decoder_does_not_care_how_the_stream_is_cut(sent: list[Message], cut: int) -> None:
    stream = b"".join(encode(one) for one in sent)
    decoder = Decoder()
    found = []
    for start in range(0, len(stream), cut):
        found += read_all(decoder, stream[start : start + cut])
    assert found == sent
    assert decoder.held_bytes == 0


@relaxed
@given(messages)
def test_a_message_fed_byte_by_byte_comes_with_its_last_byte(message: Message) -> None:
    decoder, stream = Decoder(), encode(message)
    for number, byte in enumerate(stream):
        found = read_all(decoder, bytes([byte]))
        assert found == ([message] if number == len(stream) - 1 else [])


@relaxed
@given(messages)
def test_a_message_cut_off_anywhere_is_known_to_be_unfinished(message: Message) -> None:
    stream = encode(message)
    for end in range(1, len(stream)):
        decoder = Decoder()
        assert list(decoder.feed(stream[:end])) == []
        assert decoder.held_bytes == end


def test_a_frame_that_announces_too_much_is_refused_by_its_header() -> None:
    with pytest.raises(ProtocolError, match="announces"):
        list(Decoder().feed(HEADER.pack(MAX_BODY_BYTES + 1, 4, 0, 0)))


def test_a_body_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(ProtocolError, match="do not fit"):
        encode(Data(bytes(MAX_BODY_BYTES + 1)))


def test_a_kind_of_a_newer_peer_is_passed_over() -> None:
    assert decode(Frame(200, memoryview(b"\xff"))) is None


def test_unknown_fields_are_ignored() -> None:
    body = json.dumps({"number": 3, "colour": "red"}).encode()
    assert decode(Frame(End.kind, memoryview(body))) == End(3)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b"{}",
        b'{"number": "3"}',
        b'{"number": true}',
        b'{"number": 1, "item": {"kind": "run"}}',
        b'{"number":1,"item":{"kind":"planet","project":"p","id":"r","sha256":"","size_bytes":1}}',
        b'{"number":1,"item":{"kind":"run","project":"p","id":"r","sha256":"00","size_bytes":1}}',
        b"[" * 100_000,
    ],
)
def test_a_malformed_message_is_a_protocol_error(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(Frame(Begin.kind, memoryview(body)))


@relaxed
@given(st.binary(max_size=200), st.sampled_from([1, 2, 3, 5, 6, 7, 8]))
def test_random_bytes_give_a_protocol_error_or_a_message(body: bytes, kind: int) -> None:
    message: Message | None = None
    with contextlib.suppress(ProtocolError):
        message = decode(Frame(kind, memoryview(body)))
    assert message is None or read_all(Decoder(), encode(message)) == [message]


def test_a_long_inventory_is_cut_into_frames_that_fit() -> None:
    names = [f"{'r' * 50}{number:08d}" for number in range(2 * INVENTORY_ITEMS + 1)]
    everything = [Item(Key(ItemKind.RUN, "p" * 64, name), "0" * 64, 2**60) for name in names]
    parts = list(split_inventory(everything))
    assert [one.is_last for one in parts] == [False, False, True]
    assert [item for part in parts for item in part.items] == everything
    assert max(len(encode(part)) for part in parts) < MAX_BODY_BYTES


def test_an_empty_inventory_is_one_message() -> None:
    assert list(split_inventory([])) == [Inventory((), is_last=True)]


def test_the_highest_common_version_is_spoken() -> None:
    assert negotiate(Hello(1, 3), Hello(2, 5)) == 3
    assert negotiate(Hello(2, 5), Hello(1, 3)) == 3


@pytest.mark.parametrize(
    ("ours", "theirs", "behind"),
    [(Hello(3, 4), Hello(1, 2), "the other side"), (Hello(1, 1), Hello(2, 2), "this side")],
)
def test_without_a_common_version_both_are_named(ours: Hello, theirs: Hello, behind: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        negotiate(ours, theirs)
    assert str(ours.newest) in caught.value.message
    assert str(theirs.newest) in caught.value.message
    assert caught.value.hint == f"update hpctrack on {behind}"
