"""Keys, lines of authorized_keys, and the file they are in."""

from __future__ import annotations

import datetime as dt
import os
import shlex
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hpctrack.errors import NotFoundError, UsageError
from hpctrack.sync.upkeep.key_file import add_key, ask_ssh_keygen, list_keys, revoke_keys
from hpctrack.sync.upkeep.key_lines import (
    Grant,
    KeyLine,
    find_program,
    make_expiry,
    parse_key_line,
    show_expiry,
    split_line,
)
from hpctrack.sync.upkeep.public_key import PublicKey, parse_public_key

KINDS = [("ed25519", 0), ("rsa", 2048), ("ecdsa", 256), ("ecdsa", 384), ("ecdsa", 521)]
NASTY = '/data/it\'s "the" $HOME; `id` \\ \\\\ \\" back\\slash, a=b #ä'


@pytest.fixture(scope="session")
def made_keys(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], str]:
    """Public keys that ssh-keygen has made, one of each kind."""
    folder = tmp_path_factory.mktemp("keys")
    found = {}
    for kind, bits in [*KINDS, ("rsa", 1024)]:
        path = folder / f"{kind}{bits}"
        size = ["-b", str(bits)] if bits else []
        subprocess.run(
            ["ssh-keygen", "-q", "-t", kind, *size, "-N", "", "-C", "me@there", "-f", str(path)],
            check=True,
        )
        found[kind, bits] = path.with_suffix(".pub").read_text()
    return found


@pytest.fixture
def key(made_keys: dict[tuple[str, int], str]) -> PublicKey:
    return parse_public_key(made_keys["ed25519", 0])


@pytest.fixture
def other_key(made_keys: dict[tuple[str, int], str]) -> PublicKey:
    return parse_public_key(made_keys["rsa", 2048])


def make_line(key: PublicKey, user: str = "ana", **more: object) -> KeyLine:
    return KeyLine(key=key, grant=Grant(user=user, store="/data/store", **more))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_keys_of_ssh_keygen_are_taken_with_its_fingerprint(
    made_keys: dict[tuple[str, int], str], kind: tuple[str, int]
) -> None:
    text = made_keys[kind]
    found = parse_public_key(f"# mine\n\n{text}\n")
    done = subprocess.run(
        ["ssh-keygen", "-l", "-f", "-"], input=text, capture_output=True, text=True, check=True
    )
    assert found.fingerprint in done.stdout.split()
    assert found.comment == "me@there"
    ask_ssh_keygen(found)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda text: text[:40], "damaged"),
        (lambda text: text.replace("AAAA", "AAAB", 1), "damaged"),
        (lambda text: text.replace("ssh-ed25519 ", "ssh-rsa ", 1), "not of the kind"),
        (lambda text: text.replace("ssh-ed25519 ", "ssh-dss ", 1), "no kind of key"),
        (lambda text: text + text, "found 2 lines"),
        (lambda _text: "", "found 0 lines"),
        (lambda _text: "-----BEGIN OPENSSH PRIVATE KEY-----\nb3", "private key"),
        (lambda text: f'command="sh" {text}', "no kind of key"),
        (lambda text: text.replace("ssh-ed25519 ", "ssh-ed25519-cert-v01@openssh.com ", 1), "cert"),
        (lambda text: text.strip() + " \x1b[2J", "comment"),
        (lambda text: text.replace(" me@", "!! me@"), "damaged"),
    ],
    ids=["cut", "bytes", "other", "dsa", "two", "none", "private", "options", "cert", "comment",
         "base64"],
)  # fmt: skip
def test_what_is_no_key_is_refused(
    made_keys: dict[tuple[str, int], str], change: object, what: str
) -> None:
    with pytest.raises(UsageError, match=what):
        parse_public_key(change(made_keys["ed25519", 0]))  # type: ignore[operator]


def test_a_short_rsa_key_is_refused(made_keys: dict[tuple[str, int], str]) -> None:
    with pytest.raises(UsageError, match="1024 bits is too short"):
        parse_public_key(made_keys["rsa", 1024])


@pytest.mark.parametrize("store", ["/data/store", NASTY, NASTY[::-1], "/x/\\\\\\"])
def test_a_line_says_what_it_was_made_of(key: PublicKey, store: str) -> None:
    grant = Grant(
        user="ana",
        store=store,
        projects=("digits", "other"),
        append_only=True,
        quota_bytes=50_000_000_000,
        program=("/opt/it's here/hpctrack",),
    )
    line = KeyLine(key=key, grant=grant, expires="20270101", addresses=("10.0.0.0/8", "::1"))
    data = line.to_bytes()
    assert data.startswith(b'restrict,command="')
    assert data.endswith(f"{key.kind} {key.blob} hpctrack:ana me@there\n".encode())
    found = parse_key_line(data)
    assert found == line
    options = split_line(data)
    assert options is not None
    assert shlex.split(options[0]["command"]) == [
        "/opt/it's here/hpctrack", "receive", "--store", store, "--project", "digits",
        "--project", "other", "--user", "ana", "--append-only", "--quota", "50000000000",
    ]  # fmt: skip


@pytest.mark.parametrize("store", ["/a\nb", "/a\x00b", "/" + "x" * 9000])
def test_what_a_line_cannot_hold_is_refused(key: PublicKey, store: str) -> None:
    with pytest.raises(UsageError):
        KeyLine(key=key, grant=Grant(user="ana", store=store)).to_bytes()


def test_a_path_that_is_no_text_survives(key: PublicKey) -> None:
    store = os.fsdecode(b"/data/\xff\xfe")
    data = make_line(key).to_bytes()
    assert parse_key_line(data) is not None
    line = KeyLine(key=key, grant=Grant(user="ana", store=store))
    assert b"\xff\xfe" in line.to_bytes()
    assert parse_key_line(line.to_bytes()) == line


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"# hpctrack:ana",
        b"ssh-ed25519 AAAA",
        b'command="hpctrack receive" ssh-rsa %s ana@there',
        b"restrict ssh-rsa %s hpctrack:ana",
        b'command="sh" ssh-rsa %s hpctrack:ana',
        b'command="hpctrack \'receive" ssh-rsa %s hpctrack:ana',
        b'command="hpctrack receive ssh-rsa %s hpctrack:ana',
    ],
)
def test_lines_of_others_are_not_ours(key: PublicKey, line: bytes) -> None:
    assert parse_key_line(line.replace(b"%s", key.blob.encode())) is None


def test_expiry_is_in_the_servers_time() -> None:
    now = dt.datetime(2026, 11, 28, 12, tzinfo=dt.UTC)
    assert make_expiry(dt.date(2027, 1, 31), now) == "20270131"
    moment = dt.datetime(2027, 1, 31, 18, 30)  # noqa: DTZ001
    assert make_expiry(moment, now) == "20270131183000"
    utc = make_expiry(dt.datetime(2027, 1, 31, 18, 30, tzinfo=dt.UTC), now)
    assert dt.datetime.strptime(utc, "%Y%m%d%H%M%S").timestamp() == 1801420200  # noqa: DTZ007
    with pytest.raises(UsageError, match="is over"):
        make_expiry(dt.date(2026, 11, 27), now)
    assert show_expiry("20270131") == "2027-01-31"
    assert show_expiry("202701311830") == "2027-01-31 18:30"


def test_the_program_is_absolute(tmp_path: Path) -> None:
    python = tmp_path / "bin" / "python"
    assert find_program(None, python, None) == (str(python), "-m", "hpctrack")
    assert find_program(None, python, "/usr/bin/hpctrack") == ("/usr/bin/hpctrack",)
    python.parent.mkdir()
    python.with_name("hpctrack").touch()
    assert find_program(None, python, "/x") == (str(python.with_name("hpctrack")),)
    assert find_program(Path(sys.executable), python, None) == (sys.executable,)
    with pytest.raises(UsageError, match="is no program"):
        find_program(tmp_path / "none", python, None)


OTHERS = (
    b"# kept\r\n\n   \nssh-rsa AAAAB3NzaC1yc2E= old@there \n"
    b'no-pty,command="a \\" b" ssh-ed25519 AAAAC3Nz last@there'
)


def test_a_new_file_and_folder_are_private(tmp_path: Path, key: PublicKey) -> None:
    path = tmp_path / ".ssh" / "authorized_keys"
    assert not add_key(path, make_line(key), is_private=True)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    assert list_keys(path) == [make_line(key)]


def test_all_other_lines_are_kept_byte_for_byte(
    tmp_path: Path, key: PublicKey, other_key: PublicKey
) -> None:
    path = tmp_path / "keys"
    path.write_bytes(OTHERS)
    path.chmod(0o664)
    line = make_line(key)
    add_key(path, line, is_private=False)
    assert path.read_bytes() == OTHERS + b"\n" + line.to_bytes()
    assert path.stat().st_mode & 0o777 == 0o644
    add_key(path, make_line(other_key, "ben"), is_private=True)
    assert path.stat().st_mode & 0o777 == 0o600
    changed = make_line(key, projects=("digits",))
    assert add_key(path, changed, is_private=False)
    assert path.read_bytes().startswith(OTHERS + b"\n" + changed.to_bytes())
    assert [one.grant.user for one in revoke_keys(path, "ana")] == ["ana"]
    (gone,) = revoke_keys(path, other_key.fingerprint)
    assert gone.grant.user == "ben"
    assert path.read_bytes() == OTHERS + b"\n"


def test_one_key_never_has_two_lines(tmp_path: Path, key: PublicKey) -> None:
    path = tmp_path / "keys"
    path.write_text(f"{key.kind} {key.blob} everything\n")
    with pytest.raises(UsageError, match="may do something else: line 1"):
        add_key(path, make_line(key), is_private=False)
    path.write_bytes(make_line(key, "ben").to_bytes())
    with pytest.raises(UsageError, match="that key is ben's"):
        add_key(path, make_line(key), is_private=False)
    assert path.read_bytes() == make_line(key, "ben").to_bytes()


def test_only_our_lines_are_revoked(tmp_path: Path, key: PublicKey) -> None:
    path = tmp_path / "keys"
    path.write_text(f"{key.kind} {key.blob} ana\n")
    for who in ("ana", key.fingerprint, ""):
        with pytest.raises(NotFoundError, match="no key of"):
            revoke_keys(path, who)
    with pytest.raises(NotFoundError):
        revoke_keys(tmp_path / "none" / "keys", "ana")


def test_a_link_stays_a_link(tmp_path: Path, key: PublicKey) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_bytes(OTHERS)
    link.symlink_to(real)
    add_key(link, make_line(key), is_private=False)
    assert link.is_symlink()
    assert list_keys(real) == [make_line(key)]


def test_two_administrators_at_once_lose_no_line(
    tmp_path: Path, key: PublicKey, other_key: PublicKey
) -> None:
    path = tmp_path / "keys"
    path.write_bytes(b"# mine\n")

    def toggle(line: KeyLine) -> None:
        for _ in range(20):
            add_key(path, line, is_private=False)
            revoke_keys(path, line.grant.user)
        add_key(path, line, is_private=False)

    lines = [make_line(key), make_line(other_key, "ben")]
    threads = [threading.Thread(target=toggle, args=(one,)) for one in lines]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert {one.grant.user for one in list_keys(path)} == {"ana", "ben"}
    assert path.read_bytes().startswith(b"# mine\n")
