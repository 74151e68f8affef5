"""One token per start of a program, the same on all of its ranks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hpctrack.client.identity import make_launch_token
from hpctrack.client.ranks import detect_rank
from tests.programs import run_python
from tests.unit.client.test_ranks import OPENMPI, SRUN, TORCHRUN


def token(environ: dict[str, str], *, ordinal: int = 0, proc: Path = Path("/proc")) -> str:
    return make_launch_token(environ, detect_rank(environ), ordinal=ordinal, proc=proc)


def test_all_ranks_of_a_step_have_one_and_a_requeue_another() -> None:
    one = token(SRUN)
    assert one == token(SRUN | {"SLURM_PROCID": "5", "SLURM_NODEID": "2", "MASTER_PORT": "5"})
    assert len(one) == 16
    assert one != token(SRUN | {"SLURM_RESTART_COUNT": "1"})
    assert one != token(SRUN | {"SLURM_STEP_ID": "1"})


def test_each_run_of_a_process_is_a_start_of_its_own() -> None:
    assert token(SRUN) != token(SRUN, ordinal=1)
    assert token({}) == token({})
    assert token({}) != token({}, ordinal=1)


def test_the_program_in_a_wrapper_begins_with_the_wrapper() -> None:
    inherited = {"HPCTRACK_LAUNCH": "00ff00ff00ff00ff"}
    assert token(inherited) == token(inherited | OPENMPI) == "00ff00ff00ff00ff"
    assert token(inherited, ordinal=1) != token(inherited)


def test_two_processes_that_nobody_launched_are_two_starts() -> None:
    code = """
    from hpctrack.client.identity import make_launch_token
    from hpctrack.client.ranks import RankInfo
    print(make_launch_token({}, RankInfo()))
    """
    one, other = (run_python(code).stdout.strip() for _ in range(2))
    assert one != other
    assert len(one) == len(other) == 16


def test_processes_of_one_pool_are_one_start() -> None:
    code = """
    import multiprocessing
    from hpctrack.client.identity import make_launch_token
    from hpctrack.client.ranks import RankInfo
    def ask(_number):
        return make_launch_token({}, RankInfo())
    if __name__ == "__main__":
        with multiprocessing.get_context("fork").Pool(2) as pool:
            print(len({ask(0), *pool.map(ask, range(4))}))
    """
    assert run_python(code).stdout.strip() == "1"


def fake_process(proc: Path, pid: int, parent: int, *, words: str = "", environ: str = "") -> None:
    folder = proc / str(pid)
    folder.mkdir()
    fields = ["S", str(parent), *["0"] * 17, f"9{pid}", "0"]
    (folder / "stat").write_text(f"{pid} (a b) {' '.join(fields)}")
    (folder / "cmdline").write_text(words.replace(" ", "\0"))
    (folder / "environ").write_text(environ.replace(" ", "\0"))


@pytest.mark.parametrize(
    ("environ", "variable"),
    [(TORCHRUN | {"LOCAL_WORLD_SIZE": TORCHRUN["WORLD_SIZE"]}, "TORCHELASTIC_RUN_ID")],
)
def test_a_shell_around_each_rank_does_not_part_them(
    environ: dict[str, str], variable: str, tmp_path: Path
) -> None:
    tokens = []
    for shell in (501, 502):
        proc = tmp_path / str(shell)
        proc.mkdir()
        fake_process(proc, os.getppid(), shell, environ=f"A=1 {variable}=x")
        fake_process(proc, shell, 400, environ=f"{variable}=x")
        fake_process(proc, 400, 1, environ="A=1")
        tokens.append(token(environ, proc=proc))
    assert tokens[0] == tokens[1]
    fake_process(tmp_path / "502", 401, 1)
    (tmp_path / "502" / "502" / "stat").write_text("502 (sh) S 401 " + "0 " * 20)
    assert token(environ, proc=tmp_path / "502") != tokens[0]


def test_hydra_ranks_of_several_nodes_share_mpiexecs_port(tmp_path: Path) -> None:
    environ = {"PMI_RANK": "1", "PMI_SIZE": "4", "MPI_LOCALNRANKS": "2"}
    fake_process(tmp_path, os.getppid(), 1, words="proxy --control-port n1:4711 --proxy-id 1")
    one = token(environ, proc=tmp_path)
    (tmp_path / str(os.getppid()) / "cmdline").write_text("proxy\0--control-port\0n1:4711\0-x")
    assert token(environ | {"PMI_RANK": "3"}, proc=tmp_path) == one
    (tmp_path / str(os.getppid()) / "cmdline").write_text("proxy\0--control-port\0n1:4712")
    assert token(environ, proc=tmp_path) != one
