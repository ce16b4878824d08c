"""The trainings of a student: its own, one on more images, and one for int8."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from core.config import Refit, StudentConfig
from core.config_io import dotted, given_names, merged, overlaid, read_config, value_of
from core.errors import UserError, short
from distill.student_metrics import read_student_metrics
from minnow import run_creation
from minnow.listener import Listener
from minnow.permission import check_code
from minnow.qat_run import QAT_FOLDER, run_qat
from minnow.refit import REFIT_FOLDER, run_refit
from minnow.run_directory import ChosenNetwork, student_config
from minnow.student_run import run_student
from minnow.tracking import tracked
from nas.executors import HERE, Placement
from training.bundle_files import CONFIG_FILE, STUDENT_FOLDER, WEIGHTS_FILE

#: Settings of a student, which may name code, that its later trainings use.
_CODE = ("loss.name", "loss.options.of", "loss.features", "target")


@dataclass(frozen=True)
class Further:
    """Trainings that follow a student's own: on more images, then for int8.

    Attributes:
        refit: another training on these images, see :func:`minnow.refit.run_refit`; ``None``: none.
        qat: train on for int8, see :func:`minnow.qat_run.run_qat`.
    """

    refit: Refit | None = None
    qat: bool = False

    def __post_init__(self) -> None:
        if self.refit not in (None, *get_args(Refit)):
            raise UserError(f"refit is {' or '.join(get_args(Refit))}, got {short(self.refit)}")

    def __bool__(self) -> bool:
        return self.refit is not None or self.qat

    @property
    def options(self) -> list[str]:
        """The options of a command."""
        return [
            *(() if self.refit is None else ("--refit", self.refit)),
            *(["--qat"] if self.qat else []),
        ]

    def check_planned(self, budget: float | None, run: Path) -> None:
        """Refuse to begin a student within a budget that plans no other training after it.

        Raises:
            UserError: says how to have both.
        """
        if budget is None or not self or (run / STUDENT_FOLDER / WEIGHTS_FILE).exists():
            return
        given = " and ".join(option for option in ("refit", "qat") if getattr(self, option))
        raise UserError(
            f"a budget plans one training: leave out {given}, and give it afterwards, to the same "
            "command without a budget"
        )

    def run(
        self,
        chosen: ChosenNetwork,
        run: Path,
        *,
        given: Mapping[str, Any],
        resume: bool = False,
        listener: Listener,
    ) -> Path:
        """Train the finished student of a run further.

        Args:
            chosen: what the student was chosen from.
            run: run directory.
            given: dotted settings of the caller; the student's own name no other code that is run.
            resume: take a finished training for done, and continue an interrupted one.
            listener: receives progress, decisions and warnings.

        Returns:
            The directory of the last student.

        Raises:
            UserError: such a student is there, of other images, or must be resumed.
        """
        last = run / STUDENT_FOLDER
        if self:
            config = student_config(last)
            check_code(config, given, [(last / CONFIG_FILE, config)], only=_CODE)
        if self.refit is not None:
            last = run / REFIT_FOLDER
            if not (resume and self._finished(last)):
                run_refit(chosen, run, self.refit, resume=resume, listener=listener)
        if self.qat:
            source, last = last, run / QAT_FOLDER
            if not (resume and self._finished(last)):
                run_qat(source, resume=resume, listener=listener)
        return last

    def _finished(self, folder: Path) -> bool:
        """Tell if a folder holds a student.

        Raises:
            UserError: it was trained on other images.
        """
        if not (folder / WEIGHTS_FILE).exists():
            return False
        if (has := read_student_metrics(folder).refit) != self.refit:
            raise UserError(
                f"{folder} has a student of refit {has}; delete it to train one of refit {self.refit}"
            )
        return True


def run_student_and_further(
    chosen: ChosenNetwork,
    config: StudentConfig,
    run: Path,
    further: Further,
    *,
    given: Mapping[str, Any],
    file: Path | None = None,
    resume: bool = False,
    seeds: int = 1,
    placement: Placement = HERE,
    listener: Listener,
) -> Path:
    """Train a student where the run has none, then further where that is asked for.

    Args:
        chosen: network to train.
        config: settings of the student.
        run: run directory.
        further: what follows.
        given: the caller's settings among those of ``config``; a finished student must have them.
        file: YAML of settings below ``given``, likewise.
        resume: continue from a checkpoint.
        seeds: number of students, of which the best on validation is kept.
        placement: where they are trained, if they are several.
        listener: receives progress, decisions and warnings.

    Returns:
        The directory of the last student trained.

    Raises:
        UserError: as :func:`minnow.student_run.run_student` and :meth:`Further.run`.
    """
    student = run / STUDENT_FOLDER
    further.check_planned(config.budget, run)
    with run_creation.unclaimed_on_error(run), tracked(config.trackers, listener) as listener:
        if not further or not (student / WEIGHTS_FILE).exists():
            run_student(
                chosen, config, run, resume=resume, seeds=seeds, placement=placement, listener=listener
            )
        else:
            _check_settings(student, given, file)
        own = dotted(StudentConfig, given)
        return further.run(chosen, run, given=own, resume=resume, listener=listener)


def _check_settings(student: Path, given: Mapping[str, Any], file: Path | None) -> None:
    """Refuse settings that a finished student does not have.

    Raises:
        UserError: names them.
    """
    has, changes = student_config(student), dotted(StudentConfig, given)
    over = StudentConfig() if file is None else read_config(StudentConfig, file)
    wanted = merged(StudentConfig, overlaid(has, over), changes)
    names = dict.fromkeys([*changes, *given_names(over)])
    names.pop("trackers", None)  # those of this call
    other = [name for name in names if value_of(wanted, name) != value_of(has, name)]
    if other:
        raise UserError(
            f"{student} is finished and keeps its settings: leave out {', '.join(other)}, or "
            "train another student in another run directory"
        )
