"""Configuration and summary as programs use them, without any run behind."""

from __future__ import annotations

import argparse
import copy
import dataclasses
import enum
import json
import os
import pickle
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hpctrack
from hpctrack.client.config import Config, Summary, read_config
from hpctrack.client.config_source import choose_keys
from hpctrack.client.media import Image
from hpctrack.core.wire import change_config
from hpctrack.errors import MissingPackageError, UsageError
from tests.programs import list_agents


@dataclasses.dataclass
class Net:
    depth: int = 3
    width: int = 8


class Colour(enum.Enum):
    RED = 1


def through_a_pickle(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))  # noqa: S301 - made here


class Heard:
    """Remembers what a configuration told."""

    def __init__(self) -> None:
        self.changes: list[dict[str, Any]] = []
        self.conflicts: list[str] = []
        self.config = Config(
            lambda values: self.changes.append(json.loads(json.dumps(values))),
            self.conflicts.append,
        )


def test_nested_values_are_attributes_and_items_and_a_change_is_told() -> None:
    heard = Heard()
    heard.config.update({"model": {"lr": 0.1, "net": Net()}})
    assert heard.config.model.net.depth == heard.config["model"]["net"]["depth"] == 3
    heard.config.model.seed = 7
    heard.config.model.net.name = "x"
    assert heard.changes == [
        {"set": {"model": {"lr": 0.1, "net": {"depth": 3, "width": 8}}}},
        {"path": ["model"], "set": {"seed": 7}},
        {"path": ["model", "net"], "set": {"name": "x"}},
    ]
    with pytest.raises(AttributeError, match=r"no key 'model\.nothing'"):
        _ = heard.config.model.nothing


def test_media_are_left_out_and_told_wherever_they_are() -> None:
    told: list[Exception] = []
    heard: list[Any] = []
    picture = Image([[0.0]])
    summary = Summary(heard.append, told.append)
    summary["picture"] = picture
    summary.update({"best": {"acc": 1, "of": {"picture": picture}}, "many": [1, [picture]]})
    summary.best.worst = picture
    assert summary == {"best": {"acc": 1, "of": {}}}
    assert [str(one).split(":")[0] for one in told] == [
        "'picture' is an Image",
        "'best.of.picture' is an Image",
        "'many' holds an Image",
        "'best.worst' is an Image",
    ]
    assert heard == [{"best": {"acc": 1, "of": {}}}]


def test_a_nested_value_that_is_set_stays_unless_one_means_it() -> None:
    heard = Heard()
    heard.config.update({"model": {"lr": 0.1}})
    heard.config.model.lr = 0.2
    assert heard.config.model.lr == 0.1
    assert heard.conflicts == ["model.lr"]
    heard.config.model.update({"lr": 0.3}, allow_val_change=True)
    heard.config.update({"other": 1}, True)
    assert heard.config.as_dict() == {"model": {"lr": 0.3}, "other": 1}
    heard.config.update({"model": {"lr": 0.3}})
    assert heard.conflicts == ["model.lr"]


def test_setdefaults_sets_what_is_missing_and_complains_about_nothing() -> None:
    heard = Heard()
    heard.config.lr = 0.1
    heard.config.setdefaults({"lr": 9, "seed": 1})
    heard.config.setdefaults(depth=2)
    assert heard.config == {"lr": 0.1, "seed": 1, "depth": 2}
    assert heard.config.setdefault("seed", 5) == 1
    assert heard.conflicts == []


def test_removing_a_key_is_told_at_any_depth() -> None:
    heard = Heard()
    heard.config.update({"a": {"b": 1, "c": 2}, "d": 3})
    del heard.config.a.b
    assert heard.config.pop("d") == 3
    assert heard.config.pop("nothing", 4) == 4
    assert heard.changes[-2:] == [{"path": ["a"], "unset": ["b"]}, {"unset": ["d"]}]
    heard.config.clear()
    assert heard.changes[-1] == {"unset": ["a"]}


def test_numbers_of_libraries_become_pythons_and_lists_survive_a_round_trip() -> None:
    heard = Heard()
    heard.config.update(
        {
            "lr": np.float32(0.5),
            "n": np.int64(3),
            "flag": np.bool_(True),
            "sizes": np.arange(3),
            "betas": (0.9, np.float64(0.99)),
        }
    )
    assert [type(value) for value in heard.config.values()] == [float, int, bool, list, tuple]
    heard.config.betas = [0.9, 0.99]
    assert heard.conflicts == []


def test_a_namespace_with_namespaces_inside_is_a_nested_configuration() -> None:
    heard = Heard()
    heard.config.update(argparse.Namespace(lr=0.1, net=argparse.Namespace(depth=2)))
    assert heard.config.net.depth == 2
    assert isinstance(heard.config.net, dict)


def test_what_means_something_only_to_the_program_stays_what_it_is() -> None:
    config = Config(lambda _values: None, lambda _key: None)
    config.update({"colour": Colour.RED, "kind": int, 3: Path("x")})
    assert (config.colour, config.kind, config["3"]) == (Colour.RED, int, Path("x"))


def test_a_structure_that_contains_itself_ends_somewhere() -> None:
    loop: dict[str, Any] = {}
    loop["again"] = loop
    config = Config(lambda _values: None, lambda _key: None)
    config.update({"loop": loop})
    assert "nested too deeply" in json.dumps(config)


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, through_a_pickle])
def test_a_copy_belongs_to_nobody(clone: Any) -> None:
    heard = Heard()
    heard.config.update({"model": {"lr": 0.1}})
    told = len(heard.changes)
    copied = clone(heard.config)
    copied.model.lr = 5
    assert copied == {"model": {"lr": 5}}
    assert heard.config.model.lr == 0.1
    assert len(heard.changes) == told


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.json", '{"lr": 0.001, "net": {"depth": 3}}'),
        ("c.toml", "lr = 1e-3\n[net]\ndepth = 3\n"),
        ("c.yaml", "lr: 1e-3\nnet:\n  depth: 3\n"),
        (
            "c.YML",
            "wandb_version: 1\nlr:\n  desc: rate\n  value: 1e-3\nnet:\n  value: {depth: 3}\n",
        ),
    ],
)
def test_a_configuration_may_be_a_file(name: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text)
    assert read_config(path) == read_config(str(path)) == {"lr": 0.001, "net": {"depth": 3}}


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("c.json", "{", "cannot be read"),
        ("c.yaml", "a: [", "cannot be read"),
        ("c.json", "[1]", "holds no keys"),
        ("c.ini", "", "is the text"),
    ],
)
def test_a_wrong_file_is_named(name: str, text: str, part: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=part):
        read_config(tmp_path / name)


def test_a_missing_file_is_named_with_the_reason() -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_config("nowhere.json")


def test_only_who_asks_for_yaml_needs_a_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "c.yaml").write_text("a: 1")
    (tmp_path / "c.json").write_text('{"a": 1}')
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert read_config(tmp_path / "c.json") == {"a": 1}
    with pytest.raises(MissingPackageError, match="PyYAML"):
        read_config(tmp_path / "c.yaml")


@pytest.mark.parametrize("value", [3, [1], int, print])
def test_what_is_no_configuration_is_refused(value: object) -> None:
    with pytest.raises(UsageError, match="config is a"):
        read_config(value)


def test_keys_can_be_left_out_or_picked() -> None:
    values = {"lr": 1, "data": {"path": "/x", "size": 2}, "a.b": 3}
    assert choose_keys(values, exclude=["lr", "data.path", "a.b", "no.such"]) == {
        "data": {"size": 2}
    }
    assert choose_keys(values, include=["lr", "nothing"]) == {"lr": 1}
    assert values["data"] == {"path": "/x", "size": 2}
    with pytest.raises(UsageError, match="both given"):
        choose_keys(values, include=["lr"], exclude=["lr"])


def test_a_summary_takes_nested_changes_and_removals() -> None:
    told: list[dict[str, Any]] = []
    summary = Summary(lambda values: told.append(json.loads(json.dumps(values))))
    summary.update({"acc": 0.5, "best": {"loss": 1.0}})
    summary.best.step = 7
    summary["acc"] = 0.6
    del summary["acc"]
    del summary.best.loss
    assert told == [
        {"acc": 0.5, "best": {"loss": 1.0}},
        {"best": {"loss": 1.0, "step": 7}},
        {"acc": 0.6},
        {"acc": None},
        {"best": {"step": 7}},
    ]


def test_values_of_an_earlier_attempt_fill_gaps_without_a_word() -> None:
    heard = Heard()
    heard.config.lr = 1
    told = len(heard.changes)
    heard.config.restore({"lr": 9, "net": {"depth": 2}})
    assert heard.config == {"lr": 1, "net": {"depth": 2}}
    assert len(heard.changes) == told


def test_what_is_told_of_changes_makes_the_same_configuration_elsewhere() -> None:
    copy: dict[str, Any] = {}
    config = Config(
        lambda change: change_config(copy, json.loads(json.dumps(change))), lambda _key: None
    )
    config.update({"a": 1, "net": {"depth": 3, "head": {"width": 2}}})
    old = config.net
    config.net.head.bias = True
    del config.net.depth
    assert copy == config
    config.update({"net": {"depth": 4}}, allow_val_change=True)
    old.head.lost = "belongs to nobody any more"
    old.lost = 1
    assert copy == config == {"a": 1, "net": {"depth": 4}}
    config.update({"net": 5}, allow_val_change=True)
    old.lost = 2
    config.pop("a")
    assert copy == config == {"net": 5}
    config.clear()
    config.net = {"new": 1}
    config.net.popitem()
    assert copy == config == {"net": {}}


def test_a_configuration_that_is_set_key_by_key_is_whole_and_small_in_the_store(
    tmp_path: Path,
) -> None:
    with hpctrack.init("p", config={"model": {}}, settings={"seal": "manual"}) as run:
        for number in range(10_000):
            run.config[f"layer.{number}.width"] = number
        for number in range(2000):
            run.config.model[f"k{number}"] = number
    (found,) = hpctrack.Store(tmp_path / "store").runs()
    assert len(found.config) == 10_001
    assert found.config["layer.9999.width"] == 9999
    assert found.config["model"] == {f"k{number}": number for number in range(2000)}
    (file,) = (tmp_path / "store").glob("*/*/node-*.h5")
    assert file.stat().st_size < 50_000_000


def test_a_configuration_survives_an_agent_that_is_full_and_one_that_dies(tmp_path: Path) -> None:
    settings = {"seal": "manual", "buffer_bytes": 100_000, "finish_timeout_s": 60}
    run = hpctrack.init("p", config={"first": 1}, settings=settings)
    assert run.flush(60)
    (agent,) = list_agents()
    os.kill(agent, signal.SIGSTOP)
    for number in range(3000):
        run.config[f"k{number}"] = "x" * 3000
    run.config["last"] = 1
    os.kill(agent, signal.SIGKILL)
    assert run.finish()
    (found,) = hpctrack.Store(tmp_path / "store").runs()
    assert found.config == {"first": 1, **{f"k{n}": "x" * 3000 for n in range(3000)}, "last": 1}
