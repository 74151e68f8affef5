"""What ``hpctrack sync`` says at its end, of results that a test makes up."""

from __future__ import annotations

import pytest

from hpctrack.cli.sync.summary import iter_notes, iter_projects, raise_for, summarise
from hpctrack.errors import RefusedError, StoreError
from hpctrack.sync.sending.candidates import Skipped
from hpctrack.sync.sending.push_result import ItemResult, PushResult, Status
from hpctrack.sync.wire.messages import ItemKind, Key


def make(
    kind: ItemKind,
    status: Status,
    name: str = "p/r",
    *,
    part: str = "",
    reason: str = "",
    text: str = "",
) -> ItemResult:
    project, run = name.split("/")
    return ItemResult(key=Key(kind, project, run, part), status=status, reason=reason, text=text)


def push_of(
    *items: ItemResult, size_bytes: int = 2_000_000, wire_bytes: int = 2_100_000
) -> PushResult:
    return PushResult(
        remote="login:22",
        items=items,
        size_bytes=size_bytes,
        wire_bytes=wire_bytes,
        duration_s=1.5,
    )


def test_everything_that_moved_is_told_and_a_run_is_counted_once() -> None:
    result = push_of(
        make(ItemKind.RUN, Status.SENT, "p/a"),
        make(ItemKind.RUN, Status.REPLACED, "p/b"),
        make(ItemKind.RUN, Status.PRESENT, "p/c"),
        make(ItemKind.LIVE, Status.GROWN, "p/d", part="node-0"),
        make(ItemKind.LIVE, Status.GROWN, "p/d", part="node-1"),
        make(ItemKind.LIVE, Status.PRESENT, "p/e", part="node-0"),
        make(ItemKind.ANNOTATIONS, Status.REPLACED, "p/a"),
        make(ItemKind.ACCOUNTING, Status.SENT, "p/a"),
        make(ItemKind.SWEEP, Status.SENT, "p/s"),
        make(ItemKind.BLOB, Status.SENT, "p/0"),
        wire_bytes=500_000,
    )
    assert summarise(result, dry_run=False) == (
        "sent 2 runs, what 1 run grew by, notes on 1 run, the accounting of 1 run, 1 sweep and"
        " 1 blob (1.9 MiB in 1.5 s, 488 KiB on the line); 1 run already there"
    )
    assert list(iter_projects(result)) == []


def test_several_projects_are_told_one_by_one() -> None:
    result = push_of(
        make(ItemKind.RUN, Status.SENT, "p/a"),
        make(ItemKind.LIVE, Status.GROWN, "q/b"),
        make(ItemKind.RUN, Status.PRESENT, "r/c"),
    )
    assert list(iter_projects(result)) == ["p: 1 run", "q: what 1 run grew by"]
    many = push_of(*(make(ItemKind.RUN, Status.SENT, f"p{n:03d}/a") for n in range(30)))
    assert list(iter_projects(many))[-1] == "and 10 more projects"


def test_nothing_new_is_told_in_a_few_words() -> None:
    result = push_of(make(ItemKind.RUN, Status.PRESENT), wire_bytes=0)
    assert summarise(result, dry_run=False) == "nothing new; 1 run already there"
    assert summarise(push_of(), dry_run=True) == "would send 0 runs; 0 runs already there"


def test_what_would_be_sent_is_named() -> None:
    result = push_of(
        make(ItemKind.RUN, Status.WOULD_SEND, "p/a"),
        make(ItemKind.RUN, Status.WOULD_SEND, "p/b", reason=Skipped.TO_SEAL),
        make(ItemKind.LIVE, Status.WOULD_SEND, "p/c", part="node-0"),
    )
    assert list(iter_notes(result)) == [
        "p/a: would be sent",
        "p/b: would be sealed and sent",
        "new rows of p/c: would be sent",
    ]
    assert summarise(result, dry_run=True).startswith("would send 2 runs and what 1 run grew by;")


def test_what_is_not_well_has_a_code_of_its_own() -> None:
    raise_for(push_of(make(ItemKind.RUN, Status.SKIPPED, reason=Skipped.RUNNING)))
    raise_for(push_of(make(ItemKind.ACCOUNTING, Status.REFUSED, text="the disk is full")))
    refused = make(ItemKind.RUN, Status.REFUSED, reason="fewer-points", text="it has more")
    broken = make(ItemKind.RUN, Status.SKIPPED, "p/x", reason=Skipped.UNREADABLE, text="torn")
    with pytest.raises(StoreError, match="1 run could not be read"):
        raise_for(push_of(broken))
    with pytest.raises(RefusedError, match="login:22 refused 1 of 2: p/r: it has more"):
        raise_for(push_of(broken, refused))
    assert list(iter_notes(push_of(broken, refused))) == [
        "p/x: skipped: torn",
        "p/r: refused: it has more",
    ]


def test_all_that_was_refused_is_counted() -> None:
    refused = [
        make(kind, Status.REFUSED, reason="quota", text="it is used up")
        for kind in (ItemKind.RUN, ItemKind.BLOB, ItemKind.ANNOTATIONS)
    ]
    assert summarise(push_of(*refused), dry_run=False).endswith("; 3 refused")
