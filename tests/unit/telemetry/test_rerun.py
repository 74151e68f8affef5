"""The script that runs something again: what it says, and what it does in a real shell."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpctrack.telemetry.provenance.rerun import SCRIPT, make_plan
from hpctrack.telemetry.provenance.rerun_command import choose_command
from hpctrack.telemetry.provenance.rerun_environment import choose_variables
from hpctrack.telemetry.provenance.rerun_job import list_options, make_job_script
from hpctrack.telemetry.provenance.shell_words import ShellWords
from tests.reruns import make_recorded, run, subject, write

SHELLCHECK = str(Path(sys.executable).with_name("shellcheck"))


@pytest.fixture
def recorded(tmp_path: Path) -> dict[str, Any]:
    return make_recorded(tmp_path)


@pytest.mark.parametrize("is_embedded", [True, False])
def test_a_commit_with_changes_is_rebuilt_elsewhere(
    recorded: dict[str, Any], tmp_path: Path, is_embedded: bool
) -> None:
    plan = make_plan(subject(recorded))
    folder = tmp_path / "new"
    if is_embedded:
        folder.mkdir()
        (folder / SCRIPT).write_text(plan.embed())
    else:
        write(plan, folder)
    done = run(folder / SCRIPT, HPCTRACK_RUN_ID="mine", GIT_TERMINAL_PROMPT="0")
    assert done.returncode == 0, done.stderr
    work = folder / "rerun-r1"
    assert done.stdout.splitlines() == [
        f"['--out', '{work}/code/out dir', \"it's\"] {work}/code/sub two é 3",
        "p None",
    ]
    again = run(folder / SCRIPT)  # what is there is used
    assert again.stdout == done.stdout


def test_the_gaps_are_named(recorded: dict[str, Any]) -> None:
    recorded["git"] |= {"ahead": 2, "upstream": "origin/main", "diff_left_out": ["big.csv"]}
    recorded["container"] = {"kind": "apptainer", "image": "/a.sif", "digest": "sif:1"}
    recorded["machine"] = {"cpu_model": "EPYC", "gpus": ["H100", "H100"]}
    recorded["python"]["direct"] = {"mine": {"url": "file:///home/me/mine", "editable": True}}
    recorded["libraries"] = {
        "mpi": {"name": "MPICH", "version": "4.2"},
        "versions": {"nccl": "2.1"},
    }
    gaps = "\n".join(make_plan(subject(recorded)).gaps)
    for part in (
        "HF_HUB_TOKEN", "notes.txt", "2 commit(s) were not pushed to origin/main", "big.csv",
        "/a.sif",
        "sif:1", "2 x H100", "package mine, installed editable from /home/me/mine", "MPICH 4.2",
        "nccl",
        "data, checkpoints",
    ):  # fmt: skip
        assert part in gaps
    script = make_plan(subject(recorded)).script
    assert all(f"#   - {one}" in script for one in gaps.splitlines())


def test_a_hidden_argument_is_asked_for(recorded: dict[str, Any], tmp_path: Path) -> None:
    recorded["program"]["argv"] += ["--api-key", "***", "--token=***", "a***b"]
    script = write(make_plan(subject(recorded)), tmp_path / "new")
    done = run(script)
    assert done.returncode != 0
    assert "the value of --api-key is not recorded" in done.stderr
    given = {"RERUN_API_KEY": "k e y", "RERUN_TOKEN": "t", "RERUN_SECRET": "s"}
    done = run(script, **given)
    assert "'--api-key', 'k e y', '--token=t', 'asb'" in done.stdout


def test_preparing_does_not_start_anything(recorded: dict[str, Any], tmp_path: Path) -> None:
    script = write(make_plan(subject(recorded)), tmp_path / "new")
    done = run(script, str(tmp_path / "there"), RERUN_ONLY="prepare")
    assert (done.returncode, done.stdout) == (0, "")
    assert (tmp_path / "there" / "code" / "sub" / "data.txt").read_text() == "two é\n"


def test_a_commit_that_nobody_has_is_an_error(recorded: dict[str, Any], tmp_path: Path) -> None:
    recorded["git"]["commit"] = "f" * 40
    done = run(write(make_plan(subject(recorded)), tmp_path / "new"))
    assert done.returncode == 1
    assert f"no repository has commit {'f' * 40}" in done.stderr


@pytest.mark.slow
def test_another_python_gets_the_recorded_packages(
    recorded: dict[str, Any], tmp_path: Path
) -> None:
    """No index is asked: the package comes from a folder."""
    wheel = tmp_path / "wheels" / "tiny_thing-1.2-py3-none-any.whl"
    wheel.parent.mkdir()
    make_wheel(wheel)
    recorded["python"] |= {"executable": "/nowhere/python", "packages": {"tiny-thing": "1.2"}}
    recorded["program"]["argv"] = ["/nowhere/python", "-c", "import tiny; print(tiny.VALUE)"]
    script = write(make_plan(subject(recorded)), tmp_path / "new")
    done = run(
        script, PIP_NO_INDEX="1", PIP_FIND_LINKS=str(wheel.parent), PIP_CONFIG_FILE="/dev/null"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "42\n"


def make_wheel(path: Path) -> None:
    import zipfile

    info = "tiny_thing-1.2.dist-info"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("tiny.py", "VALUE = 42\n")
        file.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-thing\nVersion: 1.2\n")
        file.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        file.writestr(f"{info}/RECORD", "")


@pytest.mark.slow
def test_a_python_whose_packages_have_changed_is_not_taken(
    recorded: dict[str, Any], tmp_path: Path
) -> None:
    recorded["python"]["packages"] = {"numpy": "0.0.1"}
    done = run(write(make_plan(subject(recorded)), tmp_path / "new"), PIP_NO_INDEX="1",
               PIP_CONFIG_FILE="/dev/null", PIP_FIND_LINKS="")  # fmt: skip
    assert "other versions there: numpy" in done.stderr
    assert "making a virtual environment" in done.stderr
    assert done.returncode != 0
    done = run(tmp_path / "new" / SCRIPT, RERUN_PYTHON=sys.executable)
    assert done.returncode == 0, done.stderr


def test_a_script_without_a_repository_is_put_back(
    recorded: dict[str, Any], tmp_path: Path
) -> None:
    source = tmp_path / "gone" / "my script.py"
    recorded["git"] = {}
    recorded["source"] = {"path": str(source), "text": "import sys\nprint(sys.argv[1:])"}
    recorded["program"] = {"argv": ["python3", str(source), "--a", "1"], "cwd": "/home/me"}
    recorded["missing"] = {"git": "not there"}
    plan = make_plan(subject(recorded))
    done = run(write(plan, tmp_path / "new"))
    assert done.stdout == "['--a', '1']\n", done.stderr
    assert any("no commit is known (not there)" in one for one in plan.gaps)


def test_several_ranks_are_started_by_what_started_them(
    recorded: dict[str, Any], tmp_path: Path
) -> None:
    fake = tmp_path / "bin" / "mpirun"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\necho "mpirun $@"\n')
    fake.chmod(0o755)
    recorded["program"]["launchers"] = [
        ["/x/hydra_pmi_proxy", "--rank"], [str(fake), "-n", "4", "python", "show.py"],
        ["bash", "job.sh"],
    ]  # fmt: skip
    script = write(make_plan(subject(recorded, size=4, launcher="mpich")), tmp_path / "new")
    assert run(script).stdout == "mpirun -n 4 python show.py\n"


def test_ranks_of_srun_are_started_by_srun_or_as_one(
    recorded: dict[str, Any], tmp_path: Path
) -> None:
    fake = tmp_path / "bin" / "srun"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\nshift 2; exec "$@"\n')
    fake.chmod(0o755)
    script = write(make_plan(subject(recorded, size=4, launcher="slurm")), tmp_path / "new")
    done = run(script, PATH=f"{fake.parent}:{os.environ['PATH']}")
    assert done.returncode == 0, done.stderr
    done = run(script, RERUN_LAUNCHER="env A=1")
    assert done.returncode == 0, done.stderr
    done = run(script, RERUN_LAUNCHER="no-such-thing -n 4")
    assert "started as one process, not as 4" in done.stderr
    assert done.returncode == 0


def test_a_trial_of_a_sweep_gets_its_values(recorded: dict[str, Any], tmp_path: Path) -> None:
    recorded["program"]["argv"] = [
        sys.executable, "-c", "import os; print(os.environ['HPCTRACK_SWEEP_CONFIG'])"
    ]  # fmt: skip
    plan = make_plan(subject(recorded, sweep="s1", config={"lr": 0.5}))
    assert '"lr": 0.5' in run(write(plan, tmp_path / "new")).stdout


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (["python", "-m", "ipykernel_launcher", "-f", "x.json"], "notebook"),
        (["python"], "typed into Python"),
        (["python", "-"], "typed into Python"),
        ([], "not known"),
    ],
)
def test_what_cannot_be_started_again_is_said(
    recorded: dict[str, Any], tmp_path: Path, argv: list[str], why: str
) -> None:
    recorded["program"]["argv"] = argv
    plan = make_plan(subject(recorded))
    assert why in plan.gaps[0]
    done = run(write(plan, tmp_path / "new"))
    assert done.returncode == 1
    assert why in done.stderr


# -- batch jobs -----------------------------------------------------------------------------------


@pytest.fixture
def sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An sbatch that runs the script at once and says what it was given."""
    fake = tmp_path / "slurm" / "sbatch"
    fake.parent.mkdir()
    fake.write_text(
        '#!/bin/bash\necho "sbatch ${@:1:$#-1} in $PWD"\nSLURM_JOB_ID=9 exec bash "${@: -1}"\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    return fake


def test_the_recorded_batch_script_is_submitted_with_its_folders_moved(
    recorded: dict[str, Any], tmp_path: Path, sbatch: Path
) -> None:
    top = recorded["git"]["top"]
    recorded["environment"] |= {
        "SLURM_JOB_ID": "7", "SLURM_JOB_PARTITION": "gpu", "SLURM_NTASKS": "2",
        "SLURM_JOB_NUM_NODES": "1", "SLURM_JOB_START_TIME": "1000", "SLURM_JOB_END_TIME": "8200",
    }  # fmt: skip
    recorded["job_script"] = {
        "text": f"#!/bin/bash\n#SBATCH -p gpu\ncd {top}/sub\ncat data.txt {top}2 2>&1 || pwd\n"
        "python -c 'import sys; print(sys.prefix)'\n"
    }
    plan = make_plan(subject(recorded, launcher="slurm", size=2))
    assert plan.files["job.sh"] == recorded["job_script"]["text"]
    script = write(plan, tmp_path / "new")
    done = run(script)
    work = tmp_path / "new" / "rerun-r1"
    assert done.stdout.splitlines() == [
        f"sbatch --nodes=1 --ntasks=2 --time=0-02:00:00 in {work}/code/sub",
        "two é",
        f"cat: {top}2: No such file or directory",
        f"{work}/code/sub",
        sys.prefix,
    ], done.stderr
    assert "two é" in run(script, RERUN_HERE="1", RERUN_LAUNCHER="").stdout


def test_a_job_without_a_script_gets_one_that_asks_for_the_same(
    recorded: dict[str, Any], tmp_path: Path, sbatch: Path
) -> None:
    recorded["environment"] |= {
        "SLURM_JOB_ID": "7", "SLURM_JOB_PARTITION": "gpu", "SLURM_MEM_PER_NODE": "4096",
        "SLURM_CPUS_PER_TASK": "8",
    }  # fmt: skip
    plan = make_plan(subject(recorded, launcher="slurm"))
    assert (
        "#SBATCH --partition=gpu\n#SBATCH --cpus-per-task=8\n#SBATCH --mem=4096"
        in plan.files["job.sh"]
    )
    done = run(write(plan, tmp_path / "new"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("sbatch ")
    assert "two é 3" in done.stdout
    # The one script on standard output can be submitted, too.
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / SCRIPT).write_text(plan.embed())
    done = run(tmp_path / "one" / SCRIPT)
    assert "two é 3" in done.stdout, done.stderr


def test_options_that_a_script_sets_are_not_given_twice() -> None:
    environ = {
        "SLURM_JOB_NAME": "a", "SLURM_JOB_PARTITION": "p", "SLURM_JOB_QOS": "normal",
        "SLURM_NTASKS": "2",
        "SLURM_JOB_NUM_NODES": "1", "SLURM_JOB_ACCOUNT": "acc; rm -rf /", "SLURM_GPUS": "h100:4",
    }  # fmt: skip
    script = "#!/bin/bash\n#SBATCH --job-name=x -p gpu\n#SBATCH -N1\n# SBATCH -n 3\n"
    script += "#SBATCH -G h100:4\n"
    assert list_options(environ, script) == {"--ntasks": "2"}
    assert list_options(environ) == {
        "--job-name": "a", "--partition": "p", "--nodes": "1", "--ntasks": "2", "--gpus": "h100:4",
    }  # fmt: skip
    assert make_job_script({"--nodes": "1"}, ["x"]) == "#!/bin/bash\n#SBATCH --nodes=1\n\nx\n"


def test_modules_are_loaded_where_there_are_some(recorded: dict[str, Any], tmp_path: Path) -> None:
    recorded["modules"] = {"loaded": ["gcc/12.2", "my mod/1"], "path": ["/b", "/a"]}
    script = write(make_plan(subject(recorded)), tmp_path / "new")
    assert "there are no environment modules here: gcc/12.2 my mod/1" in run(script).stderr
    fake = 'module() { echo "module $*"; }\nexport -f module\n'
    (tmp_path / "profile").write_text(fake)
    done = run(script, BASH_ENV=str(tmp_path / "profile"))
    assert done.stdout.splitlines()[:4] == [
        "module purge", "module use /a", "module use /b", "module load gcc/12.2 my mod/1",
    ]  # fmt: skip


def test_the_scripts_are_good_shell(recorded: dict[str, Any], tmp_path: Path) -> None:
    recorded["program"]["argv"] += ["--token=***", "$(rm -rf /)", "`x`", "a\nb", "é"]
    recorded["modules"] = {"loaded": ["gcc/12.2"], "path": ["/a"]}
    recorded["environment"]["SLURM_JOB_ID"] = "7"
    plan = make_plan(subject(recorded, size=4, launcher="slurm", config={"a": 1}, sweep="s"))
    script = write(plan, tmp_path / "new")
    (tmp_path / "one.sh").write_text(plan.embed())
    for one in (script, tmp_path / "one.sh", tmp_path / "new" / "job.sh"):
        done = subprocess.run(
            [SHELLCHECK, "--severity=warning", str(one)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


def test_what_somebody_has_recorded_does_not_command_the_shell(
    recorded: dict[str, Any], tmp_path: Path, sbatch: Path
) -> None:
    """A store may be another user's: nothing in it is run but what was typed."""
    canary = Path(os.environ["HPCTRACK_RUNTIME_DIR"], "c")
    touch = f"touch {canary}"
    evil = f"$({touch})`{touch}`'; {touch}; '\"; {touch} #\n#\n{touch}\n"
    git, python = recorded["git"], recorded["python"]
    strange = {
        "program": {
            "argv": [sys.executable, "-c", "print(1)", evil, f"--{evil}=***", f"-{evil}", "***"],
            "cwd": f"{git['top']}/{evil}", "launchers": [[evil]],
        },
        "git": {**git, "remotes": {evil: evil}, "branch": evil, "untracked": [evil],
        "upstream": evil,
                "ahead": 1},
        "python": {**python, "executable": evil, "prefix": evil, "version": python["version"],
                   "direct": {evil: {"url": f"file://{git['top']}/{evil}", "editable": True}}},
        "modules": {"loaded": [evil], "path": [evil]},
        "environment": {"OMP_EVIL": evil, f"OMP_{evil}": evil, "SLURM_JOB_ID": evil,
                        "SLURM_JOB_NAME": evil, "SLURM_JOB_PARTITION": "a b"},
        "source": {"path": f"{git['top']}/a{evil.replace('/', '_')}.py", "text": "print(1)\n"},
        "container": {"kind": evil, "image": evil},
        "machine": {"cpu_model": evil, "gpus": [evil]},
        "libraries": {"mpi": {"name": evil}, "versions": {evil: evil}},
        "missing": {"git": evil},
    }  # fmt: skip
    harmless = {"RERUN_PYTHON": sys.executable}
    plan = make_plan(subject(strange, name=evil, size=2, launcher="slurm", config={evil: evil}))
    for number, text in enumerate((plan.script, plan.embed())):
        folder = tmp_path / f"new{number}"
        write(plan, folder)
        (folder / SCRIPT).write_text(text)
        given = dict.fromkeys(re.findall(r"\{(RERUN_\w+):\?", text), "x")
        assert given
        done = run(folder / SCRIPT, RERUN_LAUNCHER="", **harmless, **given)
        assert done.stdout.startswith("sbatch "), done.stderr
        done = run(folder / SCRIPT, RERUN_HERE="1", RERUN_LAUNCHER="", **harmless, **given)
        assert done.stdout == "1\n", done.stderr
        assert not canary.exists()
    for key, value in (("git", {**git, "commit": evil}), ("python", {**python, "version": evil})):
        text = make_plan(subject({**recorded, key: value})).embed()
        (tmp_path / "one.sh").write_text(text)
        run(tmp_path / "one.sh", str(tmp_path / key), **harmless)
        assert not canary.exists()


# -- words ----------------------------------------------------------------------------------------


@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=20), max_size=5
    )
)
def test_words_come_out_of_the_shell_as_they_went_in(words: list[str]) -> None:
    line = ShellWords({"/old/place": '"$code"'}).command(["printf", "%s\\0", *words])
    done = subprocess.run(["bash", "-c", line], capture_output=True, check=True)
    expected = words or [""]
    assert done.stdout.decode("utf-8", "surrogateescape").removesuffix("\0").split("\0") == expected


def test_moved_folders_are_found_as_folders_only() -> None:
    words = ShellWords({"/old": '"$code"', "/old/venv/bin": '"$bin"'})
    assert words.word("/old") == '"$code"'
    assert words.word("/old/a b") == "\"$code\"'/a b'"
    assert words.word("--x=/old/y:/old/z") == '--x="$code"/y:"$code"/z'
    assert words.word("/old/venv/bin/torchrun") == '"$bin"/torchrun'
    assert words.word("/older") == "/older"
    assert words.word("/very/old") == "/very/old"


def test_variables_of_machines_launchers_and_secrets_are_not_set_again() -> None:
    environ = {
        "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "0", "SLURM_JOB_ID": "1", "PATH": "/bin",
        "OMPI_MCA_btl": "tcp", "LD_LIBRARY_PATH": "/x", "NCCL_DEBUG": "INFO", "PYTHONHASHSEED": "0",
        "HPCTRACK_DIR": "/s", "RANK": "0",
    }  # fmt: skip
    assert set(choose_variables(environ)) == {
        "OMP_NUM_THREADS", "OMPI_MCA_btl", "LD_LIBRARY_PATH", "NCCL_DEBUG", "PYTHONHASHSEED",
    }  # fmt: skip
    launched = choose_variables(environ, launcher="openmpi", has_modules=True)
    assert set(launched) == {"OMP_NUM_THREADS", "NCCL_DEBUG", "PYTHONHASHSEED"}


def test_torchrun_in_its_forms_is_the_launcher() -> None:
    for words in (
        ["/v/bin/python3", "/v/bin/torchrun", "--nproc-per-node=2", "t.py"],
        ["torchrun", "t.py"],
        ["python", "-m", "torch.distributed.run", "t.py"],
    ):
        made = {"program": {"argv": ["python", "t.py"], "launchers": [words]}}
        found = choose_command(made, "torchrun", 2)
        assert (found.words, found.is_launcher) == (tuple(words), True)
    alone = choose_command(
        {"program": {"argv": ["a.out"], "launchers": [["mpirun", "x"]]}}, "none", 1
    )
    assert (alone.words, alone.is_launcher, alone.is_python) == (("a.out",), False, False)
