"""``demo``: the whole job on digits that lie on photographs."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image

from core.config import (
    AugmentConfig,
    DataConfig,
    SearchConfig,
    SpaceConfig,
    StrategyConfig,
    StudentConfig,
    TeacherConfig,
    TrainConfig,
)
from minnow import run_creation
from minnow.commands.export import export
from minnow.comparison import compare_students
from minnow.console import output, program, say
from minnow.listener import Listener
from minnow.run_directory import choose
from minnow.search_run import run_search
from minnow.student_run import run_student
from minnow.tables import comparison_table, difference_table, student_row

_TEACHER = "tf_efficientnet_lite0"
_LIMIT = "macs<=6M"
_TRIALS = 10
_LABELS = 40  # of each class, of some 180
_TEACHER_EPOCHS, _ALONE_EPOCHS, _DISTILLED_EPOCHS = 16, 72, 36
_SIDE = 64  # pixels
_DIGIT_SIDES = (40, 62)  # pixels, the upper end excluded


def run_demo(out: Path, seed: int, listener: Listener) -> None:
    """Search inside a teacher, train alone, distil, export, compare; everything lies under ``out``.

    The network that is trained alone gets random weights and twice the epochs of the one that inherits
    the teacher's weights and learns from its outputs.

    Raises:
        UserError: ``out`` holds a demo already.
    """
    run_creation.check_new(out)
    os.environ["MINNOW_CACHE"] = str(out / "cache")
    images = out / "images"
    count = write_images(images)
    say(f"{count:,} images in {images}: scikit-learn's digits on crops of its two photographs")
    given = f"--set data.labels_per_class={_LABELS} --set augment.flip=false"
    _announce(
        f"search --data {images} {given} --space elastic --teacher {_TEACHER} "
        f"--teacher-epochs {_TEACHER_EPOCHS} --limit {_LIMIT!r} --trials {_TRIALS} --out {out}"
    )
    teacher = TeacherConfig(spec=_TEACHER, epochs=_TEACHER_EPOCHS)
    data = DataConfig(spec=str(images), labels_per_class=_LABELS)
    augment = AugmentConfig(flip=False)
    config = SearchConfig(
        data=data,
        augment=augment,
        space=SpaceConfig(name="elastic"),
        strategy=StrategyConfig(),
        teacher=teacher,
        limits=(_LIMIT,),
        trials=_TRIALS,
        seed=seed,
    )
    run_search(config, out, listener=listener)
    chosen = choose(out)
    _announce(f"train --model {out} --epochs {_ALONE_EPOCHS} --out {out}/alone")
    recipe = StudentConfig(data=data, augment=augment, seed=seed)
    settings = recipe.model_copy(update={"train": TrainConfig(epochs=_ALONE_EPOCHS)})
    alone = run_student(chosen, settings, out / "alone", listener=listener)
    _announce(f"distill --student {out} --epochs {_DISTILLED_EPOCHS}")
    settings = recipe.model_copy(
        update={"train": TrainConfig(epochs=_DISTILLED_EPOCHS), "teacher": teacher}
    )
    distilled = run_student(chosen, settings, out, listener=listener)
    _announce(f"export {out}")
    export(out, None)
    rows = [
        ("teacher", distilled["teacher"]),
        ("student, alone", student_row(alone)),
        ("student, distilled", student_row(distilled)),
    ]
    output().print()
    output().print(comparison_table("digits on photographs: test split", rows))
    _announce(f"compare {out}/alone {out}")
    output().print(difference_table(compare_students(out / "alone", out)))
    say(f"everything is in {out}; the student is {out}/student, its ONNX file beside it")


def write_images(folder: Path, count: int | None = None) -> int:
    """Write scikit-learn's digits, blended with its two photographs, in class folders; return how many.

    A pixel is the absolute difference of photograph and digit, as in MNIST-M (Ganin and Lempitsky 2015,
    https://arxiv.org/abs/1409.7495, section 4.1), so that colours and edges say nothing about the class.

    Args:
        folder: gets PNG files of 64 x 64 pixels, always the same ones.
        count: number of images; ``None``: all 1,797.
    """
    from sklearn.datasets import load_digits, load_sample_images

    rng = np.random.default_rng(0)
    digits, photos = load_digits(), load_sample_images().images
    images = digits.images[:count]
    for number, (pixels, label) in enumerate(zip(images, digits.target, strict=False)):
        photo = photos[rng.integers(len(photos))]
        top, left = (int(rng.integers(size - _SIDE)) for size in photo.shape[:2])
        side = int(rng.integers(*_DIGIT_SIDES))
        y, x = (int(rng.integers(_SIDE - side + 1)) for _ in range(2))
        digit = Image.fromarray((pixels * (255 / 16)).astype(np.uint8))
        canvas = np.zeros((_SIDE, _SIDE, 1))
        strokes = np.asarray(digit.resize((side, side), Image.Resampling.BICUBIC))
        canvas[y : y + side, x : x + side, 0] = strokes
        blended = np.abs(photo[top : top + _SIDE, left : left + _SIDE] - canvas).astype(np.uint8)
        place = folder / str(label)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(blended).save(place / f"{number:04}.png")
    return len(images)


def _announce(command: str) -> None:
    output().print(
        f"\n$ {program()} {command}", style="bold", highlight=False, markup=False, soft_wrap=True
    )
