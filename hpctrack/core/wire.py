"""The frames that a rank and its agent exchange over a Unix socket.

Everything is little-endian. A frame is an 8-byte header and a body::

    u32 size of the body | u8 kind | u8 flags, 0 | u16 count

``docs/reference/wire.md`` describes every kind; the layout is versioned by `WIRE_VERSION`, which
the first frame (`Kind.HELLO`) carries. Readers skip kinds they do not know.
"""

from __future__ import annotations

import _struct as struct  # what `struct` is made of: a file less

from hpctrack.errors import ProtocolError, is_of_a_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

WIRE_VERSION = 3

HEADER = struct.Struct("<IBBH")
NAME_HEAD = struct.Struct("<I")
POINTS_HEAD = struct.Struct("<qd")
POINT = struct.Struct("<Id")
CONSOLE_HEAD = struct.Struct("<d")

STREAMS = (1, 2)
"""Standard output and standard error, by the numbers that programs know."""

GAP_HEAD = b"\x00hpctrack gap "
"""A piece of a console that begins so stands for bytes that are not recorded; their number follows.
It is stored so, too."""

MAX_BODY_BYTES = 64 * 1024 * 1024
"""A longer frame is a broken or hostile peer, not a large value: media are sent in pieces."""

MAX_POINTS = 0xFFFF
"""Points in one frame; the header counts them in 16 bits."""


class Kind:
    """What a frame says. Numbers below 64 go to the agent, the others to the rank."""

    HELLO = 1
    """JSON: who I am and which run this is. First frame of a connection."""
    NAME = 2
    """u32 number, UTF-8 name: this connection's number for a metric."""
    POINTS = 3
    """i64 step, f64 wall time, then ``count`` times (u32 metric number, f64 value)."""
    CONFIG = 4
    """JSON: the whole configuration, nested."""
    SUMMARY = 5
    """JSON: summary values to set."""
    META = 6
    """JSON: name, tags, notes ... to set."""
    EVENT = 7
    """JSON: something worth telling: ``{"code", "level", "text"}``."""
    LEDGER = 8
    """JSON: what this rank had to drop so far, as totals."""
    FLUSH = 9
    """Ask for `DONE` when everything sent so far is in the file."""
    FINISH = 10
    """JSON ``{"exit_code"}``: the last frame; answered by `DONE`."""
    MEDIA = 11
    """u32 size of a JSON description, the description, raw bytes: an image, a table ..."""
    CONSOLE = 12
    """f64 wall time, then what the rank wrote to the stream (1 or 2) that ``count`` says."""
    CONFIG_CHANGE = 13
    """JSON: what has changed in the configuration, see `change_config`."""
    DEFINE = 14
    """JSON: how a metric is to be read."""
    SAVE = 15
    """JSON: files of this node to take into the run."""
    SETTLE = 16
    """Ask for `DONE` when all runs that are over are sealed; no HELLO comes before it."""
    LEASE = 17
    """JSON: up to where, or behind where, all ranks stop (rank 0), or that this rank listens."""
    REQUEST_SYNC = 18
    """JSON, empty so far: ask whoever reaches the server to push the run now."""

    WELCOME = 64
    """JSON: the agent takes the run: ``{"path", "pid"}``."""
    NOTICE = 65
    """JSON like `EVENT`: something the user should read."""
    DONE = 66
    """JSON ``{"ok"}``: answer to `FLUSH`, `FINISH` and `SETTLE`."""
    STOP = 67
    """JSON ``{"who", "why"}``: somebody asks the program to end."""
    AGREED = 68
    """JSON: what rank 0 has said in `LEASE` frames so far, for ranks that listen."""


def name_kind(kind: int) -> str:
    """Return what a kind of frame is called, for people."""
    names = (name for name, number in vars(Kind).items() if number == kind)
    return next(names, str(kind)).lower()


class Frame:
    """One received frame; ``body`` is only valid until the decoder is fed again."""

    __slots__ = ("body", "count", "kind")

    def __init__(self, kind: int, count: int, body: memoryview) -> None:
        self.kind = kind
        self.count = count
        self.body = body

    def json(self) -> dict[str, Any]:
        """Return the body as a JSON object.

        Raises
        ------
        ProtocolError
            The body is not a JSON object, or nobody can read it: Python's own files are gone.
        """
        try:
            import json  # noqa: PLC0415 - an agent speaks when its rank has long begun

            value = json.loads(bytes(self.body))
        except (ValueError, ImportError, OSError) as error:
            raise ProtocolError(f"a frame of kind {self.kind} is not JSON: {error}") from None
        if not isinstance(value, dict):
            raise ProtocolError(f"a frame of kind {self.kind} is not a JSON object")
        return value


def pack(kind: int, body: bytes = b"", count: int = 0) -> bytes:
    """Make a frame.

    Raises
    ------
    ProtocolError
        The body is longer than a frame may be.
    """
    if len(body) > MAX_BODY_BYTES:
        raise ProtocolError(f"{len(body)} bytes do not fit in a frame of {MAX_BODY_BYTES}")
    return HEADER.pack(len(body), kind, 0, count) + body


def pack_json(kind: int, value: Mapping[str, Any]) -> bytes:
    """Make a frame with a JSON body, see `dump_json`."""
    return pack(kind, dump_json(value))


def dump_json(value: Mapping[str, Any]) -> bytes:
    """Return a mapping as JSON; see `make_plain` for values that JSON has no form for.

    A value that cannot be written even so becomes its text, or its type's name: it must not take
    its neighbours with it.
    """
    try:
        text = "".join(_iter_json(value))
    except Exception as error:  # anybody's object, a list in itself, a number of 5,000 digits
        if is_of_a_signal(error):
            raise
        text = _dump_anything(value)
    # Halves of what UTF-16 writes in two have no UTF-8; JSON's escapes for them are Python's.
    return text.encode("utf-8", "backslashreplace")


_ESCAPES = {number: f"\\u{number:04x}" for number in range(32)} | {34: '\\"', 92: "\\\\"}
_CONSTANTS = {None: "null", True: "true", False: "false"}


def _iter_json(value: Any) -> Iterator[str]:
    """Yield the JSON of what most ranks say, as `json` would, which costs a rank 3 ms to load.

    Raises
    ------
    TypeError
        There is something else in it than plain texts, numbers, lists and mappings.
    """
    kind = type(value)
    if kind is str:
        yield f'"{value.translate(_ESCAPES)}"'
    elif kind is int or (kind is float and value - value == 0):
        yield repr(value)
    elif value is None or kind is bool:
        yield _CONSTANTS[value]
    elif kind is list or kind is tuple:
        mark = "["
        for item in value:
            yield mark
            yield from _iter_json(item)
            mark = ","
        yield "]" if value else "[]"
    elif isinstance(value, dict):
        mark = "{"
        for key, item in value.items():
            if type(key) is not str:
                raise TypeError(key)
            yield f'{mark}"{key.translate(_ESCAPES)}":'
            yield from _iter_json(item)
            mark = ","
        yield "}" if value else "{}"
    else:
        raise TypeError(kind)


def _dump_anything(value: Mapping[str, Any]) -> str:
    import json  # noqa: PLC0415 - see _iter_json

    try:
        return json.dumps(value, default=make_plain, separators=(",", ":"))
    except Exception as error:  # see dump_json
        if is_of_a_signal(error):
            raise
        return json.dumps({str(key): _make_writable(item) for key, item in value.items()})


def _make_writable(value: object) -> object:
    import json  # noqa: PLC0415 - see _iter_json

    try:
        return json.loads(json.dumps(value, default=make_plain))
    except Exception as error:  # see dump_json
        if is_of_a_signal(error):
            raise
        return text_of(value)


def text_of(value: object) -> str:
    """Return a value as text, or its type's name if that cannot be had."""
    try:
        return str(value)
    except Exception as error:  # anybody's object
        if is_of_a_signal(error):
            raise
        return f"<{type(value).__name__}>"


def make_plain(value: object) -> object:
    """Return what JSON can hold in place of a value it cannot.

    Arrays and scalars of any library become lists and numbers, sets become sorted lists, and
    the rest becomes its text: a configuration is to be read, not to be run.
    """
    for name in ("tolist", "item"):
        method = getattr(value, name, None)
        if callable(method):
            try:
                plain: object = method()
            except Exception as error:  # anybody's object
                if is_of_a_signal(error):
                    raise
                break
            return plain if isinstance(plain, (int, float, str, list, bool)) else text_of(plain)
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    if hasattr(type(value), "__dataclass_fields__"):
        import dataclasses  # noqa: PLC0415 - whoever has made the value has loaded it

        return dataclasses.asdict(value)  # type: ignore[call-overload]
    return text_of(value)


def change_config(config: dict[str, Any], change: Mapping[str, Any]) -> None:
    """Do to a configuration what a `Kind.CONFIG_CHANGE` says.

    Parameters
    ----------
    config : dict
        Changed in place.
    change : mapping
        ``path``: the keys that lead to a mapping in it; ``set``: keys and values to set there;
        ``unset``: keys to remove.

    Raises
    ------
    TypeError, AttributeError
        It is none.
    """
    for key in change.get("path", ()):
        inner = config.get(key)
        if not isinstance(inner, dict):
            inner = config[key] = {}
        config = inner
    for key in change.get("unset", ()):
        config.pop(key, None)
    config.update(change.get("set", {}))


def pack_name(number: int, name: str) -> bytes:
    """Make the frame that gives a metric its number."""
    return pack(Kind.NAME, NAME_HEAD.pack(number) + name.encode())


_POINTS: dict[int, struct.Struct] = {}


def pack_media(description: Mapping[str, Any], payload: Sequence[bytes | memoryview]) -> bytes:
    """Make the frame of something that is no number.

    Raises
    ------
    ProtocolError
        It is longer than a frame may be.
    """
    text = _dump_anything(description).encode()
    return pack(Kind.MEDIA, b"".join([NAME_HEAD.pack(len(text)), text, *payload]))


def unpack_media(body: memoryview) -> tuple[dict[str, Any], memoryview]:
    """Return description and raw bytes of a `Kind.MEDIA` frame.

    Raises
    ------
    ProtocolError
        It is not one.
    """
    if len(body) < NAME_HEAD.size:
        raise ProtocolError("a frame of media is too short")
    (size,) = NAME_HEAD.unpack_from(body)
    end = NAME_HEAD.size + size
    if end > len(body):
        raise ProtocolError("a frame of media ends in its description")
    return Frame(Kind.MEDIA, 0, body[NAME_HEAD.size : end]).json(), body[end:]


def pack_console(stream: int, wall_s: float, data: bytes) -> bytes:
    """Make a CONSOLE frame of what was passed on at a time."""
    return pack(Kind.CONSOLE, CONSOLE_HEAD.pack(wall_s) + data, stream)


def unpack_console(body: memoryview) -> tuple[float, bytes]:
    """Return the time and the bytes of a CONSOLE frame.

    Raises
    ------
    ProtocolError
        It is too short to hold a time.
    """
    if len(body) < CONSOLE_HEAD.size:
        raise ProtocolError("a piece of the console has no time")
    (wall_s,) = CONSOLE_HEAD.unpack_from(body)
    return wall_s, bytes(body[CONSOLE_HEAD.size :])


def make_gap(missing_bytes: int) -> bytes:
    """Return the piece of a console that stands for bytes which are not recorded."""
    return GAP_HEAD + str(missing_bytes).encode()


def read_gap(piece: bytes) -> int:
    """Return how many bytes a piece stands for; 0 if it is an ordinary one."""
    count = piece[len(GAP_HEAD) :]
    return int(count) if piece.startswith(GAP_HEAD) and count.isdigit() else 0


def pack_points(step: int, wall_s: float, pairs: Sequence[float]) -> bytes:
    """Make the frame of one ``log`` call.

    Parameters
    ----------
    step : int
        Fits in 64 bits.
    wall_s : float
        UTC seconds.
    pairs : sequence
        Metric number and value in turn: ``[0, 0.5, 1, 0.93]``; at most `MAX_POINTS` pairs.
    """
    count = len(pairs) // 2
    layout = _POINTS.get(count)
    if layout is None:
        layout = _POINTS[count] = struct.Struct("<IBBHqd" + "Id" * count)
    return layout.pack(layout.size - 8, Kind.POINTS, 0, count, step, wall_s, *pairs)


class Decoder:
    """Cuts a stream of bytes into frames; keeps the unfinished rest.

    What has come of a frame is joined once, when the frame is whole: a picture of 50 MB that
    arrives in pieces is not copied for each of them.
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._held_bytes = 0
        self._wanted_bytes = HEADER.size

    @property
    def pending_bytes(self) -> int:
        """How many bytes of an unfinished frame are held."""
        return self._held_bytes

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that ``data`` completes. Read all of them before feeding more.

        Raises
        ------
        ProtocolError
            A header announces a body longer than `MAX_BODY_BYTES`.
        """
        self._parts.append(data)
        self._held_bytes += len(data)
        if self._held_bytes < self._wanted_bytes:
            return
        whole = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        view, start, end = memoryview(whole), 0, len(whole)
        self._wanted_bytes = HEADER.size
        while end - start >= HEADER.size:
            size, kind, _flags, count = HEADER.unpack_from(whole, start)
            if size > MAX_BODY_BYTES:
                raise ProtocolError(f"a frame announces {size} bytes, at most {MAX_BODY_BYTES}")
            body = start + HEADER.size
            if end - body < size:
                self._wanted_bytes = HEADER.size + size
                break
            start = body + size
            yield Frame(kind, count, view[body:start])
        self._parts, self._held_bytes = [whole[start:]], end - start
