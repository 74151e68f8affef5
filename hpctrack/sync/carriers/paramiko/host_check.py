"""The server's key: nobody is spoken to whom the user has not vouched for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.errors import HostKeyError
from hpctrack.sync.carriers.certificate import (
    Certificate,
    CertificateKind,
    parse_certificate,
    read_key_type,
)
from hpctrack.sync.carriers.known_hosts import (
    KnownKey,
    Verdict,
    judge_key,
    list_authorities,
    list_key_types,
    make_fingerprint,
    parse_known_hosts,
)
from hpctrack.sync.carriers.paramiko.library import LOST, paramiko, say
from hpctrack.sync.carriers.paramiko.session import Session
from hpctrack.sync.carriers.ssh_target import SshTarget, make_host_key_error


def check_server(session: Session, target: SshTarget, *, clock: Clock = SYSTEM_CLOCK) -> None:
    """Exchange keys, and go on only with a server that can be trusted.

    Raises
    ------
    ConnectError
        It does not speak SSH with us.
    HostKeyError
        Its key, or its certificate, is none that the user has vouched for.
    """
    known = list(_read_known_hosts(target.known_files))
    # A pattern such as *.example.org is about the host, whatever port its sshd has.
    names = (target.known_name, target.certificate_name.lower())
    authorities = [blob for name in names for blob in list_authorities(known, name)]
    session.want_host_keys(list_key_types(known, target.known_name), certificates=bool(authorities))
    key = session.shake_hands(greeting_timeout_s=target.connect_timeout_s)
    blob = key.public_blob.key_blob if key.public_blob else key.asbytes()
    if key.public_blob:
        certificate = parse_certificate(blob)
        if certificate.authority in authorities:
            _check_certificate(certificate, known, target, clock.wall_s())
            return
        blob = certificate.key_blob
    verdict = judge_key(known, target.known_name, blob)
    if verdict != Verdict.TRUSTED:
        raise make_host_key_error(target, verdict, f"{key.get_name()} {make_fingerprint(blob)}")


def _check_certificate(
    certificate: Certificate, known: list[KnownKey], target: SshTarget, now_s: float
) -> None:
    name = target.certificate_name
    if judge_key(known, target.known_name, certificate.key_blob) is Verdict.REVOKED:
        shown = f"{certificate.key_type} {make_fingerprint(certificate.key_blob)}"
        raise make_host_key_error(target, Verdict.REVOKED, shown)
    fault = certificate.find_fault(CertificateKind.HOST, now_s, name)
    if not fault and not _is_signed(certificate):
        fault = "is not signed by the authority that it names"
    if fault:
        raise HostKeyError(
            f"the host certificate {certificate.key_id!r} of {target.shown} {fault}",
            hint="its administrator can renew it; or the host's plain key can go to known_hosts",
        )


def _is_signed(certificate: Certificate) -> bool:
    try:
        kind = read_key_type(certificate.authority)
        authority: Any = paramiko.PKey.from_type_string(kind, certificate.authority)
        signature = paramiko.Message(certificate.signature)
        return bool(authority.verify_ssh_sig(certificate.signed, signature))
    except (*LOST, ValueError):
        return False


def _read_known_hosts(paths: Iterable[Path]) -> Iterator[KnownKey]:
    for path in paths:
        try:
            text = path.read_text(errors="replace")
        except FileNotFoundError:
            continue
        except OSError as error:
            raise HostKeyError(f"{path} cannot be read: {say(error)}") from None
        yield from parse_known_hosts(text)
