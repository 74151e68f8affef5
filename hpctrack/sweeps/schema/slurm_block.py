"""The ``slurm`` block of a sweep file: submitit's parameter names, checked without submitit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hpctrack.sweeps.schema.document import Node, nearest

DEFAULT_TIMEOUT_MIN = 60
"""submitit's own default is 5 minutes, which ends a trial before it has begun to learn."""

NOT_OURS = {
    "time": "use `timeout_min`, in minutes",
    "mem": "use `mem_gb`",
    "job_name": "use `name`",
    "ntasks_per_node": "use `tasks_per_node`",
    "gpus": "use `gpus_per_node`",
    "num_gpus": "use `gpus_per_node`",
    "ntasks": "use `nodes` and `tasks_per_node`",
    "walltime": "use `timeout_min`, in minutes",
    "timeout": "use `timeout_min`, in minutes",
    "mem_per_node": "use `mem_gb`",
    "cpus": "use `cpus_per_task`",
    "array": "the trials are the array; `array_parallelism` bounds how many run at a time",
}
"""What people write who know sbatch, and what submitit calls it."""


def _text(node: Node, what: str) -> str:
    value = node.text(what)
    if "\n" in value:
        # Each becomes a line of the batch script: a second line would be a command.
        node.fail(f"{what} has more than one line")
    return value


def _count(node: Node, what: str) -> int:
    return node.whole(what, at_least=0)


def _positive(node: Node, what: str) -> int:
    return node.whole(what, at_least=1)


def _amount(node: Node, what: str) -> int | float:
    value = node.number(what)
    if value <= 0:
        node.fail(f"{what} is not above 0")
    return value


def _flag(node: Node, what: str) -> bool:
    if not isinstance(node.value, bool):
        node.fail(f"{what} is neither true nor false")
    return node.value


def _flag_or_text(node: Node, what: str) -> bool | str:
    return node.value if isinstance(node.value, bool) else _text(node, what)


def _lines(node: Node, what: str) -> list[str]:
    return [one.text(f"an element of {what}") for one in node.items(what)]


def _options(node: Node, what: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for key, inner in node.mapping(what).items():
        options[_text(Node(key, inner.where), f"a key of {what}")] = _flag_or_text(
            inner, f"{key!r} of {what}"
        )
    return options


_READERS: dict[str, Callable[[Node, str], Any]] = {
    **dict.fromkeys(
        ("name", "partition", "account", "qos", "comment", "constraint", "exclude", "nodelist",
         "gres", "dependency", "wckey", "mail_type", "mail_user", "mem_per_cpu", "mem_per_gpu"),
        _text,
    ),
    **dict.fromkeys(
        ("timeout_min", "nodes", "tasks_per_node", "cpus_per_task", "cpus_per_gpu",
         "array_parallelism", "signal_delay_s"),
        _positive,
    ),
    **dict.fromkeys(("gpus_per_node", "gpus_per_task"), _count),
    **dict.fromkeys(("setup", "teardown", "srun_args"), _lines),
    **dict.fromkeys(("stderr_to_stdout", "use_srun"), _flag),
    "mem_gb": _amount,
    "exclusive": _flag_or_text,
    "additional_parameters": _options,
}  # fmt: skip
KEYS = frozenset(_READERS)

_JSON_TYPES: dict[Callable[[Node, str], Any], dict[str, Any]] = {
    _text: {"type": ["string", "number", "null"]},
    _positive: {"type": ["integer", "null"], "minimum": 1},
    _count: {"type": ["integer", "null"], "minimum": 0},
    _amount: {"type": ["number", "null"], "exclusiveMinimum": 0},
    _flag: {"type": ["boolean", "null"]},
    _flag_or_text: {"type": ["boolean", "string", "number", "null"]},
    _lines: {"type": ["array", "null"], "items": {"type": ["string", "number"]}},
    _options: {
        "type": ["object", "null"],
        "additionalProperties": {"type": ["boolean", "string", "number"]},
    },
}

SHARED_KEYS = frozenset({
    "name", "timeout_min", "mem_gb", "nodes", "cpus_per_task", "gpus_per_node", "tasks_per_node",
    "stderr_to_stdout",
})  # fmt: skip
"""What submitit takes for every executor; it calls the others ``slurm_...``."""


def json_type(key: str) -> dict[str, Any]:
    """Return the JSON Schema of a key."""
    return dict(_JSON_TYPES[_READERS[key]])


def parse_slurm(node: Node) -> dict[str, Any]:
    """Read the block.

    Raises
    ------
    SweepFileError
        An unknown key or a wrong value; the message has the line.
    """
    parameters = {}
    for key, inner in node.mapping("`slurm`").items():
        if key in NOT_OURS:
            inner.fail(f"`slurm` has no key {key!r}", hint=NOT_OURS[key])
        if key not in _READERS:
            inner.fail(f"unknown key {key!r} of `slurm`", hint=nearest(key, KEYS))
        if inner.value is not None:
            parameters[key] = _READERS[key](inner, f"`{key}` of `slurm`")
    return parameters
