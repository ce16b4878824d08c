"""The command ``latency``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from core.config import MAX_SIDE, MIN_SIDE
from core.errors import UserError

_CLASSES = 10  # of a model file that names no number
_SAID = 1.15  # slowdown of the machine from which on it is said


def latency(
    model: Annotated[
        Path,
        Argument(help="Run directory (its student, else its chosen network), or a model YAML."),
    ],
    classes: Annotated[
        int | None,
        Option(help="Number of classes of a model YAML. (default: as it says, else 10)", min=2),
    ] = None,
    image_size: Annotated[
        int | None,
        Option(
            help="Side of the input in pixels, for a model YAML without one. (default: as it says)",
            min=MIN_SIDE,
            max=MAX_SIDE,
        ),
    ] = None,
    target: Annotated[
        str | None,
        Option(
            help="Runtime, precision and device, or a profile, as for search. (default: the run's, else "
            "onnxruntime)"
        ),
    ] = None,
) -> None:
    """Measure milliseconds per image on a target, batch 1, 1 thread: median, IQR and n.

    A profile predicts them; the IQR is then that of the errors of its predictions.
    """
    from deploy.architecture_latency import measure_architecture
    from deploy.device.link import ModelError
    from deploy.targets import DEFAULT
    from minnow.console import output
    from minnow.format import costs_text
    from minnow.run_directory import Run, choose, holds_search
    from minnow.student import Student

    if not model.is_file() and (classes is not None or image_size is not None):
        raise UserError(f"--classes and --image-size are for a model YAML, and {model} is none")
    if model.is_file() or (holds_search(model) and Run(model).student is None):
        chosen = choose(model).at(image_size)
        architecture = chosen.architecture
        if image_size not in (None, architecture.resolution):
            raise UserError(f"{model} is for {architecture.resolution} px; leave out --image-size")
        num_classes = classes or chosen.classes or _CLASSES
        if target is None and holds_search(model):
            target = Run(model).config.target
        try:
            measured = measure_architecture(architecture, num_classes, target=target or DEFAULT)
        except ModelError as error:
            raise UserError(f"{target}: {error}") from None
        name = f"{chosen.name}, {num_classes} classes"
    else:
        student = Student(model)
        architecture, num_classes = student.bundle.architecture, len(student.classes)
        measured = student.latency(target)
        name = str(student.path)
    slowdown = measured.slowdown
    runs = "not measured" if measured.predicted else f"n={measured.n}"
    note = f"; corrected: the machine is {slowdown:.1f} times slower now than undisturbed"
    output().print(
        f"{name}: {measured.median_ms:.3f} ms median, {measured.iqr_ms:.3f} ms IQR, {runs} "
        f"(batch 1, {architecture.resolution} px, {measured.runtime}); "
        f"{costs_text(architecture, num_classes)}{note if slowdown > _SAID else ''}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
