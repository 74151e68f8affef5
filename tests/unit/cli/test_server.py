"""``hpctrack server`` and its subcommands, as administrators type them."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hpctrack.store.seal import seal_run
from hpctrack.sync.upkeep.audit import Action, Actor, AuditEvent, AuditLog
from tests.commands import Capture, call
from tests.programs import ROOT
from tests.stores import write_run

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA6ceQIdZJv6dcNuNzAXJIUPgGSVuyUWhvLLwsDk9Fw3 me@there"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The default store, which has received a run, and a refusal."""
    path = tmp_path / "store"
    seal_run(write_run(path, run="one", project="digits"))
    AuditLog(path, Actor("ana", "10.0.0.7")).append(
        [
            AuditEvent(Action.PUBLISHED, "digits", "run", "one", 12_345, "ab" * 32),
            AuditEvent(Action.REFUSED, "other", "run", "x\x1b[2Jy", code="live"),
        ]
    )
    return path


def call_json(capsys: Capture, *arguments: str, code: int = 0) -> object:
    found, out, err = call(capsys, "server", *arguments, "--json")
    assert found == code, err
    return json.loads(out)


def test_without_a_subcommand_the_dashboard_is_meant(tmp_path: Path, capsys: Capture) -> None:
    for words in ([], ["serve"]):
        code, _out, err = call(capsys, "server", *words, "--store", str(tmp_path / "none"))
        assert code == 3
        assert "no store" in err
    code, _out, err = call(capsys, "server", "--nonsense")
    assert code == 2
    assert "--nonsense" in err
    assert call(capsys, "server", "nonsense")[0] == 2


def test_help_tells_of_the_dashboard_and_of_the_rest(capsys: Capture) -> None:
    _code, out, _err = call(capsys, "server", "--help")
    for name in ("serve", "keys", "quota", "audit", "gc", "verify", "reindex", "backup"):
        assert f"\n  {name} " in out
    assert "--unix" in out


WITHOUT_BOKEH = """
import sys
for name in ("bokeh", "tornado"):
    sys.modules[name] = None  # as if it were not installed
from hpctrack.cli.main import run
code = run(sys.argv[1:])
print("code", code)
"""


@pytest.mark.parametrize(
    ("words", "code"), [(["--help"], 0), (["gc"], 0), (["keys", "list"], 0), (["--port", "0"], 12)]
)
def test_only_the_dashboard_needs_bokeh(store: Path, words: list[str], code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_BOKEH, "server", *words],
        cwd=store.parent,
        env={**os.environ, "HPCTRACK_DIR": str(store), "PYTHONPATH": f"{ROOT}:{ROOT / 'server'}"},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.stdout.endswith(f"code {code}\n"), done.stderr
    if code:
        assert "pip install 'hpctrack[server]'" in done.stderr


def test_keys_are_added_listed_and_revoked(
    store: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = str(tmp_path / "keys")
    there = ("--file", file)
    monkeypatch.setattr(sys, "stdin", io.StringIO(KEY))
    code, out, err = call(
        capsys, "server", "keys", "add", "-", "--user", "ana", "--project", "digits",
        "--quota", "50GB", "--expires", "2099-01-31T18:30", *there,
    )  # fmt: skip
    assert code == 0, err
    assert "added SHA256:MzAn" in out
    assert f"--store {store} --project digits --user ana --quota 50000000000" in out
    assert 'expiry-time="20990131183000"' in out
    words = ("keys", "add", KEY, "--user", "ana", "--all-projects", "--from", "10.0.0.0/8")
    assert call_json(capsys, *words, *there)["replaced"]  # type: ignore[index]
    code, out, _err = call(capsys, "server", "keys", "list", *there)
    assert [one for one in out.splitlines() if "ana" in one and "10.0.0.0/8" in one]
    (key,) = call_json(capsys, "keys", "list", *there)["keys"]  # type: ignore[index]
    assert (key["projects"], key["quota_bytes"], key["expires"]) == ([], None, None)
    code, out, _err = call(capsys, "server", "keys", "revoke", "ana", *there)
    assert (code, "connections that are open go on" in out) == (0, True)
    assert "no keys" in call(capsys, "server", "keys", "list", *there)[1]


@pytest.mark.parametrize(
    "words",
    [
        ["--user", "ana"],
        ["--user", "ana", "--project", "a", "--all-projects"],
        ["--user", "an a", "--all-projects"],
        ["--user", "ana", "--project", "../a"],
        ["--user", "ana", "--all-projects", "--from", "10.0.0.1/8"],
        ["--user", "ana", "--all-projects", "--from", "here"],
        ["--user", "ana", "--all-projects", "--expires", "2020-01-01"],
        ["--user", "ana", "--all-projects", "--expires", "soon"],
        ["--user", "ana", "--all-projects", "--quota", "much"],
        ["--user", "ana", "--all-projects", "--command-path", "/none"],
    ],
    ids=range(10),
)
def test_a_grant_that_makes_no_sense_writes_nothing(
    tmp_path: Path, capsys: Capture, words: list[str]
) -> None:
    file = tmp_path / "keys"
    code, _out, err = call(capsys, "server", "keys", "add", KEY, *words, "--file", str(file))
    assert code == 2, err
    assert not file.exists()


def test_a_key_that_is_not_there_is_a_clear_error(tmp_path: Path, capsys: Capture) -> None:
    code, _out, err = call(
        capsys, "server", "keys", "add", str(tmp_path / "none.pub"), "--user", "a", "--all-projects"
    )
    assert (code, "no file" in err) == (3, True)
    code, _out, err = call(
        capsys, "server", "keys", "add", str(tmp_path), "--user", "a", "--all-projects"
    )
    assert (code, "cannot be read" in err) == (2, True)


def test_quotas_are_set_and_shown(store: Path, capsys: Capture) -> None:
    code, out, _err = call(capsys, "server", "quota", "set", "digits", "1.5MiB")
    assert (code, out) == (0, "digits may hold 1.5 MiB\n")
    assert call_json(capsys, "quota", "set", "*", "10") == {"quotas": {"*": 10, "digits": 1572864}}
    code, out, _err = call(capsys, "server", "quota", "show")
    assert "digits" in out
    assert "all other projects: 10 B each" in out
    size_bytes = (store / "digits" / "one" / "run.h5").stat().st_size
    (found,) = call_json(capsys, "quota", "show", "--recount")["projects"]  # type: ignore[index]
    assert found == {"project": "digits", "used_bytes": size_bytes, "quota_bytes": 1572864}
    assert call(capsys, "server", "quota", "set", "digits", "--none")[0] == 0
    assert call(capsys, "server", "quota", "set", "digits")[0] == 2
    assert call(capsys, "server", "quota", "set", "digits", "5", "--none")[0] == 2


def test_the_log_is_shown_and_cannot_drive_a_terminal(store: Path, capsys: Capture) -> None:
    code, out, _err = call(capsys, "server", "audit")
    assert code == 0
    first, second = out.splitlines()
    assert "ana@10.0.0.7  published  run digits/one  12.1 KiB  abababababab" in first
    assert "refused" in second
    assert "(live)" in second
    assert "\x1b" not in out
    _code, out, _err = call(capsys, "server", "audit", "--project", "digits", "--json")
    assert json.loads(out)["id"] == "one"
    assert call(capsys, "server", "audit", "--since", "1h", "--user", "ana")[1].count("\n") == 2
    assert "nothing was pushed" in call(capsys, "server", "audit", "--since", "2099-01-01")[2]
    assert call(capsys, "server", "audit", "--since", "whenever")[0] == 2


def test_following_the_log_shows_what_was_and_what_comes(store: Path) -> None:
    code = "from hpctrack.cli.main import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "server", "audit", "--follow", "--json", "--store",
         str(store)],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["id"] == "one"
        process.stdout.readline()
        AuditLog(store).append([AuditEvent(Action.REPLACED, "digits", "run", "two")])
        assert json.loads(process.stdout.readline())["id"] == "two"
    finally:
        process.kill()
        process.communicate()


def test_gc_says_what_it_frees(store: Path, capsys: Capture) -> None:
    assert call(capsys, "server", "gc")[1] == "freed 0 B\n"
    old = store / ".incoming" / "partial" / ("ab" * 32)
    old.parent.mkdir(parents=True)
    old.write_bytes(b"x" * 2000)
    os.utime(old, (0, 0))
    code, out, _err = call(capsys, "server", "gc", "--dry-run")
    assert code == 0
    assert out.startswith(f"partial: .incoming/partial/{'ab' * 32} (2 KiB)\nwould free 2 KiB")
    found = call_json(capsys, "gc", "--keep-days", "1")
    assert found["size_bytes"] == 2000  # type: ignore[index]
    (store / ".server" / "replaced").write_text("not a folder")
    code, _out, err = call(capsys, "server", "gc")
    assert (code, "replaced cannot be opened" in err) == (4, True)


def test_verify_ends_with_4_if_something_is_damaged(store: Path, capsys: Capture) -> None:
    code, out, err = call(capsys, "server", "verify")  # the log tells of another hash
    assert code == 4
    assert "not those that were received" in out
    assert "1 of 2 are damaged" in err
    (store / ".server" / "audit.jsonl").unlink()
    code, out, _err = call(capsys, "server", "verify")
    assert (code, out.splitlines()[-1]) == (0, "all 2 are intact")
    assert call_json(capsys, "verify", "--quick")["reports"][0]["intact"]  # type: ignore[index]
    assert call(capsys, "server", "verify", "--project", "none")[0] == 3


def test_reindex_tells_what_it_has_found(store: Path, capsys: Capture) -> None:
    code, out, _err = call(capsys, "server", "reindex")
    assert code == 0
    assert "hashed 1 file (" in out
    assert "listed 1 run; 0 cannot be read" in out
    assert (store / ".hashes.json").exists()
    assert call_json(capsys, "reindex")["runs"] == 1  # type: ignore[index]


def test_backups_are_made_checked_and_removed(store: Path, tmp_path: Path, capsys: Capture) -> None:
    there = tmp_path / "backups"
    code, out, _err = call(capsys, "server", "backup", str(there))
    assert (code, "2 files copied" in out) == (0, True)
    found = call_json(capsys, "backup", str(there), "--keep", "1")
    assert found["linked_files"] == 1  # type: ignore[index]
    assert len(found["removed"]) == 1  # type: ignore[index]
    code, out, _err = call(capsys, "server", "backup", str(there), "--verify")
    assert (code, "all 2 files are as they were written" in out) == (0, True)
    assert call(capsys, "ls", "--store", str(there / "latest"))[1].count("one")
    (there / "latest" / "digits" / "one" / "run.h5").unlink()
    wrong = call_json(capsys, "backup", str(there), "--verify", code=4)["wrong"]  # type: ignore[index]
    assert wrong == [{"path": "digits/one/run.h5", "what": "it is missing"}]
    assert call(capsys, "server", "backup", str(store / "x"))[0] == 2
    assert call(capsys, "server", "backup", str(there), "--verify", "--keep", "3")[0] == 2
    (store / "digits" / "link").symlink_to(tmp_path)
    code, _out, err = call(capsys, "server", "backup", str(there))
    assert (code, "digits/link is no file" in err) == (4, True)
    assert store.exists()
