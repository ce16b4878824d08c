"""A tabular benchmark: every network of a space, trained several times in advance.

The file is JSON in the form of NAS-Bench-Macro (Su et al., CVPR 2021)::

    {"02012100": {"test_acc": [89.47, 88.95, 89.17], "mean_acc": 89.2, "std": 0.21,
                  "params": 890666, "flops": 47327744}, ...}

A code holds one digit per decision. Codes that stand for the same network are looked up by their
canonical one, the only one that a strategy proposes. In NAS-Bench-Macro nothing is lost: the rows of all
2,592 codes that are not canonical equal those of their canonical code, so the best network is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.errors import UserError
from core.reading import first_fault, mapping, read_json
from nas.spaces.base import SearchSpace
from nas.trial import Proposal

_SPREAD = 0.3  # standard deviation of the logarithm of a training's duration, MACs given


class _Record(BaseModel):
    """One network in the file."""

    model_config = ConfigDict(allow_inf_nan=False)

    test_acc: Annotated[list[Annotated[float, Field(ge=0, le=100)]], Field(min_length=1)]
    params: Annotated[int, Field(ge=0, lt=2**63)]
    flops: Annotated[int, Field(ge=0, lt=2**63)]


@dataclass(frozen=True)
class TableRow:
    """One network of the table.

    Attributes:
        accuracies: one per recorded training, 0 to 1.
        params: trainable parameters.
        macs: multiply-adds for one image.
    """

    accuracies: tuple[float, ...]
    params: int
    macs: int

    @property
    def mean(self) -> float:
        """Mean accuracy, which the benchmark takes as the true accuracy."""
        return sum(self.accuracies) / len(self.accuracies)

    def metrics(self, accuracy: float) -> dict[str, float]:
        """Return the metrics of a training that reached ``accuracy``; F1 is taken to be the accuracy."""
        return {"accuracy": accuracy, "f1": accuracy, "params": self.params, "macs": self.macs}


@dataclass(frozen=True)
class Table:
    """The rows of a space's networks.

    Attributes:
        space: of the networks.
        rows: canonical point to row; every canonical point has one.
        num_classes: of the data that the networks were trained on.
    """

    space: SearchSpace
    rows: Mapping[tuple[int, ...], TableRow]
    num_classes: int

    @classmethod
    def read(cls, path: Path, space: SearchSpace, num_classes: int = 10) -> Table:
        """Read a benchmark table from a JSON file.

        Raises:
            UserError: missing, malformed, or without some network of the space.
        """
        content = read_json(path, "table", remedy="give the JSON file of a benchmark")
        mapping(content, f"table {path} is malformed", "an object of codes")
        rows = {}
        for point in space.points():
            code = "".join(map(str, point))
            if code not in content:
                raise UserError(
                    f"table {path} has no network {code!r} of the space; it must hold every network"
                )
            rows[point] = _row(path, code, content[code])
        return cls(space, rows, num_classes)

    def __getitem__(self, choices: tuple[int, ...]) -> TableRow:
        """Return the row of the network at a point."""
        return self.rows[self.space.canonical(choices)]

    @cached_property
    def mean_macs(self) -> float:
        """Mean multiply-adds over all networks."""
        return sum(row.macs for row in self.rows.values()) / len(self.rows)


@dataclass(frozen=True)
class TableEvaluator:
    """An evaluator that looks networks up in a table.

    A training observes one of the recorded accuracies, drawn from the run's and the proposal's seed:
    independent of what earlier trainings of the network observed, so the same value may come again.

    Attributes:
        table: the networks.
        seed: of the run.
    """

    table: Table
    seed: int

    def __call__(self, proposal: Proposal) -> dict[str, float]:
        """Return the metrics of one training: accuracy, f1, params and macs."""
        row = self.table[proposal.choices]
        accuracy = row.accuracies[int(self._rng(proposal, 0).integers(len(row.accuracies)))]
        return row.metrics(accuracy)

    def duration(self, proposal: Proposal) -> float:
        """Return the virtual duration of a training: proportional to MACs, log-normal noise, mean 1."""
        share = self.table[proposal.choices].macs / self.table.mean_macs
        return float(share * self._rng(proposal, 1).lognormal(-(_SPREAD**2) / 2, _SPREAD))

    def _rng(self, proposal: Proposal, purpose: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, proposal.seed, purpose])


def _row(path: Path, code: str, content: Any) -> TableRow:
    try:
        record = _Record.model_validate(content)
    except ValidationError as error:
        reason = ": ".join(filter(None, first_fault(error)))
        raise UserError(
            f"table {path} is malformed at {code!r} ({reason}); "
            f"a network needs test_acc (percent, one per training), params and flops"
        ) from None
    return TableRow(tuple(percent / 100 for percent in record.test_acc), record.params, record.flops)
