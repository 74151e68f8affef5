"""A wire between two network interfaces that delays what it carries, as netem would.

For kernels without netem. Each packet is handed on as it came, segmentation offload and all, when
its time has come. Standard library only. Told ``delay_s`` of one direction, ``rate_bytes_s`` (0:
unlimited) and ``names`` of the two interfaces to make; says ``ready`` when they are there.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import struct
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TUNSETIFF = 0x400454CA
TUNSETOFFLOAD = 0x400454D0
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000
IFF_VNET_HDR = 0x4000
TUN_F_CSUM = 0x01
TUN_F_TSO4 = 0x02
"""From linux/if_tun.h."""

PACKET_BYTES = 66_000
"""A packet that the sender's kernel left whole, with its header."""

QUEUE_BYTES = 256 * 1024 * 1024
"""More than the windows of all connections; beyond it packets are lost, as on a real link."""

BATCH = 64
"""Packets of one direction before the other has its turn."""


@dataclass(slots=True)
class Way:
    """One direction."""

    source: int
    target: int
    delay_s: float
    rate_bytes_s: float
    packets: deque[tuple[float, bytes]] = field(default_factory=deque)
    size_bytes: int = 0
    free_s: float = 0.0
    """When the link has sent all that it was given."""

    def take(self) -> None:
        """Take what has come, each with the time at which it arrives."""
        for _ in range(BATCH):
            try:
                packet = os.read(self.source, PACKET_BYTES)
            except BlockingIOError:
                return
            if self.size_bytes + len(packet) > QUEUE_BYTES:
                continue
            now_s = time.monotonic()
            if self.rate_bytes_s:
                self.free_s = max(now_s, self.free_s) + len(packet) / self.rate_bytes_s
                now_s = self.free_s
            self.packets.append((now_s + self.delay_s, packet))
            self.size_bytes += len(packet)

    def give(self) -> None:
        """Hand on what is due."""
        while self.packets and self.packets[0][0] <= time.monotonic():
            _due_s, packet = self.packets.popleft()
            self.size_bytes -= len(packet)
            with contextlib.suppress(OSError):  # as on an interface that is down
                os.write(self.target, packet)


def make_interface(name: str) -> int:
    """Make an interface and return the descriptor of its other side."""
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
    fcntl.ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4)
    return fd


def main(told: dict[str, Any]) -> None:
    """Carry packets for ever."""
    with contextlib.suppress(OSError):
        # A kernel's netem is not kept waiting by the programs that are measured.
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    one, other = (make_interface(name) for name in told["names"])
    kind = (float(told["delay_s"]), float(told["rate_bytes_s"]))
    ways = {one: Way(one, other, *kind), other: Way(other, one, *kind)}
    Path(told["out"]).write_text("ready")
    while True:
        due = [way.packets[0][0] for way in ways.values() if way.packets]
        left_s = max(0.0, min(due) - time.monotonic()) if due else None
        for fd in select.select(list(ways), [], [], left_s)[0]:
            ways[fd].take()
        for way in ways.values():
            way.give()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
