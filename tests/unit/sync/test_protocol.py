from __future__ import annotations

import contextlib
import json
import struct
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpctrack.errors import ProtocolError
from hpctrack.sync.wire.bodies import write_body
from hpctrack.sync.wire.messages import (
    SHA256_BYTES,
    TOKEN_BYTES,
    Answer,
    Begin,
    Data,
    Done,
    End,
    Error,
    File,
    Hello,
    ItemKind,
    Key,
    Kind,
    Message,
    Offer,
    Offered,
    Outcome,
    Result,
    Results,
    Rows,
    Wish,
)
from hpctrack.sync.wire.packing import pack
from hpctrack.sync.wire.protocol import (
    HEADER,
    MAX_BODY_BYTES,
    OFFER_ITEMS,
    Decoder,
    Frame,
    decode,
    encode,
    negotiate,
)
from hpctrack.sync.wire.tails import NodeState, Piece, Tail

relaxed = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
"""On a machine that does other things too, the time of an example says nothing."""

texts = st.text(max_size=40)
names = st.text(st.characters(exclude_characters="\n/", exclude_categories=["Cs"]), max_size=20)
numbers = st.integers(0, 2**62)
seconds = st.floats(0, 2**40)
hashes = st.binary(min_size=SHA256_BYTES, max_size=SHA256_BYTES)
tokens = st.binary(min_size=TOKEN_BYTES, max_size=TOKEN_BYTES)
keys = st.builds(Key, st.sampled_from(ItemKind), names, names.filter(bool), names)
items = st.builds(Offered, keys, tokens, st.booleans())
facts = st.dictionaries(texts, texts | numbers, max_size=4)
details = st.dictionaries(st.integers(0, 3), st.dictionaries(texts, texts | numbers), max_size=3)
states = st.builds(
    NodeState,
    uuid=texts,
    rows=st.dictionaries(texts, numbers, max_size=4),
    pulse_wall_s=seconds,
    closed_wall_s=seconds,
    as_of_wall_s=seconds,
)
pieces = st.builds(Piece, texts, numbers, st.binary(max_size=100))
tails = st.builds(Tail, facts=facts, pieces=st.lists(pieces, max_size=4).map(tuple), state=states)
refused = st.builds(Result, numbers, st.just(Outcome.REFUSED), texts.filter(bool), facts)
merged = st.builds(Result, numbers, st.just(Outcome.MERGED), st.just(""), facts)
results = st.builds(Result, numbers, st.sampled_from(Outcome)) | refused | merged
begins = st.tuples(numbers, numbers, numbers).map(
    lambda one: Begin(one[0], max(one[1:]), min(one[1:]))
)
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(Hello, numbers, numbers, texts, st.lists(texts).map(tuple), seconds),
    st.builds(Offer, st.lists(items, max_size=6).map(tuple)),
    st.builds(Answer, st.lists(st.sampled_from(Wish), min_size=4).map(bytes), details),
    st.builds(File, numbers.map(lambda one: one % 2**32), hashes, st.binary(max_size=300)),
    begins,
    st.builds(Data, st.binary(max_size=300)),
    st.builds(End, numbers, hashes),
    st.builds(Rows, numbers, hashes, tails),
    st.builds(Results, st.lists(results, max_size=4).map(tuple)),
    st.just(Done()),
    st.builds(Error, texts, facts),
)


def read_all(decoder: Decoder, data: bytes) -> list[Message]:
    return [keep(one) for frame in decoder.feed(data) for one in decode(frame)]


def keep(message: Message) -> Message:
    """Copy what is only a view."""
    if isinstance(message, Data):
        return Data(bytes(message.body))
    return replace(message, data=bytes(message.data)) if isinstance(message, File) else message


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


@relaxed
@given(messages, st.data())
def test_a_body_cut_off_anywhere_is_another_message_or_an_error(
    message: Message, data: st.DataObject
) -> None:
    body = write_body(message)
    end = data.draw(st.integers(0, len(body)))
    found: list[Message] = []
    with contextlib.suppress(ProtocolError):
        found += decode(Frame(message.kind, memoryview(body)[:end]))
    assert [one.kind for one in found] in ([], [message.kind])


@relaxed
@given(st.lists(messages, max_size=5))
def test_a_pack_is_what_is_in_it(sent: list[Message]) -> None:
    body = pack(b"".join(encode(one) for one in sent))
    frame = Frame(Kind.PACKED, memoryview(body))
    assert [keep(one) for one in decode(frame)] == sent


def test_a_frame_that_announces_too_much_is_refused_by_its_header() -> None:
    with pytest.raises(ProtocolError, match="announces"):
        list(Decoder().feed(HEADER.pack(MAX_BODY_BYTES + 1, 20, 0, 0)))


def test_a_body_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(ProtocolError, match="do not fit"):
        encode(Data(bytes(MAX_BODY_BYTES + 1)))


def test_a_full_offer_of_the_longest_names_fits_into_a_frame() -> None:
    key = Key(ItemKind.LIVE, "p" * 64, "r" * 64, "n" * 64)
    frame = encode(Offer((Offered(key, bytes(TOKEN_BYTES)),) * OFFER_ITEMS))
    assert len(frame) < MAX_BODY_BYTES / 3


def test_an_offer_says_what_its_items_have_in_common_once() -> None:
    listed = [
        Offered(Key(ItemKind.RUN, "digits", f"{number:08x}"), bytes(TOKEN_BYTES))
        for number in range(1000)
    ]
    assert len(encode(Offer(tuple(listed)))) < 1000 * (8 + 1 + TOKEN_BYTES) + 100


@pytest.mark.parametrize("kind", [0, 2, 3, 4, 5, 6, 25, 200, 255])
def test_a_kind_of_a_newer_or_much_older_peer_is_passed_over(kind: int) -> None:
    assert list(decode(Frame(kind, memoryview(b"\xff")))) == []


def test_unknown_fields_are_ignored() -> None:
    body = json.dumps({"number": 3, "sha256": "0" * 64, "colour": "red"}).encode()
    assert list(decode(Frame(End.kind, memoryview(body)))) == [End(3, bytes(32))]


def test_a_kind_of_item_that_only_a_newer_sender_has_does_not_end_the_offer() -> None:
    body = write_body(Offer((Offered(Key(ItemKind.RUN, "p", "r"), bytes(TOKEN_BYTES)),)))
    (offer,) = decode(Frame(Offer.kind, memoryview(body.replace(b'"run"', b'"sun"'))))
    assert isinstance(offer, Offer)
    assert offer.items[0].key == Key(ItemKind.UNKNOWN, "p", "r")


def join(head: object, rest: bytes = b"") -> bytes:
    written = json.dumps(head).encode()
    return struct.pack("<I", len(written)) + written + rest


MALFORMED: list[tuple[type[Message], bytes]] = [
    *((Begin, one) for one in (b"", b"{", b"[]", b"\xff\xfe", b"{}", b"[" * 100_000)),
    (Begin, b'{"number": "3", "size_bytes": 1, "offset_bytes": 0}'),
    (Begin, b'{"number": true, "size_bytes": 1, "offset_bytes": 0}'),
    (Begin, b'{"number": 1, "size_bytes": -1, "offset_bytes": 0}'),
    (Begin, b'{"number": 1, "size_bytes": 1, "offset_bytes": 2}'),
    (Begin, b'{"number": 1, "size_bytes": 1e3, "offset_bytes": 0}'),
    (Begin, b'{"number": 1, "size_bytes": ' + b"9" * 5000 + b', "offset_bytes": 0}'),
    (End, b'{"number": 1, "sha256": "00"}'),
    (End, b'{"number": 1, "sha256": "' + b"G" * 64 + b'"}'),
    (End, b'{"number": 1}'),
    (File, b""),
    (File, bytes(35)),
    (Hello, b'{"protocol": 3}'),
    (Hello, b'{"protocol": {"oldest": 1.0, "newest": 3}}'),
    (Hello, b'{"protocol": {"oldest": 1, "newest": 3}, "now_wall_s": NaN}'),
    (Hello, b'{"protocol": {"oldest": 1, "newest": 3}, "now_wall_s": 1e400}'),
    (Offer, b"\x00\x00"),
    (Offer, struct.pack("<I", 9) + b"{}"),
    (Offer, join({"groups": [], "names_bytes": -1})),
    (Offer, join({"groups": [], "names_bytes": 9})),
    (Offer, join({"groups": [["run", "p", 2, True]], "names_bytes": 1}, b"r" + bytes(16))),
    (Offer, join({"groups": [["run", "p", -1, True]], "names_bytes": 1}, b"r" + bytes(16))),
    (Offer, join({"groups": [["run", "p", 1, 1]], "names_bytes": 1}, b"r" + bytes(16))),
    (Offer, join({"groups": [["run", 1, 1, True]], "names_bytes": 1}, b"r" + bytes(16))),
    (Offer, join({"groups": [["run", "p", True, True]], "names_bytes": 1}, b"r" + bytes(16))),
    (Offer, join({"groups": [[["run"], "p", 1, True]], "names_bytes": 1}, b"r" + bytes(16))),
    (Offer, join({"groups": [], "names_bytes": 1}, b"r" + bytes(16))),
    (Offer, join({"groups": [["run", "p", 1, True]], "names_bytes": 1}, b"r" + bytes(15))),
    (Offer, join({"groups": [["run", "p", 1, True]], "names_bytes": 1}, b"\xff" + bytes(16))),
    (Offer, join({"groups": 3, "names_bytes": 0})),
    (Offer, join({"groups": [3], "names_bytes": 0})),
    (Answer, join({"details": {"0": {}}})),
    (Answer, join({"details": {"1": {}}}, b"\x00")),
    (Answer, join({"details": {"-1": {}}}, b"\x00")),
    (Answer, join({"details": {"9" * 5000: {}}}, b"\x00")),
    (Answer, join({"details": {"0": 3}}, b"\x00")),
    (Answer, join({"details": {}}, b"\x04")),
    (Results, b'{"results": 3}'),
    (Results, b'{"results": [3]}'),
    (Results, b'{"results": [[1]]}'),
    (Results, b'{"results": [[-1, "published"]]}'),
    (Results, b'{"results": [[1, "lost"]]}'),
    (Results, b'{"results": [[1, ["refused"]]]}'),
    (Error, b'{"facts": {}}'),
    (Error, b'{"code": "x", "facts": {"what": "\\ud800"}}'),
]

NO_STATE = {"uuid": "u", "rows": {}, "pulse_wall_s": 0, "closed_wall_s": 0, "as_of_wall_s": 0}
NO_ROWS = {"number": 1, "sha256": "0" * 64, "facts": {}, "pieces": [], "state": NO_STATE}

WRONG: list[tuple[Mapping[str, object], bytes]] = [
    ({"number": -1}, b""),
    ({"sha256": 3}, b""),
    ({"facts": []}, b""),
    ({"pieces": {}}, b""),
    ({"pieces": [3]}, b""),
    ({"pieces": [["points", 0]]}, b""),
    ({"pieces": [["points", 0, 4]]}, b"123"),
    ({"pieces": [["points", 0, 2]]}, b"123"),
    ({"pieces": [["points", -1, 3]]}, b"123"),
    ({"pieces": [["points", 0, -3]]}, b""),
    ({"pieces": [[3, 0, 3]]}, b"123"),
    ({"state": 3}, b""),
    ({"state": {}}, b""),
    ({"state": {**NO_STATE, "rows": {"points": -1}}}, b""),
    ({"state": {**NO_STATE, "rows": {"points": 1.5}}}, b""),
    ({"state": {**NO_STATE, "uuid": 3}}, b""),
    ({"state": {**NO_STATE, "pulse_wall_s": "now"}}, b""),
]
MALFORMED += [(Rows, join({**NO_ROWS, **wrong}, rest)) for wrong, rest in WRONG]


@pytest.mark.parametrize(("message", "body"), MALFORMED)
def test_a_malformed_message_is_a_protocol_error(message: type[Message], body: bytes) -> None:
    with pytest.raises(ProtocolError):
        list(decode(Frame(message.kind, memoryview(body))))


@pytest.mark.parametrize("nested", ["[" * 900 + "]" * 900, '{"a":' * 900 + "1" + "}" * 900])
@pytest.mark.parametrize("kind", Kind)
def test_a_deeply_nested_field_is_no_way_to_stop_a_peer(kind: Kind, nested: str) -> None:
    body = f'{{"protocol": {{"oldest": 1, "newest": 3}}, "software": {nested}}}'.encode()
    for one in (body, struct.pack("<I", len(body)) + body):
        found: list[Message] = []
        with contextlib.suppress(ProtocolError):
            found += decode(Frame(kind, memoryview(one)))
        assert [message.kind for message in found] in ([], [kind])


@relaxed
@given(st.binary(max_size=200), st.sampled_from(Kind))
def test_random_bytes_give_a_protocol_error_or_a_message(body: bytes, kind: Kind) -> None:
    found: list[Message] = []
    with contextlib.suppress(ProtocolError):
        found = [keep(one) for one in decode(Frame(kind, memoryview(body)))]
    for one in found:
        assert read_all(Decoder(), encode(one)) == [one]


def test_the_highest_common_version_is_spoken() -> None:
    assert negotiate(Hello(1, 3), Hello(2, 5)) == 3
    assert negotiate(Hello(2, 5), Hello(1, 3)) == 3
    assert negotiate(Hello(), Hello(3, 4)) == 3


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
