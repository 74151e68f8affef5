"""The terminal: one widget that writes the lines which have changed, and a thread that reads."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rich.segment import Segment
from rich.style import Style
from textual.app import App, ComposeResult
from textual.events import Key, Resize
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from hpctrack.cli.top.cells import Glyphs, Line, cut_text
from hpctrack.cli.top.controls import Controls, View, press
from hpctrack.cli.top.list_screen import draw_list
from hpctrack.cli.top.live import LiveRow, LiveRuns
from hpctrack.cli.top.run_screen import draw_run
from hpctrack.cli.top.screen import Picture, Size
from hpctrack.cli.top.strips import Look
from hpctrack.cli.top.watched import WatchedRun
from hpctrack.core.clock import Clock
from hpctrack.errors import HpctrackError

ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
"""They end the program by its own way: the terminal must be left as it was found."""

STYLES: Mapping[str, Style] = {
    "": Style(),
    "bold": Style(bold=True),
    "dim": Style(dim=True),
    "good": Style(color="green"),
    "warn": Style(color="magenta"),
    "bad": Style(color="red", bold=True),
    "accent": Style(color="cyan"),
    "select": Style(bold=True, underline=True),
    "tab": Style(bold=True, reverse=True),
    "mark": Style(bold=True, reverse=True),
    "heat0": Style(color="cyan"),
    "heat1": Style(color="green"),
    "heat2": Style(color="magenta"),
}
"""Colours that are read on dark and on light, by their names: the terminal's own palette counts."""


class Board(Widget):
    """The whole screen."""

    DEFAULT_CSS = "Board { width: 100%; height: 100%; background: ansi_default; }"

    def __init__(self) -> None:
        super().__init__()
        self._lines: Sequence[Line] = ()

    def show(self, lines: Sequence[Line]) -> None:
        """Write the lines that differ from those on the screen."""
        before, self._lines = self._lines, lines
        if len(before) != len(lines):
            self.refresh()
            return
        changed = [at for at, line in enumerate(lines) if line != before[at]]
        if changed:
            self.refresh(*(Region(0, at, self.size.width, 1) for at in changed))

    def render_line(self, y: int) -> Strip:
        """Return a line as Textual wants it."""
        line = self._lines[y] if y < len(self._lines) else ()
        segments = [Segment(text, STYLES[style]) for text, style in line]
        return Strip(segments).adjust_cell_length(self.size.width, STYLES[""])


class TopApp(App[None]):
    """`hpctrack top`.

    Parameters
    ----------
    live : LiveRuns
        The runs of the list.
    only : Path, optional
        The folder of a run to show; there is no list then.
    clock : Clock
    stale_after_s : float
    glyphs : Glyphs
    interval_s : float
    whose : str
        The user whose runs are listed; empty for everybody's.
    """

    ENABLE_COMMAND_PALETTE = False
    CSS = "Screen { background: ansi_default; }"

    def __init__(
        self,
        live: LiveRuns,
        *,
        only: Path | None = None,
        clock: Clock,
        stale_after_s: float,
        glyphs: Glyphs,
        interval_s: float = 2.0,
        whose: str = "",
    ) -> None:
        super().__init__(ansi_color=True)
        self.animation_level = "none"
        self.controls = Controls(
            run=(only.parent.name, only.name) if only else None, interval_s=interval_s
        )
        self.picture = Picture(())
        self.rows: list[LiveRow] = []
        self._live = live
        self._only = only
        self._clock = clock
        self._stale_after_s = stale_after_s
        self._glyphs = glyphs
        self._whose = whose
        self._watched: WatchedRun | None = None
        self._told = ""
        self._board = Board()
        self._wake = threading.Event()
        self._is_over = threading.Event()
        self._reader = threading.Thread(target=self._read, name="hpctrack-top", daemon=True)

    def compose(self) -> ComposeResult:
        """Fill the screen with the board."""
        yield self._board

    def on_mount(self) -> None:
        """Begin to read."""
        loop = asyncio.get_running_loop()
        for one in ENDING_SIGNALS:
            loop.add_signal_handler(one, self.stop, 128 + one)
        self._reader.start()

    def on_resize(self, _event: Resize) -> None:
        """Draw anew for another size."""
        self.draw()

    def on_key(self, event: Key) -> None:
        """Do what a key says, at once."""
        event.prevent_default()
        event.stop()
        before = self.controls
        self.controls = press(before, event.key, self.picture.choice, event.character or "")
        if self.controls.is_over:
            self.stop()
            return
        asks = ("run", "view", "rank", "interval_s", "is_paused")
        if any(getattr(self.controls, one) != getattr(before, one) for one in asks):
            self._wake.set()
        self.draw()

    def stop(self, code: int = 0) -> None:
        """End the program; a reader that waits for a dead file system is left behind.

        Parameters
        ----------
        code : int
            Its exit code.
        """
        self._is_over.set()
        self._wake.set()
        self.exit(return_code=code)

    def draw(self) -> None:
        """Draw what is known now."""
        size = Size(self.size.width, self.size.height)
        run, controls = self._watched, self.controls
        if controls.run is None:
            self.picture = draw_list(
                self.rows, controls, size, self._glyphs, whose=self._whose, told=self._told
            )
        elif run is not None and run.key == controls.run:
            with run.lock:
                until_s = run.known_until_wall_s(self._clock.wall_s())
                look = Look(run, controls, until_s, size, self._glyphs)
                self.picture = draw_run(look, is_only=self._only is not None)
                run.model.chosen = look.metric
            if self._told:
                told: Line = ((cut_text(self._told, size.width, self._glyphs), "bad"),)
                self.picture = replace(self.picture, lines=(*self.picture.lines[:-1], told))
        else:
            waiting: Line = ((self._told or f"reading {'/'.join(controls.run)} ...", "dim"),)
            self.picture = replace(self.picture, lines=(waiting,) + ((),) * (size.height - 1))
        self.controls = replace(
            controls, row=min(controls.row, max(0, self.picture.choice.rows - 1))
        )
        self._board.show(self.picture.lines)

    def _read(self) -> None:
        """Read again and again; on a thread of its own, which a file system may hold up."""
        while not self._is_over.is_set():
            controls = self.controls
            if not controls.is_paused or self._needs(controls):
                self._look(controls)
                try:
                    self.call_from_thread(self.draw)
                except RuntimeError:
                    break  # the program is over
            self._wake.wait(controls.interval_s)
            self._wake.clear()
        if self._watched is not None:
            self._watched.close()
        self._live.close()

    def _needs(self, controls: Controls) -> bool:
        """Tell whether the screen lacks what was asked for while it is paused."""
        watched = self._watched
        if controls.run is None:
            return False
        if watched is None or watched.key != controls.run:
            return True
        return controls.view is View.CONSOLE and watched.console_rank != controls.rank

    def _look(self, controls: Controls) -> None:
        try:
            if controls.run is None:
                self._leave()
                self.rows = self._live.refresh()
            else:
                self._watch(controls.run)
            self._told = ""
        except (HpctrackError, OSError) as error:
            self._told = str(error)
        except Exception as error:  # noqa: BLE001 - a damaged file must not freeze the screen
            self._told = f"cannot be read: {type(error).__name__}: {error}"

    def _watch(self, key: tuple[str, str]) -> None:
        controls = self.controls
        if self._watched is None or self._watched.key != key:
            self._leave()
            self._live.close()  # of a file that is open twice HDF5 does not see that it grows
            run = WatchedRun(
                self._only or self._live.store / key[0] / key[1],
                clock=self._clock,
                stale_after_s=self._stale_after_s,
            )
            run.refresh()
            self._watched = run
        self._watched.console_rank = controls.rank if controls.view is View.CONSOLE else None
        self._watched.refresh()

    def _leave(self) -> None:
        watched, self._watched = self._watched, None
        if watched is not None:
            watched.close()
