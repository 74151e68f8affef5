"""One socket for all that a page listens to: who may open it, what it tells, what it bears."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Callable

import pytest

from hpctrack.errors import HpctrackError, UsageError
from hpctrack_server.auth import Gate, Right, Verdict, Visit
from hpctrack_server.pages.core.live_socket import (
    MESSAGE_MAX_BYTES,
    TOPICS_MAX,
    find_topic,
    parse_message,
)
from hpctrack_server.pages.core.topics import follow_points, follow_project, follow_run
from hpctrack_server.pages.registry import API
from tests.unit.server.conftest import HOST_NAME, TOKEN, Live, Zoo
from tests.websocket import TEXT, RefusedError, WebSocket

PATH = "/api/v1/socket"
HOST = f"{HOST_NAME}:8091"
GATE = Gate(host_name=HOST_NAME, port=8091, token=TOKEN, uid=1000)


def connect(live: Live, **headers: str) -> WebSocket:
    """Open the socket as a page with the cookie does, unless told otherwise."""
    host = f"{HOST_NAME}:{live.port}"
    given = {"Host": host, "Origin": f"http://{host}", "Cookie": f"hpctrack={live.gate.cookie}"}
    given.update({name.replace("_", "-"): value for name, value in headers.items()})
    peer = socket.create_connection(("127.0.0.1", live.port), timeout=180)
    return WebSocket(peer, PATH, given)


@pytest.mark.parametrize(
    ("origin", "is_ours"),
    [
        (f"http://{HOST}", True),
        (f"https://{HOST}", True),
        (f"HTTP://{HOST.upper()}", True),
        ("", False),
        ("null", False),
        ("file://", False),
        (HOST, False),
        (f"http://{HOST_NAME}", False),
        (f"http://{HOST_NAME}:8092", False),
        ("http://localhost:8091", False),
        (f"http://{HOST}.evil.example", False),
        (f"http://evil.example/{HOST}", False),
        (f"http://{HOST}@evil.example", False),
        (f"http://evil.example@{HOST}", False),
        (f"chrome-extension://{HOST}", False),
        (f"http://{HOST},http://evil.example", False),
    ],
)
def test_only_a_page_of_ours_may_open_a_socket(origin: str, *, is_ours: bool) -> None:
    visit = Visit(host=HOST, cookie=GATE.cookie, origin=origin)
    verdict = GATE.judge(visit, Right.LISTEN)
    assert verdict == (Verdict.ALLOWED if is_ours else Verdict.FORBIDDEN)


def test_a_program_without_an_origin_has_to_show_the_token_itself() -> None:
    for visit, verdict in (
        (Visit(host=HOST, bearer=TOKEN), Verdict.ALLOWED),
        (Visit(host=HOST, bearer="guess", cookie=GATE.cookie), Verdict.FORBIDDEN),
        (Visit(host=HOST, url_token=TOKEN), Verdict.FORBIDDEN),
    ):
        assert GATE.judge(visit, Right.LISTEN) == verdict
    behind_a_socket = Gate(host_name=HOST_NAME, port=0, token="", uid=1000)
    silent = Visit(host="localhost:8091", peer_uid=1000)
    assert behind_a_socket.judge(silent, Right.LISTEN) == Verdict.FORBIDDEN
    page = Visit(host="localhost:8091", peer_uid=1000, origin="http://localhost:8091")
    assert behind_a_socket.judge(page, Right.LISTEN) == Verdict.ALLOWED
    other = Visit(host="localhost:8091", peer_uid=1001, origin="http://localhost:8091")
    assert behind_a_socket.judge(other, Right.LISTEN) == Verdict.FORBIDDEN


def test_an_own_origin_does_not_help_who_has_no_right_to_look(dashboard: Live) -> None:
    for headers, status in (
        ({"Cookie": ""}, 403),
        ({"Cookie": "hpctrack=that-of-another-user"}, 403),
        ({"Cookie": "", "Authorization": "Bearer guess"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": f"http://localhost:{dashboard.port}"}, 403),
        ({"Origin": ""}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, 421),
        ({"Upgrade": ""}, 400),
    ):
        with pytest.raises(RefusedError) as refused:
            connect(dashboard, **headers)
        assert refused.value.status == status, headers
    connect(dashboard, Origin="", Cookie="", Authorization=f"Bearer {TOKEN}").close()


def test_an_address_leads_to_the_topic_of_its_event_stream() -> None:
    assert find_topic(API, "", "/api/v1/projects/a%20b/events") == (follow_project, {}, ["a b"])
    found = find_topic(API, "/x.y", "/x.y/api/v1/projects/p/points?runs=a%2Cb&metric=&metric=%26")
    assert found == (follow_points, {"runs": ["a,b"], "metric": ["", "&"]}, ["p"])
    topic, _query, parts = find_topic(API, "", "/api/v1/runs/p/%2e%2e%2f/events")
    assert (topic, parts) == (follow_run, ["p", "../"])


@pytest.mark.parametrize(
    "address",
    [
        "",
        "//[",
        "/api/v1/socket",
        "/api/v1/projects",
        "/api/v1/runs/p/r",
        "/xzy/api/v1/projects/p/events",
        "http://h/api/v1/projects/p/events",
        "/api/v1/projects/p/events/",
        "/api/v1/projects/%ff/events",
        "/api/v1/projects/p/points?runs=%ff",
        "/api/v1/projects/half\ud83d/events",
    ],
)
def test_other_addresses_lead_nowhere(address: str) -> None:
    with pytest.raises(HpctrackError):
        find_topic(API, "", address)


@pytest.mark.parametrize(
    "message",
    [
        "", "[]", "null", "1", "{}", '{"listen": 1, "id": 1}', '{"listen": "/"}', '{"end": "1"}',
        '{"end": true}', '{"end": -1}', '{"end": 1e400}', '{"end": 99999999999}', "[" * 10_000,
        b"\xff\xfe", b"\x00",
    ],
)  # fmt: skip
def test_what_is_no_message_is_told_apart(message: str | bytes) -> None:
    with pytest.raises(UsageError):
        parse_message(message)


def test_a_page_hears_all_its_topics_over_one_socket(
    growing: Zoo, start_dashboard: Callable[..., Live]
) -> None:
    live = start_dashboard(growing.path, stale_after_s=1e6)
    with connect(live) as page:
        assert page.hear() == {"event": "open"}
        page.say({"listen": "/api/v1/runs/p/live/events", "id": 1})
        assert page.hear_of(1)[1]["state"] == "running"
        page.say({"listen": "/api/v1/projects/p/points?runs=live,gone", "id": 2})
        name, said = page.hear_of(2)
        assert (name, list(said["runs"])) == ("begin", ["live"])
        growing.grow(range(10, 13))
        steps: list[int] = []
        while steps[-1:] != [12]:
            name, pieces = page.hear_of(2)
            steps += pieces[0]["step"] if name == "points" else []
        page.say({"end": 2})
        page.say({"listen": "/api/v1/projects/p/events", "id": 2})
        assert page.hear_of(2)[0] in {"points", "change"}
        growing.grow(range(13, 15))
        while page.hear_of(1)[1]["changed"] != ["loss"]:
            pass


def test_what_cannot_be_had_is_said_and_the_rest_goes_on(dashboard: Live, zoo: Zoo) -> None:
    with connect(dashboard) as page:
        for number, address in enumerate(
            ("/api/v1/runs/p/nosuch/events", "/api/v1/runs/p/broken/events", "/etc/passwd",
             "/api/v1/projects/p/points", "/api/v1/projects/..%2f/events",
             "/api/v1/projects/%00/events")
        ):  # fmt: skip
            page.say({"listen": address, "id": number})
            name, said = page.hear_of(number)
            assert name == "error", address
            assert said["error"] != "error", address
            assert str(zoo.path) not in json.dumps(said)
        page.say({"listen": "/api/v1/runs/p/live/events", "id": 99})
        assert page.hear_of(99)[0] == "change"


def test_a_page_listens_to_so_much_and_no_more(dashboard: Live) -> None:
    with connect(dashboard) as page:
        for number in range(100):
            page.say({"listen": "/api/v1/projects/p/events", "id": number % TOPICS_MAX})
        assert page.hear_of(TOPICS_MAX - 1)[0] == "change"
        page.say({"end": 0})
        page.say({"listen": "/api/v1/projects/p/events", "id": 77})
        assert page.hear_of(77)[0] == "change"
        page.say({"listen": "/api/v1/projects/p/events", "id": 78})
        while page.hear() is not None:
            pass
        assert page.close_code == 1008


@pytest.mark.parametrize(
    ("body", "code"), [(b"nonsense", 1008), (b'"' + b"x" * MESSAGE_MAX_BYTES + b'"', 1009)]
)
def test_who_says_what_no_page_says_is_shown_out(dashboard: Live, body: bytes, code: int) -> None:
    with connect(dashboard) as page:
        page.send(TEXT, body)
        while page.hear() is not None:
            pass
        assert page.close_code == code


def test_sockets_end_with_the_server(
    growing: Zoo, start_dashboard: Callable[..., Live], caplog: pytest.LogCaptureFixture
) -> None:
    live = start_dashboard(growing.path)
    with connect(live) as page:
        page.say({"listen": "/api/v1/runs/p/live/events", "id": 1})
        page.hear_of(1)
        ending = threading.Thread(target=live.stop)
        ending.start()
        while page.hear() is not None:
            pass
        assert page.close_code == 1001
        ending.join()
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING] == []
