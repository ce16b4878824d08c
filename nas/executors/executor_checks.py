"""Contract checks of an executor: ``check(MyExecutor)`` in a test, one test per check.

With pytest::

    @pytest.mark.parametrize("check", EXECUTOR_CHECKS.values(), ids=EXECUTOR_CHECKS)
    def test_contract(check):
        check(MyExecutor)

Each makes an executor for two trials at a time, evaluates networks that end well or badly, and closes it.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import psutil

import nas.executors
from core.contracts import Suite, expect
from nas.executors.base import DistantEvaluator, Resources, Work
from nas.search import EvaluationError, Evaluator, Executor, evaluated
from nas.spaces.toy import Toy
from nas.trial import Proposal, Trial

_FINE, _UNLUCKY, _BUG, _DIES, _HANGS = range(5)  # seeds of proposals, which decide how they end
_LONG = 3600.0  # seconds, which nobody waits for
_PATIENCE = 30.0  # seconds
_LIMIT = 2.0  # seconds, of a trial where there is a limit


@dataclass
class SilentWatcher:
    """Receiver that keeps what it is told.

    Attributes:
        notes: lines.
        warnings: lines.
        places: the last state of the nodes.
        waiting: number of trials that no node has begun.
    """

    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    places: Mapping[str, Sequence[int]] = field(default_factory=dict)
    waiting: int = 0

    def note(self, message: str) -> None:
        """Keep a line."""
        self.notes.append(message)

    def warn(self, message: str) -> None:
        """Keep a line."""
        self.warnings.append(message)

    def running(self, places: Mapping[str, Sequence[int]], waiting: int) -> None:
        """Keep the state."""
        self.places, self.waiting = places, waiting


class ScriptedWork(Work):
    """Work whose evaluations end as the seed of the proposal says, well or badly."""

    def here(self) -> Evaluator:
        """Return the evaluator itself."""
        return _evaluate

    def nearby(self) -> Callable[[], Evaluator]:
        """Return a function of this module."""
        return _evaluator

    def distant(self) -> Callable[[], DistantEvaluator]:
        """Return a function of this module."""
        return _distant_evaluator


def _evaluator() -> Evaluator:
    return _evaluate


def _distant_evaluator() -> DistantEvaluator:
    return lambda proposal, _: (_evaluate(proposal), None)


def _evaluate(proposal: Proposal) -> dict[str, float]:
    if proposal.seed == _UNLUCKY:
        raise EvaluationError("no luck")
    if proposal.seed == _BUG:
        _deep_inside()
    if proposal.seed == _DIES:
        os._exit(3)
    if proposal.seed == _HANGS:
        time.sleep(_LONG)
    return {"f1": float(proposal.number), "pid": float(os.getpid())}


def _deep_inside() -> None:
    raise ZeroDivisionError("a bug")


def scripted(number: int, seed: int = _FINE) -> Proposal:
    """Return a proposal of the space toy that ends as its seed says."""
    space = Toy()
    point = list(space.points())[number % 12]
    return Proposal(number, point, space.decode(point), seed)


@dataclass(frozen=True)
class ExecutorCase:
    """An executor under test."""

    kind: Callable[..., Executor]
    name: str

    def __str__(self) -> str:
        return self.name

    def opened(self, timeout: float | None = None) -> Executor:
        """Return a new executor for two trials at a time."""
        return self.kind(ScriptedWork(), Resources(workers=2, timeout=timeout), SilentWatcher())


def _case(kind: type[Executor] | str) -> ExecutorCase:
    loaded = nas.executors.REGISTRY.load(kind) if isinstance(kind, str) else kind
    return ExecutorCase(loaded, kind if isinstance(kind, str) else kind.__name__)


EXECUTOR_CHECKS_SUITE = Suite(_case)
EXECUTOR_CHECKS = EXECUTOR_CHECKS_SUITE.checks


@EXECUTOR_CHECKS_SUITE.add("every trial ends once, whatever the order")
def check_results(case: ExecutorCase) -> None:
    """Check that submitted proposals come back with their own metrics, and where and when they ran."""
    begun = time.time()
    with case.opened() as executor:
        expect(1 <= executor.slots <= 2, f"{executor.slots} slots, of 2 workers")
        trials = list(evaluated(executor, map(scripted, range(6))))
    expect(
        sorted(trial.number for trial in trials) == list(range(6)), "a trial is missing, or twice there"
    )
    for trial in trials:
        expect((trial.metrics or {}).get("f1") == trial.number, f"metrics {trial.metrics}")
        ran = trial.execution
        expect(ran is not None, "it is not said where it ran")
        if ran is not None:
            expect(bool(ran.worker), "the worker has no name")
            expect(begun - 1 <= ran.started <= ran.ended <= time.time() + 1, f"it ran {ran}")


@EXECUTOR_CHECKS_SUITE.add("a failed training is a failed trial")
def check_failure(case: ExecutorCase) -> None:
    """Check that an ``EvaluationError`` fails its trial with its message, and that others go on."""
    with case.opened() as executor:
        failed, fine = one(executor, 0, _UNLUCKY), one(executor, 1)
    expect(failed.metrics is None and "no luck" in (failed.error or ""), f"it ended with {failed}")
    expect(fine.completed, f"the next one ended with {fine}")


@EXECUTOR_CHECKS_SUITE.add("a bug propagates with its traceback")
def check_bug(case: ExecutorCase) -> None:
    """Check that another exception ends the search, and says where it happened."""
    with case.opened() as executor:
        try:
            one(executor, 0, _BUG)
        except ZeroDivisionError as error:
            said = "".join(traceback.format_exception(error))
            expect("_deep_inside" in said, f"the place is not said: {said}")
            return
    raise AssertionError("nothing was raised")


@EXECUTOR_CHECKS_SUITE.add("a lost worker is a failed trial")
def check_death(case: ExecutorCase) -> None:
    """Check that a process that dies fails its trial in one line, and that others go on."""
    with case.opened() as executor:
        lost, fine = one(executor, 0, _DIES), one(executor, 1)
    expect(lost.metrics is None and "\n" not in (lost.error or "\n"), f"it ended with {lost}")
    expect(fine.completed, f"the next one ended with {fine}")


@EXECUTOR_CHECKS_SUITE.add("a trial beyond the time limit is ended")
def check_time_limit(case: ExecutorCase) -> None:
    """Check that a trial that hangs fails, and that others go on."""
    with case.opened(timeout=_LIMIT) as executor:
        late, fine = one(executor, 0, _HANGS), one(executor, 1)
    expect(f"{_LIMIT:g} s" in (late.error or ""), f"it ended with {late}")
    expect(fine.completed, f"the next one ended with {fine}")


@EXECUTOR_CHECKS_SUITE.add("closing ends what runs")
def check_closing(case: ExecutorCase) -> None:
    """Check that no process evaluates on after the executor was left, as by Ctrl-C."""
    try:
        with case.opened() as executor:
            pid = int((one(executor, 0).metrics or {})["pid"])
            for number in range(1, executor.slots + 1):
                executor.submit(scripted(number, _HANGS))
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    if pid == os.getpid():
        return
    deadline = time.monotonic() + _PATIENCE
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    expect(not psutil.pid_exists(pid), f"process {pid} is still there")


def one(executor: Executor, number: int, seed: int = _FINE) -> Trial:
    """Return the trial of a single proposal."""
    (trial,) = evaluated(executor, [scripted(number, seed)])
    return trial


def collected(executor: Executor) -> Trial:
    """Return the next trial that ends, whatever happens to the slots."""
    while True:
        trial = executor.collect()
        if trial is not None:
            return trial
