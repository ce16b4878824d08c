"""Results on the console: tables of networks and scores, and the command to type next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.markup import escape
from rich.table import Table

from distill.student_metrics import StudentMetrics, read_student_metrics
from minnow.comparison import StudentComparison
from minnow.console import next_step, output, say
from minnow.format import interval_text, latency_text, metric_text, title_of
from minnow.run_directory import Run, student_config
from nas.objectives import Objectives
from nas.trial import Trial
from training.bootstrap import RESAMPLES
from training.bundle_files import ONNX_FILE, STUDENT_FOLDER

if TYPE_CHECKING:
    from deploy.shipping import Shipped

_NARROW = (0, 1, 0, 0)  # of cells: tables of networks fit into 100 columns
_SHOWN = ("f1", "params", "macs", "latency_ms", "train_seconds")


def front_table(
    trials: Sequence[Trial], chosen: Trial, objectives: Objectives, *, predicted: bool = False
) -> Table:
    """Return the Pareto front, best in the first goal first; the chosen trial and the knee are marked.

    A network that was trained several times is shown with the means and the number of trainings.

    Args:
        trials: of the search.
        chosen: one of them.
        objectives: goals and limits.
        predicted: whether latencies are predicted.
    """
    front = objectives.front(trials)
    trainings = Counter(trial.proposal.group for trial in objectives.sound(trials))
    repeated = any(trainings[trial.proposal.group] > 1 for trial in front)
    title = f"Pareto front ({objectives})"
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", padding=_NARROW)
    table.add_column("")
    table.add_column("trial", justify="right")
    several_lengths = any(trial.proposal.epochs is not None for trial in front)
    if several_lengths:
        table.add_column("epochs", justify="right")
    timed = ("total_seconds",) if objectives.timed else ()
    columns = list(dict.fromkeys([*objectives.named, *timed, *_SHOWN]))
    knee = objectives.knee(trials) if len(front) > 1 else None
    for name in columns:
        table.add_column(title_of(name, predicted=predicted), justify="right", no_wrap=True)
    table.add_column("input", justify="right")
    if repeated:
        table.add_column("mean of", justify="right")
    for trial in front:
        metrics = trial.metrics or {}
        marks = [
            mark
            for mark, marked in (("chosen", chosen), ("knee", knee))
            if marked is not None and trial.number == marked.number
        ]
        table.add_row(
            ", ".join(marks),
            str(trial.number),
            *([str(trial.proposal.epochs)] if several_lengths else []),
            *(metric_text(name, metrics[name]) if name in metrics else "-" for name in columns),
            f"{trial.architecture.resolution} px",
            *([str(trainings[trial.proposal.group])] if repeated else []),
            style="bold" if trial.number == chosen.number else None,
        )
    return table


def comparison_table(title: str, rows: Sequence[tuple[str, Mapping[str, Any] | None]]) -> Table:
    """Return networks side by side.

    Args:
        title: of the table.
        rows: name, and test metrics with ``f1``, ``f1_interval``, ``accuracy``, ``params``, ``macs``
            and ``latency_ms`` (as in ``metrics.json``); rows without metrics are left out.
    """
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", padding=_NARROW)
    table.add_column("", no_wrap=True)
    for name in ("test F1", "95 % interval", "accuracy", "params", "MACs", "latency (IQR)", "training"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, metrics in rows:
        if metrics is None:
            continue
        latency = (metrics["latency_ms"].get(name) for name in ("median", "iqr", "n"))
        table.add_row(
            name,
            metric_text("f1", metrics["f1"]),
            interval_text(*metrics["f1_interval"]),
            metric_text("accuracy", metrics["accuracy"]),
            metric_text("params", metrics["params"]),
            metric_text("macs", metrics["macs"]),
            latency_text(*latency),
            metric_text("train_seconds", metrics["seconds"]),
        )
    return table


def shipped_table(shipped: Sequence[Shipped]) -> Table:
    """Return what a student does on targets: files, scores on the test images, latency."""
    table = Table(title="On its target", box=box.SIMPLE_HEAD, title_justify="left", padding=_NARROW)
    table.add_column("", no_wrap=True)
    for name in ("test F1", "float", "difference", "same labels", "latency", "float", "size"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in shipped:
        difference, before = one.scores.difference, one.float_latency
        table.add_row(
            one.target,
            f"{one.scores.b.value:.3f}",
            f"{one.scores.a.value:.3f}",
            f"{difference.value:+.3f} ({difference.low:+.3f} to {difference.high:+.3f})",
            f"{one.agreement:.1%}",
            f"{one.latency.median_ms:.2f} ms",
            "-" if before is None else f"{before.median_ms:.2f} ms",
            f"{sum(one.files.values()) / 1024:,.0f} kB",
        )
    return table


def student_row(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of a student's ``metrics.json`` for :func:`comparison_table`."""
    return {**metrics, **metrics["test"]}


def seeds_text(metrics: StudentMetrics) -> str:
    """Return the scores of the seeds that a student was chosen from; empty for a single one."""
    seeds = metrics.seeds
    if seeds is None:
        return ""
    scores = ", ".join(f"seed {one.seed} {one.test_f1:.3f} ({one.val_f1:.3f})" for one in seeds.students)
    return (
        f"test F1 {seeds.test_f1_mean:.3f} ± {seeds.test_f1_sd:.3f} "
        f"(mean ± sd of {len(seeds.students)} seeds); kept: seed {metrics.seed}, "
        f"the best on validation\ntest (validation) F1 of each: {scores}"
    )


def scores_table(scores: Mapping[str, Any], classes: Sequence[str], images: int) -> Table:
    """Return F1 per class and the confusion matrix."""
    title = (
        f"F1 {scores['f1']:.4f}, accuracy {scores['accuracy']:.4f}, "
        f"balanced accuracy {scores['balanced_accuracy']:.4f} on {images} images"
    )
    table = Table(
        title=title,
        box=box.SIMPLE_HEAD,
        title_justify="left",
        caption="rows: true class; columns: predicted",
        caption_justify="left",
    )
    table.add_column("class")
    table.add_column("F1", justify="right")
    for name in map(escape, classes):
        table.add_column(name, justify="right")
    for index, name in enumerate(map(escape, classes)):
        counts = scores["confusion"][index]
        table.add_row(name, f"{scores['per_class_f1'][index]:.3f}", *map(str, counts))
    return table


def difference_table(comparison: StudentComparison) -> Table:
    """Return the test F1 of two students, and their difference with its interval and p-value."""
    title = f"{comparison.images} test images, {RESAMPLES:,} paired resamples"
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("")
    for name in ("test F1", "95 % interval", "seeds", "sd", "p"):
        table.add_column(name, justify="right", no_wrap=True)
    bootstrap = comparison.bootstrap
    sides = (("A", comparison.a, bootstrap.a), ("B", comparison.b, bootstrap.b))
    for name, students, interval in sides:
        table.add_row(
            escape(f"{name}  {students.given}"),
            metric_text("f1", interval.value),
            interval_text(interval.low, interval.high),
            str(len(students.seeds)),
            "-" if students.sd is None else metric_text("f1", students.sd),
            "",
        )
    difference = bootstrap.difference
    table.add_row(
        "B - A",
        f"{difference.value:+.3f}",
        f"{difference.low:+.3f} to {difference.high:+.3f}",
        "",
        "",
        f"{bootstrap.p:.2g}",
        style="bold",
    )
    return table


def show_search(run: Run) -> None:
    """Print the Pareto front of a search and the command to type next."""
    if run.best is None:
        return
    show_front(run)
    if len(run.front) > 1:
        say("chosen is the best in the first goal; distill --pick knee, or --pick 'smallest:f1>=0.6' ...")
    teacher = run.config.teacher.spec if run.config.teacher else "tf_efficientnet_lite0"
    next_step(["distill", "--teacher", teacher, "--student", run.path])


def show_front(run: Run) -> None:
    """Print the Pareto front of a search, if a trial is within the limits."""
    if run.best is not None:
        source = run.latency_source
        output().print(front_table(run.trials, run.best, run.objectives, predicted=source is not None))
        if source is not None:
            say(f"latencies are {source}")


def show_student(run: Path, *, last: bool = True) -> None:
    """Print the student of a run beside its teacher, and the command to type next.

    Args:
        run: its directory.
        last: whether a command comes next.

    Raises:
        UserError: a file of the student is missing or damaged.
    """
    folder = run / STUDENT_FOLDER
    config, metrics = student_config(folder), read_student_metrics(folder)
    losses = " + ".join(filter(None, (config.loss.name, config.loss.feature_loss)))
    teacher = metrics.teacher
    ending = "" if teacher is None else f", distilled with {losses}"
    rows = [
        ("teacher", None if teacher is None else teacher.model_dump()),
        (f"student, {'alone' if teacher is None else 'distilled'}", metrics.network.model_dump()),
    ]
    output().print(comparison_table(f"{escape(config.data.spec)}: test split{ending}", rows))
    if text := seeds_text(metrics):
        output().print(text, highlight=False, markup=False, soft_wrap=True)
    balance = metrics.balance
    remark = f", {balance.mode} with tau {balance.tau:g}" if balance.tau else ""
    if metrics.stopped_early:
        epochs = len(metrics.history)
        remark += f"; stopped after {epochs}, the last {config.train.patience} were no better"
    say(f"student in {folder} (epoch {metrics.epoch} of {config.train.epochs}{remark})")
    if last:
        _use(folder, run)


def show_further(folder: Path) -> None:
    """Print what a student that was trained further learned from, and whose scores it has.

    Raises:
        UserError: a file of the student is missing or damaged.
    """
    metrics = read_student_metrics(folder)
    low, high = metrics.test.f1_interval
    score = f"test F1 {metrics.test.f1:.3f} ({interval_text(low, high)})"
    if metrics.refit == "all":
        say(
            f"student of all images in {folder}: no image is left to score it; {score} is that of "
            f"{folder.parent / STUDENT_FOLDER}, which had not seen the test images"
        )
    elif metrics.refit == "val":
        say(f"student of training and validation images in {folder}: {score}")
    else:
        say(f"student for int8 in {folder}: export it for an int8 target; in float it has {score}")
    _use(folder, folder)


def _use(folder: Path, name: Path) -> None:
    """Print the command that exports a student, or predicts with the exported one."""
    next_step(["predict", name, "PHOTOS/"] if (folder / ONNX_FILE).exists() else ["export", name])
