"""When a student is told that it could have inherited its weights."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import timm

from core.config import StudentConfig, TeacherConfig
from minnow.starting_weights import inheritance_hint


def hint(teacher="mobilenetv3_small_050", upper=0.6, inherited=None, **settings):
    """Return the hint for a student whose F1 is at most ``upper``; its teacher's is 0.7 to 0.9."""
    member = SimpleNamespace(model=timm.create_model(teacher), name=teacher, resolution=64)
    taught = SimpleNamespace(ensemble=SimpleNamespace(members=(member,)))
    config = StudentConfig(teacher=TeacherConfig(spec=teacher), **settings)
    test = {"f1": upper - 0.1, "f1_interval": [upper - 0.2, upper]}
    theirs = {"f1": 0.8, "f1_interval": [0.7, 0.9]}
    return inheritance_hint(config, taught, {"test": test, "teacher": theirs, "inherited": inherited})


def test_a_student_far_below_its_teacher_is_told_how_to_inherit():
    assert hint().endswith("search the space elastic with the teacher mobilenetv3_small_050")
    with_a_base = "the teacher resnet10t and the base tf_efficientnet_lite0"
    assert hint(teacher="resnet10t").endswith(with_a_base)


@pytest.mark.parametrize(
    "changes",
    [
        {"upper": 0.85},
        {"upper": 0.75},
        {"inherited": "mobilenetv3_small_050"},
        {"from_scratch": True},
    ],
    ids=["near", "not-far", "inherited", "on-purpose"],
)
def test_others_are_not(changes):
    assert hint(**changes) is None
