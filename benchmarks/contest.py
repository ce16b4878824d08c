"""Conditions of benchmarks/peers_pruning.py that all methods share, and the network that each returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from given_network import Input
from torch import nn

from core.config import BalanceConfig, DataConfig, StudentConfig, TeacherConfig, TrainConfig
from teachers.ensemble import PreparedTeacher
from teachers.finetune import Teacher
from training.budget import resolve_student
from training.data.images import ImageSet


class NoNetworkError(Exception):
    """A method finds no network within the limit; the text is one line on the reason."""


class NotInstalledError(Exception):
    """A method lacks a package; the text says how to install it."""


def require(*modules: str) -> None:
    """Check that the packages of a method are there.

    Raises:
        NotInstalledError: one is not.
    """
    for module in modules:
        if find_spec(module) is None:
            raise NotInstalledError(f"{module}: pip install 'minnow[benchmarks]'")


@dataclass(frozen=True)
class Contest:
    """One seed of the comparison.

    Attributes:
        data: the images.
        source: their settings.
        teacher: fine-tuned, with its outputs for the students' views.
        tuned: settings of its fine-tuning.
        limit_ms: latency of one image on ONNX Runtime, at most.
        epochs: of every final training.
        seed: of every random decision.
        work: directory of the method.
        minnow: the line of Minnow's student, for methods that take its multiply-adds or time.
    """

    data: ImageSet
    source: DataConfig
    teacher: PreparedTeacher
    tuned: TeacherConfig
    limit_ms: float
    epochs: int
    seed: int
    work: Path = Path()
    minnow: Mapping[str, Any] | None = None

    @property
    def base(self) -> Teacher:
        """The fine-tuned network."""
        return self.teacher.ensemble.members[0]

    @property
    def needed(self) -> Mapping[str, Any]:
        """The line of Minnow's student.

        Raises:
            NoNetworkError: Minnow found no network.
            SystemExit: it is not there yet.
        """
        if self.minnow is not None and "failed" in self.minnow:
            raise NoNetworkError("Minnow found none to compare with")
        if self.minnow is None:
            raise SystemExit(
                "this method takes multiply-adds or time of Minnow's: run --methods minnow first"
            )
        return self.minnow

    def student(self, *, taught: bool, inherits: bool, epochs: int | None = None) -> StudentConfig:
        """Return the settings that ``distill`` (``taught``) or ``train`` would have.

        Args:
            taught: with the teacher.
            inherits: the network starts from trained weights.
            epochs: ``None``: those of every final training.
        """
        config = StudentConfig(
            data=self.source,
            teacher=self.tuned if taught else None,
            train=TrainConfig(epochs=epochs or self.epochs),
            seed=self.seed,
        )
        return resolve_student(config, len(self.data.splits["train"]), inherits=inherits)

    def of(self, seed: int, work: Path, minnow: Mapping[str, Any] | None) -> Contest:
        """Return the contest of one seed and method."""
        return replace(self, seed=seed, work=work, minnow=minnow)


@dataclass(frozen=True)
class Contender:
    """The trained network of a method.

    Attributes:
        model: on the CPU.
        sees: its input.
        student: settings of its training; their balance adjusts it before it is scored.
        facts: what else its line says.
    """

    model: nn.Module
    sees: Input
    student: StudentConfig
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def adjusted(self) -> Contender:
        """This network, whose outputs are adjusted to the classes already."""
        return replace(
            self, student=self.student.model_copy(update={"balance": BalanceConfig(mode="none")})
        )
