"""What a search knows from the start: finished points of other sweeps that fit its space."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import optuna
from optuna.exceptions import DuplicatedStudyError
from optuna.trial import FrozenTrial, TrialState

from hpctrack.sweeps.search.dimensions import Knob, decode_point, encode_point, make_knobs
from hpctrack.sweeps.search.study import CONFIGURATION, OF_PARAMETERS, OF_RESULT, StudyHandle
from hpctrack.sweeps.sweep import Sweep, load_sweep

DONE_KEY = "warm start"
"""Attribute of a study that has taken the points over: how many."""

ORIGIN = "warm"
"""Attribute of a trial that came from another sweep: its study and number."""

PATIENCE_S = 60.0
"""Whoever takes points over for longer has died of it, and the next one goes on."""

LOOK_EVERY_S = 0.2
MAX_DEATHS = 5
"""Then the search begins with what there is."""


def warm_start(study: StudyHandle, sweep: Sweep, *, patience_s: float = PATIENCE_S) -> None:
    """Add the points once, whoever opens the study; the others wait for it.

    Raises
    ------
    NotFoundError
        There is no sweep of that name in the store.
    """
    if not sweep.file.warm_start:
        return
    for turn in range(MAX_DEATHS):
        if DONE_KEY in study.attributes():
            return
        if _is_ours(study, turn):
            _add(study, sweep)
            return
        waited_s = 0.0
        while DONE_KEY not in study.attributes() and waited_s < patience_s:
            time.sleep(LOOK_EVERY_S)
            waited_s += LOOK_EVERY_S


def count_points(study: StudyHandle, sweep: Sweep) -> int | None:
    """Return how many points a study has begun with; None if none were asked for.

    Raises
    ------
    StoreError
        The study cannot be read.
    """
    if not sweep.file.warm_start:
        return None
    return int(study.attributes().get(DONE_KEY, 0))


def _add(study: StudyHandle, sweep: Sweep) -> None:
    # A predecessor may have died in the middle of this.
    known = {one.user_attrs.get(ORIGIN) for one in study.trials()} - {None}
    for name in sweep.file.warm_start:
        for one in _iter_fitting(sweep, load_sweep(sweep.store, name)):
            if one.user_attrs[ORIGIN] not in known:
                known.add(one.user_attrs[ORIGIN])
                study.add(one)
    study.set_attribute(DONE_KEY, len(known))


def _is_ours(study: StudyHandle, turn: int) -> bool:
    """Take a turn: every storage lets one process only make a study of a name."""
    try:
        study.make_sibling(f"warm start {turn}")
    except DuplicatedStudyError:
        return False
    return True


def _iter_fitting(sweep: Sweep, other: Sweep) -> Iterator[FrozenTrial]:
    """Yield the other sweep's finished points that this one could have tried, as trials of it."""
    places = _find_metrics(sweep, other)
    study = StudyHandle.load(other) if places else None
    if study is None:
        return
    knobs, their_knobs = (
        make_knobs(sweep.file.space.dimensions),
        make_knobs(other.file.space.dimensions),
    )
    try:
        for trial in study.trials():
            if trial.state == TrialState.COMPLETE and CONFIGURATION in trial.user_attrs:
                made = _convert(trial, (knobs, their_knobs), places, sweep)
                if made is not None:
                    made.set_user_attr(ORIGIN, f"{other.project}/{other.id}/{trial.number}")
                    yield made
    finally:
        study.close()


def _find_metrics(sweep: Sweep, other: Sweep) -> list[int]:
    """Return where the other sweep has our metrics; empty if it has not all of them."""
    theirs = [(one.name, one.goal) for one in other.file.metrics]
    ours = [(one.name, one.goal) for one in sweep.file.metrics]
    return [theirs.index(one) for one in ours] if set(ours) <= set(theirs) else []


def _convert(
    trial: FrozenTrial,
    knobs: tuple[Sequence[Knob], Sequence[Knob]],
    places: Sequence[int],
    sweep: Sweep,
) -> FrozenTrial | None:
    values = decode_point(knobs[1], trial.params)
    encoded = encode_point(knobs[0], values)
    if encoded is None or not sweep.file.space.holds(values):
        return None
    results = _find_results(trial)
    if len(results) != len(sweep.file.result_constraints):
        return None  # samplers need all constraints of all points
    made: Any = optuna.trial.create_trial(
        params=encoded[0],
        distributions=encoded[1],
        values=[trial.values[at] for at in places],
        # Their curve is one of our metric only if it is of the first of both.
        intermediate_values=trial.intermediate_values if places[0] == 0 else {},
    )
    for at, one in enumerate(sweep.file.space.violations(values)):
        made.set_constraint(f"{OF_PARAMETERS}:{at}", one)
    for at, one in enumerate(results):
        made.set_constraint(f"{OF_RESULT}:{at}", one)
    return made


def _find_results(trial: FrozenTrial) -> list[float]:
    found = trial.constraints
    return [one for name, one in sorted(found.items()) if name.startswith(f"{OF_RESULT}:")]
