"""The settings of a run: every one is a field of these models, and ``config.yaml`` is their text.

``None`` means "decide for me": ``training.budget`` resolves it once, before work begins.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from core.setting import setting

MAX_SEED = 2**32 - 1  # numpy's older generators take no more
MIN_SIDE, MAX_SIDE = 8, 4096  # of stored images and of the input of networks, pixels
MIN_TEACHER_SIDE, MAX_TEACHER_SIDE = 32, 1024  # of the input of teachers and bases, pixels

Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
Trackers = Annotated[
    tuple[str, ...],
    setting(
        "Service that records the run, too: mlflow[:URI], tensorboard[:FOLDER] or wandb[:PROJECT].",
        option="tracker",
    ),
]


def _seconds(value: Any) -> Any:
    """Turn ``10m``, ``1h30m``, ``45s`` or ``600`` into seconds."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", value.strip())
    hours, minutes, rest = (float(number or 0) for number in match.groups()) if match else (0, 0, 0)
    if (total := hours * 3600 + minutes * 60 + rest) <= 0:
        raise ValueError("write it as 90s, 10m or 1h30m")
    return total


#: A time in seconds, or as in ``1h30m``; ``None``: no limit.
_Time = Annotated[Annotated[float, Field(gt=0)] | None, BeforeValidator(_seconds)]


def _sides(value: Any) -> Any:
    """Turn ``96`` and ``64,96,128`` into a tuple."""
    if isinstance(value, int):
        return (value,)
    if not isinstance(value, str):
        return value
    try:
        return tuple(int(side) for side in value.split(","))
    except ValueError:
        raise ValueError("write it as 96 or 64,96,128") from None


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)


class TableConfig(_Model):
    """Columns of a table of images, and the place of its images."""

    image: Annotated[
        str | None,
        setting(
            "Column of the images: paths, or names without extension.",
            auto="by its name, as in path, file_name, image or id",
        ),
    ] = None
    label: Annotated[
        str | None,
        setting("Column of the labels.", auto="by its name, as in label, class, target or category"),
    ] = None
    split: Annotated[
        str | None,
        setting(
            "Column of the splits, which are train, val and test or numbered folds; none: as if there "
            "were none.",
            auto="split or fold, if there is one",
        ),
    ] = None
    test_fold: Annotated[
        int | None,
        setting("Fold that is tested; the one before it validates.", auto="the last"),
    ] = None
    folder: Annotated[
        str | None,
        setting(
            "Folder that the names of the images start from; relative to the table, or else to the "
            "working directory.",
            auto="that of the table, or the one beside it that holds them",
        ),
    ] = None


#: All columns by their names.
USUAL_TABLE = TableConfig()


class DataConfig(_Model):
    """Images and how they are stored."""

    spec: Annotated[
        str,
        setting(
            "Directory of class folders (split 70/10/20), directory with train/ val/ test/, table of "
            "images (.csv, .jsonl, .parquet), hf:NAME_OR_PATH of the library datasets, digits, "
            "torchvision:NAME, or a YAML file with DATA_PATH.",
            option="data",
        ),
    ] = "digits"
    size: Annotated[
        int | None,
        setting(
            "Side of the stored square images, pixels.",
            auto="median short side of the images, at most 256",
            option="image-size",
            ge=MIN_SIDE,
            le=MAX_SIDE,
        ),
    ] = None
    fit: Annotated[
        Literal["squash", "crop", "pad"], setting("How an image becomes square.", option="fit")
    ] = "squash"
    split_seed: Annotated[Seed, setting("Seed of the 70/10/20 split.")] = 0
    val_share: Annotated[
        float | None,
        setting(
            "Share of the images outside the test split that validate, for data without a val/ folder.",
            auto="an eighth",
            gt=0,
            lt=1,
        ),
    ] = None
    labels_per_class: Annotated[
        int | None,
        setting(
            "Images of each class to train and validate on, for learning curves; the test split stays.",
            auto="all",
            ge=2,
        ),
    ] = None
    unlabelled: Annotated[
        str | None,
        setting(
            "Directory of more images, at any depth and without labels: students learn the teacher's "
            "outputs on them too.",
            auto="none",
            option="unlabelled",
        ),
    ] = None
    licence: Annotated[
        str | None,
        setting("Licence of the images, for the model card, as in cc-by-4.0.", auto="unknown"),
    ] = None
    group_by: Annotated[
        str | None,
        setting(
            "Keep images of one object, scene or burst in one split: a column of the table, or a regular "
            "expression whose first group, or whole match, in an image's relative path names its group.",
            auto="none",
            option="group-by",
        ),
    ] = None
    table: TableConfig = Field(default_factory=TableConfig)


class AugmentConfig(_Model):
    """Strength of the training augmentation."""

    operations: Annotated[int, setting("RandAugment operations per image; 0: none.", ge=0, le=8)] = 2
    magnitude: Annotated[int, setting("RandAugment magnitude.", ge=0, le=30)] = 9
    random_magnitude: Annotated[
        bool, setting("Draw the magnitude of each operation and image, from 0 to the given one.")
    ] = False
    flip: Annotated[
        bool | None, setting("Horizontal flip.", auto="on, except for data with letters or digits")
    ] = None
    cutout: Annotated[
        float, setting("Side of the erased square, as a share of the image's; 0: none.", ge=0, le=1)
    ] = 0.25
    cutmix: Annotated[
        float | None,
        setting(
            "Share of the images that carry a patch of another image; 0: none.",
            auto={"search": "0", "student": "0.5 with a teacher and 2,000 steps or more, else 0"},
            option="cutmix",
            ge=0,
            le=1,
        ),
    ] = None
    mixup: Annotated[
        float,
        setting("Share of the images blended with another image; 0: none.", option="mixup", ge=0, le=1),
    ] = 0.0

    @model_validator(mode="after")
    def _one_of_both(self) -> AugmentConfig:
        if (self.cutmix or 0) + self.mixup > 1:
            raise ValueError("cutmix and mixup are shares of the images: together at most 1")
        return self


#: Peak learning rates for a batch of 64: from random weights, and from inherited ones.
SCRATCH_RATE, INHERITED_RATE = 6e-3, 2e-3


class TrainConfig(_Model):
    """The training recipe."""

    epochs: Annotated[
        int | None,
        setting(
            "Passes over the training images, those without labels included.",
            auto={
                "search": "5, or 100 steps; with asha 9, or 450 steps; with inherited weights 0",
                "student": "30, or 6,000 steps but at most 300 epochs; with inherited weights "
                "15, or 2,100 steps but at most 180 epochs",
            },
            option="epochs",
            ge=0,
        ),
    ] = None
    batch_size: Annotated[int, setting("Images per training step.", option="batch-size", ge=2)] = 64
    optimizer: Annotated[
        str, setting("Any optimiser of timm, as in sgd, lamb or muon.", option="optimizer")
    ] = "adamw"
    learning_rate: Annotated[
        float | None,
        setting(
            "Peak learning rate, for a batch of 64 and adamw.",
            auto="0.006; with inherited weights 0.002",
            option="learning-rate",
            gt=0,
        ),
    ] = None
    scheduler: Annotated[
        Literal["cosine", "tanh", "poly", "step", "wsd", "constant"],
        setting("Decay of the learning rate, by timm's name.", option="scheduler"),
    ] = "cosine"
    weight_decay: Annotated[float, setting("Weight decay, except of biases and norms.", ge=0)] = 0.02
    clip_grad: Annotated[
        float, setting("Largest norm of the gradient; 0: no limit.", option="clip-grad", ge=0)
    ] = 0.0
    warmup: Annotated[
        float, setting("Share of all steps in which the learning rate rises.", ge=0, lt=1)
    ] = 0.1
    label_smoothing: Annotated[float, setting("Label smoothing, without a teacher.", ge=0, lt=1)] = 0.1
    patience: Annotated[
        int,
        setting(
            "Stop after this many epochs without a better validation F1; 0: never.",
            option="patience",
            ge=0,
        ),
    ] = 0
    views: Annotated[
        int | None,
        setting(
            "Augmented versions of each image; the epochs cycle through them.",
            auto="an eighth of the epochs, 4 to 32",
            option="views",
            ge=1,
        ),
    ] = None
    average: Annotated[
        float, setting("Decay per step of the averaged weights (EMA); 0: none.", ge=0, lt=1)
    ] = 0.99
    # Small data sets have few steps per epoch: torch's 0.1 leaves the statistics behind the weights, and
    # the averaged weights smooth the noise that 0.3 adds.
    norm_momentum: Annotated[
        float, setting("Momentum of batch norm's running statistics.", gt=0, le=1)
    ] = 0.3
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"],
        setting(
            "Precision of forward and backward passes; auto: bfloat16 on a GPU that has it.",
            option="precision",
        ),
    ] = "auto"
    compile: Annotated[
        bool, setting("Train with torch.compile; not with a loss on features.", option="compile")
    ] = False

    @property
    def view_count(self) -> int:
        """Number of augmented versions of each image, decided from the epochs if not given."""
        return self.views or max(4, min(32, (self.epochs or 0) // 8))

    @property
    def shown_views(self) -> int:
        """Views that a training shows: no more than it has epochs, 0 where those are not decided."""
        return min(self.view_count, self.epochs or 0)

    @property
    def peak_rate(self) -> float:
        """Peak learning rate; that of random weights if not given."""
        return self.learning_rate or SCRATCH_RATE


class TeacherConfig(_Model):
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


class BaseConfig(_Model):
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


#: What a student is trained on in the end: the validation images too, or all images.
Refit = Literal["val", "all"]

#: A rule of :mod:`nas.networks.channel_importance`.
Importance = Literal["taylor", "magnitude"]


class SpaceConfig(_Model):
    """A search space."""

    name: Annotated[str, setting("Search space; 'plugins' lists them.", option="space")] = "mobilenet"
    resolutions: Annotated[
        tuple[Annotated[int, Field(ge=MIN_SIDE, le=MAX_SIDE)], ...] | None,
        BeforeValidator(_sides),
        setting(
            "Input sides to choose from, pixels, as in 64,96,128.",
            auto="five, up to the stored side; smaller ones too for tight limits",
            form="sides",
            option="resolution",
        ),
    ] = None
    importance: Annotated[
        Importance,
        setting(
            "Criterion for the channels that networks of the space elastic keep.", option="importance"
        ),
    ] = "taylor"


class SupernetConfig(_Model):
    """Training of the elastic space's supernet, see :mod:`distill.supernet`."""

    epochs: Annotated[
        int | None,
        setting(
            "Epochs to train the supernet; each takes two or three of the teacher's, less near limits.",
            auto="10, or 440 steps but at most 40 epochs",
            option="supernet-epochs",
            ge=1,
        ),
    ] = None
    learning_rate: Annotated[float, setting("Peak learning rate, for a batch of 64.", gt=0)] = 2e-3
    views: Annotated[
        int | None,
        setting("Augmented versions of each image.", auto="an eighth of the epochs, 4 to 32", ge=1),
    ] = None
    sizes: Annotated[
        Literal["near", "all"] | None,
        setting(
            "Sizes of the networks that the supernet is trained for: near the limits, or all.",
            auto="near the limits on costs or latency_ms, else all",
        ),
    ] = None


class StrategyConfig(_Model):
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
    ] = {}


class LossConfig(_Model):
    """The distillation loss."""

    name: Annotated[str, setting("Loss on logits; 'plugins' lists them.", option="loss")] = "kd"
    options: Annotated[
        dict[str, Any], setting("Option of the loss, as in temperature=2.", option="loss-option")
    ] = {}
    weight: Annotated[
        float,
        setting(
            "Weight of the distillation loss; the rest is cross-entropy with the labels.",
            option="loss-weight",
            ge=0,
            le=1,
        ),
    ] = 0.9
    features: Annotated[
        str | None,
        setting(
            "Loss on the teacher's features: hint, at, rkd, or none.",
            auto={"search": "none", "student": "hint"},
            option="features",
        ),
    ] = None
    feature_options: Annotated[
        dict[str, Any],
        setting("Option of the loss on features, as in distance=25.", option="feature-option"),
    ] = {}
    feature_weight: Annotated[
        float, setting("Factor of the loss on features.", option="feature-weight", ge=0)
    ] = 10.0

    @property
    def feature_loss(self) -> str | None:
        """Name of the loss on features; ``None``: logits alone."""
        return None if self.features == "none" else self.features


class BalanceConfig(_Model):
    """Treatment of classes of unequal size, see :mod:`training.balance`."""

    mode: Annotated[
        Literal["none", "sampler", "logit-adjust", "post-hoc"] | None,
        setting(
            "For classes of unequal size. sampler: draw all equally often; logit-adjust: adjust the "
            "cross-entropy; post-hoc: adjust the trained biases by validation F1.",
            auto={"search": "none", "student": "post-hoc, or as in the search"},
            option="balance",
        ),
    ] = None
    tau: Annotated[
        float | None,
        setting(
            "Strength of the adjustment, in log shares of the classes.",
            auto="1 in the loss; best on validation after training",
            ge=0,
        ),
    ] = None

    @model_validator(mode="after")
    def _tau_is_used(self) -> BalanceConfig:
        if self.tau is not None and self.mode in ("none", "sampler"):
            raise ValueError("tau belongs to logit-adjust and post-hoc")
        return self

    @property
    def loss_tau(self) -> float | None:
        """Tau of the training loss; ``None`` where the loss is not adjusted."""
        if self.mode != "logit-adjust":
            return None
        return 1.0 if self.tau is None else self.tau


class ScoreConfig(_Model):
    """Reference model of the metric ``score``, see :mod:`deploy.competition_score`."""

    f1: Annotated[float, setting("Macro-F1 of the reference.", ge=0, le=1)] = 0.7
    time: Annotated[float, setting("Seconds that the reference takes for all images.", gt=0)] = 86.3


class SearchConfig(_Model):
    """The settings of a search: ``config.yaml`` of its run."""

    data: DataConfig = Field(default_factory=DataConfig)
    space: SpaceConfig = Field(default_factory=SpaceConfig)
    strategy: StrategyConfig = Field(default_factory=StrategyConfig)
    objectives: Annotated[
        tuple[str, ...],
        setting(
            "Goal, as in latency_ms:min; several give a Pareto front. Metrics: f1, accuracy, "
            "balanced_accuracy, params, macs, flash_kb, ram_kb, latency_ms, train_seconds, "
            "total_seconds, score.",
            option="objective",
        ),
    ] = ("f1:max",)
    limits: Annotated[
        tuple[str, ...],
        setting(
            "Limit on a metric, as in 'params<=300k' or 'latency_ms<=2'; no network beyond is trained.",
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
            auto="supernet in the space elastic, else train",
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
        _Time,
        setting(
            "Start no trial after this time, as in 90s, 10m or 1h30m; it counts from the first trial.",
            auto="no limit, or a share of the budget",
            option="timeout",
            form="time",
        ),
    ] = None
    budget: Annotated[
        _Time,
        setting(
            "Time for the whole job, as in 30m: teacher, supernet, trials and the final training.",
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
            "Cores of a trial.",
            auto="a share of this machine's, or 1 on a cluster",
            option="trial-cpus",
            gt=0,
        ),
    ] = None
    trial_gpus: Annotated[
        float,
        setting("GPUs of a trial on a cluster; a fraction shares one.", option="trial-gpus", ge=0),
    ] = 0.0
    trial_timeout: Annotated[
        _Time,
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
        _check_compile(self.train, self.teacher, self.loss.feature_loss)
        if self.train.epochs == 0 and self.evaluator == "train":
            raise ValueError("train.epochs 0 trains nothing, which the evaluator train cannot do")
        return self


class StudentConfig(_Model):
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
            "on.",
            option="target",
        ),
    ] = "onnxruntime"
    budget: Annotated[
        _Time,
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
        _check_compile(self.train, self.teacher, features)
        if self.train.epochs == 0:
            raise ValueError("train.epochs: input should be greater than or equal to 1, got 0")
        return self


def _check_compile(train: TrainConfig, teacher: TeacherConfig | None, features: str | None) -> None:
    if train.compile and teacher is not None and features is not None:
        raise ValueError("train.compile does not reach a loss on features: set loss.features to none")


#: Settings of a search that ``fit`` starts from, where others are not given.
FIT_DEFAULTS: dict[str, Any] = {
    "space.name": "elastic",
    "teacher.spec": "tf_efficientnet_lite0",
    "trials": 60,
}
