from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from hpctrack.sync.sending.ahead import interrupted_afterwards


@pytest.fixture(autouse=True)
def usual_handler() -> Iterator[None]:
    """Python's own: what is started in the background ignores interrupts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_waits_until_what_must_not_be_interrupted_is_over() -> None:
    done = []

    def work() -> None:
        with interrupted_afterwards():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("all of it")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["all of it"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_without_an_interrupt_and_in_other_threads_nothing_happens() -> None:
    with interrupted_afterwards():
        pass
    seen = []

    def work() -> None:
        with interrupted_afterwards():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]


def test_a_program_that_handles_interrupts_itself_goes_on_doing_so() -> None:
    came = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: came.append(number))
    try:
        with interrupted_afterwards():
            os.kill(os.getpid(), signal.SIGINT)
            assert came == [signal.SIGINT]
    finally:
        signal.signal(signal.SIGINT, before)
