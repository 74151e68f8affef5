"""Changing sealed files at random, and asking two who do not know each other about them.

The reader of bytes (`hpctrack.store.skeleton`) must take nothing that the HDF5 library finds to be
more than a sealed file has. What it takes may be damaged, then the library says so.

    python -m tests.foreign_fuzz SEED CASES     # 10,000 cases take some two minutes
"""

from __future__ import annotations

import random
import struct
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hpctrack.core.names import clean
from hpctrack.store.skeleton import check_batch
from hpctrack.store.skeleton.summary import REQUIRED_NAMES
from hpctrack.store.strict_check import StrictChecker
from tests.hdf5_bytes import Blocks, iter_messages
from tests.unit.store.sealed_kinds import KINDS, tree_of_metrics

TELLING = (*range(0x19), 0x20, 0x40, 0x41, 0x80, 0xFF)
"""Types of messages and of links, flags, versions."""

HARMLESS = {"", "not-a-run", "too-new"}
"""Damage; and a format too new, which the one who asks compares."""

UNNAMED = {"/", *(f"/{name.decode()}" for name in REQUIRED_NAMES)}
"""An object is named when it is found to be more, not when it cannot be read; and those that are
missed: the library looks for them by a checksum of their name, which may be changed."""

BATCH = 100
_ADDRESS_AT = {0x02: 2, 0x06: -8, 0x08: -8, 0x10: 0}
"""Where messages have an address: link info, link, layout, continuation."""


class Victim:
    """A file, and what is worth changing in it."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.blocks = Blocks(data)
        self.starts = [one.start for one in self.blocks.all]
        self.messages = [
            message
            for one in self.blocks.all
            if one.kind in {"OHDR", "OCHK"}
            for message in iter_messages(data, one)
        ]

    def change(self, chance: random.Random) -> bytes:
        """Return it with a few changes, nearly always with the right checksums."""
        made = bytearray(self.data)
        for _change in range(chance.choice((1, 1, 1, 2, 3))):
            chance.choice(CHANGES)(self, made, chance)
        if chance.random() < 0.05:
            del made[chance.randrange(len(made)) :]
        if chance.random() < 0.05:
            place = chance.randrange(len(made) + 1)
            made[place:place] = chance.randbytes(chance.randrange(20))
        if chance.random() < 0.93 and len(made) > 48:
            self.blocks.mend(made)
        return bytes(made)


def change_block(victim: Victim, made: bytearray, chance: random.Random) -> None:
    block = chance.choice(victim.blocks.all)
    made[block.start + chance.randrange(block.length)] = chance.choice(TELLING)


def flip_bit(victim: Victim, made: bytearray, chance: random.Random) -> None:
    block = chance.choice(victim.blocks.all)
    made[block.start + chance.randrange(min(60, block.length))] ^= 1 << chance.randrange(8)


def change_message(victim: Victim, made: bytearray, chance: random.Random) -> None:
    _kind, at, size = chance.choice(victim.messages)
    made[at - 4 + chance.randrange(min(size, 24) + 4)] = chance.choice(TELLING)


def change_address(victim: Victim, made: bytearray, chance: random.Random) -> None:
    kind, at, size = chance.choice([one for one in victim.messages if one[0] in _ADDRESS_AT])
    place = at + _ADDRESS_AT[kind] % max(size, 1)
    struct.pack_into("<Q", made, min(place, len(made) - 8), chance.choice(victim.starts))


def copy_message(victim: Victim, made: bytearray, chance: random.Random) -> None:
    _kind, at, size = chance.choice(victim.messages)
    _other, place, room = chance.choice(victim.messages)
    count = min(size, room) + 4
    made[place - 4 : place - 4 + count] = victim.data[at - 4 : at - 4 + count]


def change_anything(victim: Victim, made: bytearray, chance: random.Random) -> None:
    made[chance.randrange(len(made))] = chance.randrange(256)


CHANGES = (
    change_block,
    flip_bit,
    change_message,
    change_message,
    change_address,
    copy_message,
    change_anything,
)


def run(victims: Sequence[Victim], seed: int, cases: int) -> Counter[str]:
    """Change files and compare what is said of them.

    Returns
    -------
    Counter
        How often the library had which answer for files that were taken; "unknown" for others.
    """
    chance = random.Random(seed)
    count: Counter[str] = Counter()
    with StrictChecker(timeout_s=20) as checker:
        for start in range(0, cases, BATCH):
            made = [chance.choice(victims).change(chance) for _ in range(min(BATCH, cases - start))]
            for data, found in zip(made, check_batch(made), strict=True):
                if found is None:
                    count["unknown"] += 1
                    continue
                verdict = checker.check_bytes(data)
                count[verdict.code] += 1
                assert verdict.code in HARMLESS, f"seed {seed}: {verdict}"
                seen = replace(found, project=clean(found.project), run=clean(found.run))
                assert verdict.skeleton in {None, seen}, f"seed {seed}: {verdict}, {found}"
                assert verdict.where in UNNAMED, f"seed {seed}: {verdict}"
    return count


def main(seed: int, cases: int) -> None:
    """Change sealed files of all kinds."""
    with tempfile.TemporaryDirectory() as folder:
        made = [make(Path(folder) / make.__name__).read_bytes() for make in KINDS]
    # The largest one has only more of the same.
    victims = [
        Victim(data) for make, data in zip(KINDS, made, strict=True) if make is not tree_of_metrics
    ]
    print(run(victims, seed, cases))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
