"""The command ``export``."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

from typer import Option

from core.errors import UserError
from minnow.commands.options import StudentRun
from training.bundle_files import STUDENT_FOLDER

if TYPE_CHECKING:
    from deploy.shipping import Shipped
    from deploy.web.student_page import StudentPage
    from minnow.student import Student


def export(
    run: StudentRun,
    target: Annotated[
        list[str] | None,
        Option(
            help="Write a folder for this target, scored there on the test images, a model for timm "
            "(timm), or a page for browsers (web); repeat for several. (default: an ONNX file)"
        ),
    ] = None,
    all: Annotated[
        bool,
        Option(
            "--all", help="Write folders for all targets that are installed, without timm and the page."
        ),
    ] = False,
    data: Annotated[
        str | None,
        Option(help="Images to calibrate and test with. (default: those of the training)"),
    ] = None,
    out: Annotated[
        Path | None,
        Option(
            help="ONNX file, or folder of one target. (default: model.onnx, or export/TARGET, beside the "
            "weights)"
        ),
    ] = None,
    opset: Annotated[
        int | None,
        Option(
            help="Version of ONNX's operators, 7 to 23, for a runtime without newer ones. (default: 18)"
        ),
    ] = None,
    licence: Annotated[
        str | None,
        Option(
            help="Licence of the weights, for the model card, as in apache-2.0; that of the images is "
            "the setting data.licence. (default: unknown)"
        ),
    ] = None,
) -> None:
    """Write an ONNX file, a folder for a target (model, labels, preprocessing and a program), or a page.

    Example: export runs/latest --target onnxruntime-int8

    Beside the files lies a model card, README.md, which you may edit: a later export leaves it as it is.
    """
    from deploy.timm_export import NAME as TIMM
    from deploy.web.student_page import NAME as WEB
    from minnow.console import next_step, output, say, warn
    from minnow.progress import ConsoleListener
    from minnow.student import Student
    from minnow.tables import shipped_table

    student = Student(run)
    if target is None and not all:
        if data is not None:
            raise UserError("--data is for --target: an ONNX file is checked against PyTorch alone")
        if out is not None and licence is not None:
            raise UserError("--licence is for the model card, which an ONNX file of --out does not have")
        _write_onnx(student, out, opset, licence)
        next_step(["latency", run])
        return
    if opset is not None:
        raise UserError("--opset is for an ONNX file; leave out --target, or --opset")
    targets = [*dict.fromkeys(target or [])] + (_installed(target or []) if all else [])
    if out is not None and len(targets) > 1:
        raise UserError(f"--out is the folder of one target, and there are {len(targets)}")
    if data is not None and targets == [TIMM]:
        raise UserError("--data is for targets that are scored on images; leave it out for timm")
    shipped: list[Shipped] = []
    failed: list[str] = []
    page = timm_model = None
    with ConsoleListener() as listener:
        for name in targets:
            try:
                if name == WEB:
                    page = student.write_page(out, data=data, listener=listener)
                elif name == TIMM:
                    timm_model = student.write_timm(out, licence=licence, listener=listener)
                else:
                    shipped.append(student.ship(name, out, data=data, licence=licence, listener=listener))
            except UserError as error:
                if len(targets) == 1:
                    raise
                listener.warn(f"{name}: {error}")
                failed.append(name)
    if shipped:
        output().print(shipped_table(shipped))
    for one in shipped:
        for warning in warnings_of(one, student):
            warn(warning)
        how = "" if one.chosen is None else f" ({one.chosen.quantization})"
        say(f"{one.folder}{how}: copy it to the device; there, python3 predict.py photo.jpg")
    if timm_model is not None:
        say(
            f"{timm_model.folder}: there, import timm, timm_model; then "
            f'timm.create_model("{timm_model.name}", checkpoint_path="model.safetensors"); its logits '
            f"and the student's differ by at most {timm_model.difference:.1g}"
        )
    if page is not None:
        _announce(page)
    wanted = failed if not (shipped or timm_model or page) else [n for n in failed if n in (target or ())]
    if wanted:
        raise UserError(f"nothing was written for {', '.join(wanted)}; the warnings above say why")


def _write_onnx(student: Student, out: Path | None, opset: int | None, licence: str | None) -> None:
    from minnow.console import say
    from minnow.progress import ConsoleListener

    with ConsoleListener() as listener:
        exported = student.export("onnx", out, opset=opset, licence=licence, listener=listener)
    side = student.bundle.architecture.resolution
    say(
        f"{exported.path}: {exported.size_bytes / 1e3:,.0f} kB, opset {exported.opset}; input images "
        f"(N, 3, {side}, {side}) float32 RGB in 0..1, output logits (N, {len(student.classes)}); "
        f"ONNX Runtime and PyTorch differ by at most {exported.max_abs_difference:.1g} "
        f"on {exported.checked_images} images"
    )


def _announce(page: StudentPage) -> None:
    """Say how to open a page."""
    from minnow.console import say

    say(
        f"{page.folder} ({page.size_bytes / 1e6:.1f} MB): double click index.html; for a phone, run "
        f"python3 -m http.server --directory {quote(str(page.folder))} and open port 8000 of this machine"
    )


def _installed(given: list[str]) -> list[str]:
    """Return the names of the targets whose packages are here, without the given ones."""
    import deploy.targets

    names = []
    for name in deploy.targets.REGISTRY.names():
        try:
            deploy.targets.load(name)().check()
        except UserError:
            continue
        if name not in given:
            names.append(name)
    return names


def warnings_of(shipped: Shipped, student: Student) -> list[str]:
    """Return what speaks against the quantised model of a student, in a line each."""
    from deploy.quantization import TOLERANCE

    found = []
    run = student.path.parent
    remedy = ""
    if student.path.name == STUDENT_FOLDER and not student.metrics.get("qat"):
        remedy = f"; distill --student {run} --qat trains {run}/qat for int8"
    latency, before = shipped.latency, shipped.float_latency
    if before is not None and latency.median_ms >= before.median_ms:
        found.append(
            f"{shipped.target} is slower than float here ({latency.median_ms:.2f} against "
            f"{before.median_ms:.2f} ms): another processor may differ; measure on the device"
        )
    if (lost := -shipped.scores.difference.value) > TOLERANCE and shipped.chosen is not None:
        points = f"{shipped.target} loses {100 * lost:.1f} points of test F1 by its quantisation"
        found.append(points + remedy)
    return found
