"""``demo``: the whole job on the embedded digits."""

from __future__ import annotations

import os
from pathlib import Path

from core.config import (
    DataConfig,
    SearchConfig,
    StrategyConfig,
    StudentConfig,
    TeacherConfig,
    TrainConfig,
)
from minnow import run_creation
from minnow.commands.export import export
from minnow.console import output, program, say
from minnow.listener import Listener
from minnow.run_directory import choose
from minnow.search_run import run_search
from minnow.student_run import run_student
from minnow.tables import comparison_table, student_row

_TEACHER = "tf_efficientnet_lite0"
_LIMITS = ("macs<=2M", "params<=60k")
_TRIALS, _SEARCH_EPOCHS = 8, 4
_TEACHER_EPOCHS, _STUDENT_EPOCHS = 4, 12


def run_demo(out: Path, seed: int, listener: Listener) -> None:
    """Search, train alone, distil, export, compare; everything lies under ``out``.

    Raises:
        UserError: ``out`` holds a demo already.
    """
    run_creation.check_new(out)
    os.environ["MINNOW_CACHE"] = str(out / "cache")
    data = DataConfig(spec="digits")
    _announce(
        f"search --data digits --strategy tpe {' '.join(f'--limit {limit!r}' for limit in _LIMITS)} "
        f"--trials {_TRIALS} --epochs {_SEARCH_EPOCHS} --out {out}"
    )
    config = SearchConfig(
        data=data,
        strategy=StrategyConfig(name="tpe"),
        limits=_LIMITS,
        trials=_TRIALS,
        train=TrainConfig(epochs=_SEARCH_EPOCHS),
        seed=seed,
    )
    run_search(config, out, listener=listener)
    chosen = choose(out)
    _announce(f"train --model {out} --epochs {_STUDENT_EPOCHS} --out {out}/alone")
    student = StudentConfig(data=data, train=TrainConfig(epochs=_STUDENT_EPOCHS), seed=seed)
    alone = run_student(chosen, student, out / "alone", listener=listener)
    _announce(
        f"distill --teacher {_TEACHER} --teacher-epochs {_TEACHER_EPOCHS} "
        f"--student {out} --epochs {_STUDENT_EPOCHS}"
    )
    teacher = TeacherConfig(spec=_TEACHER, epochs=_TEACHER_EPOCHS)
    with_teacher = student.model_copy(update={"teacher": teacher})
    distilled = run_student(chosen, with_teacher, out, listener=listener)
    _announce(f"export {out}")
    export(out, None)
    rows = [
        ("teacher", distilled["teacher"]),
        ("student, alone", student_row(alone)),
        ("student, distilled", student_row(distilled)),
    ]
    output().print()
    output().print(comparison_table("digits: test split", rows))
    say(f"everything is in {out}; the student is {out}/student, its ONNX file beside it")


def _announce(command: str) -> None:
    output().rule(f"{program()} {command}", align="left")
