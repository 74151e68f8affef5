"""Files that ranks asked to keep, read by the agent."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpctrack.agents.saved_files import SavedFiles, read_code
from hpctrack.client.file_search import REQUEST_MAX_FILES, find_files, read_small
from hpctrack.client.saved_files import make_code_request, make_save_request, read_now
from hpctrack.errors import ProtocolError, StoreError, UsageError
from hpctrack.store.schema import Place


def bodies(works: list[tuple[Callable[[], Any], int]]) -> dict[str, bytes]:
    return {told["key"]: body for work, _size in works for told, _place, body in work()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The working folder, with some files."""
    (tmp_path / "out" / "deep").mkdir(parents=True)
    (tmp_path / "out" / "a.txt").write_text("a")
    (tmp_path / "out" / "deep" / "b.pt").write_bytes(b"bb")
    return tmp_path


def test_what_matches_is_read_at_once_and_named_from_the_base(folder: Path) -> None:
    saved = SavedFiles()
    works = saved.take(make_save_request("out/**", policy="now"), 0)
    assert bodies(works) == {"out/a.txt": b"a", "out/deep/b.pt": b"bb"}
    (told, place, _body), *_ = next(iter(works))[0]()
    assert (told["type"], told["format"], told["step"], place) == ("file", "txt", -1, Place.TEXT)
    assert bodies(SavedFiles().take(make_save_request("out", "out", "now"), 0)) == {
        "a.txt": b"a",
        "deep/b.pt": b"bb",
    }
    request = make_save_request(folder / "out" / "a.txt", policy="now")
    assert bodies(SavedFiles().take(request, 0)) == {"a.txt": b"a"}
    assert saved.problems == []


def test_files_of_the_end_are_read_then_and_live_ones_if_they_changed(folder: Path) -> None:
    saved = SavedFiles()
    assert saved.take(make_save_request("late.txt", policy="end"), 3) == []
    live = saved.take(make_save_request("out/*.txt", policy="live"), 3)
    assert list(bodies(live)) == ["out/a.txt"]
    assert saved.take_leave(4) == []
    (folder / "late.txt").write_text("there")
    (folder / "out" / "new.txt").write_text("n")
    assert bodies(saved.take_leave(3)) == {"late.txt": b"there", "out/new.txt": b"n"}
    assert saved.take_leave(3) == []


def test_a_live_file_that_was_written_again_is_read_again(folder: Path) -> None:
    saved = SavedFiles()
    bodies(saved.take(make_save_request("out/a.txt"), 0))
    (folder / "out" / "a.txt").write_text("changed")
    assert bodies(saved.take_leave(0)) == {"out/a.txt": b"changed"}


def test_what_a_rank_has_read_is_taken_once_and_read_again_when_it_changed(folder: Path) -> None:
    request = make_save_request("out/a.txt")
    found, _is_cut = find_files(request["path"], request["base"])
    (sent,) = read_now(request, found)
    saved = SavedFiles()
    work = saved.take_content(*sent)
    assert work is not None
    ((told, place, body),) = work()
    assert (told["key"], told["step"], place, body) == ("out/a.txt", -1, Place.TEXT, b"a")
    assert saved.take_content(*sent) is None
    (folder / "out" / "a.txt").write_text("changed")
    assert saved.take({**request, "matched": 1, "read": [str(found[0].path)]}, 0) == []
    assert bodies(saved.take_leave(0)) == {"out/a.txt": b"changed"}
    saved.take({**request, "matched": 1, "read": []}, 0)
    (folder / "out" / "a.txt").unlink()
    assert saved.take_leave(0) == []
    assert (saved.problems, saved.unmatched) == ([], 0)
    changes: tuple[dict[str, object], ...] = ({"key": 3}, {"mtime_ns": None}, {"meta": []})
    for change in changes:
        with pytest.raises(ProtocolError):
            saved.take_content({**sent[0], **change}, b"a")


def test_what_is_no_small_file_is_left_to_the_agent(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    assert read_small(folder / "pipe", 10) is None
    assert read_small(folder / "nowhere", 10) is None
    assert read_small(folder / "out" / "deep" / "b.pt", 1) is None
    assert read_small(folder / "out" / "deep" / "b.pt", 2) == b"bb"


def test_names_stay_inside_whatever_folder_they_are_unpacked_into(folder: Path) -> None:
    (folder / "\x1b[31m.txt").write_text("x")
    request = {"path": str(folder / "*.txt"), "base": "/elsewhere", "policy": "now"}
    (name,) = bodies(SavedFiles().take(request, 0))
    assert name == "\N{REPLACEMENT CHARACTER}[31m.txt"
    request = {"path": str(folder / "out/../out/a.txt"), "base": str(folder), "policy": "now"}
    assert list(bodies(SavedFiles().take(request, 0))) == ["out/out/a.txt"]


def test_what_cannot_be_kept_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = SavedFiles()
    os.mkfifo(folder / "out" / "pipe")
    assert saved.take(make_save_request("out/pipe", policy="now"), 0) == []
    assert saved.take(make_save_request("nothing*", policy="now"), 0) == []
    monkeypatch.setattr("hpctrack.agents.saved_files.FILE_MAX_BYTES", 1)
    assert list(bodies(saved.take(make_save_request("out/**", policy="now"), 0))) == ["out/a.txt"]
    (folder / "many").mkdir()
    for number in range(REQUEST_MAX_FILES + 1):
        (folder / "many" / str(number)).touch()
    assert len(saved.take(make_save_request("many/*", policy="now"), 0)) == REQUEST_MAX_FILES
    told = " ".join(saved.problems)
    for part in ("no file matches", "1 can be kept", "only the first 1000"):
        assert part in told


def test_a_file_that_grew_too_large_meanwhile_is_an_error_of_its_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (work, _size), *_ = SavedFiles().take(make_save_request("out/a.txt", policy="now"), 0)
    monkeypatch.setattr("hpctrack.agents.saved_files.FILE_MAX_BYTES", 0)
    with pytest.raises(StoreError, match="has grown"):
        list(work())


@pytest.mark.parametrize(
    ("arguments", "part"), [(("a", None, "later"), "policy"), (("",), "cannot save")]
)
def test_mistakes_are_named(arguments: tuple[Any, ...], part: str) -> None:
    with pytest.raises(UsageError, match=part):
        make_save_request(*arguments)


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A program's folder, with what is not its code."""
    root = tmp_path / "code"
    for name in ("train.py", "lib/net.py", ".venv/x.py", "env/lib/y.py", "__pycache__/z.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "env" / "pyvenv.cfg").touch()
    (root / "data.csv").write_text("1")
    (root / "secret.py").write_text("s")
    return root


def code_names(request: dict[str, Any]) -> list[str]:
    return sorted(told["key"] for told, _place, _body in read_code(request))


def test_code_is_what_is_not_hidden_nor_somebody_elses(code: Path) -> None:
    assert code_names(make_code_request(code)) == ["lib/net.py", "secret.py", "train.py"]
    assert code_names(make_code_request(code / "lib", "mine")) == ["mine/net.py"]


def test_code_that_git_ignores_is_left_out(code: Path) -> None:
    subprocess.run(["git", "init", "-q", str(code)], check=True, capture_output=True)
    (code / ".gitignore").write_text("secret.py\nenv/\n__pycache__/\n")
    assert code_names(make_code_request(code)) == ["lib/net.py", "train.py"]
    with_all = make_code_request(code, include_fn=lambda path: path.endswith((".py", ".csv")))
    assert code_names(with_all) == ["data.csv", "lib/net.py", "train.py"]


def test_a_program_may_choose_its_code(code: Path) -> None:
    request = make_code_request(
        code,
        include_fn=lambda path, root: os.path.relpath(path, root).endswith((".py", ".csv")),
        exclude_fn=lambda path: "lib" in path,
    )
    assert request["files"] == ["data.csv", "secret.py", "train.py"]
    assert code_names(request) == ["data.csv", "secret.py", "train.py"]


def test_no_code_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no code was found"):
        read_code(make_code_request(tmp_path))
    (work, size), *_ = SavedFiles().take(make_code_request(tmp_path), 0)
    assert size > 0
    with pytest.raises(StoreError):
        work()
