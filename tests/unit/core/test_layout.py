from __future__ import annotations

from pathlib import Path

import pytest

from hpctrack.core import layout
from hpctrack.errors import InvalidNameError


def test_a_node_files_name_can_be_read_back() -> None:
    name = layout.NodeFileName(3, 2, "0123abcd")
    assert str(name) == "node-0003.a2-0123abcd.h5"
    assert layout.NodeFileName.parse(str(name)) == name


@pytest.mark.parametrize("name", ["run.h5", "node-1.a1-0123abcd.h5", "node-0001.a1-xyz.h5", "x"])
def test_other_files_are_no_node_files(name: str) -> None:
    assert layout.NodeFileName.parse(name) is None


@pytest.mark.parametrize(("project", "run"), [("..", "x"), ("p", "../../etc"), (".sweeps", "x")])
def test_no_name_leads_out_of_the_store(project: str, run: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidNameError):
        layout.run_folder(tmp_path, project, run)


def test_folders_without_runs_and_hidden_ones_are_passed_over(tmp_path: Path) -> None:
    for folder, file in [
        ("p/a", "run.h5"),
        ("p/b", "node-0000.a1-0123abcd.h5"),
        ("p/c", "notes.txt"),
        ("p/.sweeps", "run.h5"),
        (".incoming/x", "run.h5"),
    ]:
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / file).touch()
    (tmp_path / "file").touch()
    assert [one.name for one in layout.iter_run_folders(tmp_path)] == ["a", "b"]
