"""``hpctrack edit``: give a run another name, notes or tags; put it away, or delete it."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from hpctrack.cli.options import json_option, open_store, print_json, project_option, store_option
from hpctrack.core.names import clean
from hpctrack.errors import NotFoundError, UsageError
from hpctrack.store.annotation_edit import make_changes
from hpctrack.store.stored_run import StoredRun


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option("--name", help="Its new name; an empty one gives back the job's.")
@click.option("--notes", help="Its new notes; `-` reads them from stdin.")
@click.option("--edit-notes", is_flag=True, help="Change the notes in $EDITOR.")
@click.option("--add-tag", "added", metavar="TAG", multiple=True, help="May be repeated.")
@click.option("--remove-tag", "removed", metavar="TAG", multiple=True, help="May be repeated.")
@click.option("--archive/--unarchive", "archived", default=None, help="Put away, or take out.")
@click.option("--delete/--restore", "deleted", default=None, help="Mark as deleted, or not.")
@store_option
@project_option
@json_option
def edit(
    *,
    runs: tuple[str, ...],
    name: str | None,
    notes: str | None,
    edit_notes: bool,
    added: tuple[str, ...],
    removed: tuple[str, ...],
    archived: bool | None,
    deleted: bool | None,
    store: Path | None,
    project: str | None,
    as_json: bool,
) -> None:
    """Give runs another name, notes or tags, put them away or delete them.

    They may still be going on.

    RUN is an id, project/id, a name, or the beginning of an id. What the job has said stays in its
    files. `hpctrack sync` brings an edit to the server and the server's edits back; if both
    sides have edited the same without knowing of each other, the server's counts.

    Runs that are archived or deleted are left out of listings. Deleting is a mark, which --restore
    takes away: no file is removed, unless `hpctrack server gc --deleted-days` is asked to.

    \b
    Examples:
      hpctrack edit lunar-harbor-998 --name "best so far"
      hpctrack edit 4711.0 4711.1 4711.2 --add-tag paper --remove-tag todo
      hpctrack edit 4711.0 --notes "diverges from step 900 on"
      git log -1 | hpctrack edit 4711.0 --notes -
      hpctrack edit 4711.0 --edit-notes
      hpctrack edit 4711.3 4711.4 --delete
    """
    marks = {"archived": archived, "deleted": deleted}
    is_marking = any(one is not None for one in marks.values())
    if name is None and notes is None and not (edit_notes or added or removed or is_marking):
        raise UsageError("nothing is to be changed", hint="hpctrack edit -h")
    if len(runs) > 1 and (name is not None or edit_notes):
        raise UsageError("a name, and an editor, are for one run", hint="name one RUN")
    if edit_notes and notes is not None:
        raise UsageError("the notes come from --notes or from the editor", hint="give one")
    with ExitStack() as stack:
        found = _find(runs, store, project, stack)
        if edit_notes:
            notes = click.edit(found[0].notes, extension=".md")
        elif notes == "-":
            notes = sys.stdin.buffer.read().decode("utf-8", "replace")
        # A tag or text that cannot be used is told before any run is changed.
        make_changes(name=name, notes=notes, add_tags=added, remove_tags=removed)
        _check_tags(found, removed)
        told = [_edit(run, name, notes, added, removed, marks=marks) for run in found]
    if as_json:
        print_json({"runs": told})
        return
    for one in told:
        click.echo(_describe(one))


def _find(
    runs: tuple[str, ...], path: Path | None, project: str | None, stack: ExitStack
) -> list[StoredRun]:
    """Return the runs, each once; all of them are found before any is changed."""
    store = open_store(path)
    found: dict[Path, StoredRun] = {}
    for one in runs:
        run = store.run(one, project=project)
        stack.callback(run.close)
        found.setdefault(run.folder, run)
    return list(found.values())


def _check_tags(runs: list[StoredRun], removed: tuple[str, ...]) -> None:
    for tag in removed:
        if not any(tag in run.tags for run in runs):
            known = ", ".join(sorted({one for run in runs for one in run.tags}))
            raise NotFoundError(
                f"{'it has' if len(runs) == 1 else 'they have'} no tag {tag!r}",
                hint=f"there are {known}" if known else "there are no tags",
            )


def _edit(
    run: StoredRun,
    name: str | None,
    notes: str | None,
    added: tuple[str, ...],
    removed: tuple[str, ...],
    *,
    marks: dict[str, bool | None],
) -> dict[str, Any]:
    before = _read(run)
    if name is not None:
        run.name = name
    if notes is not None:
        run.notes = notes
    run.tags = [one for one in run.tags if one not in removed]
    run.tags += [one for one in (tag.strip() for tag in added) if one not in run.tags]
    for key, mark in marks.items():
        if mark is not None:
            setattr(run, key, mark)
    run.update()
    now = _read(run)
    return {"project": run.project, "id": run.id, **now, "changed": before != now}


def _read(run: StoredRun) -> dict[str, Any]:
    return {
        "name": run.name,
        "notes": run.notes,
        "tags": list(run.tags),
        "archived": run.archived,
        "deleted": run.deleted,
    }


def _describe(told: dict[str, Any]) -> str:
    words = [f"{told['project']}/{told['id']}: {told['name']}"]
    words += [f"tags {', '.join(told['tags'])}"] * bool(told["tags"])
    first, _, rest = told["notes"].partition("\n")
    words += [f"notes {first}{' ...' if rest else ''}"] * bool(first)
    words += [mark for mark in ("archived", "deleted") if told[mark]]
    words += ["as it was"] * (not told["changed"])
    return clean("; ".join(words))
