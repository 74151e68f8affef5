"""Documents that people save in a project: views of the table, workspaces, selections of runs."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.errors import BusyError, NotFoundError, UsageError
from hpctrack_server.data.state.database import Database
from hpctrack_server.data.state.tables import SAVED

BODY_MAX_BYTES: Final = 512 * 1024
TITLE_MAX_CHARS: Final = 200
PER_PROJECT_MAX: Final = 500
"""Of one kind: a list that is longer is a program's mistake."""

TICK_S: Final = 1e-6
"""The least by which a change is later than the one before: clocks go backwards."""


class SavedKind(StrEnum):
    """What is saved."""

    VIEW = "view"
    """How the table of runs is filtered, sorted and laid out."""
    WORKSPACE = "workspace"
    """Which charts there are, and where."""
    SELECTION = "selection"
    """Runs that somebody has picked, too many for an address: ``{"runs": [...]}``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """One document.

    Parameters
    ----------
    id, project : str
    kind : SavedKind
    title : str
        As people call it.
    body : dict
        JSON, as its page understands it.
    user : str
        Who saved it last.
    is_default : bool
        What its page starts with; at most one of a kind in a project.
    created, updated : float
        UTC seconds. Who changes a document sends back the ``updated`` that was seen.
    """

    id: str
    project: str
    kind: SavedKind
    title: str
    body: dict[str, Any]
    user: str
    is_default: bool
    created: float
    updated: float


class SavedDocuments:
    """The documents of one kind.

    Parameters
    ----------
    database : Database
    kind : SavedKind
    clock : Clock, optional
        For tests.
    """

    def __init__(self, database: Database, kind: SavedKind, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._database = database
        self._kind = kind
        self._clock = clock

    def list(self, project: str) -> tuple[Saved, ...]:
        """Return all of a project, by title."""
        wanted = select(SAVED).where(SAVED.c.project == project, SAVED.c.kind == self._kind)
        with self._database.begin() as connection:
            found = [_make_saved(row) for row in connection.execute(wanted)]
        return tuple(sorted(found, key=lambda one: (one.title.casefold(), one.id)))

    def get(self, project: str, saved_id: str) -> Saved:
        """Return one.

        Raises
        ------
        NotFoundError
            It is not there.
        """
        with self._database.begin() as connection:
            return self._get(connection, project, saved_id)

    def add(
        self, project: str, title: str, body: dict[str, Any], *, user: str, is_default: bool = False
    ) -> Saved:
        """Save something new.

        Raises
        ------
        UsageError
            It has no title or another's, is too large, or there are too many; of selections the
            oldest goes.
        """
        now_wall_s = self._clock.wall_s()
        one = Saved(
            id=secrets.token_hex(8), project=project, kind=self._kind, title=_check_title(title),
            body=body, user=_encodable(user), is_default=is_default, created=now_wall_s,
            updated=now_wall_s,
        )  # fmt: skip
        columns = {**_make_columns(one), "id": one.id, "project": project, "kind": self._kind}
        place = (SAVED.c.project == project) & (SAVED.c.kind == self._kind)
        with self._database.begin() as connection:
            count = connection.execute(select(func.count()).where(place)).scalar_one()
            if count >= PER_PROJECT_MAX and self._kind == SavedKind.SELECTION:
                # Nobody sees a list of these that could be tidied.
                oldest = select(SAVED.c.id).where(place).order_by(SAVED.c.updated).limit(1)
                connection.execute(delete(SAVED).where(SAVED.c.id == oldest.scalar_subquery()))
            elif count >= PER_PROJECT_MAX:
                raise UsageError(
                    f"this project has {count} of them already", hint="delete some first"
                )
            self._check_free(connection, project, one.title)
            if is_default:
                connection.execute(update(SAVED).where(place).values(is_default=False))
            connection.execute(insert(SAVED).values(created=now_wall_s, **columns))
        return one

    def change(
        self, project: str, saved_id: str, changes: dict[str, Any], *, seen: float, user: str
    ) -> Saved:
        """Change the title, the body, or whether it is the default.

        Parameters
        ----------
        changes : dict
            Any of ``title``, ``body`` and ``is_default``.
        seen : float
            Its ``updated``, as whoever changes it knew it.

        Raises
        ------
        BusyError
            Somebody else has changed it meanwhile.
        NotFoundError
            It is not there.
        UsageError
            The title or the body cannot be taken.
        """
        with self._database.begin() as connection:
            before = self._get(connection, project, saved_id)
            one = Saved(
                id=before.id, project=project, kind=self._kind, created=before.created,
                title=_check_title(changes.get("title", before.title)),
                body=changes.get("body", before.body),
                is_default=bool(changes.get("is_default", before.is_default)),
                user=_encodable(user), updated=max(self._clock.wall_s(), before.updated + TICK_S),
            )  # fmt: skip
            if one.title != before.title:
                self._check_free(connection, project, one.title, but=saved_id)
            mine = (SAVED.c.id == saved_id) & (SAVED.c.project == project)
            # The time is compared where it is changed: two who save at once cannot both win.
            done = connection.execute(
                update(SAVED).where(mine, SAVED.c.updated == seen).values(**_make_columns(one))
            )
            if not done.rowcount:
                raise BusyError(
                    f"{before.user or 'somebody'} has changed {before.title[:60]!r} meanwhile",
                    hint="reload the page to see it, or save yours under another name",
                )
            if one.is_default:
                others = (SAVED.c.project == project) & (SAVED.c.kind == self._kind)
                connection.execute(
                    update(SAVED).where(others, SAVED.c.id != saved_id).values(is_default=False)
                )
        return one

    def delete(self, project: str, saved_id: str) -> Saved:
        """Delete one, and return what it was.

        Raises
        ------
        NotFoundError
            It is not there.
        """
        with self._database.begin() as connection:
            before = self._get(connection, project, saved_id)
            connection.execute(delete(SAVED).where(SAVED.c.id == saved_id))
        return before

    def _check_free(
        self, connection: Connection, project: str, title: str, *, but: str = ""
    ) -> None:
        """Refuse a title that another document has: nobody could tell them apart."""
        if self._kind == SavedKind.SELECTION:
            return
        wanted = select(SAVED.c.title).where(
            SAVED.c.project == project, SAVED.c.kind == self._kind, SAVED.c.id != but
        )
        if title.casefold() in {one.casefold() for one in connection.execute(wanted).scalars()}:
            raise UsageError(
                f"there is a {self._kind} called {title[:60]!r} already",
                hint="choose another name, or open that one and save it",
            )

    def _get(self, connection: Connection, project: str, saved_id: str) -> Saved:
        wanted = select(SAVED).where(
            SAVED.c.id == saved_id, SAVED.c.project == project, SAVED.c.kind == self._kind
        )
        row = connection.execute(wanted).one_or_none()
        if row is None:
            raise NotFoundError(f"there is no such {self._kind} in this project")
        return _make_saved(row)


class State:
    """What the dashboard keeps, by kind.

    Parameters
    ----------
    database : Database
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.views = SavedDocuments(database, SavedKind.VIEW)
        self.workspaces = SavedDocuments(database, SavedKind.WORKSPACE)
        self.selections = SavedDocuments(database, SavedKind.SELECTION)

    def of(self, kind: SavedKind) -> SavedDocuments:
        """Return the documents of a kind."""
        return {
            SavedKind.VIEW: self.views,
            SavedKind.WORKSPACE: self.workspaces,
            SavedKind.SELECTION: self.selections,
        }[kind]

    def close(self) -> None:
        """Close the database."""
        self._database.close()


def _make_columns(one: Saved) -> dict[str, Any]:
    try:
        body = json.dumps(one.body, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UsageError(f"the body is no JSON: {error}") from None
    if not isinstance(one.body, dict):
        raise UsageError("the body is no JSON object")
    if len(body) > BODY_MAX_BYTES:
        raise UsageError(
            f"the body has {len(body):,} bytes, and at most {BODY_MAX_BYTES:,} can be saved"
        )
    return {
        "title": one.title, "body": body, "user": one.user, "is_default": one.is_default,
        "updated": one.updated,
    }  # fmt: skip


def _make_saved(row: Row[Any]) -> Saved:
    facts = dict(row._mapping)  # noqa: SLF001 - its public name
    try:
        body = json.loads(facts["body"])
    except ValueError:
        body = {}
    return Saved(
        **{
            **facts,
            "kind": SavedKind(facts["kind"]),
            "body": body if isinstance(body, dict) else {},
        }
    )


def _check_title(title: Any) -> str:
    if not isinstance(title, str) or not title.strip():
        raise UsageError("it needs a title")
    if len(title) > TITLE_MAX_CHARS:
        raise UsageError(f"the title has more than {TITLE_MAX_CHARS} letters")
    return _encodable(title.strip())


def _encodable(text: str) -> str:
    """Return text that both databases take: no half of a surrogate pair, and no NUL."""
    return text.encode("utf-8", "replace").decode().replace("\0", "?")
