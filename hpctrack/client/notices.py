"""What a rank tells the person at the terminal: once each, on stderr, with the rank's number."""

from __future__ import annotations

import sys

from hpctrack.core.names import clean


class Notices:
    """Prints each notice once and remembers how often it came.

    Parameters
    ----------
    label : str
        Put before the text, such as ``rank 3``; empty for a run of one rank.
    quiet : bool
        Print warnings and errors only.
    """

    def __init__(self, label: str = "", *, quiet: bool = False) -> None:
        self._label = f" [{label}]" if label else ""
        self._quiet = quiet
        self.counts: dict[str, int] = {}

    def say(self, text: str) -> None:
        """Print a line of good news."""
        if not self._quiet:
            self._print(clean(text))

    def warn_once(self, key: str, text: str) -> bool:
        """Print a warning the first time ``key`` comes; return whether this was the first."""
        count = self.counts[key] = self.counts.get(key, 0) + 1
        if count == 1:
            self._print(f"warning: {clean(text)}")
        return count == 1

    def _print(self, text: str) -> None:
        stream = sys.stderr
        if stream is None:  # pythonw and some embedded interpreters have none
            return
        try:
            stream.write(f"hpctrack{self._label}: {text}\n")
            stream.flush()
        except (OSError, ValueError):
            pass  # a closed terminal must not stop the training
