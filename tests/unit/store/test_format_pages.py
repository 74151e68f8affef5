"""Whether the pages about the format are enough to read a file: a reader made from them alone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import h5py
import pytest

from hpctrack.store import schema
from hpctrack.store.node_file import NewEvent
from hpctrack.store.schema import EventKind, Place
from hpctrack.store.seal import seal_run
from hpctrack.store.stored_run import StoredRun
from tests.stores import START_S, NodeWriter

PAGES = Path(__file__).resolve().parents[3] / "docs" / "reference"


def table(heading: str) -> dict[str, list[str]]:
    """Return a table of the generated page: the other cells by the first one."""
    text = (PAGES / "format-tables.md").read_text()
    block = text.split(f"## {heading}\n")[1].split("\n#")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in block.splitlines()
        if line.startswith("| ")
    ]
    return {row[0]: row[1:] for row in rows[1:]}


def numbers(heading: str) -> dict[int, str]:
    return {int(number): cells[0] for number, cells in table(heading).items()}


class PageReader:
    """Reads what a file says, knowing nothing but the pages."""

    def __init__(self, path: Path) -> None:
        self.file = h5py.File(path, swmr=path.name != "run.h5")
        kinds, places = numbers("Kinds of events"), numbers("Places")
        self.events: list[tuple[str, int, bytes]] = []
        for row in self.file["events"][:]:
            place = self.file[places[int(row["flags"])].lower()]
            body = place[row["offset"] : row["offset"] + row["size"]].tobytes()
            self.events.append((kinds[int(row["kind"])], int(row["rank"]), body))

    def bodies(self, kind: str) -> list[Any]:
        return [json.loads(body) for one, _rank, body in self.events if one == kind]

    def printed(self) -> bytes:
        return b"".join(body for kind, _rank, body in self.events if kind == "STDOUT")

    def live_points(self) -> dict[str, list[tuple[int, float]]]:
        names = {
            int.from_bytes(body[:4], "little"): body[4:].decode()
            for kind, _rank, body in self.events
            if kind == "NAME"
        }
        found: dict[str, list[tuple[int, float]]] = {}
        for row in self.file["points"][:]:
            pair = (int(row["step"]), float(row["value"]))
            found.setdefault(names[int(row["metric"])], []).append(pair)
        return found

    def ledger(self) -> dict[str, int]:
        """Return the run's: there is one process."""
        return self.bodies("LEDGER")[-1] if self.bodies("LEDGER") else {}


def write(store: Path) -> Path:
    writer = NodeWriter(store)
    session = writer.start(0, job={"SLURM_JOB_ID": "12"}, launch="abc")
    writer.points("loss", 0, [0, 1, 2], [0.5, 0.25, 0.125])
    writer.event(EventKind.META, {"name": "calm-sea-1", "tags": ["a", "b"]}, session=session)
    writer.event(EventKind.CONFIG, {"lr": 0.1}, session=session)
    writer.event(EventKind.LEDGER, {"dropped_points": 3}, session=session)
    writer.event(EventKind.LEDGER, {"dropped_points": 5, "refused": {"log": 2}}, session=session)
    printed = NewEvent(EventKind.STDOUT, b"hello\n", START_S, 0, session, Place.TEXT)
    writer.file.add_events([printed])
    writer.end(0, session, exit_code=3)
    return writer.close()


def test_a_reader_made_from_the_pages_reads_a_node_file_and_a_sealed_one(tmp_path: Path) -> None:
    path = write(tmp_path)
    record = StoredRun(path.parent).record
    live = PageReader(path)
    assert live.live_points() == {"loss": [(0, 0.5), (1, 0.25), (2, 0.125)]}
    live.file.close()
    seal_run(path.parent)
    sealed = PageReader(path.parent / "run.h5")
    for reader in (live, sealed):
        assert reader.printed() == b"hello\n"
        assert reader.bodies("START")[0]["job"] == record.job
        assert reader.bodies("META")[0]["name"] == record.name
        assert reader.bodies("CONFIG") == [record.config]
        assert reader.bodies("END")[0]["exit_code"] == record.ranks[0].exit_code == 3
        assert reader.ledger() == record.ledger
    sealed.file.close()


@pytest.mark.parametrize("ranks", [1, 2])
def test_the_example_of_the_page_reads_a_metric(
    ranks: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = NodeWriter(tmp_path)
    sessions = [writer.start(rank, size=ranks) for rank in range(ranks)]
    for rank in range(ranks):
        writer.points("loss", rank, [0, 1, 2], [rank + 0.5, rank + 0.25, rank + 0.125])
    for rank, session in enumerate(sessions):
        writer.end(rank, session)
    folder = writer.close().parent
    seal_run(folder)
    text = (PAGES / "format.md").read_text().split("## Reading it without hpctrack")[1]
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(folder)
    found: dict[str, Any] = {}
    exec(example, found)  # noqa: S102 - it is ours
    if ranks == 1:
        assert found["value"].tolist() == [0.5, 0.25, 0.125]
    else:
        assert found["matrix"].tolist() == [[0.5, 0.25, 0.125], [1.5, 1.25, 1.125]]


def test_every_number_of_the_format_has_a_name_and_a_meaning_on_the_page() -> None:
    for heading, kinds in (("Kinds of events", EventKind), ("Places", Place)):
        rows = table(heading)
        assert {int(one): cells[0] for one, cells in rows.items()} == {
            one.value: one.name for one in kinds
        }
        assert all(len(cells[1]) > 10 for cells in rows.values())
    assert set(table("Attributes of the root")) >= {f"`{one}`" for one in schema.ROOT_ATTRIBUTES}


@pytest.mark.parametrize(
    "name", ["runs", "levels", "extremes", "last", "late", "replaced", "pulse"]
)
def test_the_page_has_the_type_of_what_a_sealed_metric_consists_of(name: str) -> None:
    assert all(re.fullmatch(r"`[<|][fiu]\d`", cells[0]) for cells in table(name).values())


def test_the_page_says_what_a_rank_says_of_itself() -> None:
    text = (PAGES / "format.md").read_text().split("### Bodies of events")[1].split("###")[0]
    said = set(re.findall(r"`(\w+)`", text))
    assert said >= {"rank", "size", "host", "attempt", "launch", "job", "dropped_points", "fork"}
    assert str(2**31) in text
