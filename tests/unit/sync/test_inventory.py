from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from hpctrack.core.layout import HASHES_NAME
from hpctrack.sync.files.inventory import HashCache, hash_place, make_stamp_token, make_token
from hpctrack.sync.files.place import Place
from hpctrack.sync.wire.messages import TOKEN_BYTES


def ask(store: Path, name: str = "file") -> str:
    cache = HashCache(store)
    with (store / name).open("rb") as file:
        digest = cache.hash_file(file, name)
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


def test_a_file_below_a_link_or_that_is_none_has_no_hash(tmp_path: Path) -> None:
    store, outside = tmp_path / "store", tmp_path / "outside"
    (store / "real").mkdir(parents=True)
    outside.mkdir()
    (outside / "file").write_bytes(b"secret")
    (store / "real/file").write_bytes(b"one")
    (store / "real/link").symlink_to(outside / "file")
    (store / "linked").symlink_to(outside)
    os.mkfifo(store / "real/fifo")
    (store / "real/folder").mkdir()
    store_fd = os.open(store, os.O_RDONLY)
    try:
        places = [("real", "link"), ("linked", "file"), ("real", "fifo"), ("real", "folder")]
        found = [
            hash_place(store_fd, Place((folder,), name), HashCache(store))
            for folder, name in [("real", "file"), ("real", "absent"), ("no", "file"), *places]
        ]
    finally:
        os.close(store_fd)
    assert found == [hashlib.sha256(b"one").hexdigest(), "", "", "", "", "", ""]


def test_a_file_that_was_never_read_is_known_by_what_it_looks_like(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    first = make_stamp_token("file", path.stat())
    assert first == make_stamp_token("file", path.stat())
    assert first != make_stamp_token("other", path.stat())
    path.write_bytes(b"longer")
    assert first != make_stamp_token("file", path.stat())
    assert len(first) == len(make_token("0" * 64)) == TOKEN_BYTES


def test_caches_of_two_processes_do_not_break_each_other(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(name.encode())
    caches = [HashCache(tmp_path), HashCache(tmp_path)]
    for cache, name in zip(caches, ("a", "b"), strict=True):
        with (tmp_path / name).open("rb") as file:
            cache.hash_file(file, name)
    for cache in caches:
        cache.save()
    assert json.loads((tmp_path / HASHES_NAME).read_text()).keys() == {"b"}
    assert ask(tmp_path, "a") == hashlib.sha256(b"a").hexdigest()


def test_the_cache_neither_reads_nor_writes_through_a_link(tmp_path: Path) -> None:
    store, outside = tmp_path / "store", tmp_path / "outside"
    store.mkdir()
    (store / "file").write_bytes(b"one")
    outside.write_text('{"file": [3, 4, 5, "x"]}')
    # Names that could be guessed: of whoever is about to write a cache here.
    guessed = store / f"{HASHES_NAME}.{os.getpid()}.tmp"
    for name in (store / HASHES_NAME, guessed):
        name.symlink_to(outside)
    assert ask(store) == hashlib.sha256(b"one").hexdigest()
    assert outside.read_text() == '{"file": [3, 4, 5, "x"]}'
    assert not (store / HASHES_NAME).is_symlink()


def test_a_pipe_in_the_place_of_the_cache_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"one")
    os.mkfifo(tmp_path / HASHES_NAME)
    assert ask(tmp_path) == hashlib.sha256(b"one").hexdigest()
