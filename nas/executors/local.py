"""Executors on this machine: one trial at a time in this process, or several in worker processes."""

from __future__ import annotations

import time
from collections import deque

from nas.executors.base import Resources, Watcher, Work
from nas.executors.worker_processes import ProcessExecutor
from nas.search import EvaluationError, Evaluator, Executor
from nas.trial import Execution, Proposal, Trial

_HERE = "this process"


class SerialExecutor(Executor):
    """An executor that evaluates one trial at a time in this process."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator
        self._queue: deque[Proposal] = deque()

    @property
    def slots(self) -> int:
        """One."""
        return 1

    def submit(self, proposal: Proposal) -> None:
        """Queue an evaluation; it runs in :meth:`collect`."""
        self._queue.append(proposal)

    def collect(self) -> Trial:
        """Run the oldest queued evaluation."""
        proposal, started = self._queue.popleft(), time.time()
        try:
            trial = proposal.complete(self._evaluator(proposal))
        except EvaluationError as error:
            trial = proposal.fail(str(error))
        return trial.ran(Execution(_HERE, started, time.time()))


class Local(Executor):
    """Trials on this machine: in this process, or each in a worker process where there are several.

    With a time limit for trials there is a worker process in any case, which can be ended.
    """

    def __init__(self, work: Work, resources: Resources, watcher: Watcher) -> None:
        workers = resources.workers or 1
        self._inner: Executor
        if workers == 1 and resources.timeout is None and resources.cpus is None:
            self._inner = SerialExecutor(work.here())
        else:
            threads = None if resources.cpus is None else max(1, int(resources.cpus))
            self._inner = ProcessExecutor(
                work.nearby(), workers, threads=threads, timeout=resources.timeout
            )

    @property
    def slots(self) -> int:
        """Number of workers."""
        return self._inner.slots

    def submit(self, proposal: Proposal) -> None:
        """Start an evaluation, or queue it where this process runs them."""
        self._inner.submit(proposal)

    def collect(self) -> Trial | None:
        """Wait for the next evaluation to end."""
        return self._inner.collect()

    def close(self) -> None:
        """End the worker processes."""
        self._inner.close()
