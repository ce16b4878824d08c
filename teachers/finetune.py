"""Fine-tuning a pretrained network on the user's images, once per (weights, data, recipe)."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.cache import cache_dir
from core.config import AugmentConfig, TeacherConfig, TrainConfig
from core.errors import UserError, disk_errors, one_line
from core.files import json_text, write_bytes, write_text
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
from training.step import DivergedError, halve_once

_VERSION = 2  # of the fine-tuning; raise it when its result changes
_CHECKPOINT = "checkpoint.pt"
_SMALLEST = 64  # side below which an ImageNet network has little left to look at, pixels


@dataclass(frozen=True)
class Teacher:
    """A network that knows the data set: frozen, in eval mode.

    Attributes:
        name: what to call it.
        model: ``(B, 3, resolution, resolution)`` normalised images to ``(B, C)`` logits.
        resolution: side of its input, pixels.
        normalization: of its input.
        digest: of its weights.
        val: scores on validation.
        source: where its pretrained weights came from.
        cached: whether it was fine-tuned earlier.
        seconds: that fine-tuning took.
        rollbacks: divergences that it went back from, as :attr:`training.fit.Fitted.rollbacks`.
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
        """Scores on a split."""
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
    """The teacher, fine-tuned on the training split at its own resolution and normalisation.

    A network that Minnow trained on the same classes is taken as it is. Anything else gets a new head
    and is fine-tuned; the result is cached, and an interrupted fine-tuning goes on where it stopped.
    It is fine-tuned on whole images, so that students with and without mixtures share it.

    Raises:
        UserError: no such teacher, one trained for other classes or that does not take images of this
            resolution, or a fine-tuning that diverged twice.
    """
    pretrained = find_pretrained(config.spec, sources)
    if pretrained.classes is not None:
        return _trained(pretrained, config, data, device, warn)
    resolution = config.resolution or default_resolution(pretrained, data.size)
    _check_resolution(pretrained, resolution)
    recipe = TrainConfig(epochs=config.epochs, learning_rate=config.learning_rate)
    recipe = decided(recipe, len(data.splits["train"]), TEACHER)
    augment = augment.model_copy(update={"cutmix": 0.0, "mixup": 0.0})
    key = _key(pretrained, data, resolution, recipe, augment)
    folder = cache_dir() / "teachers" / key
    model = pretrained.model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        replace_head(model, data.num_classes)
    known = _load(folder, model)
    if known is None:
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
    val, seconds, rollbacks = known or (fitted.val, fitted.seconds, fitted.rollbacks)
    return Teacher(
        name=pretrained.name,
        model=_frozen(model, device),
        resolution=resolution,
        normalization=pretrained.normalization,
        digest=weights_digest(pretrained.name, model),
        val=val,
        source=pretrained.source,
        cached=known is not None,
        seconds=seconds,
        rollbacks=tuple(rollbacks),
    )


def default_resolution(pretrained: PretrainedNetwork, stored: int) -> int:
    """Side of the teacher's input, pixels: what it was pretrained with, but not far above the images.

    Enlarging small images beyond their own size costs time and shows nothing new. Some networks take
    nothing else.
    """
    side = pretrained.resolution
    return side if pretrained.fixed else min(side, max(_SMALLEST, stored))


def _check_resolution(pretrained: PretrainedNetwork, resolution: int) -> None:
    if resolution == pretrained.resolution:
        return
    try:
        with torch.no_grad():
            pretrained.model.eval()(torch.zeros(1, 3, resolution, resolution))
    except (AssertionError, RuntimeError, ValueError) as error:
        why = one_line(error)
        raise UserError(
            f"teacher {pretrained.name} takes no images of {resolution} px ({why}); "
            f"leave out --teacher-resolution, or give {pretrained.resolution}"
        ) from None


def _trained(
    pretrained: PretrainedNetwork,
    config: TeacherConfig,
    data: ImageSet,
    device: torch.device,
    warn: Callable[[str], None],
) -> Teacher:
    """The teacher that a run left, as it is."""
    if pretrained.classes != data.classes:
        raise UserError(
            f"teacher {pretrained.name!r} knows the classes {', '.join(pretrained.classes or ())}, "
            f"the data set has {', '.join(data.classes)}; "
            f"choose a teacher of these classes, or a timm name to fine-tune"
        )
    unused = config.model_dump(exclude_defaults=True, exclude={"spec"})
    if unused:
        names = ", ".join(f"teacher.{name}" for name in unused)
        warn(f"teacher {pretrained.name!r} is trained and taken as it is: {names} changes nothing")
    if pretrained.test_digest not in (None, data.test_digest):
        warn(
            f"teacher {pretrained.name!r} was tested on other images: it may have been trained on those "
            "that are tested here, and its test F1 then says too much"
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
    write_bytes(folder / "model.safetensors", weights)
    write_text(folder / "teacher.json", json_text(record))


def _remove_checkpoint(folder: Path) -> None:
    """Also on behalf of a process that was killed between saving the teacher and this."""
    path = folder / _CHECKPOINT
    if path.exists():  # else a cache that is read-only would complain
        with disk_errors(folder):
            path.unlink(missing_ok=True)


def _load(folder: Path, model: nn.Module) -> tuple[Metrics, float, list[dict[str, Any]]] | None:
    """Fill ``model`` from the cache; ``None`` where there is nothing whole (it is then made again)."""
    from safetensors.torch import load

    try:
        record = json.loads((folder / "teacher.json").read_text(encoding="utf-8"))
        weights = (folder / "model.safetensors").read_bytes()
        if record["sha256"] != _sha256(weights):  # checked first: half-loaded weights would be trained on
            return None
        found = Metrics.from_dict(record["val"]), float(record["seconds"]), list(record["rollbacks"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    model.load_state_dict(load(weights))
    return found


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
