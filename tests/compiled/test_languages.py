"""The client in its three languages: built with all warnings as errors, run by `hpctrack run`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hpctrack import StoredRun
from hpctrack.cli.cflags_cmd import INCLUDE
from hpctrack.core.wire import WIRE_VERSION
from tests.compiled.building import EXAMPLES, build, call, compile_file, run_tracked
from tests.programs import ROOT, only_run, run_python

pytestmark = pytest.mark.cc


def list_steps(run: StoredRun, name: str) -> list[int]:
    return list(run.metric(name).steps.tolist())


@pytest.mark.parametrize("standard", ["c99", "gnu17"])
def test_the_example_in_c_logs_what_it_computes(standard: str, tmp_path: Path) -> None:
    done = run_tracked(build("gcc", standard, EXAMPLES / "decay.c", into=tmp_path))
    assert (done.returncode, done.stdout) == (0, "done after 200 steps\n"), done.stderr
    run = only_run(tmp_path / "store")
    assert run.state == "finished"
    assert sorted(run.metrics()) == ["heat/hottest", "heat/total", "residual"]
    assert list_steps(run, "residual") == list_steps(run, "heat/total") == list(range(200))
    assert run.metric("heat/total").values[0] == pytest.approx(100)
    assert (run.metric("heat/hottest").values[1:] < 100).all()
    assert not run.record.ledger


def test_the_program_that_measures_a_call_logs_what_it_measures(tmp_path: Path) -> None:
    source = ROOT / "scripts" / "benchmarks" / "programs" / "cost.c"
    done = run_tracked(build("gcc", "c99", source, into=tmp_path))
    assert done.returncode == 0, done.stderr
    told = re.fullmatch(r"\d+\.\d ns a call; (\d+) values dropped\n", done.stdout)
    assert told is not None
    run = only_run(tmp_path / "store")
    assert len(run.metric("train/loss")) + int(told[1]) == 200_000
    assert run.ledger.get("dropped_points", 0) == int(told[1])


@pytest.mark.cxx
@pytest.mark.parametrize("standard", ["c++11", "c++17"])
def test_the_example_in_cpp_logs_what_it_computes(standard: str, tmp_path: Path) -> None:
    done = run_tracked(build("g++", standard, EXAMPLES / "search.cpp", into=tmp_path))
    assert done.returncode == 0, done.stderr
    run = only_run(tmp_path / "store")
    assert list_steps(run, "value") == list(range(500))
    lowest = run.metric("lowest").values
    assert (lowest[1:] <= lowest[:-1]).all()
    assert not run.record.ledger


@pytest.mark.fortran
@pytest.mark.parametrize("standard", ["f2008", "f2018"])
def test_the_example_in_fortran_logs_what_it_computes(standard: str, tmp_path: Path) -> None:
    done = run_tracked(build("gfortran", standard, EXAMPLES / "pendulum.f90", into=tmp_path))
    assert done.returncode == 0, done.stderr
    run = only_run(tmp_path / "store")
    assert sorted(run.metrics()) == ["angle", "energy/kinetic", "energy/potential"]
    assert list_steps(run, "angle") == list(range(1, 301))
    total = run.metric("energy/kinetic").values + run.metric("energy/potential").values
    assert total == pytest.approx(total[0], rel=0.1)


EVERY_KIND = """
program every_kind
   use hpctrack
   use, intrinsic :: iso_c_binding, only: c_int64_t
   implicit none
   character(len=32) :: name
   character(len=8) :: names(150)
   logical :: recorded
   integer :: i
   call hpct_init(recorded)
   if (.not. recorded) error stop 1
   name = "padded"
   call hpct_log(name, 1, 0.5)
   call hpct_log(name, 2_c_int64_t**40, 0.25)
   call hpct_log("double", 2_c_int64_t**40, 0.1d0)
   call hpct_log("whole", 3, 7)
   do i = 1, 150
      write (names(i), '(a, i0)') "n/", i
   end do
   call hpct_log(names, 4_c_int64_t, [(dble(i), i = 1, 150)])
   if (hpct_should_stop()) error stop 2
   if (hpct_dropped() /= 0) error stop 2
   call hpct_finish(3)
   error stop 3
end program every_kind
"""


@pytest.mark.fortran
def test_fortran_logs_numbers_and_steps_of_all_kinds(tmp_path: Path) -> None:
    source = tmp_path / "every_kind.f90"
    source.write_text(EVERY_KIND)
    done = run_tracked(build("gfortran", "f2008", source, into=tmp_path))
    assert done.returncode == 3, done.stderr
    run = only_run(tmp_path / "store")
    (rank,) = run.ranks()
    assert (run.state, rank.exit_code) == ("failed", 3)
    assert run.metric("padded").values.tolist() == [0.5, 0.25]
    assert list_steps(run, "double") == [2**40]
    assert run.metric("whole").values.tolist() == [7]
    assert [run.metric(f"n/{i}").values.tolist() for i in range(1, 151)] == [
        [float(i)] for i in range(1, 151)
    ]


MAIN = """
#include <hpctrack.h>
void from_cpp(void);
void from_fortran(void);
int main(void)
{
    hpct_init();
    hpct_log("a", 0, 1);
    from_cpp();
    from_fortran();
    return 0;
}
"""

FROM_CPP = """
#include <hpctrack.h>
extern "C" void from_cpp() { hpct_log("a", 1, 2); }
"""

FROM_FORTRAN = """
subroutine from_fortran() bind(c)
   use hpctrack
   call hpct_log("a", 2, 3)
end subroutine from_fortran
"""


@pytest.mark.cxx
@pytest.mark.fortran
def test_files_in_three_languages_are_one_program_with_one_run(tmp_path: Path) -> None:
    texts = {"main.c": MAIN, "more.cpp": FROM_CPP, "more.f90": FROM_FORTRAN}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    module = compile_file("gfortran", "f2008", INCLUDE / "hpctrack.f90", into=tmp_path)
    parts = [
        compile_file(compiler, standard, tmp_path / name, into=tmp_path)
        for compiler, standard, name in [
            ("gcc", "c99", "main.c"),
            ("g++", "c++17", "more.cpp"),
            ("gfortran", "f2008", "more.f90"),
        ]
    ]
    call("gfortran", *parts, module, "-lstdc++", "-o", tmp_path / "program")
    assert run_tracked(tmp_path / "program").returncode == 0
    assert only_run(tmp_path / "store").metric("a").values.tolist() == [1, 2, 3]


@pytest.mark.fortran
def test_the_compilers_are_told_where_everything_is(tmp_path: Path) -> None:
    def ask(*options: str) -> list[str]:
        code = "import sys; from hpctrack.cli.main import main; main(sys.argv[1:])"
        done = run_python(code, "cflags", *options)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    call("gcc", *ask(), EXAMPLES / "decay.c", "-o", tmp_path / "decay")
    call(
        "gfortran",
        *ask("--fortran", "--c-source"),
        f"-J{tmp_path}",
        EXAMPLES / "pendulum.f90",
        "-o",
        tmp_path / "pendulum",
    )
    (header,) = ask("--header")
    text = Path(header).read_text()
    assert "int hpct_init(void);" in text
    assert len(text.splitlines()) < 500, "people read it"


def test_the_header_speaks_the_wire_of_the_agent() -> None:
    (spoken,) = re.findall(r"HPCTP_WIRE = (\d+)", (INCLUDE / "hpctrack.h").read_text())
    assert int(spoken) == WIRE_VERSION
