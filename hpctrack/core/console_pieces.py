"""What the pieces of a rank's console are, on the wire and in the file."""

from __future__ import annotations

STREAMS = (1, 2)
"""Standard output and standard error, by the numbers that programs know."""

GAP_HEAD = b"\x00hpctrack gap "
"""A piece that begins so stands for bytes that are not recorded; their number follows."""


def make_gap(missing_bytes: int) -> bytes:
    """Return the piece that stands for bytes which are not recorded."""
    return GAP_HEAD + str(missing_bytes).encode()


def read_gap(piece: bytes) -> int:
    """Return how many bytes a piece stands for; 0 if it is an ordinary one."""
    count = piece[len(GAP_HEAD) :]
    return int(count) if piece.startswith(GAP_HEAD) and count.isdigit() else 0
