"""The page that describes the protocol names everything that can be said."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpctrack.sync.wire.messages import ItemKind, Kind, Outcome
from hpctrack.sync.wire.protocol import MAGIC, MAX_BODY_BYTES
from hpctrack.sync.wire.refusal import REASONS

PAGE = (Path(__file__).resolve().parents[3] / "docs/reference/protocol.md").read_text()


@pytest.mark.parametrize("kind", Kind)
def test_every_message_is_described(kind: Kind) -> None:
    assert f"| {kind.value} | {kind.name} |" in PAGE


@pytest.mark.parametrize("word", sorted({*REASONS, *Outcome, *ItemKind}))
def test_every_code_and_outcome_is_described(word: str) -> None:
    assert f"`{word}`" in PAGE


def test_the_constants_of_the_framing_are_the_ones_in_use() -> None:
    assert MAGIC.hex(" ") in PAGE
    assert f"{MAX_BODY_BYTES:,}" in PAGE
