"""What is running now, and how the store is."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hpctrack.core.clock import SYSTEM_CLOCK
from hpctrack.errors import NotFoundError
from hpctrack_server.components.text import format_bytes
from hpctrack_server.data.frames import Pulse
from hpctrack_server.data.live.health import measure_folder, sum_up_pushes
from hpctrack_server.data.live.strip import HOLD_S, MISSING, _merge, sample_last
from hpctrack_server.data.reader import Reader
from hpctrack_server.data.watch import GONE, Watcher
from tests.unit.server.conftest import Live


def test_a_column_has_the_last_value_before_its_end() -> None:
    edges = np.array([0.0, 10.0, 20.0, 30.0])
    found = sample_last(np.array([5.0, 12.0, 19.0]), np.array([0.1, 0.2, 0.9]), edges)
    assert found.tolist() == [0.1, 0.9, 0.9]


def test_a_value_does_not_hold_when_nobody_was_reading() -> None:
    edges = np.linspace(0, 10 * HOLD_S, 11)
    found = sample_last(np.array([HOLD_S / 2]), np.array([0.5]), edges)
    assert found[0] == 0.5
    assert np.isnan(found[3:]).all()
    assert np.isnan(sample_last(np.zeros(0), np.zeros(0), edges)).all()


def test_many_devices_share_rows_and_the_idle_one_is_seen() -> None:
    values = np.ones((200, 3))
    values[137] = 0.0
    values[5, 1] = np.nan
    cells, labels = _merge(values, [f"gpu {one}" for one in range(200)])
    assert len(cells) == len(labels) <= 64
    assert (cells.min(axis=0) == 0).all()
    assert labels[0] == "gpu 0 and 3 more, the least busy"
    assert _merge(values[:197], [f"gpu {one}" for one in range(197)])[1][-1] == "gpu 196"
    alone, _ = _merge(np.array([[np.nan, 0.5, 2.0]]), ["one"])
    assert alone.tolist() == [[MISSING, 125, 250]]


def test_pushes_are_summed_up_by_who_and_where() -> None:
    event = {"user": "ana", "address": "10.1.1.1", "project": "digits", "wall_s": 5.0, "bytes": 10}
    other = {"wall_s": 9.0, "action": "refused", "bytes": "nonsense"}
    found = sum_up_pushes([event, {**event, "wall_s": 7.0}, other])
    assert [one.last_wall_s for one in found] == [9.0, 7.0]
    assert (found[0].items, found[0].refused, found[0].project) == (0, 1, "")
    assert (found[1].items, found[1].size_bytes, found[1].user) == (2, 20, "ana")


def test_folders_are_measured_without_following_links(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_bytes(b"x" * 1000)
    (tmp_path / "a" / "link").symlink_to("/usr")
    size, is_measured = measure_folder(tmp_path, SYSTEM_CLOCK, SYSTEM_CLOCK.mono_s() + 60)
    assert 1000 <= size < 2000
    assert is_measured
    assert measure_folder(tmp_path, SYSTEM_CLOCK, 0.0)[1] is False


def test_sizes_are_written_as_schedulers_and_df_count() -> None:
    sizes = [0, 1023, 1024, 102_380, 1_500_000, 8 * 2**30, 2.5 * 2**50]
    assert [format_bytes(one) for one in sizes] == [
        "0 B", "1023 B", "1 KiB", "100 KiB", "1.4 MiB", "8 GiB", "2.5 PiB",
    ]  # fmt: skip


def test_running_runs_of_all_projects_are_listed(dashboard: Live) -> None:
    page = dashboard.get("/live")
    assert page.status == 200
    assert "still going" in page.text
    assert 'data-run="live"' in page.text
    assert 'data-run="sealed"' not in page.text
    assert "still going" not in dashboard.get("/live?user=nobody-of-that-name").text


def test_a_strip_without_telemetry_is_empty_and_nonsense_is_refused(dashboard: Live) -> None:
    answer = dashboard.get("/api/v1/runs/p/live/strip?span=900")
    assert answer.status == 200
    size = struct.unpack("<I", answer.body[:4])[0]
    head = json.loads(answer.body[4 : 4 + size])
    assert head["labels"] == []
    for query in ("span=x", "width=0", "span=1e9", "width=nan"):
        assert dashboard.get(f"/api/v1/runs/p/live/strip?{query}").status == 400
    assert dashboard.get("/api/v1/runs/p/none/strip").status == 404


def test_health_says_that_the_store_is_not_there(
    tmp_path: Path, start_dashboard: Callable[..., Live]
) -> None:
    store = tmp_path / "store"
    store.mkdir()
    dashboard = start_dashboard(store)
    store.rmdir()
    page = dashboard.get("/health")
    assert (page.status, "Is its file system mounted?" in page.text) == (200, True)


def test_health_lists_what_cannot_be_read_and_why(dashboard: Live) -> None:
    page = dashboard.get("/health")
    assert page.status == 200
    assert "p/broken" in page.text
    assert "Nobody has pushed" in page.text


def test_who_began_to_watch_what_is_gone_at_the_first_look_is_told_once() -> None:
    there = {"back"}

    def pulse(project: str, _run: str | None) -> Pulse:
        if project not in there:
            raise NotFoundError("gone")
        return Pulse(version="1")

    async def watch() -> list[object]:
        reader = Reader("test")
        watcher = Watcher(pulse, reader, interval_s=60.0)
        told: list[object] = []
        with watcher.subscribe(("p", None)) as first, watcher.subscribe(("back", None)):
            for _ in range(2):
                await watcher.look()
                told.append(await first.next(0.01))
            with watcher.subscribe(("p", None)) as late:
                told.append(await late.next(0.01))
            there.add("p")
            await watcher.look()
            told.append(await first.next(0.01))
        reader.close()
        return told

    gone, nothing, late, back = asyncio.run(watch())
    assert (gone, nothing, late) == (GONE, None, GONE)
    assert back == {"version": "1", "state": None, "live": True, "changed": []}
