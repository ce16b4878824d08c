"""Trainings of many students, one file of results each, shared by processes; and what they compare to.

Usage: python benchmarks/trained_lines.py RUN PART   (prints a part of the latency of RUN's teacher, ms)
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.config import SearchConfig, StudentConfig
from core.files import write_json
from core.locks import locked_file, try_lock
from core.reading import read_json
from deploy.architecture_latency import measure_architecture
from deploy.profile import Predictor
from deploy.targets import DEFAULT
from distill.inherited_weights import InheritedWeights
from distill.student_training import train_student
from minnow.progress import ConsoleListener
from minnow.run_directory import Run
from minnow.search_setup import make_space
from minnow.teacher import student_teacher
from nas.architecture import Architecture
from nas.spaces.elastic import Elastic
from teachers.ensemble import PreparedTeacher
from training.bootstrap import compare_f1
from training.budget import resolve_student
from training.bundle_files import METRICS_FILE
from training.data.images import ImageSet, data_options, open_images
from training.device import keep_freed_memory
from training.predictions import PREDICTIONS, read_predictions

NEAR = 1.15  # predicted latencies that are measured, times the limit
_BAND = 0.9  # of the limit, at least
_DRAWS = 20_000  # random networks, at most
_WAIT = 3_600.0  # seconds for another process that measures


def parser_of(doc: str) -> argparse.ArgumentParser:
    """Return the parser of a script that trains students of a search.

    Args:
        doc: of the script; its first line describes it.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("run", type=Path, help="of search --space elastic")
    parser.add_argument("--out", type=Path, required=True, help="directory of the lines")
    parser.add_argument("--seeds", type=int, default=2, help="number of seeds, from 0")
    parser.add_argument("--threads", type=int, default=2)
    return parser


def begun(given: argparse.Namespace) -> tuple[Run, ImageSet, Elastic]:
    """Prepare this process for trainings in the given threads; return what :func:`opened` does."""
    torch.set_num_threads(given.threads)
    keep_freed_memory()
    return opened(given.run)


def opened(path: Path) -> tuple[Run, ImageSet, Elastic]:
    """Return a search in the elastic space, its images and its space.

    Raises:
        SystemExit: it is another search.
    """
    run = Run(path)
    if run.config.space.name != "elastic" or run.config.teacher is None:
        raise SystemExit(f"{path} is no search in the elastic space")
    data = open_images(run.config.data.spec, data_options(run.config.data))
    space = make_space(Elastic, run.config, data.size)
    assert isinstance(space, Elastic)
    return run, data, space


def limit_ms(space: Elastic, classes: int, part: float, *, target: str = DEFAULT) -> float:
    """Return the latency of the whole network on a target, ms, divided by ``part``."""
    return latency(space.decode(space.largest), classes, target=target) / part


def latency(architecture: Architecture, classes: int, *, target: str = DEFAULT) -> float:
    """Return the latency of an untrained network on a target, ms."""
    return measure_architecture(architecture, classes, target=target).median_ms


def networks_near(
    limit: float,
    space: Elastic,
    classes: int,
    predictor: Predictor,
    *,
    count: int,
    seed: int,
) -> list[tuple[Architecture, float]]:
    """Return random networks at 90 to 100 % of a latency, each with its own in ms.

    Args:
        limit: the latency, ms.
        space: of the networks.
        classes: of the data.
        predictor: of the networks that are measured.
        count: how many networks, at most.
        seed: of the draws.
    """
    found: list[tuple[Architecture, float]] = []
    for drawn in random_networks_near(limit, space, predictor, count=_DRAWS, seed=seed):
        took = latency(drawn, classes)
        if _BAND * limit <= took <= limit:
            found.append((drawn, took))
        if len(found) == count:
            break
    return found


def random_networks_near(
    limit: float,
    space: Elastic,
    predictor: Predictor,
    *,
    count: int,
    seed: int,
) -> Iterator[Architecture]:
    """Yield different random networks whose predicted latency is near one in ms, ``count`` at most."""
    rng, seen = np.random.default_rng(seed), set[str]()
    for _ in range(_DRAWS):
        drawn = space.random_subnet(rng)
        if (
            _BAND / NEAR * limit <= predictor.predict([drawn])[0] <= NEAR * limit
            and drawn.key not in seen
        ):
            seen.add(drawn.key)
            yield drawn
        if len(seen) == count:
            return


def one_at_a_time(out: Path) -> AbstractContextManager[None]:
    """Return a lock for what processes must measure alike: the second finds the values of the first."""
    out.mkdir(parents=True, exist_ok=True)
    return locked_file(out / "measuring.lock", f"{out} is measured by another process", _WAIT)


def student_of(config: SearchConfig, images: int, *, epochs: int | None, seed: int) -> StudentConfig:
    """Return the settings that ``distill`` has for inheriting students of 10 M MACs and more."""
    base = StudentConfig(data=config.data, teacher=config.teacher, augment=config.augment, seed=seed)
    recipe = base.train.model_copy(update={"epochs": epochs})
    return resolve_student(base.model_copy(update={"train": recipe}), images, inherits=True)


def teacher_of(student: StudentConfig, data: ImageSet) -> PreparedTeacher:
    """Return the teacher of a student that has one, prepared."""
    teacher, _ = student_teacher(student, data, ConsoleListener())
    assert teacher is not None
    return teacher


@contextmanager
def claimed(line: Path, work: Path) -> Iterator[bool]:
    """Hold the directory of a training; false where its line is there, or another process trains it."""
    work.mkdir(parents=True, exist_ok=True)
    lock = None if line.exists() else try_lock(work)
    try:
        yield lock is not None
    finally:
        if lock is not None:
            lock.release()


def train_line(
    line: Path,
    facts: Callable[[], Mapping[str, Any]],
    architecture: Architecture,
    data: ImageSet,
    student: StudentConfig,
    teacher: PreparedTeacher,
    inherited: InheritedWeights,
) -> dict[str, Any] | None:
    """Train a student and write its line; ``None`` where it is there, or another process trains it.

    Args:
        line: file of the results.
        facts: what else the line says; called after the training.
        architecture: of the student.
        data: the images.
        student: settings, resolved.
        teacher: whose outputs it learns from.
        inherited: what it is cut out of.
    """
    key = f"{architecture.key}-{inherited.digest[:8]}-{student.train.epochs}-{student.seed}"
    work = line.parent / "trainings" / key
    with claimed(line, work) as free:
        if not free:
            return None
        if not (work / METRICS_FILE).exists():  # else trained for another line
            train_student(architecture, data, student, work, teacher=teacher, inherited=inherited)
        metrics, predictions = read_json(work / METRICS_FILE, ""), read_predictions(work / PREDICTIONS)
        row = {
            **facts(),
            "network": architecture.key,
            "resolution": architecture.resolution,
            "seed": student.seed,
            "epochs": student.train.epochs,
            "test_images": data.test_digest,
            "params": metrics["params"],
            "macs": metrics["macs"],
            "val_f1": metrics["val"]["f1"],
            "f1": metrics["test"]["f1"],
            "teacher_f1": metrics["teacher"]["f1"],
            "seconds": metrics["seconds"],
            "history": [epoch["val_f1"] for epoch in metrics["history"]],
            "labels": predictions.labels.tolist(),
            "predicted": predictions.predicted.tolist(),
        }
        write_json(line, row)
        return row


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """Return all lines of a directory."""
    return [read_json(path, "") for path in sorted(folder.glob("*.json"))]


def difference(
    base: Sequence[Sequence[Mapping[str, Any]]],
    other: Sequence[Sequence[Mapping[str, Any]]],
    classes: int,
) -> str:
    """Return the test F1 of ``other`` minus that of ``base``, points, with a 95 % interval.

    It is a paired bootstrap over the test images of all splits: every resample is the same for all
    networks. Splits that lack a side are left out.

    Args:
        base: lines by split.
        other: the same splits in the same order.
        classes: of the data.

    Raises:
        SystemExit: the lines of a split have other test images, or in another order.
    """
    whole = [(one, two) for one, two in zip(base, other, strict=True) if one and two]
    if not whole:
        return ""
    if any(row["labels"] != one[0]["labels"] for one, two in whole for row in (*one, *two)):
        raise SystemExit("lines of one split have different test labels; train them again")
    labels = np.concatenate([np.array(one[0]["labels"]) for one, _ in whole])
    sides = []
    for side in range(2):
        count = min(len(pair[side]) for pair in whole)
        parts = [np.array([row["predicted"] for row in pair[side][:count]]) for pair in whole]
        sides.append(np.concatenate(parts, axis=1))
    result = compare_f1(labels, sides[0], sides[1], classes).difference
    return f"{100 * result.value:+.1f} ({100 * result.low:+.1f} to {100 * result.high:+.1f})"


def main() -> None:
    """Print a limit for ``search --limit``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="of search --space elastic")
    parser.add_argument("part", type=int, help="denominator of the teacher's latency")
    given = parser.parse_args()
    _, data, space = opened(given.run)
    print(f"{limit_ms(space, data.num_classes, given.part):.4f}")


if __name__ == "__main__":
    main()
