"""The page that describes the protocol names everything that can be said, as it is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpctrack.sync.files import incoming_folder
from hpctrack.sync.receiving import landing, quarantine, receive
from hpctrack.sync.sending import explain
from hpctrack.sync.wire import messages, protocol
from hpctrack.sync.wire.messages import ItemKind, Kind, Outcome, Wish
from hpctrack.sync.wire.protocol import MAGIC, MAX_BODY_BYTES
from hpctrack.sync.wire.refusal import REASONS
from hpctrack.sync.wire.tails import TAIL_BYTES
from tests.unit.sync.transcript import write_transcript

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs/reference/protocol.md").read_text()


@pytest.mark.parametrize("kind", Kind)
def test_every_message_is_described(kind: Kind) -> None:
    assert f"| {kind.value} | {kind.name} |" in PAGE


@pytest.mark.parametrize("word", sorted({*REASONS, *Outcome, *ItemKind}))
def test_every_code_and_outcome_is_described(word: str) -> None:
    assert f"`{word}`" in PAGE


@pytest.mark.parametrize("wish", Wish)
def test_every_wish_is_described(wish: Wish) -> None:
    assert f"| {wish.value} | {wish.name.lower()}" in PAGE


def test_the_constants_of_the_framing_are_the_ones_in_use() -> None:
    assert MAGIC.hex(" ") in PAGE
    assert f"{MAX_BODY_BYTES:,}" in PAGE
    assert f"This is version {messages.NEWEST_VERSION}." in PAGE


@pytest.mark.parametrize(
    "number",
    [
        2 * MAX_BODY_BYTES,
        protocol.SMALL_BYTES,
        protocol.DATA_BYTES,
        protocol.OFFER_ITEMS,
        receive.FRAME_MAX_ITEMS,
        receive.WANTED_MAX_ITEMS,
        landing.GROUP_BYTES,
        landing.GROUP_FILES,
        TAIL_BYTES,
        messages.TOKEN_BYTES,
    ],
)
def test_limits_are_the_ones_in_use(number: int) -> None:
    assert f"{number:,}" in PAGE


@pytest.mark.parametrize(
    "told",
    [
        f"| {explain.GREETING_TIMEOUT_S:g} s |",
        f"| {explain.ANSWER_TIMEOUT_S:g} s |",
        f"| {receive.IDLE_TIMEOUT_S:g} s |",
        f"{quarantine.PARTIAL_KEPT_S / 86_400:g} days",
        f"{incoming_folder.ABANDONED_AFTER_S / 3600:g} hours",
    ],
)
def test_times_are_the_ones_in_use(told: str) -> None:
    assert told in PAGE


def test_the_transcript_is_what_is_said() -> None:
    told = write_transcript()
    assert told in PAGE, f"put this on the page:\n{told}"


def test_the_tests_that_are_named_are_there() -> None:
    named = {one.strip("`,;:.") for one in PAGE.split() if "test_" in one}
    found = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    assert {Path(one).name for one in named} <= found
