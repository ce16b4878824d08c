"""The folder of another training of a finished student."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from core.errors import UserError
from core.locks import locked
from distill.student_training import CHECKPOINT
from training.bundle_files import WEIGHTS_FILE


def claim(student: Path, folder: Path, resume: bool, held: ExitStack) -> None:
    """Make and lock the folder of another training of a student.

    Args:
        student: directory of the student.
        folder: to make.
        resume: whether an interrupted training there is resumed.
        held: keeps the lock.

    Raises:
        UserError: ``folder`` is taken, or there is no student.
    """
    if not (student / WEIGHTS_FILE).exists():
        raise UserError(f"{student} holds no finished student to train again")
    if (folder / WEIGHTS_FILE).exists():
        raise UserError(f"{folder} exists already; delete it to train again")
    if (folder / CHECKPOINT).exists() and not resume:
        raise UserError(f"{folder} holds an interrupted training; resume it, or delete it")
    folder.mkdir(exist_ok=True)
    held.enter_context(locked(folder))
