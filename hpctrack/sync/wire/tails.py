"""What is new in a live node file, as values: the store's own, which both sides speak of."""

from __future__ import annotations

from hpctrack.store.tails import TAIL_BYTES, NodeState, Piece, Tail

__all__ = ["TAIL_BYTES", "NodeState", "Piece", "Tail"]
