"""The tables of options against Optuna, and the JSON Schema against the parser."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from click.testing import CliRunner

from hpctrack.cli.main import hpctrack
from hpctrack.errors import SweepFileError
from hpctrack.sweeps.schema.document import parse_document
from hpctrack.sweeps.schema.early_block import EARLY_OPTIONS
from hpctrack.sweeps.schema.json_schema import make_json_schema
from hpctrack.sweeps.schema.sampler_block import METHODS
from hpctrack.sweeps.schema.sweep_file import CANNOT_WORK, KEYS, parse_sweep_file
from tests.unit.sweeps.test_wandb_files import FILES, GOOD, MUTATIONS

PUBLISHED = Path(__file__).parents[3] / "docs" / "reference" / "sweep.schema.json"
SCHEMA = make_json_schema()

OBJECTS = re.compile(r"Callable|Base(Mutation|Crossover|Sampler|Pruner)|list\[|dict\[")
"""Annotations of arguments that no file can hold."""

WARNINGS = re.compile(r"warn_")
"""Arguments that only say whether Optuna warns."""

PRUNERS = {
    "asha": (optuna.pruners.SuccessiveHalvingPruner, {"min_resource": "min_iter"}),
    "median": (optuna.pruners.MedianPruner, {}),
    "percentile": (optuna.pruners.PercentilePruner, {}),
    "patient": (optuna.pruners.PatientPruner, {}),
    "threshold": (optuna.pruners.ThresholdPruner, {}),
    "wilcoxon": (optuna.pruners.WilcoxonPruner, {}),
}


def plain_arguments(kind: type) -> set[str]:
    """Return the arguments of a class that a file can hold."""
    parameters = inspect.signature(kind.__init__).parameters  # type: ignore[misc]
    return {
        name
        for name, one in parameters.items()
        if name != "self" and not OBJECTS.search(str(one.annotation)) and not WARNINGS.match(name)
    }


@pytest.mark.parametrize("method", [name for name, one in METHODS.items() if one.sampler])
def test_options_of_samplers_are_those_of_optuna(method: str) -> None:
    kind = getattr(optuna.samplers, METHODS[method].sampler)
    assert set(METHODS[method].options) == plain_arguments(kind)


@pytest.mark.parametrize("kind", PRUNERS)
def test_options_of_rules_are_those_of_optuna(kind: str) -> None:
    pruner, renamed = PRUNERS[kind]
    wanted = {renamed.get(name, name) for name in plain_arguments(pruner)}
    assert set(EARLY_OPTIONS[kind]) - {"eta"} == wanted


def test_optuna_takes_the_texts_that_are_allowed() -> None:
    for choice in METHODS["qmc"].options["qmc_type"].choices:
        with pytest.warns(optuna.exceptions.ExperimentalWarning):
            optuna.samplers.QMCSampler(qmc_type=choice, seed=1)


def test_the_published_schema_is_current() -> None:
    assert json.loads(PUBLISHED.read_text()) == SCHEMA


def test_the_command_prints_the_schema() -> None:
    result = CliRunner().invoke(hpctrack, ["sweep", "schema"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == SCHEMA


def test_the_schema_has_the_keys_of_the_parser() -> None:
    assert set(SCHEMA["properties"]) == KEYS
    assert not KEYS & set(CANNOT_WORK)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_is_valid(path: Path) -> None:
    plain = parse_document(path.read_text(), path.name).plain()
    assert list(problems(SCHEMA, plain)) == []


WRONG = [
    "method: gird\nparameters: {a: {value: 1}}",
    "method: grid",
    "method: grid\nparameters: {}",
    "method: grid\nparameters: {a: {values: []}}",
    "method: grid\nparameters: {a: {valeus: [1]}}",
    "method: grid\nparameters: {a: {min: 1, max: x}}",
    "method: grid\nparameters: {a: {distribution: normal, q: 1}}",
    "method: grid\nparameters: {a: {distribution: q_normal, q: 0}}",
    "method: tpe\nparameters: {a: {value: 1}}\nsampler: {n_startup_trails: 3}",
    "method: grid\nparameters: {a: {value: 1}}\nsampler: {seed: 3}",
    "method: grid\nparameters: {a: {value: 1}}\nseeds: 0",
    "method: grid\nparameters: {a: {value: 1}}\nrun_cap: 1.5",
    "method: grid\nparameters: {a: {value: 1}}\nslurm: {partiton: x}",
    "method: grid\nparameters: {a: {value: 1}}\nmetric: {goal: minimize}",
    "method: grid\nparameters: {a: {value: 1}}\nearly_terminate: {type: hyperband}",
    "method: grid\nparameters: {a: {value: 1}}\nearly_terminate: {type: asha, patience: 1}",
]


@pytest.mark.parametrize("text", WRONG)
def test_what_is_not_valid_is_refused_by_the_parser_too(text: str) -> None:
    assert list(problems(SCHEMA, yaml.safe_load(text)))
    with pytest.raises(SweepFileError):
        parse_sweep_file(f"program: x\n{text}\n")


def test_the_check_of_this_test_finds_what_is_wrong() -> None:
    # Else an empty list of problems would say nothing.
    found = [text for text, *_ in MUTATIONS if text.startswith("method: random\nprogram: train")]
    refused = [text for text in found if list(problems(SCHEMA, yaml.safe_load(text)))]
    assert len(refused) > len(found) / 3
    assert not list(problems(SCHEMA, yaml.safe_load(GOOD.replace("E_", "{type: median}"))))


TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
}


def has_type(value: Any, name: str) -> bool:
    if name in ("number", "integer"):
        kinds = (int,) if name == "integer" else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool)
    return isinstance(value, TYPES[name])


def problems(schema: dict[str, Any], value: Any) -> Iterator[str]:
    """Yield what is wrong: the part of the standard that the schema uses, and no more."""
    known = {
        "$schema", "$defs", "title", "description", "default", "$ref", "type", "enum", "const",
        "properties", "required", "additionalProperties", "propertyNames", "minProperties",
        "items", "minItems", "maxItems", "minimum", "maximum", "exclusiveMinimum",
        "exclusiveMaximum", "maxLength", "pattern", "anyOf", "oneOf", "allOf", "if", "then",
    }  # fmt: skip
    assert set(schema) <= known, set(schema) - known
    if "$ref" in schema:
        yield from problems(SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")], value)
    yield from problems_of_value(schema, value)
    if isinstance(value, dict):
        yield from problems_of_object(schema, value)
    if isinstance(value, list):
        for one in value:
            yield from problems(schema.get("items", {}), one)
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            yield f"{len(value)} items"
    for key, least, most in (("anyOf", 1, 99), ("oneOf", 1, 1), ("allOf", 99, 99)):
        if key in schema:
            held = sum(not list(problems(one, value)) for one in schema[key])
            if not min(least, len(schema[key])) <= held <= most:
                yield f"{key}: {held} hold for {value!r:.80}"
    if "if" in schema and not list(problems(schema["if"], value)):
        yield from problems(schema["then"], value)


def problems_of_value(schema: dict[str, Any], value: Any) -> Iterator[str]:
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    if types and not any(has_type(value, one) for one in types):
        yield f"{value!r:.80} is no {types}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{value!r:.80} is not in {schema['enum']}"
    if "const" in schema and value != schema["const"]:
        yield f"{value!r:.80} is not {schema['const']!r}"
    if has_type(value, "number"):
        low, high = schema.get("minimum", value), schema.get("maximum", value)
        above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
        if not low <= value <= high:
            yield f"{value} is out of bounds"
        if (above is not None and value <= above) or (below is not None and value >= below):
            yield f"{value} is out of bounds"
    if isinstance(value, str):
        if len(value) > schema.get("maxLength", len(value)):
            yield "too long"
        if not re.search(schema.get("pattern", ""), value):
            yield f"{value!r:.80} does not match"


def problems_of_object(schema: dict[str, Any], value: dict[str, Any]) -> Iterator[str]:
    properties = schema.get("properties", {})
    for key in schema.get("required", []):
        if key not in value:
            yield f"{key} is missing"
    for key, inner in value.items():
        more = schema.get("additionalProperties", True)
        if key in properties:
            yield from problems(properties[key], inner)
        elif more is False:
            yield f"{key} is unknown"
        elif more is not True:
            yield from problems(more, inner)
        yield from problems(schema.get("propertyNames", {}), key)
    if len(value) < schema.get("minProperties", 0):
        yield "too few"
