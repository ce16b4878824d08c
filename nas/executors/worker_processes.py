"""Trials in worker processes of this machine, which end with the process that searches."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler

from core.errors import UserError
from core.followers import follow
from core.runtime import cpu_count
from nas.search import EvaluationError, Evaluator, Executor
from nas.trial import Execution, Proposal, Trial

_READY = "ready"  # a worker's first message: its evaluator is made
MAX_STARTUP_CRASHES = 2  # deaths in a row at the start, after which others would die the same way


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    name: str
    proposal: Proposal | None = None
    ready: bool = False  # has made its evaluator
    started: float = 0.0  # the evaluation, seconds since 1970

    def executed(self) -> Execution:
        return Execution(self.name, self.started, time.time())


class ProcessExecutor(Executor):
    """An executor with spawned processes; a worker that dies fails its trial and is replaced.

    One that dies before it can evaluate anything is replaced too, and its trial begins again.

    Args:
        factory: picklable; makes the evaluator inside each worker.
        workers: number of processes; they share the cores that this
            process may use, as threads.
        threads: of each; ``None``: its share.
        timeout: seconds after which an evaluation is ended and fails.

    Raises:
        UserError: the system starts no further process.
    """

    def __init__(
        self,
        factory: Callable[[], Evaluator],
        workers: int,
        *,
        threads: int | None = None,
        timeout: float | None = None,
    ) -> None:
        self._slots, self._timeout = workers, timeout
        self._factory = factory
        self._startup_crashes = 0  # workers in a row that died before they were ready
        self._threads = threads or max(1, cpu_count() // workers)
        self._workers: list[_Worker] = []
        try:
            for index in range(workers):
                self._workers.append(self._spawn(f"worker {index + 1}"))
        except UserError:
            self.close()
            raise

    @property
    def slots(self) -> int:
        """Number of workers."""
        return self._slots

    def close(self) -> None:
        """End the worker processes."""
        for worker in self._workers:
            self._end(worker)

    def submit(self, proposal: Proposal) -> None:
        """Hand an evaluation to an idle worker.

        Raises:
            RuntimeError: every worker is busy.
        """
        for index, worker in enumerate(self._workers):
            if worker.proposal is None:
                try:
                    worker.connection.send(proposal)
                except OSError:  # died while idle
                    worker = self._replace(index)
                    with contextlib.suppress(OSError):  # this one, too: collect() finds out
                        worker.connection.send(proposal)
                worker.proposal, worker.started = proposal, time.time()
                return
        raise RuntimeError("every worker is busy")

    def collect(self) -> Trial:
        """Wait for the next evaluation to end.

        Raises:
            UserError: workers die before they can evaluate anything.
            Exception: whatever a bug in the evaluator raised.
        """
        while True:
            busy = [worker for worker in self._workers if worker.proposal is not None]
            readable = wait([worker.connection for worker in busy], self._seconds_left(busy))
            if not readable:
                if (trial := self._overdue(busy)) is not None:
                    return trial
                continue
            worker = next(worker for worker in busy if worker.connection in readable)
            try:
                outcome = worker.connection.recv()
            except (EOFError, ConnectionError):  # reset, where it died before it read its proposal
                if (trial := self._lost(worker)) is not None:
                    return trial
                continue
            if outcome != _READY:
                break
            worker.ready, worker.started, self._startup_crashes = True, time.time(), 0
        proposal, worker.proposal = worker.proposal, None
        if proposal is None:
            raise RuntimeError("a worker answered without being asked")
        if isinstance(outcome, EvaluationError):
            return proposal.fail(str(outcome)).ran(worker.executed())
        if isinstance(outcome, BaseException):
            raise outcome
        return proposal.complete(outcome).ran(worker.executed())

    def _seconds_left(self, busy: Sequence[_Worker]) -> float | None:
        """Return the time until the first evaluation is overdue; ``None``: none will be."""
        begun = [worker.started for worker in busy if worker.ready]
        if self._timeout is None or not begun:
            return None
        return max(0.0, min(begun) + self._timeout - time.time())

    def _overdue(self, busy: Sequence[_Worker]) -> Trial | None:
        """End the oldest evaluation if it is overdue, and return its failed trial."""
        worker = min((worker for worker in busy if worker.ready), key=lambda worker: worker.started)
        proposal = worker.proposal
        if self._timeout is None or proposal is None or time.time() < worker.started + self._timeout:
            return None
        self._replace(self._workers.index(worker))
        return proposal.fail(overdue(self._timeout)).ran(worker.executed())

    def _lost(self, worker: _Worker) -> Trial | None:
        """Replace a dead worker; return its failed trial, or ``None`` where the new one takes it over."""
        worker.process.join()
        proposal, code = worker.proposal, worker.process.exitcode
        if proposal is None:
            raise RuntimeError("an idle worker was waited for")
        self._startup_crashes += not worker.ready
        if self._startup_crashes >= MAX_STARTUP_CRASHES:
            raise UserError(
                f"worker processes die while they start (exit code {code}); is there enough memory for "
                f"{self._slots} worker{'s' if self._slots > 1 else ''}? Use fewer"
            )
        self._replace(self._workers.index(worker))
        if worker.ready:
            return proposal.fail(f"the worker process died (exit code {code})").ran(worker.executed())
        self.submit(proposal)
        return None

    def _replace(self, index: int) -> _Worker:
        self._end(self._workers[index])
        self._workers[index] = self._spawn(self._workers[index].name)
        return self._workers[index]

    @staticmethod
    def _end(worker: _Worker) -> None:
        worker.process.kill()
        worker.process.join()
        worker.connection.close()

    def _spawn(self, name: str) -> _Worker:
        context = multiprocessing.get_context("spawn")
        try:
            connection, child_end = context.Pipe()
            factory = ForkingPickler.dumps(self._factory)
            process = context.Process(target=follow, args=(child_end,), daemon=True, name="minnow-trial")
            with threads_limited(self._threads), interrupts_held_back():
                process.start()
        except OSError as error:  # too many processes or open files, no memory
            raise UserError(
                f"worker processes cannot start ({error.strerror or error}); "
                f"not all of {self._slots} workers run, use fewer"
            ) from error
        child_end.close()
        with contextlib.suppress(OSError):  # it died: collect() finds out
            connection.send(_work)
            connection.send_bytes(factory)
        return _Worker(process, connection, name)


def _work(connection: Connection) -> None:
    """Evaluate proposals until the other end closes; Ctrl-C is the parent's to handle."""
    factory = connection.recv_bytes()
    evaluator: Evaluator | None = None
    while True:
        proposal = connection.recv()
        outcome: object
        try:
            if evaluator is None:
                evaluator = ForkingPickler.loads(factory)()
                connection.send(_READY)
            outcome = dict(evaluator(proposal))
        except Exception as error:  # handed to the parent, which raises it
            outcome = portable(error)
        connection.send(outcome)


def overdue(seconds: float) -> str:
    """Return the error of a trial that took longer than it may."""
    return f"ended after {seconds:g} s, the time limit of a trial"


def portable(error: Exception) -> Exception:
    """Return ``error`` with its traceback as a note, in a form that can be pickled."""
    if isinstance(error, EvaluationError):
        return EvaluationError(str(error))
    where = traceback.format_exc()
    error.add_note(f"In a worker process:\n{where}")
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # an exception class may do anything when it is copied
        return RuntimeError(f"{type(error).__name__} in a worker process:\n{where}")
    return error


@contextlib.contextmanager
def interrupts_held_back() -> Iterator[None]:
    """Delay Ctrl-C, and hide it from processes started inside: their imports would print a traceback."""
    resource_tracker.ensure_running()  # started inside, it would lift the block again
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


@contextlib.contextmanager
def threads_limited(threads: int) -> Iterator[None]:
    """Limit processes started inside to ``threads`` threads; libraries read the limit when they load."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
