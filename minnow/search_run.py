"""A search, from its settings to a run directory that ``distill`` takes."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nas.executors
from core.config import SearchConfig
from core.config_io import to_yaml
from core.errors import UserError
from core.files import write_text
from core.locks import locked
from deploy.targets import DEFAULT, profile_of
from distill.inherited_weights import InheritedWeights
from distill.student_bundle import package_versions
from distill.supernet import SUPERNET_FOLDER
from minnow import run_creation
from minnow.base_network import search_base
from minnow.evaluators import Checkpoints, SearchWork
from minnow.format import counted
from minnow.listener import TRIAL, Listener, SearchPlan
from minnow.report.run_page import leave_report
from minnow.run_directory import JOURNAL, PREDICTED, Run, check_complete, reported_trials
from minnow.search_notes import Stopwatch, note_plan, note_spending, warn_of_results
from minnow.search_setup import SearchParts, prepare_search
from minnow.starting_weights import search_weights
from minnow.teacher import make_teacher
from minnow.tracking import tracked
from nas.executors import Resources
from nas.objectives import Objectives
from nas.schedulers.asha import SuccessiveHalving
from nas.search import run_study
from nas.spaces.base import SearchSpace
from nas.storage import Place, opened_study, study_names
from nas.storage_url import without_password
from nas.study import Store, read_study
from nas.trial import Proposal, Trial
from teachers.ensemble import PreparedTeacher
from teachers.finetune import Teacher
from training.budget import supernet_recipe
from training.bundle_files import CONFIG_FILE
from training.data.images import ImageSet

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

_ENDINGS = {"timeout": "the time is over", "exhausted": "the space has no further network"}


def run_search(config: SearchConfig, run: Path, *, resume: bool = False, listener: Listener) -> Run:
    """Search, or resume a search, and leave a run directory that ``distill`` takes.

    Args:
        config: settings of the search.
        run: its run directory.
        resume: continue the study in ``run``.
        listener: receives progress, decisions and warnings.

    Raises:
        UserError: a setting is wrong, or the study in ``run`` has other settings.
    """
    with run_creation.unclaimed_on_error(run), tracked(config.trackers, listener) as listener:
        return _run_search(config, run, resume, listener)


def _run_search(config: SearchConfig, run: Path, resume: bool, listener: Listener) -> Run:
    run_creation.check_latest()
    if not resume:
        run_creation.check_new(run)
    parts = prepare_search(config, listener)
    before, taken = run_creation.make_run(run), Stopwatch()
    name = config.study or run.resolve().name  # its name when it began, also if it was renamed since
    with locked(run), contextlib.ExitStack() as held:
        with contextlib.nullcontext() if resume else run_creation.undone_on_error(run, before):
            storage = held.enter_context(opened_study(Place(run / JOURNAL, config.storage), name))
            listener.started("search", run, _storable(parts.config))
            parts, store, known, teacher, base = _open_study(parts, storage, name, run, resume, listener)
        if teacher is not None:
            taken.lap("teacher")
        run_creation.mark_latest(run, listener.warn)
        note_plan(parts, run, len(known), listener)
        with contextlib.ExitStack() as stack:
            if not resume:  # an error before the first trial ends leaves nothing behind but a supernet

                def nothing() -> bool:
                    return not (store.trials() or (run / SUPERNET_FOLDER).exists())

                stack.enter_context(run_creation.undone_on_error(run, before, nothing, store.discard))
            weights = search_weights(
                parts.config,
                parts.space,
                parts.data,
                teacher,
                base,
                run,
                resume=resume,
                listener=listener,
            )
            if weights is not None:
                taken.lap("supernet" if parts.config.evaluator == "supernet" else "channel importance")
            reason = _run_trials(parts, store, known, teacher, weights, run, listener)
            _leave_results(run, config.storage, listener, ended=True)
    result = Run(run, config.storage)
    taken.lap(counted(len(result.trials) - len(known), "trial"))
    note_spending(taken.seconds, config.budget, listener)
    if reason != "trials":
        listener.note(f"stopped after {counted(len(result.trials), 'trial')}: {_ENDINGS[reason]}")
    warn_of_results(parts, result.trials, teacher, listener)
    return result


def _open_study(
    parts: SearchParts, storage: BaseStorage, name: str, run: Path, resume: bool, listener: Listener
) -> tuple[SearchParts, Store, list[Trial], PreparedTeacher | None, Teacher | None]:
    """Open the study and prepare teacher and base, which are a part of the study's identity.

    Raises:
        UserError: there is another study, none to resume, or one with other settings.
    """
    config, data = parts.config, parts.data
    place = Place(run / JOURNAL, config.storage)
    with place.errors():
        _check_study(config, storage, name, run, resume=resume)
    if not resume:  # from here on there is something to resume
        _write_settings(config, run)
    teacher = None
    if config.teacher is not None:
        views = config.train.shown_views
        if config.evaluator == "supernet":
            recipe = supernet_recipe(config, len(data.learned))
            views = max(views, recipe.shown_views)
        teacher, data = make_teacher(
            config.teacher, config.loss, data, config.augment, views, listener=listener
        )
    base = search_base(config, teacher, data.labelled, listener)
    identity = _identity(config, parts.space, data, teacher, base)
    images = {part: len(indices) for part, indices in data.splits.items()}
    facts = {"classes": data.classes, "images": images, "versions": package_versions()}
    if (profile := profile_of(config.target)) is not None:
        facts[PREDICTED] = f"predicted from {profile.source}, with a margin of {profile.margin:.1%}"
    store = Store(
        storage,
        name,
        parts.space,
        parts.objectives,
        identity,
        facts=facts,
        new=not resume,
        place=place,
        warn=listener.warn,
    )
    known = store.trials()
    _check_measured(known, parts.objectives, run)
    config = config.model_copy(update={"study": name})  # there is a study of that name from here on
    _write_settings(config, run)
    return replace(parts, config=config, data=data), store, known, teacher, base


def _write_settings(config: SearchConfig, run: Path) -> None:
    """Write ``config.yaml``."""
    write_text(run / CONFIG_FILE, to_yaml(_storable(config)))


def _storable(config: SearchConfig) -> SearchConfig:
    """Return the settings without the password of the storage."""
    if config.storage is None:
        return config
    return config.model_copy(update={"storage": without_password(config.storage)})


def _check_study(
    config: SearchConfig, storage: BaseStorage, name: str, run: Path, *, resume: bool
) -> None:
    """Check that a new search finds no study of its name, and a resumed one all that it had.

    Raises:
        UserError: says what is there or lost, and what to do.
    """
    there = name in study_names(storage)
    if not resume:
        if there:
            raise UserError(
                f"the storage holds a study {name!r} already; choose another run directory, whose name "
                "is the study's"
            )
        return
    begun = config.study is not None
    study = read_study(storage, name) if there else None
    if begun and (study is None or not study.identity):
        raise UserError(
            f"{run} has begun, but its storage ({Place(run / JOURNAL, config.storage)}) holds no study "
            f"{name!r}: it was moved, emptied or deleted; restore it, or start in another run directory "
            "(a relative storage URL counts from where the search began)"
        )
    if study is not None:
        check_complete(run, reported_trials(run), study)


def _identity(
    config: SearchConfig,
    space: SearchSpace,
    data: ImageSet,
    teacher: PreparedTeacher | None,
    base: Teacher | None,
) -> dict[str, Any]:
    """Return what the trials of one study share; limits, strategy and seed may change."""
    decisions = [[decision.name, list(decision.options)] for decision in space.decisions]
    digest = hashlib.sha256(json.dumps(decisions, default=str).encode()).hexdigest()[:12]
    identity = {
        "data": f"{data.name} ({data.digest[:12]})",  # first: the default resolutions depend on it
        "space": {"name": config.space.name, "resolutions": space.resolutions, "decisions": digest},
        "objectives": list(config.objectives),
        "train": config.train.model_dump(mode="json"),
        "augment": config.augment.model_dump(mode="json"),
        "teacher": None
        if teacher is None
        else f"{teacher.ensemble.name} ({teacher.ensemble.digest[:12]})",
        "loss": None if teacher is None else config.loss.model_dump(mode="json"),
        "balance": config.balance.model_dump(mode="json"),
        "evaluator": config.evaluator,
        "supernet": config.supernet.model_dump(mode="json", exclude={"sizes"})
        if config.evaluator == "supernet"
        else None,
        "importance": config.space.importance if config.evaluator != "train" else None,
        "fidelity": config.fidelity,
        "score": config.score.model_dump(mode="json"),
        **({} if config.target == DEFAULT else {"target": _target(config.target)}),
    }
    if base is not None and config.base is not None:  # else it is the teacher
        identity["base"] = f"{base.name} ({base.digest[:12]})"
    return identity


def _target(text: str) -> str:
    """Return a target by name, or a profile by its content."""
    profile = profile_of(text)
    return text if profile is None else f"{profile.path.name} ({profile.digest[:12]})"


def _check_measured(known: Sequence[Trial], objectives: Objectives, run: Path) -> None:
    """Refuse an objective or limit that earlier trials did not measure.

    Raises:
        UserError: names the metric and a trial without it.
    """
    for name in objectives.named:
        lacking = [t.number for t in known if t.metrics is not None and name not in t.metrics]
        if lacking:
            raise UserError(
                f"{name} was not measured in {len(lacking)} of the {len(known)} trials of {run}, as in "
                f"trial {lacking[0]}; leave it out, or choose another run directory"
            )


def _run_trials(
    parts: SearchParts,
    store: Store,
    known: list[Trial],
    teacher: PreparedTeacher | None,
    weights: InheritedWeights | None,
    run: Path,
    listener: Listener,
) -> str:
    """Run the search loop; return why it ended."""
    config, halving = parts.config, parts.halving
    share = _full_training if halving is None else halving.share
    listener.search_started(
        SearchPlan(parts.objectives, tuple(known), config.trials, share, config.timeout)
    )
    checkpoints = None if halving is None else Checkpoints(run / "checkpoints", listener.warn)
    outputs = None if teacher is None else teacher.outputs
    report = partial(listener.training, TRIAL)
    work = SearchWork(parts.data, config, outputs, weights, checkpoints, report)
    resources = Resources(config.workers, config.trial_cpus, config.trial_gpus, config.trial_timeout)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_results_left_on_error(run, config.storage, listener))
        made = nas.executors.make(config.executor, work, resources, listener)
        executor = stack.enter_context(made)
        return run_study(
            parts.scheduler,
            executor,
            store,
            trials=config.trials,
            timeout=config.timeout,
            listener=_Trials(listener, checkpoints, halving, config.trials),
        )


def _full_training(proposal: Proposal) -> int:
    """Return the part of a full training that a proposal costs: all of it."""
    return 1


@contextlib.contextmanager
def _results_left_on_error(run: Path, storage: str | None, listener: Listener) -> Iterator[None]:
    """Leave results at an interruption, as far as the study can be read."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(UserError):  # the storage may be away
            _leave_results(run, storage, listener, ended=False)
        raise


def _leave_results(path: Path, storage: str | None, listener: Listener, *, ended: bool) -> None:
    """Export the trials and write the report.

    Args:
        path: the run directory.
        storage: of its study.
        listener: receives the finished search.
        ended: whether the search ended by itself.
    """
    run = Run(path, storage)
    if run.trials:
        run.export(ended=ended)
        leave_report(path, listener, storage)
        listener.search_ended(run)


class _Trials:
    """The loop's events for the listener; deletes checkpoints that nothing can continue."""

    def __init__(
        self,
        listener: Listener,
        checkpoints: Checkpoints | None,
        halving: SuccessiveHalving | None,
        trials: int,
    ) -> None:
        self._listener, self._checkpoints = listener, checkpoints
        self._halving, self._budget = halving, trials

    def trial_started(self, proposal: Proposal) -> None:
        self._listener.trial_started(proposal)

    def trial_finished(self, trial: Trial) -> None:
        if self._checkpoints is not None and self._halving is not None:
            self._checkpoints.keep(self._halving.continuable(self._budget))
        self._listener.trial_finished(trial)
