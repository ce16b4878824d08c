"""Fine-tuning of a pretrained network on the user's images, once per (weights, data, recipe)."""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.cache import cache_dir
from core.config import AugmentConfig, TeacherConfig, TrainConfig
from core.errors import UserError, disk_errors, named
from teachers import find_pretrained
from teachers.base import PretrainedNetwork, TeacherSource, weights_digest
from teachers.linear_head import VIEWS, fit_head, frozen, frozen_body, linear_head
from teachers.spec import split_side
from teachers.teacher_cache import Tuned, is_saved, load_tuned, save_tuned
from teachers.timm_models import replace_head
from training.batches import Batches, augmentation_of
from training.budget import TEACHER, decided
from training.data.images import ImageSet
from training.evaluate import evaluate
from training.fit import Progress, cross_entropy, fit
from training.metrics import Metrics
from training.preprocess import Normalization
from training.step import DivergedError, halve_once

_VERSION = 2  # of the fine-tuning; raise it when its result changes
_CHECKPOINT = "checkpoint.pt"


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
        head_alone: why only its head was trained; ``None``: all of it was.
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
    head_alone: str | None = None

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
    count: Callable[[int, int], None] | None = None,
) -> Teacher:
    """Return the teacher, fine-tuned on the training split at its own resolution and normalisation.

    A network that Minnow trained on the same classes is used unchanged. Any other gets a new head and is
    fine-tuned. The result is cached, and an interrupted fine-tuning is resumed. Images are not mixed, so
    that students with and without mixtures share the teacher. Of a large network, or one without a
    pretrained classifier, only a linear head is trained, see :mod:`teachers.linear_head`.

    Args:
        config: name of the teacher and settings of its fine-tuning.
        data: the images.
        augment: of the training images; CutMix and MixUp are left out.
        device: of the fine-tuning and of the returned network.
        sources: searched for the network; ``None`` searches the registered ones.
        warn: callback for one-line warnings.
        report: callback for the progress of every step.
        count: callback for (images done, images in all) while computing the features of a frozen network.

    Raises:
        UserError: there is no such teacher; it was trained for other classes; it does not take images of
            this resolution; or its fine-tuning diverged twice.
    """
    pretrained, config = _find(config, data, sources)
    if pretrained.classes is not None:
        return _trained_teacher(pretrained, config, data, device, warn)
    job, reason = _job_of(pretrained, config, data, augment, device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        replace_head(pretrained.model, data.num_classes)
    if reason is None:
        tuned, cached = _tune_all(job, _recipe(config, data), warn, report)
    else:
        of_training = {"epochs", "learning_rate"}
        _warn_of_unused(
            config, f"of teacher {pretrained.name!r} only the head is trained", of_training, warn
        )
        tuned, cached = _tune_head(job, count)
    model = pretrained.model
    return Teacher(
        name=pretrained.name,
        model=frozen(model, device),
        resolution=job.resolution,
        normalization=pretrained.normalization,
        digest=weights_digest(pretrained.name, model),
        val=tuned.val,
        source=pretrained.source,
        cached=cached,
        seconds=tuned.seconds,
        rollbacks=tuple(tuned.rollbacks),
        head_alone=reason,
    )


def tuned_before(
    config: TeacherConfig,
    data: ImageSet,
    augment: AugmentConfig,
    sources: list[TeacherSource] | None = None,
) -> bool:
    """Return whether :func:`finetune_teacher` finds its result in the cache, or trains nothing.

    Raises:
        UserError: there is no such teacher, or it does not take images of this resolution.
    """
    pretrained, config = _find(config, data, sources)
    if pretrained.classes is not None:
        return True
    job, reason = _job_of(pretrained, config, data, augment, torch.device("cpu"))
    folder = job.folder("head", VIEWS) if reason else job.folder(_recipe(config, data).model_dump())
    return is_saved(folder)


def check_teacher(
    config: TeacherConfig, data: ImageSet, sources: list[TeacherSource] | None = None
) -> None:
    """Refuse what :func:`finetune_teacher` would refuse, before another teacher takes its time.

    Args:
        config: as of :func:`finetune_teacher`.
        data: likewise.
        sources: likewise.

    Raises:
        UserError: there is no such teacher, it was trained for other classes, or it does not take images
            of this resolution.
    """
    pretrained, config = _find(config, data, sources)
    if pretrained.classes is None:
        pretrained.take_resolution(config.resolution or pretrained.default_resolution(data.size))


def _find(
    config: TeacherConfig, data: ImageSet, sources: list[TeacherSource] | None
) -> tuple[PretrainedNetwork, TeacherConfig]:
    """Return the network that is tuned, and the settings with the resolution of its name, if it has one.

    Raises:
        UserError: there is no such teacher, or it was trained for other classes.
    """
    name, side = split_side(config.spec)
    pretrained = find_pretrained(name, sources)
    if pretrained.classes is not None and pretrained.classes != data.classes:
        raise UserError(
            f"teacher {pretrained.name!r} has the classes {named(pretrained.classes)}, "
            f"the data set has {named(data.classes)}; "
            f"choose a teacher of these classes, or a timm name to fine-tune"
        )
    return pretrained, config.model_copy(update={"resolution": side or config.resolution})


def _job_of(
    pretrained: PretrainedNetwork,
    config: TeacherConfig,
    data: ImageSet,
    augment: AugmentConfig,
    device: torch.device,
) -> tuple[_Job, str | None]:
    """Return what is tuned on what, and the reason where it is the head alone."""
    resolution = config.resolution or pretrained.default_resolution(data.size)
    pretrained.take_resolution(resolution)
    reason = "as asked" if config.tune == "head" else pretrained.head_alone()
    augment = augment.model_copy(update={"cutmix": 0.0, "mixup": 0.0})
    job = _Job(pretrained, resolution, data, augment, device)
    return job, None if config.tune == "all" else reason


def _recipe(config: TeacherConfig, data: ImageSet) -> TrainConfig:
    recipe = TrainConfig(epochs=config.epochs, learning_rate=config.learning_rate)
    return decided(recipe, len(data.splits["train"]), TEACHER)


@dataclass(frozen=True)
class _Job:
    """A pretrained network with a new head, and what it is tuned on."""

    pretrained: PretrainedNetwork
    resolution: int
    data: ImageSet
    augment: AugmentConfig
    device: torch.device

    def folder(self, *recipe: Any) -> Path:
        """Return the folder of the result in the cache."""
        content = [
            _VERSION,
            self.pretrained.digest,
            self.data.digest,
            self.resolution,
            *recipe,
            augmentation_of(self.augment, self.data).key,
        ]
        key = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]
        return cache_dir() / "teachers" / key


def _tune_all(
    job: _Job,
    recipe: TrainConfig,
    warn: Callable[[str], None],
    report: Callable[[Progress], None] | None,
) -> tuple[Tuned, bool]:
    """Train the whole network, in place, or load it; tell if it was cached.

    Raises:
        UserError: the training diverged twice.
    """
    folder, model = job.folder(recipe.model_dump()), job.pretrained.model
    cached = load_tuned(folder, model)
    tuned = cached
    if tuned is None:
        batches = Batches(
            data=job.data,
            resolution=job.resolution,
            normalization=job.pretrained.normalization,
            augmentation=augmentation_of(job.augment, job.data),
            batch_size=recipe.batch_size,
            views=recipe.view_count,
            seed=0,
            device=job.device,
        )
        try:
            fitted = fit(
                model,
                batches,
                cross_entropy(recipe.label_smoothing),
                recipe,
                checkpoint=folder / _CHECKPOINT,
                identity=folder.name,
                on_divergence=halve_once(warn),
                report=report,
            )
        except DivergedError as error:
            raise UserError(f"fine-tuning stopped: {error}; lower teacher.learning_rate") from None
        tuned = Tuned(fitted.val, fitted.seconds, fitted.rollbacks)
        save_tuned(folder, fitted.model, tuned)
    _remove_checkpoint(folder)
    return tuned, cached is not None


def _tune_head(job: _Job, count: Callable[[int, int], None] | None) -> tuple[Tuned, bool]:
    """Fit the head of the frozen network, in place, or load it; tell if it was cached.

    Raises:
        UserError: it has no linear head.
    """
    pretrained, data = job.pretrained, job.data
    folder, head = job.folder("head", VIEWS), linear_head(pretrained.model)
    cached = load_tuned(folder, head)
    if cached is not None:
        return cached, True
    started = time.perf_counter()
    sees: dict[str, Any] = {"resolution": job.resolution, "normalization": pretrained.normalization}
    body = frozen_body(pretrained, job.resolution, job.device)
    weight, bias = fit_head(body, data, job.augment, count)
    with torch.no_grad():
        head.weight.copy_(weight)
        head.bias.copy_(bias)
    model = frozen(pretrained.model, job.device)
    val = evaluate(model, data, "val", **sees)
    tuned = Tuned(val, time.perf_counter() - started)
    save_tuned(folder, head, tuned)
    return tuned, False


def _trained_teacher(
    pretrained: PretrainedNetwork,
    config: TeacherConfig,
    data: ImageSet,
    device: torch.device,
    warn: Callable[[str], None],
) -> Teacher:
    """Return a network that Minnow trained, unchanged."""
    reason, names = "is already trained and used unchanged", set(TeacherConfig.model_fields) - {"spec"}
    _warn_of_unused(config, f"teacher {pretrained.name!r} {reason}", names, warn)
    if pretrained.test_digest not in (None, data.test_digest):
        warn(
            f"teacher {pretrained.name!r} had another test split: it may have been trained on test "
            "images of this one, and its test F1 is then too high"
        )
    model = frozen(pretrained.model, device)
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


def _warn_of_unused(
    config: TeacherConfig, reason: str, names: set[str], warn: Callable[[str], None]
) -> None:
    given = config.model_dump(exclude_defaults=True, include=names)
    if given:
        warn(f"{reason}: {', '.join(f'teacher.{name}' for name in given)} has no effect")


def _remove_checkpoint(folder: Path) -> None:
    """Remove the checkpoint, also one of a process that was killed right after saving the teacher."""
    path = folder / _CHECKPOINT
    if path.exists():  # else a cache that is read-only would complain
        with disk_errors(folder):
            path.unlink(missing_ok=True)
