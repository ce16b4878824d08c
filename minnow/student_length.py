"""The epochs of a final training that fit in a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, PositiveInt

from core.config import StudentConfig
from core.files import write_json
from core.reading import read_record
from minnow.format import counted, duration_text
from minnow.listener import Listener
from nas.architecture import Architecture
from nas.networks import build
from teachers.finetune import Teacher
from training.data.images import ImageSet
from training.device import pick_device
from training.speed import OVERHEAD, inference_seconds, training_seconds

LENGTH_FILE = "length.json"  # in the directory of a training that began
_LONGEST = 3  # times the usual length


class _Length(BaseModel):
    """The decided length of a training that began."""

    epochs: PositiveInt


def begun_length(folder: Path) -> int | None:
    """Return the epochs of a training that began with a budget in ``folder``.

    Raises:
        UserError: the file is damaged.
    """
    path = folder / LENGTH_FILE
    if not path.exists():
        return None
    remedy = "delete the training's directory to start it again"
    return read_record(_Length, path, "", remedy=remedy).epochs


def fitting_length(
    config: StudentConfig,
    architecture: Architecture,
    data: ImageSet,
    teachers: Sequence[Teacher],
    seconds: float,
    folder: Path,
    *,
    usual: int,
    seeds: int,
    listener: Listener,
) -> int:
    """Return the epochs of each training that fit in a time, and save them in ``folder``.

    They are at most three times the usual length.

    Args:
        config: settings whose epochs are not given.
        architecture: of the student.
        data: the images.
        teachers: fine-tuned; none: it has no teacher.
        seconds: for the outputs of the teachers and all trainings.
        folder: of the training.
        usual: epochs of a training without a budget.
        seeds: number of trainings, which share the outputs of the teachers.
        listener: receives the decision, and a warning where the time is short.
    """
    images, device = len(data.learned), pick_device()
    network, side = build(architecture, data.num_classes), architecture.resolution
    epoch = images * training_seconds(network, side, device)
    epoch += len(data.splits["val"]) * inference_seconds(network, side, device)
    view = images * sum(
        inference_seconds(teacher.model, teacher.resolution, device) for teacher in teachers
    )

    def taken(epochs: int) -> float:
        recipe = config.train.model_copy(update={"epochs": epochs})
        views = seeds * epochs if config.live_teacher else min(recipe.view_count, epochs)
        return OVERHEAD * seeds * epochs * epoch + views * view

    longest = _LONGEST * usual
    epochs = next((count for count in range(longest, 1, -1) if taken(count) <= seconds), 1)
    write_json(folder / LENGTH_FILE, _Length(epochs=epochs).model_dump())
    ending = f", {_LONGEST} times the usual length and the most" if epochs == longest else ""
    listener.note(
        f"training for {counted(epochs, 'epoch')}{ending}: about {duration_text(taken(epochs))} of the "
        f"{duration_text(max(0.0, seconds))} left"
    )
    if epochs < usual / _LONGEST:
        listener.warn(f"the time is short: {counted(epochs, 'epoch')}, where {usual} are usual")
    return epochs
