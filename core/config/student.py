"""Settings of a final training."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from core.config.data import DataConfig
from core.config.model import Seed, Settings, Time, Trackers
from core.config.teacher import BaseConfig, TeacherConfig
from core.config.training import AugmentConfig, BalanceConfig, LossConfig, TrainConfig, check_compile
from core.setting import setting


class StudentConfig(Settings):
    """The settings of a final training, with or without a teacher: ``config.yaml`` of a student."""

    data: DataConfig = Field(default_factory=DataConfig)
    teacher: TeacherConfig | None = None
    base: BaseConfig | None = None
    live_teacher: Annotated[
        bool,
        setting(
            "Run the teacher on every batch instead of caching its outputs; slow.", option="live-teacher"
        ),
    ] = False
    from_scratch: Annotated[
        bool,
        setting("Start from random weights, even if the student could inherit.", option="from-scratch"),
    ] = False
    loss: LossConfig = Field(default_factory=LossConfig)
    train: TrainConfig = Field(default_factory=TrainConfig)
    augment: AugmentConfig = Field(default_factory=AugmentConfig)
    balance: BalanceConfig = Field(default_factory=BalanceConfig)
    target: Annotated[
        str,
        setting(
            "Runtime, precision and device that latencies are of, or a profile; a search passes its own "
            "on to the student.",
            option="target",
        ),
    ] = "onnxruntime"
    budget: Annotated[
        Time,
        setting(
            "Time for this command, as in 15m; it decides train.epochs.",
            auto="no limit",
            option="budget",
            form="time",
        ),
    ] = None
    seed: Annotated[
        Seed, setting("Seed of every random decision; a search passes its own on.", option="seed")
    ] = 0
    trackers: Trackers = ()

    @model_validator(mode="after")
    def _valid_together(self) -> StudentConfig:
        features = "hint" if self.loss.features is None else self.loss.feature_loss
        check_compile(self.train, self.teacher, features)
        if self.train.epochs == 0:
            raise ValueError("train.epochs: input should be greater than or equal to 1, got 0")
        return self
