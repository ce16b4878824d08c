"""The models of ``config.yaml``: everything that shapes a run, typed, with every default in one place."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Seed = Annotated[int, Field(ge=0, lt=2**32)]  # as far as numpy's older generators go


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DataConfig(_Model):
    """Where the images are and how they are stored.

    Attributes:
        spec: a directory of class folders, one with train/ val/ test/, ``digits``, or
            ``torchvision:NAME``.
        size: side of the stored square images, pixels; ``None``: from the images.
        fit: how an image becomes square.
        split_seed: of the 70/10/20 split, apart from the training seed.
        val_share: share of the images that are not tested which validate, where the data set has no
            val/ of its own; ``None``: an eighth.
        labels_per_class: train and validate on at most so many images of each class, for learning curves;
            the test images stay the same. ``None``: on all.
    """

    spec: str = "digits"
    size: Annotated[int | None, Field(ge=8, le=1024)] = None
    fit: Literal["squash", "crop", "pad"] = "squash"
    split_seed: Seed = 0
    val_share: Annotated[float | None, Field(gt=0, lt=1)] = None
    labels_per_class: Annotated[int | None, Field(ge=2)] = None


class AugmentConfig(_Model):
    """Strength of the training augmentation.

    Attributes:
        operations: RandAugment operations per image; 0 turns it off.
        magnitude: RandAugment magnitude, 0 to 30.
        flip: horizontal flip; ``None``: wherever the data set allows it.
        cutout: side of the erased square as a share of the image's; 0 turns it off.
        cutmix: share of the images that carry a patch of another training image; 0 turns it off.
            ``None``: what suits the training, see ``training.budget``.
        mixup: share of the images that are blended with another training image; 0 turns it off.
    """

    operations: Annotated[int, Field(ge=0, le=8)] = 2
    magnitude: Annotated[int, Field(ge=0, le=30)] = 9
    flip: bool | None = None
    cutout: Annotated[float, Field(ge=0, le=1)] = 0.25
    cutmix: Annotated[float | None, Field(ge=0, le=1)] = None
    mixup: Annotated[float, Field(ge=0, le=1)] = 0.0

    @model_validator(mode="after")
    def _one_of_both(self) -> AugmentConfig:
        if (self.cutmix or 0) + self.mixup > 1:
            raise ValueError("cutmix and mixup are shares of the images: together at most 1")
        return self


class TrainConfig(_Model):
    """The training recipe.

    Attributes:
        epochs: passes over the training split; 0: enough for its size (see ``training.budget``).
        batch_size: images per step.
        optimizer: any of timm's, by its name there; the learning rate's default suits ``adamw``.
        learning_rate: its peak, for a batch of 64.
        scheduler: how it falls after the warm-up, by timm's name: along a half cosine, a tanh or a
            straight line (``poly``), in three steps, only in the last fifth (``wsd``), or not at all.
        weight_decay: the optimiser's; not applied to biases and norms.
        clip_grad: largest norm of the gradient, larger ones are scaled down to it; 0 turns it off.
        warmup: share of all steps in which the learning rate rises.
        label_smoothing: of the cross-entropy.
        patience: epochs in a row without a better validation F1 that end the training early; 0: none do.
        views: different augmentations of each image that the epochs walk through; 0: an eighth of the
            epochs, 4 to 32, so that a teacher is done with them before the training would be.
        average: EMA decay of the weights that are validated and kept, per step; 0 turns it off.
        norm_momentum: of batch norm's running statistics. Small data sets have few steps per epoch, and
            torch's 0.1 leaves the statistics behind the weights; the EMA smooths what 0.3 adds in noise.
        precision: of the forward pass and its gradients while training. ``auto``: bfloat16 on a GPU that
            computes with it, else float32. Weights, losses and everything after training are float32.
        compile: whether ``torch.compile`` makes the network faster, after minutes of compiling.
    """

    epochs: Annotated[int, Field(ge=0)] = 0
    batch_size: Annotated[int, Field(ge=2)] = 64
    optimizer: str = "adamw"
    learning_rate: Annotated[float, Field(gt=0)] = 6e-3
    scheduler: Literal["cosine", "tanh", "poly", "step", "wsd", "constant"] = "cosine"
    weight_decay: Annotated[float, Field(ge=0)] = 0.02
    clip_grad: Annotated[float, Field(ge=0)] = 0.0
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    patience: Annotated[int, Field(ge=0)] = 0
    views: Annotated[int, Field(ge=0)] = 0
    average: Annotated[float, Field(ge=0, lt=1)] = 0.99
    norm_momentum: Annotated[float, Field(gt=0, le=1)] = 0.3
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    compile: bool = False

    @property
    def walked(self) -> int:
        """Views that the epochs walk through."""
        return self.views or max(4, min(32, self.epochs // 8))


#: Peak learning rate of students that inherit their weights, where nobody said.
INHERITED_RATE = 2e-3


class TeacherConfig(_Model):
    """A teacher and how it is fine-tuned.

    Attributes:
        spec: a timm name, a run directory, or a weights file; several as ``a,b`` or ``a*0.7,b*0.3``.
        resolution: side of its input, pixels; ``None``: its pretrained one, or less where the stored
            images are much smaller.
        epochs: of fine-tuning; 0: enough for the size of the training split.
        learning_rate: peak, for a batch of 64.
    """

    spec: str
    resolution: Annotated[int | None, Field(ge=32, le=1024)] = None
    epochs: Annotated[int, Field(ge=0)] = 0
    learning_rate: Annotated[float, Field(gt=0)] = 2e-3


#: A rule of :mod:`nas.networks.channel_importance`.
Importance = Literal["taylor", "magnitude"]


class SpaceConfig(_Model):
    """A search space.

    Attributes:
        name: of the plugin.
        resolutions: input sides to choose from, pixels; ``None``: five, up to the stored side.
        importance: which channels the elastic space's networks keep first.
    """

    name: str = "mobilenet"
    resolutions: tuple[int, ...] | None = None
    importance: Importance = "taylor"


class SupernetConfig(_Model):
    """How the elastic space's supernet is adapted, see :mod:`distill.supernet`.

    Attributes:
        epochs: each costs about as much as two or three of the teacher; 0: enough for the training split.
        learning_rate: peak, for a batch of 64.
        views: as of :class:`TrainConfig`.
    """

    epochs: Annotated[int, Field(ge=0)] = 0
    learning_rate: Annotated[float, Field(gt=0)] = 2e-3
    views: Annotated[int, Field(ge=0)] = 0


class StrategyConfig(_Model):
    """A strategy by name, and its own options."""

    name: str = "gp"
    options: dict[str, Any] = {}


class LossConfig(_Model):
    """What a student learns from its teacher.

    Attributes:
        name: of the loss on logits.
        options: its own.
        weight: its share; the rest is cross-entropy with the labels.
        features: a loss on features that is added; ``None``: logits alone.
        feature_options: its own.
        feature_weight: what it is multiplied with.
    """

    name: str = "kd"
    options: dict[str, Any] = {}
    weight: Annotated[float, Field(ge=0, le=1)] = 0.9
    features: str | None = None
    feature_options: dict[str, Any] = {}
    feature_weight: Annotated[float, Field(ge=0)] = 1.0

    @field_validator("features", mode="before")
    @classmethod
    def _may_be_none(cls, value: Any) -> Any:
        return None if value == "none" else value  # as the command line says it


class BalanceConfig(_Model):
    """What is done about classes of unequal size, see ``training.balance``.

    Attributes:
        mode: nothing; draw every class equally often; adjust the loss; adjust the trained network.
        tau: how much is adjusted, in log shares of the classes; ``None``: 1 in the loss, and what
            validates best in the trained network.
    """

    mode: Literal["none", "sampler", "logit-adjust", "post-hoc"] = "none"
    tau: Annotated[float | None, Field(ge=0)] = None

    @model_validator(mode="after")
    def _tau_is_used(self) -> BalanceConfig:
        if self.tau is not None and self.mode not in ("logit-adjust", "post-hoc"):
            raise ValueError("tau belongs to logit-adjust and post-hoc")
        return self

    @property
    def loss_tau(self) -> float | None:
        """Tau of the training loss; ``None`` where the loss stays as it is."""
        if self.mode != "logit-adjust":
            return None
        return 1.0 if self.tau is None else self.tau


class ScoreConfig(_Model):
    """The model that the metric ``score`` compares with, see :mod:`nas.competition_score`.

    Attributes:
        f1: its macro-F1.
        time: what it takes for all images, seconds; the default is that of the competition's test set.
    """

    f1: Annotated[float, Field(ge=0, le=1)] = 0.7
    time: Annotated[float, Field(gt=0)] = 86.3


class SearchConfig(_Model):
    """A search: ``config.yaml`` of a search run.

    Attributes:
        evaluator: how a network gets its validation F1. ``train``: from random weights. ``inherit``:
            from the teacher's weights, cut, with ``train.epochs`` of training or none. ``supernet``: from
            those of a supernet. The latter two are for the space elastic. ``None``: ``supernet`` there,
            else ``train``.
        supernet: how that is made.
        study: its name in the storage; ``None``: that of the run directory.
        shared: names of ``train`` settings that its students take over too: a data file said them.
    """

    data: DataConfig = DataConfig()
    space: SpaceConfig = SpaceConfig()
    strategy: StrategyConfig = StrategyConfig()
    objectives: tuple[str, ...] = ("f1:max",)
    limits: tuple[str, ...] = ()
    score: ScoreConfig = ScoreConfig()
    evaluator: Literal["train", "inherit", "supernet"] | None = None
    supernet: SupernetConfig = SupernetConfig()
    fidelity: Literal["full", "asha"] = "full"
    trials: Annotated[int, Field(ge=1)] = 20
    confirm: Annotated[int | None, Field(ge=0)] = None
    timeout: Annotated[float | None, Field(gt=0)] = None
    teacher: TeacherConfig | None = None
    loss: LossConfig = LossConfig()
    train: TrainConfig = TrainConfig()
    augment: AugmentConfig = AugmentConfig()
    balance: BalanceConfig = BalanceConfig()
    workers: Annotated[int, Field(ge=1)] = 1
    seed: Seed = 0
    storage: str | None = None
    study: str | None = None
    shared: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _compiles_what_it_calls(self) -> SearchConfig:
        return _checked(self)

    @property
    def confirmations(self) -> int:
        """How many of the trials re-train known networks: with one goal a fifth, unless given.

        None where nothing is trained: the same network would get the same F1.
        """
        if self.confirm is not None:
            return self.confirm
        if self.evaluator in ("inherit", "supernet"):
            return 0
        return self.trials // 5 if len(self.objectives) == 1 else 0


class StudentConfig(_Model):
    """A final training, with or without a teacher: ``config.yaml`` of a student.

    A trial of a search is too short for the teacher's features to help; a student is not.

    Attributes:
        live_teacher: have the teacher look at every batch, instead of at every view beforehand.
        from_scratch: start from random weights, also where there are weights to inherit.
    """

    data: DataConfig = DataConfig()
    teacher: TeacherConfig | None = None
    live_teacher: bool = False
    from_scratch: bool = False
    loss: LossConfig = LossConfig(features="hint", feature_weight=10.0)
    train: TrainConfig = TrainConfig()
    augment: AugmentConfig = AugmentConfig()
    balance: BalanceConfig = BalanceConfig(mode="post-hoc")
    seed: Seed = 0

    @model_validator(mode="after")
    def _compiles_what_it_calls(self) -> StudentConfig:
        return _checked(self)


T = TypeVar("T", SearchConfig, StudentConfig)


def _checked(config: T) -> T:
    if config.train.compile and config.teacher is not None and config.loss.features is not None:
        raise ValueError(
            "train.compile does not reach losses on features: leave it out, or say --features none"
        )
    return config
