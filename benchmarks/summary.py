"""Mean and standard deviation over the seeds of runs called NAME-SEED, as a Markdown table.

Usage: python benchmarks/summary.py RUN...
"""

from __future__ import annotations

import json
import statistics
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any


def main(paths: list[str]) -> None:
    """Print one row per name, and one for the teacher."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for path in map(Path, paths):
        metrics = json.loads((path / "student" / "metrics.json").read_text(encoding="utf-8"))
        name, _, _ = path.name.rpartition("-")
        groups[name].append({**metrics, **metrics["test"]})
        if metrics["teacher"] is not None:
            groups["teacher"] = [metrics["teacher"]]
    print("| | test macro-F1 | n | params | MACs | latency (IQR) | training |")
    print("|---|---|---|---|---|---|---|")
    for name, runs in groups.items():
        scores = [run["f1"] for run in runs]
        spread = f" ± {statistics.stdev(scores):.3f}" if len(scores) > 1 else ""
        latency = [run["latency_ms"]["median"] for run in runs]
        iqr = max(run["latency_ms"]["iqr"] for run in runs)
        seconds = statistics.mean(run["seconds"] for run in runs)
        print(
            f"| {name} | {statistics.mean(scores):.3f}{spread} | {len(runs)} "
            f"| {runs[0]['params'] / 1e3:,.0f} k | {runs[0]['macs'] / 1e6:.1f} M "
            f"| {statistics.median(latency):.2f} ({iqr:.2f}) ms | {seconds:.0f} s |"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
