"""The files of a trained model: their names and where they lie. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from core.errors import UserError

WEIGHTS_FILE = "model.safetensors"
ARCHITECTURE_FILE = "architecture.yaml"
LABELS_FILE = "labels.txt"
CONFIG_FILE = "config.yaml"
METRICS_FILE = "metrics.json"
CHECKSUMS_FILE = "checksums.sha256"
STUDENT_FOLDER = "student"  # of a run directory
ONNX_FILE = "model.onnx"  # beside the weights
BUNDLE_FILES = (ARCHITECTURE_FILE, LABELS_FILE, CONFIG_FILE, METRICS_FILE, WEIGHTS_FILE)


def find_bundle(path: str | Path) -> Path:
    """Return the directory that holds the weights: ``path`` or ``path/student``.

    Raises:
        UserError: there is none; says what is missing and how to make one.
    """
    path = Path(path)
    make = "train one with distill"
    if not path.exists():
        raise UserError(f"{path}: no such directory; give a trained model's, or {make}")
    if not path.is_dir():
        raise UserError(f"{path} is a file; give the directory of a trained model")
    for directory in (path, path / STUDENT_FOLDER):
        if (directory / WEIGHTS_FILE).is_file():
            missing = [name for name in BUNDLE_FILES if not (directory / name).is_file()]
            if missing:
                raise UserError(
                    f"{directory}: not a whole trained model: {', '.join(missing)} missing; "
                    f"restore what was deleted or {make} again"
                )
            return directory
    if (path / ARCHITECTURE_FILE).is_file():
        make = f"train it with distill, as the student {path}"
    raise UserError(f"{path}: no trained model in it ({WEIGHTS_FILE} is missing); {make}")
