"""What a run is, from what its files say. Pure: no file, no time but the one given."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hpctrack.store.events import Event, NodeEvents
from hpctrack.store.record import RunRecord, assemble
from hpctrack.store.schema import EventKind
from tests.stores import START_S, hello


def source(*events: Event, closed: bool = False, pulse_s: float = START_S) -> NodeEvents:
    return NodeEvents({"node": 0}, pulse_s, closed, list(events))


def event(kind: EventKind, value: dict[str, Any], *, rank: int = 0, session: int = 0) -> Event:
    return Event(kind, START_S, rank, session, json.dumps(value).encode())


def start(rank: int, session: int | None = None, **more: Any) -> Event:
    at = rank if session is None else session
    return event(EventKind.START, hello(rank, **more), rank=rank, session=at)


def end(rank: int, code: int | None = 0, session: int | None = None) -> Event:
    at = rank if session is None else session
    if code is None:
        return event(EventKind.LOST, {}, rank=rank, session=at)
    return event(EventKind.END, {"exit_code": code}, rank=rank, session=at)


def record(*sources: NodeEvents, now_s: float = START_S + 1) -> RunRecord:
    return assemble(sources, run="r", project="p", now_wall_s=now_s, stale_after_s=60)


@pytest.mark.parametrize(
    ("events", "closed", "age_s", "state", "ranks"),
    [
        ([start(0), start(1)], False, 1, "running", ["running", "running"]),
        ([start(0), start(1), end(0)], False, 1, "running", ["finished", "running"]),
        ([start(0), start(1), end(0), end(1)], True, 1, "finished", ["finished", "finished"]),
        ([start(0), start(1), end(0), end(1, 2)], True, 1, "failed", ["finished", "failed"]),
        ([start(0), start(1), end(0), end(1, None)], True, 1, "failed", ["finished", "lost"]),
        ([start(0), start(1), end(1, None)], False, 1, "failed", ["running", "lost"]),
        ([start(0), start(1)], False, 100, "crashed", ["lost", "lost"]),
        ([start(0), start(1)], True, 1, "crashed", ["lost", "lost"]),
        ([start(0), start(1), end(0)], False, 100, "failed", ["finished", "lost"]),
        ([start(0), start(1), end(0, None), end(1, None)], True, 1, "failed", ["lost", "lost"]),
    ],
)
def test_the_state_follows_from_what_was_seen(
    events: list[Event], closed: bool, age_s: float, state: str, ranks: list[str]
) -> None:
    found = record(source(*events, closed=closed), now_s=START_S + age_s)
    assert found.state == state
    assert [one.state for one in found.ranks] == ranks


def test_silent_nodes_beside_finished_ones_are_part_of_a_failure() -> None:
    found = record(
        source(start(0, size=2), end(0), closed=True),
        source(start(1, size=2), pulse_s=START_S),
        now_s=START_S + 100,
    )
    assert found.state == "failed"
    assert found.ranks[1].state == "lost"
    assert found.ranks[1].ended_wall_s == START_S


def test_a_process_that_changed_its_agent_is_one_rank_that_finished() -> None:
    found = record(source(start(0)), source(start(0), end(0), closed=True), now_s=START_S + 100)
    assert found.state == "finished"
    assert len(found.ranks) == 1


def test_a_wrapper_and_its_program_count_as_the_worst_of_both() -> None:
    found = record(
        source(
            start(0, session=0, pid=1),
            start(0, session=1, pid=2),
            end(0, None, session=1),
            end(0, 139, session=0),
            closed=True,
        )
    )
    assert found.state == "failed"
    assert len(found.ranks) == 1


def test_the_latest_attempt_speaks_for_the_run() -> None:
    found = record(
        source(start(0), end(0, None), closed=True),
        source(start(0, attempt=2, pid=5), end(0), closed=True),
    )
    assert found.state == "finished"
    assert found.attempts == 2
    assert found.created_wall_s == START_S


def test_rank_zero_has_the_last_word_on_config_and_name() -> None:
    found = record(
        source(
            start(0, size=2),
            start(1, size=2),
            event(EventKind.CONFIG, {"lr": 1}, rank=0, session=0),
            event(EventKind.META, {"name": "zero", "tags": ["a"]}, rank=0, session=0),
            event(EventKind.META, {"name": "one"}, rank=1, session=1),
            event(EventKind.SUMMARY, {"best": 1, "gone": 2}, rank=0, session=0),
            event(EventKind.SUMMARY, {"gone": None}, rank=0, session=0),
            event(EventKind.SUMMARY, {"best": 9, "other": 3}, rank=1, session=1),
        )
    )
    assert found.config == {"lr": 1}
    assert (found.name, found.tags) == ("zero", ("a",))
    assert found.summary == {"best": 1, "other": 3}


def test_losses_of_all_ranks_add_up_each_ranks_latest_counts() -> None:
    found = record(
        source(
            start(0, size=2),
            start(1, size=2),
            event(EventKind.LEDGER, {"dropped_points": 1, "refused": {"value": 1}}, session=0),
            event(EventKind.LEDGER, {"dropped_points": 5, "refused": {"value": 2}}, session=0),
            event(
                EventKind.LEDGER,
                {"dropped_points": 10, "refused": {"name": 1}},
                rank=1,
                session=1,
            ),
        )
    )
    assert found.ledger == {"dropped_points": 15, "refused": {"value": 2, "name": 1}}


def test_events_that_make_no_sense_do_no_harm() -> None:
    found = record(
        source(
            Event(EventKind.START, START_S, 0, 0, b"{"),
            Event(EventKind.CONFIG, START_S, 0, 0, b"[1, 2]"),
            Event(999, START_S, 0, 7, b"{}"),
            end(5, 0),
        )
    )
    assert found.config == {}
    assert len(found.ranks) == 1


def test_a_file_without_any_event_is_a_run_that_has_just_begun_or_died() -> None:
    assert record(source()).state == "running"
    assert record(source(), now_s=START_S + 100).state == "crashed"


def preempting(rank: int, session: int | None = None) -> Event:
    at = rank if session is None else session
    return event(EventKind.META, {"preempting": True}, rank=rank, session=at)


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([end(0, None), end(1, None)], "preempted"),
        ([end(0, 143), end(1, 0)], "preempted"),
        ([end(0, 0), end(1, 0)], "finished"),
        ([], "preempted"),
    ],
)
def test_a_run_that_said_it_is_preempted_has_neither_failed_nor_crashed(
    events: list[Event], state: str
) -> None:
    found = record(source(start(0), start(1), preempting(1), *events, closed=True))
    assert found.state == state


def test_a_preempted_run_runs_again_with_its_next_attempt() -> None:
    first = source(start(0), preempting(0), end(0, None), closed=True)
    assert record(first, source(start(0, attempt=2, pid=5))).state == "running"
    failed = source(start(0, attempt=2, pid=5), end(0, 1))
    assert record(first, failed).state == "failed"


def test_what_a_process_says_again_to_its_next_agent_counts_once() -> None:
    ledger = event(EventKind.LEDGER, {"dropped_points": 5, "refused": {"value": 2}})
    found = record(source(start(0), ledger), source(start(0), ledger, end(0)))
    assert found.ledger == {"dropped_points": 5, "refused": {"value": 2}}


def test_definitions_alerts_forks_and_devices_are_part_of_the_record() -> None:
    found = record(
        source(
            start(0, gpu="2,3"),
            event(EventKind.DEFINE, {"name": "val/*", "step_metric": "epoch"}),
            event(EventKind.DEFINE, {"name": "val/*", "summary": ["max"]}),
            event(EventKind.NOTE, {"code": "alert", "title": "t", "level": "info"}),
            event(EventKind.NOTE, {"code": "spill", "text": "x"}),
            event(EventKind.META, {"fork": {"run": "a", "step": 3}}),
            Event(EventKind.MEDIA, START_S, 0, 0, b"not JSON, and not looked at"),
        )
    )
    (definition,) = found.definitions
    assert (definition.step_metric, definition.summary) == ("epoch", ("max",))
    assert [one["title"] for one in found.alerts] == ["t"]
    assert found.fork == {"run": "a", "step": 3}
    assert found.ranks[0].gpu == "2,3"
    again = RunRecord.from_json(json.loads(json.dumps(found.to_json())))
    assert again == found


def test_a_record_of_a_newer_writer_can_be_read() -> None:
    value = record(source(start(0))).to_json()
    value["ranks"][0]["colour"] = 1
    value["colour"] = 2
    assert RunRecord.from_json(value) == record(source(start(0)))
