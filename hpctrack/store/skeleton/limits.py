"""What a file that a stranger has made may cost whoever reads it."""

from __future__ import annotations

from collections.abc import Sequence

DEFLATE, SHUFFLE, FLETCHER32 = 1, 2, 3
"""HDF5's numbers of the filters that the sealer uses; all others may be programs to be loaded."""

DEFLATE_RATIO_MAX = 1032
"""Deflate can say 258 bytes in two bits: no byte of a file can become more than so many."""

CHUNK_BYTES_MAX = 256 * 1024 * 1024
"""HDF5 unpacks a chunk as a whole, however long it gets. The sealer's are 2 MiB, but JSON, which is
one chunk, is larger in runs of 100,000 ranks."""

FAST_BYTES_MAX = CHUNK_BYTES_MAX // DEFLATE_RATIO_MAX
"""A file that is not longer, 254 KiB, cannot hold a chunk that unpacks to more."""


def is_our_pipeline(filters: Sequence[int]) -> bool:
    """Tell whether filters are some of ours, in our order; deflating twice squares its ratio."""
    ours = [one for one in (SHUFFLE, DEFLATE, FLETCHER32) if one in filters]
    return list(filters) == ours
