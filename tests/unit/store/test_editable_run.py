"""What people say of a run afterwards, as readers see it, and as W&B's users write it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import hpctrack
from hpctrack.agents.past import read_past
from hpctrack.core.layout import SERVER_FOLDER
from hpctrack.errors import NotFoundError, UsageError
from hpctrack.store.annotation_file import edit_annotations, read_annotations
from hpctrack.store.index import Index
from hpctrack.store.run_tail import RunTail
from hpctrack.store.schema import EventKind
from hpctrack.store.seal import seal_run
from hpctrack.store.sealed_file import SealedReader
from tests.stores import FakeClock, NodeWriter, write_run


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sealed run, and one whose job gave it tags, notes, and a rule's mark."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("USER", "ann")
    path = tmp_path / "store"
    seal_run(write_run(path, run="sealed"))
    writer = NodeWriter(path, run="live")
    writer.start(0)
    writer.event(EventKind.META, {"name": "job's", "tags": ["a", "b"], "notes": "said"})
    writer.event(EventKind.NOTE, {"code": "rule", "rule": "nan", "mark": True, "text": "x"})
    writer.points("loss", 0, range(3), [1.0, 2.0, 3.0])
    writer.close()
    return path


def test_a_run_is_edited_as_in_wandb(store: Path) -> None:
    run = hpctrack.Api(dir=store).run("p/live")
    assert run.tags == ("a", "b", "rule:nan")
    run.name = "mine"
    run.tags.append("x")
    run.notes = "n"
    run.tags.remove("a")
    assert hpctrack.Store(store).run("live").name == "job's"
    run.update()
    again = hpctrack.Store(store)
    for one in (run, again.run("live"), again.runs({"tags": "x"})[0]):
        assert (one.name, one.notes, one.tags) == ("mine", "n", ["b", "rule:nan", "x"])
        assert (one.record.name, one.record.tags) == ("mine", ("b", "rule:nan", "x"))
        assert one.told.notes == one.brief.notes == "n"
    assert run.annotations.entries["name"].by == "ann"


def test_a_list_of_tags_replaces_all_and_a_text_is_one_tag(store: Path) -> None:
    run = hpctrack.Store(store).run("live")
    run.tags = ["b", "z", "b", "c"]
    run.update()
    assert hpctrack.Store(store).run("live").tags == ["b", "z", "c"]
    run.tags += "one"
    run.tags = run.tags + ("two",)  # noqa: RUF005 - as programs do it
    run.update()
    assert hpctrack.Store(store).run("live").tags == ["b", "z", "c", "one", "two"]
    run.tags = "alone"
    run.update()
    assert run.tags == ["alone"]


def test_tags_compare_and_add_as_tuples_did(store: Path) -> None:
    tags = hpctrack.Store(store).run("live").tags
    assert tags == ("a", "b", "rule:nan")
    assert tags == ("a", "b", "rule:nan")
    assert tags != ("a",)
    assert tags != "a"
    more = tags + ("c",)  # noqa: RUF005 - as programs do it
    assert more == ["a", "b", "rule:nan", "c"]
    assert isinstance(tags, list)
    assert json.dumps(tags) == '["a", "b", "rule:nan"]'


def test_only_what_was_changed_is_said(store: Path) -> None:
    mine, yours = (hpctrack.Store(store).run("live") for _one in range(2))
    assert mine.tags == yours.tags
    mine.tags.append("mine")
    yours.tags.append("yours")
    mine.update()
    yours.update()
    assert set(hpctrack.Store(store).run("live").tags) == {"a", "b", "rule:nan", "mine", "yours"}
    yours.update()
    assert read_annotations(store, "p", "live").entries.keys() == {"tag:mine", "tag:yours"}


def test_a_refresh_keeps_what_was_set_and_shows_what_others_have_saved(store: Path) -> None:
    run = hpctrack.Store(store).run("live")
    tags = run.tags
    hpctrack_edit(store, "live", name="theirs", add_tags=["t"])
    assert run.name == "job's"
    run.refresh()
    assert (run.name, run.tags[-1]) == ("theirs", "t")
    run.notes = "mine"
    run.tags.append("u")
    run.refresh()
    assert (run.notes, run.tags[-1]) == ("mine", "u")
    assert tags == ("a", "b", "rule:nan")


def hpctrack_edit(store: Path, run: str, **said: object) -> None:
    edit_annotations(store, "p", run, by="bob", **said)  # type: ignore[arg-type]


def test_an_empty_name_gives_back_the_jobs_and_empty_notes_are_none(store: Path) -> None:
    hpctrack_edit(store, "live", name="x", notes="")
    run = hpctrack.Store(store).run("live")
    assert (run.name, run.notes) == ("x", "")
    run.name = ""
    assert run.name == "job's"
    run.update()
    assert hpctrack.Store(store).run("live").name == "job's"


def test_a_run_is_found_and_ordered_by_its_new_name_also_by_the_index(store: Path) -> None:
    for _time in range(2):
        hpctrack.Store(store).runs()
    assert {run for _project, run in Index(store).load()} == {"sealed"}
    hpctrack_edit(store, "sealed", name="a new name", add_tags=["paper"])
    found = hpctrack.Store(store).run("a new name")
    assert (found.id, found.is_listed) == ("sealed", True)
    assert [run.id for run in hpctrack.Store(store).runs(order="name")] == ["sealed", "live"]
    assert [run.id for run in hpctrack.Store(store).runs({"tags": "paper"})] == ["sealed"]
    with pytest.raises(NotFoundError):
        hpctrack.Store(store).run("calm-lake-1")
    # The index keeps what the job has said: an edit that is taken back needs no new reading.
    hpctrack_edit(store, "sealed", name="", remove_tags=["paper"])
    again = hpctrack.Store(store).run("calm-lake-1")
    assert (again.is_listed, again.tags) == (True, [])


def test_sealing_keeps_what_the_job_has_said_and_the_edit_stays(store: Path) -> None:
    hpctrack_edit(store, "live", name="mine", remove_tags=["rule:nan"], add_tags=["x"])
    seal_run(store / "p" / "live", force=True)
    record = SealedReader(store / "p" / "live" / "run.h5").read_record()
    assert (record.name, record.tags) == ("job's", ("a", "b", "rule:nan"))
    found = hpctrack.Store(store).run("live")
    assert (found.name, found.tags) == ("mine", ["a", "b", "x"])


def test_a_resumed_run_knows_its_edited_name(store: Path) -> None:
    hpctrack_edit(store, "live", name="mine", add_tags=["x"])
    past = read_past(store / "p" / "live", 2, clock=FakeClock().clock())
    assert (past.name, past.tags) == ("mine", ("a", "b", "rule:nan", "x"))


def test_whoever_watches_a_run_sees_an_edit_at_the_next_look(store: Path) -> None:
    tail = RunTail(store / "p" / "live")
    list(tail.visit())
    assert tail.record.name == "job's"
    hpctrack_edit(store, "live", name="mine")
    list(tail.visit())
    assert tail.record.name == "mine"
    tail.close()


def test_a_refused_edit_leaves_everything_as_it_was(store: Path) -> None:
    run = hpctrack.Store(store).run("live")
    run.tags.append("x" * 300)
    with pytest.raises(UsageError, match="300 characters"):
        run.update()
    run.tags[-1] = "short"
    run.update()
    assert hpctrack.Store(store).run("live").tags[-1] == "short"


def test_in_a_servers_store_edits_are_the_servers(store: Path) -> None:
    (store / SERVER_FOLDER).mkdir()
    run = hpctrack.Store(store).run("sealed")
    run.name = "ours"
    run.update()
    assert run.annotations.entries["name"].is_server


# -- Api -------------------------------------------------------------------------------------------


def test_paths_of_wandb_name_runs_and_projects(store: Path) -> None:
    api = hpctrack.Api(dir=store)
    for path in ("p/live", "me/p/live", "/me/p/runs/live", "live"):
        assert api.run(path).id == "live"
    assert [run.id for run in api.runs("me/p", filters={"tags": "a"})] == ["live"]
    assert [run.id for run in api.runs("p", order="-name")] == ["live", "sealed"]
    assert len(api.runs()) == 2
    assert api.projects() == ["p"]
    with pytest.raises(UsageError):
        api.run("a/b/c/d")
    with pytest.raises(NotFoundError):
        api.runs("nope")
