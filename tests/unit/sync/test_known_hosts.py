from __future__ import annotations

import base64
import hmac

import pytest

from hpctrack.sync.carriers.known_hosts import (
    Verdict,
    host_name,
    judge_key,
    list_key_types,
    make_fingerprint,
    parse_known_hosts,
)

OLD, NEW, OTHER = b"old key", b"new key", b"other key"


def line(names: str, blob: bytes, *, kind: str = "ssh-ed25519", marker: str = "") -> str:
    return f"{marker} {names} {kind} {base64.b64encode(blob).decode()} a comment".strip()


def judge(text: str, name: str, blob: bytes) -> Verdict:
    return judge_key(list(parse_known_hosts(text)), name, blob)


def hashed(name: str) -> str:
    salt = b"12345678901234567890"
    digest = hmac.digest(salt, name.encode(), "sha1")
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


@pytest.mark.parametrize(
    "names",
    ["login", "other,login", "LOGIN", "log*", "l?gin", "*,!bad", hashed("login")],
)
def test_a_known_key_is_trusted(names: str) -> None:
    assert judge(line(names, OLD), "login", OLD) == Verdict.TRUSTED


def test_a_port_is_part_of_the_name() -> None:
    text = line("[login]:2222", OLD)
    assert judge(text, host_name("login", 2222), OLD) == Verdict.TRUSTED
    assert judge(text, host_name("login", 22), OLD) == Verdict.UNKNOWN
    assert (
        judge(line(hashed("[login]:2222"), OLD), host_name("login", 2222), OLD) == Verdict.TRUSTED
    )


@pytest.mark.parametrize("names", ["other", "login.site", "*,!login", "logi", hashed("other")])
def test_a_line_about_another_host_says_nothing(names: str) -> None:
    assert judge(line(names, OLD), "login", OLD) == Verdict.UNKNOWN


def test_another_key_than_before_is_a_change() -> None:
    assert judge(line("login", OLD), "login", NEW) == Verdict.CHANGED


def test_any_of_several_keys_of_one_name_is_trusted() -> None:
    text = f"{line('login', OLD)}\n{line('login', OTHER)}\n"
    assert judge(text, "login", OTHER) == Verdict.TRUSTED
    assert judge(text, "login", NEW) == Verdict.CHANGED


def test_a_revoked_key_is_never_trusted() -> None:
    text = f"{line('login', OLD)}\n{line('*', OLD, marker='@revoked')}\n"
    assert judge(text, "login", OLD) == Verdict.REVOKED


def test_a_certificate_authority_is_no_host_key() -> None:
    assert judge(line("login", OLD, marker="@cert-authority"), "login", OLD) == Verdict.UNKNOWN


def test_lines_that_are_no_keys_are_passed_over() -> None:
    text = f"# a comment\n\nlogin\nlogin ssh-ed25519\nlogin ssh-ed25519 !!!\n{line('login', OLD)}\n"
    assert judge(text, "login", OLD) == Verdict.TRUSTED


def test_a_host_is_asked_for_the_types_that_are_known() -> None:
    text = f"{line('login', OLD, kind='ssh-rsa')}\n{line('other', OLD)}\n"
    assert list_key_types(list(parse_known_hosts(text)), "login") == ["ssh-rsa"]


def test_a_fingerprint_has_the_form_of_ssh_keygen() -> None:
    assert make_fingerprint(b"") == "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"
