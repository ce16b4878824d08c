"""Getting teachers ready: fine-tuned, their outputs cached, their costs known."""

from __future__ import annotations

from collections.abc import Sequence

from core.config import AugmentConfig, LossConfig, SearchConfig, StudentConfig, TeacherConfig
from core.errors import UserError
from deploy.macs import count_macs
from distill.prepared_teacher import Taught
from distill.student_loss import feature_kind
from minnow.console import say, warn
from minnow.progress import TrainingDisplay, counting
from teachers.ensemble import Ensemble, Teachers, disagreement, parse_spec
from teachers.finetune import Teacher, prepare_teacher
from teachers.output_cache import LiveOutputs, StoredOutputs, fill_outputs
from training.batches import Outputs, augmentation_of
from training.data.images import ImageSet
from training.device import pick_device
from training.signals import Kind


def teach(
    config: TeacherConfig,
    loss: LossConfig,
    data: ImageSet,
    augment: AugmentConfig,
    views: int,
    *,
    live: bool = False,
) -> Taught:
    """The fine-tuned teachers with their outputs; says how good they are.

    Args:
        config: which; its ``spec`` may name several.
        loss: decides which outputs are wanted.
        data: the images.
        augment: how they are changed.
        views: how many views of each image are looked at beforehand.
        live: look at every batch instead.
    """
    named = parse_spec(config.spec)
    members = [_ready(config.model_copy(update={"spec": spec}), data, augment) for spec, _ in named]
    teachers = Teachers(tuple(members), tuple(weight for _, weight in named))
    kind = feature_kind(loss)
    kinds = () if kind is None else (kind,)
    val = members[0].val if len(members) == 1 else teachers.evaluate(data, "val")
    if live:
        outputs: list[Outputs] = [LiveOutputs(member, kinds) for member in members]
        apart = None
    else:
        stored = [_asked(member, data, augment, views, kinds) for member in members]
        outputs, apart = [*stored], disagreement(stored, data.splits["train"])
    if len(members) > 1:
        differ = "" if apart is None else f"; two differ on {apart:.1%} of the training images"
        say(f"teachers together: validation F1 {val.f1:.4f}{differ}")
    together = outputs[0] if len(outputs) == 1 else Ensemble(tuple(outputs), teachers.weights)
    return Taught(teachers, val, together, _costs(members), apart)


def _asked(
    teacher: Teacher, data: ImageSet, augment: AugmentConfig, views: int, kinds: Sequence[Kind]
) -> StoredOutputs:
    with counting(f"outputs of {teacher.name}") as progress:
        augmentation = augmentation_of(augment, data)
        return fill_outputs(teacher, data, augmentation, views, kinds=kinds, report=progress)


def _costs(members: Sequence[Teacher]) -> dict[str, int]:
    """What they have together."""
    return {
        "params": sum(p.numel() for each in members for p in each.model.parameters()),
        "macs": sum(count_macs(each.model, each.resolution) for each in members),
    }


def _ready(config: TeacherConfig, data: ImageSet, augment: AugmentConfig) -> Teacher:
    with TrainingDisplay(f"fine-tuning {config.spec}") as display:
        teacher = prepare_teacher(config, data, augment, device=pick_device(), warn=warn, report=display)
    how = "from the cache" if teacher.cached else f"fine-tuned in {teacher.seconds:.0f} s"
    say(
        f"teacher: {teacher.name} at {teacher.resolution} px ({teacher.source}), {how}, "
        f"validation F1 {teacher.val.f1:.4f}"
    )
    return teacher


def compare_with_teacher(teacher_f1: float, student_f1: float, what: str) -> None:
    """Warn when the student is better on validation: its teacher then holds it back."""
    if teacher_f1 < student_f1:
        warn(
            f"the teacher's validation F1 ({teacher_f1:.4f}) is below that of {what} "
            f"({student_f1:.4f}); choose another, or fine-tune one longer (--teacher-epochs)"
        )


def check_balance(config: SearchConfig | StudentConfig) -> None:
    """Refuse an adjusted cross-entropy where the loss has none.

    Raises:
        UserError: the teacher's share of the loss is all of it.
    """
    if config.balance.mode == "logit-adjust" and config.teacher and config.loss.weight == 1:
        raise UserError(
            "balance logit-adjust changes the cross-entropy with the labels, and loss.weight 1 leaves "
            "that out; lower --loss-weight, or choose another --balance"
        )
