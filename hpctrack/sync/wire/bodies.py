"""The body of each kind of message: JSON, or a JSON head with bytes behind it. Pure.

Whatever a peer sends is looked at here, field by field, before anybody uses it; only the names of
projects and runs are left to those who look them up.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Mapping
from itertools import groupby
from typing import Any

from hpctrack.errors import ProtocolError
from hpctrack.sync.wire.messages import (
    SHA256_BYTES,
    SOFTWARE_MAX_CHARS,
    TOKEN_BYTES,
    Answer,
    Begin,
    Data,
    Done,
    End,
    Error,
    Fact,
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
from hpctrack.sync.wire.tails import NodeState, Piece, Tail

Body = bytes | memoryview
Fields = Mapping[str, Any]

_SIZE = struct.Struct("<I")
_FILE_HEAD = struct.Struct(f"<I{SHA256_BYTES}s")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_PLACE = re.compile(r"[0-9]{1,9}\Z")
_MAX_NUMBER = 2**63
_OUTCOMES: Mapping[str, Outcome] = {one.value: one for one in Outcome}


def write_body(message: Message) -> bytes:
    """Return the bytes of a message, without the frame's header."""
    return _WRITERS[message.kind](message)


def read_body(kind: int, body: memoryview) -> Message | None:
    """Return a message, or None for a kind that only a newer hpctrack knows.

    Raises
    ------
    ProtocolError
        The body is not what its kind says.
    """
    read = _READERS.get(kind)
    return None if read is None else read(body)


# -- hello, done, error ------------------------------------------------------------------------


def _write_hello(hello: Hello) -> bytes:
    versions = {"oldest": hello.oldest, "newest": hello.newest}
    rest: dict[str, Any] = {"unpacks": hello.unpacks, "now_wall_s": hello.now_wall_s}
    if hello.takes:
        rest["takes"] = hello.takes
    return _dump({"protocol": versions, "software": hello.software, **rest})


def _read_hello(body: memoryview) -> Hello:
    fields = _load(body)
    versions = _as_object(fields.get("protocol"))
    oldest, newest = _take(versions, "oldest", int), _take(versions, "newest", int)
    software = fields.get("software")
    return Hello(
        oldest,
        newest,
        software[:SOFTWARE_MAX_CHARS] if isinstance(software, str) else "",
        _keep_texts(fields.get("unpacks")),
        _take_number(fields, "now_wall_s") if "now_wall_s" in fields else 0.0,
        _keep_texts(fields.get("takes")),
    )


def _keep_texts(found: object) -> tuple[str, ...]:
    return tuple(one for one in found if isinstance(one, str)) if isinstance(found, list) else ()


def _write_error(error: Error) -> bytes:
    return _dump({"code": error.code, "facts": dict(error.facts)})


def _read_error(body: memoryview) -> Error:
    fields = _load(body)
    return Error(_take(fields, "code", str), _take_facts(fields.get("facts")))


# -- offer and answer --------------------------------------------------------------------------


def _write_offer(offer: Offer) -> bytes:
    groups: list[list[object]] = []
    names: list[str] = []
    for (kind, project, is_hashed), some in groupby(offer.items, _group_of):
        before = len(names)
        names += [_name_of(one.key) for one in some]
        groups.append([kind, project, len(names) - before, is_hashed])
    listed = "\n".join(names).encode()
    head = {"groups": groups, "names_bytes": len(listed)}
    return _join(head, listed, *(one.token for one in offer.items))


def _group_of(item: Offered) -> tuple[str, str, bool]:
    return item.key.kind, item.key.project, item.is_hashed


def _name_of(key: Key) -> str:
    return f"{key.id}/{key.part}" if key.part else key.id


def _read_offer(body: memoryview) -> Offer:
    head, rest = _split(body)
    names_bytes = _take(head, "names_bytes", int)
    if not 0 <= names_bytes <= len(rest):
        raise ProtocolError("an offer is shorter than it says")
    text, tokens = _as_text(rest[:names_bytes]), bytes(rest[names_bytes:])
    names = text.split("\n") if text else []
    if len(tokens) != TOKEN_BYTES * len(names):
        raise ProtocolError("an offer has not as many names as tokens")
    items: list[Offered] = []
    for group in _take(head, "groups", list):
        kind, project, count, is_hashed = _read_group(group)
        start = len(items)
        if count > len(names) - start:
            raise ProtocolError("an offer has fewer names than it says")
        for number in range(start, start + count):
            id_, _slash, part = names[number].partition("/")
            token = tokens[number * TOKEN_BYTES : (number + 1) * TOKEN_BYTES]
            items.append(Offered(Key(kind, project, id_, part), token, is_hashed))
    if len(items) != len(names):
        raise ProtocolError("an offer has more names than it says")
    return Offer(tuple(items))


def _read_group(group: object) -> tuple[ItemKind, str, int, bool]:
    if not isinstance(group, list) or len(group) != 4:  # noqa: PLR2004 - kind to is_hashed
        raise ProtocolError("a group of an offer is not one")
    kind, project, count, is_hashed = group
    is_right = isinstance(kind, str) and isinstance(project, str) and isinstance(is_hashed, bool)
    if not is_right or not _is_count(count):
        raise ProtocolError("a group of an offer is not one")
    known = ItemKind(kind) if kind in list(ItemKind) else ItemKind.UNKNOWN
    return known, project, count, is_hashed


def _write_answer(answer: Answer) -> bytes:
    details = {str(place): dict(one) for place, one in answer.details.items()}
    return _join({"details": details}, answer.wishes)


def _read_answer(body: memoryview) -> Answer:
    head, rest = _split(body)
    wishes = bytes(rest)
    if any(one > max(Wish) for one in set(wishes)):
        raise ProtocolError("an answer has a wish that is not known")
    details = {}
    for place, one in _as_object(head.get("details")).items():
        if not (_PLACE.match(place) and int(place) < len(wishes)):
            raise ProtocolError("an answer has details of nothing")
        details[int(place)] = _as_object(one)
    return Answer(wishes, details)


# -- files -------------------------------------------------------------------------------------


def _write_file(file: File) -> bytes:
    return b"".join((_FILE_HEAD.pack(file.number, file.sha256), file.data))


def _read_file(body: memoryview) -> File:
    if len(body) < _FILE_HEAD.size:
        raise ProtocolError("a file has no head")
    number, sha256 = _FILE_HEAD.unpack_from(body)
    return File(number, sha256, body[_FILE_HEAD.size :])


def _write_begin(begin: Begin) -> bytes:
    sizes = {"size_bytes": begin.size_bytes, "offset_bytes": begin.offset_bytes}
    return _dump({"number": begin.number, **sizes})


def _read_begin(body: memoryview) -> Begin:
    fields = _load(body)
    size_bytes = _take_count(fields, "size_bytes")
    offset_bytes = _take_count(fields, "offset_bytes")
    if offset_bytes > size_bytes:
        raise ProtocolError("a file begins behind its end")
    return Begin(_take_count(fields, "number"), size_bytes, offset_bytes)


def _write_end(end: End) -> bytes:
    return _dump({"number": end.number, "sha256": end.sha256.hex()})


def _read_end(body: memoryview) -> End:
    fields = _load(body)
    return End(_take_count(fields, "number"), _take_sha256(fields))


def _write_data(data: Data) -> bytes:
    return bytes(data.body)


# -- rows --------------------------------------------------------------------------------------


def _write_rows(rows: Rows) -> bytes:
    tail, state = rows.tail, rows.tail.state
    head = {
        "number": rows.number,
        "sha256": rows.sha256.hex(),
        "facts": dict(tail.facts),
        "pieces": [[one.table, one.start, len(one.data)] for one in tail.pieces],
        "state": {
            "uuid": state.uuid,
            "rows": dict(state.rows),
            "pulse_wall_s": state.pulse_wall_s,
            "closed_wall_s": state.closed_wall_s,
            "as_of_wall_s": state.as_of_wall_s,
        },
    }
    return _join(head, *(one.data for one in tail.pieces))


def _read_rows(body: memoryview) -> Rows:
    head, rest = _split(body)
    pieces, start = [], 0
    for one in _take(head, "pieces", list):
        is_right = isinstance(one, list) and len(one) == 3  # noqa: PLR2004 - table, row, bytes
        if not is_right or not isinstance(one[0], str) or not all(map(_is_count, one[1:])):
            raise ProtocolError("a piece of rows is not one")
        table, row, size_bytes = one
        if size_bytes > len(rest) - start:
            raise ProtocolError("rows are shorter than they say")
        pieces.append(Piece(table, row, bytes(rest[start : start + size_bytes])))
        start += size_bytes
    if start != len(rest):
        raise ProtocolError("rows are longer than they say")
    facts = {
        key: one
        for key, one in _as_object(head.get("facts")).items()
        if isinstance(one, str | int | float)
    }
    state = read_state(head.get("state"))
    tail = Tail(facts=facts, pieces=tuple(pieces), state=state)
    return Rows(_take_count(head, "number"), _take_sha256(head), tail)


def read_state(value: object) -> NodeState:
    """Read the state of a node file.

    Raises
    ------
    ProtocolError
        It is none.
    """
    fields = _as_object(value)
    rows = _as_object(fields.get("rows"))
    if not all(map(_is_count, rows.values())):
        raise ProtocolError("a table has a number of rows that cannot be")
    return NodeState(
        uuid=_take(fields, "uuid", str),
        rows=rows,
        pulse_wall_s=_take_number(fields, "pulse_wall_s"),
        closed_wall_s=_take_number(fields, "closed_wall_s"),
        as_of_wall_s=_take_number(fields, "as_of_wall_s"),
    )


# -- results -----------------------------------------------------------------------------------


def _write_results(results: Results) -> bytes:
    listed: list[list[object]] = []
    for one in results.results:
        why = [one.code, dict(one.facts)] if one.code or one.facts else []
        listed.append([one.number, one.outcome, *why])
    return _dump({"results": listed})


def _read_results(body: memoryview) -> Results:
    return Results(tuple(map(_read_result, _take(_load(body), "results", list))))


def _read_result(value: object) -> Result:
    if not isinstance(value, list) or len(value) < 2 or not _is_count(value[0]):  # noqa: PLR2004
        raise ProtocolError("a result is not one")
    number, outcome, code, facts, *_ = [*value, "", {}][:4] if len(value) < 4 else value  # noqa: PLR2004
    found = _OUTCOMES.get(outcome) if isinstance(outcome, str) else None
    if found is None:
        raise ProtocolError("a result has an unknown outcome")
    if not isinstance(code, str):
        raise ProtocolError("a result has a code that is none")
    return Result(number, found, code, _take_facts(facts))


# -- JSON --------------------------------------------------------------------------------------


def _dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def _load(body: Body) -> dict[str, Any]:
    data = bytes(body)
    try:
        value = json.loads(data)
        if b"\\u" in data:
            # Half of a surrogate pair is JSON, and no text: it could be neither kept nor told.
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise ProtocolError("a message is not JSON") from None
    return _as_object(value)


def _join(head: object, *parts: bytes) -> bytes:
    written = _dump(head)
    return b"".join((_SIZE.pack(len(written)), written, *parts))


def _split(body: memoryview) -> tuple[dict[str, Any], memoryview]:
    if len(body) < _SIZE.size:
        raise ProtocolError("a message has no head")
    (size_bytes,) = _SIZE.unpack_from(body)
    end = _SIZE.size + size_bytes
    if end > len(body):
        raise ProtocolError("a message is shorter than its head says")
    return _load(body[_SIZE.size : end]), body[end:]


def _as_text(data: memoryview) -> str:
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError:
        raise ProtocolError("a name is not UTF-8") from None


def _as_object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ProtocolError("a message is not a JSON object")
    return value


def _is_int(value: object) -> bool:
    # True is an int for Python and is none here.
    return isinstance(value, int) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MAX_NUMBER


def _take(fields: Fields, name: str, kind: type) -> Any:
    value = fields.get(name)
    if not isinstance(value, kind) or (kind is int and not _is_int(value)):
        raise ProtocolError(f"a message lacks {name!r}, or it is no {kind.__name__}")
    return value


def _take_count(fields: Fields, name: str) -> int:
    value = fields.get(name)
    if not _is_count(value):
        raise ProtocolError(f"a message lacks {name!r}, or it cannot be")
    return int(value)  # type: ignore[arg-type] # just looked at


def _take_number(fields: Fields, name: str) -> float:
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ProtocolError(f"a message lacks {name!r}, or it is no number")
    if not abs(value) < _MAX_NUMBER:
        raise ProtocolError(f"a message lacks {name!r}, or it is no number")
    return float(value)


def _take_sha256(fields: Fields) -> bytes:
    text = _take(fields, "sha256", str)
    if not _SHA256.match(text):
        raise ProtocolError("a message has a hash that is none")
    return bytes.fromhex(text)


def _take_facts(value: object) -> dict[str, Fact]:
    """Return what can be shown; a peer's nested values are not."""
    if not isinstance(value, dict):
        return {}
    return {str(key): one for key, one in value.items() if isinstance(one, str | int)}


_WRITERS: dict[Kind, Callable[[Any], bytes]] = {
    Kind.HELLO: _write_hello,
    Kind.DONE: lambda _done: b"{}",
    Kind.ERROR: _write_error,
    Kind.OFFER: _write_offer,
    Kind.ANSWER: _write_answer,
    Kind.FILE: _write_file,
    Kind.BEGIN: _write_begin,
    Kind.DATA: _write_data,
    Kind.END: _write_end,
    Kind.ROWS: _write_rows,
    Kind.RESULTS: _write_results,
}

_READERS: dict[int, Callable[[memoryview], Message]] = {
    Kind.HELLO: _read_hello,
    Kind.DONE: lambda _body: Done(),
    Kind.ERROR: _read_error,
    Kind.OFFER: _read_offer,
    Kind.ANSWER: _read_answer,
    Kind.FILE: _read_file,
    Kind.BEGIN: _read_begin,
    Kind.DATA: Data,
    Kind.END: _read_end,
    Kind.ROWS: _read_rows,
    Kind.RESULTS: _read_results,
}
