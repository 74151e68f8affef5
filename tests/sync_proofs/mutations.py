"""Conversations of a real sender, bent out of shape by a seed."""

from __future__ import annotations

import hashlib
import json
import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hpctrack.sync.wire.messages import SHA256_BYTES, Kind
from hpctrack.sync.wire.packing import pack
from hpctrack.sync.wire.protocol import HEADER, MAGIC, MAX_BODY_BYTES

Frames = list[bytes]

NAMES = [
    "..", "../..", "../../../../tmp/escape", "/etc/passwd", "/", ".", "", "a/../../b", "secret",
    "secret/r", "..\\..", "\x00", "r\x00", "\u202e\u0000", "\ud800", "r" * 300, "CON", "~", "$HOME",
    ".server", ".incoming", ".incoming/partial", "%2e%2e", "-rf", "run.h5", ".owner", "\n", "🧪",
    "node-0000.a1-00000000.h5", "../run.h5", "digits", "r0", ".blobs", "one.h5/..", "r0/../../r1",
]  # fmt: skip
NUMBERS = [0, 1, -1, 2**31, 2**32 - 1, 2**32, 2**62, 2**63, 2**64, 10**30, 0.5, -0.0, 1e308, True]
VALUES: list[object] = [
    *NAMES,
    *NUMBERS,
    None,
    [],
    {},
    [[]],
    {"": {}},
    [0] * 100,
    "9" * 400,
    "sealed",
]

_SIZE = struct.Struct("<I")
_WITH_HEAD = {Kind.OFFER, Kind.ANSWER, Kind.ROWS}
_PLAIN = {Kind.DATA, Kind.FILE, Kind.PACKED}


def split_stream(stream: bytes) -> Frames:
    """Cut a conversation into its frames; `MAGIC` is the first."""
    frames, at = [bytes(stream[: len(MAGIC)])], len(MAGIC)
    while at < len(stream):
        end = at + HEADER.size + HEADER.unpack_from(stream, at)[0]
        frames.append(bytes(stream[at:end]))
        at = end
    return frames


def frame(kind: int, body: bytes) -> bytes:
    return HEADER.pack(len(body), kind, 0, 0) + body


@dataclass(frozen=True)
class Mutator:
    """Makes one conversation of several real ones.

    Parameters
    ----------
    talks : sequence of Frames
        Of real senders.
    """

    talks: Sequence[Frames]

    def make(self, seed: int) -> bytes:
        """Return what a broken or hostile sender says; the same for the same seed."""
        chance = random.Random(seed)
        frames = list(chance.choice(self.talks))
        for _change in range(chance.choice((1, 1, 2, 3, 8))):
            self._change(frames, chance)
        stream = b"".join(frames)
        if chance.random() < 0.1:
            stream = flip(stream, chance, chance.choice((1, 1, 4, 30)))
        if chance.random() < 0.05:
            stream = stream[: chance.randrange(len(stream) + 1)]
        return stream

    def _change(self, frames: Frames, chance: random.Random) -> None:
        at = chance.randrange(len(frames)) if chance.random() < 0.1 else self._pick(frames, chance)
        ways: list[Callable[[], None]] = [
            lambda: frames.insert(at, frames[at]),
            lambda: frames.insert(chance.randrange(1, len(frames) + 1), frames[at]),
            lambda: None if len(frames) < 2 else frames.__delitem__(at),
            lambda: frames.insert(at, self._foreign(chance)),
            lambda: frames.__setitem__(at, flip(frames[at], chance, 1)),
            lambda: frames.__setitem__(at, flip(frames[at], chance, 9)),
            lambda: damage(frames, chance),
            lambda: damage(frames, chance),
            lambda: frames.__setitem__(at, lie_about_size(frames[at], chance)),
            lambda: frames.__setitem__(at, change_kind(frames[at], chance)),
            lambda: frames.__setitem__(at, cut(frames[at], chance)),
            lambda: frames.insert(at, make_pack(frames, chance)),
            lambda: frames.__setitem__(slice(at, at + 3), frames[at : at + 3][::-1]),
            lambda: frames.insert(at, frame(chance.randrange(256), chance.randbytes(40))),
        ]
        ways += [lambda: frames.__setitem__(at, replace_fields(frames[at], chance))] * 12
        chance.choice(ways)()

    def _pick(self, frames: Frames, chance: random.Random) -> int:
        """Prefer what has fields to bytes of files, and what comes behind the greetings."""
        told = [at for at, one in enumerate(frames) if at > 1 and one[4] not in _PLAIN]
        return chance.choice(told or range(len(frames)))

    def _foreign(self, chance: random.Random) -> bytes:
        return chance.choice(chance.choice(self.talks))


def flip(data: bytes, chance: random.Random, count: int) -> bytes:
    changed = bytearray(data)
    for _bit in range(count if changed else 0):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def damage(frames: Frames, chance: random.Random) -> None:
    """Change what a file or a piece of rows holds, and tell the hash of that."""
    places = [at for at, one in enumerate(frames) if at and one[4] in {Kind.FILE, Kind.ROWS}]
    if not places:
        return
    at = chance.choice(places)
    kind, body = frames[at][4], frames[at][HEADER.size :]
    if kind == Kind.FILE:
        data = scramble(body[4 + SHA256_BYTES :], chance)
        body = body[:4] + hashlib.sha256(data).digest() + data
    elif len(body) > _SIZE.size:
        end = _SIZE.size + _SIZE.unpack_from(body)[0]
        data = flip(body[end:], chance, chance.choice((1, 9)))
        try:
            head = json.loads(body[4:end])
        except ValueError:
            return
        if not isinstance(head, dict):
            return
        told = json.dumps({**head, "sha256": hashlib.sha256(data).hexdigest()}).encode()
        body = _SIZE.pack(len(told)) + told + data
    frames[at] = frame(kind, body)


def scramble(data: bytes, chance: random.Random) -> bytes:
    """Damage a file as disks, programs and villains do."""
    if not data:
        return b"x"
    at, count = chance.randrange(len(data)), chance.choice((1, 4, 8, 64, 512))
    how = chance.randrange(5)
    if how == 0:
        return data[:at]
    if how == 1:
        return data[:at] + bytes(count) + data[at + count :]
    if how == 2:
        return data[:at] + chance.randbytes(count) + data[at + count :]
    return flip(data, chance, count)


def lie_about_size(data: bytes, chance: random.Random) -> bytes:
    if len(data) <= HEADER.size:
        return data
    size_bytes = chance.choice((0, 1, len(data), MAX_BODY_BYTES, MAX_BODY_BYTES + 1, 2**32 - 1))
    return _SIZE.pack(size_bytes) + data[4:]


def change_kind(data: bytes, chance: random.Random) -> bytes:
    if len(data) < HEADER.size:
        return data
    return data[:4] + bytes([chance.choice([*Kind, chance.randrange(256)])]) + data[5:]


def cut(data: bytes, chance: random.Random) -> bytes:
    """Cut a body and tell its new size."""
    body = data[HEADER.size : chance.randrange(len(data) + 1)]
    return frame(data[4] if len(data) > HEADER.size else 0, body)


def make_pack(frames: Frames, chance: random.Random) -> bytes:
    """Pack some frames, or a bomb, or a pack of packs."""
    start = chance.randrange(len(frames))
    inner = b"".join(frames[start : start + chance.randrange(4)])
    how = chance.randrange(5)
    if how == 0:
        body = pack(bytes(chance.choice((1 << 20, 11 << 20))))
    elif how == 1:
        body = pack(frame(Kind.PACKED, pack(inner)))
    elif how == 2:
        body = _SIZE.pack(chance.choice((0, 5, len(inner) + 1, 2**32 - 1))) + pack(inner)[4:]
    else:
        body = pack(inner)
    return frame(Kind.PACKED, flip(body, chance, 1) if how == 3 else body)


def replace_fields(data: bytes, chance: random.Random) -> bytes:
    """Change a field of the JSON in a frame, or a name, a token or a number behind it."""
    if len(data) < HEADER.size or data[4] in _PLAIN:
        return flip(data, chance, 2)
    kind, body = data[4], data[HEADER.size :]
    rest = b""
    if kind in _WITH_HEAD and len(body) > _SIZE.size:
        size_bytes = _SIZE.unpack_from(body)[0]
        body, rest = body[4 : 4 + size_bytes], body[4 + size_bytes :]
    try:
        fields: object = json.loads(body)
    except ValueError:
        return flip(data, chance, 2)
    if kind == Kind.OFFER and chance.random() < 0.5:
        fields, rest = rename_offered(fields, rest, chance)
    else:
        fields = replace_one(fields, chance)
    told = json.dumps(fields).encode()
    return frame(kind, _SIZE.pack(len(told)) + told + rest if kind in _WITH_HEAD else told)


def replace_one(value: object, chance: random.Random) -> object:
    """Replace something, however deep it is."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(list(value))
        if chance.random() < 0.1:
            return {name: one for name, one in value.items() if name != key}
        return {**value, key: replace_one(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.9:
        at = chance.randrange(len(value))
        return [*value[:at], replace_one(value[at], chance), *value[at + 1 :]]
    if isinstance(value, int) and chance.random() < 0.5:
        return value + chance.choice((-1, 1, 7))
    return chance.choice(VALUES)


def rename_offered(fields: object, rest: bytes, chance: random.Random) -> tuple[object, bytes]:
    """Give one of the offered things another name, and say so rightly."""
    if not isinstance(fields, dict):
        return fields, rest
    size_bytes = fields.get("names_bytes")
    if not isinstance(size_bytes, int) or not 0 <= size_bytes <= len(rest):
        return fields, rest
    names = rest[:size_bytes].decode("utf-8", "replace").split("\n")
    names[chance.randrange(len(names))] = chance.choice(NAMES)
    listed = "\n".join(names).encode("utf-8", "surrogatepass")
    groups = json.loads(json.dumps(fields.get("groups")))
    if isinstance(groups, list) and groups and chance.random() < 0.5:
        group = chance.choice(groups)
        if isinstance(group, list) and len(group) > 1:
            group[1] = chance.choice(NAMES)
    return {**fields, "names_bytes": len(listed), "groups": groups}, listed + rest[size_bytes:]
