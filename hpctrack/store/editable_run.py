"""A stored run's name, notes and tags, which people may change; `StoredRun` inherits it."""

from __future__ import annotations

import abc
from collections.abc import Iterable
from typing import ClassVar, Self

from hpctrack.core.clock import Clock
from hpctrack.store.annotation_file import edit_annotations, find_user, read_annotations
from hpctrack.store.annotations import NOTHING, Annotations
from hpctrack.store.described import DescribedRun
from hpctrack.store.record import RunRecord


class TagList(list[str]):
    """The tags of a stored run: a list, as W&B's, that compares and adds as a tuple does too."""

    __hash__: ClassVar[None]

    def __eq__(self, other: object) -> bool:
        """Tell whether another sequence has the same tags."""
        if isinstance(other, (list, tuple)):
            return list.__eq__(self, list(other))
        return NotImplemented

    def __add__(self, other: Iterable[str]) -> TagList:  # type: ignore[override]
        """Return these tags and more."""
        return TagList([*self, *_tags_of(other)])

    def __iadd__(self, other: Iterable[str]) -> Self:  # type: ignore[override]
        """Add tags; a text is one."""
        self.extend(_tags_of(other))
        return self


def _tags_of(given: Iterable[str]) -> list[str]:
    return [given] if isinstance(given, str) else list(given)


class EditableRun(DescribedRun):
    """A run with what people have said of it afterwards.

    What is set is kept in this object until `update` writes it. It is laid over what the job says
    and wins over it, whenever that was said.
    """

    _clock: Clock
    _annotations: Annotations | None = None
    _laid_over: tuple[RunRecord, RunRecord] | None = None
    _new_name: str | None = None
    _new_notes: str | None = None
    _new_archived: bool | None = None
    _new_deleted: bool | None = None
    _tags: TagList | None = None
    _known_tags: tuple[str, ...] = ()

    @abc.abstractmethod
    def _find_record(self) -> RunRecord:
        """Return the record as the job has said it; `StoredRun` knows where it is."""

    @abc.abstractmethod
    def _find_told(self) -> RunRecord:
        """Return the record without last values likewise."""

    @property
    def record(self) -> RunRecord:
        """Everything but the numbers.

        Raises
        ------
        NotFoundError
            The run has no files (any more).
        StoreFormatError
            None of them can be read.
        """
        return self._lay_over(self._find_record())

    @property
    def told(self) -> RunRecord:
        """The record without the last values of a run that is not sealed: reads no points.

        Raises
        ------
        NotFoundError, StoreFormatError
            As `record`.
        """
        return self._lay_over(self._find_told())

    @property
    def brief(self) -> RunRecord:
        """The record as listings need it: `told`, without its ranks if the listing index has it.

        Raises
        ------
        NotFoundError, StoreFormatError
            As `record`.
        """
        return self._lay_over(self.plain_brief)

    @property
    def annotations(self) -> Annotations:
        """What people have said of the run, who and when; `name`, `notes` and `tags` have it."""
        if self._annotations is None:
            self._annotations = read_annotations(self.folder.parent.parent, self.project, self.id)
        return self._annotations

    @property
    def name(self) -> str:
        """The name people read; `update` saves what it is set to. An empty one is the job's."""
        if self._new_name is None:
            return self.brief.name or self.id
        return self._new_name or self.plain_brief.name or self.id

    @name.setter
    def name(self, name: str) -> None:
        self._new_name = str(name)

    @property
    def notes(self) -> str:
        """Free text; `update` saves what it is set to."""
        return self.brief.notes if self._new_notes is None else self._new_notes

    @notes.setter
    def notes(self, notes: str | None) -> None:
        self._new_notes = "" if notes is None else str(notes)

    @property
    def tags(self) -> TagList:
        """Short labels; `update` saves what is appended, removed or set."""
        shown = self.brief.tags
        if self._tags is None or (self._tags == self._known_tags and shown != self._known_tags):
            self._tags, self._known_tags = TagList(shown), shown
        return self._tags

    @tags.setter
    def tags(self, tags: Iterable[str]) -> None:
        known = self.tags
        known[:] = _tags_of(tags)

    @property
    def archived(self) -> bool:
        """Whether the run was put away, and listings leave it out; `update` saves what is set."""
        return self.annotations.is_archived if self._new_archived is None else self._new_archived

    @archived.setter
    def archived(self, archived: bool) -> None:
        self._new_archived = bool(archived)

    @property
    def deleted(self) -> bool:
        """Whether the run is marked as deleted; `update` saves what it is set to.

        A mark that can be taken back: no file is removed. ``hpctrack server gc`` can do that, long
        after.
        """
        return self.annotations.is_deleted if self._new_deleted is None else self._new_deleted

    @deleted.setter
    def deleted(self, deleted: bool) -> None:
        self._new_deleted = bool(deleted)

    def update(self) -> None:
        """Save name, notes, tags and marks that were set.

        ``hpctrack sync`` brings them to the server. Of the tags only what was added and removed is
        said: what others add meanwhile stays.

        Raises
        ------
        UsageError
            One of them cannot be used, or is too long.
        BusyError
            Somebody else is writing there.
        StoreError
            The store cannot be written.

        Examples
        --------
        >>> import hpctrack
        >>> run = hpctrack.Store("hpctrack-store").run("4711.0")                # doctest: +SKIP
        >>> run.name, run.notes = "best so far", "lr 3e-4, see the curve"       # doctest: +SKIP
        >>> run.tags.append("paper")                                            # doctest: +SKIP
        >>> run.update()                                                        # doctest: +SKIP
        """
        tags = self._tags if self._tags is not None else TagList()
        added = [one for one in dict.fromkeys(tags) if one not in self._known_tags]
        removed = [one for one in self._known_tags if one not in tags]
        marks = (self._new_archived, self._new_deleted)
        texts = (self._new_name, self._new_notes)
        if not (added or removed) and all(one is None for one in (*texts, *marks)):
            return
        edited = edit_annotations(
            self.folder.parent.parent,
            self.project,
            self.id,
            name=self._new_name,
            notes=self._new_notes,
            add_tags=added,
            remove_tags=removed,
            archived=self._new_archived,
            deleted=self._new_deleted,
            by=find_user(),
            clock=self._clock,
        )
        self._new_name = self._new_notes = self._tags = None
        self._new_archived = self._new_deleted = None
        self._known_tags, self._laid_over = (), None
        self._annotations = edited

    def _forget_annotations(self) -> None:
        """Read them again when they are asked for; what was set and not saved is kept."""
        self._annotations = self._laid_over = None

    def _lay_over(self, record: RunRecord) -> RunRecord:
        found = self._annotations
        if found is NOTHING:  # as most are: a listing asks several times for each
            return record
        if found is None:
            found = self.annotations
        if self._laid_over is None or self._laid_over[0] is not record:
            self._laid_over = (record, found.lay_over(record))
        return self._laid_over[1]
