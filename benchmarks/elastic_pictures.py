"""The pictures of docs/how-it-works.md, drawn from a search in the elastic space and its students.

Usage: python benchmarks/elastic_pictures.py RUN --students FILE.jsonl [--students ...] [--docs docs]

RUN is that of ``search --space elastic``; each FILE.jsonl is one of ``benchmarks/elastic.py``, with the
students in FILE/ beside it. Writes ``supernet.svg`` (validation F1 against latency of what the search
judged, and the front of that) and ``inheritance.svg`` (test F1 against latency of the trained students,
with teacher and baselines; the bars are standard deviations over seeds).
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.config import SearchConfig
from core.config_io import read_config
from core.files import write_text
from core.formats import read_lines
from deploy.architecture_latency import measure_architecture
from deploy.latency_measurement import measure_module
from minnow.run_directory import ARCHITECTURE, CONFIG, Run
from nas.architecture import Architecture
from teachers.finetune import finetune_teacher
from training.data.images import open_images, options_of

_LATENCY = "latency, ms (ONNX Runtime, 1 thread)"
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 720, 400, 60, 52, 30
_COLOURS = {
    "judged by the supernet": "#9aa5b1",
    "front": "#c2410c",
    "teacher": "#111827",
    "found: supernet's weights, distilled": "#c2410c",
    "uniform cut: teacher's weights, distilled": "#2563eb",
    "found, from scratch, twice the epochs, distilled": "#7c3aed",
    "MobileNetV3-Small, from scratch, 100 epochs": "#059669",
}
_ARMS = dict(zip(("found", "uniform", "scratch", "mobilenetv3"), list(_COLOURS)[3:], strict=True))


@dataclass(frozen=True)
class Series:
    """Points of one kind: ``(x, y, error)``; a line joins them where ``joined``."""

    name: str
    points: Sequence[tuple[float, float, float]]
    joined: bool = False


def main() -> None:
    """Draw both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="of search --space elastic")
    parser.add_argument("--students", type=Path, action="append", required=True)
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    given = parser.parse_args()
    trials = [trial.metrics for trial in Run(given.run).trials if trial.metrics]
    points = sorted((each["latency_ms"], each["f1"], 0.0) for each in trials)
    front: list[tuple[float, float, float]] = []
    for point in points:
        if not front or point[1] > front[-1][1]:
            front.append(point)
    config = read_config(SearchConfig, given.run / CONFIG)
    data = open_images(config.data.spec, options_of(config.data))
    if config.teacher is None:
        raise SystemExit(f"{given.run} has no teacher")
    judge = finetune_teacher(config.teacher, data, config.augment)
    latency = measure_module(judge.model, judge.resolution).median_ms
    series = [
        Series("judged by the supernet", points),
        Series("front", front, joined=True),
        Series("teacher", [(latency, judge.val.f1, 0.0)]),
    ]
    svg = scatter(series, _LATENCY, "validation macro-F1")
    write_text(given.docs / "supernet.svg", svg)
    found = [
        (row, path.with_suffix("") / row["key"]) for path in given.students for row in read_lines(path)
    ]
    groups: dict[tuple[str, str], list[float]] = {}
    times: dict[tuple[str, str], float] = {}
    for row, place in found:
        kind = row["arm"], row["network"]
        groups.setdefault(kind, []).append(row["f1"])
        if kind not in times:
            network = Architecture.from_yaml(place / ARCHITECTURE)
            times[kind] = measure_architecture(network, data.num_classes).median_ms
    students = [
        Series(
            label,
            [
                (
                    times[kind],
                    statistics.mean(scores),
                    statistics.stdev(scores) if len(scores) > 1 else 0.0,
                )
                for kind, scores in groups.items()
                if kind[0] == name
            ],
        )
        for name, label in _ARMS.items()
    ]
    tested = {row["teacher_f1"] for row, _ in found} - {None}
    students.append(Series("teacher", [(latency, score, 0.0) for score in tested]))
    svg = scatter([each for each in students if each.points], _LATENCY, "test macro-F1")
    write_text(given.docs / "inheritance.svg", svg)


def scatter(series: Sequence[Series], x_title: str, y_title: str) -> str:
    """An SVG with both axes labelled and a legend."""
    xs = [x for each in series for x, _, _ in each.points]
    ys = [y for each in series for _, y, _ in each.points]
    right, low, high = max(xs) * 1.05, min(ys) - 0.03, max(ys) + 0.03
    plot_width, plot_height = _WIDTH - _LEFT - 20, _HEIGHT - _BOTTOM - _TOP

    def at(x: float, y: float) -> tuple[float, float]:
        return _LEFT + plot_width * x / right, _TOP + plot_height * (high - y) / (high - low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT + 24 * len(series)}" '
        'font-family="sans-serif" font-size="13" fill="#111827">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
    ]
    for y in ticks(low, high):
        py = at(0, y)[1]
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - 20}" y1="{py:.1f}" y2="{py:.1f}" stroke="#e5e7eb"/>'
        )
        parts.append(f'<text x="{_LEFT - 8}" y="{py + 4:.1f}" text-anchor="end">{y:.2f}</text>')
    for x in ticks(0, right):
        px = at(x, low)[0]
        parts.append(f'<text x="{px:.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{x:g}</text>')
    middle = _LEFT + plot_width / 2
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 12}" text-anchor="middle">{x_title}</text>')
    parts.append(f'<text x="{_LEFT - 44}" y="18">{y_title}</text>')
    for row, each in enumerate(series):
        colour = _COLOURS[each.name]
        if each.joined:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(x, y) for x, y, _ in each.points))
            parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for x, y, error in each.points:
            px, py = at(x, y)
            if error:
                reach = plot_height * error / (high - low)
                parts.append(
                    f'<line x1="{px:.1f}" x2="{px:.1f}" y1="{py - reach:.1f}" y2="{py + reach:.1f}" '
                    f'stroke="{colour}"/>'
                )
            parts.append(
                f'<circle cx="{px:.1f}" cy="{py:.1f}" r="4" fill="{colour}" fill-opacity="0.8"/>'
            )
        legend = _HEIGHT + 24 * row + 8
        parts.append(f'<circle cx="{_LEFT}" cy="{legend}" r="5" fill="{colour}"/>')
        parts.append(f'<text x="{_LEFT + 12}" y="{legend + 4}">{each.name}</text>')
    return "\n".join([*parts, "</svg>", ""])


def ticks(low: float, high: float) -> list[float]:
    """Four to ten round numbers between two."""
    power = 10 ** math.floor(math.log10((high - low) / 4))
    step = max(power * each for each in (1, 2, 5) if power * each <= (high - low) / 4)
    return [round(i * step, 10) for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


if __name__ == "__main__":
    main()
