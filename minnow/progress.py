"""Progress on a console: live bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from fractions import Fraction
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

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

from minnow.console import notices, say, warn
from minnow.format import duration_text, metric_text
from minnow.listener import TRIAL, Listener, SearchPlan
from nas.trial import Proposal, Trial

if TYPE_CHECKING:
    from training.fit import Progress as Training

_LINE_EVERY = 10.0  # seconds between plain lines about the same work
_NODES = "trials by node"
_MOST_NODES = 6  # in a line


class ConsoleListener(Listener):
    """Listener that prints to standard error.

    On a terminal, work in progress is shown as bars, which disappear when it ends. Elsewhere a line is
    printed for every trial, and for other work every ten seconds. Use it as a context manager, so that
    an exception leaves no bar behind.
    """

    def __init__(self) -> None:
        self._bars = _Bars() if notices().is_terminal else None
        self._lines: dict[str, _Lines] = {}
        self._search: _SearchLine | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bars is not None:
            self._bars.clear()

    def note(self, message: str) -> None:
        """Print one line."""
        say(message)

    def warn(self, message: str) -> None:
        """Print one line, marked as a warning."""
        warn(message)

    def count(self, work: str, done: int, total: int) -> None:
        """Show ``done`` of ``total`` and the rate per second."""
        lines = self._lines.setdefault(work, _Lines(first=time.monotonic()))
        if self._bars is not None:
            rate = done / max(time.monotonic() - lines.start, 1e-6)
            self._bars.update(work, done, total, f"{rate:,.0f}/s")
        elif lines.due(last=done == total and lines.printed):
            say(f"{work}: {done:,} of {total:,}")
        if done == total:
            self._finish(work)

    def training(self, work: str, progress: Training) -> None:
        """Show the epoch, images per second, the validation F1, and how much time is left."""
        note = f"{progress.images_per_second:,.0f} images/s"
        if progress.record is not None:
            note = f"loss {progress.record['loss']:.3f}, {note}"
        if work != TRIAL and progress.val_f1 is not None:
            note += f", val F1 {progress.val_f1:.3f}"
        last = progress.epoch == progress.epochs
        if self._bars is not None:
            done = progress.epoch * progress.steps + progress.step
            self._bars.update(work, done, progress.epochs * progress.steps, note)
        elif work != TRIAL:
            lines = self._lines.setdefault(work, _Lines(epoch=progress.epoch))
            if progress.step == 0 and lines.due(last=last):
                left = lines.seconds_left(progress)
                note += f"; {duration_text(left)} left" if left else ""
                say(f"{work}: epoch {progress.epoch} of {progress.epochs}, {note}")
        if last:
            self._finish(work)

    def search_started(self, plan: SearchPlan) -> None:
        """Show how many trials there will be."""
        self._search = _SearchLine(plan)
        if self._bars is not None:
            self._bars.update("trials", int(self._search.done), plan.trials, "", until=self._search.until)

    def running(self, places: Mapping[str, Sequence[int]], waiting: int) -> None:
        """Show which trials run on which node."""
        text = places_text(places, waiting)
        if self._bars is not None:
            self._bars.remove(TRIAL)
            self._bars.update(_NODES, sum(map(len, places.values())), None, text)
            return
        lines = self._lines.setdefault(_NODES, _Lines())
        if lines.due(last=False):
            say(f"{_NODES}: {text}")

    def trial_started(self, proposal: Proposal) -> None:
        """Show the trial's own bar."""
        if self._bars is not None:
            self._bars.update(TRIAL, 0, None, f"number {proposal.number}")

    def trial_finished(self, trial: Trial) -> None:
        """Show the trial's outcome, the best one so far, and how much time is left."""
        if self._search is None:
            return
        line = self._search.add(trial)
        if self._bars is None:
            say(line)
            return
        self._bars.remove(TRIAL)
        self._bars.update("trials", float(self._search.done), self._search.total, self._search.best)
        if self._search.done >= self._search.total:
            self._bars.remove("trials")
            self._bars.remove(_NODES)

    def _finish(self, work: str) -> None:
        self._lines.pop(work, None)
        if self._bars is not None:
            self._bars.remove(work)


def places_text(places: Mapping[str, Sequence[int]], waiting: int) -> str:
    """Return which trials run on which node, as one line; nodes beyond a few are counted."""
    busy = {node: numbers for node, numbers in places.items() if numbers}
    shown = [f"{node}: {', '.join(map(str, numbers))}" for node, numbers in [*busy.items()][:_MOST_NODES]]
    if len(busy) > _MOST_NODES:
        more = list(busy.values())[_MOST_NODES:]
        shown.append(f"{len(more)} more nodes: {sum(map(len, more))} trials")
    if idle := len(places) - len(busy):
        shown.append(f"{idle} idle")
    if waiting:
        shown.append(f"{waiting} waiting")
    return "; ".join(shown)


class _Bars:
    """Bars by name of the work, shown while there are any."""

    def __init__(self) -> None:
        self._live: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def update(
        self, work: str, done: float, total: int | None, note: str, *, until: float | None = None
    ) -> None:
        if self._live is None:
            self._live = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                _TimeLeft(),
                console=notices(),
                transient=True,
            )
            self._live.start()
        if work not in self._tasks:
            self._tasks[work] = self._live.add_task(work, total=total, note=note)
        fields: dict[str, Any] = {} if until is None else {"until": until}
        self._live.update(self._tasks[work], completed=done, total=total, note=note, **fields)

    def remove(self, work: str) -> None:
        if self._live is None or work not in self._tasks:
            return
        self._live.remove_task(self._tasks.pop(work))
        if not self._tasks:
            self.clear()

    def clear(self) -> None:
        if self._live is not None:
            self._live.stop()
        self._live, self._tasks = None, {}


class _TimeLeft(ProgressColumn):
    """Estimated time left, at most what a task's deadline allows (field ``until``, monotonic seconds)."""

    max_refresh = 0.5  # seconds

    def render(self, task: Task) -> Text:
        """Return the time left; ``≤`` marks a deadline without an estimate."""
        allowed, needed = task.fields.get("until", math.inf) - time.monotonic(), task.time_remaining
        left = allowed if needed is None else min(allowed, needed)
        at_most = "≤ " if needed is None else ""
        return Text(
            "?" if left == math.inf else at_most + duration_text(left), style="progress.remaining"
        )


class _Lines:
    """Timing of the plain lines about one work.

    Args:
        first: when the pause before the first line began; ``-inf``: print at once.
        epoch: of the training before it started or was resumed.
    """

    def __init__(self, first: float = -math.inf, epoch: int = 0) -> None:
        self.start, self._last, self._epoch = time.monotonic(), first, epoch
        self.printed = False

    def due(self, *, last: bool) -> bool:
        """Tell if the next line is due, and start the pause after it."""
        now = time.monotonic()
        if not last and now - self._last <= _LINE_EVERY:
            return False
        self._last, self.printed = now, True
        return True

    def seconds_left(self, progress: Training) -> float:
        """Return the time that the rest takes at the pace so far, seconds; 0 before the first epoch."""
        epochs = progress.epoch - self._epoch
        if epochs < 1:
            return 0.0
        return (time.monotonic() - self.start) / epochs * (progress.epochs - progress.epoch)


class _SearchLine:
    """The state of a search as one line per finished trial."""

    def __init__(self, plan: SearchPlan) -> None:
        self._objectives, self._share = plan.objectives, plan.share
        self.total, self._trials = plan.trials, list(plan.known)
        self._known = sum(plan.share(trial.proposal) for trial in plan.known)
        self.done: int | Fraction = self._known
        self._start = time.monotonic()
        self.until = math.inf if plan.timeout is None else self._start + plan.timeout
        self.best = ""

    def add(self, trial: Trial) -> str:
        """Return the line about ``trial``."""
        self._trials.append(trial)
        self.done += self._share(trial.proposal)
        best = self._objectives.best(self._trials)
        self.best = "" if best is None else f"best {self._values(best)} (trial {best.number})"
        rate = float(self.done - self._known) / (time.monotonic() - self._start)
        left = min(float(self.total - self.done) / rate, self.until - time.monotonic())
        outcome = f"failed: {trial.error}" if trial.metrics is None else self._values(trial)
        group = trial.proposal.group
        first = next(other.number for other in self._trials if other.proposal.group == group)
        if first != trial.number:
            outcome = f"trial {first} again, {outcome}"
        epochs = "" if trial.proposal.epochs is None else f"epoch {trial.proposal.epochs}; "
        done = str(self.done) if isinstance(self.done, int) else f"{float(self.done):.1f}"
        return (
            f"trial {trial.number} ({epochs}{done} of {self.total}): {outcome}; "
            f"{self.best}; {duration_text(left)} left"
        )

    def _values(self, trial: Trial) -> str:
        metrics = trial.metrics or {}
        return ", ".join(f"{name} {metric_text(name, metrics[name])}" for name in self._objectives.names)
