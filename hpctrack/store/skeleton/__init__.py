"""Telling in microseconds that nothing in a sealed file is more than a sealed file has.

The HDF5 library takes 0.2 ms to open a file and 2 ms to look at its hundred objects. Here many
files are looked at together, without the library, in some 50 us each. What is not understood,
however harmless, is left to `hpctrack.store.strict_check`: the answer is then None, never "fine".

Why what is accepted is harmless:

- The library reaches objects from the superblock on, and only through links. All of them are
  followed here in the same way, and every header that one leads to is parsed as a whole, with all
  its continuations: so every object that the library can reach has been looked at. (Links of large
  groups are found as the library finds them, by the B-tree of their names.)
- A header has only messages that `shapes` knows. There is none for external storage and virtual
  layouts; links are hard links; filters are ours, in our order; types are numbers, texts of a fixed
  length and rows of them, so that nothing leads into a heap; nothing is shared with another object.
- A superblock has no extension, the file no block of a user's own before it.
- Datasets together are not larger than deflate could have made the file; a chunk is not larger, and
  cannot unpack to more, than `CHUNK_BYTES_MAX`.
- Checksums are not compared: the library refuses what does not have the right one, so what is read
  here and not by the library does no harm. That everything can be read is not said either.

Time and memory are bounded by the size of a file, whatever is in it: objects of one level are
visited once, levels and pieces are counted, pieces of one round that overlap are refused.
"""

from __future__ import annotations

from hpctrack.store.skeleton.batch import check_batch
from hpctrack.store.skeleton.limits import FAST_BYTES_MAX
from hpctrack.store.skeleton.summary import Skeleton

__all__ = ["FAST_BYTES_MAX", "Skeleton", "check_batch"]
