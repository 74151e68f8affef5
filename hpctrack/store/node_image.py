"""A node file without rows, made in memory."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np

from hpctrack._version import __version__
from hpctrack.store.schema import FORMAT_VERSION, LIBVER, LIVE_KIND, PULSE, TABLES


def make_image(facts: Mapping[str, Any], wall_s: float) -> bytes:
    """Make the file without rows in memory: no disk, nothing that HDF5 could stumble over."""
    root = {
        **{key: facts[key] for key in ("run", "project", "node", "attempt", "host")},
        "kind": LIVE_KIND,
        "format": FORMAT_VERSION,
        "created_wall_s": wall_s,
        "uuid": facts.get("uuid") or secrets.token_hex(16),
        "made_by": f"hpctrack {__version__}",
    }
    memory: dict[str, Any] = {"driver": "core", "backing_store": False, "block_size": 65536}
    with h5py.File("image", "w", libver=LIBVER, **memory) as file:
        for key, value in root.items():
            file.attrs[key] = value
        for name, (dtype, rows) in TABLES.items():
            file.create_dataset(name, (0,), dtype, chunks=(rows,), maxshape=(None,))
        file.create_dataset(PULSE, data=np.array([wall_s, 0.0]))
        file.flush()
        image: bytes = file.id.get_file_image()
    return image
