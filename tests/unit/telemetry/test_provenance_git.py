"""What is recorded of code: real repositories, real git, and what is left where git is missing."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from hpctrack.telemetry.provenance import git as module
from hpctrack.telemetry.provenance.child import Programs
from hpctrack.telemetry.provenance.files import decode, encode
from hpctrack.telemetry.provenance.git import cut_diff, is_tracked, parse_status, read_git
from hpctrack.telemetry.provenance.masking import Masker
from hpctrack.telemetry.provenance.repository import find_repository
from tests.repositories import GitFolder, make_repository


@pytest.fixture
def made(tmp_path: Path) -> GitFolder:
    return make_repository(tmp_path / "code", train__py="a = 1\nb = 2\n", other__txt="x\n")


def programs(**environ: str) -> Programs:
    return Programs(environ={**os.environ, **environ})


def read(folder: Path, **more: Any) -> tuple[dict[str, Any], dict[str, str]]:
    return read_git(str(folder), programs(), Masker(), **more)


def test_a_clean_tree_is_its_commit(made: GitFolder) -> None:
    facts, missing = read(made.top)
    assert facts == {
        "top": str(made.top), "commit": made.git("rev-parse", "HEAD"), "branch": "main",
        "remotes": {}, "dirty": False, "changed": [], "untracked": [], "untracked_count": 0,
    }  # fmt: skip
    assert not missing


def test_changes_come_back_when_the_diff_is_applied(made: GitFolder, tmp_path: Path) -> None:
    # Latin-1, CRLF, no newline at the end, a new staged file, one that is gone, odd names.
    made.write("latin.f90", b"! caf\xe9\r\nx = 1\r\n")
    made.write("naïve name.py", "1\n")
    made.commit()
    made.write("latin.f90", b"! caf\xe9\r\nx = 2\xff\r\n")
    made.write("train.py", "a = 1\nb = 3")
    made.write("naïve name.py", "2\n")
    made.write("sub/new.py", "new\n")
    made.git("add", "sub/new.py")
    (made.top / "other.txt").unlink()
    made.write("untracked.py", "u\n")
    made.write("data/a.bin", "u\n")
    facts, missing = read(made.top / "sub")
    assert facts["dirty"]
    assert sorted(facts["changed"]) == sorted(
        ["latin.f90", "train.py", "naïve name.py", "sub/new.py", "other.txt"]
    )
    assert facts["untracked"] == ["data/", "untracked.py"]
    assert not missing
    again = tmp_path / "again"
    subprocess.run(["git", "clone", "-q", str(made.top), str(again)], check=True)
    subprocess.run(
        ["git", "-C", str(again), "apply", "--whitespace=nowarn", "-"],
        input=encode(facts["diff"]), check=True,
    )  # fmt: skip
    for name in ("latin.f90", "train.py", "naïve name.py", "sub/new.py"):
        assert (again / name).read_bytes() == (made.top / name).read_bytes(), name
    assert not (again / "other.txt").exists()


def test_users_settings_of_git_do_not_change_the_diff(made: GitFolder) -> None:
    made.write("train.py", "a = 2\n")
    plain = read(made.top)[0]["diff"]
    for key, value in {
        "diff.noprefix": "true", "diff.mnemonicPrefix": "true", "color.ui": "always",
        "diff.external": "/bin/false", "core.fsmonitor": "/bin/false", "diff.renames": "copies",
        "status.showUntrackedFiles": "no", "core.pager": "false", "diff.context": "0",
        "status.relativePaths": "false", "diff.wordRegex": ".", "diff.submodule": "log",
    }.items():  # fmt: skip
        made.git("config", key, value)
    assert read(made.top)[0]["diff"] == plain


def test_credentials_in_remotes_are_left_out(made: GitFolder) -> None:
    made.git("remote", "add", "origin", "https://me:planted99@host/a.git")
    made.git("remote", "add", "other", "https://planted99token@host/a.git")
    made.git("remote", "add", "scp", "git@host:group/a.git")
    made.git("remote", "add", "query", "https://host/a.git?private_token=planted99")
    remotes = read(made.top)[0]["remotes"]
    assert remotes == {
        "origin": "https://***@host/a.git",
        "other": "https://***@host/a.git",
        "scp": "git@host:group/a.git",
        "query": "https://host/a.git?private_token=***",
    }


def test_secrets_in_changes_are_hidden_and_counted(made: GitFolder) -> None:
    made.write("train.py", 'a = 1\nAPI_TOKEN = "planted"\nb = 2\n')
    facts, _missing = read(made.top)
    assert "planted" not in facts["diff"]
    assert facts["diff_masked"] == 1


def test_a_large_change_leaves_room_for_the_others(made: GitFolder) -> None:
    made.write("big.csv", "x\n")
    made.commit()
    made.write("big.csv", "1,2,3\n" * 100_000)
    made.write("train.py", "a = 2\n")
    facts, missing = read(made.top)
    assert "+a = 2" in facts["diff"]
    assert facts["diff_left_out"] == ["big.csv"]
    assert len(encode(facts["diff"])) <= module.DIFF_MAX_BYTES
    assert "diff" in missing


def test_huge_changes_do_not_hide_small_ones(made: GitFolder) -> None:
    for number in range(4):
        made.write(f"big{number}.csv", "x\n")
    made.commit()
    for number in range(4):
        made.write(f"big{number}.csv", "1,2,3,4,5,6\n" * 200_000)
    made.write("train.py", "a = 2\n")
    facts, missing = read(made.top)
    assert sorted(facts["diff_left_out"]) == [f"big{one}.csv" for one in range(4)]
    assert "+a = 2" in facts["diff"]
    assert missing


@pytest.mark.slow
def test_a_diff_of_many_huge_changes_is_not_read_to_its_end(made: GitFolder) -> None:
    names = [f"big{number:02}.csv" for number in range(module.DIFF_TRIES + 2)]
    for name in names:
        made.write(name, "x\n")
    made.commit()
    for name in names:
        made.write(name, "1,2,3,4,5,6\n" * 400_000)
    made.write("train.py", "a = 2\n")
    facts, missing = read(made.top)
    assert sorted(facts["diff_left_out"]) == [*names, "train.py"]
    assert missing


def test_large_files_are_not_copied_into_the_repository(made: GitFolder, tmp_path: Path) -> None:
    """What ``git lfs install`` sets up stores a file's content whenever git looks at it."""
    store = tmp_path / "stored"
    made.git("config", "filter.lfs.clean", f"tee -a {store}")
    made.git("config", "filter.lfs.required", "true")
    made.write(".gitattributes", "*.bin filter=lfs diff=lfs\n")
    made.write("a.bin", b"\0one")
    made.commit()
    store.unlink()
    made.write("a.bin", b"\0two, longer")
    made.write("train.py", "a = 2\n")
    facts, _missing = read(made.top)
    assert facts["changed"] == ["a.bin", "train.py"]
    assert facts["diff_binary"] == ["a.bin"]
    assert "+a = 2" in facts["diff"]
    assert not store.exists()


def test_binary_changes_are_named(made: GitFolder) -> None:
    made.write("a.bin", b"\0\1\2")
    made.commit()
    made.write("a.bin", b"\0\1\3")
    facts, _missing = read(made.top)
    assert facts["diff_binary"] == ["a.bin"]


def test_many_untracked_files_are_counted(made: GitFolder) -> None:
    for number in range(700):
        made.write(f"u{number}", "")
    facts, _missing = read(made.top)
    assert facts["untracked_count"] == 700
    assert len(facts["untracked"]) == module.UNTRACKED_MAX


def test_a_repository_without_a_commit_has_none(tmp_path: Path) -> None:
    empty = GitFolder(tmp_path / "empty")
    empty.top.mkdir()
    empty.git("init", "-q", "-b", "main")
    empty.write("a.py", "1\n")
    empty.git("add", "a.py")
    facts, missing = read(empty.top)
    assert (facts["commit"], facts["branch"]) == ("", "main")
    assert facts["changed"] == ["a.py"]
    assert not missing


def test_worktrees_detached_heads_and_packed_references(made: GitFolder, tmp_path: Path) -> None:
    made.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "tree"))
    made.git("pack-refs", "--all")
    commit = made.git("rev-parse", "HEAD")
    tree = find_repository(str(tmp_path / "tree"))
    assert tree is not None
    assert tree.head() == ("side", commit)
    made.git("remote", "add", "origin", "https://host/a.git")
    assert tree.remotes(Masker()) == {"origin": "https://host/a.git"}
    made.git("checkout", "-q", "--detach")
    assert read(made.top)[0]["branch"] == ""
    found = find_repository(str(made.top))
    assert found is not None
    assert found.head() == ("", commit)


def test_submodules_know_their_own_history(made: GitFolder, tmp_path: Path) -> None:
    inner = make_repository(tmp_path / "inner", a__py="1\n")
    made.git(
        "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner.top), "sub"
    )
    made.commit()
    facts, _missing = read(made.top / "sub")
    assert facts["commit"] == inner.git("rev-parse", "HEAD")
    (made.top / "sub" / "a.py").write_text("2\n")
    assert not read(made.top)[0]["dirty"]  # it is told where it is: in the submodule
    assert read(made.top / "sub")[0]["dirty"]


def test_upstream_tells_what_was_not_pushed(made: GitFolder, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(made.top), str(clone)], check=True)
    other = GitFolder(clone)
    other.write("n.py", "1\n")
    other.commit()
    facts, _missing = read(clone)
    assert (facts["upstream"], facts["ahead"]) == ("origin/main", 1)


def test_without_git_commit_branch_and_remote_are_known(made: GitFolder, tmp_path: Path) -> None:
    made.git("remote", "add", "origin", "https://me:planted99@host/a.git")
    facts, missing = read_git(str(made.top), programs(PATH=str(tmp_path)), Masker())
    assert facts == {
        "top": str(made.top), "commit": made.git("rev-parse", "HEAD"), "branch": "main",
        "remotes": {"origin": "https://***@host/a.git"},
    }  # fmt: skip
    assert missing == {"git": "git is not installed"}


def test_a_git_that_does_not_answer_is_ended(made: GitFolder, tmp_path: Path) -> None:
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\nsleep 1000 & echo $! > $PIDS; wait\n")
    fake.chmod(0o755)
    pids = tmp_path / "pids"
    cancelled = False

    def is_cancelled() -> bool:
        return cancelled or pids.exists()

    environ = {**os.environ, "PATH": f"{fake.parent}:{os.environ['PATH']}", "PIDS": str(pids)}
    facts, missing = read_git(
        str(made.top), Programs(environ=environ, is_cancelled=is_cancelled), Masker()
    )
    assert facts["commit"] == made.git("rev-parse", "HEAD")
    assert "did not answer" in missing["git"]
    sleeper = Path(f"/proc/{pids.read_text().strip()}")
    deadline = time.monotonic() + 90
    while sleeper.exists() and "Z" not in (sleeper / "stat").read_text().split()[2]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_repository_of_somebody_else_is_told(made: GitFolder) -> None:
    # What git's own tests do: changing the owner takes root.
    stranger = programs(GIT_TEST_ASSUME_DIFFERENT_OWNER="1", HOME="/nonexistent")
    facts, missing = read_git(str(made.top), stranger, Masker())
    assert facts["commit"]
    assert "safe.directory" in missing["git"]


def test_a_damaged_repository_costs_what_is_damaged(made: GitFolder) -> None:
    (made.top / ".git" / "index").write_bytes(b"nonsense")
    facts, missing = read(made.top)
    assert facts["branch"] == "main"
    assert missing["git"].startswith("git failed with code 128")


def test_a_folder_in_no_repository_is_told(tmp_path: Path) -> None:
    facts, missing = read(tmp_path)
    assert facts == {}
    assert "in no git repository" in missing["git"]
    (tmp_path / ".git").mkdir()  # anybody may call a folder so
    assert read(tmp_path)[0] == {}


def test_in_a_rank_no_program_is_started(made: GitFolder) -> None:
    asked = Programs(environ=os.environ, may_start=False)
    facts, missing = read_git(str(made.top), asked, Masker())
    assert facts["commit"]
    assert missing == {"git": "git is not started from within a rank"}


def test_nothing_in_the_repository_is_changed(made: GitFolder) -> None:
    made.write("train.py", "a = 5\n")

    def look() -> dict[str, tuple[int, int]]:
        return {
            str(path): (path.stat().st_mtime_ns, path.stat().st_ino) for path in made.top.rglob("*")
        }

    before = look()
    read(made.top)
    assert look() == before


def test_files_are_tracked_or_not(made: GitFolder) -> None:
    made.write(".gitignore", "ignored.py\n")
    made.write("ignored.py", "1\n")
    made.write("new.py", "1\n")
    top = str(made.top)
    assert is_tracked(top, f"{top}/train.py", programs())
    assert not is_tracked(top, f"{top}/new.py", programs())
    assert not is_tracked(top, f"{top}/ignored.py", programs())


def test_status_with_names_that_try_to_look_like_lines() -> None:
    text = (
        "# branch.oid abc\0# branch.head main\0# branch.upstream o/m\0# branch.ab +2 -1\0"
        "1 .M N... 100644 100644 100644 a b with space.py\0"
        "2 R. N... 100644 100644 100644 a b R100 new.py\0old.py\0"
        "u UU N... 1 2 3 4 a b c both.py\0? # branch.oid evil\0? x\ny\0"
    )
    found = parse_status(text)
    assert (found.commit, found.branch, found.upstream, found.ahead) == ("abc", "main", "o/m", 2)
    assert found.changed == ["with space.py", "new.py", "old.py", "both.py"]
    assert found.untracked == ["# branch.oid evil", "x\ny"]


def test_a_cut_diff_has_whole_files() -> None:
    def part(name: str, size: int) -> str:
        head = f"diff --git a/{name} b/{name}\n--- a/{name}\n+++ b/{name}\n"
        return f"{head}@@ -1 +1 @@\n+{'x' * size}\n"

    text = part("a", 10) + part("b", 5000) + part("c", 10)
    assert cut_diff(text, 1000) == (part("a", 10) + part("c", 10), ["b"])
    assert cut_diff(text, 10_000, is_cut=True) == (part("a", 10) + part("b", 5000), ["c"])
    assert cut_diff("", 10) == ("", [])


def test_bytes_that_are_no_text_survive() -> None:
    data = bytes(range(1, 256)) + "é".encode()
    assert encode(decode(data)) == data
