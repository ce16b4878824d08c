"""What images without labels are worth: a quarter of the labels, with and without the rest of the images.

Usage: python benchmarks/unlabelled.py cut DATA OUT [--split 0]   (then benchmarks/unlabelled.sh trains)
       python benchmarks/unlabelled.py table OUT

``cut`` writes folders of links for one split: ``quarter/`` with a quarter of the images of each class
in train/ and val/, ``all/`` with all of them, both with the same test/; ``rest/`` with the other three
quarters of the training images, in no class folder; and the network that all arms train, the largest cut
of EfficientNet-Lite0 with the same share of every decision's range within a number of multiply-adds.

    quarter      learns from quarter/
    unlabelled   learns from quarter/, and from rest/ without labels
    all          learns from all/

Each arm has a teacher fine-tuned on its own labels, and starts from that teacher's weights; teachers and
students take as many steps in every arm. ``table`` prints the test macro-F1 of each, its difference to
``quarter`` with a 95 % interval (paired bootstrap over the test images of all splits, all seeds in every
resample), and the share of the difference between ``all`` and ``quarter`` that the images without labels
recover.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from pays import uniform_cuts
from trained_lines import difference

from core.config import SearchConfig, TeacherConfig
from core.reading import read_json
from minnow.search_setup import make_space
from nas.cost import cost
from nas.spaces.elastic import Elastic
from training.bundle_files import METRICS_FILE
from training.data.images import DataOptions, ImageSet, open_images
from training.predictions import PREDICTIONS, read_predictions

ARMS = ("quarter", "unlabelled", "all")
_PART = 4  # one in so many labels is kept


def main() -> None:
    """Cut the data, or print the table."""
    parser = step_parser(__doc__, "cut")
    parser.add_argument("--split", type=int, default=0, help="seed of the split")
    parser.add_argument("--side", type=int, default=128, help="of the stored images, pixels")
    given = parser.parse_args()
    if given.step == "table":
        print(table(given.places[-1]))
        return
    data, out = given.places
    images = open_images(str(data), DataOptions(size=given.side, split_seed=given.split))
    write_links(images, data.resolve(), out / f"split-{given.split}", given.split)
    write_network(out / "network.yaml", images, given.macs)


def step_parser(doc: str, first: str) -> argparse.ArgumentParser:
    """Return the parser of a program in two steps, of which the second prints a table.

    Args:
        doc: of the program.
        first: name of the first step, which writes a network with so many multiply-adds.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("step", choices=(first, "table"))
    parser.add_argument("places", type=Path, nargs="+", metavar="DATA OUT", help="for table: OUT alone")
    parser.add_argument("--macs", type=float, default=20e6, help="most multiply-adds of the network")
    return parser


def write_links(images: ImageSet, root: Path, out: Path, seed: int) -> None:
    """Write ``quarter/``, ``all/`` and ``rest/``."""
    rng = np.random.default_rng(seed)
    for part in ("train", "val", "test"):
        indices = images.splits[part]
        kept = set(indices) if part == "test" else set(_quarter(indices, images.labels, rng))
        for index in indices:
            source = root / images.files[index]
            place = f"{part}/{images.classes[images.labels[index]]}/{index:06d}{source.suffix}"
            _link(source, out / "all" / place)
            if index in kept:
                _link(source, out / "quarter" / place)
            elif part == "train":
                _link(source, out / "rest" / f"{index:06d}{source.suffix}")


def _quarter(indices: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a quarter of each class, at least one image."""
    shuffled = rng.permutation(indices)
    classes = [shuffled[labels[shuffled] == label] for label in np.unique(labels[indices])]
    return np.concatenate([own[: max(1, round(len(own) / _PART))] for own in classes])


def _link(source: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.is_symlink():
        place.symlink_to(source)


def write_network(path: Path, images: ImageSet, macs: float) -> None:
    """Write the model file of the network."""
    config = SearchConfig(teacher=TeacherConfig(spec="tf_efficientnet_lite0"))
    space = make_space(Elastic, config, images.size)
    assert isinstance(space, Elastic)
    cuts = uniform_cuts(space)
    network = next(cut for cut in cuts if cost(cut, images.num_classes).macs <= macs)
    network.to_yaml(path)


def table(out: Path) -> str:
    """Return the Markdown table of the students in ``out/split-*/ARM-SEED/``, and what they recover."""
    splits = sorted(out.glob("split-*"))
    by_split = [{arm: _rows(split, arm) for arm in ARMS} for split in splits]
    finished = [split for split in by_split if all(split.values())]  # no arm has more splits than others
    rows = {arm: [split[arm] for split in finished] for arm in ARMS}
    means = {}
    lines = [
        "| labels | test macro-F1 | minus a quarter alone, points (95 %) | teacher | n |",
        "|---|---|---|---|---|",
    ]
    for arm in ARMS:
        own = [row for split in rows[arm] for row in split]
        if not own:
            raise SystemExit(f"{out} has no trained student {arm}-SEED in a split-SEED")
        scores = [row["f1"] for row in own]
        means[arm] = float(np.mean(scores))
        deviation = np.std(scores, ddof=1) if len(scores) > 1 else 0.0
        minus = "" if arm == ARMS[0] else difference(rows[ARMS[0]], rows[arm], own[0]["classes"])
        teacher = np.mean([row["teacher_f1"] for row in own])
        lines.append(
            f"| {arm} | {means[arm]:.3f} ± {deviation:.3f} | {minus} | {teacher:.3f} | {len(own)} |"
        )
    quarter, unlabelled, whole = (means[arm] for arm in ARMS)
    if whole <= quarter:
        return "\n".join(
            [*lines, "", "all labels are no better than a quarter: there is nothing to recover"]
        )
    share = (unlabelled - quarter) / (whole - quarter)
    return "\n".join([*lines, "", f"recovers {share:.0%} of the difference"])


def _rows(split: Path, arm: str) -> list[dict[str, Any]]:
    rows = []
    for file in sorted(split.glob(f"{arm}-*/student/{METRICS_FILE}")):
        metrics, predictions = read_json(file, ""), read_predictions(file.parent / PREDICTIONS)
        rows.append(
            {
                "f1": metrics["test"]["f1"],
                "teacher_f1": metrics["teacher"]["f1"],
                "labels": predictions.labels.tolist(),
                "predicted": predictions.predicted.tolist(),
                "classes": len(metrics["test"]["per_class_f1"]),
            }
        )
    return rows


if __name__ == "__main__":
    main()
