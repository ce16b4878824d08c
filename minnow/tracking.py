"""Tracked runs: what happens in a run directory, recorded by the trackers that the settings name."""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field, NonNegativeInt

from core.config_io import known_settings, value_of
from core.errors import UserError
from core.files import write_json
from core.reading import read_record
from core.runtime import is_main
from minnow.listener import TRIAL, Listener, Relay, SearchPlan
from minnow.trackers import Tracker, parse
from minnow.trackers.tracker import Status, Value
from minnow.trackers.tracker_thread import Call, TrackerThread
from nas.trial import Trial
from training.bundle_files import ARCHITECTURE_FILE, CONFIG_FILE, METRICS_FILE, ONNX_FILE

if TYPE_CHECKING:
    from core.config import SearchConfig, StudentConfig
    from distill.student_metrics import NetworkRecord
    from minnow.run_directory import Run
    from training.fit import Progress

STATE = "tracking.json"  # of a run directory
BEST = "best"  # series of the values of the best trial so far
_FOLDERS = ("", "student", "refit", "qat")
_FILES = (CONFIG_FILE, ARCHITECTURE_FILE, "summary.json", METRICS_FILE, ONNX_FILE, "report.html")
_LONGEST_SERIES = 100  # characters


class TrackedRun(BaseModel):
    """A recorded run: its identifier, and the numbers of the trials that it has."""

    identifier: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")]
    trials: set[NonNegativeInt] = set()


class TrackedRuns(BaseModel):
    """The content of ``tracking.json``: recorded runs by tracker, as the user typed it."""

    runs: dict[str, TrackedRun] = {}


@contextlib.contextmanager
def tracked(specs: Sequence[str], listener: Listener) -> Iterator[Listener]:
    """Give a listener that also records a run with trackers, from its first stage on.

    Only one of several processes records. A listener from this function is given back as it is, so that
    the stages of a longer job belong to one recorded run.

    Args:
        specs: trackers, as in the setting ``trackers``.
        listener: receives all events, and a warning where a tracker fails.

    Raises:
        UserError: a tracker is unknown, or its package is missing.
    """
    kinds = {spec: parse(spec) for spec in specs}
    if not kinds or isinstance(listener, Tracking) or not is_main():
        yield listener
        return
    tracking = Tracking(kinds, listener)
    status: Status = "failed"
    try:
        yield tracking
        status = "finished"
    except KeyboardInterrupt:
        status = "stopped"
        raise
    finally:
        tracking.close(status)


def series_of(work: str) -> str:
    """Return the series of a training: ``teacher/NAME`` for ``teacher NAME``, no words in brackets."""
    first, _, rest = work.partition(" (")[0].partition(" ")
    series = first if not rest else f"{first}/{re.sub(r'[^A-Za-z0-9_.-]+', '-', rest)}"
    return series[:_LONGEST_SERIES]


class Tracking(Relay):
    """Listener that records a run with trackers, see :func:`tracked`.

    Args:
        kinds: tracker, as the user typed it, to class and place.
        receiver: receives all events and warnings.
    """

    def __init__(self, kinds: Mapping[str, tuple[type[Tracker], str | None]], receiver: Listener) -> None:
        super().__init__(receiver)
        self._kinds = kinds
        self._threads: list[TrackerThread] = []
        self._failed: list[TrackerThread] = []
        self._run: Path | None = None
        self._state = TrackedRuns()
        self._plan: SearchPlan | None = None
        self._trials: list[Trial] = []

    def started(self, stage: str, run: Path, config: SearchConfig | StudentConfig) -> None:
        """Begin or continue the recorded runs at the first stage, and record the settings.

        Raises:
            UserError: a service cannot be used.
        """
        super().started(stage, run, config)
        if self._run is None:
            self._open(run)
        settings = {name: value_of(config, name) for name in known_settings(type(config))}
        given = {name: value for name, value in settings.items() if value not in (None, (), {})}
        values = {f"{stage}.{name}": _cell(value) for name, value in given.items()}
        self._send(lambda tracker: tracker.parameters(values))

    def training(self, work: str, progress: Progress) -> None:
        """Record the epoch that has ended; those of trials are too many."""
        super().training(work, progress)
        if progress.record is None or work == TRIAL:
            return
        hidden = {"epoch"} if progress.val_f1 is not None else {"epoch", "val_f1"}
        values = {name: value for name, value in progress.record.items() if name not in hidden}
        self._send(_metrics(series_of(work), values, progress.epoch))

    def search_started(self, plan: SearchPlan) -> None:
        """Record the trials of earlier calls that are not recorded yet."""
        super().search_started(plan)
        self._plan, self._trials = plan, []
        for trial in plan.known:
            self._record(trial)

    def trial_finished(self, trial: Trial) -> None:
        """Record the trial, and the best one so far."""
        super().trial_finished(trial)
        self._record(trial)
        self._save()

    def search_ended(self, run: Run) -> None:
        """Record all trials and the Pareto front as tables."""
        super().search_ended(run)
        metrics = dict.fromkeys(name for trial in run.trials for name in trial.metrics or {})
        decisions = dict.fromkeys(name for trial in run.trials for name in run.options(trial))
        columns = ["trial", *metrics, "error", "epochs", *decisions]

        def row(trial: Trial) -> list[Value | None]:
            values, options = trial.metrics or {}, run.options(trial)
            numbers = [values.get(name) for name in metrics]
            chosen = [_cell(options[name]) if name in options else None for name in decisions]
            return [trial.number, *numbers, trial.error, trial.proposal.epochs, *chosen]

        for name, trials in (("trials", run.trials), ("pareto_front", run.front)):
            self._send(partial(_table, name, columns, [row(trial) for trial in trials]))

    def student_finished(self, stage: str, folder: Path) -> None:
        """Record scores and costs of the student and of its teacher."""
        super().student_finished(stage, folder)
        from distill.student_metrics import read_student_metrics

        metrics = read_student_metrics(folder)
        for series, network in ((stage, metrics.network), (f"{stage}/teacher", metrics.teacher)):
            if network is not None:
                self._send(_metrics(f"{series}/final", _scores(network), metrics.epoch))

    def close(self, status: Status) -> None:
        """Record the files of the run directory, and end the recorded runs."""
        for folder, file in product(_FOLDERS, _FILES):
            name = f"{folder}/{file}" if folder else file
            if self._run is not None and (self._run / name).is_file():
                self._send(partial(_file, self._run / name, name))
        for thread in self._threads:
            thread.close(status)
        self._warn_of_failures()
        self._save()

    def _open(self, run: Path) -> None:
        """Begin or continue the recorded runs.

        Raises:
            UserError: a service cannot be used, or the file of earlier runs is damaged.
        """
        if (run / STATE).exists():
            self._state = read_record(TrackedRuns, run / STATE, "", remedy="delete it to begin new ones")
        for spec, (kind, place) in self._kinds.items():
            earlier = self._state.runs.get(spec)
            thread = TrackerThread(
                kind, spec, place, run, None if earlier is None else earlier.identifier
            )
            self._threads.append(thread)
            self._state.runs[spec] = earlier or TrackedRun(identifier=thread.identifier)
            self.note(f"recorded by {spec}: {thread.location}")
        self._run = run
        write_json(run / STATE, self._state.model_dump(mode="json"))

    def _save(self) -> None:
        """Write the state, unless the run directory was taken back."""
        if self._run is not None and (self._run / STATE).exists():
            with contextlib.suppress(UserError):  # a full disk ends the run elsewhere
                write_json(self._run / STATE, self._state.model_dump(mode="json"))

    def _record(self, trial: Trial) -> None:
        """Record a trial where that is not done yet."""
        self._trials.append(trial)
        values = {**(trial.metrics or {}), "failed": float(not trial.completed)}
        calls = [_metrics(TRIAL, values, trial.number)]
        objectives = None if self._plan is None else self._plan.objectives
        if objectives is not None and (best := objectives.best(self._trials)) is not None:
            goals = {name: (best.metrics or {})[name] for name in objectives.names}
            calls.append(_metrics(BEST, goals, len(self._trials)))
        for thread in self._threads:
            record = self._state.runs[thread.spec]
            if trial.number not in record.trials:
                thread.send(partial(_record, record, trial.number, calls))
        self._warn_of_failures()

    def _send(self, call: Call) -> None:
        for thread in self._threads:
            thread.send(call)
        self._warn_of_failures()

    def _warn_of_failures(self) -> None:
        """Warn once of each tracker that failed."""
        for thread in self._threads:
            if thread.failure and thread not in self._failed:
                self._failed.append(thread)
                self.warn(
                    f"tracker {thread.spec}: {thread.failure}; it records nothing more of this call"
                )


def _metrics(series: str, values: Mapping[str, float | None], step: int) -> Call:
    """Return the call that records the finite ones of some numbers."""
    finite = {name: value for name, value in values.items() if value is not None and math.isfinite(value)}
    return lambda tracker: tracker.metrics(series, finite, step)


def _table(name: str, columns: list[str], rows: list[list[Value | None]], tracker: Tracker) -> None:
    tracker.table(name, columns, rows)


def _file(path: Path, name: str, tracker: Tracker) -> None:
    tracker.file(path, name)


def _record(record: TrackedRun, number: int, calls: Sequence[Call], tracker: Tracker) -> None:
    for call in calls:
        call(tracker)
    record.trials = {*record.trials, number}  # a new set: another thread may be reading the old one


def _scores(network: NetworkRecord) -> dict[str, float | None]:
    return {
        "test_f1": network.f1,
        "test_accuracy": network.accuracy,
        "val_f1": network.val_f1,
        "params": network.params,
        "macs": network.macs,
        "latency_ms": network.latency_ms.median,
        "seconds": network.seconds,
    }


def _cell(value: Any) -> Value:
    """Return a number or a text for any value of a setting or a decision."""
    return value if isinstance(value, Value) else json.dumps(value, default=str)
