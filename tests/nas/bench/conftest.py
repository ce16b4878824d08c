"""A hand-made table of the toy space: the accuracy rises with the sum of the choices."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nas.bench.table import Table, TableRow
from nas.spaces.toy import Toy


@pytest.fixture
def table() -> Table:
    space = Toy()
    points = list(space.points())
    rows = {
        point: TableRow(
            (0.5 + 0.03 * i, 0.5 + 0.03 * i + 0.02), params=100 * (i + 1), macs=1000 * (i + 1)
        )
        for i, point in enumerate(points)
    }
    return Table(space, rows, num_classes=2)


@pytest.fixture
def file(tmp_path: Path, table: Table) -> Path:
    """The same table as a file."""
    path = tmp_path / "table.json"
    content = {
        "".join(map(str, point)): {
            "test_acc": [100 * value for value in row.accuracies],
            "params": row.params,
            "flops": row.macs,
        }
        for point, row in table.rows.items()
    }
    path.write_text(json.dumps(content))
    return path
