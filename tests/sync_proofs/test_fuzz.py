"""Whatever is said to a receiver, it neither breaks, nor hangs, nor writes where it should not.

``scripts/fuzz_receive`` does the same with 100,000 conversations that nobody has tried before.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from hpctrack.sync.wire.messages import Kind
from hpctrack.sync.wire.protocol import MAGIC
from tests.sync_proofs.answering import answer_badly
from tests.sync_proofs.fuzzing import fuzz, make_talks
from tests.sync_proofs.mutations import Mutator, frame, replace_one, split_stream

CASES, CASES_PER_TEST = 10_000, 1000
ANSWERS, ANSWERS_PER_TEST = 600, 200
ENDINGS = {"peace", "ProtocolError", "CutOffError", "RefusedError", "SyncError"}


@pytest.mark.parametrize("first_seed", range(0, CASES, CASES_PER_TEST))
def test_a_bent_conversation_harms_nobody(folder: Path, first_seed: int) -> None:
    endings = fuzz(folder, first_seed, CASES_PER_TEST)
    assert endings.keys() <= ENDINGS
    # Most are noticed, and enough of them get past the first look.
    assert endings["peace"] > CASES_PER_TEST / 20
    assert endings["ProtocolError"] > CASES_PER_TEST / 5


@pytest.mark.parametrize("first_seed", range(0, ANSWERS, ANSWERS_PER_TEST))
def test_a_bent_receiver_harms_no_sender(folder: Path, first_seed: int) -> None:
    endings = answer_badly(folder, first_seed, ANSWERS_PER_TEST)
    assert endings.keys() <= ENDINGS
    assert endings["peace"] > ANSWERS_PER_TEST / 20


def test_the_same_seed_bends_in_the_same_way(folder: Path) -> None:
    mutator = Mutator(make_talks(folder / "talks"))
    first = [mutator.make(seed) for seed in range(200)]
    assert first == [mutator.make(seed) for seed in range(200)]
    assert len(set(first)) > 190
    assert all(split_stream(b"".join(one)) == one for one in mutator.talks)


def test_any_field_may_be_replaced() -> None:
    chance, fields = random.Random(1), {"a": [1, {"b": "c"}], "d": {}}
    made = {json.dumps(replace_one(fields, chance), sort_keys=True) for _again in range(500)}
    assert len(made) > 50
    assert frame(Kind.DONE, b"") not in MAGIC
