"""Asking a run to end."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpctrack.agents.stop import read_stop, remove_stop, write_stop
from hpctrack.errors import StoreError


def test_who_asked_and_why_is_told_to_that_attempt_only(tmp_path: Path) -> None:
    assert read_stop(tmp_path) is None
    write_stop(tmp_path, who="alice", why="NaN", attempt=2, wall_s=1.0)
    assert read_stop(tmp_path, 2) == {"who": "alice", "why": "NaN"}
    assert read_stop(tmp_path, 1) == {"who": "alice", "why": "NaN"}
    assert read_stop(tmp_path, 3) is None
    assert [path.name for path in tmp_path.glob("*stop*")] == ["stop.json"]
    assert remove_stop(tmp_path)
    assert not remove_stop(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"attempt": "x"}'])
def test_a_file_of_nonsense_is_no_surprise(text: str, tmp_path: Path) -> None:
    (tmp_path / "stop.json").write_text(text)
    assert read_stop(tmp_path) in (None, {"who": "", "why": ""})


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be written"):
        write_stop(tmp_path / "nowhere", who="", why="", attempt=1, wall_s=0.0)
