"""What is recorded beside the code: from trees that look like other machines, and from this one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

import pytest

from hpctrack.telemetry.provenance.child import Programs
from hpctrack.telemetry.provenance.collector import Collector, Wish
from hpctrack.telemetry.provenance.environment import (
    VALUE_MAX_CHARS,
    read_modules,
    select_environment,
)
from hpctrack.telemetry.provenance.files import read_text
from hpctrack.telemetry.provenance.job_script import read_job_script, read_spooled
from hpctrack.telemetry.provenance.masking import Masker
from hpctrack.telemetry.provenance.packages import read_conda, read_packages
from hpctrack.telemetry.provenance.process import Process, find_family
from hpctrack.telemetry.provenance.program import read_program
from tests.programs import wait_for
from tests.repositories import make_repository, plant

PROGRAMS = Programs(environ=os.environ)


# -- packages -------------------------------------------------------------------------------------


def test_packages_of_this_python_are_those_that_it_knows() -> None:
    found = read_packages(sys.path, Masker(), cwd=str(Path.cwd()))["packages"]
    known: dict[str, str] = {}
    for one in distributions():
        name = one.metadata["Name"].lower().replace("_", "-").replace(".", "-")
        known.setdefault(name, one.version)
    assert {name: found.get(name) for name in known} == known


def test_the_first_of_two_packages_counts_and_old_forms_are_read(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "a/Scikit_Learn-1.2.dist-info/METADATA": "",
            "a/old-0.1-py3.8.egg-info/PKG-INFO": "",
            "a/single.file-2.0-py3.8.egg-info": "Name: single.file\n",
            "a/dev_pkg.egg-info/PKG-INFO": "Metadata-Version: 2.1\nName: dev_pkg\nVersion: 3.0\n",
            "a/nothing.txt": "",
            "b/scikit_learn-9.9.dist-info/METADATA": "",
            "b/egg-4.0-py3.8.egg/EGG-INFO/PKG-INFO": "",
            "b/broken.dist-info/METADATA": "",
        },
    )
    found = read_packages(
        [str(tmp_path / "a"), "b", "/nowhere", "x.zip"], Masker(), cwd=str(tmp_path)
    )
    assert found["packages"] == {
        "scikit-learn": "1.2", "old": "0.1", "single-file": "2.0", "dev-pkg": "3.0", "egg": "4.0",
    }  # fmt: skip
    assert found["direct"] == {"dev-pkg": {"url": f"file://{tmp_path}/a", "editable": True}}


def test_packages_from_elsewhere_name_their_place_without_credentials(tmp_path: Path) -> None:
    code = make_repository(tmp_path / "code", setup__py="x")
    vcs = {
        "url": "https://me:planted99@host/x.git",
        "vcs_info": {"vcs": "git", "commit_id": "abc", "requested_revision": "main"},
    }
    editable = {"url": f"file://{code.top}", "dir_info": {"editable": True}}
    plant(
        tmp_path / "site",
        {
            "one-1.dist-info/direct_url.json": json.dumps(vcs),
            "two-2.dist-info/direct_url.json": json.dumps(editable),
            "three-3.dist-info/direct_url.json": "{",
        },
    )
    found = read_packages([str(tmp_path / "site")], Masker())["direct"]
    assert found == {
        "one": {"url": "https://***@host/x.git", "vcs": "git", "commit": "abc"},
        "two": {
            "url": f"file://{code.top}",
            "editable": True,
            "commit": code.git("rev-parse", "HEAD"),
        },
        "three": {},
    }


def test_a_package_that_is_installed_meanwhile_is_seen(tmp_path: Path) -> None:
    plant(tmp_path, {"a-1.dist-info/METADATA": ""})
    assert read_packages([str(tmp_path)], Masker())["packages"] == {"a": "1"}
    plant(tmp_path, {"b-2.dist-info/METADATA": ""})
    assert read_packages([str(tmp_path)], Masker())["packages"] == {"a": "1", "b": "2"}


def test_a_conda_environment_and_its_packages(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "opt/env/conda-meta/python-3.11.5-h1234_0.json": "{}",
            "opt/env/conda-meta/cuda-toolkit-12.1-0.json": "{}",
            "opt/env/conda-meta/history": "",
        },
    )
    environ = {"CONDA_PREFIX": "/opt/env", "CONDA_DEFAULT_ENV": "train"}
    found = read_conda(environ, "", tmp_path)
    assert (found["prefix"], found["name"]) == ("/opt/env", "train")
    assert found["packages"] == {"python": "3.11.5=h1234_0", "cuda-toolkit": "12.1=0"}
    assert read_conda({}, "/opt/env", tmp_path)["name"] == "env"
    assert read_conda({}, "/usr", tmp_path) == {}


# -- environment ----------------------------------------------------------------------------------


def test_variables_are_chosen_bounded_and_masked() -> None:
    environ = {
        "OMP_NUM_THREADS": "4", "SLURM_JOB_ID": "7", "EDITOR": "vi", "MY_FLAG": "1",
        "MY_TOKEN": "planted9",
        "HF_TOKEN": "planted9", "OTHER": "1", "SLURM_SPANK_X": "1", "PYTHONPATH": "x" * 10_000,
        "NCCL_DEBUG": "planted9", "UCX_TLS": "/opt/ucx-0123456789abcdef0123456789abcdef/lib",
        "OMP_PLACES": "0123456789abcdef0123456789abcdef", "HPCTRACK_RUN_ID": "0" * 32,
    }  # fmt: skip
    found = select_environment(environ, Masker(environ), ["MY_*", " OTHER", ""])
    assert found == {
        "OMP_NUM_THREADS": "4", "SLURM_JOB_ID": "7", "MY_FLAG": "1", "MY_TOKEN": "***",
        "HF_TOKEN": "***",
        "OTHER": "1", "PYTHONPATH": "x" * VALUE_MAX_CHARS, "NCCL_DEBUG": "***", "OMP_PLACES": "***",
        "UCX_TLS": environ["UCX_TLS"], "HPCTRACK_RUN_ID": "0" * 32,
    }  # fmt: skip


def test_everything_can_not_be_asked_for() -> None:
    assert select_environment({"EDITOR": "vi"}, Masker(), ["*"]) == {}


def test_modules_of_lmod_and_of_tcl() -> None:
    lmod = {
        "LOADEDMODULES": "gcc/12.2:openmpi/4.1.5", "LMOD_VERSION": "8.7.32", "MODULEPATH": "/a:/b",
        "_LMFILES001_": "/m/gcc/12.2.lua", "_LMFILES002_": "/m/openmpi/4.1.5.lua",
    }  # fmt: skip
    assert read_modules(lmod) == {
        "loaded": ["gcc/12.2", "openmpi/4.1.5"],
        "files": ["/m/gcc/12.2.lua", "/m/openmpi/4.1.5.lua"],
        "path": ["/a", "/b"],
        "system": "Lmod 8.7.32",
    }
    tcl = {"LOADEDMODULES": "gcc/12", "_LMFILES_": "/m/gcc/12", "MODULES_CMD": "/x/modulecmd.tcl"}
    assert read_modules(tcl) == {
        "loaded": ["gcc/12"], "files": ["/m/gcc/12"], "system": "Environment Modules",
    }  # fmt: skip
    assert read_modules({"LOADEDMODULES": "", "LMOD_VERSION": "8"}) == {}


# -- processes ------------------------------------------------------------------------------------


@pytest.fixture
def child() -> Iterator[subprocess.Popen[str]]:
    code = (
        "import subprocess as s, sys; s.Popen(['sleep', '600']); print('up', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, "--token", "x y", "é"], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True, cwd="/", env={**os.environ, "A": "1\n2"},
        start_new_session=True,
    ) as made:  # fmt: skip
        assert made.stdout is not None
        assert made.stdout.readline() == "up\n"
        yield made
        for one in find_family(made.pid)[1:]:
            os.kill(one.pid, 9)
        made.communicate("\n")


def test_a_real_child_is_seen_as_it_was_started(child: subprocess.Popen[str]) -> None:
    seen = Process(child.pid)
    seen.remember()
    assert seen.arguments[-3:] == ["--token", "x y", "é"]
    assert seen.environ is not None
    assert seen.environ["A"] == "1\n2"
    assert seen.cwd == "/"
    assert Path(seen.executable).samefile(sys.executable)
    assert seen.files == Path("/")
    assert next(one.pid for one in seen.ancestors) == os.getpid()
    family = wait_for(
        lambda: [one for one in find_family(child.pid) if one.arguments[:1] == ["sleep"]]
    )
    assert len(family) == 1


def test_who_started_a_program_is_known_although_both_have_ended() -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    launcher = subprocess.Popen([sys.executable, "-c", code, "launch"], stdin=subprocess.PIPE)
    try:
        (child,) = wait_for(lambda: Process(launcher.pid).children)
        wait_for(lambda: Process(child).arguments[-1:] == ["input()"])
        seen = Process(child)
        seen.remember()
    finally:
        launcher.communicate(b"\n")
    assert read_program(seen, {}, Masker())["launchers"][0] == [
        sys.executable,
        "-c",
        code,
        "launch",
    ]


def test_a_process_that_is_gone_is_empty() -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    gone = Process(child.pid)
    gone.remember()
    assert (gone.arguments, gone.environ, gone.cwd, gone.maps, gone.ancestors) == (
        [],
        None,
        "",
        "",
        [],
    )
    assert not gone.is_there


def test_a_pipe_in_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert read_text(tmp_path / "pipe") in {"", None}


# -- the batch script -----------------------------------------------------------------------------

SCRIPT = "#!/bin/bash\n#SBATCH -N 2\nexport API_TOKEN=planted\nsrun a.out\n"


def plant_shell(root: Path, job: str, *, is_open: bool = True) -> None:
    place = f"/var/spool/slurmd/job{int(job):05d}/slurm_script"
    plant(root, {"proc/50/cmdline": f"/bin/bash\0{place}\0", "proc/50/stat": "50 (bash) S 1"})
    plant(root, {place: SCRIPT} if is_open else {"proc/50/fd/255": SCRIPT})


@pytest.mark.parametrize("is_open", [True, False])
def test_the_batch_shells_own_copy_is_found(tmp_path: Path, is_open: bool) -> None:
    plant_shell(tmp_path, "42", is_open=is_open)
    plant(tmp_path, {"proc/51/cmdline": "/bin/bash\0/var/spool/slurmd/job00043/slurm_script\0"})
    job = {"SLURM_JOB_ID": "42"}
    facts, missing = read_job_script(read_spooled(tmp_path, job), job, PROGRAMS, Masker())
    assert facts == {
        "scheduler": "slurm", "from": "spool", "text": SCRIPT.replace("planted", "***"),
    }  # fmt: skip
    assert not missing


def test_what_the_script_calls_a_secret_is_one_in_the_command_line(tmp_path: Path) -> None:
    plant_shell(tmp_path, "42", is_open=True)
    plant(
        tmp_path,
        {
            "var/spool/slurmd/job00042/slurm_script": "#!/bin/bash\nTOKEN=planted12\nx.py $TOKEN\n",
            "proc/7/cmdline": "python\0x.py\0planted12\0",
            "proc/7/environ": "SLURM_JOB_ID=42\0",
        },
    )
    wish = Wish(process=Process(7, tmp_path), skip=frozenset({"git", "source"}))
    first = next(Collector(wish, PROGRAMS).iter_parts())
    assert first["program"]["argv"] == ["python", "x.py", "***"]


def scontrol(folder: Path, body: str) -> Programs:
    fake = plant(folder, {"bin/scontrol": f"#!/bin/sh\n{body}\n"}) / "bin" / "scontrol"
    fake.chmod(0o755)
    return Programs(environ={"PATH": f"{folder}/bin:{os.environ['PATH']}"})


def test_the_controller_is_asked_where_the_script_is_not(tmp_path: Path) -> None:
    asked = scontrol(
        tmp_path, f'echo "$@" > {tmp_path}/said; printf "#!/bin/sh\\nx --token planted\\n"'
    )
    facts, _missing = read_job_script(None, {"SLURM_JOB_ID": "42"}, asked, Masker())
    assert (facts["from"], facts["text"]) == ("scontrol", "#!/bin/sh\nx --token ***\n")
    assert (tmp_path / "said").read_text() == "write batch_script 42 -\n"


def test_no_script_is_told_and_nobody_is_asked_outside_of_jobs(tmp_path: Path) -> None:
    silent = scontrol(
        tmp_path, 'echo "job script retrieval failed: Invalid job id specified" >&2; exit 1'
    )
    _facts, missing = read_job_script(None, {"SLURM_JOB_ID": "42"}, silent, Masker())
    assert "no batch script" in missing["job_script"]
    assert read_job_script(None, {}, silent, Masker()) == ({}, {})
    assert read_job_script(None, {"SLURM_JOB_ID": "a;b"}, silent, Masker()) == (
        {},
        {},
    )


# -- other programs -------------------------------------------------------------------------------


def test_answers_are_bounded_and_mistakes_are_sentences(tmp_path: Path) -> None:
    def ask(*command: str, timeout_s: float = 30, max_bytes: int = 1000) -> tuple[str, str, bool]:
        found = PROGRAMS.ask(command, timeout_s=timeout_s, max_bytes=max_bytes)
        return found.text, found.problem, found.is_cut

    assert ask("echo", "a") == ("a\n", "", False)
    assert ask("cat") == ("", "", False)  # no input
    text, problem, is_cut = ask("yes", max_bytes=10)
    assert (text, problem, is_cut) == ("y\n" * 5, "", True)
    assert ask("no-such-program")[1] == "no-such-program is not installed"
    assert ask("sh", "-c", "echo no good >&2; exit 3")[1] == "sh failed with code 3: no good"
    assert ask("sleep", "100", timeout_s=0.2)[1] == "sleep did not answer within 0.2 s"
    assert ask("sh", "-c", "yes >&2 | head -c 5000000 >&2; echo a", timeout_s=0.5)[1]
    (tmp_path / "x").write_text("")
    assert "cannot be started" in ask(str(tmp_path / "x"))[1]
