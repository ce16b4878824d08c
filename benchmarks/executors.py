"""Time that executors add to a trial, and how many workers the searching process keeps busy.

Usage: python benchmarks/executors.py TABLE [--trials 1000] [--workers 2] [--repeats 3]
           [--executor local ray] [--storage URL]

Trials look their network up in TABLE, as in nas-bench-macro_cifar10.json, so that what remains is the
search loop: ask, hand over, collect, tell, store. Executors take turns; the first row is this process
alone. The study is kept in memory, in a journal, and in a database where there is a URL. The driver's own
time for a trial says how many workers it keeps busy with trials of 20 minutes.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import nas.executors
import nas.spaces
from nas.bench.simulation import MemoryStudy
from nas.bench.table import Table, TableEvaluator
from nas.executors import DistantEvaluator, Resources, Work
from nas.executors.executor_checks import SilentWatcher
from nas.objectives import Objectives
from nas.search import Evaluator, TrialStore, run_study
from nas.storage import Place, opened_study
from nas.strategies.random import RandomSearch
from nas.study import Store
from nas.trial import Proposal

_TRAINING = 20 * 60  # seconds of a trial, on paper
_GOALS = Objectives.parse(["f1"])


@dataclass(frozen=True)
class TableWork(Work):
    """Trials that look their network up.

    Attributes:
        path: of the table.
    """

    path: Path

    def here(self) -> Evaluator:
        """Return the evaluator."""
        return evaluator(self.path)

    def nearby(self) -> Callable[[], Evaluator]:
        """Return a factory that reads the table."""
        return partial(evaluator, self.path)

    def distant(self) -> Callable[[], DistantEvaluator]:
        """Return a factory that holds the table."""
        return partial(distant, evaluator(self.path))


def evaluator(path: Path) -> TableEvaluator:
    """Return the evaluator of a table."""
    return TableEvaluator(Table.read(path, nas.spaces.load("macro")()), seed=0)


def distant(known: TableEvaluator) -> DistantEvaluator:
    """Return an evaluator of the form that other machines need."""

    def evaluate(
        proposal: Proposal, checkpoint: bytes | None
    ) -> tuple[Mapping[str, float], bytes | None]:
        return known(proposal), None

    return evaluate


def main() -> None:
    """Run searches in turns, and print their times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--executor", nargs="+", default=["local", "ray"])
    parser.add_argument("--storage", help="URL of a database, for a third store")
    given = parser.parse_args()
    work = TableWork(given.table)
    stores = ["memory", "journal", *([given.storage] if given.storage else [])]
    cases = [("local", 1, store) for store in stores]
    cases += [(name, given.workers, "memory") for name in given.executor]
    times: dict[tuple[str, int, str], list[tuple[float, float]]] = {case: [] for case in cases}
    for repeat in range(given.repeats):
        for case in cases:
            times[case].append(timed(work, *case, given.trials, repeat))
            wall, cpu = times[case][-1]
            name, workers, store = case
            where = store.partition(":")[0]
            print(f"{name} x {workers}, {where}: {wall:.2f} ms, driver {cpu:.2f} ms", flush=True)
    print(
        f"\n| executor | workers | study in | ms per trial (median of {given.repeats}, range) | "
        "driver's own ms | workers kept busy by it |"
    )
    print("|---|---|---|---|---|---|")
    for (name, workers, store), pairs in times.items():
        walls, cpus = ([pair[index] for pair in pairs] for index in (0, 1))
        own = statistics.median(cpus)
        busy = 1000 * _TRAINING / own
        print(
            f"| {name} | {workers} | {store.partition(':')[0]} | {statistics.median(walls):.2f} "
            f"({min(walls):.2f} to {max(walls):.2f}) | {own:.2f} | {busy:,.0f} |"
        )


def timed(
    work: Work, name: str, workers: int, storage: str, trials: int, seed: int
) -> tuple[float, float]:
    """Return the time of a trial in all, and of this process alone, both in ms.

    A few trials before them start the workers.
    """
    space = nas.spaces.load("macro")()
    strategy = RandomSearch(space, _GOALS, seed=seed, num_classes=10)
    with (
        tempfile.TemporaryDirectory() as folder,
        nas.executors.make(name, work, Resources(workers), SilentWatcher()) as executor,
    ):
        warm = RandomSearch(space, _GOALS, seed=seed + 1000, num_classes=10)
        run_study(warm, executor, MemoryStudy(), trials=4 * workers)
        if storage == "memory":
            return looped(strategy, executor, MemoryStudy(), trials)
        url = None if storage == "journal" else storage
        place = Place(Path(folder) / "study.journal", url)
        study = f"executors-{time.time_ns()}"
        with opened_study(place, study) as opened:
            store = Store(opened, study, space, _GOALS, {}, place=place)
            try:
                return looped(strategy, executor, store, trials)
            finally:
                opened.delete_study(opened.get_study_id_from_name(study))


def looped(
    strategy: RandomSearch, executor: nas.executors.Executor, store: TrialStore, trials: int
) -> tuple[float, float]:
    """Run a study; return ms per trial, in all and of this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    run_study(strategy, executor, store, trials=trials)
    taken = time.perf_counter() - wall, time.process_time() - cpu
    return 1000 * taken[0] / trials, 1000 * taken[1] / trials


if __name__ == "__main__":
    main()
