"""The bytes of many files side by side, read at many places at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Places = NDArray[np.int64]
Words = NDArray[np.uint64]
Mask = NDArray[np.bool_]

PADDING_BYTES = 4096
"""Behind the last file: what is read around a place never ends before it."""


class Buffer:
    """Files one after the other.

    Parameters
    ----------
    files : sequence of bytes-like

    Attributes
    ----------
    start, size : ndarray of int64
        Where each file is.
    is_known : ndarray of bool
        Of each file: nothing was found in it so far that is not understood.
    """

    def __init__(self, files: Sequence[bytes | memoryview]) -> None:
        self._data = b"".join([*files, bytes(PADDING_BYTES)])
        self.size: Places = np.array([len(one) for one in files], np.int64)
        self.start: Places = np.cumsum(self.size) - self.size
        self.is_known: Mask = np.ones(len(files), bool)
        self._windows: dict[int, NDArray[np.void]] = {}

    def read(self, places: Places, width: int) -> Bytes:
        """Return so many bytes at each place: one row each.

        Parameters
        ----------
        places : ndarray of int64
            All in a file, of the whole buffer.
        width : int
            At most `PADDING_BYTES`.
        """
        window = self._windows.get(width)
        if window is None:
            count = len(self._data) - width + 1
            window = np.ndarray((count,), f"V{width}", self._data, strides=(1,))
            self._windows[width] = window
        return window[places].view(np.uint8).reshape(-1, width)

    def read_words(self, places: Places) -> Words:
        """Return the number of 8 bytes at each place."""
        return self.read(places, 8).view("<u8").reshape(-1)

    def slice(self, place: int, length: int) -> bytes:
        """Return the bytes at one place."""
        return self._data[place : place + length]

    def reject(self, owner: Places) -> None:
        """Note that these files have something that is not understood."""
        self.is_known[owner] = False

    def locate(
        self, addresses: Words, owner: Places, length: int | Places, *others: Any
    ) -> tuple[Any, ...]:
        """Turn addresses in files into places; files are rejected that end before.

        Parameters
        ----------
        addresses : ndarray of uint64
        owner : ndarray of int64
            The file of each.
        length : int or ndarray of int64
            How many bytes there must be.
        *others : ndarray
            What else is known of each.

        Returns
        -------
        places, owner, *others : ndarray
            Of those that are inside.
        """
        # Compared as what they are: an address beyond 2**63 would turn negative.
        last = self.size[owner] - length
        is_inside = (last >= 0) & (addresses <= np.maximum(last, 0).astype(np.uint64))
        if not is_inside.all():
            self.reject(owner[~is_inside])
            addresses, owner = addresses[is_inside], owner[is_inside]
            others = tuple(one[is_inside] for one in others)
        return addresses.astype(np.int64) + self.start[owner], owner, *others


def cut_names(words: Words, length: Any) -> Words:
    """Return names of at most 8 bytes, of which the words are the first 8, as numbers; or 0.

    Parameters
    ----------
    words : ndarray of uint64
    length : int or ndarray of int64
        Of each name.
    """
    unused = np.clip(8 - np.asarray(length), 0, 7).astype(np.uint64)
    mask = np.uint64(2**64 - 1) >> (np.uint64(8) * unused)
    return np.where(np.asarray(length) <= 8, words & mask, np.uint64(0))  # noqa: PLR2004


def read_field(rows: Bytes, where: tuple[int, int]) -> Words:
    """Return a number of at most 8 bytes of each row; rows go on for 8 bytes behind its begin."""
    at, width = where
    words: Words = np.ascontiguousarray(rows[:, at : at + 8]).view("<u8")[:, 0]
    return words if width == 8 else words & np.uint64((1 << 8 * width) - 1)  # noqa: PLR2004


def matches(rows: Bytes, start: int, expected: bytes) -> Mask:
    """Tell which rows have these bytes."""
    wanted = np.frombuffer(expected, np.uint8)
    found: Mask = (rows[:, start : start + len(expected)] == wanted).all(axis=1)
    return found
