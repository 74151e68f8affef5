"""Why the receiving side refuses: codes for the wire, sentences for people. Pure.

Codes are for ever; their facts go by name. What travels is only the code and the facts, never a
path of the other machine: the sentence is made by the side that shows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from string import Template

from hpctrack.sync.wire.messages import Fact, Facts

REASONS: Mapping[str, str] = {
    # one item
    "bad-name": "the $what is not allowed",
    "too-large": "$size_bytes bytes are more than the $limit_bytes that are allowed",
    "no-space": "no space is left there for $size_bytes bytes",
    "size-mismatch": "$got_bytes bytes came, not $size_bytes",
    "hash-mismatch": "what came is not what was announced (SHA-256)",
    "not-a-run": "it is not a sealed file that can be read there",
    "too-new": "it has format $format, and only formats up to $known can be read there",
    "external-link": "$where in it leads out of the file",
    "soft-link": "$where in it is a link by name, which no sealed file has",
    "external-storage": "the numbers of $where are kept in other files",
    "virtual-dataset": "$where is put together from other files",
    "filter": "$where is packed by a filter that no sealed file needs",
    "bomb": "$where would be too large when it is unpacked",
    "not-a-sweep": "it is not a sweep's description",
    "not-accounting": "it is not what Slurm counted of a run",
    "not-annotations": "it is not what people have said of a run",
    "no-run": "the run that it belongs to is not there",
    "other-run": "the file is that of $project/$run",
    "fewer-points": (
        "the run there has more: $points_there points in $attempts_there attempts,"
        " this one $points in $attempts"
    ),
    "live": "a run of that name is being recorded there, or has not been sealed",
    "link": "there is a link or a file where the folder should be",
    "unwritable": "it cannot be written there",
    "append-only": "it would replace what is there, and this key may only add",
    "not-a-blob": "its name is not its SHA-256",
    "gap": "rows before those that came are not there; the next push sends them",
    "rows": "they do not fit to the rows that are there",
    "other-project": "this key is for $projects",
    "other-user": "the run belongs to $owner",
    "quota": "the project's quota of $quota_bytes bytes is used up",
    "busy": "another connection is sending the same file just now",
    "part-lost": "the part of it that was there is gone; the next push sends all of it",
    "not-wanted": "it was not asked for",
    "unknown-kind": "the hpctrack there does not know such things yet",
    # the whole transfer
    "no-parent": "the folder that the store should be made in is not there; make it first",
    "not-a-folder": "the store is not a folder",
    "store-unwritable": "the store cannot be written",
    "version": "it speaks protocol $oldest to $newest",
    "protocol": "it did not understand: $what",
    "internal": "something went wrong there that should not ($what)",
}
"""Code and sentence; ``$name`` is a fact."""

FACT_MAX_CHARS = 200
"""Longer facts of a peer are cut before a person sees them."""


class ItemRefusal(Exception):  # noqa: N818 - it is an answer, not a failure
    """Ends the work on one item; becomes the `Result` that the sender is told.

    Parameters
    ----------
    code : str
        One of `REASONS`.
    facts : str or int
        What the sentence needs.
    """

    def __init__(self, code: str, **facts: Fact) -> None:
        super().__init__(code)
        self.code = code
        self.facts = facts


def describe(code: str, facts: Facts) -> str:
    """Return the sentence for a code, or the bare code if only a newer hpctrack knows it."""
    shown = {name: make_printable(value) for name, value in facts.items()}
    if code not in REASONS:
        told = ", ".join(f"{name} {value}" for name, value in shown.items())
        return f"{make_printable(code)} ({told})" if told else make_printable(code)
    return Template(REASONS[code]).safe_substitute(shown)


def make_printable(value: Fact) -> str:
    """Return a peer's text so that it cannot drive a terminal, cut."""
    text = "".join(one if one.isprintable() else "?" for one in str(value))
    return text[:FACT_MAX_CHARS]
