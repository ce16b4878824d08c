"""The training of a student in its model card: data, search, teacher, recipe, limits, licences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.config import SearchConfig, StudentConfig
from core.config_io import read_config
from core.errors import UserError
from deploy.targets import plugin_name
from distill.student_metrics import ImagesRecord, StudentMetrics
from minnow.format import counted, interval_text
from minnow.report.search_section import versions_text
from minnow.run_directory import holds_search
from training.bundle_files import CONFIG_FILE

UNKNOWN = "unknown"
_SMALL_TEST, _FEW_TESTED, _FEW_TRAINED = 500, 20, 50  # images, the last two of a class
_FLIPS = {
    True: "horizontal flip",
    False: "",
    None: "horizontal flip, except of data with letters or digits",
}
_PUBLIC = ("ImageNet weights of ", "timm's pretrained weights")  # sources of weights that timm describes


@dataclass(frozen=True)
class Section:
    """A part of the card: a paragraph, a table, or both.

    Attributes:
        title: of the part.
        heads: of the table's columns.
        rows: as many cells each.
        text: before the table.
    """

    title: str
    heads: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    text: str = ""


def searched(student: Path) -> SearchConfig | None:
    """Return the settings of the search in a student's run directory; ``None``: none can be read.

    A defect of the search is no reason not to export its student.
    """
    run = student.parent
    try:
        return read_config(SearchConfig, run / CONFIG_FILE) if holds_search(run) else None
    except UserError:
        return None


def data_section(metrics: StudentMetrics, config: StudentConfig, classes: Sequence[str]) -> Section:
    """Return the data set, the images of each split, and F1 of each class."""
    images = metrics.images
    trained = [UNKNOWN] * len(classes) if images is None else [f"{count:,}" for count in images.train]
    rows = [
        [name, trained[index], f"{sum(metrics.test.confusion[index]):,}", f"{f1:.3f}"]
        for index, (name, f1) in enumerate(zip(classes, metrics.test.per_class_f1, strict=True))
    ]
    more = metrics.unlabelled
    facts = [
        f"Data set: {UNKNOWN if images is None else images.name}; {_split_text(metrics, images)}.",
        f"Licence of the images: {config.data.licence or UNKNOWN}.",
        ""
        if more is None
        else f"It also learned from {more.images - more.left_out:,} images without labels.",
        "" if metrics.refit is None else f"It was trained on {_refit_words(metrics)}.",
    ]
    heads = ["class", "images to train on", "test images", "test F1 (PyTorch)"]
    return Section("Data and scores of each class", heads, rows, " ".join(filter(None, facts)))


def training_section(metrics: StudentMetrics, config: StudentConfig, student: Path) -> Section:
    """Return how the network was found and trained, as names and values."""
    search, train, teacher = searched(student), config.train, metrics.teacher
    losses = "cross-entropy, no teacher"
    if teacher is not None:
        names = " + ".join(filter(None, (config.loss.name, config.loss.feature_loss)))
        losses = f"{names}; weight {config.loss.weight:g}, the rest is cross-entropy with the labels"
    augment = config.augment
    parts = [
        f"RandAugment {augment.operations} x {augment.magnitude}" if augment.operations else "",
        _FLIPS[augment.flip],
        f"cutout {augment.cutout:g}" if augment.cutout else "",
        f"CutMix {augment.cutmix:g}" if augment.cutmix else "",
        f"mixup {augment.mixup:g}" if augment.mixup else "",
    ]
    facts = [
        *_search_facts(search),
        ("starting weights", f"cut out of {metrics.inherited}" if metrics.inherited else "random"),
        *_teacher_facts(metrics, config),
        ("losses", losses),
        (
            "training",
            f"epochs: {train.epochs}, kept: {metrics.epoch}; batches of {train.batch_size}, "
            f"{train.optimizer} at a peak learning rate of {train.peak_rate:g}, {train.scheduler}, "
            f"weight decay {train.weight_decay:g}",
        ),
        ("augmentation", ", ".join(filter(None, parts)) or "none"),
        ("class balance", metrics.balance.mode or "none"),
        ("seed", _seeds(metrics)),
        ("int8 training", "trained on with fake quantisation" if metrics.qat else "no"),
        ("software", versions_text(metrics.versions)),
    ]
    return Section("How it was made", ["", ""], facts)


def licence_section(metrics: StudentMetrics, config: StudentConfig, licence: str | None) -> Section:
    """Return the licences of images and weights; those of teachers and of a base are timm's records."""
    rows = [("these weights", licence or UNKNOWN), ("images", config.data.licence or UNKNOWN)]
    if metrics.teacher is not None:
        rows += [(f"teacher {m.name}", _licence(m.name, m.source)) for m in metrics.teacher.members]
    base = metrics.inherited
    if base is not None and base not in [m.name for m in getattr(metrics.teacher, "members", ())]:
        rows.append((f"base {base}", _licence(base, metrics.inherited_source)))
    return Section("Licences", ["", "licence"], rows)


def limits_of_use(metrics: StudentMetrics, classes: Sequence[str]) -> list[str]:
    """Return what the scores do not say, a sentence each."""
    counts = [sum(row) for row in metrics.test.confusion]
    low, high = metrics.test.f1_interval
    small = "It is small: " if sum(counts) < _SMALL_TEST else ""
    limits = [
        f"The test split has {sum(counts):,} images. {small}macro-F1 has a 95 % interval of "
        f"{interval_text(low, high)}, which tells of other test images, not of other training seeds.",
        *_few(classes, counts, _FEW_TESTED, "test images, so their scores are uncertain"),
    ]
    if metrics.images is not None:
        limits += _few(classes, metrics.images.train, _FEW_TRAINED, "images to train on")
    if metrics.refit == "all":
        limits.append(
            "This network was trained on the test images too; the scores of PyTorch are those of one "
            "that had not seen them."
        )
    return [
        *limits,
        "Test images come from the same source as the training images. Another camera, light or "
        "background can lower the scores; that was not measured.",
        "An image of anything else is given one of the classes, too.",
    ]


def weights_are_public(source: str | None) -> bool:
    """Tell if weights of this source are those that timm knows by the network's name."""
    return source is not None and source.startswith(_PUBLIC)


def _licence(name: str, source: str | None) -> str:
    if not weights_are_public(source):
        return UNKNOWN
    from timm.models import get_pretrained_cfg

    record = get_pretrained_cfg(name, allow_unregistered=True)
    known = None if record is None else record.license
    return f"{known} (timm's record)" if known else UNKNOWN


def _search_facts(search: SearchConfig | None) -> list[tuple[str, str]]:
    if search is None:
        return [("search", f"{UNKNOWN}: the run directory holds none that can be read")]
    return [
        ("search space", search.space.name),
        ("strategy", f"{search.strategy.name}, {counted(search.trials, 'trial')}, seed {search.seed}"),
        ("objectives", ", ".join(search.objectives)),
        ("limits", ", ".join(search.limits) or "none"),
        ("target of the search", plugin_name(Path(search.target).name)),
    ]


def _teacher_facts(metrics: StudentMetrics, config: StudentConfig) -> list[tuple[str, str]]:
    teacher = metrics.teacher
    if teacher is None:
        return [("teacher", "none")]
    sources = [
        f"{m.name} ({m.source if weights_are_public(m.source) else 'weights of the maker'})"
        for m in teacher.members
    ]
    epochs = None if config.teacher is None else config.teacher.epochs
    tuned = "fine-tuned on the same split" + (f", epochs: {epochs}" if epochs else "")
    score = f"test macro-F1 {teacher.f1:.3f} ({interval_text(*teacher.f1_interval)})"
    return [("teacher", f"{', '.join(sources) or teacher.name}, {tuned}; {score}")]


def _seeds(metrics: StudentMetrics) -> str:
    seeds = metrics.seeds
    if seeds is None:
        return f"{metrics.seed}; one training"
    return (
        f"{metrics.seed}, the best on validation of {len(seeds.students)}; their test macro-F1 is "
        f"{seeds.test_f1_mean:.3f} ± {seeds.test_f1_sd:.3f} (mean ± standard deviation)"
    )


def _split_text(metrics: StudentMetrics, images: ImagesRecord | None) -> str:
    tested, validated = (sum(map(sum, s.confusion)) for s in (metrics.test, metrics.val))
    trained = UNKNOWN if images is None else f"{sum(images.train):,}"
    return f"images to train on: {trained}, to validate: {validated:,}, to test: {tested:,}"


def _refit_words(metrics: StudentMetrics) -> str:
    return "the images of all splits" if metrics.refit == "all" else "the validation images too"


def _few(classes: Sequence[str], counts: Sequence[int], least: int, what: str) -> list[str]:
    few = [f"{name} ({count})" for name, count in zip(classes, counts, strict=True) if count < least]
    more = f" and {len(few) - 20} more" if len(few) > 20 else ""
    return [f"Fewer than {least} {what}: {', '.join(few[:20])}{more}."] if few else []
