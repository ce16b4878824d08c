"""Settings of a search."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from core.config.data import DataConfig
from core.config.model import Seed, Settings, Time, Trackers
from core.config.space import SpaceConfig, SupernetConfig
from core.config.teacher import BaseConfig, TeacherConfig
from core.config.training import AugmentConfig, BalanceConfig, LossConfig, TrainConfig, check_compile
from core.setting import setting


class StrategyConfig(Settings):
    """A search strategy and its own options."""

    name: Annotated[
        str,
        setting(
            "Search strategy: gp, tpe, evolution, nni-evolution, random, optuna:SAMPLER, "
            "optunahub:PACKAGE, module:Class or ./file.py:Class.",
            option="strategy",
        ),
    ] = "gp"
    options: Annotated[
        dict[str, Any],
        setting("Option of the strategy, as in startup=5.", option="strategy-option"),
    ] = {}  # noqa: RUF012 - pydantic copies it


class ScoreConfig(Settings):
    """Reference model of the metric ``score``, see :mod:`deploy.competition_score`."""

    f1: Annotated[float, setting("Macro-F1 of the reference.", ge=0, le=1)] = 0.7
    time: Annotated[float, setting("Seconds that the reference takes for all images.", gt=0)] = 86.3


class SearchConfig(Settings):
    """The settings of a search: ``config.yaml`` of its run."""

    data: DataConfig = Field(default_factory=DataConfig)
    space: SpaceConfig = Field(default_factory=SpaceConfig)
    strategy: StrategyConfig = Field(default_factory=StrategyConfig)
    objectives: Annotated[
        tuple[str, ...],
        setting(
            "Objective, as in latency_ms:min; several give a Pareto front. Metrics: f1, accuracy, "
            "balanced_accuracy, params, macs, flash_kb, ram_kb, latency_ms, train_seconds, "
            "total_seconds, score.",
            option="objective",
        ),
    ] = ("f1:max",)
    limits: Annotated[
        tuple[str, ...],
        setting(
            "Limit on a metric, as in 'params<=300k' or 'latency_ms<=2'. No network beyond a limit on "
            "params, macs, flash_kb, ram_kb or latency_ms is trained.",
            option="limit",
        ),
    ] = ()
    target: Annotated[
        str,
        setting(
            "Runtime, precision and device that latency_ms, flash_kb and ram_kb are of; 'target list' "
            "lists the names, NAME@ssh:USER@HOST is another machine, and FILE.json a profile of one, "
            "which predicts.",
            option="target",
        ),
    ] = "onnxruntime"
    score: ScoreConfig = Field(default_factory=ScoreConfig)
    evaluator: Annotated[
        Literal["train", "inherit", "supernet"] | None,
        setting(
            "Weights that a trial starts from: random (train), the base's (inherit), or those of a "
            "supernet made from the base.",
            auto="train; in the space elastic inherit with F1 or accuracy as the one objective, upper "
            "limits on size alone and a float target, else supernet",
            option="evaluator",
        ),
    ] = None
    supernet: SupernetConfig = Field(default_factory=SupernetConfig)
    fidelity: Annotated[
        Literal["full", "asha"],
        setting(
            "full: train every network for all epochs. asha: train it for a part of them first, and the "
            "best third three times as long.",
            option="fidelity",
        ),
    ] = "full"
    trials: Annotated[
        int, setting("Networks to evaluate, those of earlier runs included.", option="trials", ge=1)
    ] = 20
    confirm: Annotated[
        int | None,
        setting(
            "Trials at the end that train the best networks again, with new seeds.",
            auto="a fifth of the trials with one objective and training, else 0",
            option="confirm",
            ge=0,
        ),
    ] = None
    timeout: Annotated[
        Time,
        setting(
            "Start no trial after this time, as in 90s, 10m or 1h30m; it counts from the first trial.",
            auto="no limit, or a share of the budget",
            option="timeout",
            form="time",
        ),
    ] = None
    budget: Annotated[
        Time,
        setting(
            "Time for the whole job, as in 30m: teacher, supernet if there is one, trials, final "
            "training.",
            auto="no limit",
            option="budget",
            form="time",
        ),
    ] = None
    teacher: TeacherConfig | None = None
    base: BaseConfig | None = None
    loss: LossConfig = Field(default_factory=LossConfig)
    train: TrainConfig = Field(default_factory=TrainConfig)
    augment: AugmentConfig = Field(default_factory=AugmentConfig)
    balance: BalanceConfig = Field(default_factory=BalanceConfig)
    workers: Annotated[
        int | None,
        setting(
            "Trials at a time, each in a process of its own.",
            auto="1, or what the cluster of another executor has room for",
            option="workers",
            ge=1,
        ),
    ] = None
    executor: Annotated[
        str,
        setting(
            "Where trials run: local is this machine, ray a Ray cluster, ray:ADDRESS that cluster.",
            option="executor",
        ),
    ] = "local"
    trial_cpus: Annotated[
        float | None,
        setting(
            "CPU cores of each trial.",
            auto="a share of this machine's, or 1 on a cluster",
            option="trial-cpus",
            gt=0,
        ),
    ] = None
    trial_gpus: Annotated[
        float,
        setting(
            "GPUs of each trial on a cluster; 0.5 lets two trials share one.", option="trial-gpus", ge=0
        ),
    ] = 0.0
    trial_timeout: Annotated[
        Time,
        setting(
            "End a trial after this time, as in 30m; it fails.",
            auto="no limit",
            option="trial-timeout",
            form="time",
        ),
    ] = None
    seed: Annotated[Seed, setting("Seed of every random decision.", option="seed")] = 0
    storage: Annotated[
        str | None,
        setting(
            "Optuna storage URL, as in sqlite:///study.db or postgresql://me@host/db; keep its password "
            "in $MINNOW_STORAGE.",
            auto="a journal file in the run",
            option="storage",
            repr=False,
        ),
    ] = None
    trackers: Trackers = ()
    #: Name of the study in the storage; ``None``: that of the run directory.
    study: str | None = None
    #: Names of ``train`` settings from a data file, which the students of the search take over.
    shared: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _valid_together(self) -> SearchConfig:
        check_compile(self.train, self.teacher, self.loss.feature_loss)
        if self.train.epochs == 0 and self.evaluator == "train":
            raise ValueError("train.epochs 0 trains nothing, which the evaluator train cannot do")
        return self


#: Settings of a search that ``fit`` starts from, where others are not given.
FIT_DEFAULTS: dict[str, Any] = {
    "space.name": "elastic",
    "teacher.spec": "tf_efficientnet_lite0",
    "trials": 60,
}
