"""The command ``export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from minnow.commands.options import StudentRun


def export(
    run: StudentRun,
    out: Annotated[
        Path | None, Option(help="ONNX file. (default: model.onnx beside the weights)")
    ] = None,
    opset: Annotated[
        int | None,
        Option(
            help="Version of ONNX's operators, 7 to 23, for a runtime without newer ones. (default: 18)"
        ),
    ] = None,
) -> None:
    """Write an ONNX file with the normalisation inside, checked against PyTorch."""
    from minnow.console import next_step, say
    from minnow.student import Student

    student = Student(run)
    exported = student.export("onnx", out, opset=opset)
    side = student.bundle.architecture.resolution
    say(
        f"{exported.path}: {exported.size_bytes / 1e3:,.0f} kB, opset {exported.opset}; input images "
        f"(N, 3, {side}, {side}) float32 RGB in 0..1, output logits (N, {len(student.classes)}); "
        f"ONNX Runtime and PyTorch differ by at most {exported.max_abs_difference:.1g} "
        f"on {exported.checked_images} images"
    )
    next_step(["latency", run])
