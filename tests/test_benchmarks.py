"""The programs in ``benchmarks/`` import what there is, and say what they do. Type checks see the rest."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest
from sklearn.metrics import f1_score

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SPACES = {"shuffled_space", "stages_space"}  # plugins, which strategies.py and make_table.py name
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
