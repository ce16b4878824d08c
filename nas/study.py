"""The study on disk: an Optuna storage that optuna-dashboard opens.

A trial is written twice: when it is proposed (state RUNNING, one operation) and when it ends. A process
killed in between loses nothing but the training in flight, which ``unfinished`` hands back.
"""

from __future__ import annotations

import fcntl
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from core.errors import UserError, one_line
from nas.identity import first_difference
from nas.objectives import Objectives
from nas.spaces.base import SearchSpace
from nas.trial import Proposal, Trial

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

_IDENTITY = "minnow:identity"


class Store:
    """One study.

    Args:
        storage: an Optuna storage, see :func:`open_storage`.
        name: of the study.
        space: decodes what was stored.
        objectives: become the study's directions.
        identity: what trials of one study must share (space, data, recipe ...), as plain data.
        new: whether it must not be there yet.

    Raises:
        UserError: the stored study has another identity, which names what differs; two searches wrote
            it at the same time; it should be new and is there.
    """

    def __init__(
        self,
        storage: BaseStorage,
        name: str,
        space: SearchSpace,
        objectives: Objectives,
        identity: Mapping[str, Any],
        *,
        new: bool = False,
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space, self._objectives, self._storage = space, objectives, storage
        known = not new and name in study_names(storage)
        self._new = not known
        if known:
            known = _check_identity(storage, name, identity)
        try:
            self._study = optuna.create_study(
                storage=storage,
                study_name=name,
                load_if_exists=not self._new,
                directions=["maximize" if goal.maximize else "minimize" for goal in objectives.goals],
            )
        except optuna.exceptions.DuplicatedStudyError:
            raise UserError(
                f"another search just began study {name!r} in this storage; choose another --out"
            ) from None
        if not known:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                self._study.set_metric_names(list(objectives.names))
            self._study.set_user_attr(_IDENTITY, json.loads(json.dumps(identity)))
        self._distributions: dict[str, optuna.distributions.BaseDistribution] = {
            decision.name: optuna.distributions.CategoricalDistribution(
                [_plain(option) for option in decision.options]
            )
            for decision in space.decisions
        }
        self._study_id = storage.get_study_id_from_name(name)
        self._ids: dict[int, int] = {}  # trial number -> the storage's id
        for trial in self._stored():
            number = trial.user_attrs["number"]
            if number in self._ids:
                raise UserError(
                    f"study {name!r} holds trial {number} twice: two searches wrote it at the same time; "
                    "restore it from a copy or start in another --out"
                )
            self._ids[number] = storage.get_trial_id_from_study_id_trial_number(
                self._study_id, trial.number
            )

    def begin(self, proposal: Proposal, costs: Mapping[str, float]) -> None:
        """Record that a proposal is being trained; a proposal taken up again is already there."""
        import optuna

        if proposal.number in self._ids:
            return
        attributes = {
            "number": proposal.number,
            "choices": list(proposal.choices),
            "key": proposal.architecture.key,
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
        """Record the outcome of a proposal that began."""
        import optuna

        trial_id = self._ids[trial.number]
        states = optuna.trial.TrialState
        if trial.metrics is None:
            self._storage.set_trial_user_attr(trial_id, "error", trial.error or "unknown")
            self._storage.set_trial_state_values(trial_id, states.FAIL)
            return
        self._storage.set_trial_user_attr(trial_id, "metrics", dict(trial.metrics))
        values = self._objectives.values(trial.metrics)
        self._storage.set_trial_state_values(trial_id, states.COMPLETE, values)

    def trials(self) -> list[Trial]:
        """Finished trials, by number."""
        import optuna

        running = (optuna.trial.TrialState.RUNNING, optuna.trial.TrialState.WAITING)
        found = []
        for stored in self._stored():
            if stored.state in running:
                continue
            proposal = self._proposal(stored)
            if stored.state == optuna.trial.TrialState.COMPLETE:
                if "metrics" not in stored.user_attrs:
                    raise UserError(
                        f"trial {proposal.number} of study {self._study.study_name!r} has lost its "
                        f"metrics; restore the study from a copy or start in another --out"
                    )
                found.append(proposal.complete(stored.user_attrs["metrics"]))
            else:
                found.append(proposal.fail(stored.user_attrs.get("error", "unknown")))
        return sorted(found, key=lambda trial: trial.number)

    def discard(self) -> None:
        """Delete the study, if it was made here; for one that never got anywhere."""
        if self._new:
            self._storage.delete_study(self._study_id)

    def unfinished(self) -> list[Proposal]:
        """Proposals that began and never ended, by number."""
        import optuna

        running = [t for t in self._stored() if t.state == optuna.trial.TrialState.RUNNING]
        return sorted((self._proposal(stored) for stored in running), key=lambda p: p.number)

    def _stored(self) -> list[FrozenTrial]:
        trials = self._study.get_trials(deepcopy=False)
        return [trial for trial in trials if "choices" in trial.user_attrs]

    def _proposal(self, stored: FrozenTrial) -> Proposal:
        attributes = stored.user_attrs
        choices = self._space.validate(attributes["choices"])
        return Proposal(
            number=attributes["number"],
            choices=choices,
            architecture=self._space.decode(choices),
            seed=attributes["seed"],
            epochs=attributes["epochs"],
            parent=attributes["parent"],
        )


def open_storage(journal: Path, url: str | None) -> BaseStorage:
    """The journal file, or the database at ``url``.

    A journal whose last line was cut off by a kill is repaired; call it under :func:`core.locks.locked`.

    Raises:
        UserError: the database cannot be opened, or the journal is damaged.
    """
    import optuna
    from optuna.storages.journal import JournalFileBackend

    if url is not None:
        try:
            return optuna.storages.get_storage(url)
        except Exception as error:  # whatever the database driver raises
            reason = one_line(error)[:200]
            raise UserError(f"--storage {url!r} cannot be opened: {reason}") from error
    _repair(journal)
    try:
        return optuna.storages.JournalStorage(JournalFileBackend(str(journal), _lock_of(journal)))
    except (ValueError, LookupError, TypeError) as error:  # Optuna's own words for a strange line
        reason = f"{type(error).__name__}: {error}"
        raise UserError(
            f"{journal} is damaged ({reason}); restore it from a copy or start in another --out"
        ) from None


def study_names(storage: BaseStorage) -> list[str]:
    """Of the studies that the storage holds."""
    return [study.study_name for study in storage.get_all_studies()]


def _lock_of(journal: Path) -> Any:
    """A journal lock that a killed process cannot leave behind, unlike Optuna's own."""
    from optuna.storages.journal import JournalFileOpenLock

    class KernelLock(JournalFileOpenLock):
        _file: IO[str] | None = None

        def acquire(self) -> bool:
            # not "*.lock": Optuna's own lock, as its dashboard takes it, waits where that file exists
            self._file = Path(f"{journal}.flock").open("a")  # noqa: SIM115  held until release
            fcntl.flock(self._file, fcntl.LOCK_EX)
            return True

        def release(self) -> None:
            if self._file is not None:
                self._file.close()
                self._file = None

    return KernelLock(str(journal))


def _repair(journal: Path) -> None:
    """Cut off a last line that a kill or a power cut left unfinished."""
    if not journal.exists():
        return
    with journal.open("rb+") as file:
        content = file.read()
        whole = content.rfind(b"\n") + 1
        last = content.rfind(b"\n", 0, max(whole - 1, 0)) + 1
        if not _is_json(content[last:whole]):
            whole = last
        if whole != len(content):
            file.truncate(whole)
            file.flush()
            os.fsync(file.fileno())


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:  # a decoding error is one, too
        return False
    return True


def _check_identity(storage: BaseStorage, name: str, identity: Mapping[str, Any]) -> bool:
    """Whether the study has its identity; a kill may have left it without one, and without trials."""
    study_id = storage.get_study_id_from_name(name)
    stored = storage.get_study_user_attrs(study_id).get(_IDENTITY, {})
    if not stored and not storage.get_n_trials(study_id):
        return False
    found = first_difference(stored, json.loads(json.dumps(identity)))
    if found is not None:
        raise UserError(
            f"cannot resume study {name!r} with another {found.setting}: it has {found.has}, "
            f"asked for {found.asked}; leave it unchanged or choose another --out"
        )
    return True


def _plain(option: Any) -> Any:
    return option if option is None or isinstance(option, bool | int | float | str) else str(option)
