"""Students on an executor: what is trained where, and how it comes back."""

from __future__ import annotations

import io
import shutil
import tempfile
import zipfile
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

import nas.executors
from core.config import StudentConfig
from core.errors import UserError
from distill.inherited_weights import InheritedWeights
from distill.seeds import seed_path
from distill.student_training import CHECKPOINT, train_student
from minnow.data_set import reopen_data
from minnow.listener import Listener, log_warning
from nas.architecture import Architecture
from nas.executors import DistantEvaluator, Placement, Resources, Work
from nas.search import EvaluationError, Evaluator, evaluated
from nas.trial import Proposal, Trial
from teachers.ensemble import PreparedTeacher, in_memory
from training.bundle_files import WEIGHTS_FILE
from training.data.images import ImageSet
from training.fit import Progress

Latencies = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class StudentParts:
    """Inputs that the students of all seeds share.

    Attributes:
        architecture: of the students.
        config: settings, resolved.
        data: the images.
        teacher: with its outputs; ``None``: they learn from labels alone.
        weights: that they start from; ``None``: random ones.
    """

    architecture: Architecture
    config: StudentConfig
    data: ImageSet
    teacher: PreparedTeacher | None
    weights: InheritedWeights | None

    def trained(self, config: StudentConfig, folder: Path, **options: Any) -> dict[str, Any]:
        """Train one student by ``config``, as :func:`distill.student_training.train_student`."""
        return train_student(
            self.architecture,
            self.data,
            config,
            folder,
            teacher=self.teacher,
            inherited=self.weights,
            **options,
        )


@dataclass(frozen=True)
class StudentWork(StudentParts, Work):
    """Trainings of students, each of which leaves its folder in the run.

    A proposal has the student's architecture and seed. The metrics are ``f1`` and ``test_f1``, of
    validation and test, and ``seconds``.

    Attributes:
        run: run directory.
        report: callback for every step of a training in this process, with its proposal.
    """

    run: Path
    report: Callable[[Proposal, Progress], None] | None = field(default=None, kw_only=True)

    @abstractmethod
    def folder(self, proposal: Proposal) -> Path:
        """Return the folder of a student."""

    def latency(self, networks: Sequence[tuple[nn.Module, int]]) -> Latencies:
        """Return the entries on latency of a trained network and its teachers."""
        return [{} for _ in networks]

    def here(self) -> Evaluator:
        """Return a training in this process."""
        return partial(_train, self)

    def nearby(self) -> Callable[[], Evaluator]:
        """Return a factory for processes that share the disk, where images are opened from the cache."""
        names = {field.name for field in fields(self)} - {"data", "report"}
        shared = {name: getattr(self, name) for name in names}
        return partial(_reopened, type(self), self.data.unlabelled, shared)

    def distant(self) -> Callable[[], DistantEvaluator]:
        """Return a factory that holds the images, the teacher's outputs and the weights."""
        teacher = self.teacher
        if teacher is not None:
            outputs = in_memory(teacher.outputs, self.config.train.shown_views)
            teacher = replace(teacher, outputs=outputs)
        return partial(_distant, replace(self, data=self.data.in_memory(), teacher=teacher, report=None))

    def checkpoint(self, proposal: Proposal) -> bytes | None:
        """Return an interrupted training, its folder as a ZIP file."""
        folder = self.folder(proposal)
        return _packed(folder) if (folder / CHECKPOINT).exists() else None

    def keep(self, proposal: Proposal, checkpoint: bytes) -> None:
        """Put the folder of a finished student in its place."""
        folder = self.folder(proposal)
        arrived = folder.with_name(f".{folder.name}.arriving")
        shutil.rmtree(arrived, ignore_errors=True)
        _unpack(checkpoint, arrived)
        shutil.rmtree(folder, ignore_errors=True)
        arrived.rename(folder)


@dataclass(frozen=True)
class SeedsWork(StudentWork):
    """The trainings of one student with several seeds; a proposal's number is its seed.

    Latencies do not depend on the seed: this process has measured them.

    Attributes:
        latencies: of a student and of its teachers, on the target.
    """

    latencies: Latencies

    def folder(self, proposal: Proposal) -> Path:
        """Return the folder of a seed."""
        return seed_path(self.run, proposal.seed)

    def latency(self, networks: Sequence[tuple[nn.Module, int]]) -> Latencies:
        """Return what was measured."""
        return self.latencies

    def proposals(self, seeds: Sequence[int]) -> list[Proposal]:
        """Return what to train for these seeds."""
        return [Proposal(seed, (), self.architecture, seed) for seed in seeds]


def trained_on(
    placement: Placement,
    work: StudentWork,
    proposals: Sequence[Proposal],
    listener: Listener,
    *,
    what: str,
) -> Iterator[Trial]:
    """Train students on an executor, which leaves them in their folders; yield those that are finished.

    Args:
        placement: where.
        work: their trainings.
        proposals: of each student.
        listener: hears of each that ends.
        what: a proposal's number is of, in messages: ``seed``.

    Raises:
        UserError: trainings failed; the others are finished.
    """
    failed = 0
    made = nas.executors.make(placement.executor, work, Resources(placement.workers), listener)
    with made as executor:
        for trial in evaluated(executor, proposals):
            name = f"{what} {trial.number}"
            if trial.metrics is None:
                failed += 1
                listener.warn(f"{name}: {trial.error}")
                continue
            where = "" if trial.execution is None else f" ({trial.execution.worker})"
            listener.note(f"{name}: val F1 {trial.metrics['f1']:.3f}{where}")
            yield trial
    if failed:
        raise UserError(f"{failed} of {len(proposals)} trainings failed; resume to repeat them")


def _train(work: StudentWork, proposal: Proposal) -> Mapping[str, float]:
    """Train a student in its folder.

    Raises:
        EvaluationError: it diverged.
    """
    folder = work.folder(proposal)
    folder.mkdir(parents=True, exist_ok=True)
    report = None if work.report is None else partial(work.report, proposal)
    seeded = work.config.model_copy(update={"seed": proposal.seed})
    one = replace(work, architecture=proposal.architecture)
    try:
        metrics = one.trained(seeded, folder, latency=work.latency, warn=log_warning, report=report)
    except UserError as error:
        raise EvaluationError(str(error)) from None
    f1 = {"f1": metrics["val"]["f1"], "test_f1": metrics["test"]["f1"]}
    return {**f1, "seconds": metrics["seconds"]}


def _reopened(kind: type[StudentWork], unlabelled: np.ndarray, shared: Mapping[str, Any]) -> Evaluator:
    data = reopen_data(shared["config"].data, unlabelled)
    return kind(data=data, **shared).here()


def _distant(work: StudentWork) -> DistantEvaluator:
    def evaluate(
        proposal: Proposal, checkpoint: bytes | None
    ) -> tuple[Mapping[str, float], bytes | None]:
        with tempfile.TemporaryDirectory(prefix="minnow-") as run:
            elsewhere = replace(work, run=Path(run))
            folder = elsewhere.folder(proposal)
            if checkpoint is not None:
                _unpack(checkpoint, folder)
            metrics = _train(elsewhere, proposal)
            if not (folder / WEIGHTS_FILE).exists():
                raise RuntimeError("the training left no weights")
            return metrics, _packed(folder)

    return evaluate


def _packed(folder: Path) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
    return content.getvalue()


def _unpack(content: bytes, folder: Path) -> None:
    folder.mkdir(parents=True)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(folder)
