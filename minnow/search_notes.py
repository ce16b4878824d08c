"""The lines about a search: what it is about to do, and what may be wrong with its results."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from deploy.competition_score import runtime_name
from minnow.base_settings import source_word
from minnow.evaluator_settings import judged_as_cut, trains
from minnow.format import counted, duration_text
from minnow.listener import Listener
from minnow.predicted_latency import note_predictions
from minnow.search_setup import SearchParts
from minnow.teacher import weaker_teacher
from nas.selection import insignificance
from nas.spaces.elastic import Elastic
from nas.trial import Trial
from teachers.ensemble import PreparedTeacher
from training.device import pick_device


def note_plan(parts: SearchParts, run: Path, known: int, listener: Listener) -> None:
    """Note what the search is about to do."""
    base = parts.space.base.base if isinstance(parts.space, Elastic) else None
    classes = parts.data.num_classes
    note_predictions(
        parts.config.target, parts.config.space.name, base, parts.space.resolutions, classes, listener
    )
    config, space, halving = parts.config, parts.space, parts.halving
    sides = ", ".join(map(str, space.resolutions))
    confirm = config.confirm
    ending = f", the last {confirm} to confirm the best" if confirm else ""
    if confirm and config.timeout is not None:
        ending += " (earlier where the time would be over)"
    lengths = counted(config.train.epochs or 0, "epoch")
    if config.evaluator != "train":
        training = f" and {lengths}" if config.train.epochs else ""
        source = source_word(config) if config.evaluator == "inherit" else "supernet"
        lengths = f"the {source}'s weights{training}"
    if halving is not None:
        lengths = f"{lengths}, spent in rungs of {', '.join(map(str, halving.rungs))}"
    listener.note(
        f"search: {config.strategy.name} in {config.space.name} ({space.size:.2g} points, {sides} px) "
        f"for {parts.objectives}; {f'{known} known, ' if known else ''}{counted(config.trials, 'trial')} "
        f"{'of' if config.evaluator == 'train' else 'with'} {lengths}{ending} on "
        f"{pick_device().type}; results in {run}"
    )
    if judged_as_cut(config):
        listener.note(
            f"networks are judged as they are cut out of the {source_word(config)}: their F1 is far "
            "below that of the students they become, and serves to compare them"
        )
    if parts.objectives.timed:
        images, reference = len(parts.data.splits["val"]), config.score
        listener.note(
            f"total_seconds: the {images:,} validation images one by one on {runtime_name()}, from "
            f"stored pixels to label (resizing, normalisation, network); score: total_seconds / "
            f"{reference.time:g} + sigmoid(20 * ({reference.f1:g} - f1)), less is better, a reference "
            f"for {images:,} images assumed (see the setting score)"
        )


class Stopwatch:
    """Times of the stages of a search, one after the other.

    Attributes:
        seconds: of each finished stage, by its name.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.perf_counter()

    def lap(self, stage: str) -> None:
        """End a stage; the next one begins."""
        now = time.perf_counter()
        self.seconds[stage], self._since = now - self._since, now


def note_spending(seconds: Mapping[str, float], budget: float | None, listener: Listener) -> None:
    """Note what the time went to, and what is left of a budget.

    Args:
        seconds: of each stage of the search, by its name.
        budget: seconds for the search and the final training; ``None``: none.
        listener: receives the note.
    """
    parts = ", ".join(f"{name} {duration_text(taken)}" for name, taken in seconds.items())
    spent = sum(seconds.values())
    if budget is None:
        left = ""
    elif spent < budget:
        left = f"; {duration_text(budget - spent)} left for the final training"
    else:
        left = f"; more than the budget of {duration_text(budget)}, since what has begun is finished"
    listener.note(f"spent {duration_text(spent)}: {parts}{left}")


def warn_of_results(
    parts: SearchParts, trials: Sequence[Trial], teacher: PreparedTeacher | None, listener: Listener
) -> None:
    """Warn of failed trials, of a choice that may be luck, and of a weak teacher."""
    failed = [trial for trial in trials if not trial.completed]
    if failed:
        listener.warn(
            f"{len(failed)} of {counted(len(trials), 'trial')} failed; trial {failed[0].number}: "
            f"{failed[0].error}"
        )
    chosen = parts.objectives.best(trials)
    if chosen is None or chosen.metrics is None:
        listener.warn("no trial meets every limit; resume the search with more trials")
        return
    labels = parts.data.labels[parts.data.splits["val"]]
    counts = np.bincount(labels, minlength=parts.data.num_classes).tolist()
    trained = trains(parts.config)
    if (reason := insignificance(trials, parts.objectives, counts, trained=trained)) is not None:
        listener.warn(reason)
    if teacher is not None:
        weak = weaker_teacher(teacher.val.f1, chosen.metrics["f1"], len(labels), "the chosen trial")
        if weak is not None:
            listener.warn(weak)
