"""Programs whose working folder is deleted under them, or may not be read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import hpctrack
from tests.programs import run_python

PROGRAM = """
import os, shutil, sys, hpctrack
folder, when, store = sys.argv[1:]
os.makedirs(folder)
os.chdir(folder)
os.environ["HPCTRACK_DIR"] = store
if when == "before":
    shutil.rmtree(folder)
with hpctrack.init("p", id="gone", resume="allow", settings={"seal": "manual"}) as run:
    run.log({"a": 1.0})
    if when == "after":
        shutil.rmtree(folder)
    run.log({"a": 2.0})
    assert run.save("relative.txt") == []
    assert run.save("/etc/hostname") == ["/etc/hostname"]
    assert run.save("/etc/hostname", base_path="here") == []
    run.log_code()
    run.log_code(os.path.dirname(hpctrack.__file__) + "/cli")
    run.config.update("conf.yaml")
    run.log({"i": hpctrack.Image("relative.png")})
    assert run.flush(60)
"""


@pytest.mark.parametrize(
    ("when", "is_relative"), [("before", False), ("after", False), ("before", True)]
)
def test_a_working_folder_that_is_gone_costs_what_is_relative_to_it(
    when: str, is_relative: bool, tmp_path: Path
) -> None:
    store = "./store" if is_relative else str(tmp_path / "kept")
    done = run_python(PROGRAM, str(tmp_path / "here"), when, store)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("the working folder is gone, so nobody knows where") >= 3
    spill = Path(os.environ["TMPDIR"]) / f"hpctrack-spill-{os.getuid()}"
    found = hpctrack.Store(spill if is_relative else store).run("p/gone")
    assert ("the run is recorded in" in done.stderr) == is_relative
    assert found.metric("a").values.tolist() == [1.0, 2.0]
    assert found.state == "finished"


def test_settings_are_found_without_a_working_folder(tmp_path: Path) -> None:
    done = run_python(
        """
        import os, hpctrack
        os.mkdir("here")
        os.chdir("here")
        os.rmdir("../here")
        print(hpctrack.init(mode="disabled").disabled)
        """
    )
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
