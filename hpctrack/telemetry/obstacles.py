"""What telemetry cannot read on a node, why, and what would help."""

from __future__ import annotations

from dataclasses import dataclass

from hpctrack.telemetry.kernel_files import KernelFiles


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


def find_missing_sys(files: KernelFiles, subject: str) -> Obstacle | None:
    """Return that a subject cannot be told where /sys is not to be seen, as in some containers."""
    why = files.why("sys/class")
    if not why:
        return None
    told = "/sys is not here" if why == "not there" else f"/sys/class: {why}"
    return Obstacle(subject, f"cannot be told: {told}", "in a container, mount /sys")
