from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from hpctrack.core.layout import HASHES_NAME
from hpctrack.sync.files.inventory import HashCache


def ask(store: Path, name: str = "file") -> str:
    cache = HashCache(store)
    with (store / name).open("rb") as file:
        digest, size_bytes = cache.hash_file(file, name)
    assert size_bytes == (store / name).stat().st_size
    cache.save()
    return digest


def test_a_file_that_has_not_changed_is_not_read_again(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    first = ask(tmp_path)
    entries = json.loads((tmp_path / HASHES_NAME).read_text())
    entries["file"][3] = "from the cache"
    (tmp_path / HASHES_NAME).write_text(json.dumps(entries))
    assert first == hashlib.sha256(b"one").hexdigest()
    assert ask(tmp_path) == "from the cache"


def test_a_file_that_was_replaced_is_hashed_again(tmp_path: Path) -> None:
    path, fresh = tmp_path / "file", tmp_path / "fresh"
    path.write_bytes(b"one")
    ask(tmp_path)
    fresh.write_bytes(b"two")
    status = path.stat()
    os.utime(fresh, ns=(status.st_atime_ns, status.st_mtime_ns))
    fresh.replace(path)
    assert ask(tmp_path) == hashlib.sha256(b"two").hexdigest()


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"file": 1}', '{"file": [1, 2, 3]}', '{"file": ["a", 2, 3, "x"]}']
)
def test_a_cache_that_is_broken_is_no_cache(tmp_path: Path, content: str) -> None:
    (tmp_path / "file").write_bytes(b"one")
    (tmp_path / HASHES_NAME).write_text(content)
    assert ask(tmp_path) == hashlib.sha256(b"one").hexdigest()


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"one")
    (tmp_path / HASHES_NAME).mkdir()
    assert ask(tmp_path) == hashlib.sha256(b"one").hexdigest()
    assert not list(tmp_path.glob("*.tmp"))
    assert not list(tmp_path.glob(".*.tmp"))
