"""Tables of networks fit into 100 columns."""

from __future__ import annotations

import pytest
from rich.console import Console

from minnow.tables import comparison_table, front_table, scores_table
from nas.objectives import Objectives
from nas.spaces.toy import Toy
from nas.trial import Proposal


def lines(table) -> list[str]:
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(table)
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_a_teacher_and_its_students():
    metrics = {
        "f1": 0.5091,
        "f1_interval": [0.338, 0.633],
        "accuracy": 0.541,
        "params": 12_345_678,
        "macs": 1_234_567_890,
        "latency_ms": {"median": 12.71, "iqr": 1.31},
        "seconds": 34_212,
    }
    rows = [("teacher", metrics), ("student, distilled", metrics), ("student, alone", None)]
    shown = lines(
        comparison_table("a set with a long name: test split, distilled with dkd + ls + hint", rows)
    )
    assert next(line for line in shown if line.startswith(" student, distilled ")).endswith("34212 s")
    assert not any("…" in line for line in shown)
    assert len([line for line in shown[2:] if line]) == 4  # heads, a rule, two rows


@pytest.mark.parametrize("goals", [["f1"], ["f1", "accuracy", "latency_ms"]])
def test_a_front_of_repeated_trainings_of_several_lengths(goals):
    space, objectives = Toy(), Objectives.parse(goals)
    metrics = {
        "f1": 0.95,
        "accuracy": 0.95,
        "params": 2_345_678,
        "macs": 123_456_789,
        "latency_ms": 12.345,
        "train_seconds": 1234,
    }
    trials = [
        Proposal(n, point, space.decode(point), seed=n, epochs=450).complete(metrics)
        for n, point in enumerate([next(space.points())] * 3)
    ]
    shown = lines(front_table(trials, trials[0], objectives))
    (row,) = [line for line in shown if line.startswith(" chosen")]
    assert row.split()[-1] == "3" and "…" not in "".join(shown)


def test_names_in_square_brackets_are_names():
    scores = {"f1": 0.5, "accuracy": 0.5, "balanced_accuracy": 0.5}
    scores |= {"confusion": [[1, 0], [1, 0]], "per_class_f1": [0.7, 0.0]}
    found = "\n".join(lines(scores_table(scores, ["[other]", "[bold]"], 2)))
    assert found.count("[other]") == found.count("[bold]") == 2
