"""``metrics.json`` of a trained student, checked when it is read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import NonNegativeFloat, model_validator

from core.config import Refit
from core.reading import read_json, read_record
from training.bundle_files import METRICS_FILE
from training.score_record import Count, ScoreRecord, Share, StoredRecord

_REMEDY = "restore it from a copy or train the student again"


class LatencyRecord(StoredRecord):
    """Milliseconds per image: median and interquartile range; ``None`` where nothing was measured.

    Attributes:
        n: number of runs; 0: the latency is predicted.
        runtime: what it was measured on, or predicted from.
    """

    median: NonNegativeFloat | None = None
    iqr: NonNegativeFloat | None = None
    n: Count | None = None
    runtime: str | None = None


class HeldOutRecord(ScoreRecord):
    """Scores on the test images, with the 95 % interval of F1."""

    f1_interval: tuple[Share, Share]


class NetworkRecord(HeldOutRecord):
    """Scores and costs of one network; of an ensemble, those of all its members together."""

    val_f1: Share
    params: Count
    macs: Count
    latency_ms: LatencyRecord
    seconds: NonNegativeFloat


class TeacherMember(StoredRecord):
    """One of the networks that are the teacher, and the origin of its weights."""

    name: str
    source: str | None = None


class TeacherRecord(NetworkRecord):
    """Scores and costs of the teacher."""

    name: str
    members: tuple[TeacherMember, ...] = ()


class EpochRecord(StoredRecord):
    """One epoch of the training; without a score where the validation images are trained on."""

    epoch: Count
    loss: float
    val_f1: Share | None = None


class RollbackRecord(StoredRecord):
    """A divergence, after which an epoch was repeated."""

    epoch: Count
    error: str


class SeedRecord(StoredRecord):
    """Scores of one of several students that differ in their seeds."""

    seed: Count
    val_f1: Share
    test_f1: Share


class SeedsRecord(StoredRecord):
    """Scores of all students, from which the best on validation was kept."""

    test_f1_mean: Share
    test_f1_sd: NonNegativeFloat
    students: list[SeedRecord]


class BalanceRecord(StoredRecord):
    """Treatment of classes of unequal size."""

    mode: str | None = None
    tau: NonNegativeFloat | None = None


class UnlabelledRecord(StoredRecord):
    """Images without labels: their number, and how many of them the teacher was too unsure of."""

    images: Count
    left_out: Count


class ImagesRecord(StoredRecord):
    """Labelled images of each class, in class order, by split; an image may be in several after a refit.

    Attributes:
        name: of the data set.
    """

    name: str
    train: list[Count]
    val: list[Count]
    test: list[Count]


class QatRecord(StoredRecord):
    """Validation F1 with fake quantisation, before and after the training that had it."""

    val_f1_before: Share
    val_f1: Share


class StudentMetrics(StoredRecord):
    """The content of ``metrics.json``, as far as it is read back."""

    test: HeldOutRecord
    val: ScoreRecord
    teacher: TeacherRecord | None
    params: Count
    macs: Count
    latency_ms: LatencyRecord
    seconds: NonNegativeFloat
    epoch: Count
    history: list[EpochRecord]
    rollbacks: list[RollbackRecord]
    stopped_early: bool = False
    balance: BalanceRecord = BalanceRecord()
    unlabelled: UnlabelledRecord | None = None
    images: ImagesRecord | None = None
    inherited: str | None = None
    inherited_source: str | None = None
    refit: Refit | None = None
    qat: QatRecord | None = None
    seed: Count
    identity: str | None = None
    test_pixels: str
    versions: dict[str, str | None]
    seeds: SeedsRecord | None = None

    @model_validator(mode="after")
    def _same_classes(self) -> StudentMetrics:
        scores = [self.test, self.val, *([] if self.teacher is None else [self.teacher])]
        if len({len(score.per_class_f1) for score in scores}) > 1:
            raise ValueError("test, val and teacher have scores of different numbers of classes")
        counts = [] if (images := self.images) is None else [images.train, images.val, images.test]
        if any(len(count) != len(self.test.per_class_f1) for count in counts):
            raise ValueError("images and test are of different numbers of classes")
        return self

    @property
    def network(self) -> NetworkRecord:
        """Scores and costs of the student, in the form that a teacher's have."""
        return NetworkRecord(
            **dict(self.test),
            val_f1=self.val.f1,
            params=self.params,
            macs=self.macs,
            latency_ms=self.latency_ms,
            seconds=self.seconds,
        )


def read_student_metrics(folder: Path) -> StudentMetrics:
    """Read ``metrics.json`` of the student in ``folder``.

    Raises:
        UserError: missing or damaged; names the file and the entry.
    """
    return read_record(StudentMetrics, folder / METRICS_FILE, "", remedy=_REMEDY)


def read_whole_metrics(folder: Path) -> dict[str, Any]:
    """Return all entries of ``metrics.json`` of the student in ``folder``, those of the model checked.

    Raises:
        UserError: missing or damaged; names the file and the entry.
    """
    read_student_metrics(folder)
    content: dict[str, Any] = read_json(folder / METRICS_FILE, "", remedy=_REMEDY)
    return content
