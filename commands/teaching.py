"""Getting a teacher ready: fine-tuned, its outputs cached, its costs known."""

from __future__ import annotations

from commands.console import say, warn
from commands.progress import TrainingDisplay, counting
from deploy.latency import measure_module
from deploy.macs import count_macs
from distill.run import Taught
from nas.config import AugmentConfig, TeacherConfig
from teachers.finetune import prepare_teacher
from teachers.outputs import fill_outputs
from training.batches import augmentation_of
from training.device import pick_device
from training.images import ImageSet


def teach(config: TeacherConfig, data: ImageSet, augment: AugmentConfig, views: int) -> Taught:
    """The fine-tuned teacher with its outputs for ``views`` views; says how good it is."""
    with TrainingDisplay(f"fine-tuning {config.spec}") as display:
        teacher = prepare_teacher(config, data, augment, device=pick_device(), warn=warn, report=display)
    how = "from the cache" if teacher.cached else f"fine-tuned in {teacher.seconds:.0f} s"
    say(
        f"teacher: {teacher.name} at {teacher.resolution} px ({teacher.source}), {how}, "
        f"validation F1 {teacher.val.f1:.4f}"
    )
    with counting("teacher outputs") as progress:
        outputs = fill_outputs(teacher, data, augmentation_of(augment, data), views, report=progress)
    costs = {
        "params": sum(p.numel() for p in teacher.model.parameters()),
        "macs": count_macs(teacher.model, teacher.resolution),
        "latency_ms": measure_module(teacher.model, teacher.resolution).to_dict(),
    }
    return Taught(teacher, outputs, costs)


def compare_with_teacher(teacher_f1: float, student_f1: float, what: str) -> None:
    """Warn when the student is better on validation: its teacher then holds it back."""
    if teacher_f1 < student_f1:
        warn(
            f"the teacher's validation F1 ({teacher_f1:.4f}) is below that of {what} "
            f"({student_f1:.4f}); fine-tune it longer (--teacher-epochs) or choose another"
        )
