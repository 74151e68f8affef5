from __future__ import annotations

from pathlib import Path

import pytest

from hpctrack.errors import UsageError
from hpctrack.sync.carriers.remote import LocalRemote, SshRemote, parse_remote


@pytest.mark.parametrize(
    ("text", "remote"),
    [
        ("ssh://host/data/store", SshRemote("host", "/data/store")),
        ("ssh://me@host:2222/data", SshRemote("host", "/data", "me", 2222)),
        ("ssh://me@host/~/store", SshRemote("host", "~/store", "me")),
        ("ssh://[::1]:22/a%20b", SshRemote("::1", "/a b", None, 22)),
        ("ssh://host/it's;here", SshRemote("host", "/it's;here")),
        ("/data/store", LocalRemote(Path("/data/store"))),
        ("../other", LocalRemote(Path("../other"))),
        ("file:///data/store", LocalRemote(Path("/data/store"))),
    ],
)
def test_a_remote_is_read(text: str, remote: object) -> None:
    assert parse_remote(text) == remote


@pytest.mark.parametrize("text", ["ssh://me@host:2222/data/store", "ssh://[::1]/a", "ssh://h/~/s"])
def test_a_remote_is_shown_as_it_was_written(text: str) -> None:
    assert str(parse_remote(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ssh://",
        "ssh://host",
        "ssh://host/",
        "ssh://host:port/data",
        "ssh://host:0/data",
        "ssh://host:99999/data",
        "ssh://-oProxyCommand=x/data",
        "ssh://-l@host/data",
        "ssh://host/data?x=1",
        "ssh://host/a%0ab",
        "http://host/data",
        "file://other/data",
    ],
)
def test_what_is_no_remote_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_remote(text)
    assert caught.value.exit_code == 2


def test_the_form_of_scp_is_answered_with_the_url() -> None:
    with pytest.raises(UsageError) as caught:
        parse_remote("me@host:store")
    assert caught.value.hint == "write ssh://me@host/~/store"
    with pytest.raises(UsageError) as caught:
        parse_remote("host:/data/store")
    assert caught.value.hint == "write ssh://host/data/store"


def test_a_password_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError) as caught:
        parse_remote("ssh://me:hunter2@host/data")
    assert "hunter2" not in str(caught.value)
