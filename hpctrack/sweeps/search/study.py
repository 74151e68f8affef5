"""Optuna's study of a sweep, and what can go wrong with it, said in our words."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Self, TypeVar

import optuna
from optuna.exceptions import (
    DuplicatedStudyError,
    StorageInternalError,
)
from optuna.storages import BaseStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from hpctrack.errors import StoreError, SweepError
from hpctrack.sweeps.search.journal import JournalRewrittenError
from hpctrack.sweeps.search.quiet import quietly
from hpctrack.sweeps.search.storage import Place, first_line, open_place
from hpctrack.sweeps.sweep import Sweep

FORMAT = 1
SWEEP_KEY = "hpctrack"
"""The attribute of a study that says which sweep it is of."""

CONFIGURATION = "configuration"
INFEASIBLE = "infeasible"

OF_PARAMETERS, OF_RESULT = "parameters", "result"
"""What a constraint of a trial speaks of."""

MOST_VIOLATION = 1e9

_RETRIES = 3
_Result = TypeVar("_Result")


@contextmanager
def translated() -> Iterator[None]:
    """Turn Optuna's errors and warnings into ours.

    Raises
    ------
    StoreError
        The storage cannot be used.
    """
    with quietly():
        try:
            yield
        except StorageInternalError as error:
            cause = error.__cause__ or error
            raise StoreError(f"the study's storage fails: {first_line(cause)}") from None
        except Exception as error:
            if _is_of_a_server(error):
                raise StoreError(f"the study's storage fails: {first_line(error)}") from None
            raise


def _is_of_a_server(error: BaseException) -> bool:
    """Tell whether a database or a proxy has raised this; their packages may be absent."""
    return any(
        one.__module__.partition(".")[0] in {"sqlalchemy", "psycopg2", "grpc"}
        for one in type(error).__mro__
    )


class StudyHandle:
    """An open study.

    Parameters
    ----------
    sweep : Sweep
        Whose it is.
    place : Place
        Where it lies.
    """

    def __init__(self, sweep: Sweep, place: Place) -> None:
        self._sweep = sweep
        self._place = place
        self._name = _name(sweep)
        self._study_id = self._ensure()
        self._seen = 0
        self._by_configuration: dict[int, int] = {}

    @classmethod
    def open(cls, sweep: Sweep) -> Self:
        """Open the study of a sweep, or make it."""
        with translated():
            return cls(sweep, open_place(sweep))

    @classmethod
    def load(cls, sweep: Sweep) -> Self | None:
        """Open the study of a sweep that has one."""
        if not sweep.file.storage and not sweep.folder.journal.exists():
            return None
        with translated():
            place = open_place(sweep)
            try:
                place.storage.get_study_id_from_name(_name(sweep))
            except KeyError:
                place.close()
                return None
            return cls(sweep, place)

    @property
    def storage(self) -> BaseStorage:
        """Optuna's storage."""
        return self._place.storage

    def run(self, action: Callable[[], _Result]) -> _Result:
        """Do something with the study; again from the start if its journal was rewritten.

        Raises
        ------
        StoreError
            The storage cannot be used.
        """
        for _ in range(_RETRIES):
            with translated():
                try:
                    return action()
                except JournalRewrittenError:
                    self._reopen()
                finally:
                    self._place.rest()
        raise StoreError(f"{self._place.shown} keeps losing what was written")

    def study(self, **parts: Any) -> Study:
        """Return Optuna's study, fresh, with a sampler or a pruner."""
        parts.setdefault("sampler", optuna.samplers.RandomSampler(seed=0))
        return Study(study_name=self._name, storage=self.storage, **parts)

    def batch(self) -> AbstractContextManager[None]:
        """Return a context whose changes become one write, where the storage can do that.

        If another process has ended the trial, it says so where it is left.
        """
        return self._place.batch()

    def trials(self) -> list[FrozenTrial]:
        """Return all trials, not copied."""
        return list(self.storage.get_all_trials(self._study_id, deepcopy=False))

    def find(self, configuration: int) -> FrozenTrial | None:
        """Return the trial of a configuration."""
        trials = self.trials()
        for one in trials[self._seen :]:
            number = one.user_attrs.get(CONFIGURATION)
            if number is not None:
                self._by_configuration.setdefault(int(number), one.number)
        self._seen = len(trials)
        while configuration in self._by_configuration:
            found = trials[self._by_configuration[configuration]]
            if INFEASIBLE not in found.user_attrs:
                return found
            later = [
                one.number
                for one in trials[found.number + 1 :]
                if one.user_attrs.get(CONFIGURATION) == configuration
            ]
            if not later:
                return None
            self._by_configuration[configuration] = later[0]
        return None

    def create(
        self,
        attributes: Mapping[str, Any],
        *,
        params: Mapping[str, Any] | None = None,
        distributions: Mapping[str, Any] | None = None,
        constraints: Sequence[float] = (),
    ) -> int:
        """Make a running trial in one write, and return its id."""
        template = optuna.trial.create_trial(
            state=TrialState.RUNNING,
            params=dict(params or {}),
            distributions=dict(distributions or {}),
            user_attrs=dict(attributes),
        )
        for at, one in enumerate(constraints):
            template.set_constraint(f"{OF_PARAMETERS}:{at}", limit(one))
        return int(self.storage.create_new_trial(self._study_id, template_trial=template))

    def attributes(self) -> dict[str, Any]:
        """Return the study's attributes."""
        return dict(self.storage.get_study_user_attrs(self._study_id))

    def set_attribute(self, name: str, value: Any) -> None:
        """Set one of them."""
        self.storage.set_study_user_attr(self._study_id, name, value)

    def make_sibling(self, name: str) -> None:
        """Make an empty study beside this one, which only one process can do.

        Raises
        ------
        DuplicatedStudyError
            There is one.
        """
        self.storage.create_new_study([StudyDirection.MINIMIZE], f"{self._name}/{name}")

    def add(self, trial: FrozenTrial) -> None:
        """Add a trial as it is."""
        self.storage.create_new_trial(self._study_id, template_trial=trial)

    def constrain(self, trial_id: int, violations: Sequence[float]) -> None:
        """Record how a trial's result stands to the constraints."""
        if violations:
            trial = optuna.trial.Trial(self.study(), trial_id)
            for at, one in enumerate(violations):
                trial.set_constraint(f"{OF_RESULT}:{at}", limit(one))

    def end(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> None:
        """Record how a trial has ended."""
        self.storage.set_trial_state_values(trial_id, state, values)

    def close(self) -> None:
        """Let go of the storage."""
        self._place.close()

    def _reopen(self) -> None:
        self._place.close()
        self._place = open_place(self._sweep)
        self._study_id = self._ensure()
        self._seen, self._by_configuration = 0, {}

    def _ensure(self) -> int:
        """Return the study's id; make the study if there is none.

        Raises
        ------
        SweepError
            There is one, but of another sweep.
        """
        goals = [one.goal for one in self._sweep.file.metrics] or ["minimize"]
        directions = [
            StudyDirection.MAXIMIZE if one == "maximize" else StudyDirection.MINIMIZE
            for one in goals
        ]
        try:
            study_id = int(self.storage.get_study_id_from_name(self._name))
        except KeyError:
            try:
                study_id = int(self.storage.create_new_study(directions, self._name))
            except DuplicatedStudyError:
                study_id = int(self.storage.get_study_id_from_name(self._name))
        known = self.storage.get_study_user_attrs(study_id).get(SWEEP_KEY)
        mine = self._describe()
        if known is None:
            self.storage.set_study_user_attr(study_id, SWEEP_KEY, mine)
        elif known != mine:
            raise _mismatch(self._place.shown, known, mine)
        return study_id

    def _describe(self) -> dict[str, Any]:
        file = self._sweep.file
        return {
            "format": FORMAT,
            "method": file.method,
            "metrics": [[one.name, one.goal] for one in file.metrics],
            "seed": self._sweep.seed,
            "created": self._sweep.created_wall_s,
        }


def limit(violation: float) -> float:
    """Return a violation with which samplers can calculate: infinity is a large number."""
    return MOST_VIOLATION if math.isnan(violation) else min(float(violation), MOST_VIOLATION)


def id_of(trial: FrozenTrial) -> int:
    """Return the storage's id of a trial: unlike its number, it can be used without a question."""
    return int(trial._trial_id)  # noqa: SLF001 - nothing public has it


def _name(sweep: Sweep) -> str:
    return f"hpctrack/{sweep.project}/{sweep.id}"


def _mismatch(shown: str, known: Any, mine: Mapping[str, Any]) -> SweepError:
    differ = [
        name for name, one in mine.items() if not isinstance(known, dict) or known.get(name) != one
    ]
    return SweepError(
        f"the study in {shown} is of another sweep: {', '.join(differ) or 'its form'} differ",
        hint="a sweep's method, metrics and goals cannot be changed; create a new sweep",
    )
