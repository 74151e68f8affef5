"""Asking a dashboard for charts, as a browser does."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.unit.server.conftest import HOST_NAME, TOKEN, Answer, Live
from tests.unit.server.test_encode import decode


@dataclass
class Line:
    """A line with its arrays, as static/charts/series.js makes it."""

    said: dict[str, Any]
    arrays: dict[str, np.ndarray]

    def __getattr__(self, name: str) -> np.ndarray:
        try:
            return self.arrays[name]
        except KeyError:
            raise AttributeError(name) from None


def post(live: Live, path: str, body: Any) -> Answer:
    """Send JSON with the token, but without the mark of a change."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {
        "Host": f"{HOST_NAME}:{live.port}",
        "Authorization": f"Bearer {TOKEN}",
        "Content-Type": "application/json",
    }
    connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=180)
    try:
        connection.request("POST", path, body=sent, headers=headers)
        response = connection.getresponse()
        return Answer(response.status, dict(response.getheaders()), response.read())
    finally:
        connection.close()


def ask_chart(live: Live, project: str = "p", **body: Any) -> tuple[dict[str, Any], list[Line]]:
    """Return the header and the lines of a chart."""
    answer = post(live, f"/api/v1/projects/{project}/series", body)
    assert answer.status == 200, answer.text
    return unpack(answer.body)


def unpack(data: bytes) -> tuple[dict[str, Any], list[Line]]:
    """Undo `encode_chart`."""
    head, arrays = decode(data)
    lines = [Line(said, {}) for said in head["lines"]]
    whole: list[np.ndarray] = []
    for entry, values in zip(head["arrays"], arrays, strict=True):
        found = whole[entry["same"]] if "same" in entry else values
        if entry.get("is_delta"):
            found = entry["start"] + np.cumsum(values.astype(np.int64))
        elif "start" in entry:
            found = entry["start"] + values.astype(np.float64)
        whole.append(found)
        lines[entry["line"]].arrays[entry["name"]] = found
    return head, lines
