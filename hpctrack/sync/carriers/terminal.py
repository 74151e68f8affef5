"""Questions to the person at the terminal, past whatever the standard streams are used for."""

from __future__ import annotations

import atexit
import getpass
import os
import termios
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

TERMINAL = Path("/dev/tty")


def has_terminal() -> bool:
    """Tell whether somebody can be asked: the process has a terminal and is in its foreground."""
    try:
        fd = os.open(TERMINAL, os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(fd)


def ask_secret(question: str) -> str:
    """Return what is typed, which is not shown.

    Raises
    ------
    EOFError
        Nobody answers.
    """
    try:
        with _kept_terminal():
            return getpass.getpass(question)
    except (OSError, termios.error):
        raise EOFError from None


@contextmanager
def _kept_terminal() -> Iterator[None]:
    """Have the terminal show again what is typed, also if the process ends within.

    A question may be asked on a thread, and that does not come to its end with the process.
    """
    fd = os.open(TERMINAL, os.O_RDWR | os.O_NOCTTY)
    before = termios.tcgetattr(fd)

    def restore() -> None:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)

    atexit.register(restore)
    try:
        yield
    finally:
        atexit.unregister(restore)
        os.close(fd)


def ask(question: str) -> str:
    """Return what is typed; it is shown, as a server may allow for a code."""
    try:
        with TERMINAL.open("w") as out:
            out.write(question)
            out.flush()
        with TERMINAL.open() as typed:
            line = typed.readline()
    except OSError:
        raise EOFError from None
    if not line:
        raise EOFError
    return line.rstrip("\n")


def tell(*lines: str) -> None:
    """Show lines on the terminal."""
    shown = [line for line in lines if line.strip()]
    if shown:
        try:
            with TERMINAL.open("w") as out:
                out.write("".join(f"{line}\n" for line in shown))
        except OSError:
            return


def answer_prompts(
    title: str, text: str, prompts: Sequence[tuple[str, bool]], *, who: str
) -> list[str]:
    """Put a server's questions to the user.

    Parameters
    ----------
    title, text : str
        What it says about them.
    prompts : sequence of (str, bool)
        Questions, and whether the answer may be seen.
    who : str
        The server; a person must know who asks for a secret.
    """
    tell(_clean(title), _clean(text))
    questions = ((f"({who}) {_clean(prompt)}", is_shown) for prompt, is_shown in prompts)
    return [ask(one) if is_shown else ask_secret(one) for one, is_shown in questions]


def _clean(text: str) -> str:
    """Take the control characters out: a server must not paint on the terminal."""
    return "".join(one for one in text if one.isprintable() or one == "\n")
