"""The study on disk: an Optuna storage that optuna-dashboard opens.

A trial is written twice: when it is proposed (state RUNNING, one operation) and when it ends. A process
killed in between loses nothing but the training in flight, which :attr:`StudyRecord.unfinished` returns.
Where the connection to a server is lost, :class:`Store` waits for it (:mod:`nas.outage`).
Each trial holds its architecture, so that a study is read without its search space.
"""

from __future__ import annotations

import json
import secrets
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from core.errors import UserError, one_line
from core.reading import mapping
from nas.architecture import Architecture
from nas.identity import first_difference
from nas.objectives import Objectives, not_finite
from nas.outage import Outage
from nas.postgresql import StudyTaken
from nas.spaces.base import SearchSpace
from nas.storage import Place, open_to_read, study_names
from nas.trial import Execution, Proposal, Trial

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

_IDENTITY = "minnow:identity"
_FACTS = "minnow:facts"
_WRITER = "minnow:writer"
_EXECUTION = "execution"  # of a trial
_SOMEWHERE = Place(Path("the storage"))


@dataclass(frozen=True)
class StudyRecord:
    """The content of a study.

    Attributes:
        trials: finished trials, by number.
        unfinished: proposals that began and never ended, by number.
        options: number of a trial to its options by decision name.
        identity: what the trials share, as given to :class:`Store`.
        facts: plain data about the study as a whole, such as the classes of its data.
    """

    trials: list[Trial]
    unfinished: list[Proposal]
    options: Mapping[int, Mapping[str, Any]]
    identity: Mapping[str, Any]
    facts: Mapping[str, Any]


class Store:
    """The writer of one study; an earlier one that still lives, elsewhere, stops at its next trial.

    Args:
        storage: an Optuna storage, see :func:`nas.storage.opened_study`.
        name: of the study.
        space: names the options of a proposal.
        objectives: become the study's directions.
        identity: what trials of one study must share (space, data, recipe ...), as plain data.
        facts: plain data about the study as a whole, for readers.
        new: whether the study must not exist yet.
        place: of the storage, for messages.
        warn: callback for one line when the storage goes away, and one when it is back.

    Raises:
        UserError: the stored study has another identity, which names what differs; two searches wrote
            it at the same time; it should be new and exists; the storage cannot be used, or stayed away
            for too long, here and in every method.
    """

    def __init__(
        self,
        storage: BaseStorage,
        name: str,
        space: SearchSpace,
        objectives: Objectives,
        identity: Mapping[str, Any],
        *,
        facts: Mapping[str, Any] | None = None,
        new: bool = False,
        place: Place = _SOMEWHERE,
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._space, self._objectives = space, objectives
        self._storage, self._name, self._place = storage, name, place
        self._outage = Outage(place, warn)
        with place.errors():
            self._outage.bridge(lambda again: self._open(identity, facts or {}, new, again))

    def _open(
        self, identity: Mapping[str, Any], facts: Mapping[str, Any], new: bool, again: bool
    ) -> None:
        import optuna

        storage, name = self._storage, self._name
        known = name in study_names(storage) and (not new or (again and self._is_empty()))
        self._new = new or not known
        load = known
        if known:
            known = _check_identity(storage, name, identity)
        try:
            study = optuna.create_study(
                storage=storage,
                study_name=name,
                load_if_exists=load,
                directions=[
                    "maximize" if goal.maximize else "minimize" for goal in self._objectives.goals
                ],
            )
        except optuna.exceptions.DuplicatedStudyError:
            raise UserError(
                f"another search just began study {name!r} in this storage; "
                "choose another run directory, whose name is the study's"
            ) from None
        if not known:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                study.set_metric_names(list(self._objectives.names))
            study.set_user_attr(_FACTS, json.loads(json.dumps(facts)))
            study.set_user_attr(_IDENTITY, json.loads(json.dumps(identity)))
        self._distributions: dict[str, optuna.distributions.BaseDistribution] = {
            decision.name: optuna.distributions.CategoricalDistribution(
                [_plain(option) for option in decision.options]
            )
            for decision in self._space.decisions
        }
        self._study_id = storage.get_study_id_from_name(name)
        self._mark = secrets.token_hex(8)
        storage.set_study_user_attr(self._study_id, _WRITER, self._mark)  # before the trials are read
        self._ids = self._read_ids()

    def _is_empty(self) -> bool:
        """Tell if the study holds no trial, as one whose creation was interrupted."""
        return not self._storage.get_n_trials(self._storage.get_study_id_from_name(self._name))

    def _read_ids(self) -> dict[int, int]:
        """Return the storage's id of each trial, by number.

        Raises:
            UserError: there are two trials of one number.
        """
        ids: dict[int, int] = {}
        for stored in _stored(self._storage, self._study_id):
            number = stored.user_attrs["number"]
            if number in ids:
                raise UserError(
                    f"study {self._name!r} holds trial {number} twice: two searches wrote it at the same "
                    "time; restore it from a copy or start in another run directory"
                )
            ids[number] = self._storage.get_trial_id_from_study_id_trial_number(
                self._study_id, stored.number
            )
        return ids

    def begin(self, proposal: Proposal, costs: Mapping[str, float]) -> None:
        """Record that a proposal is being evaluated; one that is resumed is recorded already.

        Raises:
            UserError: another search has taken over the study; the storage cannot be used.
        """
        with self._place.errors():
            self._outage.bridge(lambda again: self._begin(proposal, costs, again))

    def _begin(self, proposal: Proposal, costs: Mapping[str, float], again: bool) -> None:
        import optuna

        self._check_writer()
        if again:  # the interrupted try may have stored it
            self._ids = self._read_ids()
        if proposal.number in self._ids:
            return
        attributes = {
            "number": proposal.number,
            "choices": list(proposal.choices),
            "key": proposal.architecture.key,
            "model": proposal.architecture.to_content(),
            "seed": proposal.seed,
            "epochs": proposal.epochs,
            "parent": proposal.parent,
            **costs,
        }
        options = self._space.options(proposal.choices)
        template = optuna.trial.create_trial(
            state=optuna.trial.TrialState.RUNNING,
            params={name: _plain(option) for name, option in options.items()},
            distributions=self._distributions,
            user_attrs=attributes,
        )
        self._ids[proposal.number] = self._storage.create_new_trial(self._study_id, template)

    def finish(self, trial: Trial) -> None:
        """Record the outcome of a proposal that began.

        Raises:
            UserError: another search has taken over the study; the storage cannot be used.
        """
        with self._place.errors():
            self._outage.bridge(lambda again: self._finish(trial, again))

    def _finish(self, trial: Trial, again: bool) -> None:
        import optuna

        trial_id = self._ids[trial.number]
        states = optuna.trial.TrialState
        self._check_writer()
        if again and self._storage.get_trial(trial_id).state.is_finished():  # by the interrupted try
            return
        if trial.execution is not None:
            execution = asdict(trial.execution)
            self._storage.set_trial_user_attr(trial_id, _EXECUTION, execution)
        if trial.metrics is None:
            self._storage.set_trial_user_attr(trial_id, "error", trial.error or "unknown")
            self._storage.set_trial_state_values(trial_id, states.FAIL)
            return
        self._storage.set_trial_user_attr(trial_id, "metrics", dict(trial.metrics))
        values = self._objectives.values(trial.metrics)
        self._storage.set_trial_state_values(trial_id, states.COMPLETE, values)

    def trials(self) -> list[Trial]:
        """Return the finished trials, by number."""
        return self._read().trials

    def unfinished(self) -> list[Proposal]:
        """Return the proposals that began and never ended, by number."""
        return self._read().unfinished

    def discard(self) -> None:
        """Delete the study if it was created here; for one without a trial."""
        if self._new:
            with self._place.errors():
                self._storage.delete_study(self._study_id)

    def _read(self) -> StudyRecord:
        with self._place.errors():
            return self._outage.bridge(lambda _: read_study(self._storage, self._name))

    def _check_writer(self) -> None:
        """Refuse to write where another search began to write after this one.

        Raises:
            StudyTaken: there is another one.
        """
        if self._storage.get_study_user_attrs(self._study_id).get(_WRITER) != self._mark:
            raise StudyTaken(self._name)


def read_study(storage: BaseStorage, name: str) -> StudyRecord:
    """Read a study.

    Raises:
        UserError: there is none of that name, or a trial is damaged.
    """
    import optuna

    if name not in study_names(storage):
        raise UserError(f"the storage holds no study {name!r}; it was moved, renamed or deleted")
    study_id = storage.get_study_id_from_name(name)
    states = optuna.trial.TrialState
    architectures: dict[str, Architecture] = {}
    trials: list[Trial] = []
    unfinished: list[Proposal] = []
    options = {}
    for stored in _stored(storage, study_id):
        proposal = _proposal(stored, name, architectures)
        options[proposal.number] = stored.params
        if stored.state in (states.RUNNING, states.WAITING):
            unfinished.append(proposal)
            continue
        if stored.state != states.COMPLETE:
            trial = proposal.fail(str(stored.user_attrs.get("error", "unknown")))
        elif _are_numbers(metrics := stored.user_attrs.get("metrics")):
            problem = not_finite(metrics)
            trial = proposal.complete(metrics) if problem is None else proposal.fail(problem)
        else:
            raise UserError(
                f"trial {proposal.number} of study {name!r} has lost its metrics; restore the study from "
                "a copy or start in another run directory"
            )
        trials.append(replace(trial, execution=_execution(stored.user_attrs.get(_EXECUTION))))
    attributes = storage.get_study_user_attrs(study_id)
    return StudyRecord(
        trials=sorted(trials, key=lambda trial: trial.number),
        unfinished=sorted(unfinished, key=lambda proposal: proposal.number),
        options=options,
        identity=_mapping(attributes, _IDENTITY, name),
        facts=_mapping(attributes, _FACTS, name),
    )


def _execution(content: Any) -> Execution | None:
    """Return where and when a trial ran; ``None``: unknown, as in studies of older versions."""
    if not isinstance(content, dict):
        return None
    worker, started, ended = (content.get(name) for name in ("worker", "started", "ended"))
    if not (isinstance(worker, str) and isinstance(started, float) and isinstance(ended, float)):
        return None
    return Execution(worker, started, ended) if started <= ended else None


def _are_numbers(metrics: Any) -> TypeGuard[dict[str, float]]:
    """Return whether stored metrics are numbers by name, NaN and infinity included."""
    return isinstance(metrics, dict) and all(
        isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**63)
        for value in metrics.values()
    )


def _mapping(attributes: Mapping[str, Any], name: str, study: str) -> Mapping[str, Any]:
    content = attributes.get(name, {})
    return mapping(content, f"study {study!r} is damaged: {name}", "a mapping")


def _stored(storage: BaseStorage, study_id: int) -> list[FrozenTrial]:
    """Return Minnow's trials; a person may have added others by hand."""
    trials = storage.get_all_trials(study_id, deepcopy=False)
    return [trial for trial in trials if "choices" in trial.user_attrs]


def _proposal(stored: FrozenTrial, study: str, architectures: dict[str, Architecture]) -> Proposal:
    """Return a stored proposal; networks that occur several times are decoded once."""
    attributes = stored.user_attrs
    try:
        key = attributes["key"]
        if key not in architectures:
            architectures[key] = Architecture.from_content(attributes["model"], Path(study))
        return Proposal(
            number=int(attributes["number"]),
            choices=tuple(map(int, attributes["choices"])),
            architecture=architectures[key],
            seed=int(attributes["seed"]),
            epochs=attributes["epochs"],
            parent=attributes["parent"],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"trial {attributes.get('number')} of study {study!r} is damaged "
            f"({type(error).__name__}: {one_line(error)}); restore the study from a copy"
        ) from None


def open_study(journal: Path, url: str | None, name: str) -> StudyRecord:
    """Read a study that another process may be writing; nothing is changed or created.

    A journal that holds a single study is read whatever its name, since the run directory may have been
    renamed.

    Raises:
        UserError: the journal is missing or damaged, the database cannot be opened, or it holds no study
            of that name.
    """
    storage = open_to_read(journal, url)
    with Place(journal, url).errors(reading=True):
        names = study_names(storage)
        return read_study(storage, names[0] if url is None and len(names) == 1 else name)


def _check_identity(storage: BaseStorage, name: str, identity: Mapping[str, Any]) -> bool:
    """Tell if the study has its identity; a kill may have left it without one, and without trials.

    Raises:
        UserError: it has another one; names the first setting that differs.
    """
    study_id = storage.get_study_id_from_name(name)
    stored = storage.get_study_user_attrs(study_id).get(_IDENTITY, {})
    if not stored and not storage.get_n_trials(study_id):
        return False
    difference = first_difference(stored, json.loads(json.dumps(identity)))
    if difference is not None:
        raise UserError(
            f"cannot resume study {name!r} with another {difference.setting}: it has {difference.has}, "
            f"asked for {difference.asked}; leave it unchanged or choose another run directory"
        )
    return True


def _plain(option: Any) -> Any:
    return option if option is None or isinstance(option, bool | int | float | str) else str(option)
