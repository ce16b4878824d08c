"""Settings of teachers, and of the network that students are cut out of."""

from __future__ import annotations

from typing import Annotated, Literal

from core.config.model import MAX_TEACHER_SIDE, MIN_TEACHER_SIDE, Settings
from core.setting import setting


class TeacherConfig(Settings):
    """A teacher and its fine-tuning."""

    spec: Annotated[
        str,
        setting(
            "A timm name, a run directory, or TIMM_NAME:WEIGHTS_FILE, with a resolution as a@192; an "
            "ensemble as a,b or a*0.7,b*0.3.",
            auto={"search": "none", "student": "the search's"},
            option="teacher",
        ),
    ]
    resolution: Annotated[
        int | None,
        setting(
            "Side of the teacher's input, pixels.",
            auto="its pretrained one, but not far above the stored images",
            option="teacher-resolution",
            ge=MIN_TEACHER_SIDE,
            le=MAX_TEACHER_SIDE,
        ),
    ] = None
    epochs: Annotated[
        int | None,
        setting("Epochs of fine-tuning.", auto="6, or 100 steps", option="teacher-epochs", ge=1),
    ] = None
    learning_rate: Annotated[float, setting("Peak learning rate, for a batch of 64.", gt=0)] = 2e-3
    tune: Annotated[
        Literal["all", "head"] | None,
        setting(
            "Part of the teacher that is trained: all of it, or a linear head on its frozen features.",
            auto="head beyond 40 M parameters, or without a pretrained classifier; else all",
            option="teacher-tune",
        ),
    ] = None


_AS_TEACHER = "the teacher's, if it is one of the teachers; else "


class BaseConfig(Settings):
    """The network that students of the space elastic are cut out of, and its fine-tuning."""

    spec: Annotated[
        str,
        setting(
            "Network that students of the space elastic are cut out of: a timm name of MobileNet-like "
            "blocks, or TIMM_NAME:WEIGHTS_FILE.",
            auto={
                "search": "the teacher, or the first of several that can be cut",
                "student": "the search's, or that of the network",
            },
            option="base",
        ),
    ]
    resolution: Annotated[
        int | None,
        setting(
            "Side of the base's input, pixels.",
            auto=_AS_TEACHER + "its pretrained one, but not far above the stored images",
            ge=MIN_TEACHER_SIDE,
            le=MAX_TEACHER_SIDE,
        ),
    ] = None
    epochs: Annotated[
        int | None,
        setting("Epochs of fine-tuning the base.", auto=_AS_TEACHER + "6, or 100 steps", ge=1),
    ] = None
    learning_rate: Annotated[
        float | None,
        setting("Peak learning rate, for a batch of 64.", auto=_AS_TEACHER + "0.002", gt=0),
    ] = None
