"""Reading media back: live, sealed, damaged, superseded; and the command that shows them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import hpctrack
from hpctrack.cli import main as cli
from hpctrack.cli.media_cmd import plan_path
from hpctrack.errors import StoreError, StoreFormatError, UsageError
from hpctrack.store.media import MediaItem
from hpctrack.store.payloads import PIECE_BYTES, Payloads
from hpctrack.store.schema import EventKind, Place
from hpctrack.store.seal import seal_run
from hpctrack.store.stored_run import StoredRun
from tests.media_writing import write_media
from tests.stores import NodeWriter

PIXELS = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)


def write_all(store: Path) -> Path:
    """Write a finished run with one of everything; return its folder."""
    writer = NodeWriter(store)
    session = writer.start(0)
    masks = {"truth": {"mask_data": np.eye(4, dtype=int), "class_labels": {1: "cat"}}}
    write_media(writer, hpctrack.Image(PIXELS, caption="c", masks=masks), "val/image", 1)
    write_media(writer, [hpctrack.Image(PIXELS), hpctrack.Image(PIXELS[:2])], "list", 1)
    write_media(writer, hpctrack.Audio([0.0, 0.5], 8000), "sound", 2, rank=1)
    write_media(writer, hpctrack.Histogram([1.0, 2.0, 2.0], num_bins=2), "histogram", 2)
    write_media(writer, hpctrack.Object3D([[1, 2, 3, 4], [5, 6, 7, 8]]), "points", 2)
    write_media(writer, hpctrack.Text("hello"), "text", 3)
    table = hpctrack.Table(columns=["n", "picture"], log_mode="INCREMENTAL")
    for n in range(3):
        table.add_data(n, hpctrack.Image(PIXELS[: n + 1]))
        write_media(writer, table, "table", n)
    frame = hpctrack.Table(columns=["x", "y"], data=[[1, 2], [3, 4]])
    write_media(writer, hpctrack.plot.line(frame, "x", "y", title="t"), "plot", 4)
    writer.end(0, session)
    return writer.close().parent


@pytest.fixture(params=["live", "sealed"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StoredRun]:
    folder = write_all(tmp_path / "store")
    if request.param == "sealed":
        seal_run(folder)
    found = StoredRun(folder)
    yield found
    found.close()


def only(run: StoredRun, key: str) -> MediaItem:
    (item,) = run.media(key)
    return item


def test_everything_that_was_logged_is_listed(run: StoredRun) -> None:
    found = [(item.key, item.type, item.step, item.rank) for item in run.media()]
    assert found == [
        ("histogram", "histogram", 2, 0),
        ("list", "image", 1, 0),
        ("list", "image", 1, 0),
        ("plot", "plot", 4, 0),
        ("points", "object3d", 2, 0),
        ("sound", "audio", 2, 1),
        ("table", "table", 0, 0),
        ("table", "table", 1, 0),
        ("table", "table", 2, 0),
        ("text", "text", 3, 0),
        ("val/image", "image", 1, 0),
    ]
    assert [item.key for item in run.media("val/*")] == ["val/image"]
    assert len(run.media(type="image")) == 3
    assert [item.key for item in run.media(rank=1)] == ["sound"]
    assert len(run.media(step=2)) == 4


def test_a_picture_comes_back_with_its_mask(run: StoredRun) -> None:
    item = only(run, "val/image")
    np.testing.assert_array_equal(item.to_array(), PIXELS)
    assert item.caption == "c"
    assert item.masks() == ["truth"]
    np.testing.assert_array_equal(item.mask("truth"), np.eye(4))
    assert item.overlays()["masks"]["truth"]["class_labels"] == {"1": "cat"}


def test_an_incremental_table_is_joined(run: StoredRun) -> None:
    first, second, third = run.media("table")
    assert [len(item.to_table()) for item in (first, second, third)] == [1, 2, 3]
    table = third.to_table()
    assert (table.columns, table.types, table.missing_rows) == (
        ["n", "picture"],
        ["number", "media"],
        0,
    )
    assert table.column("n") == [0, 1, 2]
    np.testing.assert_array_equal(table.column("picture")[2].to_array(), PIXELS[:3])
    assert third.to_pandas()["n"].sum() == 3


def test_odd_numbers_of_any_column_come_back_and_texts_stay_texts(tmp_path: Path) -> None:
    rows = [["x", [math.nan]], [math.inf, {"a": -math.inf}], [1, "NaN"], ["NaN", None]]
    writer = NodeWriter(tmp_path)
    write_media(writer, hpctrack.Table(columns=["a", "b"], data=rows), "t")
    run = StoredRun(writer.close().parent)
    found = only(run, "t").to_table().rows
    assert repr(found) == repr(rows)
    run.close()


def test_histograms_points_and_plots_come_back(run: StoredRun) -> None:
    counts, edges = only(run, "histogram").to_histogram()
    assert (counts.tolist(), edges.tolist()) == ([1, 2], [1.0, 1.5, 2.0])
    assert only(run, "points").to_array().tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert only(run, "plot").to_json()["series"][0]["x"] == [1, 3]
    assert only(run, "text").read() == b"hello"


def test_what_it_is_not_is_said(run: StoredRun) -> None:
    item = only(run, "text")
    for method in (item.to_array, item.to_histogram, item.to_table, item.to_json):
        with pytest.raises(UsageError, match="of type text"):
            method()


def test_a_file_is_saved_whole(run: StoredRun, tmp_path: Path) -> None:
    path = only(run, "val/image").save(tmp_path / "x.png")
    assert path.read_bytes() == only(run, "val/image").read()
    with pytest.raises(StoreError, match="cannot be written"):
        only(run, "text").save(tmp_path / "no" / "x")
    assert sorted(one.name for one in tmp_path.iterdir() if one.is_file()) == ["x.png"]


# -- what goes wrong -----------------------------------------------------------------------------


def test_equal_bytes_of_two_nodes_are_found_in_either(tmp_path: Path) -> None:
    for node in range(2):
        writer = NodeWriter(tmp_path, node=node)
        write_media(writer, hpctrack.Text("same"), "t", 0, rank=node)
        writer.close()
    run = StoredRun(tmp_path / "p" / "r")
    assert [item.read() for item in run.media("t")] == [b"same", b"same"]
    run.close()


def test_a_payload_that_never_came_costs_its_own_item(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path)
    write_media(writer, hpctrack.Text("good"), "a")
    described = {"key": "b", "step": 0, "type": "text", "format": "txt", "digest": "0" * 64}
    writer.event(EventKind.MEDIA, described)
    writer.event(EventKind.MEDIA, {"key": 3})
    writer.event(EventKind.PAYLOAD, {"digest": "1" * 64, "place": 9, "offset": -1, "size": "x"})
    run = StoredRun(writer.close().parent)
    good, bad = run.media()
    assert good.read() == b"good"
    with pytest.raises(StoreFormatError, match="not in the run's files"):
        bad.read()
    run.close()


def test_damaged_bytes_are_never_returned(tmp_path: Path) -> None:
    class Reader:
        """A file whose bytes have changed."""

        def read_bytes(self, place: Place, offset: int, size: int) -> bytes:
            del place, offset
            return bytes(size)

    writer = NodeWriter(tmp_path)
    write_media(writer, hpctrack.Text("good"), "a")
    run = StoredRun(writer.close().parent)
    (source,) = run.sources()
    digest = only(run, "a").digest
    payloads = Payloads([(source, Reader())])
    with pytest.raises(StoreFormatError, match="damaged"):
        payloads.read(digest)
    run.close()


def test_large_bytes_are_copied_in_pieces(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path)
    sound = np.random.default_rng(0).integers(-9999, 9999, PIECE_BYTES // 2 + 9, dtype=np.int16)
    write_media(writer, hpctrack.Audio(sound, 8000), "a")
    run = StoredRun(writer.close().parent)
    item = only(run, "a")
    assert item.size > PIECE_BYTES
    assert item.save(tmp_path / "a.wav").read_bytes() == item.read()
    run.close()


def test_a_requeue_supersedes_media_as_it_does_points(tmp_path: Path) -> None:
    for attempt, steps in ((1, range(5)), (2, range(3, 6))):
        writer = NodeWriter(tmp_path, attempt=attempt)
        for step in steps:
            write_media(writer, hpctrack.Text(f"{attempt}"), "t", step)
        writer.close()
    run = StoredRun(tmp_path / "p" / "r")
    assert [(item.step, item.attempt) for item in run.media("t")] == [
        (0, 1), (1, 1), (2, 1), (3, 2), (4, 2), (5, 2),
    ]  # fmt: skip
    run.close()


def test_a_late_step_of_a_later_attempt_replaces_that_medium_only(tmp_path: Path) -> None:
    for attempt, steps in ((1, range(5)), (2, (5, 2))):
        writer = NodeWriter(tmp_path, attempt=attempt)
        for step in steps:
            write_media(writer, hpctrack.Text(f"{attempt}"), "t", step)
        writer.close()
    run = StoredRun(tmp_path / "p" / "r")
    assert [(item.step, item.attempt) for item in run.media("t")] == [
        (0, 1), (1, 1), (2, 2), (3, 1), (4, 1), (5, 2),
    ]  # fmt: skip
    run.close()


def test_what_a_rank_says_twice_to_two_agents_is_one(tmp_path: Path) -> None:
    for _agent in range(2):
        writer = NodeWriter(tmp_path)
        write_media(writer, hpctrack.Text("x"), "t", 1, n=7)
        writer.close()
    run = StoredRun(tmp_path / "p" / "r")
    assert len(run.media("t")) == 1
    run.close()


def test_lost_increments_are_counted(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path)
    table = hpctrack.Table(columns=["a"], log_mode="INCREMENTAL")
    for n in range(3):
        table.add_data(n)
        if n == 1:
            table.piece("\nt")  # sent, and lost on its way
        else:
            write_media(writer, table, "t", n)
    run = StoredRun(writer.close().parent)
    found = run.media("t")[-1].to_table()
    assert (found.column("a"), found.missing_rows) == ([0, 2], 1)
    run.close()


# -- the command ---------------------------------------------------------------------------------


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.run(["media", *arguments])
    found = capsys.readouterr()
    return code, found.out, found.err


def test_the_command_lists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_all(tmp_path / "store")
    code, out, _err = call(capsys, "r")
    assert code == 0
    assert "val/image" in out
    assert "4x4, c" in out
    _code, out, _err = call(capsys, "r", "--json", "--type", "audio")
    (entry,) = json.loads(out)["media"]
    assert (entry["key"], entry["rank"], entry["file"]) == ("sound", 1, "sound/00000002-r1.wav")
    assert call(capsys, "r", "--key", "nothing")[1] == "no media\n"


def test_the_command_exports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_all(tmp_path / "store")
    code, out, _err = call(capsys, "r", "--export", str(tmp_path / "out"))
    assert code == 0
    assert out == f"wrote 11 files to {tmp_path / 'out'}\n"
    found = sorted(
        str(path.relative_to(tmp_path / "out"))
        for path in (tmp_path / "out").rglob("*")
        if path.is_file()
    )
    assert found == [
        "histogram/00000002-r0.json",
        "list/00000001-r0-0000.png",
        "list/00000001-r0-0001.png",
        "plot/00000004-r0.plot.json",
        "points/00000002-r0.points",
        "sound/00000002-r1.wav",
        "table/00000000-r0.json",
        "table/00000001-r0.json",
        "table/00000002-r0.json",
        "text/00000003-r0.txt",
        "val/image/00000001-r0.png",
    ]


@pytest.mark.parametrize(
    "key",
    [
        "../../etc/passwd",
        "/etc/passwd",
        "a/../../b",
        "..",
        ".hidden",
        "-rf",
        "a\\b:c*?|<>\"'",
        "a\x00b\nc",
        "x" * 500,
        "",
        "///",
        "損失/😀" * 20,
        "a/00000000-r0.txt",
        "\u202egnp.exe",
        "~/x",
        "$HOME",
    ],
    ids=[str(n) for n in range(16)],
)
def test_no_key_leads_out_of_the_folder(key: str, tmp_path: Path) -> None:
    item = MediaItem(
        key=key, step=0, rank=0, attempt=1, wall_s=0.0, type="text", format="../../x", digest="",
        size=0, meta={}, payloads=Payloads([]),
    )  # fmt: skip
    path = plan_path(item)
    assert not path.is_absolute()
    assert ".." not in path.parts
    assert path.name == "00000000-r0.bin"
    assert all(len(part.encode()) <= 255 and part.isprintable() for part in path.parts)
    assert not any(part.startswith((".", "-", "~")) for part in path.parts)
    target = (tmp_path / path).resolve()
    assert target.is_relative_to(tmp_path)
    assert plan_path(item) != Path("a", "00000000-r0.txt", "00000000-r0.bin")


def test_the_same_place_logged_twice_is_two_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = NodeWriter(tmp_path / "store")
    session = writer.start(0)
    for text in ("one", "two"):
        write_media(writer, hpctrack.Text(text), "t", 1)
    writer.end(0, session)
    writer.close()
    call(capsys, "r", "--export", str(tmp_path / "out"))
    names = sorted(path.name for path in (tmp_path / "out" / "t").iterdir())
    assert names == ["00000001-r0-2.txt", "00000001-r0.txt"]


def test_what_cannot_be_exported_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_all(tmp_path / "store")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "text").write_text("in the way")
    code, out, err = call(capsys, "r", "--export", str(tmp_path / "out"))
    assert code == 4
    assert "wrote 10 files" in out
    assert "not written: text/00000003-r0.txt: File exists" in err
