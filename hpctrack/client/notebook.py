"""What is different in a notebook, or at IPython's prompt; loaded there only."""

from __future__ import annotations

import sys

from hpctrack.client.values import exit_code_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Echo:
    """What stands for the ``echo`` of a notebook's stream, with a listener.

    Such a stream repeats to its echo whatever it is given. Its ``write`` is no place to listen:
    IPython puts its own there for each cell, and at the cell's end what was there before.

    Parameters
    ----------
    target : object
        The stream.
    on_text : callable
        Called with what is written, in the thread that writes.
    """

    def __init__(self, target: Any, on_text: Callable[[object], None]) -> None:
        self._target = target
        self._earlier = target.echo
        self._on_text: Callable[[object], None] | None = on_text
        target.echo = self

    def write(self, text: str) -> None:
        """Take what the stream was given."""
        if self._earlier is not None:
            self._earlier.write(text)
        if self._on_text is not None:
            self._on_text(text)

    def flush(self) -> None:
        """Flush what was there before."""
        if self._earlier is not None:
            self._earlier.flush()

    def undo(self) -> None:
        """Take it off if nobody has put something over it; silence it in any case."""
        self._on_text = None
        if self._target.echo is self:
            self._target.echo = self._earlier


def code_of_last_cell() -> int:
    """Return the exit code that stands for how the last cell ended.

    A kernel itself always ends with 0, also when the notebook was given up at a cell that failed.
    """
    try:
        shell = sys.modules["IPython"].get_ipython()
        result = getattr(shell, "last_execution_result", None)
        return exit_code_of(result.error_before_exec or result.error_in_exec) if result else 0
    except Exception:  # noqa: BLE001 - nothing may reach the program's end
        return 0
