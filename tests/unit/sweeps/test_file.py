"""Sweep files: what is understood, and how what is not is refused."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpctrack.errors import NotFoundError, SweepFileError
from hpctrack.sweeps.schema.command import DEFAULT_COMMAND
from hpctrack.sweeps.schema.space import Choice, IntUniform, LogUniformValues, QUniform, Uniform
from hpctrack.sweeps.schema.sweep_file import (
    MAX_FILE_BYTES,
    MetricGoal,
    SweepFile,
    parse_sweep_config,
    parse_sweep_file,
    read_sweep_file,
)

FILES = Path(__file__).parent / "files"
ALL_FILES = sorted(FILES.glob("*.yaml"))

HEAD = "method: grid\nprogram: train.py\n"
RANDOM_HEAD = "method: random\nprogram: train.py\n"
TAIL = "parameters:\n  a: {values: [1, 2]}\n"


def test_a_grid_file_is_understood() -> None:
    file = read_sweep_file(FILES / "grid.yaml")
    assert file.method == "grid"
    assert file.program == "train.py"
    assert file.command == DEFAULT_COMMAND
    assert file.metric == MetricGoal("val_loss", "minimize")
    assert [one.name for one in file.space.dimensions] == [
        "learning_rate",
        "optimizer",
        "epochs",
        "layers",
    ]
    assert file.space.dimensions[0].distribution == Choice((0.01, 0.001))
    assert file.space.dimensions[3].distribution == IntUniform(1, 3)
    assert file.trial_count() == 12


def test_the_distributions_that_most_files_have_are_understood() -> None:
    file = read_sweep_file(FILES / "random.yaml")
    found = {one.name: one.distribution for one in file.space.dimensions}
    assert found == {
        "batch_size": QUniform(32, 256, 8),
        "dropout": Choice((0.3, 0.4, 0.5)),
        "epochs": Choice((1,)),
        "fc_layer_size": Choice((128, 256, 512)),
        "learning_rate": LogUniformValues(1e-5, 1e-1),
        "momentum": Uniform(0.0, 0.99),
        "seed": IntUniform(0, 9),
    }
    assert file.run_cap == file.trial_count() == 20
    assert file.project == "digits"
    assert "entity" in file.notes[0]


def test_nested_parameters_keep_their_place() -> None:
    file = read_sweep_file(FILES / "nested.yaml")
    assert [one.path for one in file.space.dimensions] == [
        ("optimizer", "name"),
        ("optimizer", "schedule", "warmup"),
        ("model",),
    ]
    assert file.space.grid_point(1) == {
        "optimizer": {"name": "adam", "schedule": {"warmup": 100}},
        "model": {"depth": 4, "widths": [64, 64]},
    }


def test_the_slurm_block_is_understood() -> None:
    file = read_sweep_file(FILES / "slurm.yaml")
    assert file.seed == 7
    assert file.slurm["mem_gb"] == 1.5
    assert file.slurm["srun_args"] == ["--mpi=pmix"]
    assert file.slurm["additional_parameters"] == {"mail-type": "END", "exclusive": True}


@pytest.mark.parametrize("path", ALL_FILES, ids=lambda path: path.stem)
def test_a_file_survives_being_stored(path: Path) -> None:
    file = read_sweep_file(path)
    again = parse_sweep_config(file.plain)
    assert again == file


def test_a_learning_rate_without_a_dot_is_a_number() -> None:
    file = parse_sweep_file(HEAD + "parameters:\n  lr: {values: [1e-3, 5E4, '1e-3', .5e1]}\n")
    assert file.space.dimensions[0].distribution == Choice((0.001, 50000.0, "1e-3", 5.0))


def test_run_cap_bounds_a_grid() -> None:
    assert parse_sweep_file(HEAD + "run_cap: 1\n" + TAIL).trial_count() == 1
    assert parse_sweep_file(HEAD + "run_cap: 100\n" + TAIL).trial_count() == 2


def test_anchors_and_merges_work() -> None:
    text = HEAD + "parameters:\n  a: &a {values: [1, 2]}\n  b: *a\n  c: {<<: *a}\n"
    assert parse_sweep_file(text).trial_count() == 8


def test_own_keys_win_over_merged_ones() -> None:
    text = (
        RANDOM_HEAD + "parameters:\n  a: &a {min: 1, max: 4}\n  b: &b {<<: *a, max: 8}\n"
        "  c: {max: 9, <<: *b}\n  d: {<<: [*b, *a]}\n  e: *b\n"
    )
    found = [one.distribution for one in parse_sweep_file(text).space.dimensions]
    assert found == [IntUniform(1, high) for high in (4, 8, 9, 8, 8)]


BAD = [
    ("method: gird\n" + TAIL, 1, "gird", "did you mean 'grid'?"),
    ("method: bayes\n" + TAIL, 1, "needs a `metric`", "name: loss"),
    ("method: custom\n" + TAIL, 1, "custom", "tpe"),
    (HEAD + TAIL + "paramters: {}\n", 5, "paramters", "did you mean 'parameters'?"),
    (HEAD + TAIL + "job: me/project/job:v0\n", 5, "servers", "program"),
    (HEAD + TAIL + "image_uri: docker.io/me/it\n", 5, "servers", "container"),
    (HEAD, 1, "needs `parameters`", None),
    (TAIL + "program: x\n", 1, "needs `method`", None),
    ("method: grid\ncommand: ['${program}']\n" + TAIL, 1, "needs `program`", "command"),
    (HEAD + "parameters:\n  a: 0.1\n", 4, "no mapping", "value: 0.1"),
    (HEAD + "parameters:\n  a: [1, 2]\n", 4, "no mapping", "values: [...]"),
    (HEAD + "parameters:\n  a: {values: 3}\n", 4, "not a list", None),
    (HEAD + "parameters:\n  a: {values: []}\n", 4, "no values", None),
    (HEAD + "parameters:\n  a:\n    valeus: [1]\n", 5, "valeus", "did you mean 'values'?"),
    (
        HEAD + "parameters:\n  a:\n    values: [1]\n    mu: 3\n",
        6,
        "does not belong",
        "it takes values",
    ),
    (HEAD + "parameters:\n  a:\n    distribution: normal\n", 3, "grid cannot go", "random"),
    (HEAD + "parameters:\n  a:\n    distribution: unifrom\n", 5, "unifrom", "uniform"),
    (HEAD + "parameters:\n  a: {min: 1}\n", 4, "needs `value`", None),
    (HEAD + "parameters:\n  a: {min: 3, max: 1}\n", 4, "above its `max`", None),
    (HEAD + "parameters:\n  a: {min: 0.1, max: 1}\n", 3, "grid cannot go", "random"),
    (HEAD + "parameters:\n  a: {min: x, max: 1}\n", 4, "not a number", None),
    (HEAD + "parameters:\n  a: {min: 0, max: .inf}\n", 4, "finite", None),
    (
        RANDOM_HEAD + "parameters:\n  a: {distribution: log_uniform_values, min: 0, max: 1}\n",
        4,
        "no logarithm",
        None,
    ),
    (HEAD + "parameters:\n  a: {min: 0, max: 1, q: 0}\n", 4, "not above 0", None),
    (HEAD + "parameters:\n  a: {min: 3, max: 4, q: 5}\n", 4, "no multiple", None),
    (HEAD + "parameters:\n  a: {values: [1]}\n  a: {values: [2]}\n", 5, "given twice", None),
    (HEAD + "parameters:\n  a b: {values: [1]}\n", 4, "cannot be a parameter's name", None),
    (HEAD + "parameters:\n  d: {values: [2020-01-01]}\n", 4, "timestamp", "quotes"),
    (HEAD + "parameters:\n  d: {values: [!!python/name:os.system x]}\n", 4, "is read as", None),
    (
        HEAD + "parameters:\n  a.b: {value: 1}\n  a: {parameters: {b: {value: 1}}}\n",
        3,
        "two parameters",
        None,
    ),
    (HEAD + "metric: {goal: minimize}\n" + TAIL, 3, "needs a `name`", None),
    (HEAD + "metric:\n  name: loss\n  goal: minimise\n" + TAIL, 5, "minimise", "minimize"),
    (HEAD + "metric:\n  name: loss\n  target: low\n" + TAIL, 5, "not a number", None),
    (HEAD + "run_cap: 0\n" + TAIL, 3, "at least 1", None),
    (HEAD + "run_cap: many\n" + TAIL, 3, "whole number", None),
    (HEAD + "project: ../up\n" + TAIL, 3, "not allowed", None),
    (HEAD + "command: python train.py\n" + TAIL, 3, "not a list", None),
    (HEAD + "command:\n  - ${programm}\n" + TAIL, 4, "unknown macro", "${program}"),
    (HEAD + "command:\n  - -x=${args}\n" + TAIL, 4, "stand alone", None),
    (HEAD + "slurm:\n  partiton: debug\n" + TAIL, 4, "partiton", "did you mean 'partition'?"),
    (HEAD + "slurm:\n  time: 10\n" + TAIL, 4, "no key 'time'", "timeout_min"),
    (HEAD + "slurm:\n  nodes: two\n" + TAIL, 4, "whole number", None),
    (HEAD + 'slurm:\n  partition: "a\\nrm -rf"\n' + TAIL, 4, "more than one line", None),
    (HEAD + "parameters:\n  a: {values: [1, 2}\n", 4, "expected", None),
    ("method: grid\n\tprogram: x\n", 2, "", None),
    (HEAD + "name: 'open\n" + TAIL, 6, "", None),
    (HEAD + "name: \x07\n" + TAIL, 3, "character", None),
    (HEAD + "name: *nobody\n" + TAIL, 3, "undefined alias", None),
    (HEAD + TAIL + "---\nmore: 1\n", 5, "single document", None),
    (HEAD + TAIL + "[1]: 2\n", 5, "key is not a text", None),
]


@pytest.mark.parametrize(("text", "line", "said", "hint"), BAD)
def test_a_wrong_file_is_refused_with_its_line(
    text: str, line: int, said: str, hint: str | None
) -> None:
    with pytest.raises(SweepFileError) as caught:
        parse_sweep_file(text, source="my.yaml")
    assert caught.value.message.startswith(f"my.yaml, line {line}: ")
    assert said in caught.value.message
    assert "\n" not in caught.value.message
    if hint is not None:
        assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n",
        "just words",
        "- a\n- list\n",
        "[" * 1000,
        "a: &a [*a]\n" + HEAD + TAIL,
        "a: &a {<<: *a}\n",
        "\n".join(
            ["a0: &a0 [1, 1]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)]
        ),
        HEAD + "seed: " + "9" * 5000 + "\n" + TAIL,
        HEAD + "parameters:\n  a: {values: [!!int x]}\n",
        HEAD + "parameters:\n  a: {values: [!!int '']}\n",
        HEAD + "parameters:\n  a: {min: 1, max: " + "9" * 400 + "}\n",
    ],
)
def test_a_hostile_file_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(SweepFileError) as caught:
        parse_sweep_file(text)
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 300


def test_a_file_that_is_not_there_or_not_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        read_sweep_file(tmp_path / "none.yaml")
    with pytest.raises(SweepFileError):
        read_sweep_file(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"method: grid\nname: caf\xe9\n")
    with pytest.raises(SweepFileError, match="line 2"):
        read_sweep_file(tmp_path / "latin.yaml")
    (tmp_path / "long.yaml").write_text("#" * (MAX_FILE_BYTES + 1))
    with pytest.raises(SweepFileError, match="1024 KiB"):
        read_sweep_file(tmp_path / "long.yaml")


def mutate(text: str, rng: random.Random) -> str:
    """Do to a file what a tired person or a broken editor does."""
    lines = text.splitlines(keepends=True)
    at = rng.randrange(len(lines))
    kind = rng.randrange(7)
    if kind == 0:
        del lines[at]
    elif kind == 1:
        lines.insert(at, lines[rng.randrange(len(lines))])
    elif kind == 2:
        lines[at] = lines[at].lstrip()
    elif kind == 3:
        lines[at] = lines[at].replace(":", rng.choice(["", "=", "::", ":\t"]), 1)
    elif kind == 4:
        cut = rng.randrange(len(lines[at]))
        lines[at] = lines[at][:cut] + rng.choice("{}[]&*!|>'\"%@`\x00,#") + lines[at][cut:]
    elif kind == 5:
        words = re.findall(r"[a-z_]+", lines[at]) or ["x"]
        word = rng.choice(words)
        lines[at] = lines[at].replace(word, word[::-1], 1)
    else:
        return text[: rng.randrange(len(text))]
    return "".join(lines)


@pytest.mark.parametrize("path", ALL_FILES, ids=lambda path: path.stem)
def test_a_mutated_file_is_read_or_refused_but_never_a_traceback(path: Path) -> None:
    for seed in range(30):
        text = mutate(path.read_text(), random.Random(seed))
        file, refusal = parse_or_refuse(text)
        if file is None:
            assert refusal.startswith("sweep.yaml")
            assert re.search(r"line \d+", refusal) or "empty" in refusal
        elif file.method == "grid" and file.trial_count():
            assert file.space.grid_point(0)
        else:
            assert file.space.random_point(1, 0)


def parse_or_refuse(text: str) -> tuple[SweepFile | None, str]:
    try:
        return parse_sweep_file(text, source="sweep.yaml"), ""
    except SweepFileError as error:
        return None, error.message


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["value", "values", "min", "max", "q", "parameters", "distribution"])
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.sampled_from(["grid", "random"]), PLAIN, PLAIN, PLAIN)
def test_any_dictionary_is_read_or_refused(
    method: str, parameters: object, metric: object, slurm: object
) -> None:
    config = {
        "method": method,
        "program": "x",
        "parameters": parameters,
        "metric": metric,
        "slurm": slurm,
    }
    try:
        file = parse_sweep_config(config)
    except SweepFileError:
        return
    assert file.space.dimensions
