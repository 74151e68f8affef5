"""Why a server may not have accepted our keys: what can be seen from this side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from hpctrack.sync.carriers.certificate import (
    CertificateKind,
    parse_certificate,
    parse_public_file,
)
from hpctrack.sync.carriers.ssh_target import SshTarget

USUAL_HINT = "put the public key into ~/.ssh/authorized_keys there, or name a key with --identity"


def explain_keys(
    target: SshTarget,
    *,
    locked: Sequence[str] = (),
    exposed: Sequence[str] = (),
    declined: str = "",
    said: str = "",
    now_s: float,
) -> str:
    """Return a hint for a login that has failed.

    Parameters
    ----------
    target : SshTarget
        Whose keys were tried.
    locked, exposed : sequence of str
        Files with a passphrase; files that others may read.
    declined : str, optional
        What a person or ssh-agent did not want to sign.
    said : str, optional
        The server's own words.
    now_s : float
        Wall time.
    """
    if exposed:
        files = ", ".join(exposed)
        return f"{files}: others may read it, so it is not used, as ssh does: chmod 600 {files}"
    if locked:
        return f"{', '.join(locked)}: locked by a passphrase; `ssh-add` it first"
    faults = list(_find_certificate_faults(target, now_s))
    if faults:
        return "; ".join(faults)
    if declined:
        return declined
    return f"{USUAL_HINT}; it says: {_one_line(said)}" if said.strip() else USUAL_HINT


def _find_certificate_faults(target: SshTarget, now_s: float) -> Iterator[str]:
    beside = [Path(f"{path}-cert.pub") for path in target.identities]
    for path in dict.fromkeys((*beside, *target.certificates)):
        try:
            _kind, blob, _comment = parse_public_file(path.read_text(errors="replace"))
            certificate = parse_certificate(blob)
        except (OSError, ValueError):
            continue
        fault = certificate.find_fault(CertificateKind.USER, now_s)
        if fault:
            yield f"the certificate {path.name} {fault}"


def _one_line(text: str) -> str:
    return "".join(one for one in " ".join(text.split()) if one.isprintable())[:200]
