"""The pictures of test F1 against latency, drawn from ``measured/elastic_trashnet.csv``.

Usage: python benchmarks/f1_latency.py [--docs docs]

The file holds the tables of students that inherit in docs/results.md, made by ``benchmarks/elastic.sh``.
Run 2 becomes ``f1-latency.svg`` (README), run 1 becomes ``inheritance.svg`` (docs/elastic.md). Vertical
bars are standard deviations over n seeds; a horizontal bar spans two measurements of one latency.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from scatter import LATENCY, Point, Series, scatter

from core.files import write_text

MEASURED = Path(__file__).parent / "measured" / "elastic_trashnet.csv"
_SERIES = {  # in the file: legend, colour
    "found": ("found by the search: the supernet's weights, distilled", "#c2410c"),
    "uniform": ("uniform cut of the teacher: its weights, distilled", "#2563eb"),
    "scratch": ("found by the search, from scratch, distilled for twice the epochs", "#7c3aed"),
    "mobilenetv3": ("MobileNetV3-Small from scratch, 100 epochs", "#047857"),
    "teacher": ("teacher: EfficientNet-Lite0, pretrained and fine-tuned", "#111827"),
}
_NAMES = {
    "found": "Minnow student",
    "mobilenetv3": "MobileNetV3-Small from scratch",
    "teacher": "Teacher: EfficientNet-Lite0",
}


def main() -> None:
    """Draw both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    docs = parser.parse_args().docs
    with MEASURED.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    title = "Test macro-F1 against latency on TrashNet: teacher, students, MobileNetV3-Small"
    for run, name, labelled in (("2", "f1-latency.svg", True), ("1", "inheritance.svg", False)):
        series = [
            Series(
                "" if labelled else legend,
                colour,
                [_point(row, labelled) for row in rows if (row["run"], row["series"]) == (run, key)],
            )
            for key, (legend, colour) in _SERIES.items()
        ]
        shown = [one for one in series if one.points]
        write_text(docs / name, scatter(shown, title, LATENCY, "macro-F1 on the test split"))


def _point(row: dict[str, str], labelled: bool) -> Point:
    label: tuple[str, ...] = ()
    if labelled:
        name = _NAMES[row["series"]]
        params = row["params"].replace("M", " M").replace("k", " k")
        spread = f" ± {row['sd']}" if row["sd"] else ""
        label = (name, f"{params} parameters, F1 {row['f1']}{spread} (n = {row['n']})")
    high_ms = float(row["latency_high_ms"]) if row["latency_high_ms"] else None
    return Point(
        float(row["latency_ms"]),
        float(row["f1"]),
        float(row["sd"] or 0),
        high_ms,
        label,
        below=row["series"] == "teacher",
    )


if __name__ == "__main__":
    main()
