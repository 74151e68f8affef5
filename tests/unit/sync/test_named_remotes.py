"""The user's remotes: what the file may say, and how it is edited without losing a word."""

from __future__ import annotations

import threading
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpctrack.errors import InvalidNameError, NotFoundError, SettingsError, UsageError
from hpctrack.sync.carriers.named_remotes import NamedRemote, parse_remotes
from hpctrack.sync.carriers.remotes_file import (
    add_remote,
    find_remotes_file,
    read_remotes,
    remove_remote,
    set_default,
)

BY_HAND = """\
# my remotes
default = "login"  # of the group

[remotes.login] # the big machine
url = "ssh://me@login/data/store"
transport = 'ssh'
# its module system
remote_command = \"\"\"module load hpctrack
hpctrack\"\"\"

# the team's disk
[remotes."t.1"]
url = "/mnt/team/store"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config" / "remotes.toml"


def add(file: Path, name: str, url: str = "ssh://h/p", *, is_default: bool = False) -> None:
    add_remote(file, name, NamedRemote.make({"url": url}, what="test"), is_default=is_default)


def test_what_is_added_is_read_again(file: Path) -> None:
    given = {
        "url": "ssh://me@login:2222/~/store",
        "transport": "ssh",
        "remote_command": 'module load "x" && hpctrack \\ ü',
        "identity": "~/.ssh/key",
        "project": "digits",
    }
    made = NamedRemote.make(given, what="test")
    add_remote(file, "login", made, is_default=False)
    add(file, "other")
    assert read_remotes(file).known == {
        "login": made,
        "other": NamedRemote(url="ssh://h/p"),
    }
    assert made.identity == Path("~/.ssh/key").expanduser()


def test_nothing_there_is_no_remote(file: Path) -> None:
    assert read_remotes(file).known == {}
    with pytest.raises(UsageError, match="no remote given") as caught:
        read_remotes(file).choose_default()
    assert "hpctrack remote add" in str(caught.value.hint)


def test_the_only_one_is_the_default_and_of_several_one_is_named(file: Path) -> None:
    add(file, "a")
    assert read_remotes(file).choose_default() == "a"
    add(file, "b")
    with pytest.raises(UsageError, match="which remote"):
        read_remotes(file).choose_default()
    set_default(file, "b")
    assert read_remotes(file).choose_default() == "b"
    add(file, "c", is_default=True)
    assert read_remotes(file).choose_default() == "c"
    remove_remote(file, "c")
    assert read_remotes(file).default is None


def test_what_a_person_has_written_stays(file: Path) -> None:
    file.parent.mkdir()
    file.write_text(BY_HAND)
    add(file, "usb", "/mnt/usb/store", is_default=True)
    text = file.read_text()
    assert 'default = "usb"  # of the group\n' in text
    assert text.replace('"usb"', '"login"', 1).startswith(BY_HAND)
    remove_remote(file, "login")
    text = file.read_text()
    assert "# my remotes" in text
    assert '# the team\'s disk\n[remotes."t.1"]' in text
    assert "big machine" not in text
    remove_remote(file, "t.1")
    assert list(read_remotes(file).known) == ["usb"]


def test_a_remote_is_replaced_only_if_that_is_said(file: Path) -> None:
    add(file, "a", "ssh://one/p")
    with pytest.raises(UsageError, match="already: ssh://one/p"):
        add(file, "a", "ssh://two/p")
    add_remote(file, "a", NamedRemote(url="ssh://two/p"), is_default=False, replace=True)
    assert read_remotes(file).known["a"].url == "ssh://two/p"


@pytest.mark.parametrize(
    "text",
    [
        'remotes = {a = {url = "ssh://h/p"}}\n',
        'remotes.a.url = "ssh://h/p"\n',
        "[remotes.a]\nurl = \"\"\"\nssh://h/p\"\"\"\nremote_command = '''\n[remotes.b]\nx'''\n",
    ],
)
def test_a_file_that_cannot_be_changed_safely_is_left_alone(file: Path, text: str) -> None:
    file.parent.mkdir()
    file.write_text(text)
    with pytest.raises(SettingsError, match=r"cannot be (changed|read)|not written"):
        remove_remote(file, "a")
    assert file.read_text() == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[remotes.a]\n", "no 'url'"),
        ('[remotes.a]\nurl = "ssh://me:secret@h/p"\n', "must not have a password"),
        ('[remotes.a]\nurl = "ssh://h/p"\nremote_comand = "x"\n', "unknown key 'remote_comand'"),
        ('[remotes.a]\nurl = "ssh://h/p"\ntransport = "smoke"\n', "transport is 'smoke'"),
        ("[remotes.a]\nurl = 3\n", "not a text"),
        ('[remote.a]\nurl = "ssh://h/p"\n', "unknown key 'remote'"),
        ('default = "b"\n[remotes.a]\nurl = "ssh://h/p"\n', "'b' is not there"),
        ("remotes = 3\n", "no table of tables"),
        ("[remotes\n", "cannot be read"),
        ('[remotes."a/b"]\nurl = "ssh://h/p"\n', "is not allowed"),
    ],
)
def test_what_cannot_be_is_named_with_the_file(file: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        parse_remotes(text, file)
    assert str(file) in caught.value.message
    assert "secret" not in str(caught.value)


def test_a_name_looks_like_no_path_and_no_url(file: Path) -> None:
    for name in ("a/b", ".hidden", "ssh:x", "", "-x"):
        with pytest.raises(InvalidNameError):
            add(file, name)


def test_a_name_that_is_not_there_is_told_with_the_nearest(file: Path) -> None:
    add(file, "login")
    with pytest.raises(NotFoundError, match="no remote 'logn'") as caught:
        read_remotes(file).find("logn")
    assert caught.value.hint == "did you mean 'login'?"


def test_a_path_is_kept_absolute(file: Path, tmp_path: Path) -> None:
    add(file, "disk", "./team")
    assert read_remotes(file).known["disk"].url == str(Path.cwd() / "team")


def test_a_link_to_the_file_stays_a_link(file: Path, tmp_path: Path) -> None:
    file.parent.mkdir()
    real = tmp_path / "dotfiles.toml"
    real.write_text("")
    real.chmod(0o640)
    file.symlink_to(real)
    add(file, "a")
    assert file.is_symlink()
    assert list(read_remotes(real).known) == ["a"]
    assert real.stat().st_mode & 0o777 == 0o640


def test_several_at_once_lose_nothing(file: Path) -> None:
    threads = [threading.Thread(target=add, args=(file, f"r{n}")) for n in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(read_remotes(file).known) == [f"r{n}" for n in range(8)]
    assert list(file.parent.iterdir()) == [file]


@given(st.text(min_size=1).filter(lambda text: text.isprintable()))
def test_any_text_survives(text: str) -> None:
    made = NamedRemote(url="ssh://h/p", remote_command=text)
    # Hypothesis shares a fixture between examples; the text is what matters.
    from hpctrack.sync.carriers.remotes_file import _quote

    assert tomllib.loads(f"x = {_quote(text)}")["x"] == made.remote_command


def test_the_file_is_the_users_own() -> None:
    assert find_remotes_file({"HOME": "/h"}) == Path("/h/.config/hpctrack/remotes.toml")
    assert find_remotes_file({"XDG_CONFIG_HOME": "/x"}) == Path("/x/hpctrack/remotes.toml")
