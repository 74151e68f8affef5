"""What a file says that it is."""

from __future__ import annotations

from dataclasses import dataclass

REQUIRED_NAMES = (b"blobs", b"events", b"heap", b"index", b"metrics", b"nodes", b"record", b"text")
"""Members of the root that every sealed file has; none is longer than 8 bytes."""


@dataclass(frozen=True, slots=True)
class Skeleton:
    """What the root of a file says of it, everything that it has having been looked at.

    Parameters
    ----------
    kind : str
        Of file.
    format : int
        Its version.
    project, run : str
        Whose it is.
    """

    kind: str
    format: int
    project: str
    run: str
