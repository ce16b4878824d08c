"""The supernet: the teacher, trained on so that every sub-network of it works."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.config import AugmentConfig, Importance, LossConfig, TrainConfig
from core.disk import disk_errors
from core.errors import UserError
from core.files import write_bytes, write_text
from core.formats import json_text
from distill.inherited_weights import ORDERS, Inheritance, base_of, kept_orders, only, weights_of
from distill.prepared_teacher import Taught
from distill.sandwich import Sandwich
from distill.student_loss import Objective
from nas.architecture import Architecture
from nas.spaces.elastic import Elastic
from training.batches import Batches, augmentation_of
from training.data.images import ImageSet
from training.device import pick_device
from training.divergence import DivergedError, halve_once
from training.fit import Progress, fit
from training.preprocess import Normalization

FOLDER = "supernet"
_WEIGHTS, _BASE, _RECORD = "weights.safetensors", "base.yaml", "record.json"
_CHECKPOINT = "checkpoint.pt"  # while it is being made, beside its orders
_ORDER = "order."  # before the name of a group, among the tensors


def adapt(
    space: Elastic,
    taught: Taught,
    data: ImageSet,
    recipe: TrainConfig,
    loss: LossConfig,
    augment: AugmentConfig,
    folder: Path,
    *,
    importance: Importance = "taylor",
    seed: int = 0,
    warn: Callable[[str], None],
    report: Callable[[Progress], None] | None = None,
) -> Inheritance:
    """The supernet in ``folder``; made there where it is missing, or gone on with.

    Args:
        space: whose sub-networks are to work.
        taught: the teacher whose weights it begins with, and its outputs for the recipe's views.
        data: the images.
        recipe: of the training; decided.
        loss: of every sub-network; its features are not used, since sub-networks have others.
        augment: as of the teacher's outputs.
        folder: of the supernet; a finished one of other settings is refused.
        importance: which channels come first.
        seed: of order and sub-networks.
        warn: hears of a divergence.
        report: hears of every step.

    Raises:
        UserError: a supernet of other settings is there; several teachers; the training diverged twice.
    """
    teacher = only(taught.teacher)
    base = base_of(teacher)
    decisions = [[decision.name, list(decision.options)] for decision in space.decisions]
    settings = [config.model_dump(mode="json") for config in (recipe, loss, augment)]
    content = [decisions, base.key, teacher.digest, data.digest, settings, importance, seed]
    identity = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    if (folder / _WEIGHTS).exists():
        return load_supernet(folder, identity)
    begun = (folder / _CHECKPOINT).exists()
    orders = kept_orders(teacher, data, importance, folder / ORDERS, begun=begun)
    batches = Batches(
        data=data,
        resolution=teacher.resolution,
        normalization=teacher.normalization,
        augmentation=augmentation_of(augment, data),
        batch_size=recipe.batch_size,
        views=recipe.views,
        seed=seed,
        outputs=taught.outputs,
        device=pick_device(),
    )
    logits_alone = Objective(loss.model_copy(update={"features": None}))
    try:
        fitted = fit(
            copy.deepcopy(teacher.model).requires_grad_(True),
            batches,
            Sandwich(space, orders, logits_alone, data.num_classes),
            recipe,
            checkpoint=folder / _CHECKPOINT,
            identity=identity,
            keep_last=True,
            on_divergence=halve_once(warn),
            report=report,
        )
    except DivergedError as error:
        raise UserError(f"adapting the supernet stopped: {error}; lower supernet.learning_rate") from None
    weights = weights_of(fitted.model)
    of = teacher.normalization, data.num_classes, data.test_digest
    supernet = Inheritance(base, weights, orders, *of)
    _save(supernet, folder, {"identity": identity, "seconds": fitted.seconds, "history": fitted.history})
    return supernet


def load_supernet(folder: Path, identity: str | None = None) -> Inheritance:
    """What :func:`adapt` left.

    Args:
        folder: of the supernet.
        identity: that it must have; ``None``: any.

    Raises:
        UserError: damaged, or made with other settings.
    """
    from safetensors.torch import load

    try:
        record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        content = (folder / _WEIGHTS).read_bytes()
        if hashlib.sha256(content).hexdigest() != record["sha256"]:
            raise ValueError("its checksum is wrong")
        tensors = load(content)
        normalization = Normalization(tuple(record["mean"]), tuple(record["std"]))
        made, classes = record["identity"], int(record["classes"])
        tested = record.get("test_files")  # later than others
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"supernet {folder} is damaged ({error}); delete the folder to adapt it again"
        ) from None
    if identity not in (None, made):
        raise UserError(
            f"supernet {folder} was adapted with another teacher, data set, space or recipe; "
            "choose another --out, or the settings it was made with"
        )
    orders = {name.removeprefix(_ORDER): t for name, t in tensors.items() if name.startswith(_ORDER)}
    weights = {name: t for name, t in tensors.items() if not name.startswith(_ORDER)}
    base = Architecture.from_yaml(folder / _BASE)
    return Inheritance(base, weights, orders, normalization, classes, tested)


def has_supernet(run: Path) -> bool:
    """Whether a run holds a finished supernet."""
    return (run / FOLDER / _WEIGHTS).exists()


def find_supernet(run: Path) -> Inheritance | None:
    """The finished supernet of a run, if it has one."""
    return load_supernet(run / FOLDER) if has_supernet(run) else None


def _save(supernet: Inheritance, folder: Path, record: dict[str, Any]) -> None:
    """Weights last: a folder holds a supernet while they are there."""
    from safetensors.torch import save

    orders = {f"{_ORDER}{group}": order for group, order in supernet.orders.items()}
    content = save({name: t.contiguous() for name, t in {**supernet.weights, **orders}.items()})
    normalization = {"mean": supernet.normalization.mean, "std": supernet.normalization.std}
    found = {
        "sha256": hashlib.sha256(content).hexdigest(),
        "classes": supernet.classes,
        "test_files": supernet.tested,
    }
    with disk_errors(folder):
        write_text(folder / _BASE, supernet.base.to_text(num_classes=supernet.classes))
        write_text(folder / _RECORD, json_text({**record, **found, **normalization}))
        write_bytes(folder / _WEIGHTS, content)
        for name in (_CHECKPOINT, ORDERS):
            (folder / name).unlink(missing_ok=True)
