"""Lines of authorized_keys that `hpctrack server keys` has written, under a real sshd."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpctrack.errors import AuthError
from hpctrack.store.seal import seal_run
from hpctrack.sync.carriers.transport import ConnectOptions
from hpctrack.sync.sending.push import push
from hpctrack.sync.sending.push_result import Status
from hpctrack.sync.upkeep.audit import iter_events
from hpctrack.sync.upkeep.collection import Leftover, collect
from hpctrack.sync.upkeep.key_file import add_key
from hpctrack.sync.upkeep.key_lines import Grant, KeyLine
from hpctrack.sync.upkeep.public_key import parse_public_key
from hpctrack.sync.upkeep.store_check import check_store
from tests.programs import ROOT
from tests.services import sshd as private_sshd
from tests.services.sshd import Sshd, find_free_port, make_key, write_script
from tests.stores import NodeWriter, write_run

pytestmark = pytest.mark.ssh

sshd = private_sshd.sshd
"""The fixture."""

NASTY = 'it\'s "the" $HOME; `id` $(id) \\ \\\\ \\" back\\slash, a=b # * ? ~ ! %h {x}'
"""A store's name that sshd, a shell, or both would take apart."""

TELL_ARGUMENTS = """\
#!{python}
import json, os, sys
print(json.dumps({{
    "arguments": sys.argv[1:],
    "original": os.environ.get("SSH_ORIGINAL_COMMAND"),
    "has_terminal": os.isatty(0),
    "agent": os.environ.get("SSH_AUTH_SOCK"),
}}))
"""


@pytest.fixture(scope="module")
def telling_sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """An sshd that says which key was used."""
    server = Sshd(tmp_path_factory.mktemp("telling"), extra="ExposeAuthInfo yes")
    server.start()
    yield server
    server.stop()


class Administrator:
    """Gives and takes keys on a server, and a user who tries them."""

    def __init__(self, sshd: Sshd, folder: Path) -> None:
        self.sshd = sshd
        self.keys_file = sshd.folder / "authorized_keys"
        self.identity = make_key(folder / "ana")
        self.public_key = self.identity.with_suffix(".pub")
        self.teller = folder / 'it\'s a "program" \\ $x'
        self.teller.mkdir()
        self.teller = write_script(
            self.teller / "hpctrack", TELL_ARGUMENTS.format(python=sys.executable)
        )

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``hpctrack server keys`` for the server's file."""
        code = "from hpctrack.cli.main import main; main()"
        return subprocess.run(
            [sys.executable, "-c", code, "server", "keys", *arguments,
             "--file", str(self.keys_file)],
            cwd=ROOT, capture_output=True, text=True, check=False, timeout=180,
        )  # fmt: skip

    def add(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Allow the user's key to start the program that tells its arguments."""
        return self.call(
            "add", str(self.public_key), "--user", "ana", "--command-path", str(self.teller),
            *arguments,
        )  # fmt: skip

    def ssh(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Connect as the user, with the system's ssh."""
        return subprocess.run(
            ["ssh", "-F", "none", "-p", str(self.sshd.port), "-i", str(self.identity),
             "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "IdentityAgent=none",
             "-o", f"UserKnownHostsFile={self.sshd.known_hosts}",
             *arguments[:-1], f"{self.sshd.user}@127.0.0.1", *arguments[-1:]],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=180,
        )  # fmt: skip


@pytest.fixture
def administrator(sshd: Sshd, tmp_path: Path) -> Iterator[Administrator]:
    """Somebody who may change the server's file; it is as it was afterwards."""
    before = (sshd.folder / "authorized_keys").read_bytes()
    yield Administrator(sshd, tmp_path)
    (sshd.folder / "authorized_keys").write_bytes(before)


@pytest.mark.parametrize("name", ["store", NASTY, NASTY[::-1], "\\\\\\"])
def test_the_forced_command_gets_exactly_these_words(
    administrator: Administrator, name: str
) -> None:
    store = f"/data/{name.replace('/', '')}"
    done = administrator.add(
        "--store", store, "--project", "digits", "--project", "other", "--append-only",
        "--quota", "50GB", "--from", "127.0.0.0/8", "--expires", "2099-01-01",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = administrator.ssh("rm -rf /nowhere; hpctrack receive --store /elsewhere")
    assert told.returncode == 0, told.stderr
    facts = json.loads(told.stdout)
    assert facts["arguments"] == [
        "receive", "--store", store, "--project", "digits", "--project", "other",
        "--user", "ana", "--append-only", "--quota", "50000000000",
    ]  # fmt: skip
    assert facts["original"] == "rm -rf /nowhere; hpctrack receive --store /elsewhere"


def test_the_line_forbids_terminals_and_forwarding(administrator: Administrator) -> None:
    administrator.add("--store", "/data", "--all-projects")
    told = administrator.ssh("-tt", "true")
    assert "PTY allocation request failed" in told.stderr
    assert '"has_terminal": true' not in told.stdout
    # A forwarding that the server opens is refused at once, one that it would open when it is used.
    port = find_free_port()
    reverse = administrator.ssh(
        "-o", "ExitOnForwardFailure=yes", "-R", f"{port}:127.0.0.1:1", "true"
    )
    assert reverse.returncode == 255
    assert "forwarding failed" in reverse.stderr
    direct = administrator.ssh("-W", f"127.0.0.1:{administrator.sshd.port}", "-v")
    assert "administratively prohibited" in direct.stderr


def test_an_expired_key_and_one_from_elsewhere_are_refused(administrator: Administrator) -> None:
    key = parse_public_key(administrator.public_key.read_text())
    grant = Grant(user="ana", store="/data", program=(str(administrator.teller),))
    over = time.strftime("%Y%m%d%H%M%S", time.localtime(time.time() - 5))
    soon = time.strftime("%Y%m%d%H%M%S", time.localtime(time.time() + 3600))
    for expires, addresses, is_let_in in (
        (soon, (), True),
        (over, (), False),
        ("20200101", (), False),
        ("", ("10.0.0.0/8", "192.168.1.1"), False),
        ("", ("10.0.0.0/8", "127.0.0.1"), True),
    ):
        line = KeyLine(key=key, grant=grant, expires=expires, addresses=addresses)
        add_key(administrator.keys_file, line, is_private=False)
        told = administrator.ssh("true")
        assert (told.returncode == 0) == is_let_in, (expires, addresses, told.stderr)
        assert is_let_in or "Permission denied" in told.stderr


def test_a_key_is_listed_and_taken_away(administrator: Administrator) -> None:
    before = administrator.keys_file.read_bytes()
    administrator.add("--store", "/data/store", "--project", "digits")
    assert administrator.ssh("true").returncode == 0
    (listed,) = json.loads(administrator.call("list", "--json").stdout)["keys"]
    assert (listed["user"], listed["projects"]) == ("ana", ["digits"])
    assert administrator.call("revoke", listed["fingerprint"]).returncode == 0
    assert administrator.ssh("true").returncode == 255
    assert administrator.keys_file.read_bytes() == before
    assert administrator.call("revoke", "ana").returncode == 3


def test_a_push_is_limited_and_logged(telling_sshd: Sshd, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "it's the store"
    for project in ("digits", "other"):
        seal_run(write_run(source, project=project, run="one"))
    administrator = Administrator(telling_sshd, tmp_path)
    administrator.teller = telling_sshd.hpctrack
    done = administrator.add("--store", str(target), "--project", "digits", "--quota", "1MB")
    assert done.returncode == 0, done.stderr
    options = ConnectOptions(identity=administrator.identity, known_hosts=telling_sshd.known_hosts)
    # Whatever the user asks for, the line decides.
    remote = telling_sshd.url(tmp_path / "elsewhere")
    result = push(source, remote, connect=options)
    assert [str(one.key) for one in result.items if one.status == Status.SENT] == ["digits/one"]
    assert not (tmp_path / "elsewhere").exists()
    found = {(one["action"], one["project"]): one for one in iter_events(target)}
    assert ("published", "digits") in found
    assert ("published", "other") not in found
    event = found["published", "digits"]
    fingerprint = parse_public_key(administrator.public_key.read_text()).fingerprint
    assert (event["user"], event["from"], event["key"]) == ("ana", "127.0.0.1", fingerprint)
    assert all(report.is_intact for report in check_store(target))
    _push_more(administrator, source, target, remote, options)
    assert administrator.call("revoke", "ana").returncode == 0
    with pytest.raises(AuthError):
        push(source, remote, connect=options)


def _push_more(
    administrator: Administrator, source: Path, target: Path, remote: str, options: ConnectOptions
) -> None:
    """Push another attempt of the run under an append-only key: the file before is kept a while."""
    administrator.add("--store", str(target), "--project", "digits", "--append-only")
    folder = source / "digits" / "one"
    before = (folder / "run.h5").read_bytes()
    writer = NodeWriter(source, project="digits", run="one", attempt=2)
    session = writer.start(0)
    writer.points("loss", 0, range(5, 9), [0.5] * 4)
    writer.end(0, session)
    writer.close()
    seal_run(folder)
    push(source, remote, connect=options)
    assert (target / "digits" / "one" / "run.h5").read_bytes() != before
    assert [one["action"] for one in iter_events(target, project="digits")][-1] == "replaced"
    (kept,) = (target / ".server" / "replaced").iterdir()
    assert kept.read_bytes() == before
    assert all(report.is_intact for report in check_store(target))
    assert [one.kind for one in collect(target, keep_days=0).freed] == [Leftover.REPLACED]
    assert not kept.exists()
