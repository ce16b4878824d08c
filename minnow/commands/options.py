"""Options that several minnow share: what they are called, what they say, where help shows them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from typer import Option

_IMAGES = "How images are stored"
_TRAINING = "Training"
TEACHING = "Teacher and loss"

DATA_HELP = (
    "Directory of class folders (split 70/10/20), directory with train/ val/ test/, "
    "'digits', torchvision:NAME, or a YAML file with DATA_PATH, IMG_SIZE, BATCH_SIZE and so on."
)
TEACHER_HELP = (
    "A timm name (fine-tuned on your images first), a run directory, or TIMM_NAME:WEIGHTS_FILE. "
    "Several are averaged: a,b or a*0.7,b*0.3."
)
SETTINGS_HELP = (
    "YAML file of settings, in the form of a run's config.yaml; options given here override it."
)
EPOCHS_HELP = "Passes over the training images."

Data = Annotated[str | None, Option(help=f"{DATA_HELP} (default: digits)", show_default=False)]
Size = Annotated[
    int | None,
    Option(
        help="Side of the stored square images, pixels. (default: from the images, at most 256)",
        rich_help_panel=_IMAGES,
    ),
]
Fit = Annotated[
    str | None,
    Option(
        help="How images become square: squash, crop or pad. (default: squash)", rich_help_panel=_IMAGES
    ),
]
StudentEpochs = Annotated[
    int | None,
    Option(
        help=f"{EPOCHS_HELP} (default: 30, or 6,000 steps but at most 300 epochs; with inherited weights "
        "15, or 700 steps but at most 60 epochs)",
        min=1,
    ),
]
FromScratch = Annotated[
    bool | None,
    Option(
        "--from-scratch",
        help="Start from random weights. A network of the space elastic starts otherwise from its part "
        "of the search's supernet, or of the teacher.",
        rich_help_panel=_TRAINING,
    ),
]
Seed = Annotated[
    int | None,
    Option(help="Of every random decision; students of a search take the search's. (default: 0)"),
]
Seeds = Annotated[
    int,
    Option(
        help="Students to train, with the seeds --seed, --seed + 1 ...; RUN/student is the best on "
        "validation, the others stay in RUN/seeds. Reports mean ± sd of their test F1.",
        min=1,
    ),
]
Batch = Annotated[
    int | None, Option(help="Images per training step. (default: 64)", rich_help_panel=_TRAINING)
]
Rate = Annotated[
    float | None,
    Option(
        help="Peak learning rate; of inherited weights 0.002 where nothing is given. (default: 0.006)",
        rich_help_panel=_TRAINING,
    ),
]
Optimizer = Annotated[
    str | None,
    Option(
        help="Any of timm's by its name there, as in sgd, lamb, lion or muon; most need a "
        "--learning-rate of their own. (default: adamw)",
        rich_help_panel=_TRAINING,
    ),
]
Clip = Annotated[
    float | None,
    Option(
        "--clip-grad",
        help="Largest norm of the gradient; larger ones are scaled down to it. For a training that "
        "diverges; 0 turns it off. (default: 0.0)",
        rich_help_panel=_TRAINING,
    ),
]
Patience = Annotated[
    int | None,
    Option(
        help="Stop after so many epochs in a row without a better validation F1. The learning rate still "
        "falls as if all --epochs were trained. 0 turns it off. (default: 0)",
        rich_help_panel=_TRAINING,
    ),
]
Views = Annotated[
    int | None,
    Option(
        help="Augmented versions of each image that the epochs walk through. (default: an eighth of the "
        "epochs, 4 to 32)",
        rich_help_panel=_TRAINING,
    ),
]
Scheduler = Annotated[
    str | None,
    Option(
        help="How the learning rate falls, by timm's name: cosine, tanh, poly (a straight line), step, "
        "wsd (in the last fifth) or constant. (default: cosine)",
        rich_help_panel=_TRAINING,
    ),
]
Precision = Annotated[
    str | None,
    Option(
        help="Of training: float32, bfloat16, or auto: bfloat16 on a GPU that has it. (default: auto)",
        rich_help_panel=_TRAINING,
    ),
]
Compile = Annotated[
    bool | None,
    Option(
        "--compile",
        help="Have torch.compile make the network faster first; for logits, so with --features none.",
        rich_help_panel=_TRAINING,
    ),
]
CutMix = Annotated[
    float | None,
    Option(
        help="Share of the images, 0 to 1, that carry a patch of another one; labels and teacher answer "
        "for both. (default: 0.5 with a teacher for 2,000 steps or more, else 0)",
        rich_help_panel=_TRAINING,
    ),
]
MixUp = Annotated[
    float | None,
    Option(
        help="Share of the images, 0 to 1, that are blended with another one. (default: 0.0)",
        rich_help_panel=_TRAINING,
    ),
]
TeacherSide = Annotated[
    int | None,
    Option(
        help="Side of the teacher's input. (default: its own, but not above the stored images')",
        rich_help_panel=TEACHING,
    ),
]
TeacherEpochs = Annotated[
    int | None,
    Option(
        help="Epochs of fine-tuning the teacher. (default: 6, or 100 steps)",
        min=1,
        rich_help_panel=TEACHING,
    ),
]
LossName = Annotated[
    str | None,
    Option("--loss", help="Distillation loss, see 'plugins'. (default: kd)", rich_help_panel=TEACHING),
]
LossWeight = Annotated[
    float | None,
    Option(
        help="Share of the distillation loss; the rest is cross-entropy with the labels. (default: 0.9)",
        rich_help_panel=TEACHING,
    ),
]
LossOption = Annotated[
    list[str] | None,
    Option(help="Option of the loss, as in temperature=2. Repeatable.", rich_help_panel=TEACHING),
]
Features = Annotated[
    str | None,
    Option(
        help="Also match the teacher's features: hint, at, rkd (see 'plugins'), or none. (default: hint)",
        rich_help_panel=TEACHING,
    ),
]
FeatureWeight = Annotated[
    float | None,
    Option(help="What the loss on features is multiplied with. (default: 10)", rich_help_panel=TEACHING),
]
FeatureOption = Annotated[
    list[str] | None,
    Option(
        help="Option of the loss on features, as in distance=25. Repeatable.", rich_help_panel=TEACHING
    ),
]
Balance = Annotated[
    str | None,
    Option(
        help="Against classes of unequal size. sampler: draw every class equally often. logit-adjust: "
        "add the log shares of the classes to the logits in the cross-entropy (and only there: beside a "
        "teacher, a --loss-weight near 1 leaves little of it). post-hoc: train as usual, then lower the "
        "biases of frequent classes by what validates best, or not at all. (default: post-hoc)",
        rich_help_panel=_TRAINING,
    ),
]
Pick = Annotated[
    str,
    Option(
        help="Which trial of the search: best, knee (of the Pareto front), smallest (fewest params), "
        "fastest (lowest latency_ms) or a number; all but a number also with conditions on any metric, "
        "as in 'smallest:f1>=0.6' or 'best:params<=200k,latency_ms<=2'."
    ),
]
ScoreReference = Annotated[
    str | None,
    Option(
        help="What the metric score compares with: score = total_seconds / TIME + "
        "sigmoid(20 * (F1 - f1)), for f1=F1,time=TIME. The default time is that of a waste-sorting "
        "competition's reference for its own test images; total_seconds is that of your validation "
        "images, so give the time of a reference for as many. "
        "(default: f1=0.7,time=86.3)"
    ),
]
Settings = Annotated[Path | None, Option("--config", help=SETTINGS_HELP)]

#: The setting that an option is, by the name of the parameter.
SETTINGS = {
    "cutmix": "augment.cutmix",
    "mixup": "augment.mixup",
    "balance": "balance",
    "confirm": "confirm",
    "fit": "data.fit",
    "image_size": "data.size",
    "data": "data.spec",
    "evaluator": "evaluator",
    "fidelity": "fidelity",
    "from_scratch": "from_scratch",
    "limit": "limits",
    "live_teacher": "live_teacher",
    "feature_option": "loss.feature_options",
    "feature_weight": "loss.feature_weight",
    "features": "loss.features",
    "loss": "loss.name",
    "loss_option": "loss.options",
    "loss_weight": "loss.weight",
    "objective": "objectives",
    "score_reference": "score",
    "seed": "seed",
    "importance": "space.importance",
    "space": "space.name",
    "resolution": "space.resolutions",
    "storage": "storage",
    "strategy": "strategy.name",
    "strategy_option": "strategy.options",
    "supernet_epochs": "supernet.epochs",
    "teacher_epochs": "teacher.epochs",
    "teacher_resolution": "teacher.resolution",
    "teacher": "teacher.spec",
    "timeout": "timeout",
    "batch_size": "train.batch_size",
    "clip_grad": "train.clip_grad",
    "compiled": "train.compile",
    "epochs": "train.epochs",
    "learning_rate": "train.learning_rate",
    "optimizer": "train.optimizer",
    "patience": "train.patience",
    "precision": "train.precision",
    "scheduler": "train.scheduler",
    "views": "train.views",
    "trials": "trials",
    "workers": "workers",
}


def settings_in(arguments: Mapping[str, Any], *others: str) -> dict[str, Any]:
    """Dotted settings of a command's arguments.

    Args:
        arguments: by the names of its parameters.
        others: those that are no settings.

    Raises:
        KeyError: one is neither in ``SETTINGS`` nor among the others.
    """
    return {SETTINGS[name]: value for name, value in arguments.items() if name not in others}
