"""Whatever is put into a line of authorized_keys comes out of it; whatever a log holds is read."""

from __future__ import annotations

import shlex
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from hpctrack.sync.upkeep.audit import AUDIT_NAME, Action, AuditEvent, AuditLog, iter_events
from hpctrack.sync.upkeep.key_lines import Grant, KeyLine, parse_key_line, split_line
from hpctrack.sync.upkeep.public_key import PublicKey

KEY = PublicKey(
    "ssh-ed25519", "AAAAC3NzaC1lZDI1NTE5AAAAIA6ceQIdZJv6dcNuNzAXJIUPgGSVuyUWhvLLwsDk9Fw3"
)

paths = st.text(
    st.characters(min_codepoint=32, exclude_characters="\x7f", exclude_categories=["Cs"]),
    min_size=1, max_size=60,
) | st.text("\\\"' $`,=#ab", min_size=1, max_size=20)  # fmt: skip


def dequote_as_sshd(text: str) -> tuple[str, str]:
    """Read a quoted value as OpenSSH's ``opt_dequote`` does; return it, and what follows."""
    assert text[0] == '"'
    found, at = [], 1
    while text[at] != '"':
        if text.startswith('\\"', at):
            at += 1
        found.append(text[at])
        at += 1
    return "".join(found), text[at + 1 :]


@given(paths, paths)
def test_a_forced_command_says_what_it_was_made_of(store: str, program: str) -> None:
    grant = Grant(user="ana", store=f"/{store}", projects=("p",), program=(f"/{program}",))
    line = KeyLine(key=KEY, grant=grant, expires="20990101")
    data = line.to_bytes()
    assert data.count(b"\n") == 1
    command, rest = dequote_as_sshd(data.decode().removeprefix("restrict,command="))
    assert shlex.split(command) == grant.to_words()
    assert rest.startswith(',expiry-time="20990101" ssh-ed25519 AAAA')
    assert parse_key_line(data) == line


@given(st.binary(max_size=200))
def test_no_line_of_others_is_a_surprise(line: bytes) -> None:
    split_line(line)
    assert parse_key_line(line) is None


@given(st.lists(st.binary(max_size=80), max_size=5), st.text(max_size=20))
def test_any_log_can_be_read_and_continued(pieces: list[bytes], name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder)
        path = store / ".server" / AUDIT_NAME
        path.parent.mkdir()
        for piece in pieces:
            with path.open("ab") as file:
                file.write(piece)
            AuditLog(store).append([AuditEvent(Action.REFUSED, "p", "run", name)])
        ours = [one for one in iter_events(store) if one.get("action") == "refused"]
        assert [one["id"] for one in ours] == [name] * len(pieces)
