"""What a key may do: decided by who wrote its line in ``authorized_keys``, never by the peer."""

from __future__ import annotations

from dataclasses import dataclass

from hpctrack.sync.wire.messages import ItemKind, Key
from hpctrack.sync.wire.refusal import ItemRefusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The limits of one connection.

    Parameters
    ----------
    projects : tuple of str
        Only these; empty for all.
    append_only : bool
        May add, and replace nothing by something else.
    quota_bytes : int or None
        How large a project may become.
    user : str
        Whose runs they are; others' are refused. Empty: nobody asks.
    """

    projects: tuple[str, ...] = ()
    append_only: bool = False
    quota_bytes: int | None = None
    user: str = ""

    def check(self, key: Key) -> None:
        """Refuse what is not this key's business.

        Raises
        ------
        ItemRefusal
            The project is another one.
        """
        if self.projects and key.project not in self.projects:
            raise ItemRefusal("other-project", projects=", ".join(self.projects))

    def check_owner(self, owner: str | None) -> None:
        """Refuse a run of somebody else.

        Parameters
        ----------
        owner : str or None
            Of the run that is there; empty if it has none, None if there is no run.

        Raises
        ------
        ItemRefusal
            It is not this user's.
        """
        if self.user and owner is not None and owner != self.user:
            raise ItemRefusal("other-user", owner=owner or "nobody who is known here")


OWNED = frozenset(
    {
        ItemKind.SWEEP,
        ItemKind.PROGRESS,
        ItemKind.RUN,
        ItemKind.LIVE,
        ItemKind.ACCOUNTING,
        ItemKind.ANNOTATIONS,
    }
)
"""What belongs to the owner of a run, or of a sweep."""
