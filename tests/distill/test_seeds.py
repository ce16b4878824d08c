"""The choice among students of several seeds, and the state after a kill at any moment."""

from __future__ import annotations

import json
import os
import statistics
from pathlib import Path

import pytest

from core.errors import UserError
from distill.seeds import (
    check_same_training,
    finished_students,
    has_unfinished_seeds,
    keep_best_seed,
    recorded_seeds,
    seed_path,
)

#: seed → validation and test F1
SCORES = {0: (0.5, 0.9), 1: (0.7, 0.3), 2: (0.7, 0.8)}


def scores_of(f1: float) -> dict:
    """The scores of two classes of 1,000 images that are confused equally often."""
    right = round(1000 * f1)
    return {
        **dict.fromkeys(["f1", "accuracy", "balanced_accuracy"], f1),
        "per_class_f1": [f1, f1],
        "confusion": [[right, 1000 - right], [1000 - right, right]],
    }


def trained(place: Path, seed: int, val: float, test: float) -> None:
    """The files of a finished training that these functions read."""
    place.mkdir(parents=True)
    content = {
        "seed": seed,
        "identity": f"alike-{seed}",
        "val": scores_of(val),
        "test": {"f1_interval": [0.1, 0.9], **scores_of(test)},
        "teacher": None,
        "params": 10,
        "macs": 20,
        "latency_ms": {},
        "seconds": 1.5,
        "epoch": 1,
        "history": [{"epoch": 1, "loss": 1.0, "val_f1": val}],
        "rollbacks": [],
        "test_pixels": "digest",
        "versions": {"torch": "2"},
    }
    (place / "metrics.json").write_text(json.dumps(content))
    (place / "model.safetensors").write_text(f"weights {seed}")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    for seed, scores in SCORES.items():
        trained(seed_path(tmp_path, seed), seed, *scores)
    return tmp_path


def check(run: Path, best: int, scores: dict[int, tuple[float, float]]) -> None:
    """Every student is in its place, and only the kept one has the scores of all."""
    assert {seed: path.relative_to(run) for seed, path in finished_students(run).items()} == {
        seed: Path("student") if seed == best else Path("seeds", str(seed)) for seed in scores
    }
    for seed, path in finished_students(run).items():
        assert (path / "model.safetensors").read_text() == f"weights {seed}"
        metrics = json.loads((path / "metrics.json").read_text())
        assert metrics["seed"] == seed and ("seeds" in metrics) == (seed == best)
    record = json.loads((run / "student/metrics.json").read_text())["seeds"]
    tests = [test for _, test in scores.values()]
    assert record["test_f1_mean"] == pytest.approx(statistics.mean(tests))
    assert record["test_f1_sd"] == pytest.approx(statistics.stdev(tests))
    assert record["students"] == [
        {"seed": seed, "val_f1": val, "test_f1": test} for seed, (val, test) in scores.items()
    ]
    assert recorded_seeds(run) == list(scores) and not has_unfinished_seeds(run)


def test_the_best_on_validation_is_kept_not_the_best_on_test(run):
    """Of two equal validation scores the lower seed wins, even with a worse test score."""
    returned = keep_best_seed(run)
    check(run, 1, SCORES)
    assert returned == json.loads((run / "student/metrics.json").read_text())


def test_choosing_again_changes_nothing(run):
    keep_best_seed(run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    keep_best_seed(run)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(("val", "best"), [(0.6, 1), (0.8, 3)])
def test_more_seeds_may_change_the_choice(run, val, best):
    keep_best_seed(run)
    trained(seed_path(run, 3), 3, val, 0.1)
    keep_best_seed(run)
    check(run, best, {**SCORES, 3: (val, 0.1)})


def test_a_student_that_was_trained_alone_is_one_of_them(tmp_path):
    trained(tmp_path / "student", 0, *SCORES[0])
    assert recorded_seeds(tmp_path) == [0]
    for seed in (1, 2):
        trained(seed_path(tmp_path, seed), seed, *SCORES[seed])
    keep_best_seed(tmp_path)
    check(tmp_path, 1, SCORES)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("step", range(1, 6))
def test_a_kill_at_any_step_loses_no_student(run, monkeypatch, step):
    """A kill before the step-th change to a directory, also while the kept student is replaced."""
    keep_best_seed(run)
    trained(seed_path(run, 3), 3, 0.9, 0.1)
    left = step

    def lethal(call):
        def wrapper(*arguments):
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed
            return call(*arguments)

        return wrapper

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", lethal(os.rename))
        patch.setattr(os, "replace", lethal(os.replace))
        try:
            keep_best_seed(run)
        except Killed:
            assert set(finished_students(run)) == {0, 1, 2, 3}
            assert has_unfinished_seeds(run) or set(recorded_seeds(run)) < {0, 1, 2, 3}, (
                "--resume goes on"
            )
        else:
            assert step == 5, "two records, two renames"
    keep_best_seed(run)
    check(run, 3, {**SCORES, 3: (0.9, 0.1)})


def test_what_is_unfinished(tmp_path):
    assert not has_unfinished_seeds(tmp_path)
    (tmp_path / "seeds").mkdir()
    (tmp_path / "seeds/.lock").touch()
    assert not has_unfinished_seeds(tmp_path) and finished_students(tmp_path) == {}
    seed_path(tmp_path, 4).mkdir()
    assert has_unfinished_seeds(tmp_path) and finished_students(tmp_path) == {}


def test_a_student_of_other_settings_is_refused(run):
    check_same_training(seed_path(run, 1), "alike-1")
    with pytest.raises(UserError, match="seeds/1 was trained with another") as caught:
        check_same_training(seed_path(run, 1), "other")
    assert "\n" not in str(caught.value)
