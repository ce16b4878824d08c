"""The picture of a supernet search in docs/elastic.md: validation F1 against latency of every trial.

Usage: python benchmarks/supernet_picture.py RUN [--docs docs]

RUN is that of ``search --space elastic``. Writes ``supernet.svg``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from scatter import LATENCY, Point, Series, scatter

from core.files import write_text
from deploy.latency_measurement import measure_module
from minnow.run_directory import Run
from teachers.finetune import finetune_teacher
from training.data.images import data_options, open_images


def main() -> None:
    """Draw it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="of search --space elastic")
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    given = parser.parse_args()
    run = Run(given.run)
    config = run.config
    if config.teacher is None:
        raise SystemExit(f"{given.run} has no teacher")
    metrics = [trial.metrics for trial in run.trials if trial.metrics]
    points = [Point(one["latency_ms"], one["f1"]) for one in metrics]
    front: list[Point] = []
    for point in sorted(points, key=lambda point: (point.x, point.y)):
        if not front or point.y > front[-1].y:
            front.append(point)
    data = open_images(config.data.spec, data_options(config.data))
    teacher = finetune_teacher(config.teacher, data, config.augment)
    latency = measure_module(teacher.model, teacher.resolution).median_ms
    series = [
        Series("judged by the supernet, without training", "#9aa5b1", points),
        Series("Pareto front", "#c2410c", front, joined=True),
        Series("teacher, fine-tuned", "#111827", [Point(latency, teacher.val.f1)]),
    ]
    title = "Validation macro-F1 against latency of every network that the supernet judged"
    picture = scatter(series, title, LATENCY, "macro-F1 on the validation split")
    write_text(given.docs / "supernet.svg", picture)


if __name__ == "__main__":
    main()
