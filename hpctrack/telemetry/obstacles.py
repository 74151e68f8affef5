"""What telemetry cannot read on a node, why, and what would help."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One subject that is not available; a line of ``hpctrack doctor``.

    Parameters
    ----------
    subject : str
        ``power``, ``cgroup``, ``lustre``.
    why : str
        What was tried and what came of it.
    remedy : str
        What to do; empty if nothing is wrong, as when there is no such device.
    """

    subject: str
    why: str
    remedy: str = ""

    @property
    def text(self) -> str:
        """One line for people."""
        return f"{self.why}; {self.remedy}" if self.remedy else self.why
