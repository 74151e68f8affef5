"""Pages that do not read what they are told."""

from __future__ import annotations

import socket
from collections.abc import Callable

from tests.unit.server.conftest import HOST_NAME, TOKEN, Live, Zoo
from tests.websocket import WebSocket

POINTS = 15_000
"""Of one look: a little less than is kept for a page that does not read."""

LOOKS = 12
READ_MAX_BYTES = 6_000_000
"""What the kernel holds for a connection, and a backlog or two; all of it would be 10 MB."""


def connect(live: Live, *, room_bytes: int = 0) -> WebSocket:
    peer = socket.socket()
    peer.settimeout(180)
    if room_bytes:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room_bytes)
    peer.connect(("127.0.0.1", live.port))
    headers = {"Host": f"{HOST_NAME}:{live.port}", "Authorization": f"Bearer {TOKEN}"}
    page = WebSocket(peer, "/api/v1/socket", headers)
    page.say({"listen": "/api/v1/projects/p/points?runs=live", "id": 1})
    assert page.hear_of(1)[0] == "begin"
    return page


def read_until(page: WebSocket, step: int) -> list[str]:
    """Return the names of what a page hears until it has a step, or is told to fetch again."""
    heard = []
    while True:
        name, said = page.hear_of(1)
        heard.append(name)
        if name == "stale" or (name == "points" and said[0]["step"][-1] >= step):
            return heard


def test_a_page_that_does_not_read_costs_the_server_no_memory_and_fetches_again(
    growing: Zoo, start_dashboard: Callable[..., Live]
) -> None:
    live = start_dashboard(growing.path, stale_after_s=1e6)
    with connect(live) as reader, connect(live, room_bytes=4096) as sleeper:
        end = 10
        for _ in range(LOOKS):
            growing.grow(range(end, end + POINTS))
            end += POINTS
            assert read_until(reader, end - 1)[-1] == "points"
        assert reader.got_bytes > READ_MAX_BYTES
        assert read_until(sleeper, end - 1)[-1] == "stale"
        assert sleeper.got_bytes < READ_MAX_BYTES
        growing.grow(range(end, end + 1))
        assert read_until(sleeper, end)[-1] == "points", "and from then on it is told as all are"
