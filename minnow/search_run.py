"""A search, from its settings to a run directory that ``distill`` takes."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from torch import nn

import nas.spaces
import nas.strategies
from core.config import SearchConfig
from core.config_io import to_yaml
from core.errors import UserError
from core.files import write_text
from core.locks import locked
from deploy.latency_measurement import runtime_name
from distill.inherited_weights import InheritedWeights
from distill.prepared_teacher import PreparedTeacher
from distill.student_bundle import package_versions
from distill.student_loss import StudentLoss
from minnow import places, runs
from minnow.data_set import open_data
from minnow.evaluators import (
    Checkpoints,
    InheritEvaluator,
    InheritEvaluatorFactory,
    TrainEvaluator,
    TrainEvaluatorFactory,
)
from minnow.listener import TRIAL, Listener, SearchPlan
from minnow.report.run_page import leave_report
from minnow.search_setup import make_space, make_strategy, resolve_evaluator, study_identity
from minnow.starting_weights import search_weights, supernet_recipe
from minnow.teacher import check_balance, make_teacher, weaker_teacher
from nas.executors import ProcessExecutor, SerialExecutor
from nas.objectives import Objectives
from nas.schedulers.asha import Halving
from nas.schedulers.confirmation import Confirmed
from nas.schedulers.pace import Pace
from nas.search import Executor, search
from nas.significance import doubt
from nas.spaces.base import SearchSpace
from nas.study import Store, open_storage, study_names
from nas.trial import Proposal, Trial
from training.budget import HALVED_TRIAL, decided
from training.budget import TRIAL as TRIAL_LENGTH
from training.data.images import ImageSet
from training.device import pick_device
from training.optimizer import make_optimizer

_ENDINGS = {"timeout": "the time is over", "exhausted": "the space has no further network"}
_WEIGHTS = {"inherit": "teacher", "supernet": "supernet"}  # an evaluator's source of weights


@dataclass(frozen=True)
class _Search:
    """The parts of a search that its settings and its data decide."""

    config: SearchConfig
    objectives: Objectives
    data: ImageSet
    space: SearchSpace
    halving: Halving | None
    scheduler: Confirmed


def run_search(
    config: SearchConfig, run: Path, *, resume: bool = False, listener: Listener
) -> runs.Summary:
    """Search, or resume a search, and leave a run directory that ``distill`` takes.

    Args:
        config: settings of the search.
        run: its run directory.
        resume: continue the study in ``run``.
        listener: receives progress, decisions and warnings.

    Raises:
        UserError: a setting is wrong, or the study in ``run`` has other settings.
    """
    places.check_latest()
    if not resume:
        places.check_new(run)
    parts = _prepare(config, listener)
    before = places.make_run(run)
    with locked(run):
        with contextlib.nullcontext() if resume else places.taken_back(run, before):
            parts, store, teacher = _open_study(parts, run, resume, listener)
        known = store.trials()
        places.mark_latest(run)
        _announce(parts, run, len(known), listener)
        with contextlib.ExitStack() as stack:
            if not resume:  # an error before the first trial ends leaves nothing behind
                stack.enter_context(
                    places.taken_back(run, before, lambda: not store.trials(), store.discard)
                )
            weights = search_weights(parts.config, parts.space, parts.data, teacher, run, listener)
            reason = _run_trials(parts, store, known, teacher, weights, run, listener)
        trials = store.trials()
    if reason != "trials":
        listener.note(f"stopped after {len(trials)} trials: {_ENDINGS[reason]}")
    _warn_of_results(parts, trials, teacher, listener)
    return runs.read_summary(run)


def _prepare(config: SearchConfig, listener: Listener) -> _Search:
    """Make everything that needs no run directory.

    Raises:
        UserError: a setting is wrong, whatever the study.
    """
    space_class = nas.spaces.load(config.space.name)
    strategy_class = nas.strategies.load(config.strategy.name)
    config = resolve_evaluator(config, space_class)
    objectives = Objectives.parse(config.objectives, config.limits)
    _check(config, objectives, listener)
    data = open_data(config.data, listener)
    asha = config.fidelity == "asha"
    if config.evaluator == "train" or config.train.epochs:
        usual = HALVED_TRIAL if asha else TRIAL_LENGTH
        recipe = decided(config.train, len(data.splits["train"]), usual)
        config = config.model_copy(update={"train": recipe})
    space = make_space(space_class, config, data.size)
    strategy = make_strategy(
        strategy_class, config.strategy, space, objectives, config.seed, data.num_classes
    )
    halving = Halving(strategy, epochs=config.train.epochs) if asha else None
    scheduler = Confirmed(
        halving or strategy,
        trials=config.trials,
        confirm=config.confirmations,
        epochs=config.train.epochs if asha else None,
        pace=Pace(config.timeout),
    )
    return _Search(config, objectives, data, space, halving, scheduler)


def _check(config: SearchConfig, objectives: Objectives, listener: Listener) -> None:
    """Refuse settings that are wrong whatever the data.

    Raises:
        UserError: the first of them.
    """
    check_balance(config)
    usual = SearchConfig()
    if config.score != usual.score and not objectives.timed:
        listener.warn("score is the reference of the metric score, which no objective or limit names")
    if config.loss != usual.loss and config.teacher is None:
        listener.warn("the settings of the loss have no effect without a teacher")
    if config.supernet != usual.supernet and config.evaluator != "supernet":
        listener.warn(f"the settings of the supernet have no effect: evaluator {config.evaluator}")
    if config.balance.mode == "post-hoc":
        raise UserError(
            "balance.mode post-hoc would be tuned on the validation images that choose the network; "
            "give it to distill or train, and sampler or logit-adjust to a search"
        )
    StudentLoss(config.loss)  # a wrong name is wrong without a teacher, too
    make_optimizer(nn.Linear(1, 1), config.train)


def _open_study(
    parts: _Search, run: Path, resume: bool, listener: Listener
) -> tuple[_Search, Store, PreparedTeacher | None]:
    """Open the study and prepare the teacher, which is a part of the study's identity.

    Raises:
        UserError: there is another study, none to resume, or one with other settings.
    """
    config, data = parts.config, parts.data
    storage = open_storage(run / "study.journal", config.storage)
    name = _study_name(config, study_names(storage), run, resume=resume)
    config = config.model_copy(update={"study": name})
    if not resume:  # from here on there is something to resume
        write_text(run / runs.CONFIG, to_yaml(config))
    teacher = None
    if config.teacher is not None:
        views = min(config.train.views, config.train.epochs)
        if config.evaluator == "supernet":
            recipe = supernet_recipe(config, len(data.splits["train"]))
            views = max(views, min(recipe.views, recipe.epochs))
        teacher = make_teacher(
            config.teacher, config.loss, data, config.augment, views, listener=listener
        )
    identity = study_identity(config, parts.space, data, teacher)
    store = Store(storage, name, parts.space, parts.objectives, identity, new=not resume)
    _check_measured(store.trials(), parts.objectives, run)
    if resume:  # only once the study has accepted them
        write_text(run / runs.CONFIG, to_yaml(config))
    return replace(parts, config=config), store, teacher


def _study_name(config: SearchConfig, existing: list[str], run: Path, *, resume: bool) -> str:
    """Return the name of the study: the run's name when it began, also if the run was renamed since.

    Raises:
        UserError: a new search finds a study of that name, or a resumed one does not find its trials.
    """
    name = config.study or run.resolve().name
    if name in existing and not resume:
        raise UserError(
            f"the storage holds a study {name!r} already; choose another run directory, whose name is "
            "the study's"
        )
    if name not in existing and resume and runs.trial_count(run):
        raise UserError(
            f"{run} has trials, but the storage holds no study {name!r}: it was moved or deleted; "
            "restore it (a relative storage URL counts from where the search began)"
        )
    return name


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


def _announce(parts: _Search, run: Path, known: int, listener: Listener) -> None:
    """Note what the search is about to do."""
    config, space, halving = parts.config, parts.space, parts.halving
    sides = ", ".join(map(str, space.resolutions))
    confirm = config.confirmations
    ending = f", the last {confirm} to confirm the best" if confirm else ""
    if confirm and config.timeout is not None:
        ending += " (earlier where the time would be over)"
    lengths = f"{config.train.epochs} epochs"
    if config.evaluator != "train":
        training = f" and {lengths}" if config.train.epochs else ""
        lengths = f"the {_WEIGHTS[config.evaluator or 'supernet']}'s weights{training}"
    if halving is not None:
        lengths = f"{lengths}, spent in rungs of {', '.join(map(str, halving.rungs))}"
    listener.note(
        f"search: {config.strategy.name} in {config.space.name} ({space.size:.2g} points, {sides} px) "
        f"for {parts.objectives}; {f'{known} trials known, ' if known else ''}{config.trials} trials "
        f"{'of' if config.evaluator == 'train' else 'with'} {lengths}{ending} on "
        f"{pick_device().type}; results in {run}"
    )
    if parts.objectives.timed:
        images, reference = len(parts.data.splits["val"]), config.score
        listener.note(
            f"total_seconds: the {images:,} validation images one by one on {runtime_name()}, from "
            f"stored pixels to label (resizing, normalisation, network); score: total_seconds / "
            f"{reference.time:g} + sigmoid(20 * ({reference.f1:g} - f1)), less is better, a reference "
            f"for {images:,} images assumed (see the setting score)"
        )


def _run_trials(
    parts: _Search,
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
    evaluator: TrainEvaluator | InheritEvaluator
    factory: TrainEvaluatorFactory | InheritEvaluatorFactory
    if weights is None:
        evaluator = TrainEvaluator(parts.data, config, outputs, checkpoints, report)
        factory = TrainEvaluatorFactory(config, outputs, checkpoints)
    else:
        evaluator = InheritEvaluator(parts.data, config, weights, outputs, report)
        factory = InheritEvaluatorFactory(config, weights, outputs)
    with contextlib.ExitStack() as stack:
        stack.callback(_leave_results, parts, store, run, listener)
        executor: Executor = SerialExecutor(evaluator)
        if config.workers > 1:
            executor = stack.enter_context(ProcessExecutor(factory, config.workers))
        return search(
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


def _leave_results(parts: _Search, store: Store, run: Path, listener: Listener) -> None:
    """Export the trials and write the report, also after an interruption."""
    trials = store.trials()
    if not trials:
        return
    images = {part: len(indices) for part, indices in parts.data.splits.items()}
    runs.write_summary(
        run,
        trials,
        parts.objectives,
        parts.space,
        parts.data.classes,
        {"images": images, "versions": package_versions()},
    )
    leave_report(run, listener)


def _warn_of_results(
    parts: _Search, trials: Sequence[Trial], teacher: PreparedTeacher | None, listener: Listener
) -> None:
    """Warn of failed trials, of a choice that may be luck, and of a weak teacher."""
    failed = [trial for trial in trials if not trial.completed]
    if failed:
        listener.warn(
            f"{len(failed)} of {len(trials)} trials failed; trial {failed[0].number}: {failed[0].error}"
        )
    chosen = parts.objectives.best(trials)
    if chosen is None or chosen.metrics is None:
        listener.warn("no trial meets every limit; resume the search with more trials")
        return
    labels = parts.data.labels[parts.data.splits["val"]]
    counts = np.bincount(labels, minlength=parts.data.num_classes).tolist()
    if (reason := doubt(trials, parts.objectives, counts)) is not None:
        listener.warn(reason)
    if teacher is not None:
        weak = weaker_teacher(teacher.val.f1, chosen.metrics["f1"], len(labels), "the chosen trial")
        if weak is not None:
            listener.warn(weak)


class _Trials:
    """The loop's events for the listener; deletes checkpoints that nothing can continue."""

    def __init__(
        self, listener: Listener, checkpoints: Checkpoints | None, halving: Halving | None, trials: int
    ) -> None:
        self._listener, self._checkpoints = listener, checkpoints
        self._halving, self._budget = halving, trials

    def began(self, proposal: Proposal) -> None:
        self._listener.trial_started(proposal)

    def ended(self, trial: Trial) -> None:
        if self._checkpoints is not None and self._halving is not None:
            self._checkpoints.keep(self._halving.continuable(self._budget))
        self._listener.trial_finished(trial)
