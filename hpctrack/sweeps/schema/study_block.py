"""Keys about the search as a whole: ``seeds``, ``constraints``, ``storage`` and ``warm_start``."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from hpctrack.core.names import check_id, metric_name_problem
from hpctrack.errors import InvalidNameError
from hpctrack.sweeps.schema.command import MACRO
from hpctrack.sweeps.schema.document import Node, nearest
from hpctrack.sweeps.schema.expression import QUOTED, Constraint, ExpressionError, parse_constraint
from hpctrack.sweeps.schema.parameter_block import NAME_HINT, name_problem
from hpctrack.sweeps.schema.space import Choice, Space

MAX_SEEDS = 10_000
MAX_CONSTRAINTS = 100
SEEDS_KEYS = ("count", "name", "base")

DATABASES = ("postgresql", "mysql")
PROXY = "grpc"
_STORAGE_HINT = "use postgresql://, mysql:// or grpc://, or leave it out for a journal file"
_NEAR = 0.8
_PLAIN_NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*\Z")
_SLASHED = re.compile(r"[^\W\d][\w.]*(?:/[^\W\d][\w.]*)+")
"""``val/loss`` is more likely a metric than a quotient."""


def parse_seeds(node: Node, space: Space) -> dict[str, Any]:
    """Read ``seeds``: how often each configuration runs, and which seeds its trials get.

    Returns
    -------
    dict
        ``seeds``, and ``seed_name`` and ``seed_base`` if they are given.

    Raises
    ------
    SweepFileError
        It cannot be understood; the message has the line.
    """
    keys = node.value if isinstance(node.value, dict) else {"count": node}
    for key, inner in keys.items():
        if key not in SEEDS_KEYS:
            inner.fail(f"unknown key {key!r:.60} of `seeds`", hint=nearest(key, SEEDS_KEYS))
    if "count" not in keys:
        node.fail("`seeds` needs a `count`", hint="write `seeds: 5`, or {count: 5, name: seed}")
    count = keys["count"].whole("`seeds`", at_least=1)
    if count > MAX_SEEDS:
        node.fail(f"`seeds` is more than {MAX_SEEDS}")
    found: dict[str, Any] = {"seeds": count}
    if "name" in keys:
        found["seed_name"] = name = keys["name"].text("`name` of `seeds`")
        if name_problem(name):
            keys["name"].fail(f"{name[:40]!r} cannot be a parameter's name", hint=NAME_HINT)
    if "base" in keys:
        found["seed_base"] = keys["base"].whole("`base` of `seeds`", at_least=0)
    name = found.get("seed_name", "seed")
    if count > 1 and name in {
        one for each in space.dimensions for one in (each.name, each.path[0])
    }:
        node.fail(
            f"the seed of a repeat and a parameter are both called {name!r}",
            hint=f"leave the parameter out, or write `seeds: {{count: {count}, name: ...}}`",
        )
    return found


def parse_constraints(
    node: Node, space: Space, notes: list[str]
) -> tuple[tuple[Constraint, ...], tuple[Constraint, ...]]:
    """Read ``constraints``: those on parameters alone, and those on results.

    Parameters
    ----------
    node : Node
        A list of comparisons, or one.
    space : Space
        The parameters.
    notes : list of str
        What the user should know is added to it.

    Raises
    ------
    SweepFileError
        One is no comparison; the message has the line.
    """
    known = {one.name: one.distribution for one in space.dimensions}
    on_points: list[Constraint] = []
    on_results: list[Constraint] = []
    items = node.value if isinstance(node.value, list) else [node]
    if len(items) > MAX_CONSTRAINTS:
        node.fail(f"there are more than {MAX_CONSTRAINTS} constraints")
    for item in items:
        found = _parse_constraint(item, known)
        for name in found.names:
            if name in known:
                _check_numeric(item, name, known[name])
            else:
                _check_metric(item, name, known, notes)
        (on_points if all(name in known for name in found.names) else on_results).append(found)
    return tuple(on_points), tuple(on_results)


def parse_storage(node: Node, notes: list[str]) -> str:
    """Read ``storage``: the URL of a database, or of Optuna's proxy.

    Raises
    ------
    SweepFileError
        A study cannot be kept there; the message has the line.
    """
    url = node.text("`storage`")
    scheme, found, _ = url.partition("://")
    backend = scheme.partition("+")[0]
    if backend == "sqlite":
        node.fail(
            "SQLite cannot hold a sweep: its locks fail on the network file systems that the "
            "nodes of a cluster share",
            hint="leave `storage` out for a journal file, or use postgresql://",
        )
    if not found or not (backend in DATABASES or scheme == PROXY):
        node.fail(f"`storage` cannot be {scheme[:40]!r}", hint=_STORAGE_HINT)
    if any(one.isspace() or not one.isprintable() for one in url):
        node.fail("`storage` has a space, or a character that cannot be in a URL")
    # The names in ${...} may have any form; they are filled in where the study is opened.
    filled = MACRO.sub("x", url)
    try:
        parts = urlsplit(filled)
        host, port, password = parts.hostname, parts.port, parts.password
    except ValueError as error:
        node.fail(f"`storage` is no URL: {str(error)[:80]}")
    if scheme == PROXY and (not host or port is None):
        node.fail("`storage` with grpc needs a host and a port", hint="such as grpc://node01:13000")
    for name in MACRO.findall(url):
        if not name.startswith("envvar:") or not name[len("envvar:") :]:
            node.fail(f"unknown macro ${{{name:.40}}} in `storage`", hint="use ${envvar:NAME}")
    if password and not _hides_password(url):
        notes.append(
            "the password in `storage` is kept readable in the sweep's folder; "
            "use ${envvar:NAME} in its place, or ~/.pgpass for PostgreSQL"
        )
    return url


def parse_warm_start(node: Node) -> tuple[str, ...]:
    """Read ``warm_start``: the id of a sweep, or several.

    Raises
    ------
    SweepFileError
        One cannot be an id; the message has the line.
    """
    items = node.value if isinstance(node.value, list) else [node]
    found: list[str] = []
    for item in items:
        sweep_id = item.text("`warm_start`")
        parts = sweep_id.split("/")
        try:
            for part in parts[:2]:
                check_id(part, what="sweep id")
        except InvalidNameError as error:
            item.fail(error.message, hint=error.hint or "`hpctrack sweep ls` shows the ids")
        if len(parts) > 2:  # noqa: PLR2004 - project/id
            item.fail(f"{sweep_id[:40]!r} is no sweep", hint="write ID, or PROJECT/ID")
        if sweep_id not in found:
            found.append(sweep_id)
    return tuple(found)


def _parse_constraint(node: Node, known: Mapping[str, object]) -> Constraint:
    text = node.text("a constraint")
    bare = QUOTED.sub(" ", text)
    slashed = [one for one in _SLASHED.findall(bare) if not set(one.split("/")) & set(known)]
    for name in [*(one for one in known if not _PLAIN_NAME.match(one)), *slashed]:
        if name in bare:
            node.fail(
                f"{name[:60]!r} in constraint {text!r:.60} is read as a computation",
                hint=f"write `{name[:60]}`, in backticks, for the name; spaces around / to divide",
            )
    try:
        return parse_constraint(text)
    except ExpressionError as error:
        node.fail(
            f"constraint {text!r:.60} cannot be understood: {error}",
            hint="such as 'hidden * layers <= 2048'",
        )


def _check_numeric(node: Node, name: str, distribution: object) -> None:
    if isinstance(distribution, Choice) and any(
        not isinstance(one, (bool, int, float)) for one in distribution.values
    ):
        node.fail(
            f"parameter {name!r} of a constraint is not always a number",
            hint="use `when` for what depends on a choice",
        )


def _check_metric(node: Node, name: str, known: Iterable[str], notes: list[str]) -> None:
    problem = metric_name_problem(name)
    if problem:
        node.fail(f"{name[:40]!r} of a constraint is no parameter, and no metric: {problem}")
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=_NEAR)
    if near:
        notes.append(
            f"{name!r} of a constraint is no parameter, so it is taken for a metric; "
            f"did you mean {near[0]!r}?"
        )


def _hides_password(url: str) -> bool:
    _, _, rest = url.partition("://")
    password = rest.partition("@")[0].partition(":")[2]
    # A macro has a colon of its own: postgresql://user:${envvar:NAME}@host.
    return MACRO.fullmatch(password) is not None or password == ""
