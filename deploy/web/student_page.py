"""A student as a page for browsers, after a comparison of its ONNX model with PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deploy.shipping import RuntimeScores, inference_spec, score_on_runtime
from deploy.targets import DEFAULT, connect
from deploy.targets.conversion import convert
from deploy.web.onnx_runtime_web import web_runtime
from deploy.web.page_files import write_page
from training.bundle import Bundle
from training.data.fitting import Fit
from training.data.images import ImageSet

NAME = "web"  # of the page among the targets of an export


@dataclass(frozen=True)
class StudentPage:
    """A page that was written.

    Attributes:
        folder: of its files.
        size_bytes: of all files.
        scores: of its model on the test images, by ONNX Runtime on this machine.
    """

    folder: Path
    size_bytes: int
    scores: RuntimeScores


def write_student_page(bundle: Bundle, data: ImageSet, fit: Fit, folder: Path) -> StudentPage:
    """Write a folder with a page that runs a student in the browser.

    Args:
        bundle: the student.
        data: the images of its training.
        fit: of images to squares.
        folder: to write; files of an earlier page are replaced.

    Raises:
        UserError: ONNX Runtime Web cannot be downloaded, or the folder cannot be written.
        ModelError: the model cannot be converted, or differs from PyTorch's; nothing is written.
    """
    runtime = web_runtime()
    session = connect(DEFAULT)
    side = bundle.architecture.resolution
    model = convert(session.target, bundle.model, side, normalization=bundle.normalization)
    scores = score_on_runtime(bundle, data, session, model, NAME)
    scores.check_float(NAME)
    (onnx,) = model.files.values()
    spec = inference_spec(bundle, data.size, fit)
    size_bytes = write_page(folder, name=data.name, onnx=onnx, inference=spec, runtime=runtime)
    return StudentPage(folder, size_bytes, scores)
