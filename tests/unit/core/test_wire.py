from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest

from hpctrack.core import wire
from hpctrack.core.wire import Decoder, Kind
from hpctrack.errors import ProtocolError


def test_points_are_laid_out_as_documented() -> None:
    frame = wire.pack_points(7, 1.5, [3, 0.25, 4, -1.0])
    assert len(frame) == 8 + 16 + 2 * 12
    assert frame[:4] == (40).to_bytes(4, "little")
    assert frame[4] == Kind.POINTS
    assert int.from_bytes(frame[6:8], "little") == 2


def test_frames_fed_byte_by_byte_come_out_whole() -> None:
    sent = [wire.pack_name(0, "loss"), wire.pack_points(1, 2.0, [0, 0.5]), wire.pack(Kind.FLUSH)]
    decoder = Decoder()
    found = []
    for byte in b"".join(sent):
        found += [
            (frame.kind, frame.count, bytes(frame.body)) for frame in decoder.feed(bytes([byte]))
        ]
    assert [kind for kind, _count, _body in found] == [Kind.NAME, Kind.POINTS, Kind.FLUSH]
    assert found[0][2][4:] == b"loss"
    assert found[1][1] == 1
    assert decoder.pending_bytes == 0


def test_a_frame_that_announces_too_much_is_refused() -> None:
    header = wire.HEADER.pack(wire.MAX_BODY_BYTES + 1, Kind.CONFIG, 0, 0)
    with pytest.raises(ProtocolError, match="announces"):
        list(Decoder().feed(header))


@pytest.mark.parametrize("body", [b"", b"[1]", b"{", b"\xff"])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    (frame,) = Decoder().feed(wire.pack(Kind.CONFIG, body))
    with pytest.raises(ProtocolError):
        frame.json()


def test_configurations_of_all_kinds_become_plain_json() -> None:
    config = {
        "lr": np.float32(0.5),
        "layers": np.array([1, 2]),
        "names": {"b", "a"},
        "path": pathlib.Path("/data"),
        "object": object,
        "none": None,
    }
    (frame,) = Decoder().feed(wire.pack_json(Kind.CONFIG, config))
    value = frame.json()
    assert value["lr"] == 0.5
    assert value["layers"] == [1, 2]
    assert value["names"] == ["a", "b"]
    assert value["path"] == "/data"
    assert json.dumps(value)


class Wordless:
    """Anybody's object: it has not even a text."""

    def __str__(self) -> str:
        raise RuntimeError


def test_a_value_that_cannot_be_written_leaves_its_neighbours_alone() -> None:
    endless: list[object] = []
    endless.append(endless)
    values = {"lr": 0.1, "odd": Wordless(), "endless": endless, "huge": 10**5000}
    (frame,) = Decoder().feed(wire.pack_json(Kind.CONFIG, values))
    assert frame.json() == {
        "lr": 0.1,
        "odd": "<Wordless>",
        "endless": "[[...]]",
        "huge": "<int>",
    }


def test_a_piece_of_the_console_carries_its_time() -> None:
    (frame,) = wire.Decoder().feed(wire.pack_console(2, 12.5, b"text"))
    assert (frame.kind, frame.count) == (wire.Kind.CONSOLE, 2)
    assert wire.unpack_console(frame.body) == (12.5, b"text")
    with pytest.raises(ProtocolError, match="no time"):
        wire.unpack_console(memoryview(b"short"))
