"""Several students of one network, alike but for the seed: where they lie, and which one is kept.

A student is trained in ``RUN/seeds/SEED``. When all are trained, the one that validates best moves to
``RUN/student`` and its ``metrics.json`` gets the scores of all under ``seeds``. A rename is all that
moves, so a killed run holds every finished student whole, in one place or the other.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.files import flush_directory, write_json
from training.bundle import METRICS_FILE, WEIGHTS_FILE, read_metrics

STUDENT_FOLDER = "student"
SEEDS_FOLDER = "seeds"
RECORD = "seeds"  # in metrics.json of the kept student


def seed_path(run: Path, seed: int) -> Path:
    """Where a student is trained, and stays unless it is kept."""
    return run / SEEDS_FOLDER / str(seed)


def finished_students(run: Path) -> dict[int, Path]:
    """The finished students of a run by seed, in ascending order.

    Raises:
        UserError: a ``metrics.json`` is damaged.
    """
    places = [run / STUDENT_FOLDER, *(run / SEEDS_FOLDER).glob("*")]
    found = {read_metrics(path)["seed"]: path for path in places if (path / WEIGHTS_FILE).exists()}
    return dict(sorted(found.items()))


def has_unfinished_seeds(run: Path) -> bool:
    """Whether a run trains several seeds and has kept none yet."""
    begun = any(path.is_dir() for path in (run / SEEDS_FOLDER).glob("*"))
    return begun and not (run / STUDENT_FOLDER / WEIGHTS_FILE).exists()


def recorded_seeds(run: Path) -> list[int]:
    """The seeds that the kept student was chosen from; its own where it is the only one."""
    metrics = read_metrics(run / STUDENT_FOLDER)
    return (
        [one["seed"] for one in metrics[RECORD]["students"]] if RECORD in metrics else [metrics["seed"]]
    )


def check_same_training(path: Path, identity: str) -> None:
    """Refuse a finished student that these settings would not have made.

    Args:
        path: of the student.
        identity: see :func:`distill.student_training.training_identity`.

    Raises:
        UserError: it is another network, or its data, recipe or teacher differ.
    """
    if read_metrics(path).get("identity") != identity:
        raise UserError(
            f"{path} was trained with another network, data set, recipe or teacher; "
            "give the settings it was made with, or choose another --out"
        )


def keep_best_seed(run: Path) -> dict[str, Any]:
    """Let ``RUN/student`` be the student with the best validation F1; of equals, the lowest seed.

    May be called again, after a kill or with more students.

    Returns:
        Its ``metrics.json``. ``seeds`` in it has ``test_f1_mean`` and ``test_f1_sd`` (over the seeds,
        n - 1) and ``students``: ``seed``, ``val_f1`` and ``test_f1`` of each.
    """
    kept, places = run / STUDENT_FOLDER, finished_students(run)
    metrics = {seed: read_metrics(path) for seed, path in places.items()}
    best = max(metrics, key=lambda seed: metrics[seed]["val"]["f1"])
    for seed, path in places.items():
        if seed != best and metrics[seed].pop(RECORD, None) is not None:
            write_json(path / METRICS_FILE, metrics[seed])
    metrics[best][RECORD] = _record(metrics)
    write_json(places[best] / METRICS_FILE, metrics[best])
    if places[best] != kept:
        if kept.exists():
            os.rename(kept, seed_path(run, read_metrics(kept)["seed"]))
        os.rename(places[best], kept)
        flush_directory(run / SEEDS_FOLDER)
        flush_directory(run)
    return metrics[best]


def _record(metrics: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    scores = [one["test"]["f1"] for one in metrics.values()]
    return {
        "test_f1_mean": statistics.mean(scores),
        "test_f1_sd": statistics.stdev(scores),
        "students": [
            {"seed": seed, "val_f1": one["val"]["f1"], "test_f1": one["test"]["f1"]}
            for seed, one in metrics.items()
        ],
    }
