"""The transcript in ``docs/reference/protocol.md``: what two real sides really say.

``python -m tests.unit.sync.transcript`` prints it anew. Hashes and random names are told by their
order, and the version of hpctrack is left out: they differ from day to day.
"""

from __future__ import annotations

import json
import os
import re
import struct
import tempfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from hpctrack.core import __version__
from hpctrack.store.annotation_file import edit_annotations
from hpctrack.sync.files.inventory import HashCache, hash_place
from hpctrack.sync.files.place import Place
from hpctrack.sync.wire.messages import Kind
from hpctrack.sync.wire.protocol import HEADER, MAGIC, Decoder, Frame
from tests.links import link, push_over
from tests.stores import START_S, FakeClock, NodeWriter
from tests.unit.sync.made_stores import make_blob, seal_made

WIDTH = 98
INDENT = 14

Line = tuple[str, str, str]
"""Who says what kind of thing, and the rest of it."""

_HASH = re.compile(r"\b([0-9a-f]{8})[0-9a-f]{24,56}\b")
_UUID = re.compile(r'(?<="uuid":")[^"]*')
_NODE_FILE = re.compile(r"-[0-9a-f]{8}\.h5")
_HEAD = {Kind.OFFER, Kind.ANSWER, Kind.ROWS}


def write_transcript() -> str:
    """Push twice, and return what was said."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "source"), Path(folder, "target")
        seal_made(source, "run1")
        listen(source, target)
        seal_made(source, "run2")
        clock = FakeClock().clock()
        edit_annotations(source, "digits", "run2", notes="the best one", clock=clock)
        live = NodeWriter(source, project="digits", run="run3")
        live.start(0)
        live.flush()
        first = listen(source, target)
        live.close()
        return first + "\n" + listen_to_large(Path(folder))


def listen_to_large(folder: Path) -> str:
    """Push a large file of which a part is there, and a run that is less than the one there."""
    source, target = folder / "large", folder / "other"
    blob = make_blob(b"%08d\n" * 300_000)
    place = Place(("digits", ".blobs", blob.key.id[:2]), blob.key.id)
    (source / place.name).parent.mkdir(parents=True)
    (source / place.name).write_bytes(blob.data)
    seal_made(source, "run1", steps=5)
    seal_made(target, "run1", steps=9)
    cache = HashCache(source)
    store_fd = os.open(source, os.O_RDONLY)
    for one in (place, Place(("digits", "run1"), "run.h5")):
        hash_place(store_fd, one, cache)
    cache.save()
    os.close(store_fd)
    part = target / ".incoming/partial" / blob.digest[:16].hex()
    part.parent.mkdir(parents=True)
    part.write_bytes(blob.data[:700_000])
    return listen(source, target)


def listen(source: Path, target: Path) -> str:
    """Push, and write down what was said, in the order in which it has to be said."""
    clock = FakeClock(START_S + 5).clock()
    with link(target, clock=clock) as tap:
        push_over(source, tap, clock=clock)
    mine, theirs = list(tell("S", tap.sent)), list(tell("R", tap.got))
    # Each stream has an order of its own; what is an answer comes after what it answers.
    asked = 1 + max(at for at, one in enumerate(mine) if one[1] == "OFFER")
    answered = 1 + max(at for at, one in enumerate(theirs) if one[1] == "ANSWER")
    lines = [*mine[:asked], *theirs[:answered], *mine[asked:], *theirs[answered:]]
    known: dict[str, str] = {}
    return "".join(show(who, kind, shorten(rest, known)) for who, kind, rest in lines)


def shorten(text: str, known: dict[str, str]) -> str:
    """Name hashes by the order in which they came; the first half of one is called like it."""

    def name(found: re.Match[str]) -> str:
        return known.setdefault(found[1], f"hash{len(known) + 1}")

    text = _UUID.sub("…", _HASH.sub(name, text.replace(__version__, "…")))
    return _NODE_FILE.sub("-7f3c09be.h5", text)


def tell(who: str, stream: bytearray) -> Iterator[Line]:
    """Yield the messages of one side; results that came one by one are told together."""
    yield who, MAGIC.hex(" "), ""
    frames = list(Decoder().feed(bytes(stream[len(MAGIC) :])))
    assert sum(HEADER.size + len(one.body) for one in frames) == len(stream) - len(MAGIC)
    for kind, some in groupby(frames, lambda one: one.kind):
        same = list(some)
        if kind == Kind.RESULTS:
            results = [one for frame in same for one in json.loads(bytes(frame.body))["results"]]
            yield who, "RESULTS", dump({"results": results})
            continue
        for one in same:
            yield who, Kind(kind).name, describe(one)


def describe(frame: Frame) -> str:
    body = bytes(frame.body)
    if frame.kind == Kind.DATA:
        return f"<{len(body)} bytes>"
    if frame.kind == Kind.FILE:
        number, sha256 = struct.unpack_from("<I32s", body)
        return f"{number} {sha256.hex()} <all bytes of the file>"
    if frame.kind not in _HEAD:
        return dump(json.loads(body))
    size_bytes = struct.unpack_from("<I", body)[0]
    head, rest = json.loads(body[4 : 4 + size_bytes]), body[4 + size_bytes :]
    if frame.kind == Kind.ANSWER:
        return f"{dump(head)} {rest.hex(' ')}"
    if frame.kind == Kind.ROWS:
        return f"{dump(head)} <{len(rest)} bytes>"
    names = rest[: head["names_bytes"]].decode().split("\n")
    tokens = rest[head["names_bytes"] :].hex(" ", 16)
    return f"{dump(head)} {'⏎'.join(names)} {tokens}"


def dump(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def show(who: str, kind: str, rest: str) -> str:
    """Lay a message out on lines that fit on the page."""
    words = [one for one in re.split(r"(?<=,)|(?<= )", rest) if one]
    lines = [f"{who}  {kind:<9} " if rest else f"{who}  {kind}"]
    for word in words:
        if len(lines[-1] + word.rstrip()) > WIDTH:
            lines.append(" " * INDENT)
        lines[-1] += word
    return "".join(f"{line.rstrip()}\n" for line in lines)


if __name__ == "__main__":
    print(write_transcript(), end="")
