"""Whose process this is."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping


def find_account(environ: Mapping[str, str]) -> str:
    """Return the name of the user, as the environment says, else as the user database does.

    Parameters
    ----------
    environ : mapping
        Containers often have neither ``USER`` nor ``LOGNAME``.

    Returns
    -------
    str
        The number, if it has no name.
    """
    named = environ.get("USER") or environ.get("LOGNAME")
    if named:
        return named
    number = os.getuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
