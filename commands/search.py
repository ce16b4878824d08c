"""``search``: find a network."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from torch import nn

import nas.spaces
import nas.strategies
from commands import runs
from commands.console import interruptible, next_step, output, program, say, warn
from commands.data import open_data
from commands.progress import SearchDisplay, whole
from commands.tables import front_table
from commands.teaching import check_balance, compare_with_teacher, teach
from deploy.latency_cache import measure_architecture
from distill.objective import Objective
from distill.run import Taught
from nas.architecture import Architecture
from nas.config import SearchConfig, StrategyConfig
from nas.confirm import Confirmed
from nas.errors import UserError
from nas.evaluators import Checkpoints, TrainEvaluator, TrainEvaluatorFactory
from nas.executors import ProcessExecutor, SerialExecutor
from nas.files import write_text
from nas.halving import Halving
from nas.objectives import Objectives
from nas.search import Executor, search
from nas.settings import to_yaml
from nas.spaces.base import SearchSpace
from nas.store import Store, locked, open_storage
from nas.strategies.base import Strategy
from nas.strategies.options import options_of
from nas.trial import Proposal, Trial
from training.device import pick_device
from training.images import ImageSet
from training.length import HALVED_TRIAL, TRIAL, decided
from training.optimizer import make_optimizer

#: Settings that studies of 0.1.0 cannot name.
_LATER = {"optimizer", "clip_grad", "patience", "scheduler", "precision", "compile", "cutmix", "mixup"}
_NEAR_CHANCE = 1.5  # times 1 / classes: a macro-F1 below it tells networks apart by luck


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
    objectives = Objectives.parse(config.objectives, config.limits)
    check_balance(config)
    if config.balance.mode == "post-hoc":
        raise UserError(
            "balance post-hoc would be tuned on the validation images that choose the network; "
            "give --balance post-hoc to distill or train, and sampler or logit-adjust to a search"
        )
    if not resume:
        runs.check_new(out)
    Objective(config.loss)  # a wrong name is wrong without a teacher too
    make_optimizer(nn.Linear(1, 1), config.train)
    data = open_data(config.data)
    halved = config.fidelity == "asha"
    train = decided(config.train, len(data.splits["train"]), HALVED_TRIAL if halved else TRIAL)
    config = config.model_copy(update={"train": train})
    space = space_class(config.space.resolutions or default_resolutions(data.size))
    strategy = _strategy(strategy_class, config.strategy, space, objectives, config.seed, data)
    halving = Halving(strategy, epochs=train.epochs) if halved else None
    full = train.epochs if halved else None
    asker = Confirmed(
        halving or strategy, trials=config.trials, confirm=config.confirmations, epochs=full
    )
    made = runs.make_run(out)
    with interruptible(f"search --resume --out {out}"), locked(out):
        with contextlib.nullcontext() if resume else runs.taken_back(out, made):
            storage = open_storage(out / "study.journal", config.storage)
            if not resume:  # from here on there is something to resume
                write_text(out / runs.CONFIG, to_yaml(config))
            taught = None
            if config.teacher is not None:
                views = min(config.train.views, config.train.epochs)
                taught = teach(config.teacher, config.loss, data, config.augment, views)
            identity = _identity(config, space, data, taught)
            store = Store(storage, out.resolve().name, space, objectives, identity)
        if resume:  # only once the study has taken them
            write_text(out / runs.CONFIG, to_yaml(config))
        runs.mark_latest(out)
        known = store.trials()
        say(_plan(config, space, objectives, out, len(known), halving))
        share = whole if halving is None else halving.share
        display = SearchDisplay(objectives, known, config.trials, share)
        checkpoints = None if halving is None else Checkpoints(out / "checkpoints", warn)
        keeper = _Keeper(display, known, out, objectives, space, data.classes)
        if halving is not None and checkpoints is not None:
            keeper.tidy = lambda: checkpoints.keep(halving.continuable(config.trials))
        outputs = None if taught is None else taught.outputs
        with contextlib.ExitStack() as stack:
            executor: Executor
            if config.workers == 1:
                evaluator = TrainEvaluator(data, config, outputs, checkpoints, display.training)
                executor = SerialExecutor(evaluator)
            else:
                factory = TrainEvaluatorFactory(config, outputs, checkpoints)
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
        summary = runs.write_summary(out, trials, objectives, space, data.classes)
    if reason != "trials":
        why = {"timeout": "the time is over", "exhausted": "the space has no further network"}
        say(f"stopped after {len(trials)} trials: {why[reason]}")
    _report(trials, objectives, space, out, config, taught, data.num_classes)
    return summary


def default_resolutions(stored: int) -> tuple[int, ...]:
    """Five input sides from half the stored side up to it, multiples of 8 pixels, 16 at least."""
    sides = {max(16, round(stored * share / 8) * 8) for share in (0.5, 0.625, 0.75, 0.875, 1.0)}
    return tuple(sorted(sides))


class _Keeper:
    """Passes the loop's events to the display, and keeps the run directory up to date."""

    def __init__(
        self,
        display: SearchDisplay,
        known: list[Trial],
        out: Path,
        objectives: Objectives,
        space: SearchSpace,
        classes: tuple[str, ...],
    ) -> None:
        self._display, self._trials = display, list(known)
        self._out, self._objectives = out, objectives
        self._space, self._classes = space, classes
        self.tidy: Callable[[], None] = lambda: None  # called when a trial has been stored

    def began(self, proposal: Proposal) -> None:
        self._display.began(proposal)

    def ended(self, trial: Trial) -> None:
        self._trials.append(trial)
        runs.write_summary(self._out, self._trials, self._objectives, self._space, self._classes)
        self.tidy()
        self._display.ended(trial)


def _strategy(
    kind: type[Strategy],
    config: StrategyConfig,
    space: SearchSpace,
    objectives: Objectives,
    seed: int,
    data: ImageSet,
) -> Strategy:
    probes: Mapping[str, Callable[[Architecture], float]] = {
        "latency_ms": lambda a: measure_architecture(a, data.num_classes).median_ms
    }
    known = options_of(kind)
    for name in config.options:
        if name not in known:
            raise UserError(
                f"strategy {config.name!r} has no option {name!r}; it has: {', '.join(known) or 'none'}"
            )
    return kind(
        space,
        objectives,
        seed=seed,
        num_classes=data.num_classes,
        probes=probes,
        **config.options,
    )


def _identity(
    config: SearchConfig, space: SearchSpace, data: ImageSet, taught: Taught | None
) -> dict[str, Any]:
    """What trials must share to be comparable; limits, strategy and seed may change."""
    decisions = [[decision.name, list(decision.options)] for decision in space.decisions]
    digest = hashlib.sha256(json.dumps(decisions, default=str).encode()).hexdigest()[:12]
    return {
        "data": f"{data.name} ({data.digest[:12]})",  # first: the default resolutions depend on it
        "space": {"name": config.space.name, "resolutions": space.resolutions, "decisions": digest},
        "objectives": list(config.objectives),
        "train": _named(config.train),
        "augment": _named(config.augment),
        "teacher": None if taught is None else f"{taught.teacher.name} ({taught.teacher.digest[:12]})",
        "loss": None if taught is None else config.loss.model_dump(mode="json"),
        **({} if config.balance.mode == "none" else {"balance": config.balance.model_dump()}),
        **({} if config.fidelity == "full" else {"fidelity": config.fidelity}),
    }


def _named(config: BaseModel) -> dict[str, Any]:
    """Settings, without later ones that have their defaults."""
    usual = type(config)().model_dump(mode="json")
    content = config.model_dump(mode="json")
    return {k: v for k, v in content.items() if k not in _LATER or v != usual[k]}


def _plan(
    config: SearchConfig,
    space: SearchSpace,
    objectives: Objectives,
    out: Path,
    known: int,
    halving: Halving | None,
) -> str:
    wants = ", ".join([*map(str, objectives.goals), *map(str, objectives.limits)])
    sides = ", ".join(map(str, space.resolutions))
    confirm = config.confirmations
    ending = f", the last {confirm} to confirm the best" if confirm else ""
    at = f"{known} trials known, " if known else ""
    lengths = f"{config.train.epochs} epochs"
    if halving is not None:
        lengths = f"{lengths}, spent in rungs of {', '.join(map(str, halving.rungs))}"
    return (
        f"search: {config.strategy.name} in {config.space.name} ({space.size:.2g} points, {sides} px) "
        f"for {wants}; {at}{config.trials} trials of {lengths}{ending} on "
        f"{pick_device().type}; results in {out}"
    )


def _report(
    trials: list[Trial],
    objectives: Objectives,
    space: SearchSpace,
    out: Path,
    config: SearchConfig,
    taught: Taught | None,
    classes: int,
) -> None:
    failed = sum(not trial.completed for trial in trials)
    if failed:
        example = next(trial for trial in trials if not trial.completed)
        warn(f"{failed} of {len(trials)} trials failed; trial {example.number}: {example.error}")
    chosen = objectives.best(trials)
    if chosen is None:
        warn("no trial meets every limit; search on with --resume and more --trials")
        return
    chance = 1 / classes
    if chosen.metrics is not None and chosen.metrics["f1"] < _NEAR_CHANCE * chance:
        warn(
            f"the best validation F1 is close to chance ({chance:.2f}), so the choice says little; "
            f"give the trials more --epochs"
        )
    output().print(front_table(trials, chosen, objectives, space))
    if taught is not None and chosen.metrics is not None:
        compare_with_teacher(taught.val.f1, chosen.metrics["f1"], "the chosen trial")
    teacher = config.teacher.spec if config.teacher else "tf_efficientnet_lite0"
    next_step(f"{program()} distill --teacher {teacher} --student {out}")
