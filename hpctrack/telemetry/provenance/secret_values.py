"""What looks like a secret whatever it is called: keys of known make, and long random text."""

from __future__ import annotations

import re

MASK = "***"
"""Stands in for what is not recorded."""

_KEYS = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"(?:AKIA|ASIA|ABIA|ACCA|AGPA|AIDA|AIPA|ANPA|ANVA|AROA)[A-Z0-9]{12,}"  # Amazon
    r"|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{16,}"
    r"|gl(?:pat|ptt|dt|rt|cbt|ft|soat|agent|imt|oas)-[A-Za-z0-9_.-]{10,}"  # GitLab
    r"|(?:hf|api_org)_[A-Za-z0-9]{16,}"  # Hugging Face
    r"|sk-[A-Za-z0-9_-]{16,}|[rs]k_(?:live|test)_[A-Za-z0-9]{10,}|whsec_[A-Za-z0-9+/=]{16,}"
    r"|xox[a-z]-[A-Za-z0-9-]{8,}|xapp-[A-Za-z0-9-]{8,}"  # Slack
    r"|AIza[A-Za-z0-9_-]{30,}|ya29\.[A-Za-z0-9_.-]{16,}|GOCSPX-[A-Za-z0-9_-]{16,}"  # Google
    r"|npm_[A-Za-z0-9]{16,}|pypi-[A-Za-z0-9_-]{16,}|dop_v1_[a-f0-9]{16,}|dckr_pat_[\w-]{16,}"
    r"|lsv2_[a-z]{2}_\w{16,}|nvapi-[A-Za-z0-9_-]{16,}|wandb_v1_\w{16,}|r8_[A-Za-z0-9]{16,}"
    r"|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}|sq0[a-z]{3}-[A-Za-z0-9_-]{16,}"
    r"|hv[sb]\.[A-Za-z0-9_-]{16,}|AGE-SECRET-KEY-1[A-Z0-9]{16,}|shp(?:at|ca|pa|ss)_[a-fA-F0-9]{16,}"
    r"|eyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]*)?"  # JWT
    r")"
)
_HOOKS = re.compile(
    r"(https://(?:hooks\.slack\.com/services/|discord(?:app)?\.com/api/webhooks/"
    r"|[\w.-]*outlook\.office(?:365)?\.com/webhook\w*/|[\w.-]*webhook\.office\.com/"
    r"|chat\.googleapis\.com/v1/spaces/|api\.telegram\.org/bot|maker\.ifttt\.com/trigger/"
    r"|conda\.anaconda\.org/t/|hc-ping\.com/))[^\s\"']+"
)

_PEM = re.compile(
    r"-----BEGIN [^-\n]{0,40}PRIVATE KEY[^-\n]{0,40}-----"
    r"(?:.{0,20000}?-----END [^-\n]*-----|[A-Za-z0-9+/=\s\\-]*)"
    r"|PuTTY-User-Key-File-\d.{0,20000}?Private-MAC[^\n]*",
    re.DOTALL,
)

_URL_LOGIN = re.compile(
    r"(?P<scheme>\b[A-Za-z][A-Za-z0-9+.-]{0,30})://"
    # the last @ before the path; a password may hold more of them, and a slash by mistake
    r"(?P<who>[^\s\"'<>/]{0,4000}@|[^\s\"'<>/:@]{0,400}:(?!\d+/)[^\s\"'<>@]{0,4000}@)"
)
_USER_SCHEMES = frozenset({"ssh", "git+ssh", "ssh+git", "sftp", "rsync", "svn+ssh", "file"})
"""A name before the host is only a name there."""

_REFERENCE = re.compile(r"(?:[$%]?\{[^{}]*\}|\$\w+|%s|:)+")
"""``${TOKEN}`` says where a secret is, not what it is."""

_BEARER = re.compile(r"(?i)\b(bearer|basic|token)(\s+)([A-Za-z0-9._~+/=-]{8,})")
_RANDOM = re.compile(r"[A-Za-z0-9_+/-]{20,}={0,2}")
_UUID = re.compile(r"(?:[A-Z]{3,4}-)?[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
"""With what NVIDIA's driver puts before it: a GPU's."""

_RUN = re.compile(r"[A-Za-z0-9]+")
_RUN_MIN = 12
_LENGTH_MIN = 18
_CHUNK = re.compile(r"[A-Z]?[a-z]{2,}|[A-Z]{2,}|\d+|.")
_SHARE_MIN = 0.4
"""Words, capitals or numbers per letter: 0.58 of random text, below 0.35 of nearly all names in
Python's library and the packages beside it; one in a hundred keys of 24 letters is below 0.38."""

_HEX = re.compile(r"(?<![\w/:@.-])(?:[0-9a-f]{32,}|[0-9A-F]{32,})(?![\w-])")
_ABOUT_DIGESTS = re.compile(
    r"(?i)git|commit|sha\d*\b|md5|hash|digest|\brev|checksum|checkout|index|uuid|subproject|_id\b|fingerprint"
)


def mask_keys(text: str) -> str:
    """Hide keys of a known make, private keys, and what URLs hold before the host."""
    if "-----BEGIN" in text or "PuTTY-User" in text:
        text = _PEM.sub(_mask_block, text)
    text = _KEYS.sub(MASK, text)
    if "://" in text:
        text = _URL_LOGIN.sub(_mask_login, text)
        text = _HOOKS.sub(rf"\1{MASK}", text)
    return text


def mask_random(text: str) -> str:
    """Hide what looks like no word, name or path; not plain hexadecimal, see `mask_digits`."""
    text = _BEARER.sub(
        lambda one: f"{one[1]}{one[2]}{MASK}" if re.search(r"[\d=]", one[3]) else one[0], text
    )
    return _RANDOM.sub(lambda one: MASK if is_random(one[0]) else one[0], text)


def mask_digits(line: str) -> str:
    """Hide long hexadecimal numbers in a line that is not about commits or checksums."""
    if _ABOUT_DIGESTS.search(line):
        return line
    return _HEX.sub(MASK, line)


def is_hexadecimal(value: str) -> bool:
    """Tell whether a whole value is nothing but a long hexadecimal number."""
    return bool(_HEX.fullmatch(value))


def is_random(text: str) -> bool:
    """Tell whether a text of letters and digits was drawn, not written.

    Examples
    --------
    >>> is_random("wJalrXUtnFEMIK7MDENGbPxRfiCYzEXAMPLEKEY"), is_random("ResNet50_v2_lr1e-4_run17")
    (True, False)
    """
    runs = _RUN.findall(text)
    if _UUID.fullmatch(text):
        return False
    if not any(len(one) >= _RUN_MIN for one in runs):
        return False
    # A key may be one part of a longer name, or have dashes of its own.
    return any(_is_drawn(one) for one in ("".join(runs), *runs))


def _is_drawn(plain: str) -> bool:
    if len(plain) < _LENGTH_MIN or len({_kind(one) for one in plain}) < len("lud"):
        return False
    return len(_CHUNK.findall(plain)) >= _SHARE_MIN * len(plain)


def _kind(letter: str) -> str:
    return "d" if letter.isdigit() else "u" if letter.isupper() else "l"


def _mask_block(found: re.Match[str]) -> str:
    """Hide the inner lines; a diff keeps its lines and what each begins with."""
    inner = found[0].split("\n")[1:]
    kept = [one[0] if one[:1] in {"+", "-", " "} else "" for one in inner]
    # A block without an end runs on to the end of its last line.
    last = [] if not inner or inner[-1].strip("+- \r") else [kept.pop()]
    return "\n".join([MASK, *(f"{one}{MASK}" for one in kept), *last])


def _mask_login(found: re.Match[str]) -> str:
    scheme, who = found["scheme"], found["who"][:-1]
    is_user = ":" not in who and scheme.lower() in _USER_SCHEMES
    if is_user or _REFERENCE.fullmatch(who):
        return found[0]
    return f"{scheme}://{MASK}@" if who else found[0]
