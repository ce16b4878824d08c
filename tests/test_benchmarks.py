"""The programs in ``benchmarks/`` import what there is, and say what they do. Type checks see the rest."""

from __future__ import annotations

import importlib
import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SPACES = {"shuffled_space", "stages_space"}  # plugins, which strategies.py and make_table.py name
SETUP = {"data": "d", "classes": 3, "teacher": "t", "limit_ms": 1.4, "epochs": 1}  # of peers
PROGRAMS = sorted(
    path.stem for path in BENCHMARKS.glob("*.py") if "__main__" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", PROGRAMS)
def test_help(name, monkeypatch, capsys):
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setattr("sys.argv", [f"{name}.py", "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(BENCHMARKS / f"{name}.py"), run_name="__main__")
    assert not ended.value.code
    assert "usage: " in capsys.readouterr().out.lower()


@pytest.mark.parametrize("name", sorted(SPACES))
def test_spaces(name):
    """Their plugins build networks."""
    import numpy as np

    from nas.spaces.base import SearchSpace

    defined = [
        value
        for value in runpy.run_path(str(BENCHMARKS / f"{name}.py")).values()
        if isinstance(value, type) and issubclass(value, SearchSpace) and value.__module__ == "<run_path>"
    ]
    assert defined
    for space in (kind() for kind in defined):
        choices = space.sample(np.random.default_rng(0))
        assert space.decode(choices).layers


def write_student(folder: Path, true: list[str], predicted: list[str]) -> None:
    """Write what the tables of unlabelled.py read of a student."""
    folder.mkdir(parents=True)
    rows = "".join(
        f"{index}.jpg,{a},{b},0.5,0.5\n" for index, (a, b) in enumerate(zip(true, predicted, strict=True))
    )
    (folder / "predictions.csv").write_text(f"file,true,predicted,p_a,p_b\n{rows}")
    f1 = f1_score(true, predicted, average="macro")
    metrics = {"test": {"f1": f1, "per_class_f1": [f1, f1]}, "teacher": {"f1": 0.9}}
    (folder / "metrics.json").write_text(json.dumps(metrics))


def test_what_images_without_labels_recover(tmp_path, monkeypatch):
    """Of a difference between 0.5 and 0.9, 0.7 is half; a split that is not finished does not count."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    true = ["a"] * 20 + ["b"] * 20
    for arm, wrong in (("quarter", 10), ("unlabelled", 6), ("all", 2)):
        predicted = ["b"] * wrong + ["a"] * (20 - wrong) + ["a"] * wrong + ["b"] * (20 - wrong)
        write_student(tmp_path / f"split-0/{arm}-0/student", true, predicted)
    write_student(tmp_path / "split-1/quarter-0/student", true, true)
    (tmp_path / "split-1/all-0/student").mkdir(parents=True)  # its training has begun
    table = runpy.run_path(str(BENCHMARKS / "unlabelled.py"))["table"]
    text = table(tmp_path)
    assert "| quarter | 0.500 ± 0.000 |  | 0.900 | 1 |" in text
    assert "| unlabelled | 0.700 ± 0.000 | +20.0 (" in text
    assert "recovers 50% of the difference" in text


@pytest.fixture
def program(monkeypatch):
    """Imports a module of ``benchmarks/`` by its name."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module


def test_a_given_network_is_trained_and_scored_as_a_student(program, some_digits, tiny, tmp_path):
    """The same network, settings and seed give the predictions that ``train`` writes."""
    import torch

    from core.config import StudentConfig, TrainConfig
    from distill.student_training import train_student
    from nas.networks import build
    from training.budget import resolve_student
    from training.predictions import read_predictions
    from training.preprocess import IMAGENET

    given = program("given_network")
    config = resolve_student(StudentConfig(train=TrainConfig(epochs=25), seed=5), 200)
    metrics = train_student(tiny, some_digits, config, tmp_path / "student", teacher=None)
    torch.manual_seed(5)
    model, sees = build(tiny, some_digits.num_classes), given.Input(tiny.resolution, IMAGENET)
    fitted = given.train_given(model, sees, some_digits, config, None)
    scores = given.score_given(fitted.model, sees, some_digits, config, tmp_path)
    predictions = read_predictions(tmp_path / "student/predictions.csv")
    assert scores["predicted"] == predictions.predicted.tolist()
    assert scores["f1"] == metrics["test"]["f1"] > 0.2
    assert (scores["params"], scores["macs"]) == (metrics["params"], metrics["macs"])


def test_the_table_of_peers(program):
    """Means over seeds, F1 by scikit-learn; a method without a network says why."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 200)

    def line(method: str, seed: int, wrong: int) -> dict[str, Any]:
        predicted = labels.copy()
        predicted[:wrong] = (predicted[:wrong] + 1) % 3
        scored = {"labels": labels.tolist(), "predicted": predicted.tolist(), "resolution": 64}
        sizes = {"params": 1e6, "macs": 2e7, "seconds": 120.0, "after_seconds": 60.0}
        named = {"method": method, "seed": seed, "f1": f1_score(labels, predicted, average="macro")}
        return {**SETUP, **named, **scored, **sizes}

    lines = [line("teacher", 0, 10), line("minnow", 0, 20), line("minnow", 1, 30)]
    lines += [line("optuna", 0, 60)]
    names = ("teacher-0", "minnow-0", "minnow-1", "optuna-0")
    times = {
        name: {"median": index + 1.0, "iqr": 0.5, "runtime": "a"} for index, name in enumerate(names)
    }
    lines += [{**SETUP, "method": "fastnas", "seed": 0, "failed": "no network"}]
    lines += [{**SETUP, "latencies": times, "machine": "here"}]
    text = program("peers_table").table(lines)
    rows = {row.split(" | ")[0].strip("| "): row.split(" | ") for row in text.splitlines()}
    f1 = (lines[1]["f1"] + lines[2]["f1"]) / 2
    assert rows["minnow"][2].startswith(f"{f1:.3f} (")
    assert rows["minnow"][4:9] == ["2.50 (0.50) ms", "250%", "1,000 k", "20.0 M", "2.0 min"]
    difference = 100 * (lines[1]["f1"] - lines[3]["f1"])  # of the seed that both have
    assert rows["optuna"][3].startswith(f"{difference:+.1f} (")
    assert rows["fastnas"][1] == "no network"
    assert "| optuna |" in program("peers_table").table(
        [row for row in lines if row.get("method") != "minnow"]
    )


def test_results_of_several_files_are_pooled(program):
    """Each file's networks keep the latencies measured beside them."""
    scored = {"labels": [0, 1], "predicted": [0, 1], "resolution": 64, "f1": 1.0}
    sizes = {"params": 1e6, "macs": 2e7, "seconds": 120.0, "after_seconds": 60.0}
    files = []
    for seed, median in enumerate((1.0, 3.0)):
        rows = [{**SETUP, "method": "teacher", "seed": 0}, {**SETUP, "method": "minnow", "seed": seed}]
        names = ("teacher-0", f"minnow-{seed}")
        medians = (10 * median, median)
        times = {
            name: {"median": one, "iqr": 0.5, "runtime": "a"}
            for name, one in zip(names, medians, strict=True)
        }
        files += [[*(row | scored | sizes for row in rows), {"latencies": times, "machine": "here"}]]
    teacher, ours = program("peers_table").table(*files).splitlines()[2:4]
    assert teacher.split(" | ")[4:6] == ["20.00 (0.50) ms", "100%"]
    assert ours.split(" | ")[4:6] == ["2.00 (0.50) ms", "10%"]
    assert teacher.endswith("| 2 |") and ours.endswith("| 2 |")
