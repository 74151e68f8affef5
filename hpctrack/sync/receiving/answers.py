"""What the receiver wants of what it is offered: one look at the store for each item."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpctrack.core.layout import ANNOTATIONS_FOLDER, REQUEST_NAME, SEALED_NAME
from hpctrack.store.annotations import MERGED_MAX_BYTES
from hpctrack.store.replica_states import read_replicas
from hpctrack.store.tails import NodeState
from hpctrack.sync.files.inventory import HashCache, hash_place, is_stamped, make_token
from hpctrack.sync.files.place import (
    Place,
    find_place,
    list_names,
    open_file_no_follow,
    open_folder,
    stat_no_follow,
)
from hpctrack.sync.receiving.policy import OWNED, Policy
from hpctrack.sync.receiving.publication import path_of, read_owner
from hpctrack.sync.receiving.quarantine import measure_partial
from hpctrack.sync.wire.messages import (
    REQUEST_MAX_CHARS,
    Answer,
    ItemKind,
    Key,
    Offer,
    Offered,
    Wish,
)
from hpctrack.sync.wire.refusal import ItemRefusal

Details = dict[str, Any]

ANNOTATIONS_BYTES = 1024 * 1024
"""What people have said here goes along with one answer up to so many bytes, three times as many
when all of them must be escaped; whatever is left over goes with the next push."""


class Answerer:
    """Answers offers.

    Parameters
    ----------
    store_fd : int or None
        The store, open; None if there is none yet.
    cache : HashCache
        Of the store.
    policy : Policy
        Of this connection.
    """

    def __init__(self, store_fd: int | None, cache: HashCache, policy: Policy) -> None:
        self._store_fd = store_fd
        self._cache = cache
        self._policy = policy
        self._annotated: dict[str, frozenset[str]] = {}
        self._replicas_of: tuple[str, ...] = ()
        self._replicas: Mapping[str, NodeState] = {}
        self._annotated_here: set[tuple[str, str]] = set()
        self._room_bytes = 0

    def answer(self, offer: Offer) -> Answer:
        """Say of each item whether it is wanted."""
        self._annotated_here = {
            (one.key.project, one.key.id)
            for one in offer.items
            if one.key.kind == ItemKind.ANNOTATIONS
        }
        self._room_bytes = ANNOTATIONS_BYTES
        self._replicas_of = ()
        wishes = bytearray()
        details: dict[int, Mapping[str, Any]] = {}
        for place, item in enumerate(offer.items):
            wish, more = self._answer_one(item)
            wishes.append(wish)
            if more:
                details[place] = more
        return Answer(bytes(wishes), details)

    def _answer_one(self, item: Offered) -> tuple[Wish, Details]:
        try:
            self._policy.check(item.key)
            place = find_place(item.key)
            if self._store_fd is None:
                return Wish.WANTED, {}
            if self._policy.user and item.key.kind in OWNED:
                self._check_owner(self._store_fd, item)
            if item.key.kind == ItemKind.LIVE:
                wish, details = self._answer_live(self._store_fd, item, place)
            else:
                wish, details = self._answer_file(self._store_fd, item, place)
            if item.key.kind == ItemKind.PROGRESS:
                return wish, {**details, **_find_request(self._store_fd, place)}
            return wish, {**details, **self._find_annotations(self._store_fd, item)}
        except ItemRefusal as refusal:
            return Wish.REFUSED, {"code": refusal.code, "facts": refusal.facts}

    def _check_owner(self, store_fd: int, item: Offered) -> None:
        with (
            contextlib.suppress(OSError),
            open_folder(store_fd, _find_owned(item.key)) as folder_fd,
        ):
            self._policy.check_owner(read_owner(folder_fd))

    def _find_annotations(self, store_fd: int, item: Offered) -> Details:
        """Return what people have said here of a run of which the sender knows nothing."""
        key = item.key
        if key.kind not in {ItemKind.RUN, ItemKind.LIVE}:
            return {}
        if key.project not in self._annotated:
            self._annotated[key.project] = _list_annotated(store_fd, key.project)
        if key.id not in self._annotated[key.project]:
            return {}
        if (key.project, key.id) in self._annotated_here:
            return {}
        place = find_place(Key(ItemKind.ANNOTATIONS, key.project, key.id))
        text = _read_small(store_fd, place)
        size_bytes = len(text.encode())
        if not text or size_bytes > self._room_bytes:
            return {}
        self._room_bytes -= size_bytes
        return {"annotations": text}

    def _answer_live(self, store_fd: int, item: Offered, place: Place) -> tuple[Wish, Details]:
        """Say which rows of a node file are there already."""
        try:
            with open_folder(store_fd, place.folders) as folder_fd:
                folder = path_of(folder_fd)
                if self._replicas_of != place.folders:  # a run of 1,000 nodes is looked at once
                    self._replicas_of, self._replicas = place.folders, read_replicas(folder)
                state = self._replicas.get(place.file)
                if state is None and stat_no_follow(folder_fd, place.file) is not None:
                    state = _find_marked(folder, place.file)
                    if state is None:
                        raise ItemRefusal("live")
                if state is not None:
                    if state.digest == item.token:
                        return Wish.PRESENT, {}
                    return Wish.CONTINUED, {"uuid": state.uuid, "rows": dict(state.rows)}
                sealed = stat_no_follow(folder_fd, SEALED_NAME)
                if sealed is not None and stat.S_ISREG(sealed.st_mode):
                    return Wish.CONTINUED, {"sealed": _list_sealed_nodes(folder_fd)}
        except NotADirectoryError:
            raise ItemRefusal("link") from None
        except OSError:
            pass
        return Wish.WANTED, {}

    def _answer_file(self, store_fd: int, item: Offered, place: Place) -> tuple[Wish, Details]:
        there = hash_place(store_fd, place, self._cache)
        if item.is_hashed and there and make_token(there) == item.token:
            return Wish.PRESENT, {}
        details: Details = {}
        offset_bytes = measure_partial(store_fd, item.token.hex())
        if offset_bytes:
            details["offset_bytes"] = offset_bytes
        if there and not item.is_hashed:
            details["sha256"] = there
            if is_stamped(store_fd, place, item.token):
                details["same_file"] = True
        return (Wish.CONTINUED, details) if details else (Wish.WANTED, {})


def _find_owned(key: Key) -> tuple[str, ...]:
    """Return the folder that says whose something is."""
    is_sweep = key.kind in {ItemKind.SWEEP, ItemKind.PROGRESS}
    return find_place(key).folders if is_sweep else (key.project, key.id)


def _find_request(store_fd: int, place: Place) -> Details:
    """Return what was asked here of a sweep that runs on the other side."""
    text = _read_small(store_fd, Place(place.folders, REQUEST_NAME))
    return {"request": text} if 0 < len(text) <= REQUEST_MAX_CHARS else {}


def _list_annotated(store_fd: int, project: str) -> frozenset[str]:
    """Return the runs of a project that have annotations: one listing for all."""
    try:
        with open_folder(store_fd, (project, ANNOTATIONS_FOLDER)) as folder_fd:
            names = list_names(folder_fd)
    except OSError:
        return frozenset()
    return frozenset(name.removesuffix(".json") for name in names if name.endswith(".json"))


def _find_marked(folder: Path, name: str) -> NodeState | None:
    """Return a replica of which nothing is known any more but that it is one."""
    from hpctrack.store.replica import find_replicas  # noqa: PLC0415 - brings numpy and h5py

    return find_replicas(folder).get(name)


def _list_sealed_nodes(folder_fd: int) -> list[str]:
    from hpctrack.sync.receiving.verification import try_read_extent  # noqa: PLC0415 - as above

    extent = try_read_extent(path_of(folder_fd, SEALED_NAME))
    return sorted(extent.nodes) if extent else []


def _read_small(store_fd: int, place: Place) -> str:
    with contextlib.suppress(OSError), open_folder(store_fd, place.folders) as folder_fd:
        fd = open_file_no_follow(folder_fd, place.file)
        if fd is not None:
            with os.fdopen(fd, "rb") as file:
                return file.read(MERGED_MAX_BYTES).decode("utf-8", "replace")
    return ""
