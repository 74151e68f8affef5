"""The sweep file as a JSON Schema, for editors and other programs.

It is made from the tables that the parser reads, so it knows the same keys. What a schema cannot
say, the parser checks: that a bound lies below another one, that a condition's parameter exists,
that a constraint can be computed.
"""

from __future__ import annotations

from typing import Any

from hpctrack.sweeps.schema.early_block import EARLY_OPTIONS, WRAPPED
from hpctrack.sweeps.schema.metric_block import GOALS, MAX_METRICS, PATTERN_MAX_CHARS
from hpctrack.sweeps.schema.option import Option
from hpctrack.sweeps.schema.parameter_block import KINDS, NAME_MAX_CHARS
from hpctrack.sweeps.schema.sampler_block import METHODS
from hpctrack.sweeps.schema.slurm_block import KEYS as SLURM_KEYS
from hpctrack.sweeps.schema.slurm_block import json_type
from hpctrack.sweeps.schema.study_block import MAX_CONSTRAINTS, MAX_SEEDS

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_Schema = dict[str, Any]

_TEXT: _Schema = {"type": ["string", "number", "null"]}
_ANY_NUMBER: _Schema = {"type": "number"}

_PARAMETER_KEYS: dict[str, _Schema] = {
    "value": {"description": "The only value."},
    "values": {"type": "array", "minItems": 1, "description": "The values."},
    "probabilities": {
        "type": "array",
        "items": {"type": "number", "minimum": 0},
        "minItems": 1,
        "description": "One for each value, with the sum 1.",
    },
    "min": {**_ANY_NUMBER, "description": "Lower bound; of log_uniform its natural logarithm."},
    "max": {**_ANY_NUMBER, "description": "Upper bound; of log_uniform its natural logarithm."},
    "q": {"type": "number", "exclusiveMinimum": 0, "description": "Values are multiples of it."},
    "mu": {**_ANY_NUMBER, "description": "Mean; of log_normal that of the logarithm."},
    "sigma": {
        "type": "number",
        "exclusiveMinimum": 0,
        "description": "Standard deviation; of log_normal that of the logarithm.",
    },
    "a": {"type": "number", "exclusiveMinimum": 0, "description": "First shape."},
    "b": {"type": "number", "exclusiveMinimum": 0, "description": "Second shape."},
}

_UNNAMED = ("constant", "categorical", "categorical_w_probabilities", "int_uniform", "uniform")
"""Distributions that their keys tell; q_uniform is another one."""


def make_json_schema() -> dict[str, Any]:
    """Return the schema of a sweep file, in the dialect of 2020-12."""
    return {
        "$schema": DIALECT,
        "title": "hpctrack sweep",
        "description": "What hpctrack sweep create reads; W&B's sweep files are valid, too.",
        "type": "object",
        "required": ["method", "parameters"],
        "additionalProperties": False,
        "properties": _make_properties(),
        "allOf": [_make_sampler_rule(name) for name in METHODS],
        "$defs": {
            "parameters": {
                "type": "object",
                "minProperties": 1,
                "propertyNames": {
                    "pattern": r"^[^\s=\u0000-\u001f]+$",
                    "maxLength": NAME_MAX_CHARS,
                },
                "additionalProperties": {"$ref": "#/$defs/parameter"},
            },
            "parameter": {"anyOf": [*map(_make_kind, KINDS), _make_group()]},
            "when": {
                "type": "object",
                "minProperties": 1,
                "description": "Values of parameters before this one, or lists of them; "
                "else points lack it.",
            },
            "metric": _make_metric(),
            "early_terminate": {"oneOf": [_make_early(kind) for kind in EARLY_OPTIONS]},
        },
    }


def _make_properties() -> dict[str, _Schema]:
    def texts(about: str) -> _Schema:
        return {**_TEXT, "description": about}

    def whole(least: int, about: str) -> _Schema:
        return {"type": ["integer", "null"], "minimum": least, "description": about}

    return {
        "method": {
            "enum": list(METHODS),
            "description": " ".join(f"{name}: {one.about}" for name, one in METHODS.items()),
        },
        "parameters": {"$ref": "#/$defs/parameters", "description": "What is varied."},
        "program": texts("The program, from the folder where the sweep is created."),
        "command": {
            "type": ["array", "null"],
            "minItems": 1,
            "items": {"type": ["string", "number"]},
            "description": "Words of the command line, with macros.",
        },
        "name": texts("For people."),
        "description": texts("For people."),
        "project": texts("Project of the runs."),
        "metric": {
            "description": "What trials are judged by; several make a Pareto front.",
            "anyOf": [
                {"$ref": "#/$defs/metric"},
                {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": MAX_METRICS,
                    "items": {"$ref": "#/$defs/metric"},
                },
                {"type": "null"},
            ],
        },
        "early_terminate": {
            "description": "When a trial that does badly ends early.",
            "anyOf": [{"$ref": "#/$defs/early_terminate"}, {"type": "null"}],
        },
        "run_cap": whole(1, "Most trials."),
        "seed": whole(0, "Of the points; one is drawn if absent."),
        "max_retries": whole(0, "How often a trial that failed is tried again. Default 1."),
        "seeds": _make_seeds(),
        "sampler": {"type": ["object", "null"], "description": "Options of the method."},
        "constraints": {
            "type": ["array", "string", "null"],
            "items": {"type": "string"},
            "maxItems": MAX_CONSTRAINTS,
            "description": "Comparisons of parameters, or of results, that must hold.",
        },
        "warm_start": {
            "type": ["array", "string", "null"],
            "items": {"type": "string"},
            "description": "Sweeps whose finished trials the search knows from the start.",
        },
        "storage": texts("URL of a database, or of Optuna's proxy, for the search."),
        "slurm": {
            "type": ["object", "null"],
            "additionalProperties": False,
            "properties": {key: json_type(key) for key in sorted(SLURM_KEYS)},
            "description": "What each task asks of Slurm, by submitit's names.",
        },
        **{
            key: {"description": "Accepted for W&B's sake; has no effect."}
            for key in ("entity", "controller", "apiVersion", "kind")
        },
    }


def _make_seeds() -> _Schema:
    count = {"type": "integer", "minimum": 1, "maximum": MAX_SEEDS}
    return {
        "description": "How often each configuration runs; it is judged by the mean.",
        "anyOf": [
            count,
            _closed({"count": count, "name": _TEXT, "base": {"type": "integer", "minimum": 0}},
                    ["count"]),
            {"type": "null"},
        ],
    }  # fmt: skip


def _make_metric() -> _Schema:
    properties: dict[str, _Schema] = {
        "name": {"type": ["string", "number"], "description": "As the program logs it."},
        "goal": {"enum": [*GOALS, None], "description": "Which way is better."},
        "target": {"type": ["number", "null"], "description": "The sweep ends once it is reached."},
        "pattern": {
            "type": ["string", "null"],
            "maxLength": PATTERN_MAX_CHARS,
            "description": "Regular expression that finds the value in the program's output.",
        },
        "impute": {"description": "Accepted for W&B's sake; has no effect."},
        "impute_while_running": {"description": "Accepted for W&B's sake; has no effect."},
    }
    return _closed(properties, ["name"])


def _make_kind(kind: str) -> _Schema:
    needed, optional = KINDS[kind]
    properties: dict[str, _Schema] = {key: _PARAMETER_KEYS[key] for key in (*needed, *optional)}
    if kind == "int_uniform":
        properties = {key: {**one, "type": "integer"} for key, one in properties.items()}
    for key, default in optional.items():
        properties[key] = {**properties[key], "default": default}
    properties["distribution"] = {"const": kind}
    properties["when"] = {"$ref": "#/$defs/when"}
    must = list(needed)
    if kind == "q_uniform":
        return {
            **_closed(properties, must),
            "anyOf": [{"required": ["distribution"]}, {"required": ["q"]}],
        }
    return _closed(properties, must if kind in _UNNAMED else [*must, "distribution"])


def _make_group() -> _Schema:
    properties = {"parameters": {"$ref": "#/$defs/parameters"}, "when": {"$ref": "#/$defs/when"}}
    return _closed(properties, ["parameters"])


def _make_early(kind: str) -> _Schema:
    properties: dict[str, _Schema] = {"type": {"const": kind}, **_nullable(EARLY_OPTIONS[kind])}
    if kind == "patient":
        properties[WRAPPED] = {"$ref": "#/$defs/early_terminate"}
    needed = {"percentile": ["percentile"], "patient": ["patience"]}.get(kind, [])
    schema = _closed(properties, ["type", *needed])
    either = {
        "hyperband": [["min_iter"], ["max_iter", "s"]],
        "threshold": [["lower"], ["upper"]],
    }.get(kind)
    if either:
        schema["anyOf"] = [{"required": keys} for keys in either]
    return schema


def _make_sampler_rule(method: str) -> _Schema:
    return {
        "if": {"properties": {"method": {"const": method}}},
        "then": {
            "properties": {
                "sampler": {
                    "additionalProperties": False,
                    "properties": _nullable(METHODS[method].options),
                }
            }
        },
    }


def _nullable(options: dict[str, Option]) -> dict[str, _Schema]:
    """Return options that may be left empty, which is as if they were absent."""
    found: dict[str, _Schema] = {}
    for key, option in options.items():
        schema = option.to_json()
        schema["type"] = [schema["type"], "null"]
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
        found[key] = schema
    return found


def _closed(properties: dict[str, Any], required: list[str]) -> _Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
