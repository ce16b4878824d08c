"""Fine-tuned weights and their scores in the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import NonNegativeFloat
from torch import nn

from core.cached_records import damaged, read_cached, write_cached
from core.errors import one_line
from core.files import write_bytes
from training.metrics import Metrics
from training.score_record import ScoreRecord, StoredRecord

_WEIGHTS, _RECORD = "model.safetensors", "teacher.json"


class _Record(StoredRecord):
    """A cached fine-tuning, beside its weights."""

    sha256: str  # of the weights
    val: ScoreRecord
    seconds: NonNegativeFloat
    rollbacks: list[dict[str, Any]]


@dataclass(frozen=True)
class Tuned:
    """A finished fine-tuning.

    Attributes:
        val: scores on validation.
        seconds: its duration.
        rollbacks: after divergences, as :attr:`training.fit.Fitted.rollbacks`.
    """

    val: Metrics
    seconds: float
    rollbacks: Sequence[dict[str, Any]] = ()


def save_tuned(folder: Path, module: nn.Module, tuned: Tuned) -> None:
    """Write the weights of what was trained, a network or its head, and then the record.

    Raises:
        UserError: the disk is full.
    """
    from safetensors.torch import save

    weights = save({key: value.contiguous() for key, value in module.state_dict().items()})
    record = {
        "sha256": _sha256(weights),
        "val": asdict(tuned.val),
        "seconds": tuned.seconds,
        "rollbacks": list(tuned.rollbacks),
    }
    write_bytes(folder / _WEIGHTS, weights)
    write_cached(folder / _RECORD, record)


def is_saved(folder: Path) -> bool:
    """Return whether a fine-tuning is in the cache; its weights are not checked."""
    return (folder / _WEIGHTS).is_file() and (folder / _RECORD).is_file()


def load_tuned(folder: Path, module: nn.Module) -> Tuned | None:
    """Fill ``module`` from the cache; return ``None`` where the fine-tuning is missing or damaged."""
    from safetensors.torch import load

    path = folder / _WEIGHTS
    record = read_cached(_Record, folder / _RECORD)
    if record is None or not path.is_file():
        return None
    try:
        weights = path.read_bytes()
    except OSError as error:
        damaged(path, one_line(error))
        return None
    if record.sha256 != _sha256(weights):  # checked first: half-loaded weights would be trained on
        damaged(path, "its checksum is wrong")
        return None
    module.load_state_dict(load(weights))
    return Tuned(Metrics.from_dict(record.val.model_dump()), record.seconds, record.rollbacks)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
