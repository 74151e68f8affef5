"""From what a rank has captured to what is written: PNG, WAV, JSON and the like.

Pure but for files that a rank names instead of sending them; numpy and zlib only.
"""

from __future__ import annotations

from hpctrack.agents.encode.encoding import Encoded, encode

__all__ = ["Encoded", "encode"]
