"""Latencies of a run whose target is a profile: notes about them, and those of student and teachers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from core.errors import UserError
from deploy.profile_file import Profile
from deploy.targets import profile_of
from minnow.listener import Listener
from nas.architecture import Architecture
from nas.networks.timm_architecture import architecture_from_timm

_MORE_CLASSES = 5  # times those of the profile, beyond which its classifiers say little about others


def note_predictions(
    target: str,
    space: str | None,
    base: str | None,
    sides: Sequence[int],
    num_classes: int,
    listener: Listener,
) -> None:
    """Note once where the latencies of a run come from, if they are predicted.

    Args:
        target: of the run.
        space: name of its search space; ``None``: it searches none.
        base: that its networks are cut out of, if any.
        sides: of the inputs of its networks, pixels.
        num_classes: of its data.
        listener: receives the notes.

    Raises:
        UserError: the profile is missing, damaged or not finished.
    """
    profile = profile_of(target)
    if profile is None:
        return
    listener.note(profile.note())
    record = profile.record
    differences = []
    if base != record.base or space not in (None, record.space):
        measured, these = _space_text(record.space, record.base), _space_text(space, base)
        differences.append(f"are of {these} (there: {measured})")
    low, high = min(record.resolutions), max(record.resolutions)
    if min(sides) < low or max(sides) > high:
        differences.append(f"have inputs of {min(sides)} to {max(sides)} px (there: {low} to {high})")
    if num_classes > _MORE_CLASSES * record.num_classes:
        differences.append(f"have {num_classes:,} classes (there: {record.num_classes})")
    if differences:
        listener.note(
            f"unlike the networks of {profile.path}, those here {' and '.join(differences)}: errors may "
            "be larger than it says"
        )


def predicted_latencies(
    profile: Profile,
    student: Architecture,
    teachers: Sequence[tuple[nn.Module, int]],
    num_classes: int,
) -> list[dict[str, Any]]:
    """Return ``latency_ms`` of a student and of its teachers, as in ``metrics.json``.

    That of a teacher is predicted where its architecture is known, and empty for all of them if it is not
    known of one.

    Args:
        profile: predicts.
        student: its architecture.
        teachers: networks with the sides of their inputs, pixels.
        num_classes: width of all classifiers.
    """
    own = profile.latency(student, num_classes).to_dict()
    try:
        known = [architecture_from_timm(model, "the teacher", side) for model, side in teachers]
    except UserError:
        return [own, *({} for _ in teachers)]
    return [own, *(profile.latency(teacher, num_classes).to_dict() for teacher in known)]


def _space_text(space: str | None, base: str | None) -> str:
    if base is not None:
        return f"the base {base}"
    return "no base" if space is None else f"the space {space}"
