"""The description of the API says what there is."""

from __future__ import annotations

from typing import Any

from hpctrack_server.pages.core.openapi import describe_api, name_path
from hpctrack_server.pages.core.operations import OPERATIONS
from hpctrack_server.pages.registry import API
from tests.unit.server.conftest import Live


def test_every_answer_is_described_and_nothing_else_is() -> None:
    assert set(OPERATIONS) == set(API)


def test_paths_have_names_for_what_is_variable() -> None:
    for page in API.values():
        path, names = name_path(page.route)
        assert "(" not in path
        assert len(set(names)) == len(names) == path.count("{")


def test_each_operation_has_a_summary_a_unique_id_and_answers() -> None:
    document = describe_api(API, prefix="/track")
    assert document["servers"] == [{"url": "/track"}]
    ids = []
    for path in document["paths"].values():
        for method, operation in path.items():
            if method == "parameters":
                continue
            ids.append(operation["operationId"])
            assert operation["summary"], operation
            answers = operation["responses"]
            assert answers["101"]["description"] if "101" in answers else answers["200"]["content"]
            for parameter in operation["parameters"]:
                assert parameter["in"] in {"query", "header"}
    assert len(ids) == len(set(ids)) > 30


def test_what_changes_something_needs_the_header_and_what_reads_does_not() -> None:
    paths = describe_api(API)["paths"]

    def headers(path: str, method: str) -> list[str]:
        found: list[dict[str, Any]] = paths[path][method]["parameters"]
        return [one["name"] for one in found if one["in"] == "header"]

    assert headers("/api/v1/projects/{project}/edit", "post") == ["X-Hpctrack"]
    assert headers("/api/v1/projects/{project}/table", "post") == []


def test_the_document_is_served(dashboard: Live) -> None:
    answer = dashboard.get("/api/v1/openapi.json")
    assert answer.status == 200
    assert answer.json()["openapi"] == "3.1.0"
