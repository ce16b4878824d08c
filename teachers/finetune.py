"""Fine-tuning of a pretrained network on the user's images, once per (weights, data, recipe)."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import NonNegativeFloat
from torch import nn

from core.cache import cache_dir
from core.cached_records import damaged, read_cached, write_cached
from core.config import AugmentConfig, TeacherConfig, TrainConfig
from core.errors import UserError, disk_errors, one_line
from core.files import write_bytes
from teachers import find_pretrained
from teachers.base import PretrainedNetwork, TeacherSource, weights_digest
from teachers.timm_models import replace_head
from training.batches import Batches, augmentation_of
from training.budget import TEACHER, decided
from training.data.images import ImageSet
from training.evaluate import evaluate
from training.fit import Fitted, Progress, cross_entropy, fit
from training.metrics import Metrics
from training.preprocess import Normalization
from training.score_record import ScoreRecord, StoredRecord
from training.step import DivergedError, halve_once

_VERSION = 2  # of the fine-tuning; raise it when its result changes
_WEIGHTS, _RECORD, _CHECKPOINT = "model.safetensors", "teacher.json", "checkpoint.pt"


class _Record(StoredRecord):
    """A cached fine-tuning, beside its weights."""

    sha256: str  # of the weights
    val: ScoreRecord
    seconds: NonNegativeFloat
    rollbacks: list[dict[str, Any]]


@dataclass(frozen=True)
class Teacher:
    """A network trained on the data set: frozen, in eval mode.

    Attributes:
        name: for people.
        model: ``(B, 3, resolution, resolution)`` normalised images to ``(B, C)`` logits.
        resolution: side of its input, pixels.
        normalization: of its input.
        digest: of its weights.
        val: scores on validation.
        source: origin of its pretrained weights.
        cached: whether it was fine-tuned earlier.
        seconds: duration of the fine-tuning.
        rollbacks: after divergences, as :attr:`training.fit.Fitted.rollbacks`.
    """

    name: str
    model: nn.Module
    resolution: int
    normalization: Normalization
    digest: str
    val: Metrics
    source: str
    cached: bool
    seconds: float
    rollbacks: tuple[dict[str, Any], ...] = ()

    def evaluate(self, data: ImageSet, split: str) -> Metrics:
        """Return the scores on a split."""
        return evaluate(
            self.model, data, split, resolution=self.resolution, normalization=self.normalization
        )


def finetune_teacher(
    config: TeacherConfig,
    data: ImageSet,
    augment: AugmentConfig,
    *,
    device: torch.device = torch.device("cpu"),  # noqa: B008  immutable
    sources: list[TeacherSource] | None = None,
    warn: Callable[[str], None] = warnings.warn,
    report: Callable[[Progress], None] | None = None,
) -> Teacher:
    """Return the teacher, fine-tuned on the training split at its own resolution and normalisation.

    A network that Minnow trained on the same classes is used unchanged. Any other gets a new head and is
    fine-tuned. The result is cached, and an interrupted fine-tuning is resumed. Images are not mixed, so
    that students with and without mixtures share the teacher.

    Args:
        config: name of the teacher and settings of its fine-tuning.
        data: the images.
        augment: of the training images; CutMix and MixUp are left out.
        device: of the fine-tuning and of the returned network.
        sources: searched for the network; ``None`` searches the registered ones.
        warn: callback for one-line warnings.
        report: callback for the progress of every step.

    Raises:
        UserError: there is no such teacher; it was trained for other classes; it does not take images of
            this resolution; or its fine-tuning diverged twice.
    """
    pretrained = find_pretrained(config.spec, sources)
    if pretrained.classes is not None:
        return _trained_teacher(pretrained, config, data, device, warn)
    resolution = config.resolution or pretrained.default_resolution(data.size)
    pretrained.check_resolution(resolution)
    recipe = TrainConfig(epochs=config.epochs, learning_rate=config.learning_rate)
    recipe = decided(recipe, len(data.splits["train"]), TEACHER)
    augment = augment.model_copy(update={"cutmix": 0.0, "mixup": 0.0})
    key = _key(pretrained, data, resolution, recipe, augment)
    folder = cache_dir() / "teachers" / key
    model = pretrained.model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        replace_head(model, data.num_classes)
    cached = _load(folder, model)
    if cached is None:
        batches = Batches(
            data=data,
            resolution=resolution,
            normalization=pretrained.normalization,
            augmentation=augmentation_of(augment, data),
            batch_size=recipe.batch_size,
            views=recipe.view_count,
            seed=0,
            device=device,
        )
        try:
            fitted = fit(
                model,
                batches,
                cross_entropy(recipe.label_smoothing),
                recipe,
                checkpoint=folder / _CHECKPOINT,
                identity=key,
                on_divergence=halve_once(warn),
                report=report,
            )
        except DivergedError as error:
            raise UserError(f"fine-tuning stopped: {error}; lower teacher.learning_rate") from None
        _save(folder, fitted)
    _remove_checkpoint(folder)
    val, seconds, rollbacks = cached or (fitted.val, fitted.seconds, fitted.rollbacks)
    return Teacher(
        name=pretrained.name,
        model=_frozen(model, device),
        resolution=resolution,
        normalization=pretrained.normalization,
        digest=weights_digest(pretrained.name, model),
        val=val,
        source=pretrained.source,
        cached=cached is not None,
        seconds=seconds,
        rollbacks=tuple(rollbacks),
    )


def _trained_teacher(
    pretrained: PretrainedNetwork,
    config: TeacherConfig,
    data: ImageSet,
    device: torch.device,
    warn: Callable[[str], None],
) -> Teacher:
    """Return a network that Minnow trained, unchanged."""
    if pretrained.classes != data.classes:
        raise UserError(
            f"teacher {pretrained.name!r} has the classes {', '.join(pretrained.classes or ())}, "
            f"the data set has {', '.join(data.classes)}; "
            f"choose a teacher of these classes, or a timm name to fine-tune"
        )
    unused = config.model_dump(exclude_defaults=True, exclude={"spec"})
    if unused:
        names = ", ".join(f"teacher.{name}" for name in unused)
        warn(f"teacher {pretrained.name!r} is already trained and used unchanged: {names} has no effect")
    if pretrained.test_digest not in (None, data.test_digest):
        warn(
            f"teacher {pretrained.name!r} had another test split: it may have been trained on test "
            "images of this one, and its test F1 is then too high"
        )
    model = _frozen(pretrained.model, device)
    val = evaluate(
        model,
        data,
        "val",
        resolution=pretrained.resolution,
        normalization=pretrained.normalization,
    )
    return Teacher(
        name=pretrained.name,
        model=model,
        resolution=pretrained.resolution,
        normalization=pretrained.normalization,
        digest=pretrained.digest,
        val=val,
        source=pretrained.source,
        cached=True,
        seconds=0.0,
    )


def _frozen(model: nn.Module, device: torch.device) -> nn.Module:
    moved = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved.eval().requires_grad_(False)  # type: ignore[no-any-return]


def _key(
    pretrained: PretrainedNetwork,
    data: ImageSet,
    resolution: int,
    recipe: TrainConfig,
    augment: AugmentConfig,
) -> str:
    content = [
        _VERSION,
        pretrained.digest,
        data.digest,
        resolution,
        recipe.model_dump(),
        augmentation_of(augment, data).key,
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]


def _save(folder: Path, fitted: Fitted) -> None:
    from safetensors.torch import save

    weights = save({key: value.contiguous() for key, value in fitted.model.state_dict().items()})
    record = {
        "sha256": _sha256(weights),
        "val": asdict(fitted.val),
        "seconds": fitted.seconds,
        "rollbacks": fitted.rollbacks,
    }
    write_bytes(folder / _WEIGHTS, weights)
    write_cached(folder / _RECORD, record)


def _remove_checkpoint(folder: Path) -> None:
    """Remove the checkpoint, also one of a process that was killed right after saving the teacher."""
    path = folder / _CHECKPOINT
    if path.exists():  # else a cache that is read-only would complain
        with disk_errors(folder):
            path.unlink(missing_ok=True)


def _load(folder: Path, model: nn.Module) -> tuple[Metrics, float, list[dict[str, Any]]] | None:
    """Fill ``model`` from the cache; return ``None`` where the cached teacher is missing or damaged."""
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
    model.load_state_dict(load(weights))
    return Metrics.from_dict(record.val.model_dump()), record.seconds, record.rollbacks


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
