"""Students of one network with several seeds: their directories, and the choice of the best one.

A student is trained in ``RUN/seeds/SEED``. When all are trained, the one with the best validation F1
moves to ``RUN/student``, and its ``metrics.json`` gets the scores of all under ``seeds``. The move is a
rename, so a killed run holds every finished student whole, in one place or the other.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.files import flush_directory, write_json
from distill.student_metrics import read_student_metrics, read_whole_metrics
from training.bundle_files import METRICS_FILE, STUDENT_FOLDER, WEIGHTS_FILE

SEEDS_FOLDER = "seeds"
_SEEDS_ENTRY = "seeds"  # in metrics.json of the kept student


def seed_path(run: Path, seed: int) -> Path:
    """Return the directory where the student of a seed is trained."""
    return run / SEEDS_FOLDER / str(seed)


def finished_students(run: Path) -> dict[int, Path]:
    """Return the directories of the finished students of a run by seed, in ascending order.

    Raises:
        UserError: a ``metrics.json`` is damaged.
    """
    paths = [run / STUDENT_FOLDER, *(run / SEEDS_FOLDER).glob("*")]
    finished = [path for path in paths if (path / WEIGHTS_FILE).exists()]
    by_seed = {read_student_metrics(path).seed: path for path in finished}
    return dict(sorted(by_seed.items()))


def has_unfinished_seeds(run: Path) -> bool:
    """Return whether a run has begun to train several seeds and kept none of them yet."""
    begun = any(path.is_dir() for path in (run / SEEDS_FOLDER).glob("*"))
    return begun and not (run / STUDENT_FOLDER / WEIGHTS_FILE).exists()


def recorded_seeds(run: Path) -> list[int]:
    """Return the seeds that the kept student was chosen from; its own if it is the only one."""
    metrics = read_student_metrics(run / STUDENT_FOLDER)
    if metrics.seeds is None:
        return [metrics.seed]
    return [student.seed for student in metrics.seeds.students]


def check_same_training(path: Path, identity: str) -> None:
    """Check that a finished student has the identity of a training.

    Args:
        path: of the student.
        identity: see :func:`distill.student_training.training_identity`.

    Raises:
        UserError: its network, data, recipe or teacher differ.
    """
    if read_student_metrics(path).identity != identity:
        raise UserError(
            f"{path} was trained with another network, data set, recipe or teacher; "
            "use the settings it was trained with, or choose another output directory"
        )


def keep_best_seed(run: Path) -> dict[str, Any]:
    """Move the student with the best validation F1 to ``RUN/student``; of equals, the lowest seed.

    It may be called again, after a kill or with more students.

    Returns:
        Its ``metrics.json``. ``seeds`` in it has ``test_f1_mean`` and ``test_f1_sd`` (over the seeds,
        n - 1) and ``students``: ``seed``, ``val_f1`` and ``test_f1`` of each.
    """
    kept, paths = run / STUDENT_FOLDER, finished_students(run)
    metrics = {seed: read_whole_metrics(path) for seed, path in paths.items()}
    best = max(metrics, key=lambda seed: metrics[seed]["val"]["f1"])
    for seed, path in paths.items():
        if seed != best and metrics[seed].pop(_SEEDS_ENTRY, None) is not None:
            write_json(path / METRICS_FILE, metrics[seed])
    metrics[best][_SEEDS_ENTRY] = _summary(metrics)
    write_json(paths[best] / METRICS_FILE, metrics[best])
    if paths[best] != kept:
        if kept.exists():
            os.rename(kept, seed_path(run, read_student_metrics(kept).seed))
        os.rename(paths[best], kept)
        flush_directory(run / SEEDS_FOLDER)
        flush_directory(run)
    return metrics[best]


def _summary(metrics: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    scores = [student["test"]["f1"] for student in metrics.values()]
    return {
        "test_f1_mean": statistics.mean(scores),
        "test_f1_sd": statistics.stdev(scores),
        "students": [
            {"seed": seed, "val_f1": student["val"]["f1"], "test_f1": student["test"]["f1"]}
            for seed, student in metrics.items()
        ],
    }
