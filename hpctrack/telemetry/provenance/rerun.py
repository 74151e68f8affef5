"""Running something again: a script that rebuilds what can be, and a list of what cannot. Pure."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from hpctrack.telemetry.provenance import rerun_gaps
from hpctrack.telemetry.provenance.rerun_command import Command, choose_command
from hpctrack.telemetry.provenance.rerun_environment import choose_variables, write_modules
from hpctrack.telemetry.provenance.rerun_job import list_options, make_job_script
from hpctrack.telemetry.provenance.rerun_patch import (
    count_hidden_changes,
    list_submodules,
    make_patch,
)
from hpctrack.telemetry.provenance.rerun_steps import (
    APPLY_PARTLY_STEP,
    APPLY_STEP,
    CODE_LOCAL,
    CODE_STEP,
    HEAD,
    JOB_LINES,
    JOB_STEP,
    LAUNCHER_STEP,
    NO_PYTHON_STEP,
    PYTHON_STEP,
    START_STEP,
    SUBMODULE_STEP,
)
from hpctrack.telemetry.provenance.secret_values import MASK
from hpctrack.telemetry.provenance.shell_words import ShellWords, resolve

SCRIPT = "rerun.sh"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A run that is to be run again.

    Parameters
    ----------
    id, project, name : str
    created_wall_s : float
    config : mapping
    size : int
        Ranks.
    launcher : str
        Who started them, see `RankInfo`.
    sweep : str
        The sweep that it was a trial of; else empty.
    provenance : mapping
        As `StoredRun.provenance`.
    """

    id: str
    project: str
    name: str = ""
    created_wall_s: float = 0.0
    config: Mapping[str, Any] = field(default_factory=dict)
    size: int = 1
    launcher: str = "none"
    sweep: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """What `make_plan` returns.

    Parameters
    ----------
    script : str
        For bash; it expects the files beside it, or `embed` puts them into it.
    files : dict
        Text by name.
    gaps : list of str
        What cannot be rebuilt, one line each.
    """

    script: str
    files: dict[str, str]
    gaps: list[str]

    def embed(self) -> str:
        """Return the script with the files in it."""
        parts = []
        for name, text in self.files.items():
            mark = f"END_OF_{re.sub(r'[^A-Z]', '_', name.upper())}"
            while mark in text:
                mark += "_"
            body = text if text.endswith("\n") else f"{text}\n"
            place = f'"$files"/{ShellWords().word(name)}'
            parts.append(f"cat > {place} <<'{mark}'\n{body}{mark}\n")
        return self.script.replace(FILES_HERE, FILES_EMBEDDED + "".join(parts))


FILES_HERE = 'files=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)\n'
FILES_EMBEDDED = 'files=$work/recorded\nmkdir -p "$files"\n'


def make_plan(subject: Subject) -> Plan:
    """Return how to run something again.

    Parameters
    ----------
    subject : Subject
        With its provenance.
    """
    provenance = subject.provenance
    words = _make_words(provenance)
    command = choose_command(subject.provenance, subject.launcher, subject.size)
    files = _make_files(subject)
    parts = [
        HEAD,
        FILES_HERE,
        write_modules(provenance.get("modules") or {}),
        _write_code(provenance, files, words),
        _write_python(provenance, files, words),
        _write_variables(subject, words, files),
        _write_start(subject, command, files, words),
    ]
    gaps = rerun_gaps.list_gaps(provenance, command, words.hidden, launcher=subject.launcher)
    head = _write_head(subject, gaps, words.hidden)
    return Plan(head + "\n".join(one for one in parts if one), files, gaps)


def _make_words(provenance: Mapping[str, Any]) -> ShellWords:
    """Say which recorded folders are elsewhere when the script runs."""
    git, python = provenance.get("git") or {}, provenance.get("python") or {}
    moved = {}
    prefix = str(python.get("prefix", ""))
    if prefix and prefix != python.get("base_prefix"):
        moved[f"{prefix}/bin"] = '"$bin"'
    if _commit_of(git):
        moved[str(git["top"])] = '"$code"'
    source = provenance.get("source") or {}
    if source.get("text"):
        inside = ShellWords().word(str(_place_source(provenance)))
        moved[str(source["path"])] = f'"$code"/{inside}'
    return ShellWords(moved)


def _commit_of(git: Mapping[str, Any]) -> str:
    """Return the commit; what is none must not get into a script."""
    commit = str(git.get("commit", ""))
    return commit if re.fullmatch(r"[0-9a-f]{40,64}", commit) else ""


def _place_source(provenance: Mapping[str, Any]) -> PurePosixPath:
    """Return where the script goes, as a path in the folder of the code."""
    git, path = provenance.get("git") or {}, PurePosixPath(provenance["source"]["path"])
    cwd = str((provenance.get("program") or {}).get("cwd", ""))
    for top in (str(git.get("top", "")) if _commit_of(git) else "", cwd):
        if top and path.is_relative_to(top):
            return path.relative_to(top)
    return PurePosixPath(path.name)


def _make_files(subject: Subject) -> dict[str, str]:
    provenance = subject.provenance
    files = {}
    patch = make_patch(str((provenance.get("git") or {}).get("diff", "")))
    if patch:
        files["changes.patch"] = patch
    python = provenance.get("python") or {}
    if python.get("packages"):
        files["requirements.txt"] = make_requirements(python)
    conda = provenance.get("conda") or {}
    if conda.get("packages"):
        files["conda-packages.txt"] = "".join(
            f"{name}={version}\n" for name, version in sorted(conda["packages"].items())
        )
    source = provenance.get("source") or {}
    if source.get("text"):
        files[f"source-{PurePosixPath(source['path']).name}"] = str(source["text"])
    if subject.config:
        files["config.json"] = json.dumps(subject.config, indent=2, sort_keys=True) + "\n"
    return files


def make_requirements(python: Mapping[str, Any]) -> str:
    """Return the packages in pip's form; those that no index has are comments."""
    direct = python.get("direct") or {}
    lines = []
    for name, version in sorted((python.get("packages") or {}).items()):
        origin = direct.get(name) or {}
        url, commit = str(origin.get("url", "")), str(origin.get("commit", ""))
        url = url.replace(f"{MASK}@", "")
        if origin.get("vcs") and commit:
            lines.append(f"{name} @ {origin['vcs']}+{url}@{commit}")
        elif url.startswith(("http://", "https://")):
            lines.append(f"{name} @ {url}")
        elif url:
            lines.append(f"# {name}=={version} came from {url} {commit}".rstrip())
        elif version:
            lines.append(f"{name}=={version}")
    return "".join(f"{one}\n" for one in lines)


def _write_code(provenance: Mapping[str, Any], files: Mapping[str, str], words: ShellWords) -> str:
    git, source = provenance.get("git") or {}, provenance.get("source") or {}
    lines = [CODE_LOCAL]
    if _commit_of(git):
        remotes = git.get("remotes") or {}
        ordered = sorted(remotes, key=lambda one: (one != "origin", one))
        places = [str(remotes[one]) for one in ordered] + [str(git["top"])]
        # Git knows how to ask for what was before the host.
        plain = [one.replace(f"{MASK}@", "") for one in places]
        lines = [CODE_STEP.format(
            places=" ".join(map(ShellWords().word, plain)),
            commit=_commit_of(git),
            apply=_write_changes(str(git.get("diff", "")), files),
        )]  # fmt: skip
    if source.get("text"):
        target = ShellWords().word(str(_place_source(provenance)))
        name = ShellWords().word(f"source-{PurePosixPath(source['path']).name}")
        lines += [f'mkdir -p "$(dirname "$code"/{target})"', f'cp "$files"/{name} "$code"/{target}']
    cwd = str((provenance.get("program") or {}).get("cwd", ""))
    return "\n".join([*lines, _write_folder(cwd, words, has_commit=bool(_commit_of(git))), ""])


def _write_changes(diff: str, files: Mapping[str, str]) -> str:
    word = ShellWords().word
    steps = [
        SUBMODULE_STEP.format(path=word(path), commit=commit)
        for path, commit in list_submodules(diff).items()
    ]
    if "changes.patch" in files:
        steps.append(_write_apply(files["changes.patch"]))
    return "\n    ".join(steps) or ":"


def _write_apply(patch: str) -> str:
    apply = 'git -C "$code" apply --unidiff-zero --whitespace=nowarn'
    if not count_hidden_changes(patch):
        return APPLY_STEP.format(apply=apply)
    # What a line was is hidden, so that git may not find it.
    return APPLY_PARTLY_STEP.format(apply=apply)


def _write_folder(cwd: str, words: ShellWords, *, has_commit: bool) -> str:
    moved = words.word(cwd) if cwd and has_commit else '"$code"'
    # A folder outside of the repository was only where it was started.
    place = moved if moved.startswith('"$code"') else '"$work/run"'
    return f'start={place}\nmkdir -p "$start"'


def _write_python(
    provenance: Mapping[str, Any], files: Mapping[str, str], words: ShellWords
) -> str:
    python = provenance.get("python") or {}
    version = str(python.get("version", ""))
    if not re.fullmatch(r"\d+[\w.+-]*", version):
        return NO_PYTHON_STEP
    literal = ShellWords()
    inside = [
        words.word(str(one["url"]).removeprefix("file://"))
        for one in (python.get("direct") or {}).values()
        if one.get("editable")
    ]
    editable = [one for one in inside if one.startswith('"$code"')]
    installs = "".join(
        f'    "$bin/python" -m pip install --quiet --no-deps --editable {one}\n' for one in editable
    )
    return PYTHON_STEP.format(
        recorded=literal.word(str(python.get("executable", "python3"))),
        version=version,
        minor=".".join(version.split(".")[:2]),
        requirements='"$files/requirements.txt"' if "requirements.txt" in files else "",
        installs=installs,
    )


def _write_variables(subject: Subject, words: ShellWords, files: Mapping[str, str]) -> str:
    lines = ["# 4. The environment that it ran in, as far as it changes what is computed."]
    chosen = choose_variables(
        subject.provenance.get("environment") or {},
        launcher=subject.launcher,
        has_modules=bool(subject.provenance.get("modules")),
    )
    for name, value in chosen.items():
        line = words.export(name, value) if MASK not in value else f"# {name}: not recorded"
        if line:
            lines.append(line)
    lines += [
        _write_path(subject.provenance),
        words.export("HPCTRACK_PROJECT", subject.project),
        "unset HPCTRACK_RUN_ID HPCTRACK_LAUNCH HPCTRACK_SWEEP_ID HPCTRACK_TRIAL",
        "unset HPCTRACK_AGENT HPCTRACK_HELLO HPCTRACK_CONSOLES HPCTRACK_RUN_NAME",
        "unset HPCTRACK_ATTEMPT HPCTRACK_SWEEP_SOCKET HPCTRACK_SWEEP_METRICS HPCTRACK_TRIAL_DIR",
    ]
    if subject.sweep and "config.json" in files:
        lines.append('HPCTRACK_SWEEP_CONFIG=$(cat "$files/config.json")')
        lines.append("export HPCTRACK_SWEEP_CONFIG")
    return "\n".join([*lines, ""])


def _write_path(provenance: Mapping[str, Any]) -> str:
    """Let Python's programs be found where they were: before the system's only if they were."""
    path = str((provenance.get("environment") or {}).get("PATH", ""))
    prefix = str((provenance.get("python") or {}).get("prefix", ""))
    is_behind = bool(path and prefix) and f"{prefix}/bin" not in path.split(":")
    return 'export PATH="$PATH:$bin"' if is_behind else 'export PATH="$bin:$PATH"'


def _write_start(
    subject: Subject, command: Command, files: dict[str, str], words: ShellWords
) -> str:
    environ = subject.provenance.get("environment") or {}
    line = words.command([_move(one, command.cwd, words) for one in command.words])
    if command.is_python:
        line = re.sub(r"^\S*(?:python|pypy)[\d.]*(?=\s|$)", '"$python"', line)
    job = ""
    if environ.get("SLURM_JOB_ID"):
        script = str((subject.provenance.get("job_script") or {}).get("text", ""))
        options = list_options(environ, script)
        files["job.sh"] = script or make_job_script(options, JOB_LINES)
        given = options if script else {}
        job = JOB_STEP.format(
            options=" ".join(f"{key}={ShellWords().word(one)}" for key, one in given.items()),
            moves=_write_moves(words),
        )
    if not line or command.why_not:
        line = f"say {ShellWords().word(command.why_not)}; exit 1"
    elif subject.size > 1 and not command.is_launcher:
        starter = "srun" if subject.launcher == "slurm" else "mpiexec"
        default = f'"{starter} -n {subject.size}"'
        line = f"{LAUNCHER_STEP.format(default=default, size=subject.size)}$launcher {line}"
    asks = "".join(
        f': "${{{name}:?the value of {re.sub("[^-.A-Za-z0-9_ ]", "_", what)} is not recorded}}"\n'
        for name, what in words.hidden.items()
    )
    return START_STEP.format(job=job, line=line, asks=asks)


def _write_moves(words: ShellWords) -> str:
    """Return the folders of a job's script and where they are now, the longest first."""
    ordered = sorted(words.moved, key=len, reverse=True)
    return " ".join(f"{ShellWords().word(old)} {words.moved[old]}" for old in ordered)


def _move(word: str, cwd: str, words: ShellWords) -> str:
    """Return a relative path as an absolute one if it leads out of the folder it was started in."""
    if "../" not in word and word != "..":
        return word
    target = resolve(word, cwd)
    return target if any(target.startswith(f"{one}/") for one in words.moved) else word


def _write_head(subject: Subject, gaps: Sequence[str], hidden: Mapping[str, str]) -> str:
    moment = dt.datetime.fromtimestamp(subject.created_wall_s, dt.UTC).strftime(
        "%Y-%m-%d %H:%M UTC"
    )
    title = f"{subject.project}/{subject.id}"
    name = f" ({subject.name})" if subject.name else ""
    lines = [
        "#!/usr/bin/env bash",
        f"# Runs {title}{name} of {moment} again, as far as hpctrack has recorded what it was.",
        "#",
        f"#   bash {SCRIPT} [FOLDER]    default: ./rerun-{subject.id}",
        "#",
        "#   RERUN_PYTHON=/path/to/python  take this Python as it is",
        "#   RERUN_ONLY=prepare            stop before anything is started",
        "#   RERUN_HERE=1                  start it here, not as a batch job",
        *[
            f"#   {key}=...  the value of {what}, which is not recorded"
            for key, what in hidden.items()
        ],
        "#",
        "# Not rebuilt by it:",
        *[f"#   - {one}" for one in gaps],
        "",
    ]
    folder = f"rerun-{subject.id}"
    return "\n".join(_one_line(one) for one in lines) + f"\ndefault={folder}\n"


def _one_line(text: str) -> str:
    return re.sub(r"[\r\n]+", " ", text)
