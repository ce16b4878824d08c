"""Students of several seeds on an executor: what is trained where, and how it comes back."""

from __future__ import annotations

import io
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import nas.executors
from core.config import StudentConfig
from core.errors import UserError
from distill.inherited_weights import InheritedWeights
from distill.seeds import seed_path
from distill.student_training import CHECKPOINT, train_student
from minnow.data_set import reopen_data
from minnow.listener import Listener
from nas.architecture import Architecture
from nas.executors import DistantEvaluator, Placement, Resources, Work
from nas.search import EvaluationError, Evaluator, evaluated
from nas.trial import Proposal
from teachers.ensemble import PreparedTeacher, in_memory
from training.bundle_files import WEIGHTS_FILE
from training.data.images import ImageSet

Latencies = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class StudentParts:
    """What the students of all seeds share.

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
class SeedsWork(StudentParts, Work):
    """The trainings of one student with several seeds; a proposal's number is its seed.

    Latencies do not depend on the seed: this process has measured them.

    Attributes:
        latencies: of a student and of its teachers, on the target.
        run: run directory.
    """

    latencies: Latencies
    run: Path

    def here(self) -> Evaluator:
        """Return a training in this process."""
        return partial(_train, self)

    def nearby(self) -> Callable[[], Evaluator]:
        """Return a factory for processes that share the disk, where images are opened from the cache."""
        shared = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "data"}
        return partial(_reopened, self.data.unlabelled, shared)

    def distant(self) -> Callable[[], DistantEvaluator]:
        """Return a factory that holds the images, the teacher's outputs and the weights."""
        teacher = self.teacher
        if teacher is not None:
            outputs = in_memory(teacher.outputs, self.config.train.shown_views)
            teacher = replace(teacher, outputs=outputs)
        return partial(_distant, replace(self, data=self.data.in_memory(), teacher=teacher))

    def checkpoint(self, proposal: Proposal) -> bytes | None:
        """Return the interrupted training of a seed, its folder as a ZIP file."""
        folder = seed_path(self.run, proposal.number)
        return _packed(folder) if (folder / CHECKPOINT).exists() else None

    def keep(self, proposal: Proposal, checkpoint: bytes) -> None:
        """Put the folder of a finished student in its place."""
        folder = seed_path(self.run, proposal.number)
        arrived = folder.with_name(f".{folder.name}.arriving")
        shutil.rmtree(arrived, ignore_errors=True)
        _unpack(checkpoint, arrived)
        shutil.rmtree(folder, ignore_errors=True)
        arrived.rename(folder)


def train_seeds_on(
    placement: Placement, work: SeedsWork, seeds: Sequence[int], listener: Listener
) -> None:
    """Train students on an executor, and leave them in their folders.

    Raises:
        UserError: trainings failed; the others are finished.
    """
    proposals = [Proposal(seed, (), work.architecture, seed) for seed in seeds]
    failed = []
    made = nas.executors.make(placement.executor, work, Resources(placement.workers), listener)
    with made as executor:
        for trial in evaluated(executor, proposals):
            where = "" if trial.execution is None else f" ({trial.execution.worker})"
            if trial.metrics is None:
                failed.append(f"seed {trial.number}: {trial.error}")
                listener.warn(failed[-1])
            else:
                listener.note(f"seed {trial.number}: val F1 {trial.metrics['f1']:.3f}{where}")
    if failed:
        raise UserError(f"{len(failed)} of {len(seeds)} trainings failed; resume to repeat them")


def _train(work: SeedsWork, proposal: Proposal) -> Mapping[str, float]:
    """Train the student of a seed in its folder.

    Raises:
        EvaluationError: it diverged.
    """
    folder = seed_path(work.run, proposal.number)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        config = work.config.model_copy(update={"seed": proposal.seed})
        metrics = work.trained(config, folder, latency=lambda networks: work.latencies)
    except UserError as error:
        raise EvaluationError(str(error)) from None
    return {"f1": metrics["val"]["f1"]}


def _reopened(unlabelled: np.ndarray, shared: Mapping[str, Any]) -> Evaluator:
    data = reopen_data(shared["config"].data, unlabelled)
    return SeedsWork(data=data, **shared).here()


def _distant(work: SeedsWork) -> DistantEvaluator:
    def evaluate(
        proposal: Proposal, checkpoint: bytes | None
    ) -> tuple[Mapping[str, float], bytes | None]:
        with tempfile.TemporaryDirectory(prefix="minnow-") as run:
            elsewhere = replace(work, run=Path(run))
            folder = seed_path(elsewhere.run, proposal.number)
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
