"""Reading a table, and looking networks up in it."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from core.errors import UserError
from nas.bench.table import Table, TableEvaluator
from nas.spaces.macro import Macro
from nas.spaces.toy import Toy
from nas.trial import Proposal

PUBLISHED = Path(__file__).parents[4] / "shared" / "data" / "nas-bench-macro_cifar10.json"


def proposal(table: Table, choices: tuple[int, ...], seed: int = 0) -> Proposal:
    return Proposal(0, choices, table.space.decode(choices), seed)


def test_a_file_reads_as_what_it_was_written_from(table: Table, file: Path) -> None:
    read = Table.read(file, Toy())
    assert set(read.rows) == set(table.rows)
    for point, row in table.rows.items():
        assert read.rows[point].accuracies == pytest.approx(row.accuracies)
        assert (read.rows[point].params, read.rows[point].macs) == (row.params, row.macs)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.json does not exist"):
        Table.read(tmp_path / "nowhere.json", Toy())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: [], "expected an object of codes"),
        (lambda content: {"x": 1}, "has no network '0000'"),
        (lambda content: {**content, "0000": {"test_acc": [50]}}, "malformed at '0000'.*params"),
        (lambda content: {**content, "0000": 3}, "malformed at '0000'"),
        (
            lambda content: {**content, "0000": {**content["0000"], "test_acc": []}},
            "malformed at '0000'.*at least 1 item",
        ),
        (
            lambda content: {**content, "0000": {**content["0000"], "test_acc": [101]}},
            "less than or equal to 100, got 101",
        ),
        (lambda content: {**content, "0000": {**content["0000"], "test_acc": ["x"]}}, "valid number"),
    ],
)
def test_a_malformed_file(file: Path, change, message: str) -> None:
    file.write_text(json.dumps(change(json.loads(file.read_text()))))
    with pytest.raises(UserError, match=message):
        Table.read(file, Toy())


def test_no_json(file: Path) -> None:
    file.write_text("{")
    with pytest.raises(UserError, match="cannot be read: not valid JSON"):
        Table.read(file, Toy())


def test_an_observation_depends_on_both_seeds_and_nothing_else(table: Table) -> None:
    point = next(iter(table.rows))
    evaluators = [TableEvaluator(table, seed) for seed in (0, 0, 1)]
    seen = [[e(proposal(table, point, seed))["f1"] for seed in range(40)] for e in evaluators]
    assert seen[0] == seen[1] != seen[2]
    assert set(seen[0]) == set(table.rows[point].accuracies)


def test_a_network_trained_again_is_drawn_again(table: Table) -> None:
    """Each recorded accuracy comes as often as the others: 500 of 1,000, give or take four deviations."""
    point = next(iter(table.rows))
    first = table.rows[point].accuracies[0]
    seen = [TableEvaluator(table, 0)(proposal(table, point, seed))["f1"] for seed in range(1000)]
    assert abs(seen.count(first) - 500) < 4 * 16


def test_durations_are_uneven_and_follow_the_macs(table: Table) -> None:
    evaluator = TableEvaluator(table, 0)
    small, *_, large = table.rows
    short = [evaluator.duration(proposal(table, small, seed)) for seed in range(300)]
    long = [evaluator.duration(proposal(table, large, seed)) for seed in range(300)]
    ratio = table.rows[large].macs / table.rows[small].macs
    assert np.mean(long) / np.mean(short) == pytest.approx(ratio, rel=0.1)
    assert len(set(short)) == 300


@pytest.mark.skipif(not PUBLISHED.exists(), reason="needs ../shared/data")
def test_equal_networks_have_equal_rows_in_the_published_table() -> None:
    table, content = Table.read(PUBLISHED, Macro()), json.loads(PUBLISHED.read_text())
    for choices in product(range(3), repeat=8):
        row = content["".join(map(str, choices))]
        assert [100 * value for value in table[choices].accuracies] == pytest.approx(row["test_acc"])
        assert table[choices].macs == row["flops"]
    best = max(table.rows.values(), key=lambda row: row.mean)
    assert 100 * best.mean == pytest.approx(93.1267, abs=1e-3)


def test_rows_are_found_under_any_code_of_the_network(table: Table) -> None:
    row = replace(next(iter(table.rows.values())), macs=7)
    macro = Macro()
    rows = {macro.canonical((1, 0, 1, 0, 2, 0, 0, 0)): row}
    assert Table(macro, rows, 10)[(1, 0, 1, 0, 2, 0, 0, 0)] is row
    assert Table(macro, rows, 10)[(1, 0, 1, 2, 0, 0, 0, 0)] is row
