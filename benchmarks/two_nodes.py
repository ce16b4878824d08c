"""A search on a Ray cluster of two nodes with one core each, against two workers of this machine.

Usage: python benchmarks/two_nodes.py DATA --out DIR [--trials 8] [--epochs 4] [--space mobilenet]
           [--size 96] [--repeats 2]

Both search with the strategy random, whose proposals do not depend on the order in which trials end, so
the same networks are trained with the same seeds. They take turns.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path

import minnow
from minnow.progress import ConsoleListener

_STORE = 2**30  # bytes of a node's object store


def main() -> None:
    """Search in turns, and print times and differences."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="as of search")
    parser.add_argument("--out", type=Path, required=True, help="directory of the runs")
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--space", default="mobilenet")
    parser.add_argument("--size", type=int, default=96, help="side of the stored images, pixels")
    parser.add_argument("--repeats", type=int, default=2)
    given = parser.parse_args()
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": _STORE}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    cluster.add_node(num_cpus=1, object_store_memory=_STORE)
    os.environ["RAY_ADDRESS"] = cluster.address
    seconds: dict[str, list[float]] = {"local": [], "ray": []}
    differences: list[float] = []
    try:
        for repeat in range(given.repeats):
            scores = []
            for executor, times in seconds.items():
                begun = time.perf_counter()
                run = minnow.search(
                    {"spec": given.data, "size": given.size},
                    space=given.space,
                    strategy="random",
                    trials=given.trials,
                    confirm=0,
                    epochs=given.epochs,
                    seed=repeat,
                    executor=executor,
                    workers=2,
                    out=given.out / f"{executor}-{repeat}",
                    listener=ConsoleListener(),
                )
                times.append(time.perf_counter() - begun)
                scores.append(
                    {t.number: (t.architecture.key, (t.metrics or {})["f1"]) for t in run.trials}
                )
            one, other = scores
            same = all(one[number][0] == other[number][0] for number in one)
            differences += [abs(one[number][1] - other[number][1]) for number in one]
            print(f"repeat {repeat}: {'the same' if same else 'OTHER'} networks", flush=True)
    finally:
        cluster.shutdown()
    ratios = [ray / local for local, ray in zip(*seconds.values(), strict=True)]
    print(f"seconds with two workers: {', '.join(f'{s:.0f}' for s in seconds['local'])}")
    print(f"seconds with two nodes:   {', '.join(f'{s:.0f}' for s in seconds['ray'])}")
    print(f"ratio: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    print(
        f"difference of validation F1: median {statistics.median(differences):.4f}, "
        f"largest {max(differences):.4f}, of {len(differences)} trials"
    )


if __name__ == "__main__":
    main()
