"""How a run stands, and why, in a sentence. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from hpctrack_server.components.rank_strip import Rank, explain_end

SENTENCES = {
    "running": "It is running.",
    "finished": "All ranks ended well.",
    "crashed": (
        "All signs of life have stopped, and nobody saw why: "
        "the node, the job or the agent was ended from outside."
    ),
    "preempted": "It was preempted by the scheduler before it was done.",
}


class Run(Protocol):
    """What is to be known of a run."""

    @property
    def state(self) -> str: ...  # noqa: D102
    @property
    def ranks(self) -> Sequence[Rank]: ...  # noqa: D102
    @property
    def size(self) -> int: ...  # noqa: D102
    @property
    def attempts(self) -> int: ...  # noqa: D102


def explain_state(run: Run, ranks: str) -> str:
    """Say how a run stands.

    Parameters
    ----------
    run : Run
    ranks : str
        How its ranks stand, in words.
    """
    state = str(run.state)
    again = f" This is attempt {run.attempts}." if run.attempts > 1 else ""
    if state == "failed":
        return _explain_failure(run) + again
    sentence = SENTENCES.get(state, "")
    if state == "running" and run.size > 1:
        sentence = f"It is running: {ranks}."
    return sentence + again


def _explain_failure(run: Run) -> str:
    bad = [one for one in run.ranks if str(one.state) in {"failed", "lost"}]
    if not bad:
        return "It failed; no rank says why."
    # Who died first usually took the others along.
    first = min(bad, key=lambda one: getattr(one, "ended_wall_s", None) or float("inf"))
    why = explain_end(first) or str(first.state)
    host = f" on {first.host}" if first.host else ""
    if run.size == 1:
        return f"It ended with {why}{host}."
    rest = len(bad) - 1
    sentence = f"Rank {first.rank}{host} was the first to go: {why}."
    if rest:
        counts = Counter(str(one.state) for one in bad if one is not first)
        more = " and ".join(f"{count:,} {state}" for state, count in sorted(counts.items()))
        sentence += f" After it, {more}."
    going = sum(str(one.state) == "running" for one in run.ranks)
    return sentence + (f" {going:,} still running." if going else "")
