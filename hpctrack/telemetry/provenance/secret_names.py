"""Which names tell that their value is nobody else's business."""

from __future__ import annotations

import re

_HARMLESS = frozenset({"pwd", "oldpwd"})
"""The working folder's names in every shell."""

_PASSWORDS = re.compile(
    r"passw|passphrase|passcode|passkey|pincode|pwd|secret|pgpass|sshpass|apikey|accesskey|privatekey"
)
_STRONG = re.compile(
    r"credential|cookie|bearer|jwt|authorization|signingkey|encryptionkey|accountkey"
    r"|connectionstring"
    # a tokenizer is a part of a language model
    r"|token(?!i[sz])"
)
"""Anywhere in a name, once its separators are gone."""

_STRONG_WORDS = frozenset({"pass", "pw", "auth", "oauth", "cred", "creds", "otp", "totp"})
_GLUED = re.compile(r"\w+(?:pass|pw)")
"""``dbpass``, ``ROOTPW``: what is let in, and with what, in one word."""

_ORDINARY = re.compile(
    r"(?:by|com|encom|over|under|sur|tres|im|out|low|high|band|all|one|two|three|multi|single|first"
    r"|second|final|forward|backward|fwd|bwd|n|num|max|min|full|half|pre|post|no|per|next|prev|main"
    r"|render|depth|shadow|color|sub|dry|warmup|pipeline|train|test|eval)pass|\wpw"
)
"""Other words that end so."""

_PIN = re.compile(r"\d{4,12}|(?=\S*\d)(?=\S*[A-Za-z])[^\s:,/=]{6,}")
"""What lets somebody in; no ``--pin core``, no ``pin=0-3``."""

_COUNTED_WORDS = frozenset({
    "tokens", "num", "n", "max", "min", "total", "count", "per", "batch", "budget",
    "len", "length", "size", "dim", "seen",
})  # fmt: skip
"""With one of these a name counts things: ``max_tokens``, ``num_keys``."""

_PLACE_WORDS = frozenset({"file", "path", "dir", "folder", "home", "sock", "socket"})
"""At the end of a name: where a secret is, not what it is."""

_WEAK_WORDS = frozenset(
    {"key", "keys", "private", "sig", "signature", "dsn", "license", "licence", "salt"}
)
"""Whole words of a name; the weak ones often mean something else (``sort_key``)."""

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_PLAIN = re.compile(
    r"[-+]?[\d_.]{1,7}(?:e[-+]?\d+)?|true|false|yes|no|on|off|none|null", re.IGNORECASE
)
_NUMBER = re.compile(r"[-+]?[\d_.,]{1,24}(?:e[-+]?\d+)?[kmgbt]?", re.IGNORECASE)
"""``300_000_000_000``, ``4k``, ``10B``."""

_PLACE = re.compile(r"(?:[~.]{0,2}/|[A-Za-z]:\\|\$\w+/|\$\{\w+\}/)[^\n]*")
_LICENSE_WORDS = frozenset({"license", "licence"})
_SERVERS = re.compile(r"(?:[:;,]?\d{2,5}@[\w.-]+)+")
"""Where licences are asked for: ``27000@licences.site``."""

_SPECIAL_TOKEN = re.compile(r"(?:,?[ ]?(?:</?[^<>/]{0,24}>|\[[A-Z_0-9]{1,16}\]))+")
"""``<pad>``, ``[MASK]``: what language models call tokens."""


def is_secret_name(name: str) -> bool:
    """Tell whether a variable, option or key of this name holds a secret.

    Examples
    --------
    >>> is_secret_name("HF_TOKEN"), is_secret_name("--api-key"), is_secret_name("PWD")
    (True, True, False)
    """
    return is_strong_name(name) or (
        _squeeze(name) not in _HARMLESS and bool(_WEAK_WORDS.intersection(_split(name)))
    )


def is_strong_name(name: str) -> bool:
    """Tell whether the name leaves no doubt, as ``key`` alone does."""
    plain = _squeeze(name)
    if plain in _HARMLESS:
        return False
    if _PASSWORDS.search(plain) or _STRONG.search(plain):
        return True
    words = _split(name)
    # GITHUB_PAT is a personal access token, PAT_RT_SUMMARY belongs to a profiler
    return (
        bool(_STRONG_WORDS.intersection(words))
        or any(_GLUED.fullmatch(one) and not _ORDINARY.fullmatch(one) for one in words)
        or words[-1:] in (["pat"], ["pin"])
    )


def is_password_name(name: str) -> bool:
    """Tell whether even a short number behind the name is a secret."""
    plain = _squeeze(name)
    return plain not in _HARMLESS and bool(_PASSWORDS.search(plain))


def counts_things(name: str) -> bool:
    """Tell whether a name is about how many of something there are: ``max_tokens``."""
    return bool(_COUNTED_WORDS.intersection(_split(name)))


def is_harmless(name: str, value: str) -> bool:
    """Tell whether a value behind a secret's name is none: a number, a switch, ``<pad>``.

    Examples
    --------
    >>> is_harmless("--max-tokens", "4k"), is_harmless("--token", "4k")
    (True, False)
    """
    value = value.strip("\"'")
    if not value:
        return True
    words = _split(name)
    if words[-1:] and words[-1] in _PLACE_WORDS and _PLACE.fullmatch(value):
        return True
    if is_password_name(name):
        return False
    if words[-1:] == ["pin"]:
        return not _PIN.fullmatch(value)
    if counts_things(name) and _NUMBER.fullmatch(value):
        return True
    is_servers = _LICENSE_WORDS.intersection(words) and _SERVERS.fullmatch(value)
    return bool(is_servers or _PLAIN.fullmatch(value) or _SPECIAL_TOKEN.fullmatch(value))


def _squeeze(name: str) -> str:
    return "".join(one for one in name.lower() if one.isalnum())


def _split(name: str) -> list[str]:
    return [one.lower() for one in _WORDS.findall(name)]
