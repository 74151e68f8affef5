"""``hpctrack edit``: give a run another name, notes or tags."""

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
    store: Path | None,
    project: str | None,
    as_json: bool,
) -> None:
    """Give runs another name, notes or tags, whether they still go on or not.

    RUN is an id, project/id, a name, or the beginning of an id. What the job has said stays in its
    files. `hpctrack sync` brings an edit to the server and the server's edits back; if both
    sides have edited the same without knowing of each other, the server's counts.

    \b
    Examples:
      hpctrack edit lunar-harbor-998 --name "best so far"
      hpctrack edit 4711.0 4711.1 4711.2 --add-tag paper --remove-tag todo
      hpctrack edit 4711.0 --notes "diverges from step 900 on"
      git log -1 | hpctrack edit 4711.0 --notes -
      hpctrack edit 4711.0 --edit-notes
    """
    if name is None and notes is None and not (edit_notes or added or removed):
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
        told = [_edit(run, name, notes, added, removed) for run in found]
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
) -> dict[str, Any]:
    before = (run.name, run.notes, list(run.tags))
    if name is not None:
        run.name = name
    if notes is not None:
        run.notes = notes
    run.tags = [one for one in run.tags if one not in removed]
    run.tags += [one for one in (tag.strip() for tag in added) if one not in run.tags]
    run.update()
    return {
        "project": run.project,
        "id": run.id,
        "name": run.name,
        "notes": run.notes,
        "tags": list(run.tags),
        "changed": before != (run.name, run.notes, list(run.tags)),
    }


def _describe(told: dict[str, Any]) -> str:
    words = [f"{told['project']}/{told['id']}: {told['name']}"]
    words += [f"tags {', '.join(told['tags'])}"] * bool(told["tags"])
    first, _, rest = told["notes"].partition("\n")
    words += [f"notes {first}{' ...' if rest else ''}"] * bool(first)
    words += ["as it was"] * (not told["changed"])
    return clean("; ".join(words))
