"""Frames that travel compressed: smaller, never a way to fill somebody's memory."""

from __future__ import annotations

import os
import struct
import tracemalloc

import pytest
import zstandard

from hpctrack.errors import ProtocolError
from hpctrack.sync.wire.messages import Data, Done, Kind
from hpctrack.sync.wire.packing import Chooser, Compress, pack, unpack
from hpctrack.sync.wire.protocol import MAX_BODY_BYTES, Frame, decode, encode

MAX_BYTES = 2 * MAX_BODY_BYTES


def read_pack(body: bytes) -> list[object]:
    return list(decode(Frame(Kind.PACKED, memoryview(body))))


def wrap(raw_bytes: int, data: bytes) -> bytes:
    return struct.pack("<I", raw_bytes) + data


def test_what_went_in_comes_out() -> None:
    data = os.urandom(1000) + bytes(100_000)
    assert unpack(memoryview(pack(data)), max_bytes=MAX_BYTES) == data
    assert len(pack(data)) < 1200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00\x00",
        wrap(10, b""),
        wrap(10, b"no zstandard at all"),
        wrap(10, pack(bytes(10))[4:-1]),
        wrap(11, pack(bytes(10))[4:]),
        wrap(9, pack(bytes(10))[4:]),
        wrap(MAX_BYTES + 1, pack(bytes(MAX_BYTES + 1))[4:]),
        wrap(2**32 - 1, pack(bytes(10))[4:]),
    ],
)
def test_a_pack_that_is_damaged_or_lies_is_an_error(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        unpack(memoryview(body), max_bytes=MAX_BYTES)


def test_a_bomb_is_never_unpacked() -> None:
    compressor = zstandard.ZstdCompressor(level=19, write_content_size=False)
    bomb = compressor.compress(bytes(1 << 28))
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError, match="does not hold what it says"):
            unpack(memoryview(wrap(1000, bomb)), max_bytes=MAX_BYTES)
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20


def test_a_window_larger_than_a_pack_is_not_allocated() -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=31)
    compressor = zstandard.ZstdCompressor(compression_params=parameters)
    chunker = compressor.compressobj()
    body = wrap(4, chunker.compress(b"four") + chunker.flush())
    with pytest.raises(ProtocolError, match="damaged"):
        unpack(memoryview(body), max_bytes=MAX_BYTES)


def test_a_pack_in_a_pack_is_an_error() -> None:
    inner = pack(encode(Done()))
    frame = struct.pack("<IBBH", len(inner), Kind.PACKED, 0, 0) + inner
    with pytest.raises(ProtocolError, match="in another one"):
        read_pack(pack(encode(Done()) + frame))


@pytest.mark.parametrize("end", range(1, len(encode(Data(b"body")))))
def test_a_pack_that_ends_within_a_message_is_an_error(end: int) -> None:
    with pytest.raises(ProtocolError, match="in the middle"):
        read_pack(pack(encode(Done()) + encode(Data(b"body"))[:end]))


def test_a_frame_in_a_pack_may_not_be_longer_than_any_other() -> None:
    with pytest.raises(ProtocolError, match="announces"):
        read_pack(pack(struct.pack("<IBBH", MAX_BODY_BYTES + 1, Kind.DATA, 0, 0)))


def test_a_slow_link_is_worth_a_compressor_and_a_fast_one_is_not() -> None:
    slow, fast = Chooser(), Chooser()
    assert slow.should_pack()
    for chooser, link_s in ((slow, 1.0), (fast, 1e-4)):
        for _again in range(20):
            chooser.note_packing(1_000_000, 200_000, 0.002)
            chooser.note_sending(1_000_000, link_s)
    assert slow.should_pack()
    assert not fast.should_pack()


def test_what_does_not_become_smaller_goes_as_it_is_until_that_changes() -> None:
    chooser = Chooser()
    for _again in range(20):
        chooser.note_packing(1_000_000, 999_000, 0.002)
        chooser.note_sending(1_000_000, 1.0)
    assert not chooser.should_pack()
    samples = [chooser.find_sample(bytes(1 << 20)) for _pack in range(40)]
    assert 1 <= sum(one is not None for one in samples) <= 4
    for _again in range(5):
        chooser.note_packing(1_000_000, 100_000, 0.002)
    assert chooser.should_pack()


def test_whoever_says_on_or_off_is_obeyed() -> None:
    for chooser in (Chooser(Compress.ON), Chooser(Compress.OFF)):
        chooser.note_packing(1_000_000, 999_999, 1.0)
        chooser.note_sending(1_000_000, 1e-4)
    assert Chooser(Compress.ON).should_pack()
    assert not Chooser(Compress.OFF).should_pack()
    assert Chooser(Compress.OFF).find_sample(bytes(100)) is None
