"""Settings of a training: augmentation, recipe, loss, treatment of unequal classes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import model_validator

from core.config.model import Settings
from core.config.teacher import TeacherConfig
from core.setting import setting


class AugmentConfig(Settings):
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


class TrainConfig(Settings):
    """The training recipe."""

    epochs: Annotated[
        int | None,
        setting(
            "Passes over the training images, those without labels included.",
            auto={
                "search": "5, or 100 steps; with asha 9, or 450 steps; with inherited weights 0",
                "student": "30, or 6,000 steps but at most 300 epochs; with inherited weights "
                "15, or 2,100 steps but at most 180 epochs; below 10 M MACs up to 8,400 steps",
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


class LossConfig(Settings):
    """The distillation loss."""

    name: Annotated[str, setting("Loss on logits; 'plugins' lists them.", option="loss")] = "kd"
    options: Annotated[
        dict[str, Any], setting("Option of the loss, as in temperature=2.", option="loss-option")
    ] = {}  # noqa: RUF012 - pydantic copies it
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
    ] = {}  # noqa: RUF012 - pydantic copies it
    feature_weight: Annotated[
        float, setting("Factor of the loss on features.", option="feature-weight", ge=0)
    ] = 10.0

    @property
    def feature_loss(self) -> str | None:
        """Name of the loss on features; ``None``: logits alone."""
        return None if self.features == "none" else self.features


class BalanceConfig(Settings):
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


def check_compile(train: TrainConfig, teacher: TeacherConfig | None, features: str | None) -> None:
    """Check that a loss on features does not meet ``train.compile``.

    Raises:
        ValueError: it does.
    """
    if train.compile and teacher is not None and features is not None:
        raise ValueError("train.compile does not reach a loss on features: set loss.features to none")
