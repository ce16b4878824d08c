"""``search``: find a network."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
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
from distill.outcome import versions
from distill.student_loss import Objective
from minnow import places, runs
from minnow.console import interruptible, say, warn
from minnow.data_run import open_data
from minnow.evaluators import (
    Checkpoints,
    InheritEvaluator,
    InheritEvaluatorFactory,
    TrainEvaluator,
    TrainEvaluatorFactory,
)
from minnow.inheriting import supernet_recipe, whole_network, with_evaluator
from minnow.progress import SearchDisplay, whole
from minnow.report.run_page import leave_report
from minnow.search_summary import check_timed, plan, report, timing
from minnow.spaces import make_space
from minnow.study import identity_of, make_strategy
from minnow.teaching import check_balance, teach
from nas.executors import ProcessExecutor, SerialExecutor
from nas.objectives import Objectives
from nas.schedulers.asha import Halving
from nas.schedulers.confirmation import Confirmed
from nas.schedulers.pace import Pace
from nas.search import Evaluator, Executor, search
from nas.study import Store, open_storage, study_names
from nas.trial import Proposal, Trial
from training.budget import HALVED_TRIAL, TRIAL, decided
from training.optimizer import make_optimizer


def run_search(config: SearchConfig, out: Path, *, resume: bool) -> runs.Summary:
    """Search, and leave a run directory that ``distill`` can take.

    Args:
        config: everything.
        out: the run directory.
        resume: go on with the study in it.

    Raises:
        UserError: anything in ``config`` is wrong, or the study in ``out`` is another.
    """
    space_class = nas.spaces.load(config.space.name)
    strategy_class = nas.strategies.load(config.strategy.name)
    config = with_evaluator(config, space_class)
    objectives = Objectives.parse(config.objectives, config.limits)
    _check(config, objectives)
    places.check_latest()
    if not resume:
        places.check_new(out)
    data = open_data(config.data)
    halved = config.fidelity == "asha"
    images = len(data.splits["train"])
    if config.evaluator == "train" or config.train.epochs:
        train = decided(config.train, images, HALVED_TRIAL if halved else TRIAL)
        config = config.model_copy(update={"train": train})
    train = config.train
    space = make_space(space_class, config, data.size)
    strategy = make_strategy(strategy_class, config.strategy, space, objectives, config.seed, data)
    halving = Halving(strategy, epochs=train.epochs) if halved else None
    full = train.epochs if halved else None
    asker = Confirmed(
        halving or strategy,
        trials=config.trials,
        confirm=config.confirmations,
        epochs=full,
        pace=Pace(config.timeout),
    )
    made = places.make_run(out)
    with interruptible("search", "--resume", "--out", out), locked(out):
        with contextlib.nullcontext() if resume else places.taken_back(out, made):
            storage = open_storage(out / "study.journal", config.storage)
            name = _study_of(config, study_names(storage), out, resume=resume)
            config = config.model_copy(update={"study": name})
            if not resume:  # from here on there is something to resume
                write_text(out / runs.CONFIG, to_yaml(config))
            taught = None
            if config.teacher is not None:
                views = min(train.views, train.epochs)
                if config.evaluator == "supernet":
                    recipe = supernet_recipe(config, images)
                    views = max(views, min(recipe.views, recipe.epochs))
                taught = teach(config.teacher, config.loss, data, config.augment, views)
            identity = identity_of(config, space, data, taught)
            store = Store(storage, name, space, objectives, identity, new=not resume)
            known = store.trials()
            check_timed(known, objectives, out)
        if resume:  # only once the study has taken them
            write_text(out / runs.CONFIG, to_yaml(config))
        places.mark_latest(out)
        say(plan(config, space, objectives, out, len(known), halving))
        if objectives.timed:
            say(timing(config, len(data.splits["val"])))
        inheritance = whole_network(config, space, data, taught, out)
        share = whole if halving is None else halving.share
        display = SearchDisplay(objectives, known, config.trials, share, config.timeout)
        checkpoints = None if halving is None else Checkpoints(out / "checkpoints", warn)
        write = partial(
            runs.write_summary,
            out,
            objectives=objectives,
            space=space,
            classes=data.classes,
            made={"images": {part: len(of) for part, of in data.splits.items()}, "versions": versions()},
        )
        keeper = _Keeper(display, known, write)
        if halving is not None and checkpoints is not None:
            keeper.tidy = lambda: checkpoints.keep(halving.continuable(config.trials))
        outputs = None if taught is None else taught.outputs
        with contextlib.ExitStack() as stack:
            if not resume:
                stack.enter_context(
                    places.taken_back(out, made, lambda: not keeper.trials, store.discard)
                )
            stack.callback(lambda: leave_report(out) if keeper.trials else None)
            evaluator: Evaluator
            factory: Callable[[], Evaluator]
            if inheritance is None:
                evaluator = TrainEvaluator(data, config, outputs, checkpoints, display.training)
                factory = TrainEvaluatorFactory(config, outputs, checkpoints)
            else:
                evaluator = InheritEvaluator(data, config, inheritance, outputs, display.training)
                factory = InheritEvaluatorFactory(config, inheritance, outputs)
            executor: Executor = SerialExecutor(evaluator)
            if config.workers > 1:
                executor = stack.enter_context(ProcessExecutor(factory, config.workers))
            stack.enter_context(display)
            reason = search(
                asker,
                executor,
                store,
                trials=config.trials,
                timeout=config.timeout,
                listener=keeper,
            )
            trials = store.trials()
            summary = write(trials)
    if reason != "trials":
        why = {"timeout": "the time is over", "exhausted": "the space has no further network"}
        say(f"stopped after {len(trials)} trials: {why[reason]}")
    validation = np.bincount(data.labels[data.splits["val"]], minlength=data.num_classes)
    report(trials, objectives, space, out, config, taught, validation.tolist())
    return summary


def _check(config: SearchConfig, objectives: Objectives) -> None:
    """What is wrong with the settings whatever the data.

    Raises:
        UserError: the first of it.
    """
    check_balance(config)
    usual = SearchConfig()
    if config.score != usual.score and not objectives.timed:
        warn("--score-reference is for the metric score, which no goal or limit names")
    if config.loss != usual.loss and config.teacher is None:
        warn("what is said about the loss is for a teacher, and there is none: give --teacher")
    if config.supernet != usual.supernet and config.evaluator != "supernet":
        warn(f"what is said about the supernet changes nothing: evaluator {config.evaluator} has none")
    if config.balance.mode == "post-hoc":
        raise UserError(
            "balance post-hoc would be tuned on the validation images that choose the network; "
            "give --balance post-hoc to distill or train, and sampler or logit-adjust to a search"
        )
    Objective(config.loss)  # a wrong name is wrong without a teacher too
    make_optimizer(nn.Linear(1, 1), config.train)


def _study_of(config: SearchConfig, there: list[str], out: Path, *, resume: bool) -> str:
    """The name of the study: that of the run where it began, also if the run was renamed since.

    Raises:
        UserError: a new search finds a study of that name, or a resumed one does not find its trials.
    """
    name = config.study or out.resolve().name
    if config.study is None and config.storage is None and len(there) == 1:
        (name,) = there  # a run of 0.1.0 does not say it
    if name in there and not resume:
        raise UserError(
            f"the storage holds a study {name!r} already; choose another --out, whose name is the study's"
        )
    if name not in there and resume and runs.trial_count(out):
        raise UserError(
            f"{out} has trials, but the storage holds no study {name!r}: it was moved or deleted; "
            "restore it (a relative --storage counts from where the search began)"
        )
    return name


class _Keeper:
    """Passes the loop's events to the display, and keeps the run directory up to date."""

    def __init__(
        self,
        display: SearchDisplay,
        known: list[Trial],
        write: Callable[[Sequence[Trial]], runs.Summary],
    ) -> None:
        self._display, self.trials, self._write = display, list(known), write
        self.tidy: Callable[[], None] = lambda: None  # called when a trial has been stored

    def began(self, proposal: Proposal) -> None:
        self._display.began(proposal)

    def ended(self, trial: Trial) -> None:
        self.trials.append(trial)
        self._write(self.trials)
        self.tidy()
        self._display.ended(trial)
