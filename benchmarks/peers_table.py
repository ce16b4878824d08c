"""The Markdown table of benchmarks/peers_pruning.py, from the lines in its file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from trained_lines import difference

from training.bootstrap import compare_f1

RESULTS = "results.jsonl"
TEACHER, MINNOW = "teacher", "minnow"

Row = Mapping[str, Any]


def network_name(method: str, seed: int) -> str:
    """Return the name of a network in files and latencies."""
    return f"{method}-{seed}"


def table(*results: Sequence[Row]) -> str:
    """Return the table of the methods that are finished.

    Args:
        results: lines of methods and of latencies; a network's last latency counts. Those of several
            files under the same conditions are pooled; a network is compared with Minnow's of its file.
    """
    results = tuple(lines for lines in results if lines)
    if not results:
        return "no method is finished"
    setup, measured = results[0][0], [line for lines in results for line in lines if "latencies" in line]
    methods: dict[str, list[Row]] = defaultdict(list)
    rows = [{**row, "file": file} for file, lines in enumerate(results) for row in _timed(lines)]
    for row in sorted(rows, key=lambda row: (row["seed"], row["file"])):
        methods[row["method"]].append(row)
    text = [
        "| method | input | test macro-F1 (95 %) | Minnow minus it, points (95 %) | latency (IQR) "
        "| of the teacher's | params | MACs | in all | after the teacher | n |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    ours = methods.get(MINNOW, [])
    text += [_line(method, its, ours) for method, its in methods.items()]
    teacher = methods[TEACHER][0]
    test, runtime = len(teacher["labels"]), teacher["latency"]["runtime"]
    text += [
        "",
        f"limit {setup['limit_ms']:g} ms, {setup['epochs']} epochs; {test:,} test images; {runtime}",
    ]
    machines = "; ".join(sorted({line["machine"] for line in measured}))
    return "\n".join([*text, f"machine: {machines}"])


def _timed(lines: Sequence[Row]) -> list[Row]:
    """Return the lines of methods in one file, with the latencies of their networks."""
    latencies: dict[str, Any] = {}
    for line in lines:
        latencies |= line.get("latencies", {})
    timed: list[Row] = []
    for row in (line for line in lines if "method" in line):
        latency = latencies.get(network_name(row["method"], row["seed"]))
        share = latency and latency["median"] / latencies[network_name(TEACHER, 0)]["median"]
        timed.append({**row, "latency": latency, "latency_share": share})
    return timed


def _line(method: str, rows: Sequence[Row], ours: Sequence[Row]) -> str:
    """Return the line of a method, means over its seeds."""
    failed = [row for row in rows if "failed" in row]
    rows = [row for row in rows if "failed" not in row]
    if not rows:
        return f"| {method} | {failed[0]['failed']} |" + " |" * 9
    labels, classes = np.array(rows[0]["labels"]), rows[0]["classes"]
    predicted = np.array([row["predicted"] for row in rows])
    f1 = compare_f1(labels, predicted, predicted, classes).a
    pairs = {(row["file"], row["seed"]): row for row in ours if "f1" in row}
    both = [row for row in rows if (row["file"], row["seed"]) in pairs]
    minus = ""
    if both and method not in (MINNOW, TEACHER):
        minus = difference([both], [[pairs[row["file"], row["seed"]] for row in both]], classes)
    sides = "/".join(map(str, sorted({row["resolution"] for row in rows})))

    def mean(name: str) -> float:
        return float(np.mean([row[name] for row in rows]))

    without = f", {len(failed)} without a network" if failed else ""
    latency, iqr = (float(np.mean([row["latency"][name] for row in rows])) for name in ("median", "iqr"))
    after = "" if method == TEACHER else f"{mean('after_seconds') / 60:.1f} min"
    return (
        f"| {method} | {sides} px | {f1.value:.3f} ({f1.low:.3f} to {f1.high:.3f}) | {minus} "
        f"| {latency:.2f} ({iqr:.2f}) ms | {mean('latency_share'):.0%} "
        f"| {mean('params') / 1e3:,.0f} k | {mean('macs') / 1e6:.1f} M "
        f"| {mean('seconds') / 60:.1f} min | {after} | {len(rows)}{without} |"
    )
