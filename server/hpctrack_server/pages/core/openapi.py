"""``/api/v1/openapi.json``: the API described for programs that write clients."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

from hpctrack.core import __version__
from hpctrack_server.pages.core.operations import EVENTS, JSON, OPERATIONS, Operation
from hpctrack_server.pages.guarded import MARK_HEADER, Guarded
from hpctrack_server.pages.page import Page

METHODS = ("get", "post", "put", "patch", "delete")
VARIABLE = re.compile(r"\(\[\^/\]\+\)")
NAMES = {
    "projects": "project", "runs": "run", "sweeps": "sweep", "saved": "kind", "panels": "kind",
    "files": "digest", "media": "digest",
}  # fmt: skip
"""What a variable part of a path is called, by the part before it."""

ERROR = {
    "type": "object",
    "required": ["error", "message", "hint"],
    "properties": {
        "error": {"type": "string", "description": "a code that never changes"},
        "message": {"type": "string"},
        "hint": {"type": "string", "description": "what to do; may be empty"},
        "at": {"type": "integer", "description": "where in a filter or expression, in characters"},
        "end": {"type": "integer", "description": "where what is wrong there ends"},
        "file": {"type": "string", "description": "which of the store's files cannot be read"},
    },
}


PROBLEMS = {
    "400": "A parameter, a filter or the body is wrong",
    "404": "There is no such project, run, metric or file",
    "409": "It is there and cannot be read: broken, half-written or too new; `file` says which. "
    "Or somebody else has just changed it",
    "default": "What was wrong, and what helps",
}


class OpenApi(Guarded):
    """``/api/v1/openapi.json``: this document."""

    def get(self) -> None:
        """Answer with the document, as OpenAPI 3.1 has it."""
        self.answer(describe_api(self.services.api, prefix=self.services.prefix))


def describe_api(api: Mapping[str, Page], *, prefix: str = "") -> dict[str, Any]:
    """Return the API as an OpenAPI document. Pure.

    Parameters
    ----------
    api : mapping
        Pages by name, as the registry has them.
    prefix : str, optional
        Path before all addresses.
    """
    paths: dict[str, dict[str, Any]] = {}
    for name, page in api.items():
        path, variables = name_path(page.route)
        parameters = [_path_parameter(one) for one in variables]
        operations = dict(_iter_operations(name, page, OPERATIONS.get(name, Operation())))
        paths.setdefault(path, {"parameters": parameters}).update(operations)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "hpctrack",
            "version": __version__,
            "description": "What the dashboard's pages ask. Numbers come as bytes: a length, a "
            "header in JSON and arrays; `docs/reference/api.md` describes them. Whatever answers "
            "GET answers HEAD, but for streams of events.",
        },
        "servers": [{"url": prefix or "/"}],
        "security": [{"bearer": []}, {"cookie": []}, {}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "the token"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "hpctrack"},
            },
            "schemas": {"Error": ERROR},
        },
    }


def name_path(route: str) -> tuple[str, list[str]]:
    """Return a route with names for what is variable, and these names.

    Examples
    --------
    >>> name_path("/api/v1/projects/([^/]+)/saved/([^/]+)/([^/]+)")
    ('/api/v1/projects/{project}/saved/{kind}/{id}', ['project', 'kind', 'id'])
    >>> name_path("/api/v1/runs/([^/]+)/([^/]+)/cell")
    ('/api/v1/runs/{project}/{run}/cell', ['project', 'run'])
    """
    marked = VARIABLE.sub("*", route).replace("\\", "")
    parts, names = marked.split("/"), []
    for at, part in enumerate(parts):
        if part != "*":
            continue
        before = parts[at - 1]
        if before == "runs":
            name = "project"
        elif before == "{project}":
            name = "run"
        else:
            name = NAMES.get(before, "id")
        parts[at] = f"{{{name}}}"
        names.append(name)
    return "/".join(parts), names


def _path_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _iter_operations(
    name: str, page: Page, operation: Operation
) -> Iterator[tuple[str, dict[str, Any]]]:
    for method in METHODS:
        work = getattr(page.handler, method)
        if not work.__module__.startswith("hpctrack_server"):
            continue
        text = inspect.getdoc(work) or inspect.getdoc(page.handler) or ""
        found: dict[str, Any] = {
            "operationId": f"{method}-{name}",
            "summary": text.partition("\n")[0],
            "tags": [page.handler.__module__.split(".")[2]],
            "parameters": [_query_parameter(*one) for one in operation.query.items()],
            "responses": _describe_answers(operation),
        }
        if method in {"post", "put", "patch"}:
            found["requestBody"] = {
                "required": True,
                "content": {JSON: {"schema": {"type": "object"}, "example": dict(operation.body)}},
            }
        if method.upper() in page.handler.writes:
            found["parameters"].append({
                "name": MARK_HEADER, "in": "header", "required": True,
                "schema": {"type": "string"}, "description": "any value: no form can send it",
            })  # fmt: skip
        yield method, found


def _query_parameter(name: str, text: str) -> dict[str, Any]:
    described = {
        "name": name.lstrip("*"),
        "in": "query",
        "required": name.startswith("*"),
        "schema": {"type": "string"},
    }
    return {**described, "description": text} if text else described


def _describe_answers(operation: Operation) -> dict[str, Any]:
    kinds = {JSON: {"type": "object"}, EVENTS: {"type": "string"}}
    content = {
        one: {"schema": kinds.get(one, {"type": "string", "format": "binary"})}
        for one in operation.gives
    }
    said = {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}}
    problems = {status: {"description": text, "content": said} for status, text in PROBLEMS.items()}
    if operation.becomes:
        return {"101": {"description": operation.becomes}, **problems}
    return {"200": {"description": "The answer", "content": content}, **problems}
