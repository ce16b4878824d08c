"""Teachers ready for a training: fine-tuned, with cached outputs and known costs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from core.config import AugmentConfig, LossConfig, SearchConfig, StudentConfig, TeacherConfig
from core.errors import UserError
from distill.student_loss import feature_kind
from minnow.listener import Listener
from teachers.confidence import UNSURE, leave_out_unsure
from teachers.ensemble import (
    EnsembleOutputs,
    PreparedTeacher,
    TeacherEnsemble,
    count_macs,
    disagreement,
)
from teachers.finetune import Teacher, check_teacher, finetune_teacher
from teachers.output_cache import LiveOutputs, StoredOutputs, cache_outputs
from teachers.spec import parse_spec
from training.batches import Outputs, augmentation_of
from training.data.images import ImageSet
from training.device import pick_device
from training.epoch_selection import standard_error
from training.signals import Kind

_NORMAL_95 = 1.96  # standard errors from the middle of a 95 % interval to its ends


def make_teacher(
    config: TeacherConfig,
    loss: LossConfig,
    data: ImageSet,
    augment: AugmentConfig,
    views: int,
    *,
    live: bool = False,
    members: Sequence[Teacher] | None = None,
    listener: Listener,
) -> tuple[PreparedTeacher, ImageSet]:
    """Fine-tune the teachers, or load them from the cache, and compute their outputs.

    Returns the teacher with the images that a student learns from: without those of ``data`` that have no
    label and that the teacher is unsure of. It is fine-tuned and validated on labelled images alone.

    Args:
        config: the teachers; ``spec`` may name several.
        loss: decides which outputs are needed.
        data: the images.
        augment: augmentation of the training.
        views: augmented views of each image whose outputs are cached.
        live: compute the outputs of every batch instead.
        members: the fine-tuned teachers, where they are loaded already.
        listener: receives progress and one line about each teacher.

    Raises:
        UserError: unknown teacher, or weights that cannot be read or downloaded.
    """
    if members is None:
        members = fine_tuned_teachers(config, data.labelled, augment, listener)
    weights = tuple(weight for _, weight in parse_spec(config.spec))
    teachers = TeacherEnsemble(tuple(members), weights)
    kind = feature_kind(loss)
    kinds = () if kind is None else (kind,)
    val = members[0].val if len(members) == 1 else teachers.evaluate(data, "val")
    given = len(data.unlabelled)
    if given and data.held_out is None:  # else chosen before, by a teacher that had held-out images
        data = _sure(teachers, data, listener)
    if live:
        outputs: list[Outputs] = [LiveOutputs(member, kinds) for member in members]
        disagreeing = None
    else:
        stored = [_stored_outputs(member, data, augment, views, kinds, listener) for member in members]
        outputs = [*stored]
        disagreeing = disagreement(stored, data.splits["train"]) if views else None
    if len(members) > 1 and data.held_out is None:
        share = "" if disagreeing is None else f"; two differ on {disagreeing:.1%} of the training images"
        listener.note(f"teachers together: validation F1 {val.f1:.4f}{share}")
    mean = outputs[0] if len(outputs) == 1 else EnsembleOutputs(tuple(outputs), teachers.weights)
    left_out = given - len(data.unlabelled)
    return PreparedTeacher(teachers, val, mean, _costs(members), disagreeing, left_out), data


def student_teacher(
    config: StudentConfig,
    data: ImageSet,
    listener: Listener,
    members: Sequence[Teacher] | None = None,
) -> tuple[PreparedTeacher | None, ImageSet]:
    """Prepare the teacher of a student, with outputs for the views of its recipe; ``None`` without one.

    Returns the images that the student learns from beside it, as :func:`make_teacher`.

    Args:
        config: of the student, resolved.
        data: the images.
        listener: as for :func:`make_teacher`.
        members: likewise.

    Raises:
        UserError: as :func:`make_teacher`.
    """
    if config.teacher is None:
        return None, data
    views = config.train.shown_views
    return make_teacher(
        config.teacher,
        config.loss,
        data,
        config.augment,
        views,
        live=config.live_teacher,
        members=members,
        listener=listener,
    )


def fine_tuned_teachers(
    config: TeacherConfig | None, data: ImageSet, augment: AugmentConfig, listener: Listener
) -> list[Teacher]:
    """Fine-tune the teachers one by one, or load them from the cache, without their outputs.

    Args:
        config: the teachers; ``spec`` may name several. ``None``: there are none.
        data: the images.
        augment: augmentation of the training.
        listener: receives progress and one line about each teacher.

    Raises:
        UserError: as :func:`make_teacher`.
    """
    if config is None:
        return []
    each = [config.model_copy(update={"spec": spec}) for spec, _ in parse_spec(config.spec)]
    for later in each[1:]:  # before the first takes its time
        check_teacher(later, data)
    return [fine_tuned(one, data, augment, listener) for one in each]


def fine_tuned(
    config: TeacherConfig,
    data: ImageSet,
    augment: AugmentConfig,
    listener: Listener,
    *,
    role: str = "teacher",
) -> Teacher:
    """Fine-tune one network, or load it from the cache.

    Args:
        config: its name and settings.
        data: the images.
        augment: augmentation of the training.
        listener: receives progress and one line.
        role: of the network, for that line.

    Raises:
        UserError: unknown network, or weights that cannot be read or downloaded.
    """
    report = partial(listener.training, f"{role} {config.spec}")
    teacher = finetune_teacher(
        config,
        data,
        augment,
        device=pick_device(),
        warn=listener.warn,
        report=report,
        count=partial(listener.count, f"features of {config.spec}"),
    )
    verb = "fine-tuned" if teacher.head_alone is None else "trained"
    origin = "from the cache" if teacher.cached else f"{verb} in {teacher.seconds:.0f} s"
    if teacher.head_alone is not None:
        origin += f", a linear head on frozen features ({teacher.head_alone})"
    score = f"validation F1 {teacher.val.f1:.4f}"
    if data.held_out is not None:
        score = f"on {len(data.splits['train']):,} images, {data.refit_words}"
    where = f"{teacher.name} at {teacher.resolution} px ({teacher.source})"
    listener.note(f"{role}: {where}, {origin}, {score}")
    return teacher


def _sure(teachers: TeacherEnsemble, data: ImageSet, listener: Listener) -> ImageSet:
    """Leave out the unlabelled images that the teacher is unsure of, and say how many."""
    sure = leave_out_unsure(
        teachers, data, lambda member: partial(listener.count, f"confidence of {member.name}")
    )
    images, left_out = len(data.unlabelled), len(data.unlabelled) - len(sure.unlabelled)
    listener.note(
        f"{images:,} unlabelled images, {left_out:,} left out: the teacher is less sure of them than of "
        f"{1 - UNSURE:.0%} of the validation images"
    )
    return sure


def _stored_outputs(
    teacher: Teacher,
    data: ImageSet,
    augment: AugmentConfig,
    views: int,
    kinds: Sequence[Kind],
    listener: Listener,
) -> StoredOutputs:
    report = partial(listener.count, f"outputs of {teacher.name}")
    return cache_outputs(teacher, data, augmentation_of(augment, data), views, kinds=kinds, report=report)


def _costs(members: Sequence[Teacher]) -> dict[str, int]:
    """Sum the costs of all members."""
    return {
        "params": sum(p.numel() for member in members for p in member.model.parameters()),
        "macs": sum(count_macs(member.model, member.resolution) for member in members),
    }


def weaker_teacher(teacher_f1: float, student_f1: float, images: int, student: str) -> str | None:
    """Return a one-line warning if the student is better than its teacher on validation, else ``None``.

    Args:
        teacher_f1: validation F1 of the teacher, 0..1.
        student_f1: validation F1 of the student, 0..1.
        images: validation images; the warning needs 95 % intervals of the scores that do not overlap.
        student: name of the student in the message.
    """
    teacher_high = teacher_f1 + _NORMAL_95 * standard_error(teacher_f1, images)
    student_low = student_f1 - _NORMAL_95 * standard_error(student_f1, images)
    if teacher_high >= student_low:
        return None
    return (
        f"the teacher's validation F1 ({teacher_f1:.4f}) is below that of {student} ({student_f1:.4f}); "
        "choose another teacher, or fine-tune this one longer (teacher.epochs)"
    )


def check_unlabelled(config: SearchConfig | StudentConfig) -> None:
    """Refuse images without labels where no teacher labels them.

    Raises:
        UserError: there is no teacher.
    """
    if config.data.unlabelled is not None and config.teacher is None:
        raise UserError(
            "data.unlabelled gives images without labels, which only a teacher can label: give a "
            "teacher, or leave it out"
        )


def check_balance(config: SearchConfig | StudentConfig) -> None:
    """Refuse an adjusted cross-entropy where the loss has none.

    Raises:
        UserError: the distillation loss is the whole loss.
    """
    if config.balance.mode == "logit-adjust" and config.teacher and config.loss.weight == 1:
        raise UserError(
            "balance.mode logit-adjust changes the cross-entropy with the labels, and loss.weight 1 "
            "leaves no cross-entropy; lower loss.weight, or choose another balance.mode"
        )
