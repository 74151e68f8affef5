"""New rows of a run that goes on, into the replica that readers follow. Brings numpy and h5py."""

from __future__ import annotations

from hpctrack.errors import HpctrackError, StoreFullError
from hpctrack.sync.receiving.publication import path_of
from hpctrack.sync.wire.messages import Key, Rows
from hpctrack.sync.wire.refusal import ItemRefusal


def append_rows(folder_fd: int, key: Key, rows: Rows) -> None:
    """Append rows to a replica, or begin one; they are on the disk when it returns.

    Parameters
    ----------
    folder_fd : int
        The run's folder, open.
    key : Key
        Of the node file.
    rows : Rows
        What has come; its hash was checked.

    Raises
    ------
    ItemRefusal
        They do not fit to what is there, or there is no room.
    """
    from hpctrack.store.replica import (  # noqa: PLC0415 - brings numpy and h5py
        ReplicaGapError,
        append_tail,
    )

    facts = rows.tail.facts
    if (facts.get("project"), facts.get("run")) != (key.project, key.id):
        raise ItemRefusal("other-run", project=str(facts.get("project")), run=str(facts.get("run")))
    try:
        append_tail(path_of(folder_fd), key.part, rows.tail, of=(key.project, key.id))
    except StoreFullError:
        raise ItemRefusal("no-space", size_bytes=0) from None
    except ReplicaGapError:
        raise ItemRefusal("gap") from None
    except HpctrackError:
        raise ItemRefusal("rows") from None
