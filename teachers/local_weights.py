"""Teachers on disk: a run directory, or a weights file of a timm network."""

from __future__ import annotations

import os
import pickle
import struct
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from safetensors import SafetensorError

from core.cache import expanded
from core.errors import UserError
from teachers.base import PretrainedNetwork, TeacherSource, weights_digest
from training.bundle_files import STUDENT_FOLDER, WEIGHTS_FILE

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = (".pth", ".pt", ".safetensors")

# Errors of torch's restricted unpickler and of the safetensors reader on bytes that are no weights.
_WEIGHTS_ERRORS = (
    pickle.UnpicklingError,
    SafetensorError,
    struct.error,
    OSError,
    EOFError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    RuntimeError,
    AssertionError,
)


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Read a state dictionary, without executing anything in the file.

    The dictionary is the whole file, or lies under a usual key of training scripts (``state_dict_ema``,
    ``model_ema``, ``state_dict``, ``model``; an averaged one wins).

    Raises:
        UserError: the file is missing, damaged, or holds anything else than named tensors.
    """
    import torch
    from timm.models import load_state_dict

    if not Path(path).is_file():
        raise UserError(f"{path}: no such weights file; check the path")
    try:
        state = load_state_dict(str(path), weights_only=True)
    except _WEIGHTS_ERRORS as error:
        raise UserError(
            f"{path} cannot be read as weights ({type(error).__name__}): it is damaged or not a "
            "plain state dictionary; save one with torch.save(model.state_dict(), path)"
        ) from error
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            raise UserError(
                f"{path} is not a state dictionary: {key!r} holds a {type(value).__name__}, not a "
                "tensor; save one with torch.save(model.state_dict(), path)"
            )
    return state


def split_spec(spec: str) -> tuple[str, Path] | None:
    """Split ``TIMM_NAME:FILE``; return ``None`` if FILE has no weights suffix."""
    name, colon, path = spec.partition(":")
    return (name, expanded(path)) if colon and path.endswith(SUFFIXES) else None


def load_weights_file(name: str, path: Path) -> PretrainedNetwork:
    """Load a weights file into a timm network with as many classes as the file has.

    Raises:
        UserError: timm does not know the name; the file is broken or belongs to another network.
    """
    import timm

    from teachers.timm_models import (
        close_matches,
        head_weight_key,
        is_timm_name,
        load_strictly,
        pretrained_from_timm,
    )

    if not is_timm_name(name):
        near = ", ".join(close_matches(name)) or "none; see timm.list_models()"
        raise UserError(f"{name!r} in '{name}:{path}' is no timm network; close names: {near}")
    state = read_state(path)
    model = timm.create_model(name, pretrained=False)
    head = state.get(head_weight_key(model) or "")
    if head is not None and head.ndim > 0:
        model = timm.create_model(name, pretrained=False, num_classes=head.shape[0])
    load_strictly(model, state, where=path)
    return pretrained_from_timm(name, model, f"weights file {path}")


def load_run(path: Path) -> PretrainedNetwork:
    """Load a network that Minnow trained, from its bundle or its run directory.

    Raises:
        UserError: there is no such network; its files are damaged or do not belong together.
    """
    from training.bundle import load_bundle

    bundle = load_bundle(path)
    return PretrainedNetwork(
        name=path.resolve().name,
        model=bundle.model.eval(),
        resolution=bundle.architecture.resolution,
        normalization=bundle.normalization,
        digest=weights_digest(bundle.architecture.key, bundle.model),
        classes=bundle.classes,
        source=f"trained network in {path}",
        test_digest=bundle.metrics.get("test_files"),
    )


class PathSource(TeacherSource):
    """A run directory or bundle that Minnow made, or TIMM_NAME:FILE (.pth, .pt, .safetensors)."""

    name: ClassVar[str] = "path"

    def find(self, spec: str) -> PretrainedNetwork | None:
        """Load a directory (``runs/demo``) or a weights file (``resnet18:weights.pth``).

        Raises:
            UserError: the path is missing; its content is broken or of another kind.
        """
        if (parts := split_spec(spec)) is not None:
            return load_weights_file(*parts)
        path = expanded(spec)
        if spec.endswith(SUFFIXES) or (_written_as_path(spec) and path.is_file()):
            raise UserError(
                f"teacher '{spec}': a weights file needs the timm network it belongs to; "
                f"write TIMM_NAME:{spec}, for example resnet18:{spec}"
            )
        if path.is_dir() and (_written_as_path(spec) or _holds_network(path)):
            return load_run(path)
        if spec.startswith(("~", ".", os.sep)):
            raise UserError(f"teacher '{spec}': no such directory; check the path")
        return None


def _written_as_path(spec: str) -> bool:
    """Return whether a spec is a path, not a name that a folder here happens to have."""
    return os.sep in spec or "/" in spec or spec.startswith((".", "~"))


def _holds_network(path: Path) -> bool:
    return any((path / folder / WEIGHTS_FILE).exists() for folder in ("", STUDENT_FOLDER))
