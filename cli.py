"""Minnow's command line: options become settings, settings go to one function."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from commands.options import (
    DATA_HELP,
    EPOCHS_HELP,
    TEACHER_HELP,
    TEACHING,
    Balance,
    Batch,
    Clip,
    Compile,
    CutMix,
    Data,
    FeatureOption,
    Features,
    FeatureWeight,
    Fit,
    FromScratch,
    LossName,
    LossOption,
    LossWeight,
    MixUp,
    Optimizer,
    Patience,
    Pick,
    Precision,
    Rate,
    Scheduler,
    ScoreReference,
    Seed,
    Seeds,
    Settings,
    Size,
    StudentEpochs,
    TeacherEpochs,
    TeacherSide,
    Views,
)

Option, Argument = typer.Option, typer.Argument

app = typer.Typer(
    name="minnow",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help=(
        "Find a small, fast image classifier for your images, and teach it what shrinking cost.\n\n"
        "Start with [bold]search --data DIR[/bold] (a directory with one folder of images per class), "
        "then [bold]distill --teacher tf_efficientnet_lite0[/bold], then [bold]export[/bold]."
    ),
)
data_app = typer.Typer(no_args_is_help=True, help="Look at a data set before training on it.")
app.add_typer(data_app, name="data")
model_app = typer.Typer(no_args_is_help=True, help="Look at a network, or write it as a model file.")
app.add_typer(model_app, name="model")
bench_app = typer.Typer(no_args_is_help=True, help="Measure search strategies without training anything.")
app.add_typer(bench_app, name="bench")


@app.callback()
def launched(context: typer.Context) -> None:
    """Refuse several processes where they would all do the same."""
    command = context.invoked_subcommand
    if command is not None and command not in ("distill", "train"):
        from training.launch import check_alone

        check_alone(command)


@app.command()
def search(
    data: Data = None,
    space: Annotated[str | None, Option(help="Search space, see 'plugins'. (default: mobilenet)")] = None,
    resolution: Annotated[
        str | None,
        Option(help="Input sides, as in 96 or 64,96,128. (default: five, up to the stored side)"),
    ] = None,
    strategy: Annotated[
        str | None,
        Option(
            help="gp, tpe, evolution, nni-evolution, random, optuna:SAMPLER, module:Class or "
            "./file.py:Class. After 50 trainings on NAS-Bench-Macro their picks are 0.05, 0.17, 0.22, "
            "0.28 and 0.40 points below the best network; see docs/strategies.md. (default: gp)"
        ),
    ] = None,
    strategy_option: Annotated[
        list[str] | None, Option(help="Option of the strategy, as in startup=5. Repeatable.")
    ] = None,
    trials: Annotated[
        int | None,
        Option(
            help="Networks to train, those of earlier runs included; with --fidelity asha a budget of "
            "as many full trainings, for several times the networks. (default: 20)"
        ),
    ] = None,
    fidelity: Annotated[
        str | None,
        Option(
            help="full: train every network for --epochs. asha: train new ones for a ninth (or a third "
            "...) of them, and of each three the best goes on for three times as long. (default: full)"
        ),
    ] = None,
    evaluator: Annotated[
        str | None,
        Option(
            help="How a network gets its validation F1. train: --epochs from random weights. For --space "
            "elastic: supernet, with its part of a supernet that is made of the teacher first (saved in "
            "the run), or inherit, with its part of the teacher itself, best with some --epochs. "
            "(default: supernet in the space elastic, else train)",
        ),
    ] = None,
    supernet_epochs: Annotated[
        int | None,
        Option(
            help="Epochs of making the supernet; each costs two to three of the teacher's. "
            "(default: 10, or 440 steps but at most 40)",
            min=1,
        ),
    ] = None,
    importance: Annotated[
        str | None,
        Option(
            help="Which channels of the teacher networks of --space elastic keep first: taylor, those "
            "without which the loss would change most, or magnitude, those with the largest weights. "
            "(default: taylor)"
        ),
    ] = None,
    confirm: Annotated[
        int | None,
        Option(
            help="The last so many trials train the best networks again, with new seeds, where that may "
            "change the pick; a network counts with its mean. Where a --timeout comes first, the last "
            "part of the time is kept for them: what they take, at most that share or a fifth of it. "
            "(default: a fifth of the trials with one objective, else 0)"
        ),
    ] = None,
    timeout: Annotated[
        str | None,
        Option(
            help="Start nothing new after this time, as in 90s, 10m or 1h30m. It counts from the first "
            "trial, when teacher and supernet are ready."
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        Option(
            help=f"{EPOCHS_HELP} With --fidelity asha of a network that gets to the end, by default 9 or "
            "450 steps. (default: 5, or 100 steps where folders are small)",
            min=1,
        ),
    ] = None,
    objective: Annotated[
        list[str] | None,
        Option(
            help="Goal, as in f1:max or latency_ms:min; repeat for a Pareto front. "
            "Metrics: f1, accuracy, balanced_accuracy, params, macs, latency_ms, train_seconds, "
            "total_seconds (to classify all validation images one by one) and score (of total_seconds "
            "and f1, less is better), see --score-reference. "
            "(default: f1:max)"
        ),
    ] = None,
    limit: Annotated[
        list[str] | None,
        Option(
            help="Bound, as in 'params<=300k', 'macs<=20M' or 'latency_ms<=2'. Repeatable. "
            "Networks beyond it are never trained, unless only training or timing them tells: f1, "
            "total_seconds, score."
        ),
    ] = None,
    score_reference: ScoreReference = None,
    teacher: Annotated[
        str | None,
        Option(
            help="Train every trial by distillation; with --space elastic, what networks are cut out of. "
            f"{TEACHER_HELP}"
        ),
    ] = None,
    teacher_resolution: TeacherSide = None,
    teacher_epochs: TeacherEpochs = None,
    loss: LossName = None,
    loss_weight: LossWeight = None,
    loss_option: LossOption = None,
    features: Features = None,
    feature_weight: FeatureWeight = None,
    feature_option: FeatureOption = None,
    balance: Annotated[
        str | None,
        Option(
            help="sampler or logit-adjust: train every trial so, and the student unless told otherwise; "
            "see 'distill'. post-hoc changes no training, and waits for the student. (default: none)"
        ),
    ] = None,
    workers: Annotated[
        int | None,
        Option(help="Trials at a time, each in a process with cores / N threads. (default: 1)"),
    ] = None,
    seed: Seed = None,
    out: Annotated[Path | None, Option(help="Run directory. (default: runs/DATA-SPACE-STRATEGY)")] = None,
    resume: Annotated[
        bool,
        Option(
            "--resume",
            help="Go on with the run in --out (default: the last one), with its settings.",
        ),
    ] = False,
    storage: Annotated[
        str | None,
        Option(help="Optuna storage URL, as in sqlite:///study.db. (default: a journal file in the run)"),
    ] = None,
    image_size: Size = None,
    fit: Fit = None,
    batch_size: Batch = None,
    learning_rate: Rate = None,
    views: Views = None,
    config: Settings = None,
) -> None:
    """Find a network: train candidates briefly, keep the best within your limits.

    Example: search --data photos/ --trials 30 --limit 'params<=300k' --limit 'latency_ms<=2'

    The study is an Optuna journal (optuna-dashboard RUN/study.journal shows it). A killed or interrupted
    search loses at most the trial in flight: search --resume --out RUN goes on.
    """
    from commands.settings import search_settings

    settings, run = search_settings(
        {
            "data.spec": data,
            "data.size": image_size,
            "data.fit": fit,
            "space.name": space,
            "space.resolutions": resolution,
            "strategy.name": strategy,
            "strategy.options": strategy_option,
            "trials": trials,
            "fidelity": fidelity,
            "evaluator": evaluator,
            "supernet.epochs": supernet_epochs,
            "space.importance": importance,
            "confirm": confirm,
            "timeout": timeout,
            "train.epochs": epochs,
            "train.batch_size": batch_size,
            "train.learning_rate": learning_rate,
            "train.views": views,
            "objectives": objective,
            "limits": limit,
            "score": score_reference,
            "teacher.spec": teacher,
            "teacher.resolution": teacher_resolution,
            "teacher.epochs": teacher_epochs,
            "loss.name": loss,
            "loss.weight": loss_weight,
            "loss.options": loss_option,
            "loss.features": features,
            "loss.feature_weight": feature_weight,
            "loss.feature_options": feature_option,
            "balance": balance,
            "workers": workers,
            "seed": seed,
            "storage": storage,
        },
        file=config,
        out=out,
        resume=resume,
    )
    from commands.search import run_search

    run_search(settings, run, resume=resume)


@app.command()
def distill(
    teacher: Annotated[str, Option(help=TEACHER_HELP)],
    student: Annotated[
        str | None,
        Option(
            help="Run directory of a search, or a model YAML. (default: the last search, runs/latest)"
        ),
    ] = None,
    pick: Pick = "best",
    data: Annotated[
        str | None, Option(help=f"{DATA_HELP} (default: the search's)", show_default=False)
    ] = None,
    loss: LossName = None,
    loss_weight: LossWeight = None,
    loss_option: LossOption = None,
    features: Features = None,
    feature_weight: FeatureWeight = None,
    feature_option: FeatureOption = None,
    balance: Balance = None,
    epochs: StudentEpochs = None,
    teacher_resolution: TeacherSide = None,
    teacher_epochs: TeacherEpochs = None,
    seed: Seed = None,
    seeds: Seeds = 1,
    out: Annotated[
        Path | None,
        Option(help="Run directory; the student goes into its student/. (default: the search's)"),
    ] = None,
    resume: Annotated[bool, Option("--resume", help="Go on with an interrupted training.")] = False,
    image_size: Size = None,
    fit: Fit = None,
    batch_size: Batch = None,
    learning_rate: Rate = None,
    optimizer: Optimizer = None,
    clip_grad: Clip = None,
    patience: Patience = None,
    views: Views = None,
    cutmix: CutMix = None,
    mixup: MixUp = None,
    scheduler: Scheduler = None,
    precision: Precision = None,
    compiled: Compile = None,
    from_scratch: FromScratch = False,
    live_teacher: Annotated[
        bool,
        Option(
            "--live-teacher",
            help="Ask the teacher about every batch, not about each view once. Slow; for comparison.",
            rich_help_panel=TEACHING,
        ),
    ] = False,
    config: Settings = None,
) -> None:
    """Train the found network with a teacher, and read the test split once.

    Example: distill --teacher tf_efficientnet_lite0 --student runs/photos --epochs 40

    The teacher is fine-tuned on your training images first (cached), and its outputs are computed once.
    """
    from commands.settings import student_settings

    chosen, settings, run = student_settings(
        {
            "data.spec": data,
            "data.size": image_size,
            "data.fit": fit,
            "teacher.spec": teacher,
            "teacher.resolution": teacher_resolution,
            "teacher.epochs": teacher_epochs,
            "live_teacher": live_teacher or None,
            "loss.name": loss,
            "loss.weight": loss_weight,
            "loss.options": loss_option,
            "loss.features": features,
            "loss.feature_weight": feature_weight,
            "loss.feature_options": feature_option,
            "balance": balance,
            "train.epochs": epochs,
            "train.batch_size": batch_size,
            "train.learning_rate": learning_rate,
            "train.optimizer": optimizer,
            "train.clip_grad": clip_grad,
            "train.patience": patience,
            "train.views": views,
            "augment.cutmix": cutmix,
            "augment.mixup": mixup,
            "train.scheduler": scheduler,
            "train.precision": precision,
            "train.compile": compiled,
            "from_scratch": from_scratch or None,
            "seed": seed,
        },
        student=student,
        pick=pick,
        file=config,
        out=out,
        prefix="distill",
    )
    from commands.student import run_student

    run_student(chosen, settings, run, resume=resume, seeds=seeds)


@app.command()
def train(
    model: Annotated[str, Option(help="Model YAML, or the run directory of a search.")],
    pick: Pick = "best",
    data: Data = None,
    balance: Balance = None,
    epochs: StudentEpochs = None,
    seed: Seed = None,
    seeds: Seeds = 1,
    out: Annotated[
        Path | None,
        Option(help="Run directory; the network goes into its student/. (default: runs/train-MODEL)"),
    ] = None,
    resume: Annotated[bool, Option("--resume", help="Go on with an interrupted training.")] = False,
    image_size: Size = None,
    fit: Fit = None,
    batch_size: Batch = None,
    learning_rate: Rate = None,
    optimizer: Optimizer = None,
    clip_grad: Clip = None,
    patience: Patience = None,
    views: Views = None,
    cutmix: CutMix = None,
    mixup: MixUp = None,
    scheduler: Scheduler = None,
    precision: Precision = None,
    compiled: Compile = None,
    from_scratch: FromScratch = False,
    config: Settings = None,
) -> None:
    """Train a network without a teacher: what it can do alone.

    Example: train --model runs/photos/architecture.yaml --data photos/
    """
    from commands.settings import student_settings

    chosen, settings, run = student_settings(
        {
            "data.spec": data,
            "data.size": image_size,
            "data.fit": fit,
            "balance": balance,
            "train.epochs": epochs,
            "train.batch_size": batch_size,
            "train.learning_rate": learning_rate,
            "train.optimizer": optimizer,
            "train.clip_grad": clip_grad,
            "train.patience": patience,
            "train.views": views,
            "augment.cutmix": cutmix,
            "augment.mixup": mixup,
            "train.scheduler": scheduler,
            "train.precision": precision,
            "train.compile": compiled,
            "from_scratch": from_scratch or None,
            "seed": seed,
        },
        student=model,
        pick=pick,
        file=config,
        out=out,
        prefix="train",
    )
    from commands.student import run_student

    run_student(chosen, settings, run, resume=resume, seeds=seeds)


Run = Annotated[Path, Argument(help="Run directory with a trained student, or the student itself.")]


@app.command()
def evaluate(
    run: Run,
    data: Annotated[str | None, Option(help=f"{DATA_HELP} (default: what it was trained on)")] = None,
    split: Annotated[str, Option(help="train, val, test or all.")] = "test",
    as_json: Annotated[bool, Option("--json", help="Print JSON to standard output.")] = False,
) -> None:
    """Score a trained network: macro-F1, accuracy, F1 per class, confusion matrix."""
    from commands.inspect import evaluate as run_evaluate

    run_evaluate(run, data, split, as_json=as_json)


@app.command()
def compare(
    a: Annotated[Path, Argument(help="Run directory with a trained student, or the student itself.")],
    b: Annotated[Path, Argument(help="What A is compared with: another one, tested on the same images.")],
    as_json: Annotated[bool, Option("--json", help="Print JSON to standard output.")] = False,
) -> None:
    """Tell whether B is better than A on the test images, or could as well be by chance.

    Example: compare runs/alone runs/distilled

    A paired bootstrap draws the test images anew, with replacement, the same ones for both, and gives
    the difference B - A in macro-F1 with its 95 % interval and a two-sided p-value. A run that was
    trained with --seeds counts with the mean of its seeds; RUN/student and RUN/seeds/SEED name one.
    """
    from commands.compare import compare_students

    compare_students(a, b, as_json=as_json)


@app.command()
def report(
    run: Annotated[Path, Argument(help="Run directory of a search, of a trained student, or of both.")],
    out: Annotated[Path | None, Option(help="HTML file. (default: report.html in RUN)")] = None,
) -> None:
    """Write a run's page anew: history, Pareto front, what good networks share, the student's scores.

    Every search, distill and train leaves one. It opens in a browser, without a network.
    """
    from commands.report import report as run_report

    run_report(run, out)


@app.command()
def predict(
    run: Run,
    images: Annotated[Path, Argument(help="An image, or a directory of them (searched recursively).")],
    out: Annotated[
        Path | None,
        Option(help="CSV file: file, label, probability, error, and one column per class."),
    ] = None,
    submission: Annotated[
        Path | None,
        Option(
            help="CSV file of two columns, file (its path below IMAGES) and class. Every image has a "
            "row; one that cannot be read gets the class that most others have, with a warning."
        ),
    ] = None,
    timing: Annotated[
        Path | None, Option(help="JSON file: median and IQR per image in ms, and the total in s.")
    ] = None,
) -> None:
    """Classify images one by one, and say how long it took.

    Example: predict runs/photos test/ --submission submission.csv

    Timed is everything from the file to the class: reading, decoding, resizing, network (PyTorch).
    """
    from commands.predict import predict_images

    predict_images(run, images, out=out, submission=submission, timing=timing)


@app.command()
def export(
    run: Run,
    out: Annotated[
        Path | None, Option(help="ONNX file. (default: model.onnx beside the weights)")
    ] = None,
) -> None:
    """Write an ONNX file with the normalisation inside, checked against PyTorch."""
    from commands.inspect import export as run_export

    run_export(run, out)


@app.command()
def latency(
    model: Annotated[
        Path,
        Argument(help="Run directory (its student, else its chosen network), or a model YAML."),
    ],
    classes: Annotated[int, Option(help="Number of classes, for a model YAML.", min=2)] = 10,
) -> None:
    """Milliseconds per image on ONNX Runtime, batch 1, 1 thread: median, IQR and n."""
    from commands.inspect import latency as run_latency

    run_latency(model, classes)


@app.command()
def plugins() -> None:
    """List every space, strategy, loss and teacher source."""
    from commands.plugins import list_plugins

    list_plugins()


@app.command()
def demo(
    out: Annotated[Path, Option(help="Directory for everything the demo makes.")] = Path("runs/demo"),
    seed: Annotated[int, Option(help="Of every random decision.")] = 0,
) -> None:
    """The whole job on the embedded digits, in a few minutes: search, distil, export, compare."""
    from commands.demo import run_demo

    run_demo(out, seed)


@data_app.command("check")
def data_check(
    spec: Annotated[str, Argument(help=DATA_HELP)],
    image_size: Size = None,
    fit: Fit = None,
) -> None:
    """Classes, counts, sizes, broken files, and exact duplicates across classes or splits.

    Ends with exit code 1 where the data set cannot be used.
    """
    from commands.data import check
    from commands.settings import data_settings

    if not check(data_settings({"spec": spec, "size": image_size, "fit": fit})):
        raise typer.Exit(1)


Network = Annotated[
    str, Argument(help="A model YAML, the run directory of a search, or that of a trained student.")
]
Classes = Annotated[
    int | None,
    Option(help="Width of the classifier. (default: the run's, or what the file says)", min=1),
]


@model_app.command("show")
def model_show(
    network: Network,
    pick: Pick = "best",
    classes: Classes = None,
    image_size: Annotated[
        int | None, Option(help="Input side, for a file that says none, pixels.", min=8)
    ] = None,
    time: Annotated[bool, Option("--latency/--no-latency", help="Measure it on this machine.")] = True,
    as_json: Annotated[bool, Option("--json", help="Print JSON to standard output.")] = False,
) -> None:
    """Print layers, shapes, parameters, multiply-adds and latency.

    Example: model show mobilenetv3.yaml --image-size 96
    """
    from commands.model import show

    show(network, pick, classes, image_size, time=time, as_json=as_json)


@model_app.command("convert")
def model_convert(
    network: Network,
    out: Annotated[Path, Argument(help="Model YAML to write.")],
    pick: Pick = "best",
    classes: Classes = None,
    image_size: Annotated[
        int | None, Option(help="Input side, for a file that says none, pixels.", min=8)
    ] = None,
) -> None:
    """Write a network as a model file: one row per layer, every multiple resolved.

    Example: model convert runs/photos --pick 12 found.yaml
    """
    from commands.model import convert

    convert(network, out, pick, classes, image_size)


@data_app.command("crop")
def data_crop(
    coco: Annotated[Path, Option(help="JSON file with boxes in COCO's format.")],
    images: Annotated[Path, Option(help="Folder that the file names in it start from.")],
    out: Annotated[Path, Option(help="Folder for the crops; must be empty or missing.")],
    map_name: Annotated[
        str | None,
        Option(
            "--map",
            help="YAML file that merges categories, in lines like 'Metal: [Drink can, Food Can]'; others "
            "are left out unless '*' names a class for them. taco6 ships: TACO's 60 categories as Metal, "
            "Paper, Paperpack, Plastic, Plasticbag, Styrofoam. (default: every category is a class)",
        ),
    ] = None,
    margin: Annotated[
        float, Option(help="Share of a box's longer side that is added on every side.")
    ] = 0.1,
    min_side: Annotated[
        float, Option(help="Leave out boxes whose shorter side has fewer pixels than this.")
    ] = 20,
    split: Annotated[
        str | None,
        Option(
            help="70/10/20 for train/val/test or 80/20 for train/val: in proportion for every class, all "
            "crops of a photo in one part. (default: class folders alone; search splits them, but does "
            "not know which crops are of one photo, so that its parts share photos)"
        ),
    ] = None,
    seed: Annotated[int, Option(help="Of the split.", min=0)] = 0,
) -> None:
    """Cut the boxes of annotated photos out: one image per box, in a folder per class.

    Example: data crop --coco annotations.json --images photos/ --out crops/ --map taco6 --split 70/10/20

    Photos with an EXIF orientation are turned. Width and height in the file tell whether its boxes are
    for the turned photo; where they fit both, they are: programs show photos turned to who draws boxes.
    """
    from commands.crop import crop

    crop(coco, images, out, map_name=map_name, margin=margin, min_side=min_side, split=split, seed=seed)


@bench_app.command("strategies")
def bench_strategies(
    table: Annotated[
        Path,
        Option(help="JSON file of a benchmark that trained every network of a space: NAS-Bench-Macro."),
    ],
    strategy: Annotated[
        list[str],
        Option(help="A name from 'plugins', package.module:Class or ./file.py:Class. Repeatable."),
    ],
    space: Annotated[str, Option(help="The table's search space.")] = "macro",
    trials: Annotated[
        int, Option(help="Evaluations of each run; regret is also shown at half of them.", min=1)
    ] = 100,
    runs: Annotated[int, Option(help="Runs of each strategy; differences need 50 or more.", min=1)] = 50,
    objective: Annotated[
        list[str] | None,
        Option(
            help="Goal; the first is f1:max or accuracy:max, here the same. A second one, macs:min or "
            "params:min, adds the share of the front's hypervolume. (default: f1:max)"
        ),
    ] = None,
    limit: Annotated[
        list[str] | None, Option(help="Bound, as in 'macs<=45.5M' or 'params<=1.2M'. Repeatable.")
    ] = None,
    confirm: Annotated[
        int,
        Option(help="The last so many evaluations train the best networks again, as in 'search'.", min=0),
    ] = 0,
    workers: Annotated[
        int, Option(help="Trials at a time, in virtual time: they last as long as they have MACs.", min=1)
    ] = 1,
    seed: Annotated[int, Option(help="Of all runs together.", min=0)] = 0,
    strategy_option: Annotated[
        list[str] | None,
        Option(help="Option of a strategy, as in startup=5; applies to those that have it. Repeatable."),
    ] = None,
    json_file: Annotated[
        Path | None, Option("--json", help="File for every run's curves, to work with further.")
    ] = None,
    html_file: Annotated[
        Path | None, Option("--html", help="File for a page that plots regret against evaluations.")
    ] = None,
) -> None:
    """Compare strategies on a table of trained networks: hundreds of searches in minutes.

    Example: bench strategies --table FILE --strategy random --strategy tpe --limit 'macs<=45.5M'

    An evaluation observes one of a network's recorded accuracies at random. The regret of a run is
    what its pick, the network with the best observed mean, lacks to the best network within the limits,
    in points of true mean accuracy; 'visited' is what the best network that it evaluated lacks.
    """
    from commands.bench import compare_strategies
    from nas.bench.run import Job

    job = Job(
        table=table,
        strategy=strategy[0],
        trials=trials,
        space=space,
        goals=tuple(objective or ["f1:max"]),
        limits=tuple(limit or []),
        confirm=confirm,
        workers=workers,
        seed=seed,
    )
    compare_strategies(
        job, strategy, options=strategy_option or [], runs=runs, json_file=json_file, html_file=html_file
    )


@bench_app.command("ranking")
def bench_ranking(
    run: Annotated[Path, Argument(help="Run directory of a search in the space elastic.")],
    networks: Annotated[int, Option(help="How many, spread over the sizes.", min=3)] = 20,
    epochs: Annotated[int, Option(help="Of training each of them, with the teacher.", min=1)] = 10,
    trainings: Annotated[
        int,
        Option(
            help="Of each network, with other seeds. From two on, the table also says how well one "
            "training ranks the networks as the others do: what is left is noise.",
            min=1,
        ),
    ] = 1,
    limit: Annotated[
        list[str] | None, Option(help="Bound on their params or MACs, as in 'macs<=40M'. Repeatable.")
    ] = None,
    seed: Annotated[int, Option(help="Of drawing them.", min=0)] = 0,
) -> None:
    """Does the search's evaluator rank networks as training each of them would? Takes long; goes on
    where it was interrupted.

    Example: bench ranking runs/photos --networks 20 --limit 'macs<=40M'
    """
    from commands.ranking import Ranking, rank

    rank(Ranking(run, networks, epochs, trainings, tuple(limit or ()), seed))


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; what a user can mend ends in one line and exit code 2."""
    sys.exit(_guarded(lambda: app(arguments, standalone_mode=False)))


def _guarded(run: Callable[[], Any]) -> int:
    from nas.errors import UserError

    try:
        return run() or 0
    except UserError as error:
        _complain(str(error))
    except OSError as error:
        from training.cache import in_cache
        from training.disk import complaint

        path = Path(error.filename2 or error.filename or "to the disk")
        if (found := complaint(error, path, cached=in_cache(path))) is None:
            raise
        _complain(found)
    except Exception as error:
        # A usage error. Newer versions of typer bundle click, so that its class has no fixed home.
        if not hasattr(error, "format_message"):
            raise
        if message := error.format_message():  # none where the help was shown instead
            context = getattr(error, "ctx", None)
            command = context.command_path if context else "minnow"
            _complain(f"{message.rstrip('.')}; see {command} --help")
    return 2


def _complain(message: str) -> None:
    from training.launch import is_main

    if is_main():
        print(f"minnow: error: {' '.join(message.split())}", file=sys.stderr)


if __name__ == "__main__":
    main()
