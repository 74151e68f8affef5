"""W&B's way to say which runs are meant; `Store` does the work."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from hpctrack.errors import UsageError
from hpctrack.store.store import Store
from hpctrack.store.stored_run import StoredRun


class Api:
    """The store as programs that were written for ``wandb.Api`` ask it. Reads files, sends nothing.

    Parameters
    ----------
    overrides, timeout, api_key : optional
        Taken because W&B takes them; they mean nothing here.
    dir : path, optional
        The store's folder. Default: the setting ``dir``, where runs of this program would go.

    Attributes
    ----------
    store : Store

    Raises
    ------
    NotFoundError
        There is no such folder.

    Examples
    --------
    >>> import hpctrack
    >>> run = hpctrack.Api().run("digits/4711.0")      # doctest: +SKIP
    >>> run.tags.append("paper")                       # doctest: +SKIP
    >>> run.update()                                   # doctest: +SKIP
    """

    def __init__(
        self,
        overrides: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        api_key: str | None = None,
        *,
        dir: str | os.PathLike[str] | None = None,  # noqa: A002 - the word of the setting
    ) -> None:
        del overrides, timeout, api_key
        self.store = Store(dir)

    def projects(self) -> list[str]:
        """Return the projects that have runs, sorted."""
        return self.store.projects()

    def run(self, path: str) -> StoredRun:
        """Return one run.

        Parameters
        ----------
        path : str
            ``project/id``, with an entity before it or not, or what `Store.run` takes.

        Raises
        ------
        NotFoundError
            There is no such run.
        UsageError
            Several runs are meant, or the path has too many parts.
        """
        *_entity, project, run = ("", *_split(path, most=3))
        return self.store.run(run, project=project or None)

    def runs(
        self,
        path: str | None = None,
        filters: Mapping[str, Any] | None = None,
        order: str = "+created_at",
        per_page: int = 50,
        *,
        include_sweeps: bool = True,
    ) -> list[StoredRun]:
        """Return runs that match, the oldest first.

        Parameters
        ----------
        path : str, optional
            A project, with an entity before it or not; default all.
        filters : mapping, optional
        order : str, optional
            As `Store.runs` has them.
        per_page, include_sweeps : optional
            They mean nothing here.

        Raises
        ------
        NotFoundError
            There is no such project.
        UsageError
            The filter or the order cannot be understood.
        """
        del per_page, include_sweeps
        project = _split(path, most=2)[-1] if path else None
        return self.store.runs(filters, order, project=project)


def _split(path: str, *, most: int) -> list[str]:
    parts = [one for one in path.strip("/").split("/") if one]
    if most > 2 and len(parts) > 2 and parts[-2] == "runs":  # noqa: PLR2004 - as in an address
        del parts[-2]
    if not 0 < len(parts) <= most:
        raise UsageError(f"the path {path!r} names nothing", hint="write project/id, or an id")
    return parts
