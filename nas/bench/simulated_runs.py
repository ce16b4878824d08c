"""Many simulated searches, on an executor: several processes, or a cluster."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import nas.executors
from core.errors import UserError
from core.files import write_bytes
from core.runtime import cpu_count
from nas.bench.regret import Trajectory
from nas.bench.simulation import Job, run_job, truth_of
from nas.executors import DistantEvaluator, Placement, Resources, Watcher, Work
from nas.search import Evaluator, evaluated
from nas.trial import Proposal


@dataclass(frozen=True)
class RunsWork(Work):
    """The runs of a job; a proposal's number is the index of its run.

    Attributes:
        job: the settings of all.
        folder: where the trajectories are left, a file each.
    """

    job: Job
    folder: Path

    def here(self) -> Evaluator:
        """Return a search in this process."""
        return partial(_run, self)

    def nearby(self) -> Callable[[], Evaluator]:
        """Return a factory for processes that read the table from the same disk."""
        return self.here

    def distant(self) -> Callable[[], DistantEvaluator]:
        """Return a factory that holds the content of the table's file."""
        return partial(_distant, self.job, self.job.table.read_bytes())

    def keep(self, proposal: Proposal, checkpoint: bytes) -> None:
        """Leave a trajectory in the folder."""
        write_bytes(self.folder / str(proposal.number), checkpoint)

    def trajectory(self, index: int) -> Trajectory:
        """Return the outcome of a finished run."""
        found: Trajectory = pickle.loads((self.folder / str(index)).read_bytes())
        return found


def run_all(
    job: Job,
    runs: int,
    watcher: Watcher,
    *,
    placement: Placement | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Trajectory]:
    """Run searches 0 to ``runs - 1``; where they run changes only the time it takes.

    Args:
        job: what to run.
        runs: how many.
        watcher: hears of the nodes of a cluster.
        placement: where; ``None``: in one process per core, of one thread each.
        progress: callback with the numbers of finished and of all runs.

    Raises:
        UserError: a name, a limit or the table is wrong; there is nothing to run on.
    """
    placement = placement or Placement(workers=cpu_count())
    nas.executors.check(placement.executor)
    trajectories = {0: run_job(job, 0)}  # here first: what is wrong shows at once
    progress(1, runs)
    if runs == 1:
        return [trajectories[0]]
    resources = Resources()
    if not placement.here:
        most = runs - 1 if placement.workers is None else min(placement.workers, runs - 1)
        resources = Resources(most, cpus=1)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="minnow-"))
        work = RunsWork(job, Path(folder))
        executor = nas.executors.make(placement.executor, work, resources, watcher)
        stack.enter_context(executor)
        for trial in evaluated(executor, _proposals(job, runs)):
            if trial.metrics is None:
                raise UserError(f"run {trial.number}: {trial.error}")
            trajectories[trial.number] = work.trajectory(trial.number)
            progress(len(trajectories), runs)
    return [trajectories[index] for index in range(runs)]


def _proposals(job: Job, runs: int) -> list[Proposal]:
    """Return a proposal for each run but the first; its network means nothing."""
    space = truth_of(job).table.space
    network = space.decode(space.canonical([0] * len(space.decisions)))
    return [Proposal(index, (), network, index) for index in range(1, runs)]


def _run(work: RunsWork, proposal: Proposal) -> Mapping[str, float]:
    work.keep(proposal, pickle.dumps(run_job(work.job, proposal.number)))
    return {}


def _distant(job: Job, table: bytes) -> DistantEvaluator:
    with tempfile.TemporaryDirectory(prefix="minnow-") as folder:
        job = replace(job, table=Path(folder) / job.table.name)
        job.table.write_bytes(table)
        truth_of(job)  # read once, before the file goes
    return lambda proposal, _: ({}, pickle.dumps(run_job(job, proposal.number)))
