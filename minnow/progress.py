"""Progress of long work: live bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from minnow.console import notices, say
from minnow.format import metric_text
from nas.objectives import Objectives
from nas.trial import Proposal, Trial

if TYPE_CHECKING:
    from training.fit import Progress as Training

_LINE_EVERY = 10.0  # seconds between plain lines about the same thing


class _Left(ProgressColumn):
    """What the rest takes, but no more than a task's time allows (field ``until``, monotonic)."""

    max_refresh = 0.5  # seconds

    def render(self, task: Task) -> Text:
        allowed, needed = task.fields.get("until", math.inf) - time.monotonic(), task.time_remaining
        left = allowed if needed is None else min(allowed, needed)
        at_most = "≤ " if needed is None else ""
        return Text("?" if left == math.inf else at_most + _duration(left), style="progress.remaining")


def _bars() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        _Left(),
        console=notices(),
        transient=True,
    )


class Counter:
    """Progress of anything counted: images decoded, images seen by the teacher."""

    def __init__(self, what: str, bars: Progress | None) -> None:
        self._what, self._bars = what, bars
        self._task: TaskID | None = None
        self._line = self._start = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        """``done`` of ``total`` are through."""
        if self._bars is not None:
            if self._task is None:
                self._task = self._bars.add_task(self._what, total=total, note="")
            rate = done / max(time.monotonic() - self._start, 1e-6)
            self._bars.update(self._task, completed=done, total=total, note=f"{rate:,.0f}/s")
        elif time.monotonic() - self._line > _LINE_EVERY or (done == total and self._said()):
            self._line = time.monotonic()
            say(f"{self._what}: {done:,} of {total:,}")

    def _said(self) -> bool:
        return self._line != self._start


@contextmanager
def counting(what: str) -> Iterator[Counter]:
    """A counter that shows itself at its first call."""
    if not notices().is_terminal:
        yield Counter(what, None)
        return
    with _bars() as bars:
        yield Counter(what, bars)


class _Display:
    """Bars on a terminal, ``None`` elsewhere; shown while the context is open."""

    def __init__(self) -> None:
        self._bars = _bars() if notices().is_terminal else None

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bars is not None:
            self._bars.stop()


class TrainingDisplay(_Display):
    """Progress of one training; call it with what :func:`training.fit.fit` reports.

    Args:
        what: is trained.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        super().__init__()
        self._task: TaskID | None = None
        self._line = -math.inf  # when the last one was said
        self._began: tuple[float, int] | None = None  # when, and after how many epochs

    def __call__(self, training: Training) -> None:
        """Show where the training is."""
        note = f"{training.images_per_second:,.0f} images/s"
        if training.val_f1 is not None:
            note += f", val F1 {training.val_f1:.3f}"
        if self._bars is None:
            now = time.monotonic()
            self._began = self._began or (now, training.epoch)
            due = now - self._line > _LINE_EVERY or training.epoch == training.epochs
            if due and training.step == 0:
                self._line = now
                note += self._left(training)
                say(f"{self._what}: epoch {training.epoch} of {training.epochs}, {note}")
            return
        if self._task is None:
            total = training.epochs * training.steps
            self._task = self._bars.add_task(self._what, total=total, note=note)
        done = training.epoch * training.steps + training.step
        self._bars.update(self._task, completed=done, note=note)

    def _left(self, training: Training) -> str:
        start, first = self._began or (0.0, training.epoch)
        if (epochs := training.epoch - first) < 1:
            return ""
        left = (time.monotonic() - start) / epochs * (training.epochs - training.epoch)
        return f"; {_duration(left)} left" if left else ""


def whole(proposal: Proposal) -> int:
    """Every proposal is a full training."""
    return 1


class SearchDisplay(_Display):
    """Progress of a search: trials, the best so far, and the training under way.

    Args:
        objectives: decide what is best.
        known: trials of earlier runs of the study.
        trials: wanted in all.
        share: how much of one a proposal counts as.
        timeout: seconds from now on, after which no trial starts; ``None``: never ends.
    """

    def __init__(
        self,
        objectives: Objectives,
        known: list[Trial],
        trials: int,
        share: Callable[[Proposal], int | Fraction],
        timeout: float | None,
    ) -> None:
        self._objectives, self._trials, self._total = objectives, list(known), trials
        self._share, self._known = share, sum(share(trial.proposal) for trial in known)
        self._start, self._done = time.monotonic(), self._known
        self._until = math.inf if timeout is None else self._start + timeout
        super().__init__()
        if self._bars is not None:
            done = int(self._known)
            self._study = self._bars.add_task(
                "trials", total=trials, completed=done, note="", until=self._until
            )
            self._training = self._bars.add_task("training", total=None, note="", visible=False)

    def began(self, proposal: Proposal) -> None:
        """A trial starts."""
        if self._bars is not None:
            self._bars.reset(self._training, description=f"trial {proposal.number}", visible=True)

    def training(self, progress: Training) -> None:
        """A training step of the current trial."""
        if self._bars is not None:
            self._bars.update(
                self._training,
                total=progress.epochs * progress.steps,
                completed=progress.epoch * progress.steps + progress.step,
                note=f"{progress.images_per_second:,.0f} images/s",
            )

    def ended(self, trial: Trial) -> None:
        """A trial ended."""
        self._trials.append(trial)
        self._done += self._share(trial.proposal)
        best = self._objectives.best(self._trials)
        note = "" if best is None else f"best {self._summary(best)} (trial {best.number})"
        if self._bars is not None:
            self._bars.update(self._study, completed=float(self._done), note=note)
            return
        rate = float(self._done - self._known) / (time.monotonic() - self._start)
        left = min(float(self._total - self._done) / rate, self._until - time.monotonic())
        outcome = f"failed: {trial.error}" if trial.metrics is None else self._summary(trial)
        again = (t.number for t in self._trials if t.proposal.group == trial.proposal.group)
        if (first := next(again)) != trial.number:
            outcome = f"trial {first} again, {outcome}"
        say(
            f"trial {trial.number} ({_epochs(trial)}{_count(self._done)} of {self._total}): {outcome}; "
            f"{note}; {_duration(left)} left"
        )

    def _summary(self, trial: Trial) -> str:
        metrics = trial.metrics or {}
        return ", ".join(f"{name} {metric_text(name, metrics[name])}" for name in self._objectives.names)


def _epochs(trial: Trial) -> str:
    return "" if trial.proposal.epochs is None else f"epoch {trial.proposal.epochs}; "


def _count(done: int | Fraction) -> str:
    return str(done) if isinstance(done, int) else f"{float(done):.1f}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(max(seconds, 0.0)), 60)
    return f"{minutes}m {rest:02d}s" if minutes else f"{rest}s"
