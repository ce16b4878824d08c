"""The command ``latency``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

from typer import Argument, Option

from core.config import MAX_SIDE, MIN_SIDE
from core.errors import UserError

if TYPE_CHECKING:
    from deploy.targets.session import Latency
    from minnow.student import Student

_CLASSES = 10  # where nothing says a number
_SAID = 1.15  # slowdown of the machine from which on it is said


class _Measured(NamedTuple):
    name: str
    resolution: int
    costs: str
    latency: Latency


def latency(
    model: Annotated[
        Path,
        Argument(
            help="Run directory (its student, else its chosen network), a model YAML, or a network of "
            "timm, as in tf_efficientnet_lite0@128."
        ),
    ],
    classes: Annotated[
        int | None, Option(help="Number of classes, where MODEL does not say. (default: 10)", min=2)
    ] = None,
    image_size: Annotated[
        int | None,
        Option(
            help="Side of the input in pixels, where MODEL does not say. (default: timm's)",
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
    from deploy.device.link import ModelError
    from minnow.console import output
    from minnow.run_directory import Run, holds_search
    from minnow.student import Student

    if model.is_dir() and (classes is not None or image_size is not None):
        raise UserError(f"{model} says its classes and size; leave out --classes and --image-size")
    try:
        if not model.exists() and len(model.parts) == 1:
            measured = _of_timm(str(model), classes or _CLASSES, image_size, target)
        elif model.is_file() or (holds_search(model) and Run(model).student is None):
            measured = _of_network(model, classes, image_size, target)
        else:
            measured = _of_student(Student(model), target)
    except ModelError as error:
        raise UserError(f"{target or model}: {error}") from None
    taken = measured.latency
    runs = "not measured" if taken.predicted else f"n={taken.n}"
    note = f"; corrected: the machine is {taken.slowdown:.1f} times slower now than undisturbed"
    output().print(
        f"{measured.name}: {taken.median_ms:.3f} ms median, {taken.iqr_ms:.3f} ms IQR, {runs} "
        f"(batch 1, {measured.resolution} px, {taken.runtime}); "
        f"{measured.costs}{note if taken.slowdown > _SAID else ''}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def _of_student(student: Student, target: str | None) -> _Measured:
    from minnow.format import costs_text

    architecture = student.bundle.architecture
    costs = costs_text(architecture, len(student.classes))
    return _Measured(str(student.path), architecture.resolution, costs, student.latency(target))


def _of_network(
    model: Path, classes: int | None, image_size: int | None, target: str | None
) -> _Measured:
    """Measure the network of a model file, or of a search, with random weights."""
    from deploy.architecture_latency import measure_architecture
    from deploy.targets import DEFAULT
    from minnow.format import costs_text
    from minnow.permission import check_target
    from minnow.run_directory import Run, choose, holds_search
    from training.bundle_files import CONFIG_FILE

    chosen = choose(model).at(image_size)
    architecture = chosen.architecture
    if image_size not in (None, architecture.resolution):
        raise UserError(f"{model} is for {architecture.resolution} px; leave out --image-size")
    num_classes = classes or chosen.classes or _CLASSES
    if target is None and holds_search(model):
        config = Run(model).config
        check_target(config, model / CONFIG_FILE)
        target = config.target
    taken = measure_architecture(architecture, num_classes, target=target or DEFAULT)
    name = f"{chosen.name}, {num_classes} classes"
    return _Measured(name, architecture.resolution, costs_text(architecture, num_classes), taken)


def _of_timm(spec: str, num_classes: int, image_size: int | None, target: str | None) -> _Measured:
    """Measure a network of timm, with random weights."""
    import timm

    from deploy.architecture_latency import measure_architecture
    from deploy.latency_measurement import measure_module
    from deploy.targets import DEFAULT, profile_of
    from minnow.format import costs_text, metric_text
    from nas.networks.timm_architecture import architecture_from_timm
    from teachers.ensemble import count_macs
    from teachers.spec import split_side
    from teachers.timm_models import close_matches, is_timm_name, pretrained_from_timm

    name, side = split_side(spec)
    if not is_timm_name(name):
        near = ", ".join(close_matches(name))
        raise UserError(f"{spec}: no such run, file or network of timm{near and f'; perhaps {near}'}")
    network = pretrained_from_timm(name, timm.create_model(name, num_classes=num_classes), "random")
    resolution = image_size or side or network.resolution
    network.take_resolution(resolution)
    name, where = f"{name}, {num_classes} classes", target or DEFAULT
    try:
        architecture = architecture_from_timm(network.model, network.name, resolution)
    except UserError as error:  # of another family
        if profile_of(where) is not None:
            raise UserError(f"{where} predicts networks of search spaces alone: {error}") from None
        params = sum(parameter.numel() for parameter in network.model.parameters())
        macs = count_macs(network.model, resolution)
        costs = f"{metric_text('params', params)} params, {metric_text('macs', macs)} MACs"
        taken = measure_module(network.model, resolution, target=where)
        return _Measured(name, resolution, costs, taken)
    taken = measure_architecture(architecture, num_classes, target=where)
    return _Measured(name, resolution, costs_text(architecture, num_classes), taken)
