"""Who may look: the gate by itself, and every address behind it."""

from __future__ import annotations

import logging

import pytest

from hpctrack_server.auth import Gate, Verdict, Visit, make_host_name, make_token
from tests.unit.server.conftest import HOST_NAME, TOKEN, Live, Zoo

PRIVATE = (
    "/",
    "/p/p/runs",
    "/p/p/runs/sealed",
    "/api/v1/projects",
    "/api/v1/projects/p/runs",
    "/api/v1/projects/p/events",
    "/api/v1/runs/p/sealed",
    "/api/v1/runs/p/sealed/metrics",
    "/api/v1/runs/p/sealed/series?metric=loss",
    "/api/v1/runs/p/sealed/events",
    "/no/such/page",
    "/static/js/bokeh.min.js",
)

GATE = Gate(host_name=HOST_NAME, port=8091, token=TOKEN, uid=1000)
HOST = f"{HOST_NAME}:8091"


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        (HOST, True),
        ("localhost:8091", True),
        ("127.0.0.1:8091", True),
        ("[::1]:8091", True),
        (HOST.upper(), True),
        ("localhost:8092", False),
        ("localhost", False),
        ("evil.example:8091", False),
        ("localhost.evil.example:8091", False),
        (f"{HOST_NAME}.evil.example:8091", False),
        ("other.localhost:8091", False),
        ("", False),
    ],
)
def test_only_our_own_names_are_answered(host: str, *, is_ours: bool) -> None:
    verdict = GATE.judge(Visit(host=host, bearer=TOKEN))
    assert verdict == (Verdict.ALLOWED if is_ours else Verdict.MISDIRECTED)


@pytest.mark.parametrize("token", ["", "wrong", TOKEN + "x", TOKEN[:-1], "\u00e4\u00f6\ud800"])
def test_wrong_tokens_are_refused_wherever_they_are_given(token: str) -> None:
    for visit in (
        Visit(host=HOST, url_token=token),
        Visit(host=HOST, bearer=token),
        Visit(host=HOST, cookie=token),
    ):
        assert GATE.judge(visit) == Verdict.FORBIDDEN


def test_token_is_not_taken_for_the_cookie() -> None:
    assert GATE.judge(Visit(host=HOST, cookie=TOKEN)) == Verdict.FORBIDDEN
    assert GATE.judge(Visit(host=HOST, cookie=GATE.cookie)) == Verdict.ALLOWED
    assert TOKEN not in GATE.cookie


def test_another_site_may_lead_here_but_not_fetch() -> None:
    foreign = Visit(host=HOST, cookie=GATE.cookie, fetch_site="cross-site")
    assert GATE.judge(foreign) == Verdict.FORBIDDEN
    leading = Visit(host=HOST, cookie=GATE.cookie, fetch_site="cross-site", is_navigation=True)
    assert GATE.judge(leading) == Verdict.ALLOWED


def test_socket_asks_for_the_user_and_not_for_a_token() -> None:
    gate = Gate(host_name=HOST_NAME, port=0, token="", uid=1000)
    mine = Visit(host="localhost:5000", peer_uid=1000)
    assert gate.judge(mine) == Verdict.ALLOWED
    assert gate.judge(Visit(host="localhost:5000", peer_uid=1001)) == Verdict.FORBIDDEN
    assert gate.judge(Visit(host="localhost:5000")) == Verdict.FORBIDDEN
    assert gate.judge(Visit(host="evil.example", peer_uid=1000)) == Verdict.MISDIRECTED


def test_names_and_tokens_are_new_each_time() -> None:
    assert make_host_name() != make_host_name()
    assert len({make_token() for _ in range(50)}) == 50


def test_nothing_is_shown_without_a_token(dashboard: Live, zoo: Zoo) -> None:
    for path in PRIVATE:
        answer = dashboard.get(path, Authorization="")
        assert answer.status == 403, path
        assert "sealed" not in answer.text
        assert str(zoo.path) not in answer.text
    page = dashboard.get("/", Authorization="")
    assert "hpctrack server" in page.text, "it says where the link is"


def test_wrong_token_is_refused_and_sets_no_cookie(dashboard: Live) -> None:
    for path in PRIVATE:
        mark = "&" if "?" in path else "?"
        answer = dashboard.get(f"{path}{mark}token=wrong", Authorization="")
        assert answer.status == 403, path
        assert "Set-Cookie" not in answer.headers
        assert dashboard.get(path, Authorization="Bearer nonsense").status == 403


def test_foreign_host_is_refused_even_with_the_token(dashboard: Live) -> None:
    for host in (
        f"evil.example:{dashboard.port}",
        "evil.example",
        f"localhost:{dashboard.port + 1}",
    ):
        for path in ("/", "/healthz", "/api/v1/projects", "/assets/x/app.css"):
            answer = dashboard.get(path, Host=host)
            assert answer.status == 421, (host, path)


def test_first_visit_swaps_the_token_for_a_cookie(dashboard: Live) -> None:
    first = dashboard.get(f"/p/p/runs?sort=name&token={TOKEN}&q=a+b", Authorization="")
    assert first.status == 303
    assert first.headers["Location"] == "/p/p/runs?sort=name&q=a+b"
    cookie = first.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert TOKEN not in cookie
    pair = cookie.partition(";")[0]
    assert dashboard.get("/p/p/runs", Authorization="", Cookie=pair).status == 200
    assert dashboard.get("/p/p/runs", Authorization="", Cookie="hpctrack=guess").status == 403


def test_visit_from_elsewhere_gets_a_page_that_leads_on(dashboard: Live) -> None:
    answer = dashboard.get(
        f"/?token={TOKEN}", Authorization="", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate"
    )
    assert answer.status == 200
    assert "Set-Cookie" in answer.headers
    assert 'http-equiv="refresh"' in answer.text
    assert TOKEN not in answer.text


def test_redirect_never_leaves_the_dashboard(dashboard: Live) -> None:
    for path in ("//evil.example/", "/\\evil.example/", "///evil.example"):
        answer = dashboard.get(f"{path}?token={TOKEN}", Authorization="")
        location = answer.headers.get("Location", "/")
        assert location.startswith("/")
        assert not location.startswith(("//", "/\\"))


def test_only_reading_is_possible(dashboard: Live) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        for path in ("/", "/api/v1/projects"):
            assert dashboard.get(path, method=method).status == 403
            assert dashboard.get(path, method=method, X_Hpctrack="1").status in {404, 405}


def test_health_is_public_and_says_nothing_else(dashboard: Live) -> None:
    answer = dashboard.get("/healthz", Authorization="")
    assert answer.status == 200
    assert set(answer.json()) == {"status", "version"}


def test_every_answer_has_the_security_headers(dashboard: Live) -> None:
    for path in (*PRIVATE[:6], "/healthz", "/nowhere"):
        if path.endswith("/events"):
            continue
        for token in ("", f"Bearer {TOKEN}"):
            headers = dashboard.get(path, Authorization=token).headers
            policy = headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'self'")
            assert "unsafe-eval" not in policy
            assert "script-src" not in policy, "scripts are under default-src 'self'"
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Referrer-Policy"] == "same-origin"
            assert "Server" not in headers


def test_token_is_never_logged(dashboard: Live, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    dashboard.get(f"/?token={TOKEN}", Authorization="")
    dashboard.get(f"/nowhere?token={TOKEN}x", Authorization="")
    dashboard.get("/api/v1/runs/p/sealed/series?metric=loss&width=x")
    assert TOKEN not in caplog.text
