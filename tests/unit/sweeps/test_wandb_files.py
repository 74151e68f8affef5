"""Sweep files in the shape of W&B's documentation and public repositories, whole and broken."""

from __future__ import annotations

import contextlib
import copy
import pickle
import random
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpctrack.errors import HpctrackError, SweepFileError
from hpctrack.sweeps.schema.command import CommandFacts, make_command
from hpctrack.sweeps.schema.sweep_file import SweepFile, parse_sweep_config, parse_sweep_file

FILES = sorted((Path(__file__).parent / "files").glob("*.yaml"))
FULL = (Path(__file__).parent / "files" / "ours_all.yaml").read_text()


def points_of(file: SweepFile, count: int = 20) -> list[dict[str, Any]]:
    if file.method == "grid":
        return [file.space.grid_point(at) for at in range(min(count, file.trial_count() or 0))]
    return [file.space.random_point(3, at) for at in range(count)]


def test_twenty_files_run_unchanged_in_random_order() -> None:
    order = list(FILES)
    random.shuffle(order)
    assert len(order) >= 20
    for path in order:
        file = parse_sweep_file(path.read_text(), source=path.name)
        for point in points_of(file):
            assert point
            assert file.space.holds(file.space.flatten(point))
            assert file.space.nest(file.space.flatten(point)) == point
            facts = CommandFacts(
                program=file.program,
                interpreter="python",
                parameters=point,
                environ={"HOME": "/home/me"},
                json_file="p.json",
            )
            words = make_command(file.command, facts)
            assert all(isinstance(word, str) for word in words)
            assert not any("${" in word for word in words)


def test_a_file_says_the_same_as_yaml_and_as_what_is_stored() -> None:
    for path in FILES:
        file = parse_sweep_file(path.read_text())
        assert parse_sweep_config(file.plain) == file


def test_a_file_can_be_pickled_and_copied() -> None:
    for path in FILES:
        file = parse_sweep_file(path.read_text())
        count = file.trial_count()
        again = pickle.loads(pickle.dumps(file))  # noqa: S301 - our own
        assert copy.deepcopy(again) == again == file
        assert again.trial_count() == count
        assert points_of(again) == points_of(file)


def test_every_key_of_our_own_is_understood() -> None:
    file = parse_sweep_file(FULL)
    assert file.metric is not None
    assert (file.metric.target, file.early.kind if file.early else "") == (0.1, "asha")
    assert file.early is not None
    assert file.early.options == {
        "min_iter": 1,
        "reduction_factor": 3,
        "min_early_stopping_rate": 0,
        "bootstrap_count": 0,
    }
    assert (file.seeds, file.seed_name, file.seed_base) == (3, "rng", 100)
    assert file.max_retries == 2
    assert file.warm_start == ("digits/k3x9a0bq", "zz81b2c3")
    assert file.storage == "postgresql://me:${envvar:PGPASSWORD}@db.cluster:5432/sweeps"
    assert file.sampler["group"] is True
    assert len(file.constraints) == 3
    assert [one.names for one in file.space.constraints] == [
        ("net.hidden", "net.layers"),
        ("net.layers",),
    ]
    assert [one.names for one in file.result_constraints] == [("val/latency_ms",)]
    assert file.metric_names() == ("val/loss", "val/latency_ms")
    assert not file.notes


def test_results_are_judged_by_their_constraints() -> None:
    file = parse_sweep_file(FULL)
    point = file.space.random_point(1, 0)
    assert file.result_violations(point, {"val/latency_ms": 25.0}) == (5.0,)
    assert file.result_violations(point, {"val/latency_ms": 20.0}) == (0.0,)
    assert file.result_violations(point, {}) == (float("inf"),)


def test_a_sweep_of_a_function_needs_no_program() -> None:
    file = parse_sweep_file("method: random\nparameters: {x: {min: 0.0, max: 1.0}}\n")
    assert file.command == ()
    with pytest.raises(HpctrackError, match="no `program`"):
        file.require_command()


def test_what_is_without_effect_is_told() -> None:
    file = parse_sweep_file(
        "method: random\nprogram: x\nentity: me\ncontroller: {type: local}\n"
        "metric: {name: loss, impute: best}\n"
        "parameters:\n  lr: {distribution: log_uniform, min: 0.001, max: 0.1}\n"
        "  depth: {min: 1, max: 3}\nconstraints: 'depht <= 2'\n"
        "storage: postgresql://me:secret@db/s\n"
    )
    notes = "\n".join(file.notes)
    assert "W&B's server" in notes
    assert "`controller`" in notes
    assert "`impute`" in notes
    assert "exponents" in notes
    assert "did you mean 'depth'?" in notes
    assert "~/.pgpass" in notes
    assert "secret" not in notes


def test_what_cmaes_leaves_to_chance_is_told() -> None:
    numbers = (
        "method: cmaes\nprogram: x\nmetric: {name: l}\nparameters:\n  x: {min: 0.0, max: 1.0}\n"
    )
    assert not parse_sweep_file(numbers).notes
    assert "chance" in parse_sweep_file(numbers + "  y: {values: [a, b]}\n").notes[0]


@pytest.mark.parametrize(
    ("block", "options"),
    [
        ("{type: hyperband, min_iter: 3}", {"min_iter": 3}),
        ("{type: hyperband, min_iter: 3, s: 2}", {"min_iter": 3}),
        ("{type: hyperband, max_iter: 27, s: 2, eta: 3}", {"max_iter": 27, "s": 2, "eta": 3}),
        ("{type: hyperband, min_iter: 1, max_iter: 9, s: 2}", {"max_iter": 9, "s": 2}),
        ("{type: median, n_startup_trials: 3}", {"n_startup_trials": 3}),
        ("{type: percentile, percentile: 25.0}", {"percentile": 25.0}),
        ("{type: threshold, upper: 10}", {"upper": 10}),
    ],
)
def test_rules_of_early_stopping_keep_what_counts(block: str, options: dict[str, Any]) -> None:
    file = parse_sweep_file(GOOD.replace("E_", block))
    assert file.early is not None
    assert file.early.options == options


GOOD = (
    "method: random\nprogram: train.py\nmetric: {name: loss}\n"
    "early_terminate: E_\nparameters:\n  a: {values: [1, 2]}\n  b: {min: 0.0, max: 1.0}\n"
)
PLAIN = GOOD.replace("early_terminate: E_\n", "")
BLOCK = "    distribution: {}\n".format
P = "method: random\nprogram: x\nparameters:\n  a:\n"
NO_METRIC = "method: random\nprogram: x\nparameters:\n  a: {values: [1, two]}\n  b: {value: 3}\n"

MUTATIONS = [
    (GOOD.replace("E_", "{type: hyperbnd, min_iter: 3}"), 4, "hyperbnd", "'hyperband'"),
    (GOOD.replace("E_", "{type: hyperband}"), 4, "needs `min_iter`", None),
    (GOOD.replace("E_", "{type: hyperband, max_iter: 9}"), 4, "needs `min_iter`", None),
    (GOOD.replace("E_", "{type: hyperband, max_iter: 2, s: 2}"), 4, "no band", "larger"),
    (GOOD.replace("E_", "{type: hyperband, min_iter: 0}"), 4, "at least 1", None),
    (GOOD.replace("E_", "{type: hyperband, min_iter: 3, eta: 1}"), 4, "not above 1", None),
    (GOOD.replace("E_", "{type: hyperband, min_iter: 3, strict: maybe}"), 4, "true nor", None),
    (GOOD.replace("E_", "{type: hyperband, min_itr: 3}"), 4, "min_itr", "'min_iter'"),
    (GOOD.replace("E_", "{type: asha, min_resource: 3}"), 4, "min_resource", "`min_iter`"),
    (GOOD.replace("E_", "{type: asha, eta: 2, reduction_factor: 2}"), 4, "the same", None),
    (GOOD.replace("E_", "{type: percentile}"), 4, "needs `percentile`", "25"),
    (GOOD.replace("E_", "{type: percentile, percentile: 101}"), 4, "above 100", None),
    (GOOD.replace("E_", "{type: patient}"), 4, "needs `patience`", None),
    (
        GOOD.replace("E_", "{type: patient, patience: 1, rule: {type: patient, patience: 1}}"),
        4,
        "another one",
        None,
    ),
    (GOOD.replace("E_", "{type: threshold}"), 4, "`lower` or `upper`", None),
    (GOOD.replace("E_", "{type: threshold, lower: 2, upper: 1}"), 4, "above its", None),
    (GOOD.replace("E_", "{type: wilcoxon}"), 4, "repeats", "seeds"),
    (GOOD.replace("E_", "{min_iter: 3}"), 4, "needs a `type`", "asha"),
    (GOOD.replace("E_", "hyperband"), 4, "not a mapping", None),
    (NO_METRIC + "early_terminate: {type: median}\n", 6, "needs a `metric`", "loss"),
    (PLAIN.replace("random", "gp").replace("{name: loss}", "[{name: l}, {name: m}]"), 3,
     "best of one", "nsga2"),
    (GOOD.replace("{name: loss}", "[{name: l}, {name: m}]").replace("E_", "{type: median}"), 4,
     "several metrics", "leave it out"),
    (PLAIN.replace("{name: loss}", "[{name: l}, {name: l}]"), 3, "twice", None),
    (PLAIN.replace("{name: loss}", "[{name: l, target: 1}, {name: m}]"), 3, "no `target`", None),
    (PLAIN.replace("{name: loss}", "[]"), 3, "0 elements", None),
    (PLAIN.replace("{name: loss}", "{name: loss, pattern: 'loss=('}"), 3, "no regular", None),
    (PLAIN.replace("{name: loss}", "{name: loss, pattern: 'loss=.*'}"), 3, "no group", "quotes"),
    (PLAIN.replace("{name: loss}", "{name: loss, patern: 'x'}"), 3, "patern", "'pattern'"),
    (P + BLOCK("normal") + "    sigma: 0\n", 6, "not above 0", None),
    (P + BLOCK("normal") + "    min: 0\n", 6, "does not belong", "mu, sigma"),
    (P + BLOCK("log_normal") + "    mu: 900\n", 4, "too large", None),
    (P + "    mu: 0\n    sigma: 1\n", 4, "needs `distribution`", "normal"),
    (P + BLOCK("beta") + "    a: 0\n", 4, "does not lie between", None),
    (P + BLOCK("log_uniform") + "    min: 1\n    max: 1000\n", 7, "exponent", "log_uniform_values"),
(P + BLOCK("q_log_uniform_values") + "    min: 1\n", 4, "needs `max`", "min, max, q"),
    (P + BLOCK("log_uniform_value") + "    min: 1\n    max: 2\n", 5, "unknown distribution",
     "'log_uniform_values'"),
    (P + "    values: [1, 2]\n    probabilities: [0.5]\n", 6, "1 elements for 2", None),
    (P + "    values: [1, 2]\n    probabilities: [0.5, 0.6]\n", 6, "1.1, not 1", None),
    (P + "    values: [1, 2]\n    probabilities: [1.5, -0.5]\n", 6, "below 0", None),
    (P + "    values: [1, 2]\n    when: {b: 1}\n", 6, "no parameter 'b'", "come before"),
    (NO_METRIC + "  c:\n    value: 1\n    when: {a: 3}\n", 8, "never 3", "1, 'two'"),
    (NO_METRIC + "  c:\n    value: 1\n    when: {c: 1}\n", 8, "no parameter 'c'", "known are a, b"),
    (PLAIN + "  c: {value: 1, when: {b: 0.5}}\n", 7, "any number", "values"),
    (PLAIN + "  c: {value: 1, when: {}}\n", 7, "is empty", None),
    (PLAIN + "  c: {value: 1, when: a}\n", 7, "not a mapping", None),
    (PLAIN + "  c: {value: 1, when: {a: []}}\n", 7, "no value", None),
    (NO_METRIC + "constraints: [a <= 3]\n", 6, "not always a number", "when"),
    (NO_METRIC + "constraints:\n  - b <= 3\n  - b + 3\n", 8, "compares nothing", "2048"),
    (NO_METRIC + "constraints:\n  - __import__('os').system('x') <= 3\n", 7, "functions", None),
    (NO_METRIC + "constraints: [val/loss <= 3]\n", 6, "computation", "`val/loss`"),
    (NO_METRIC + "  batch-size: {value: 1}\nconstraints: [batch-size <= 3]\n", 7, "computation",
     "`batch-size`"),
    (NO_METRIC + "constraints: {a: 1}\n", 6, "not a text", None),
    (NO_METRIC + "constraints: [b > 3]\n", 6, "none of", "loosen"),
    (NO_METRIC.replace("random", "grid") + "constraints: [b > 3]\n", 6, "no point", None),
    (NO_METRIC + "seeds: 0\n", 6, "at least 1", None),
    (NO_METRIC + "seeds: {cuont: 3}\n", 6, "cuont", "'count'"),
    (NO_METRIC + "seeds: {count: 3, name: b}\n", 6, "both called 'b'", "leave"),
    (NO_METRIC + "seeds: {name: s}\n", 6, "needs a `count`", None),
    (NO_METRIC + "max_retries: -1\n", 6, "at least 0", None),
    (NO_METRIC + "sampler: {seed: 1}\n", 6, "unknown key 'seed'", "there are none"),
    (PLAIN.replace("random", "tpe") + "sampler: {n_startup_trails: 1}\n", 7, "trails",
     "'n_startup_trials'"),
    (PLAIN.replace("random", "tpe") + "sampler: {multivariate: 1}\n", 7, "true nor false", None),
    (PLAIN.replace("random", "tpe") + "sampler: {multivariate: false, group: true}\n", 7,
     "needs `multivariate`", None),
    (PLAIN.replace("random", "qmc") + "sampler: {qmc_type: sobl}\n", 7, "sobl", "'sobol'"),
    (PLAIN.replace("random", "bayesian"), 1, "bayesian", "method: bayes"),
    (PLAIN.replace("random", "Random"), 1, "Random", "'random'"),
    (NO_METRIC + "storage: sqlite:///sweep.db\n", 6, "SQLite", "journal"),
    (NO_METRIC + "storage: redis://host\n", 6, "redis", "postgresql"),
    (NO_METRIC + "storage: grpc://host\n", 6, "host and a port", "grpc://"),
    (NO_METRIC + "storage: postgresql://me:${PW}@h/d\n", 6, "unknown macro", "envvar"),
    (NO_METRIC + "storage: postgresql://h:99999/d\n", 6, "no URL", None),
    (NO_METRIC + "warm_start: ../../etc\n", 6, "", None),
    (NO_METRIC + "warm_start: [a/b/c]\n", 6, "no sweep", "PROJECT/ID"),
    (NO_METRIC + "scheduler: {engine: optuna}\n", 6, "servers", "tpe"),
    (NO_METRIC + "slurm: {mem-per-cpu: 3G}\n", 6, "mem-per-cpu", "'mem_per_cpu'"),
    (NO_METRIC + "slurm: {walltime: 3}\n", 6, "walltime", "timeout_min"),
    (NO_METRIC + "early_terminated: {}\n", 6, "early_terminated", "'early_terminate'"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "said", "hint"), MUTATIONS)
def test_a_malformed_file_gets_a_line_and_a_hint(
    text: str, line: int, said: str, hint: str | None
) -> None:
    with pytest.raises(SweepFileError) as caught:
        parse_sweep_file(text, source="my.yaml")
    assert caught.value.message.startswith(f"my.yaml, line {line}: ")
    assert said in caught.value.message
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 300
    assert caught.value.hint
    assert (hint or "") in caught.value.hint


TEXTS = [path.read_text() for path in FILES]
WORDS = sorted(set(re.findall(r"[\w./*<>=-]+", "\n".join(TEXTS))))


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(TEXTS),
    st.lists(
        st.tuples(
            st.floats(0, 1),
            st.integers(0, 12),
            st.sampled_from(WORDS) | st.text(max_size=3) | st.integers().map(str),
        ),
        min_size=1,
        max_size=6,
    ),
)
def test_a_file_that_was_edited_at_random_is_read_or_refused(
    text: str, edits: list[tuple[float, int, str]]
) -> None:
    for place, cut, new in edits:
        at = int(place * len(text))
        text = text[:at] + new + text[at + cut :]
    refusal = try_out(text)
    assert refusal is None or refusal.startswith("my.yaml")
    assert "\n" not in (refusal or "")


def try_out(text: str) -> str | None:
    """Return why a file is refused, or None."""
    try:
        file = parse_sweep_file(text, source="my.yaml")
    except SweepFileError as error:
        return error.message
    with contextlib.suppress(HpctrackError):
        points_of(file, 3)
    return None


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(TEXTS),
    st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(WORDS)), min_size=1, max_size=4),
)
def test_a_file_with_words_exchanged_is_read_or_refused(
    text: str, changes: list[tuple[str, str]]
) -> None:
    for old, new in changes:
        text = text.replace(old, new, 1)
    refusal = try_out(text)
    assert refusal is None or refusal.startswith("my.yaml")
    assert "\n" not in (refusal or "")
