"""How well label errors are found: a copy of a data set with known flips, and three kinds of evidence.

Usage: python benchmarks/label_errors.py flip DATA OUT [--seed 0]   (label_errors.sh trains after it)
       python benchmarks/label_errors.py table OUT

``flip`` writes ``OUT/flips-SEED/``: links to all images in class folders, a share of them in the folder
of another class, drawn evenly; and the network that is trained on it. ``table`` reads all of them, with
the runs ``OUT/run-SEED`` that there are, and prints, for each kind of evidence, the precision among as
many images as were flipped (which is the recall there, too), and precision and recall of the images that
confident learning reports. Errors that the data set already had count as false.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from unlabelled import step_parser, write_network

from minnow.label_check import Evidence, check_labels, head_evidence, mean_evidence
from minnow.listener import Listener
from training.bundle_files import STUDENT_FOLDER, WEIGHTS_FILE
from training.confident_learning import find_label_errors
from training.data.images import DataOptions, ImageSet, open_images

_SIDE = 128  # of the stored images, pixels
KINDS = {
    "teacher and student": ("teacher", "student"),
    "heads": ("heads",),
    "heads, teacher and student": ("heads", "teacher", "student"),
}


def main() -> None:
    """Flip labels, or print the table."""
    parser = step_parser(__doc__, "flip")
    parser.add_argument("--seed", type=int, default=0, help="of the flips")
    parser.add_argument("--share", type=float, default=0.05, help="of the images that are flipped")
    given = parser.parse_args()
    if given.step == "table":
        print(table(given.places[-1]))
        return
    data, out = given.places
    images = open_images(str(data), DataOptions(size=_SIDE))
    flip(images, data.resolve(), out / f"flips-{given.seed}", given.share, given.seed)
    write_network(out / "network.yaml", images, given.macs)


def flip(images: ImageSet, root: Path, out: Path, share: float, seed: int) -> None:
    """Write links to all images, a share of them below another class.

    The name of a link begins with the true class.
    """
    rng = np.random.default_rng(seed)
    labels = images.labels.copy()
    flipped = rng.choice(len(labels), round(share * len(labels)), replace=False)
    labels[flipped] += rng.integers(1, images.num_classes, len(flipped))
    for index, label in enumerate(labels % images.num_classes):
        file = Path(images.files[index])
        true = images.classes[images.labels[index]]
        place = out / images.classes[label] / f"{true}-{index:06d}{file.suffix}"
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.is_symlink():
            place.symlink_to(root / file)


def table(out: Path) -> str:
    """Return the Markdown table of all runs."""
    rows: dict[tuple[str, str], list[list[float]]] = {}
    for flips in sorted(out.glob("flips-*")):
        data, evidence = evidence_on(flips, flips.with_name(flips.name.replace("flips", "run")))
        held_out = np.sort(np.concatenate([data.splits[part] for part in ("val", "test")]))
        everything = np.arange(len(data.images))
        for where, images in (("val and test", held_out), ("all", everything)):
            for name, sources in KINDS.items():
                used = [_within(e, images) for e in evidence if e.source in sources]
                covered = np.unique(np.concatenate([e.images for e in used])) if used else ()
                if len(used) == len(sources) and len(covered) == len(images):
                    rows.setdefault((where, name), []).append(scores(data, used))
    lines = [
        "| images | evidence | precision at the flips | reported | their precision | their recall | n |",
        "|---|---|---|---|---|---|---|",
    ]
    for (where, name), values in rows.items():
        at, reported, precision, recall = (
            f"{np.mean(column):.{digits}f} ± {np.std(column, ddof=len(column) > 1):.{digits}f}"
            for column, digits in zip(zip(*values, strict=True), (3, 0, 3, 3), strict=True)
        )
        lines.append(f"| {where} | {name} | {at} | {reported} | {precision} | {recall} | {len(values)} |")
    return "\n".join([*lines, "", "mean ± sd over n seeds of flips"])


def evidence_on(flips: Path, run: Path) -> tuple[ImageSet, Sequence[Evidence]]:
    """Return the images and all evidence; that of the heads alone where no student was trained."""
    if (run / STUDENT_FOLDER / WEIGHTS_FILE).exists():
        checked = check_labels(run)
        return checked.data, checked.evidence
    data = open_images(str(flips), DataOptions(size=_SIDE))
    return data, [head_evidence(None, data, Listener())]


def scores(data: ImageSet, evidence: Sequence[Evidence]) -> list[float]:
    """Return precision at the number of flips, images reported, their precision, and their recall."""
    images, probabilities = mean_evidence(evidence)
    labels = data.labels[images]
    true = [Path(data.files[index]).name.rpartition("-")[0] for index in images]
    flipped = np.array([name != data.classes[label] for name, label in zip(true, labels, strict=True)])
    worst = np.argsort(label_margins(labels, probabilities), kind="stable")[: flipped.sum()]
    reported = find_label_errors(labels, probabilities)
    hits = flipped[reported].sum()
    return [flipped[worst].mean(), len(reported), hits / len(reported), hits / flipped.sum()]


def label_margins(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the probability of each label minus that of the likeliest other class, ``(n,)``."""
    is_label = np.arange(probabilities.shape[1]) == labels[:, None]
    others: np.ndarray = np.where(is_label, -1.0, probabilities).max(axis=1)
    return probabilities[is_label] - others


def _within(evidence: Evidence, images: np.ndarray) -> Evidence:
    inside = np.isin(evidence.images, images)
    return Evidence(evidence.source, evidence.images[inside], evidence.probabilities[inside])


if __name__ == "__main__":
    main()
